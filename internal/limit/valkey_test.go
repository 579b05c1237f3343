package limit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/limit/valkeytest"
	"github.com/apikeyd/apikeyd/internal/store"
)

// words is a log that may be read while it is written.
type words struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// startLimiter starts a Limiter that counts in a server.
func startLimiter(t testing.TB, url string, closed bool) (*Limiter, *words) {
	t.Helper()
	log := new(words)
	logger := slog.New(slog.NewTextHandler(log, nil))
	v, err := NewValkey(url, "", logger)
	if err != nil {
		t.Fatal(err)
	}
	l := New(Options{Quotas: newLedger(), Valkey: v, Closed: closed, Now: time.Now, Log: logger})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { l.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done; v.Close() })
	return l, log
}

// startPatient starts one that waits for the server, however busy the machine is.
func startPatient(t testing.TB, url string) (*Limiter, *words) {
	t.Helper()
	l, log := startLimiter(t, url, true)
	l.valkey.timeout = patience
	until(t, "the server answers", l.valkey.Up)
	return l, log
}

// mustTake asks the server, which has all the time that a busy machine takes.
func (l *Limiter) mustTake(t testing.TB, keyID int64, limits []key.Limit) (bool, key.Allowance) {
	t.Helper()
	v := &Valkey{client: l.valkey.client, script: l.valkey.script, log: l.valkey.log, timeout: patience}
	a, ok, err := v.take(t.Context(), keyID, limits)
	if err != nil {
		t.Error(err)
	}
	return ok, a
}

func TestSeveralProcessesShareALimit(t *testing.T) {
	s := valkeytest.Start(t)
	l := limits(key.Limit{Name: "day", Requests: 1000, Window: 24 * time.Hour}, key.Limit{Name: "year", Requests: 7000, Window: 365 * 24 * time.Hour})
	var allowed, refused atomic.Int64
	var all sync.WaitGroup
	for range 3 {
		limiter, _ := startPatient(t, s.URL())
		for range 4 {
			all.Go(func() {
				for range 100 {
					if ok, _ := limiter.mustTake(t, 17, l); ok {
						allowed.Add(1)
					} else {
						refused.Add(1)
					}
				}
			})
		}
	}
	all.Wait()
	if allowed.Load() != 1000 || refused.Load() != 200 {
		t.Errorf("%d were allowed and %d refused, want 1000 and 200", allowed.Load(), refused.Load())
	}
	limiter, _ := startPatient(t, s.URL())
	ok, a := limiter.mustTake(t, 17, l)
	if ok || a.Name != "day" || a.Remaining != 0 || a.Retry <= 0 || a.Retry > 24*time.Hour/1000 || a.Reset <= 23*time.Hour || a.Reset > 24*time.Hour {
		t.Errorf("%v, %+v", ok, a)
	}
	if ttl, err := s.Ask("PTTL", "apikeyd:{17}:day"); err != nil || len(ttl) != len(":86399000") {
		t.Errorf("the server forgets it in %s ms (%v), want a day", ttl, err)
	}
}

// The script counts as Memory does: of the same limits as much remains, whatever their size.
func TestTheScriptIsLikeMemory(t *testing.T) {
	s := valkeytest.Start(t)
	limiter, _ := startPatient(t, s.URL())
	for id, l := range [][]key.Limit{
		limits(key.Limit{Name: "a", Requests: 3, Window: key.MaxWindow}),
		limits(key.Limit{Name: "a", Requests: 7, Window: key.MaxWindow}, key.Limit{Name: "b", Requests: 5, Window: key.MaxWindow - time.Second}),
		limits(key.Limit{Name: "a", Requests: key.MaxRequests, Window: key.MaxWindow}),
		limits(key.Limit{Name: "a", Requests: 1, Window: 24 * time.Hour}),
	} {
		m := NewMemory(begin)
		for i := range 10 {
			want, wantOK := m.take(1, l, begin)
			ok, a := limiter.mustTake(t, int64(id+1), l)
			const busy = 30 * time.Second
			if ok != wantOK || a.Name != want.Name || a.Requests != want.Requests || a.Remaining-want.Remaining > a.Requests/1_000_000 ||
				a.Remaining < want.Remaining || a.Reset > want.Reset+time.Microsecond || a.Reset < want.Reset-busy ||
				a.Retry > want.Retry+time.Microsecond || a.Retry < want.Retry-busy {
				t.Errorf("key %d, request %d: %v, %+v, want %v, %+v", id+1, i, ok, a, wantOK, want)
			}
		}
	}
}

