package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/telemetry"
	"github.com/apikeyd/apikeyd/internal/token"
	"github.com/apikeyd/apikeyd/internal/usage"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// oneRecord is a store that knows every token.
type oneRecord struct{ key.Record }

func (r *oneRecord) RecordByDigest(context.Context, key.Digest) (*key.Record, error) {
	record := r.Record
	return &record, nil
}

func (r *oneRecord) Update(context.Context, func(store.Tx) error) ([]store.Change, error) {
	return nil, nil
}

// discard is a http.ResponseWriter without a connection.
type discard struct{ header http.Header }

func (w *discard) Header() http.Header         { return w.header }
func (w *discard) WriteHeader(int)             {}
func (w *discard) Write(b []byte) (int, error) { return len(b), nil }

// request can be sent again and again.
type request struct {
	http.Request
	body bytes.Reader
	text []byte
}

func (r *request) Read(p []byte) (int, error) { return r.body.Read(p) }
func (r *request) Close() error               { return nil }

func newRequest(method, path string, body []byte, headers http.Header) *request {
	req, err := http.NewRequest(method, path, nil)
	if err != nil {
		panic(err)
	}
	r := &request{Request: *req, text: body}
	r.Header = headers
	r.RemoteAddr = "127.0.0.1:53122"
	r.ContentLength = int64(len(body))
	r.Body = r
	return r
}

// verification returns the verification listener over a cached key, and the request that checks it.
func verification(w io.Writer) (http.Handler, *request, func() error) { return verificationOf(w, nil) }

// verificationOf is verification of a key with restrictions, within which the request is.
func verificationOf(w io.Writer, r *key.Restrictions) (http.Handler, *request, func() error) {
	secret := token.New("ak")
	records := &oneRecord{key.Record{KeyID: 17, OrganizationID: 432, UserID: 3, Name: "Backend API Key", Scopes: key.ScopesOf(key.Read, key.Create), Enabled: true, Restrictions: r}}
	lines := telemetry.NewWriter(w)
	log := telemetry.NewLogger(lines, telemetry.JSON, slog.LevelInfo)
	h := NewVerification(Options{
		Checker: verify.New(verify.Options{Tokens: records, Usage: usage.NewRecorder(records, log), Now: time.Now,
			Limiter:    &limiter{outcome: key.CheckValid, allowance: key.Allowance{Name: "default", Requests: 100, Remaining: 99, Reset: time.Second}},
			CacheBytes: 1 << 20, NegativeCacheBytes: 1 << 20}),
		RequestIDs: telemetry.NewRequestIDs(),
		Requests:   telemetry.NewRequestLog(lines, telemetry.JSON, slog.LevelInfo),
		Metrics:    telemetry.NewMetrics(telemetry.Build{}),
		Log:        log,
		LogChecks:  true,
	})
	body := fmt.Appendf(nil, `{"key":%q,"scope":"READ","organization_id":432,"ip":"203.0.113.9"}`, secret.Reveal())
	return h, newRequest("POST", verifyPath, body, http.Header{"Content-Type": {"application/json"}}), lines.Close
}

func BenchmarkVerify(b *testing.B) {
	h, r, closeLog := verification(io.Discard)
	defer closeLog()
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		r.body.Reset(r.text)
		clear(w.header)
		h.ServeHTTP(w, &r.Request)
	}
}

func BenchmarkParseQuestion(b *testing.B) {
	_, r, closeLog := verification(io.Discard)
	defer closeLog()
	for b.Loop() {
		if _, _, ok := parseQuestion(r.text); !ok {
			b.Fatal("left to the strict decoder")
		}
	}
}

func BenchmarkDecodeQuestion(b *testing.B) {
	_, r, closeLog := verification(io.Discard)
	defer closeLog()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeQuestion(r.text); err != nil {
			b.Fatal(err)
		}
	}
}

// A check allocates the request id and nothing else.
func TestAllocationsOfACheck(t *testing.T) {
	for name, restrictions := range map[string]*key.Restrictions{
		"a key without restrictions": nil,
		"a key with all of them": {Limits: []key.Limit{{Name: "default", Requests: 100, Window: time.Minute}}, Quota: key.Quota{Requests: 1},
			AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("203.0.113.0/24")}},
	} {
		h, r, closeLog := verificationOf(io.Discard, restrictions)
		w := &discard{header: http.Header{}}
		const most = 2
		if n := testing.AllocsPerRun(1000, func() {
			r.body.Reset(r.text)
			clear(w.header)
			h.ServeHTTP(w, &r.Request)
		}); n > most {
			t.Errorf("%s: %v allocations, at most %d are fine", name, n, most)
		}
		closeLog()
	}
}
