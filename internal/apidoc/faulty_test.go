package apidoc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/apidoc"
	"github.com/apikeyd/apikeyd/internal/apidoc/apidoctest"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/gateway"
	"github.com/apikeyd/apikeyd/internal/httpapi"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/password"
	"github.com/apikeyd/apikeyd/internal/secret"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlite"
	"github.com/apikeyd/apikeyd/internal/telemetry"
	"github.com/apikeyd/apikeyd/internal/usage"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// request is a good one.
type request struct {
	method, path, body string
	headers            []string
}

// everything is one for each operation that needs the database.
func everything(first admin.Initialised, session person) []request {
	key, organization := fmt.Sprintf("/v1/api-keys/%d", first.KeyID), fmt.Sprintf("/v1/organizations/%d", first.OrganizationID)
	member, token := fmt.Sprintf("%s/members/%d", organization, first.UserID), first.Token.Reveal()
	return []request{
		{"GET", "/v1/api-keys", "", nil},
		{"POST", "/v1/api-keys", fmt.Sprintf(`{"key_name": "Test", "key_scope": ["READ"], "organization_id": %d}`, first.OrganizationID), nil},
		{"GET", key, "", nil},
		{"PATCH", key, `{"enabled": true}`, nil},
		{"POST", key + "/rotate", ``, nil},
		{"DELETE", key, "", nil},
		{"GET", key + "/usage", "", nil},
		{"GET", organization + "/usage", "", nil},
		{"GET", "/v1/organizations", "", nil},
		{"POST", "/v1/organizations", `{"organization_name": "Test"}`, nil},
		{"GET", organization, "", nil},
		{"PATCH", organization, `{"organization_name": "Test"}`, nil},
		{"DELETE", organization, "", nil},
		{"GET", organization + "/members", "", nil},
		{"POST", organization + "/members", `{"email": "a@example.com", "role": "viewer"}`, nil},
		{"GET", member, "", nil},
		{"PATCH", member, `{"role": "owner"}`, nil},
		{"DELETE", member, "", nil},
		{"POST", "/v1/sessions", `{"email": "first@example.com", "password": "` + examplePassword + `"}`, nil},
		{"POST", "/v1/sessions", `{"link": "` + exampleLink + `"}`, nil},
		{"GET", "/v1/sessions", "", session.headers},
		{"DELETE", "/v1/sessions/current", "", session.headers},
		{"DELETE", fmt.Sprintf("/v1/sessions/%d", session.sessionID), "", session.headers},
		{"GET", "/v1/me", "", nil},
		{"GET", "/v1/me", "", session.headers},
		{"PUT", "/v1/me/password", `{"new_password": "` + examplePassword + `"}`, session.headers},
		{"GET", "/v1/audit-log", "", nil},
		{"POST", "/v1/leaked", `{"key": "x"}`, nil},
		{"POST", "/v1/leaked/github", `[{"token": "x"}]`, nil},
		{"POST", "/v1/verify", fmt.Sprintf(`{"key": %q}`, token), nil},
		{"GET", "/v1/authorize", "", []string{"X-API-Key: " + token}},
		{"POST", "/introspect", "token=" + token, []string{form}},
		{"POST", "/v1/verify/batch", fmt.Sprintf(`{"requests": [{"key": %q}]}`, token), nil},
	}
}

// faulty is a store that works until it is told not to.
type faulty struct {
	store.Store
	err    error
	before func() // what happens before the next transaction begins; nil: nothing
}

func (f *faulty) Identity(ctx context.Context, userID int64, token key.Digest, organizationID int64) (key.Identity, error) {
	if f.err != nil {
		return key.Identity{}, f.err
	}
	return f.Store.Identity(ctx, userID, token, organizationID)
}

func (f *faulty) KeyFor(ctx context.Context, id, userID int64, token key.Digest) (key.Key, key.Identity, error) {
	if f.err != nil {
		return key.Key{}, key.Identity{}, f.err
	}
	return f.Store.KeyFor(ctx, id, userID, token)
}

func (f *faulty) UserByEmail(ctx context.Context, email string) (key.User, error) {
	if f.err != nil {
		return key.User{}, f.err
	}
	return f.Store.UserByEmail(ctx, email)
}

