package throttle

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clock is set by the test.
type clock struct{ at time.Time }

func newClock() *clock { return &clock{time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) advance(d time.Duration) { c.at = c.at.Add(d) }

// check fails where the table and the queue do not hold the same buckets, or too many.
func check(t *testing.T, l *Limiter) {
	t.Helper()
	if len(l.queue) != len(l.byName) || len(l.queue) > l.maxEntries {
		t.Fatalf("%d in the queue, %d in the table, at most %d", len(l.queue), len(l.byName), l.maxEntries)
	}
	for i, b := range l.queue {
		if b.place != i || l.byName[b.name] != b {
			t.Fatalf("the bucket in place %d believes to be in %d", i, b.place)
		}
		if parent := l.queue[max(0, i-1)/2]; parent.emptyAt > b.emptyAt {
			t.Fatalf("place %d is empty before its parent", i)
		}
	}
}

func TestTry(t *testing.T) {
	const (
		try    = "try"
		wait   = "wait"
		refund = "refund"
	)
	c := newClock()
	l := New(Limit{Burst: 3, Every: time.Minute}, 100, c.now)
	for i, step := range []struct {
		after time.Duration // since the step before
		do    string
		name  string
		want  time.Duration
	}{
		{0, wait, "jo", 0},
		{0, try, "jo", 0},
		{0, try, "jo", 0},
		{0, wait, "jo", 0},
		{0, wait, "jo", 0}, // Wait counts nothing
		{0, try, "jo", 0},
		{0, wait, "jo", time.Minute},
		{0, try, "jo", time.Minute},
		{0, try, "jo", time.Minute}, // nor do attempts that are refused
		{0, try, "Jo", 0},           // another name
		{20 * time.Second, try, "jo", 40 * time.Second},
		{39 * time.Second, try, "jo", time.Second},
		{time.Second, wait, "jo", 0},
		{0, try, "jo", 0}, // one more
		{0, try, "jo", time.Minute},
		{2 * time.Minute, try, "jo", 0}, // two more
		{0, try, "jo", 0},
		{0, try, "jo", time.Minute},
		{0, refund, "jo", 0},
		{0, try, "jo", 0}, // in place of the one that succeeded
		{0, try, "jo", time.Minute},
		{0, refund, "jo", 0}, // what failed before stays counted
		{0, try, "jo", 0},
		{0, try, "jo", time.Minute},
		{time.Hour, try, "jo", 0}, // never more than the burst
		{0, try, "jo", 0},
		{0, try, "jo", 0},
		{0, try, "jo", time.Minute},
		{0, refund, "nobody", 0}, // gives nothing
		{0, try, "nobody", 0},
		{0, refund, "nobody", 0},
		{0, refund, "nobody", 0}, // nor does a second one
		{0, try, "nobody", 0},
		{0, try, "nobody", 0},
		{0, try, "nobody", 0},
		{0, try, "nobody", time.Minute},
	} {
		c.advance(step.after)
		var got time.Duration
		switch step.do {
		case try:
			got = l.Try(step.name)
		case wait:
			got = l.Wait(step.name)
		default:
			l.Refund(step.name)
		}
		if got != step.want {
			t.Errorf("step %d: %s(%s) = %v, want %v", i, step.do, step.name, got, step.want)
		}
		check(t, l)
	}
}

// Who tries as soon as it may gets one attempt for each Every, and not more.
func TestTheRateOfGuessing(t *testing.T) {
	c := newClock()
	l := New(Limit{Burst: 10, Every: time.Minute}, 100, c.now)
	end, made := c.at.Add(24*time.Hour), 0
	for c.at.Before(end) {
		wait := l.Try("jo")
		if wait == 0 {
			made++
		}
		c.advance(wait)
	}
	if want := 10 + 24*60 - 1; made != want { // the burst, then one at the end of each minute but the last
		t.Errorf("%d attempts in a day, want %d", made, want)
	}
}

// All attempts that are under way at once count, though none has failed yet.
func TestConcurrentAttempts(t *testing.T) {
	const burst = 5
	l := New(Limit{Burst: burst, Every: time.Hour}, 100, newClock().now)
	var passed atomic.Int64
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			if l.Try("jo") == 0 {
				passed.Add(1)
			}
		})
	}
	all.Wait()
	if n := passed.Load(); n != burst {
		t.Errorf("%d passed, want %d", n, burst)
	}
}

func TestConcurrentUse(t *testing.T) {
	l := New(Limit{Burst: 2, Every: time.Millisecond}, 10, time.Now)
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 1000 {
				name := fmt.Sprint((worker + i) % 30)
				l.Wait(name)
				if l.Try(name) == 0 && i%3 == 0 {
					l.Refund(name)
				}
			}
		})
	}
	all.Wait()
	check(t, l)
}

func TestAFloodResetsNobody(t *testing.T) {
	const entries, burst = 100, 5
	for _, tt := range []struct {
		about    string
		attempts int // at jo
		each     int // attempts at each invented name
	}{
		{"jo's bucket is full", burst, 1},
		{"jo's bucket is full, and theirs as well", burst, burst},
		{"jo's bucket is nearer to empty than theirs, and makes room", 2, 3},
		{"jo's bucket is the first to make room", 1, burst - 1},
	} {
		t.Run(tt.about, func(t *testing.T) {
			l := New(Limit{Burst: burst, Every: time.Minute}, entries, newClock().now)
			for range tt.attempts {
				l.Try("jo")
			}
			for i := range 5 * entries {
				for range tt.each {
					l.Try(fmt.Sprint("invented ", i))
				}
			}
			check(t, l)
			if more := attempts(l, "jo"); tt.attempts+more > burst {
				t.Errorf("%d attempts at jo, and %d after the flood: more than %d", tt.attempts, more, burst)
			}
		})
	}
}

