package httpapi

import (
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/gateway"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/telemetry"
	"github.com/apikeyd/apikeyd/internal/token"
	"github.com/apikeyd/apikeyd/internal/usage"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// forwardAuth returns the verification listener over a cached key, and the request that a proxy asks with.
func forwardAuth() (http.Handler, *request, func() error) {
	secret := token.New("ak")
	records := &oneRecord{key.Record{KeyID: 17, OrganizationID: 432, UserID: 3, Name: "Backend API Key", Scopes: key.ScopesOf(key.Read, key.Create), Enabled: true}}
	lines := telemetry.NewWriter(io.Discard)
	log := telemetry.NewLogger(lines, telemetry.JSON, slog.LevelInfo)
	checker := verify.New(verify.Options{Tokens: records, Usage: usage.NewRecorder(records, log), Now: time.Now,
		CacheBytes: 1 << 20, NegativeCacheBytes: 1 << 20})
	h := NewVerification(Options{
		Checker:    checker,
		Gateway:    gateway.New(checker, nil),
		RequestIDs: telemetry.NewRequestIDs(),
		Requests:   telemetry.NewRequestLog(lines, telemetry.JSON, slog.LevelInfo),
		Metrics:    telemetry.NewMetrics(telemetry.Build{}),
		Log:        log,
		LogChecks:  true,
	})
	r := newRequest("GET", authorizePath, nil, http.Header{
		"Authorization": {"Bearer " + secret.Reveal()}, "X-Forwarded-Method": {"GET"}, "X-Forwarded-Uri": {"/accounts/7?x=y"}})
	r.RequestURI = authorizePath
	return h, r, lines.Close
}

func BenchmarkAuthorize(b *testing.B) {
	h, r, closeLog := forwardAuth()
	defer closeLog()
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		h.ServeHTTP(w, &r.Request)
	}
}

// A request that is allowed allocates the values of its headers, the text that they share, and the request id.
func TestAllocationsOfAuthorize(t *testing.T) {
	h, r, closeLog := forwardAuth()
	defer closeLog()
	w := &discard{header: http.Header{}}
	const most = 3
	if n := testing.AllocsPerRun(1000, func() {
		clear(w.header)
		h.ServeHTTP(w, &r.Request)
	}); n > most {
		t.Errorf("%v allocations, at most %d are fine", n, most)
	}
}