func TestLimitsInTheServerChangeAtOnceAndLeaveNothing(t *testing.T) {
	s := valkeytest.Start(t)
	limiter, _ := startPatient(t, s.URL())
	hour := func(n int64) []key.Limit {
		return limits(key.Limit{Name: "default", Requests: n, Window: time.Hour})
	}
	for range 50 {
		limiter.mustTake(t, 1, hour(100))
	}
	if ok, a := limiter.mustTake(t, 1, hour(1000)); !ok || a.Remaining < 499 || a.Remaining > 510 {
		t.Errorf("half of ten times as many: %v, %+v", ok, a)
	}
	if ok, a := limiter.mustTake(t, 1, hour(7)); !ok || a.Remaining != 2 {
		t.Errorf("half of seven: %v, %+v", ok, a)
	}
	brief := limits(key.Limit{Name: "default", Requests: 2, Window: time.Second})
	if ok, a := limiter.mustTake(t, 1, brief); ok || a.Retry > 500*time.Millisecond || a.Reset > time.Second {
		t.Errorf("a window of a second: %v, %+v", ok, a)
	}
	// What was ahead by half an hour is ahead by no more than the window now, and nothing stays.
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if n, err := s.Ask("EXISTS", "apikeyd:{1}:default"); err == nil && n == ":0" {
			break
		} else if time.Since(began) > patience {
			t.Fatalf("it is still kept: %s, %v", n, err)
		}
	}
}

// What is kept lasts until the limit is whole again, and hardly longer.
func TestALevelIsKeptAsLongAsItCounts(t *testing.T) {
	s := valkeytest.Start(t)
	limiter, _ := startPatient(t, s.URL())
	life := func(keyID int64) time.Duration {
		t.Helper()
		answer, err := s.Ask("PTTL", fmt.Sprintf("apikeyd:{%d}:default", keyID))
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimPrefix(answer, ":"))
		if err != nil || n < 0 {
			t.Fatalf("PTTL: %s, %v", answer, err)
		}
		return time.Duration(n) * time.Millisecond
	}
	for id, l := range []key.Limit{perMinute(7), perMinute(1000), {Name: "default", Requests: 1_000_000, Window: time.Hour}} {
		for i := range 30 {
			before := time.Now()
			_, a := limiter.mustTake(t, int64(id), limits(l))
			const rounded = 50 * time.Millisecond
			left, took := life(int64(id)), time.Since(before)
			if left < a.Reset-took || left > a.Reset+l.Window/10+rounded {
				t.Errorf("%d in %v, request %d: whole again in %v, kept for %v", l.Requests, l.Window, i+1, a.Reset, left)
			}
		}
	}
	// Less is kept for less long.
	limiter.mustTake(t, 2, limits(key.Limit{Name: "default", Requests: 1_000_000, Window: 2 * time.Second}))
	if left := life(2); left > 3*time.Second {
		t.Errorf("of a window of two seconds: kept for %v", left)
	}
}

// A server that knows the script no longer is given it again.
func TestTheServerForgetsTheScript(t *testing.T) {
	s := valkeytest.Start(t)
	limiter, log := startPatient(t, s.URL())
	for range 3 {
		limiter.mustTake(t, 1, limits(perMinute(1000)))
		if _, err := s.Ask("SCRIPT", "FLUSH"); err != nil {
			t.Fatal(err)
		}
	}
	if text := log.String(); text != "" {
		t.Error(text)
	}
}

// patience is how long a busy machine may take for what takes no time.
const patience = 20 * time.Second