// attempts counts how many name has left.
func attempts(l *Limiter, name string) int {
	n := 0
	for l.Try(name) == 0 {
		n++
	}
	return n
}

// Who floods the table takes from a newcomer one attempt for each time that all of the table is overwritten, until those
// have drained.
func TestAFloodLocksNobodyOut(t *testing.T) {
	const entries, burst = 100, 5
	for times := range burst {
		c := newClock()
		l := New(Limit{Burst: burst, Every: time.Minute}, entries, c.now)
		for i := range times * entries {
			l.Try(fmt.Sprint("invented ", i))
		}
		if n := attempts(l, "newcomer"); n < burst-times {
			t.Errorf("table overwritten %d times: a newcomer has %d attempts", times, n)
		}
		c.advance(burst * time.Minute)
		if n := attempts(l, "another"); n != burst {
			t.Errorf("a newcomer has %d attempts when all has drained", n)
		}
	}
}

// A flood slower than the table drains takes nothing from anybody, however long it goes on.
func TestASlowFloodTakesNothing(t *testing.T) {
	const entries, burst = 100, 5
	c := newClock()
	l := New(Limit{Burst: burst, Every: time.Minute}, entries, c.now)
	for i := range 50 * entries {
		l.Try(fmt.Sprint("invented ", i))
		c.advance(time.Minute / (entries - burst))
	}
	if n := attempts(l, "newcomer"); n != burst {
		t.Errorf("a newcomer has %d attempts", n)
	}
}

func TestWhatHasDrainedIsDropped(t *testing.T) {
	c := newClock()
	l := New(Limit{Burst: 5, Every: time.Minute}, 1000, c.now)
	for i := range 1000 {
		l.Try(fmt.Sprint("early ", i))
	}
	c.advance(time.Minute)
	for i := range 500 {
		l.Try(fmt.Sprint("late ", i))
		check(t, l)
	}
	if len(l.queue) != 500 {
		t.Errorf("%d buckets, want those of the 500 who came late", len(l.queue))
	}
	l.Refund("late 7")
	if len(l.queue) != 499 {
		t.Errorf("%d buckets after an attempt that succeeded", len(l.queue))
	}
}

// exact is the same limiter without bounds.
type exact struct {
	limit   Limit
	emptyAt map[string]time.Time
}

func (e exact) level(name string, now time.Time) time.Time {
	if at := e.emptyAt[name]; at.After(now) {
		return at
	}
	return now
}

func (e exact) allows(name string, now time.Time) bool {
	return e.level(name, now).Add(e.limit.Every).Sub(now) <= time.Duration(e.limit.Burst)*e.limit.Every
}

func (e exact) add(name string, drops int, now time.Time) {
	e.emptyAt[name] = e.level(name, now).Add(time.Duration(drops) * e.limit.Every)
}

// Whatever happens, a Limiter lets nobody pass whom one without bounds would refuse; and where its bounds were never
// reached, it refuses nobody else.
func TestAgainstOneWithoutBounds(t *testing.T) {
	const names = 12
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		c := newClock()
		limit := Limit{Burst: 1 + random.IntN(4), Every: time.Minute}
		entries := 1 + random.IntN(names+3)
		l, model := New(limit, entries, c.now), exact{limit, map[string]time.Time{}}
		for range 500 {
			name := fmt.Sprint(random.IntN(names))
			allowed := model.allows(name, c.at)
			wait := l.Wait(name)
			if got := l.Try(name); got != wait {
				t.Fatalf("seed %d: Wait said %v, and Try %v", seed, wait, got)
			}
			switch {
			case wait == 0 && !allowed:
				t.Fatalf("seed %d: passed", seed)
			case wait > 0 && allowed && entries >= names:
				t.Fatalf("seed %d: refused", seed)
			case wait == 0 && random.IntN(4) == 0:
				l.Refund(name) // at once, so that the model need not count it
			case wait == 0:
				model.add(name, 1, c.at)
			}
			c.advance(time.Duration(random.IntN(20)) * time.Second)
			check(t, l)
		}
	}
}

func TestNamesAreHashedUnderAKeyOfTheProcess(t *testing.T) {
	limit := Limit{Burst: 1, Every: time.Minute}
	a, b := New(limit, 10, newClock().now), New(limit, 10, newClock().now)
	if a.digest("jo") == b.digest("jo") {
		t.Error("the hash of a name can be computed outside")
	}
	if a.digest("jo") == a.digest("jp") || a.digest("") == a.digest("\x00") {
		t.Error("names are not told apart")
	}
}

func TestMemory(t *testing.T) {
	const entries = 20_000
	l := New(Limit{Burst: 5, Every: time.Hour}, entries, newClock().now)
	before := allocated()
	for i := range 3 * entries {
		l.Try(strings.Repeat("a long address ", 100) + fmt.Sprint(i))
	}
	if each := (allocated() - before) / entries; each > 200 {
		t.Errorf("%d bytes for each name", each)
	} else {
		t.Logf("%d bytes for each name", each)
	}
	runtime.KeepAlive(l)
}

func allocated() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		limit   Limit
		entries int
	}{
		{Limit{0, time.Minute}, 1},
		{Limit{1, 0}, 1},
		{Limit{1, -time.Minute}, 1},
		{Limit{1, time.Minute}, 0},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New(%+v, %d) returned", tt.limit, tt.entries)
				}
			}()
			New(tt.limit, tt.entries, time.Now)
		}()
	}
}

func BenchmarkTryInAFullTable(b *testing.B) {
	l := New(Limit{Burst: 5, Every: time.Hour}, 100_000, newClock().now)
	for i := range b.N {
		l.Try(fmt.Sprint(i))
	}
}
