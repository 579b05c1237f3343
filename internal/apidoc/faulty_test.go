package apidoc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/apidoc"
	"github.com/apikeyd/apikeyd/internal/apidoc/apidoctest"
	"github.com/apikeyd/apikeyd/internal/httpapi"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlite"
	"github.com/apikeyd/apikeyd/internal/telemetry"
	"github.com/apikeyd/apikeyd/internal/usage"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// everything is one good request for each operation that needs the database.
func everything(keyID int64, organization int64, token string) []struct{ method, path, body string } {
	one := fmt.Sprintf("/v1/api-keys/%d", keyID)
	return []struct{ method, path, body string }{
		{"GET", "/v1/api-keys", ""},
		{"POST", "/v1/api-keys", fmt.Sprintf(`{"key_name": "Test", "key_scope": ["READ"], "organization_id": %d}`, organization)},
		{"GET", one, ""},
		{"PATCH", one, `{"enabled": true}`},
		{"POST", one + "/rotate", ``},
		{"DELETE", one, ""},
		{"GET", "/v1/me", ""},
		{"POST", "/v1/verify", fmt.Sprintf(`{"key": %q}`, token)},
		{"POST", "/v1/verify/batch", fmt.Sprintf(`{"requests": [{"key": %q}]}`, token)},
	}
}

// faulty is a store that works until it is told not to.
type faulty struct {
	store.Store
	err error
}

func (f *faulty) User(ctx context.Context, id int64) (key.User, error) {
	if f.err != nil {
		return key.User{}, f.err
	}
	return f.Store.User(ctx, id)
}

func (f *faulty) Update(ctx context.Context, fn func(store.Tx) error) ([]store.Change, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.Store.Update(ctx, fn)
}

// startFaulty serves both listeners over a store that can be broken.
func startFaulty(t *testing.T, r *apidoctest.Recorder) (*faulty, admin.Initialised, *target) {
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
	checker := verify.New(verify.Options{Tokens: f, LastUsed: usage.NewRecorder(f, log), Now: time.Now,
		CacheBytes: 1 << 20, NegativeCacheBytes: 1 << 20})
	service := admin.New(admin.Options{Store: f, Invalidator: checker, Now: time.Now, TokenPrefix: "ak"})
	first, err := service.Initialise(t.Context(), "first@example.com", "Example Ltd")
	if err != nil {
		t.Fatal(err)
	}
	o := httpapi.Options{Admin: service, Checker: checker, Log: log, Now: time.Now, Ready: f.Ready,
		RequestIDs: telemetry.NewRequestIDs(), Requests: telemetry.NewRequestLog(writer, telemetry.JSON, slog.LevelError),
		Metrics: telemetry.NewMetrics(telemetry.Build{}), OpenAPI: apidoc.OpenAPI(), Docs: apidoc.Page()}
	management, verification := httptest.NewServer(httpapi.NewManagement(o)), httptest.NewServer(httpapi.NewVerification(o))
	t.Cleanup(management.Close)
	t.Cleanup(verification.Close)
	return f, first, &target{t, client(r), management.URL, verification.URL, first.Token.Reveal()}
}

func askWithoutDatabase(t *testing.T, r *apidoctest.Recorder) {
	f, first, s := startFaulty(t, r)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range everything(first.KeyID, first.OrganizationID, first.Token.Reveal()) {
		s.send(503, c.method, c.path, c.body)
	}
	s.send(503, "GET", "/readyz", "")
	s.send(200, "GET", "/livez", "")
}

func askBrokenDatabase(t *testing.T, r *apidoctest.Recorder) {
	f, first, s := startFaulty(t, r)
	s.send(200, "GET", "/v1/me", "") // from now on the key is cached
	f.err = errors.New("a fault that nobody has thought of")
	for _, c := range everything(first.KeyID, first.OrganizationID, first.Token.Reveal()) {
		if !strings.HasPrefix(c.path, "/v1/verify") {
			s.send(500, c.method, c.path, c.body)
		}
	}
}
