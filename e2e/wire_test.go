package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

// answer is what came back for a request, read to its end.
type answer struct {
	t      testing.TB
	what   string // was asked
	status int
	header http.Header
	body   string
}

// with returns the header that calls with a key of the world; "" is none.
func (w *world) with(name string) string {
	if name == "" {
		return "Authorization:"
	}
	k, ok := w.keys[name]
	if !ok {
		w.t.Fatalf("there is no key %q", name)
	}
	return "Authorization: Bearer " + k.token
}

// manage sends a request to the management API with a key of the world. Headers are "Name: value"; "Name:" takes one
// away, and one that is there twice is sent twice.
func (w *world) manage(t *testing.T, key, method, path, body string, headers ...string) answer {
	t.Helper()
	return request(t, w.management, method, path, body, append([]string{w.with(key)}, headers...))
}

// question sends a request to the verification listener.
func (w *world) question(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	return request(t, w.verification, method, path, body, headers)
}

func request(t testing.TB, base, method, path, body string, headers []string) answer {
	t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, base+path, content)
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	seen := map[string]bool{}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		name = http.CanonicalHeaderKey(name)
		if !seen[name] {
			req.Header.Del(name)
		}
		if value = strings.TrimSpace(value); value != "" {
			req.Header.Add(name, value)
			seen[name] = true
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	what := fmt.Sprintf("%s %s %.100s", method, path, body)
	if resp.Header.Get("X-Request-Id") == "" {
		t.Errorf("%s: no request id", what)
	}
	return answer{t, what, resp.StatusCode, resp.Header, string(text)}
}

// is fails the test unless the answer has this status.
func (a answer) is(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: %d %s, want %d", a.what, a.status, a.body, status)
	}
	return a
}

// into decodes the answer.
func (a answer) into(v any) answer {
	a.t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		a.t.Fatalf("%s: %v: %s", a.what, err, a.body)
	}
	return a
}

// fields returns the names of a JSON object in the order in which they were sent.
func (a answer) fields() (names []string) {
	a.t.Helper()
	d := json.NewDecoder(strings.NewReader(a.body))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		a.t.Fatalf("%s: no object: %s", a.what, a.body)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			a.t.Fatal(err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			a.t.Fatal(err)
		}
		names = append(names, name.(string))
	}
	return names
}

// refused fails the test unless the answer is a problem document of this code, whose faults are at these places.
func (a answer) refused(code api.Code, places ...string) api.Error {
	a.t.Helper()
	var p api.Error
	if a.status != code.Status() || a.header.Get("Content-Type") != "application/problem+json" {
		a.t.Errorf("%s: %d %s %s, want %s", a.what, a.status, a.header.Get("Content-Type"), a.body, code)
		return p
	}
	a.into(&p)
	if p.Code != code || p.Status != a.status || p.Title == "" || p.Type == "" || p.Detail == "" ||
		p.RequestID != a.header.Get("X-Request-Id") {
		a.t.Errorf("%s: problem %s, want %s", a.what, a.body, code)
	}
	var got []string
	for _, f := range p.Errors {
		got = append(got, f.Pointer)
		if f.Detail == "" {
			a.t.Errorf("%s: nothing is said about %s", a.what, f.Pointer)
		}
	}
	slices.Sort(got)
	slices.Sort(places)
	if !slices.Equal(got, places) {
		a.t.Errorf("%s: faults at %q, want %q", a.what, got, places)
	}
	if a.header.Get("Cache-Control") != "no-store" {
		a.t.Errorf("%s: Cache-Control: %s", a.what, a.header.Get("Cache-Control"))
	}
	if a.status == http.StatusUnauthorized && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer ") {
		a.t.Errorf("%s: 401 without WWW-Authenticate: Bearer", a.what)
	}
	if allowed := a.header.Get("Allow") != ""; allowed != (a.status == http.StatusMethodNotAllowed) {
		a.t.Errorf("%s: Allow: %q", a.what, a.header.Get("Allow"))
	}
	return p
}

// logged returns the line that a server has logged for a request, when it is there.
func (w *world) logged(t *testing.T, id string) map[string]any {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var found map[string]any
	there := w.stderr.await(ctx, func(log []byte) bool {
		for line := range bytes.Lines(log) {
			if !bytes.Contains(line, []byte(id)) {
				continue
			}
			var entry map[string]any
			if json.Unmarshal(line, &entry) == nil && entry["msg"] == "request" && entry["request_id"] == id {
				found = entry
				return true
			}
		}
		return false
	})
	if !there {
		t.Fatalf("request %s is not in the log", id)
	}
	return found
}