// until waits for something that the server's state brings about.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func TestTheServerIsAwayAndComesBack(t *testing.T) {
	for _, tt := range []struct {
		name     string
		away     func(*valkeytest.Server, testing.TB)
		back     func(*valkeytest.Server, testing.TB)
		remember bool
	}{
		{"killed", (*valkeytest.Server).Kill, (*valkeytest.Server).Run, false},
		{"frozen", (*valkeytest.Server).Freeze, (*valkeytest.Server).Thaw, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := valkeytest.Start(t)
			open, log := startLimiter(t, s.URL(), false)
			closed, _ := startLimiter(t, s.URL(), true)
			l := limits(key.Limit{Name: "default", Requests: 5, Window: key.MaxWindow})
			r := &key.Restrictions{Limits: l}
			for range 2 {
				open.mustTake(t, 1, l)
			}
			tt.away(s, t)
			until(t, "the server is found to be away", func() bool {
				_, _, err := closed.Take(t.Context(), 3, r, time.Now()) // what is sent now may be counted when it is back
				if err != nil && !errors.Is(err, store.ErrUnavailable) {
					t.Fatal(err)
				}
				_, _, _ = open.Take(t.Context(), 2, r, time.Now())
				return !closed.Stats().Up && !open.Stats().Up
			})
			const checks = 1000
			began, outcomes := time.Now(), map[key.Outcome]int{}
			for range checks {
				o, _, err := open.Take(t.Context(), 1, r, time.Now())
				if err != nil {
					t.Fatal(err)
				}
				outcomes[o]++
				if _, _, err := closed.Take(t.Context(), 1, r, time.Now()); !errors.Is(err, store.ErrUnavailable) {
					t.Fatal(err)
				}
			}
			if outcomes[key.CheckValid] != 5 || outcomes[key.CheckRateLimited] != checks-5 || open.Stats().Fallbacks < checks {
				t.Errorf("%v, %+v; want the limits of this process", outcomes, open.Stats())
			}
			if took := time.Since(began); took > checks*valkeyTimeout/10 { // to wait for it each time takes a hundred seconds
				t.Errorf("checks wait for a server that is away: %v for %d", took, checks)
			}
			tt.back(s, t)
			until(t, "the server is found to be back", func() bool { return open.Stats().Up && closed.Stats().Up })
			if ok, a := open.mustTake(t, 1, l); !ok || (a.Remaining == 4) == tt.remember {
				t.Errorf("%v, %+v", ok, a)
			}
			if text := log.String(); strings.Count(text, "away") != 1 || strings.Count(text, "back") != 1 {
				t.Errorf("the log: %s", text)
			}
		})
	}
}

// However many wait for a server that stands still for a moment, it is not away: only if the next ones wait in vain, too.
func TestWhoWaitTogetherFailOnce(t *testing.T) {
	v := &Valkey{log: slog.New(slog.DiscardHandler)}
	for before := range int32(valkeyFailures) {
		if !v.Up() {
			t.Errorf("away after %d failures", before)
		}
		for range 10 {
			v.failed(before, errValkeyAway)
		}
	}
	if v.Up() {
		t.Errorf("not away after %d failures", valkeyFailures)
	}
}

func TestAServerThatIsNotThereAtTheStart(t *testing.T) {
	s := valkeytest.Start(t)
	s.Kill(t)
	limiter, _ := startLimiter(t, s.URL(), false)
	if o, a, err := limiter.Take(t.Context(), 1, &key.Restrictions{Limits: limits(perMinute(10))}, time.Now()); o != key.CheckValid || a.Remaining != 9 || err != nil {
		t.Errorf("%v, %+v, %v", o, a, err)
	}
	s.Run(t)
	until(t, "the server is found", func() bool { return limiter.Stats().Up })
	limiter.mustTake(t, 1, limits(perMinute(10)))
}

