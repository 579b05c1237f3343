package telemetry

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// attrs is what slog is told about a request: what the hand-made line must be the same as.
func (r *Request) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("listener", r.Listener), slog.String("method", r.Method), slog.String("path", r.Path)}
	if r.Route != "" {
		attrs = append(attrs, slog.String("route", r.Route))
	}
	attrs = append(attrs, slog.Int("status", r.Status), slog.Int64("duration_us", r.Duration.Microseconds()),
		slog.Int64("bytes", r.Bytes), slog.String("request_id", r.RequestID.String()))
	if r.Remote != "" {
		attrs = append(attrs, slog.String("remote", r.Remote))
	}
	if r.KeyID != 0 {
		attrs = append(attrs, slog.Int64("key_id", r.KeyID))
	}
	if r.Code != "" {
		attrs = append(attrs, slog.String("code", r.Code))
	}
	return attrs
}

// bySlog returns the line that a logger of NewLogger's writes for r.
func bySlog(t testing.TB, r *Request, format Format) string {
	t.Helper()
	var out bytes.Buffer
	record := slog.NewRecord(r.Time, r.Level, "request", 0)
	record.AddAttrs(r.attrs()...)
	if err := NewLogger(&out, format, slog.Level(math.MinInt)).Handler().Handle(context.Background(), record); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// byHand returns the line that a RequestLog writes for r.
func byHand(t testing.TB, r *Request, format Format) string {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out)
	NewRequestLog(w, format, slog.Level(math.MinInt)).Log(r)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func usual() Request {
	return Request{
		Time: time.Date(2026, 11, 22, 18, 54, 3, 120_456_789, time.FixedZone("", 3600)), Level: slog.LevelInfo,
		Target: &Target{Listener: "verify", Method: "POST", Path: "/v1/verify", Route: "POST /v1/verify"},
		Status: 200, Duration: 85*time.Microsecond + 999, Bytes: 214, RequestID: NewRequestIDs().Next(), Remote: "127.0.0.1:53122", KeyID: 17, Code: "VALID",
	}
}

func TestRequestLineIsSlogs(t *testing.T) {
	var ascii, latin strings.Builder
	for c := range 128 {
		ascii.WriteByte(byte(c))
	}
	for c := 128; c < 0x3000; c++ {
		latin.WriteRune(rune(c))
	}
	requests := map[string]func(*Request){
		"usual":              func(*Request) {},
		"nothing is known":   func(r *Request) { *r = Request{Target: new(Target), Time: r.Time} },
		"whole second":       func(r *Request) { r.Time = r.Time.Truncate(time.Second) },
		"just before":        func(r *Request) { r.Time = r.Time.Truncate(time.Second).Add(-1) },
		"trailing zeros":     func(r *Request) { r.Time = r.Time.Truncate(time.Millisecond) },
		"year 1":             func(r *Request) { r.Time = time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC) },
		"level between":      func(r *Request) { r.Level = slog.LevelWarn + 1 },
		"error":              func(r *Request) { r.Level, r.Status = slog.LevelError, 500 },
		"negative":           func(r *Request) { r.Duration, r.Bytes, r.Status, r.KeyID = -time.Hour, -1, -1, -1 },
		"large":              func(r *Request) { r.Duration, r.Bytes, r.KeyID = math.MaxInt64, math.MaxInt64, math.MaxInt64 },
		"quotes":             func(r *Request) { r.Path = `/"a"/'b'/\c` },
		"backslash alone":    func(r *Request) { r.Path = `/a\b` },
		"space and equals":   func(r *Request) { r.Path, r.Code = "/a b", "x=y" },
		"a forged line":      func(r *Request) { r.Path = "/\n{\"level\":\"ERROR\"}\r\n" },
		"every ASCII byte":   func(r *Request) { r.Path, r.Method, r.Remote = ascii.String(), "G\x00ET", "\x7f" },
		"every rune so far":  func(r *Request) { r.Path = latin.String() },
		"invalid UTF-8":      func(r *Request) { r.Path = "/\xff\xc0\xaf\xed\xa0\x80/\xf0\x9f\x98" },
		"the real U+FFFD":    func(r *Request) { r.Path = "/\ufffd" },
		"emoji":              func(r *Request) { r.Path = "/😀" },
		"line separators":    func(r *Request) { r.Path = "/\u2028\u2029\u0085" },
		"HTML":               func(r *Request) { r.Path = "/<script>&amp;" },
		"direction override": func(r *Request) { r.Path = "/\u202egnp.exe" },
		"long":               func(r *Request) { r.Path = strings.Repeat("/long\n", 5000) },
	}
	for name, change := range requests {
		r := usual()
		change(&r)
		for _, format := range []Format{JSON, Text} {
			want := bySlog(t, &r, format)
			if diff := cmp.Diff(want, byHand(t, &r, format)); diff != "" {
				t.Errorf("%s, %s: %s", name, format, diff)
			}
			prepared := r
			prepared.Target = NewTarget(r.Listener, r.Method, r.Path, r.Route)
			if diff := cmp.Diff(want, byHand(t, &prepared, format)); diff != "" {
				t.Errorf("%s, %s, prepared: %s", name, format, diff)
			}
		}
	}
}

