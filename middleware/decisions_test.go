package middleware_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/internal/gateway/gatewaytest"
	"github.com/apikeyd/apikeyd/internal/httpapi"
	"github.com/apikeyd/apikeyd/internal/subscribe"
	"github.com/apikeyd/apikeyd/internal/telemetry"
	"github.com/apikeyd/apikeyd/middleware"
)

// decider is a real verification listener over the keys of the decision table, and a client of it.
func decider(t *testing.T, w *gatewaytest.World) *client.Verifier {
	t.Helper()
	hub, err := subscribe.New(subscribe.Options{Cache: w.Checker, Tokens: w.Checker, Lease: subscribe.MaxLease, Now: time.Now,
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	lines := telemetry.NewWriter(io.Discard)
	s := httptest.NewServer(httpapi.NewVerification(httpapi.Options{Checker: w.Checker, Gateway: w.Gateway, Client: w.Client, Subscriptions: hub,
		Log: slog.New(slog.DiscardHandler), RequestIDs: telemetry.NewRequestIDs(), Metrics: telemetry.NewMetrics(telemetry.Build{}),
		Requests: telemetry.NewRequestLog(lines, telemetry.JSON, slog.LevelError)}))
	t.Cleanup(func() {
		hub.Close()
		s.Close()
		lines.Close()
	})
	keys, err := client.NewVerifier(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(keys.CloseIdleConnections)
	return keys
}

// The decisions are those of every other way to ask, where no rule has a say: by asking each time, and from memory, when a key is seen
// for the first time and when it is known.
func TestDecidesAsAllDo(t *testing.T) {
	w := gatewaytest.New(t)
	keys := decider(t, w)
	cache := middleware.NewCache(keys, middleware.CacheOptions{})
	defer cache.Close()
	for deadline := time.Now().Add(30 * time.Second); !cache.Leased(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the cache has no lease")
		}
	}
	for _, way := range []struct {
		name    string
		checker middleware.Checker
	}{{"asked", keys}, {"first", cache}, {"known", cache}} {
		for _, c := range gatewaytest.Cases() {
			if path, _, _ := strings.Cut(c.Target, "?"); path != "/x" {
				continue // about rules and paths, which are the router's here
			}
			t.Run(way.name+"/"+c.Name, func(t *testing.T) { decides(t, w, way.checker, &c) })
		}
	}
}

func decides(t *testing.T, w *gatewaytest.World, checker middleware.Checker, c *gatewaytest.Case) {
	r := httptest.NewRequest(c.Method, c.Target, nil)
	r.RemoteAddr = gatewaytest.Proxy + ":4711"
	for name, text := range map[string]string{"X-API-Key": w.Sent(c.APIKey), "X-Forwarded-For": c.ForwardedFor} {
		if text != "" {
			r.Header.Set(name, text)
		}
	}
	if c.Bearer != "" {
		r.Header.Set("Authorization", "Bearer "+w.Sent(c.Bearer))
	}
	var key api.Verification
	answer := httptest.NewRecorder()
	middleware.Require(checker, middleware.TrustedProxies(netip.MustParsePrefix(gatewaytest.Proxy+"/32")))(
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { key, _ = middleware.FromContext(r.Context()) })).ServeHTTP(answer, r)
	if answer.Code != c.Status || answer.Header().Get("WWW-Authenticate") != c.Challenge || answer.Header().Get("RateLimit") != c.State ||
		answer.Header().Get("RateLimit-Policy") != c.Policy {
		t.Errorf("%d %q", answer.Code, answer.Header())
	}
	if (answer.Header().Get("Retry-After") != "") != (c.Retry != "") {
		t.Errorf("Retry-After: %q", answer.Header().Get("Retry-After"))
	}
	if want := c.Identity[0]; c.Status == http.StatusOK && strconv.FormatInt(key.KeyID, 10) != want {
		t.Errorf("the handler is told of key %d, want %s", key.KeyID, want)
	}
	if c.Status != http.StatusOK && key.KeyID != 0 {
		t.Error("the handler was reached")
	}
}