func (f *faulty) Update(ctx context.Context, fn func(store.Tx) error) ([]store.Change, error) {
	if f.err != nil {
		return nil, f.err
	}
	if before := f.before; before != nil {
		f.before = nil
		before()
	}
	return f.Store.Update(ctx, fn)
}

// signed finds that GitHub has signed everything.
type signed struct{}

func (signed) Verify(context.Context, string, string, []byte) error { return nil }

// startFaulty serves both listeners over a store that can be broken. It returns everything that can be asked of them.
func startFaulty(t *testing.T, r *apidoctest.Recorder) (*faulty, *target, []request) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "test.db"), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // some tests have closed it
	f := &faulty{Store: db}
	writer := telemetry.NewWriter(io.Discard)
	t.Cleanup(func() { _ = writer.Close() })
	log := telemetry.NewLogger(writer, telemetry.JSON, slog.LevelError)
	checker := verify.New(verify.Options{Tokens: f, Usage: usage.NewRecorder(f, log), Now: time.Now,
		CacheBytes: 1 << 20, NegativeCacheBytes: 1 << 20})
	service := admin.New(admin.Options{Store: f, Invalidator: checker, Now: time.Now, TokenPrefix: "ak", Log: log,
		Passwords: password.NewHasher(2), SessionIdle: time.Hour, SessionLifetime: time.Hour})
	first, err := service.Initialise(t.Context(), "first@example.com", "Example Ltd")
	if err != nil {
		t.Fatal(err)
	}
	guard, err := browser.NewGuard("")
	if err != nil {
		t.Fatal(err)
	}
	o := httpapi.Options{Guard: guard, SignInURL: func(link secret.Secret) string { return "https://keys.example.com/sign-in/" + link.Reveal() },
		Admin: service, Checker: checker, Gateway: gateway.New(checker, nil), Log: log, Now: time.Now, Ready: f.Ready, GitHub: signed{},
		RequestIDs: telemetry.NewRequestIDs(), Requests: telemetry.NewRequestLog(writer, telemetry.JSON, slog.LevelError),
		Metrics: telemetry.NewMetrics(telemetry.Build{}), OpenAPI: apidoc.OpenAPI(), Docs: apidoc.Page()}
	management, verification := httptest.NewServer(httpapi.NewManagement(o)), httptest.NewServer(httpapi.NewVerification(o))
	t.Cleanup(management.Close)
	t.Cleanup(verification.Close)
	s := &target{t, client(r), management.URL, verification.URL, first.Token.Reveal(), first.UserID}
	session := s.signIn(person{email: "first@example.com", userID: first.UserID}, fmt.Sprintf(`{"link": %q}`, first.Link.Reveal()))
	return f, s, everything(first, session)
}

func askWithoutDatabase(t *testing.T, r *apidoctest.Recorder) {
	f, s, everything := startFaulty(t, r)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range everything {
		s.send(503, c.method, c.path, c.body, c.headers...)
	}
	s.send(503, "GET", "/readyz", "")
	s.send(200, "GET", "/livez", "")
}

func askBrokenDatabase(t *testing.T, r *apidoctest.Recorder) {
	f, s, everything := startFaulty(t, r)
	s.send(200, "GET", "/v1/me", "") // from now on the key is cached
	f.err = errors.New("a fault that nobody has thought of")
	for _, c := range everything {
		if !checksKeys(c.path) {
			s.send(500, c.method, c.path, c.body, c.headers...)
		}
	}
}

// checksKeys reports whether a path is one where a key is checked: the answer is 503 there, whatever the reason.
func checksKeys(path string) bool {
	return strings.HasPrefix(path, "/v1/verify") || path == "/v1/authorize" || path == "/introspect"
}

// setPasswordTwice sets a password while another one is being set.
func setPasswordTwice(t *testing.T, r *apidoctest.Recorder) {
	f, s, everything := startFaulty(t, r)
	i := slices.IndexFunc(everything, func(c request) bool { return c.path == "/v1/me/password" })
	c := everything[i]
	f.before = func() { s.send(204, c.method, c.path, c.body, c.headers...) }
	s.send(409, c.method, c.path, c.body, c.headers...)
}
