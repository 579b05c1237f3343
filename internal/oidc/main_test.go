package oidc

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/apikeyd/apikeyd/internal/oidc/oidctest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const redirectURL = "http://127.0.0.1:8080/sign-in/oidc/callback"

// clock is the real time, moved.
type clock struct{ moved atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.moved.Load())) }
func (c *clock) advance(d time.Duration) { c.moved.Add(int64(d)) }

// log is a log in memory.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *log) has(words string) bool { return strings.Contains(l.String(), words) }

// rig is a real provider and us beside it.
type rig struct {
	real  *oidctest.Provider
	p     *Provider
	clock *clock
	log   *log
}

// start starts a provider with the user alice. change may be nil.
func start(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	r := &rig{real: oidctest.Start(t), clock: new(clock), log: new(log)}
	r.real.AddUser("alice", "alice@example.com", true)
	r.real.Allow(redirectURL)
	r.p = r.open(t, change)
	return r
}

// open opens the provider anew: nothing is known of it.
func (r *rig) open(t testing.TB, change func(*Options)) *Provider {
	t.Helper()
	o := Options{
		Issuer:       r.real.Issuer(),
		ClientID:     oidctest.ClientID,
		ClientSecret: func() string { return oidctest.ClientSecret },
		RedirectURL:  redirectURL,
		Now:          r.clock.now,
		Log:          slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&o)
	}
	return open(t, o)
}

func open(t testing.TB, o Options) *Provider {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// claims are those of a good token for alice that may be an ID token or an access token.
func (r *rig) claims(change map[string]any) map[string]any {
	now := r.clock.now().Unix()
	c := map[string]any{
		"iss": r.real.Issuer(), "sub": "alice", "aud": oidctest.ClientID,
		"exp": now + 3600, "iat": now, "nbf": now,
		"email": "alice@example.com", "email_verified": true,
	}
	for name, value := range change {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
	return c
}

var noRedirects = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
