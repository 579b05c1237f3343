package apidoc_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/apidoc/apidoctest"
	"github.com/apikeyd/apikeyd/internal/apptest"
)

// target is a server to talk to.
type target struct {
	t          *testing.T
	http       *http.Client
	management string
	service    string
	token      string
	userID     int64 // whose token it is
}

func startTarget(t *testing.T, r *apidoctest.Recorder, o *apptest.Options) (*apptest.Server, *target) {
	t.Helper()
	s := apptest.Start(t, o)
	return s, &target{t, client(r), s.ManagementURL, s.VerificationURL, s.First.Token.Reveal(), s.First.UserID}
}

func client(r *apidoctest.Recorder) *http.Client {
	return &http.Client{Transport: r.Transport(nil), Timeout: 30 * time.Second}
}

// send makes a request, wants a status and returns the body. See exchange.
func (s *target) send(want int, method, path, body string, headers ...string) string {
	s.t.Helper()
	_, text := s.exchange(want, method, path, body, headers...)
	return text
}

// exchange makes a request and wants a status; 0: any. A path of the verification listener goes there. Headers are "Name: value"
// and take the place of the usual ones; "Name:" sends none.
func (s *target) exchange(want int, method, path, body string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	base := s.management
	for _, prefix := range []string{"/v1/verify", "/v1/subscribe", "/v1/authorize", "/introspect", "/livez", "/readyz", "/metrics"} {
		if strings.HasPrefix(path, prefix) {
			base = s.service
		}
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, base+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if base == s.management {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		req.Header.Del(name)
		if value = strings.TrimSpace(value); value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if want != 0 && resp.StatusCode != want {
		s.t.Errorf("%s %s: %d, want %d: %s", method, path, resp.StatusCode, want, text)
	}
	return resp, string(text)
}

// read is send for an answer that is read into a value.
func (s *target) read(into any, want int, method, path, body string, headers ...string) {
	s.t.Helper()
	text := s.send(want, method, path, body, headers...)
	if err := json.Unmarshal([]byte(text), into); err != nil {
		s.t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
}

// created is a key that was made for a test.
type created struct {
	KeyID          int64  `json:"key_id"`
	OrganizationID int64  `json:"organization_id"`
	Token          string `json:"key"`
}

func (s *target) create(organizationID int64, scopes string, headers ...string) (k created) {
	s.t.Helper()
	body := fmt.Sprintf(`{"key_name": "Test", "key_scope": [%s], "organization_id": %d}`, scopes, organizationID)
	s.read(&k, 201, "POST", "/v1/api-keys", body, headers...)
	return k
}