func TestThePasswordIsShownToTheServerAlone(t *testing.T) {
	const password = "pass:word/with@signs"
	s := valkeytest.Start(t, "--requirepass", password)
	v, err := NewValkey(s.URL()+"/3", password, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	v.timeout = patience
	if _, ok, err := v.take(t.Context(), 1, limits(perMinute(10))); !ok || err != nil {
		t.Error(ok, err)
	}
	log := new(words)
	wrong, err := NewValkey("redis://user:hunter2@"+s.Address(), "", slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	if wrong.Up() || !strings.Contains(log.String(), "away") || strings.Contains(log.String(), "hunter2") {
		t.Errorf("up: %v; %s", wrong.Up(), log)
	}
	for _, url := range []string{"", "hunter2", "http://hunter2@host", "redis://hunter2@", "redis://:hunter2@host/x", "redis://:hunter2@host/-1", "redis://:hunter2@host:port"} {
		if v, err := NewValkey(url, "", slog.New(slog.DiscardHandler)); err == nil || v != nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A user of the server's who may do nothing but what docs/how-to/limit-requests.md says.
func TestAUserWithFewRights(t *testing.T) {
	s := valkeytest.Start(t)
	if answer, err := s.Ask("ACL", "SETUSER", "apikeyd", "on", ">hunter2", "~apikeyd:*", "+eval", "+evalsha", "+time", "+get", "+set", "+ping"); err != nil || answer != "+OK" {
		t.Fatal(answer, err)
	}
	limiter, _ := startPatient(t, "redis://apikeyd:hunter2@"+s.Address())
	limiter.mustTake(t, 1, limits(perMinute(10)))
	if _, a := limiter.mustTake(t, 1, limits(perMinute(10), key.Limit{Name: "hour", Requests: 100, Window: time.Hour})); a.Name != "default" || a.Remaining != 8 {
		t.Errorf("%+v", a)
	}
}

func TestOptionsOfTheServer(t *testing.T) {
	o, err := valkeyOptions("rediss://user:pass%40word@limits.example.com/7")
	if err != nil || o.InitAddress[0] != "limits.example.com:6379" || o.Username != "user" || o.Password != "pass@word" || o.SelectDB != 7 ||
		o.TLSConfig == nil || o.TLSConfig.ServerName != "limits.example.com" || o.TLSConfig.InsecureSkipVerify {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := valkeyOptions("redis://[::1]:6380"); err != nil || o.InitAddress[0] != "[::1]:6380" || o.TLSConfig != nil {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestWhoGoesAwayIsNoFaultOfTheServer(t *testing.T) {
	s := valkeytest.Start(t)
	limiter, _ := startPatient(t, s.URL())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		if _, _, err := limiter.Take(ctx, 1, &key.Restrictions{Limits: limits(perMinute(10))}, time.Now()); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if !limiter.Stats().Up {
		t.Error("the server is taken for away")
	}
}

// BenchmarkValkey is a check of a limited key, beside the mere round trips of the same client: of a script that does nothing, and of
// the script that counts.
func BenchmarkValkey(b *testing.B) {
	s := valkeytest.Start(b)
	limiter, _ := startPatient(b, s.URL())
	r := &key.Restrictions{Limits: limits(perMinute(1_000_000))}
	nothing := valkey.NewLuaScript("return 1")
	check := func() error {
		_, _, err := limiter.Take(b.Context(), 1, r, time.Now())
		return err
	}
	names, arguments := question(1, r.Limits)
	trip := func() error { return nothing.Exec(b.Context(), limiter.valkey.client, names, nil).Error() }
	count := func() error {
		return limiter.valkey.script.Exec(b.Context(), limiter.valkey.client, names, arguments).Error()
	}
	for _, clients := range []int{1, 64} {
		for _, tt := range []struct {
			name string
			run  func() error
		}{{"nothing", trip}, {"script", count}, {"check", check}} {
			b.Run(fmt.Sprintf("%s, %d at once", tt.name, clients), func(b *testing.B) {
				b.ReportAllocs()
				var all sync.WaitGroup
				var left atomic.Int64
				left.Store(int64(b.N))
				for range clients {
					all.Go(func() {
						for left.Add(-1) >= 0 {
							if err := tt.run(); err != nil {
								b.Error(err)
							}
						}
					})
				}
				all.Wait()
			})
		}
	}
}

// A request is counted with as little as the server can be asked for: this is what it is asked, and what it answers.
func TestTheQuestion(t *testing.T) {
	names, arguments := question(17, limits(key.Limit{Name: "default", Requests: 7, Window: time.Minute}, key.Limit{Name: "b", Requests: key.MaxRequests, Window: time.Second}))
	if got := fmt.Sprint(names); got != "[apikeyd:{17}:default apikeyd:{17}:b]" {
		t.Error(got)
	}
	want := []string{doubles(7, 60_000_000, 8_571_428, 4), doubles(key.MaxRequests, 1_000_000, 0, 1_000_000)}
	if !slices.Equal(arguments, want) {
		t.Errorf("%x, want %x", arguments, want)
	}
}

func doubles(numbers ...float64) string {
	var b []byte
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(n))
	}
	return string(b)
}

func TestAnswersOfTheScript(t *testing.T) {
	l := limits(key.Limit{Name: "a", Requests: 3, Window: time.Second}) // a request comes back in 333333 1/3 µs
	const now = 1_700_000_000_000_000
	for _, tt := range []struct {
		answer string
		want   key.Allowance
		ok     bool
	}{
		{doubles(1, now, now+333_333, 1, 3, 0), key.Allowance{Name: "a", Requests: 3, Remaining: 2, Reset: 333_334 * time.Microsecond}, true},
		{doubles(1, now, now+1_000_000, 0, 3, 0), key.Allowance{Name: "a", Requests: 3, Reset: time.Second}, true},
		{doubles(0, now, now+1_333_333, 1, 3, 0), key.Allowance{Name: "a", Requests: 3, Reset: time.Second, Retry: 333_334 * time.Microsecond}, false},
		{doubles(0, now, now+1_000_000, 1, 3, 0), key.Allowance{Name: "a", Requests: 3, Reset: 666_667 * time.Microsecond, Retry: time.Microsecond}, false},
	} {
		if a, ok, err := read(tt.answer, l); a != tt.want || ok != tt.ok || err != nil {
			t.Errorf("%x: %+v, %v, %v; want %+v, %v", tt.answer, a, ok, err, tt.want, tt.ok)
		}
	}
	huge, nan := math.Inf(1), math.NaN()
	for _, bad := range []string{
		"", "OK", doubles(1, now), doubles(1, now, now+333_333, 1, 3), doubles(1, now, now+333_333, 1, 3, 0, 0),
		doubles(2, now, now+333_333, 1, 3, 0), doubles(nan, now, now+333_333, 1, 3, 0), doubles(1, -1, 333_333, 1, 3, 0),
		doubles(1, nan, now, 0, 3, 0), doubles(1, now, nan, 0, 3, 0), doubles(1, now, huge, 0, 3, 0), doubles(1, now, -huge, 0, 3, 0),
		doubles(1, now, now+333_333, 3, 3, 0), doubles(1, now, now+333_333, -1, 3, 0), doubles(1, now, now+333_333, 0.5, 3, 0),
		doubles(1, now, now+333_332, 1, 3, 0),   // less than one request
		doubles(1, now, now+1_000_001, 0, 3, 0), // counted without room
		doubles(0, now, now+333_333, 1, 3, 0),   // refused with room
		doubles(0, now, now+1_333_334, 1, 3, 0), // from behind the window
		doubles(1, now, 1<<62, 1, 3, 0), doubles(0, 1<<52, 1<<52, 0, 3, 0),
	} {
		if a, ok, err := read(bad, l); err == nil || ok || a != (key.Allowance{}) {
			t.Errorf("%x: %+v, %v, %v", bad, a, ok, err)
		}
	}
}

// startRepeater starts a server that answers whatever it is sent with an error that repeats it, and returns its address.
func startRepeater(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				var room [4 << 10]byte
				for {
					n, err := conn.Read(room[:])
					if err != nil {
						return
					}
					answer := "-ERR what is " + strings.NewReplacer("\r", " ", "\n", " ").Replace(string(room[:n])) + "\r\n"
					if _, err := conn.Write([]byte(strings.Repeat(answer, strings.Count(string(room[:n]), "*")))); err != nil {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func TestAServerThatRepeatsThePassword(t *testing.T) {
	limiter, log := startLimiter(t, "redis://user:hunter2@"+startRepeater(t), true)
	_, err := limiter.valkey.ask(t.Context(), patience, []string{"a"}, []string{"b"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
	if text := log.String(); !strings.Contains(text, "away") || strings.Contains(text, "hunter2") {
		t.Error(text)
	}
}
