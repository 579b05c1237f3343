package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
)

// Secrets in the shape of real ones, for tests alone.
const (
	callingToken = "ak_7Gx2Kq0000000000000000000000000000000000000009fQ2aa"
	leakedToken  = "ak_0ThisIsAnExampleAndNoRealToken00000000000001ANLg8"
	newToken     = "ak_5Hy3Lr1111111111111111111111111111111111111118gR3bb"
	verifyToken  = "sesame-open-sesame-open-sesame-open"

	keptSecret = "Vb0tH3ePsPp2Yw1cQvXkqE7mZ4nRj9uLaFs8dGh6iKo" // of a session
	newSecret  = "Qm3kX8sVw1LzTn5cRb7yDf2gHj4pKa9eUi6oMt0vCxN" // of a session
	linkSecret = "Lk5Wq9xTzR2mNc7vBp4sHd8fJg1yKe3aUi6oQt0wXyZ"
	password   = "correct horse battery staple"
)

var now = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)

// key returns a key in JSON, with what differs from the usual one as pairs of old and new text.
func key(changes ...string) string {
	return strings.NewReplacer(changes...).Replace(`{"key_id":17,"key_name":"Backend API Key","key_scope":["READ","CREATE"],` +
		`"organization_id":432,"user_id":3,"key_hint":"ak_7Gx2…9fQ2","enabled":true,"expires_at":null,"last_used_at":null,` +
		`"created_at":"2026-11-22T18:54:03.120Z","updated_at":"2026-11-22T18:54:03.120Z","metadata":{},` +
		`"limits":[],"quota":null,"allowed_cidrs":[]}`)
}

// heldKey is what key has to be changed by to have restrictions.
var heldKey = []string{`"limits":[],"quota":null,"allowed_cidrs":[]`, `"limits":[{"name":"default","requests":100,"window_seconds":60},` +
	`{"name":"hour","requests":1000,"window_seconds":3600}],"quota":{"requests":1000000,"period":"month","remaining":999123},` +
	`"allowed_cidrs":["203.0.113.0/24","2001:db8::/32"]`}

func withToken(key string) string { return key[:len(key)-1] + `,"key":"` + newToken + `"}` }

// server answers what it is told to, and notes what it was asked.
type server struct {
	*httptest.Server
	answers map[string]string // by method and address; the status comes first, and 404 is the answer to all else
	during  func(request string)

	mu            sync.Mutex
	asked         []string // method, address, body
	authorization string   // of the last request
	cookie        string   // of the last request
}

func serve(t *testing.T, answers map[string]string) *server {
	t.Helper()
	s := &server{answers: answers}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	request := r.Method + " " + r.URL.RequestURI()
	s.mu.Lock()
	s.asked = append(s.asked, strings.TrimSpace(request+" "+string(body)))
	s.authorization, s.cookie = r.Header.Get("Authorization"), r.Header.Get("Cookie")
	s.mu.Unlock()

	if s.during != nil {
		s.during(request)
	}
	answer, ok := s.answers[request]
	if !ok {
		answer = problem(api.CodeNotFound, "there is no such thing")
	}
	var status int
	var text string
	if _, err := fmt.Sscanf(answer, "%d", &status); err == nil {
		_, text, _ = strings.Cut(answer, " ")
	}
	contentType := "application/json"
	if status >= 400 {
		contentType = "application/problem+json"
	}
	if link, rest, ok := strings.Cut(text, "> "); ok && strings.HasPrefix(text, "<") {
		w.Header().Set("Link", link+`>; rel="next"`)
		text = rest
	}
	if request == "POST /v1/sessions" && status == http.StatusCreated {
		w.Header().Set("Set-Cookie", "__Host-apikeyd="+newSecret+"; Path=/; HttpOnly; Secure; SameSite=Lax")
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	if _, err := io.WriteString(w, text); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func problem(code api.Code, detail string, faults ...api.Fault) string {
	e := api.Error{Status: code.Status(), Code: code, Detail: detail, RequestID: "01J9", Errors: faults}
	return fmt.Sprintf("%d %s", code.Status(), e.JSON())
}

// terminal is what a command is run with in a test.
type terminal struct {
	stdin string
	env   map[string]string
	width int
	home  string // folder of configuration; "": there is none
}

// result is what a command left behind.
type result struct {
	code        int
	out, stderr string
}

// run runs "apikeyd keys" with the arguments, as main does.
func (x terminal) run(t *testing.T, args ...string) result {
	t.Helper()
	return x.call(t, append([]string{"keys"}, args...)...)
}

// trees are the commands of this package by their names.
var trees = map[string]func(*session) *cobra.Command{
	"keys": newKeysCommand, "orgs": newOrgsCommand, "members": newMembersCommand, "users": newUsersCommand,
	"audit": newAuditCommand, "login": newLoginCommand, "logout": newLogoutCommand,
}

// call runs "apikeyd" with the arguments, the first of which is one of the trees.
func (x terminal) call(t *testing.T, args ...string) result {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd := trees[args[0]](&session{
		Streams:   Streams{strings.NewReader(x.stdin), &out, &stderr},
		lookupEnv: func(name string) (string, bool) { v, ok := x.env[name]; return v, ok },
		configDir: x.configDir,
		now:       func() time.Time { return now },
		width:     x.width,
	})
	cmd.SetArgs(args[1:])
	err := cmd.ExecuteContext(t.Context())
	PrintError(&stderr, err)
	return result{ExitCode(err), out.String(), stderr.String()}
}

func (x terminal) configDir() (string, error) {
	if x.home == "" {
		return "", errors.New("there is no home")
	}
	return x.home, nil
}

// against returns a terminal whose environment names the server, for both listeners, and a key.
func against(s *server) terminal {
	return terminal{env: map[string]string{envServer: s.URL, envVerifyServer: s.URL, envKey: callingToken}}
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n%s\nwant:\n%s", what, got, want)
	}
}