// TestIsPlain puts each byte at each place of strings that are and are not a multiple of eight long.
func TestIsPlain(t *testing.T) {
	for _, length := range []int{1, 7, 8, 9, 16, 23} {
		for place := range length {
			for c := range 256 {
				s := bytes.Repeat([]byte{'~'}, length)
				s[place] = byte(c)
				want := c >= ' ' && c <= '~' && c != '"' && c != '\\'
				if got := isPlain(string(s)); got != want {
					t.Fatalf("isPlain(%q) = %v", s, got)
				}
			}
		}
	}
	if !isPlain("") {
		t.Error("nothing is not plain")
	}
}

func FuzzRequestLine(f *testing.F) {
	f.Add("/v1/verify", "GET", "VALID", int64(1), int64(0), uint8(4))
	f.Add("/\xff\"\\\n\u2028", "", "", int64(-1), int64(1e9), uint8(0))
	f.Fuzz(func(t *testing.T, path, method, code string, number, nanoseconds int64, level uint8) {
		r := usual()
		r.Path, r.Method, r.Code, r.Listener, r.Route, r.Remote = path, method, code, method, code, path
		r.Status, r.Bytes, r.KeyID, r.Duration = int(number), number, number, time.Duration(number)
		r.Time, r.Level = time.Unix(0, nanoseconds), slog.Level(level)-4
		for _, format := range []Format{JSON, Text} {
			if slogs, ours := bySlog(t, &r, format), byHand(t, &r, format); slogs != ours {
				t.Fatalf("%s: %q, slog writes %q", format, ours, slogs)
			}
		}
	})
}

func TestRequestLogKeepsToItsLevel(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out)
	log := NewRequestLog(w, Text, slog.LevelWarn)
	r := usual()
	log.Log(&r)
	if log.Enabled(slog.LevelInfo) || !log.Enabled(slog.LevelWarn) {
		t.Error("Enabled does not go by the level")
	}
	r.Level = slog.LevelError
	log.Log(&r)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=ERROR") {
		t.Errorf("log = %s", got)
	}
	log.Log(&r) // after Close: no panic, and nowhere to go
}

func TestRequestLogAllocatesNothing(t *testing.T) {
	w := NewWriter(io.Discard)
	defer w.Close()
	r := usual()
	r.Path = "/v1/verify/" + strings.Repeat("ü\n", 40)
	for _, format := range []Format{JSON, Text} {
		log := NewRequestLog(w, format, slog.LevelInfo)
		if n := testing.AllocsPerRun(2000, func() { log.Log(&r) }); n != 0 {
			t.Errorf("%s: %v allocations", format, n)
		}
	}
}

func BenchmarkRequestLine(b *testing.B) {
	r := usual()
	for _, format := range []Format{JSON, Text} {
		b.Run(string(format)+"/slog", func(b *testing.B) {
			w := NewWriter(io.Discard)
			defer w.Close()
			log := NewLogger(w, format, slog.LevelInfo)
			b.ReportAllocs()
			for b.Loop() {
				log.LogAttrs(context.Background(), slog.LevelInfo, "request", slog.String("listener", r.Listener),
					slog.String("method", r.Method), slog.String("path", r.Path), slog.String("route", r.Route),
					slog.Int("status", r.Status), slog.Int64("duration_us", r.Duration.Microseconds()), slog.Int64("bytes", r.Bytes),
					slog.String("request_id", r.RequestID.String()), slog.String("remote", r.Remote), slog.Int64("key_id", r.KeyID),
					slog.String("code", r.Code))
			}
		})
		b.Run(string(format)+"/hand", func(b *testing.B) {
			w := NewWriter(io.Discard)
			defer w.Close()
			log := NewRequestLog(w, format, slog.LevelInfo)
			r := r
			r.Target = NewTarget(r.Listener, r.Method, r.Path, r.Route)
			b.ReportAllocs()
			for b.Loop() {
				r.Time = r.Time.Add(20 * time.Microsecond) // 50,000 a second
				log.Log(&r)
			}
		})
	}
}

func BenchmarkRequestLineParallel(b *testing.B) {
	w := NewWriter(io.Discard)
	defer w.Close()
	log := NewRequestLog(w, JSON, slog.LevelInfo)
	b.RunParallel(func(pb *testing.PB) {
		r := usual()
		r.Target = NewTarget(r.Listener, r.Method, r.Path, r.Route)
		for pb.Next() {
			log.Log(&r)
		}
	})
}
