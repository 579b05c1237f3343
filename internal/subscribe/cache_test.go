package subscribe_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/token"
	"github.com/apikeyd/apikeyd/middleware"
)

// newCache returns a cache that has a lease.
func newCache(t testing.TB, keys *client.Verifier, o middleware.CacheOptions) *middleware.Cache {
	t.Helper()
	c := middleware.NewCache(keys, o)
	t.Cleanup(c.Close)
	waitFor(t, "a lease", c.Leased)
	return c
}

// waitFor waits until something is so.
func waitFor(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("there is never %s", what)
		}
	}
}

func createKey(t testing.TB, s *apptest.Server, change func(*api.NewKey)) api.CreatedKey {
	t.Helper()
	n := api.NewKey{KeyName: "k", KeyScope: []api.Scope{api.ScopeRead, api.ScopeCreate}, OrganizationID: s.First.OrganizationID}
	if change != nil {
		change(&n)
	}
	k, err := s.Client().CreateKey(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// passes has a key end, and returns then. On a machine that is too busy for the end to be in the future still, a later one is tried.
func passes(t testing.TB, s *apptest.Server, keyID int64) {
	t.Helper()
	for lasts := 200 * time.Millisecond; ; lasts *= 2 {
		end := api.Time{Time: time.Now().Add(lasts)}
		_, err := s.Client().UpdateKey(t.Context(), keyID, api.KeyPatch{ExpiresAt: api.Value(end)})
		if err == nil {
			time.Sleep(time.Until(end.Time))
			return
		}
		if !errors.Is(err, api.ErrInvalid) || lasts > time.Minute {
			t.Fatal(err)
		}
	}
}

// The cache says of every key what apikeyd says, the first time and later.
func TestCacheAnswersAsApikeyd(t *testing.T) {
	s := apptest.Start(t, nil)
	v := s.Verifier()
	c := newCache(t, v, middleware.CacheOptions{})
	soon, off := api.Time{Time: time.Now().Add(time.Hour)}, false
	passing := createKey(t, s, nil)
	rotated := createKey(t, s, nil)
	if _, err := s.Client().RotateKey(t.Context(), rotated.KeyID, time.Hour); err != nil {
		t.Fatal(err)
	}
	tokens := []string{
		createKey(t, s, nil).Token, passing.Token, rotated.Token, token.New("ak").Reveal(), "nonsense", "",
		createKey(t, s, func(n *api.NewKey) { n.ExpiresAt, n.Metadata = &soon, []byte(`{"plan":"<gold> & \u00e9"}`) }).Token,
		createKey(t, s, func(n *api.NewKey) { n.Enabled, n.KeyName = &off, "off “é”" }).Token,
	}
	passes(t, s, passing.KeyID)
	for _, text := range tokens {
		for _, scope := range []api.Scope{"", api.ScopeRead, api.ScopeDelete} {
			for _, organization := range []int64{0, s.First.OrganizationID, s.First.OrganizationID + 1} {
				q := api.VerifyRequest{Key: text, Scope: scope, OrganizationID: organization, IP: "203.0.113.9"}
				want, err := v.Verify(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					got, err := c.Verify(t.Context(), q)
					if diff := cmp.Diff(want, got); err != nil || diff != "" {
						t.Errorf("%+v: %v, %s", q, err, diff)
					}
				}
			}
		}
	}
	if _, err := c.Verify(t.Context(), api.VerifyRequest{Key: tokens[0], Scope: "WRITE"}); err == nil {
		t.Error("a scope that is none was answered")
	}
}

// A key that is in use all the time is dead for every request that begins after its delete was answered.
func TestADeadKeyIsDeadInTheProcess(t *testing.T) {
	s := apptest.Start(t, nil)
	c := newCache(t, s.Verifier(), middleware.CacheOptions{})
	h := middleware.Require(c)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	const readers, rounds = 4, 12
	var using atomic.Pointer[string]
	var dead sync.Map // tokens whose delete was answered
	var allowed, wrong atomic.Int64
	var stop atomic.Bool
	var group sync.WaitGroup
	read := func() {
		text := *using.Load()
		_, over := dead.Load(text) // before the request begins
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/accounts/7", nil)
		r.Header.Set("X-API-Key", text)
		h.ServeHTTP(w, r)
		switch {
		case w.Code == 200 && over:
			wrong.Add(1)
		case w.Code == 200:
			allowed.Add(1)
		case w.Code == 503:
			t.Error("a key could not be checked")
		}
	}
	key := createKey(t, s, nil)
	inUse := key.Token
	using.Store(&inUse)
	for range readers {
		group.Go(func() {
			for n := 0; !stop.Load(); n++ {
				if n%20 == 0 { // the server needs processors, too
					time.Sleep(100 * time.Microsecond)
				}
				read()
			}
		})
	}
	for range rounds {
		before := allowed.Load()
		waitFor(t, "a request that is allowed", func() bool { return allowed.Load() > before+readers })
		if err := s.Client().DeleteKey(t.Context(), key.KeyID); err != nil {
			t.Fatal(err)
		}
		dead.Store(key.Token, true)
		key = createKey(t, s, nil) // meanwhile the dead one is tried
		next := key.Token
		using.Store(&next)
	}
	stop.Store(true)
	group.Wait()
	if wrong.Load() > 0 {
		t.Errorf("%d requests were allowed with a dead key", wrong.Load())
	}
}

// Uses that are decided in the process are noted like all others.
func TestUsesAreTold(t *testing.T) {
	options := &apptest.Options{}
	path := ""
	options.Config = func(c *config.Config) {
		if path != "" {
			c.Database.Path = path
		}
		path = c.Database.Path
	}
	s := apptest.Start(t, options)
	used, refused := createKey(t, s, nil), createKey(t, s, nil)
	c := newCache(t, s.Verifier(), middleware.CacheOptions{})
	for key, scope := range map[string]api.Scope{used.Token: api.ScopeRead, refused.Token: api.ScopeDelete} {
		if _, err := c.Verify(t.Context(), api.VerifyRequest{Key: key, Scope: scope}); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	first := s.First.Token.Reveal()
	s.Stop() // which writes what was noted
	s = apptest.Start(t, options)
	for id, want := range map[int64]bool{used.KeyID: true, refused.KeyID: false} {
		k, err := s.ClientWith(first).GetKey(t.Context(), id)
		if err != nil || (k.LastUsedAt != nil) != want {
			t.Errorf("key %d: %v, %v", id, k.LastUsedAt, err)
		}
	}
}

// A cache without a subscription, be it that the server knows of none, asks each time.
func TestWithoutASubscription(t *testing.T) {
	s := apptest.Start(t, nil)
	key := createKey(t, s, nil)
	refusing, err := client.NewVerifier(s.VerificationURL, client.WithHTTPClient(&http.Client{Transport: noSubscriptions{}}))
	if err != nil {
		t.Fatal(err)
	}
	var log apptest.Buffer
	c := middleware.NewCache(refusing, middleware.CacheOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
	defer c.Close()
	waitFor(t, "a line in the log", func() bool { return strings.Contains(log.String(), "subscription") })
	for range 2 {
		if a, err := c.Verify(t.Context(), api.VerifyRequest{Key: key.Token}); err != nil || !a.Valid {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if c.Leased() || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("leased: %t, log: %s", c.Leased(), log.String())
	}
	if err := s.Client().DeleteKey(t.Context(), key.KeyID); err != nil {
		t.Fatal(err)
	}
	if a, err := c.Verify(t.Context(), api.VerifyRequest{Key: key.Token}); err != nil || a.Valid {
		t.Errorf("after the delete: %+v, %v", a, err)
	}
}

// noSubscriptions is a way to a server that knows of no subscriptions.
type noSubscriptions struct{}

func (noSubscriptions) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/v1/subscribe" {
		r.URL.Path = "/v1/nothing"
	}
	return http.DefaultTransport.RoundTrip(r)
}

// The server ends subscriptions as soon as it stops, and a cache finds the next one.
func TestTheServerStops(t *testing.T) {
	s := apptest.Start(t, nil)
	c := newCache(t, s.Verifier(), middleware.CacheOptions{})
	began := time.Now()
	s.Stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if c.Leased() {
		t.Error("the cache has a lease of a server that has stopped")
	}
	if _, err := c.Verify(t.Context(), api.VerifyRequest{Key: token.New("ak").Reveal()}); err == nil {
		t.Error("a key was checked by nobody")
	}
}

func TestClosedCache(t *testing.T) {
	s := apptest.Start(t, nil)
	key := createKey(t, s, nil)
	c := newCache(t, s.Verifier(), middleware.CacheOptions{})
	c.Close()
	c.Close()
	if a, err := c.Verify(t.Context(), api.VerifyRequest{Key: key.Token}); err != nil || !a.Valid || c.Leased() {
		t.Errorf("%+v, %v, leased: %t", a, err, c.Leased())
	}
	if err := s.Client().DeleteKey(t.Context(), key.KeyID); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(s.VerificationURL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(text), "\napikeyd_subscriber_expiries_total 0\n") {
		t.Errorf("a delete waits for a cache that has left: %v\n%s", err, text)
	}
}
