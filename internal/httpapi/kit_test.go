package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/gateway"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/password"
	"github.com/apikeyd/apikeyd/internal/secret"
	"github.com/apikeyd/apikeyd/internal/store/sqlite"
	"github.com/apikeyd/apikeyd/internal/telemetry"
	"github.com/apikeyd/apikeyd/internal/usage"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// kit is both listeners on loopback over a real database, with the first user, organization and key in it.
type kit struct {
	t          *testing.T
	management *httptest.Server
	service    *httptest.Server
	database   string // its file
	store      *sqlite.Store
	checker    *verify.Checker
	limiter    *limiter
	admin      *admin.Service
	options    Options // of both listeners
	first      admin.Initialised
	token      string // of the first key, which has every scope
	log        *logBuffer
	flush      func() error
	ahead      atomic.Int64 // nanoseconds by which the servers' clock is ahead of time.Now
}

func newKit(t *testing.T, change func(*Options)) *kit {
	t.Helper()
	return newKitOf(t, func(*admin.Options) {}, change)
}

// newKitOf is newKit with other use cases.
func newKitOf(t *testing.T, changeUse func(*admin.Options), change func(*Options)) *kit {
	t.Helper()
	k := &kit{t: t, log: new(logBuffer), limiter: &limiter{outcome: key.CheckValid}, database: filepath.Join(t.TempDir(), "test.db")}
	lines := telemetry.NewWriter(k.log)
	t.Cleanup(func() { lines.Close() })
	k.flush = lines.Flush
	log := telemetry.NewLogger(lines, telemetry.JSON, slog.LevelDebug)
	now := func() time.Time { return time.Now().Add(time.Duration(k.ahead.Load())) }
	var err error
	k.store, err = sqlite.Open(t.Context(), sqlite.Options{Path: k.database, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.store.Close() })
	k.checker = verify.New(verify.Options{Tokens: k.store, Usage: usage.NewRecorder(k.store, log), Now: now,
		CacheBytes: 1 << 20, NegativeCacheBytes: 1 << 20, Limiter: k.limiter})
	use := admin.Options{Store: k.store, Invalidator: k.checker, Now: now, TokenPrefix: "ak", Log: log,
		Passwords: password.NewHasher(2), SessionIdle: time.Hour, SessionLifetime: 24 * time.Hour}
	changeUse(&use)
	k.admin = admin.New(use)
	guard, err := browser.NewGuard("https://keys.example")
	if err != nil {
		t.Fatal(err)
	}
	k.first, err = k.admin.Initialise(t.Context(), "first@example.com", "Example Ltd")
	if err != nil {
		t.Fatal(err)
	}
	k.token = k.first.Token.Reveal()
	o := Options{Admin: k.admin, Checker: k.checker, Log: log, RequestIDs: telemetry.NewRequestIDs(),
		Requests: telemetry.NewRequestLog(lines, telemetry.JSON, slog.LevelDebug), Now: now, LogChecks: true, Ready: k.store.Ready,
		Guard: guard, GitHub: unsigned{},
		SignInURL: func(link secret.Secret) string { return "https://keys.example/sign-in/" + link.Reveal() },
		Gateway:   gateway.New(k.checker, nil),
		OpenAPI:   text("{}"), Docs: text("<p>"), Metrics: telemetry.NewMetrics(telemetry.Build{})}
	if change != nil {
		change(&o)
	}
	k.options = o
	k.management = httptest.NewServer(NewManagement(o))
	t.Cleanup(k.management.Close)
	k.service = httptest.NewServer(NewVerification(o))
	t.Cleanup(k.service.Close)
	return k
}

// unsigned finds that nothing was signed by GitHub.
type unsigned struct{}

func (unsigned) Verify(context.Context, string, string, []byte) error {
	return &key.Error{Code: key.Forbidden, Detail: "not signed"}
}

// text is a page that is always the same.
func text(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })
}

// logBuffer holds log lines; servers write them at the same time.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// reply is an answer that was read to its end.
type reply struct {
	t      testing.TB
	status int
	header http.Header
	body   string
}

// call sends a request to the management API with the first key. Headers are "Name: value", and go on top of or in
// place of ("Name:" sends none) the usual ones.
func (k *kit) call(method, path, body string, headers ...string) reply {
	k.t.Helper()
	return k.send(k.management.URL, method, path, body, append([]string{"Authorization: Bearer " + k.token}, headers...))
}

// ask sends a request to the verification listener.
func (k *kit) ask(method, path, body string, headers ...string) reply {
	k.t.Helper()
	return k.send(k.service.URL, method, path, body, headers)
}

func (k *kit) send(base, method, path, body string, headers []string) reply {
	k.t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, base+path, content)
	if err != nil {
		k.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, text, _ := strings.Cut(h, ":")
		if text = strings.TrimSpace(text); text == "" {
			req.Header.Del(name)
		} else {
			req.Header.Set(name, text)
		}
	}
	return roundTrip(k.t, req)
}

func roundTrip(t *testing.T, req *http.Request) reply {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{t, resp.StatusCode, resp.Header, string(b)}
}

// read decodes the answer into v.
func (r reply) read(v any) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.body), v); err != nil {
		r.t.Fatalf("%v: %s", err, r.body)
	}
}

// problem returns the problem document that the answer must be, with this status.
func (r reply) problem(code api.Code) api.Error {
	r.t.Helper()
	var p api.Error
	if r.status != code.Status() || r.header.Get("Content-Type") != "application/problem+json" {
		r.t.Fatalf("answer %d %s %s, want %s", r.status, r.header.Get("Content-Type"), r.body, code)
	}
	r.read(&p)
	if p.Code != code || p.Status != r.status || p.Title != http.StatusText(r.status) || p.Type != "about:blank" ||
		p.Detail == "" || p.RequestID == "" || p.RequestID != r.header.Get("X-Request-Id") {
		r.t.Errorf("problem %+v with header X-Request-Id %q, want %s", p, r.header.Get("X-Request-Id"), code)
	}
	return p
}

// ok fails the test unless the answer has this status.
func (r reply) ok(status int) reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("answer %d %s, want %d", r.status, r.body, status)
	}
	return r
}

// in returns the kit for a subtest.
func (k *kit) in(t *testing.T) *kit {
	sub := &kit{management: k.management, service: k.service, token: k.token, first: k.first, store: k.store, admin: k.admin,
		database: k.database, log: k.log, flush: k.flush}
	sub.t = t
	return sub
}
