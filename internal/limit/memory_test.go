package limit

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"pgregory.net/rapid"
)

var begin = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func limits(all ...key.Limit) []key.Limit { return all }

func perMinute(requests int64) key.Limit {
	return key.Limit{Name: "default", Requests: requests, Window: time.Minute}
}

func TestALimitIsUsedUpAndComesBack(t *testing.T) {
	m := NewMemory(begin)
	l := limits(perMinute(3))
	for i, tt := range []struct {
		after time.Duration
		ok    bool
		want  key.Allowance
	}{
		{0, true, key.Allowance{Remaining: 2, Reset: 20 * time.Second}},
		{0, true, key.Allowance{Remaining: 1, Reset: 40 * time.Second}},
		{0, true, key.Allowance{Remaining: 0, Reset: 60 * time.Second}},
		{0, false, key.Allowance{Remaining: 0, Reset: 60 * time.Second, Retry: 20 * time.Second}},
		{20*time.Second - 1, false, key.Allowance{Remaining: 0, Reset: 40*time.Second + 1, Retry: 1}},
		{20 * time.Second, true, key.Allowance{Remaining: 0, Reset: 60 * time.Second}},
		{70 * time.Second, true, key.Allowance{Remaining: 1, Reset: 30 * time.Second}},
		{time.Hour, true, key.Allowance{Remaining: 2, Reset: 20 * time.Second}},
	} {
		tt.want.Name, tt.want.Requests = "default", 3
		if got, ok := m.take(1, l, begin.Add(tt.after)); got != tt.want || ok != tt.ok {
			t.Errorf("%d: %+v, %v, want %+v, %v", i, got, ok, tt.want, tt.ok)
		}
	}
}

// Where one limit refuses, no other one is charged; and what is told is that of the one that matters.
func TestSeveralLimitsAreTakenTogether(t *testing.T) {
	m := NewMemory(begin)
	l := limits(key.Limit{Name: "second", Requests: 2, Window: time.Second}, key.Limit{Name: "hour", Requests: 5, Window: time.Hour})
	now := begin
	take := func(want bool, name string, remaining int64) {
		t.Helper()
		if a, ok := m.take(1, l, now); ok != want || a.Name != name || a.Remaining != remaining {
			t.Fatalf("%v after the start: %+v, %v; want %d of %s, %v", now.Sub(begin), a, ok, remaining, name, want)
		}
	}
	take(true, "second", 1)
	take(true, "second", 0)
	for range 100 {
		take(false, "second", 0)
	}
	now = now.Add(time.Second)
	take(true, "hour", 2)
	take(true, "second", 0)
	now = now.Add(time.Second)
	take(true, "hour", 0)
	take(false, "hour", 0) // both refuse nothing but this one: 1 of second is left
	now = now.Add(time.Hour / 5)
	take(true, "hour", 0)
}

func TestOfSeveralRefusalsTheLongestIsTold(t *testing.T) {
	m := NewMemory(begin)
	for _, l := range [][]key.Limit{
		limits(perMinute(1), key.Limit{Name: "hour", Requests: 1, Window: time.Hour}),
		limits(key.Limit{Name: "hour", Requests: 1, Window: time.Hour}, perMinute(1)),
	} {
		m.take(1, l, begin)
		if a, ok := m.take(1, l, begin); ok || a.Name != "hour" || a.Retry != time.Hour {
			t.Errorf("%+v, %v", a, ok)
		}
	}
}

func TestAChangedLimitIsInForceAtOnce(t *testing.T) {
	m := NewMemory(begin)
	use := func(l []key.Limit, n int64) (last key.Allowance) {
		t.Helper()
		for range n {
			a, ok := m.take(1, l, begin)
			if !ok {
				t.Fatalf("%+v", a)
			}
			last = a
		}
		return last
	}
	use(limits(perMinute(100)), 50)
	if a := use(limits(perMinute(1000)), 1); a.Remaining != 499 {
		t.Errorf("ten times as many, half of them used: %d remain", a.Remaining)
	}
	if a := use(limits(perMinute(10)), 1); a.Remaining != 3 { // 50.1 % used, and one more
		t.Errorf("ten instead: %d remain", a.Remaining)
	}
	short := limits(key.Limit{Name: "default", Requests: 10, Window: 10 * time.Second})
	if a, ok := m.take(1, short, begin); ok || a.Retry != time.Second || a.Reset != 10*time.Second {
		t.Errorf("36 s were used, and the window is 10 s now: %+v, %v", a, ok)
	}
	if a := use(limits(perMinute(7), key.Limit{Name: "new", Requests: 2, Window: time.Second}), 1); a.Name != "new" || a.Remaining != 1 {
		t.Errorf("a new limit is not whole: %+v", a)
	}
	if a := use(limits(key.Limit{Name: "other", Requests: 9, Window: time.Second}), 1); a.Remaining != 8 {
		t.Errorf("a limit of another name is not whole: %+v", a)
	}
}

func TestAClockThatJumpsBackLocksNobodyOutForLong(t *testing.T) {
	m := NewMemory(begin)
	l := limits(perMinute(1))
	m.take(1, l, begin)
	now := begin.Add(-24 * time.Hour)
	if a, ok := m.take(1, l, now); ok || a.Retry != time.Minute {
		t.Errorf("%+v, %v", a, ok)
	}
	if a, ok := m.take(1, l, now.Add(time.Minute)); !ok {
		t.Errorf("a window later: %+v", a)
	}
}

// Requests are not counted in the order in which they have looked at the clock: those of a key wait for one another.
func TestARequestThatIsHeldUpGivesNothingBack(t *testing.T) {
	m := NewMemory(begin)
	l := limits(perMinute(60))
	allowed := 0
	for i := range 600 {
		at := begin.Add(time.Minute)
		if i%2 > 0 {
			at = at.Add(-10 * time.Second)
		}
		if _, ok := m.take(1, l, at); ok {
			allowed++
		}
	}
	if allowed != 60 {
		t.Errorf("%d were allowed, want 60", allowed)
	}
}

// The same with a clock of a real machine.
func TestRequestsOfOneKeyThatWaitForEachOther(t *testing.T) {
	const perSecond, lasts = 1000, 300 * time.Millisecond
	l := limits(key.Limit{Name: "default", Requests: perSecond, Window: time.Second})
	began := time.Now()
	m := NewMemory(began)
	var allowed atomic.Int64
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for now := time.Now(); now.Sub(began) < lasts; now = time.Now() {
				if _, ok := m.take(1, l, now); ok {
					allowed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if most := int64(perSecond + perSecond*lasts/time.Second); allowed.Load() > most {
		t.Errorf("%d were allowed in %v, want %d at most", allowed.Load(), lasts, most)
	}
}

func TestTheLargestLimits(t *testing.T) {
	m := NewMemory(begin)
	l := limits(key.Limit{Name: "a", Requests: key.MaxRequests, Window: key.MaxWindow}, key.Limit{Name: "b", Requests: key.MaxRequests, Window: time.Second})
	for i := range int64(1000) {
		a, ok := m.take(1, l, begin)
		if want := key.MaxRequests - i - 1; !ok || a.Remaining != want || a.Name != "a" {
			t.Fatalf("%+v, %v, want %d", a, ok, want)
		}
	}
	l = limits(key.Limit{Name: "c", Requests: 1, Window: key.MaxWindow})
	if a, ok := m.take(1, l, begin.Add(100*key.MaxWindow)); !ok || a.Reset != key.MaxWindow {
		t.Errorf("%+v, %v", a, ok)
	}
}

// model is GCRA by its definition, in fractions of any size.
type model map[string]*big.Rat // the level, in nanoseconds since begin

func nanos(d time.Duration) *big.Rat { return new(big.Rat).SetInt64(int64(d)) }

func (m model) level(l key.Limit, now *big.Rat) *big.Rat {
	level, most := m[l.Name], new(big.Rat).Add(now, nanos(l.Window))
	switch {
	case level == nil || level.Cmp(now) < 0:
		return now
	case level.Cmp(most) > 0:
		return most
	}
	return level
}

func (m model) remaining(l key.Limit, now *big.Rat) int64 {
	left := new(big.Rat).Sub(new(big.Rat).Add(now, nanos(l.Window)), m.level(l, now))
	left.Mul(left, big.NewRat(l.Requests, int64(l.Window)))
	return new(big.Int).Quo(left.Num(), left.Denom()).Int64()
}

func (m model) take(limits []key.Limit, now *big.Rat) bool {
	after := map[string]*big.Rat{}
	for _, l := range limits {
		m[l.Name] = m.level(l, now)
	}
	for _, l := range limits {
		after[l.Name] = new(big.Rat).Add(m[l.Name], big.NewRat(int64(l.Window), l.Requests))
		if after[l.Name].Cmp(new(big.Rat).Add(now, nanos(l.Window))) > 0 {
			return false
		}
	}
	for name, level := range after {
		m[name] = level
	}
	return true
}

func TestMemoryIsLikeTheModel(t *testing.T) {
	drawn := func(name string) *rapid.Generator[key.Limit] {
		return rapid.Custom(func(t *rapid.T) key.Limit {
			return key.Limit{
				Name:     name,
				Requests: rapid.OneOf(rapid.Int64Range(1, 10), rapid.Int64Range(1, key.MaxRequests)).Draw(t, "requests"),
				Window:   time.Duration(rapid.OneOf(rapid.Int64Range(1, 10), rapid.Int64Range(1, int64(key.MaxWindow/time.Second))).Draw(t, "window")) * time.Second,
			}
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(t, "limits")]
		var l []key.Limit
		for _, name := range names {
			l = append(l, drawn(name).Draw(t, name))
		}
		m, want, now := NewMemory(begin), model{}, begin
		step := rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64Range(0, int64(time.Second)), rapid.Int64Range(-2*int64(mostLate), int64(time.Hour)),
			rapid.Int64Range(0, int64(l[0].Window)))
		latest := now
		for range rapid.IntRange(1, 60).Draw(t, "requests") {
			now = now.Add(time.Duration(step.Draw(t, "step")))
			if late := latest.Sub(now); late <= 0 || late > mostLate {
				latest = now
			}
			at := nanos(latest.Sub(begin))
			if rapid.IntRange(0, 9).Draw(t, "sweep") == 0 {
				m.Sweep(now)
			}
			a, ok := m.take(7, l, now)
			if expected := want.take(l, at); ok != expected {
				t.Fatalf("at %v: %v, want %v (%+v)", at, ok, expected, a)
			}
			i := slices.IndexFunc(l, func(l key.Limit) bool { return l.Name == a.Name })
			if left := want.remaining(l[i], at); a.Remaining != left {
				t.Fatalf("at %v: %d remain of %+v, want %d", at, a.Remaining, l[i], left)
			}
			level := new(big.Rat).Sub(want.level(l[i], at), at)
			if reset := nanos(a.Reset); reset.Cmp(level) < 0 || new(big.Rat).Sub(reset, level).Cmp(big.NewRat(1, 1)) >= 0 {
				t.Fatalf("at %v: reset in %v, want %v", at, reset, level)
			}
			for _, other := range l {
				left := key.Allowance{Requests: other.Requests, Remaining: want.remaining(other, at), Reset: a.Reset}
				if ok && nearer(left, key.Allowance{Requests: a.Requests, Remaining: a.Remaining, Reset: a.Reset}) {
					t.Fatalf("at %v: %+v is told, and of %+v %d remain", at, a, other, left.Remaining)
				}
			}
			if !ok { // when the time has come, and no earlier
				if maps.Clone(want).take(l, new(big.Rat).Add(at, nanos(a.Retry-1))) {
					t.Fatalf("at %v: retry in %v is too late", at, a.Retry)
				}
			}
		}
	})
}

func TestNeverMoreThanAllowed(t *testing.T) {
	m := NewMemory(begin)
	l := limits(perMinute(1000), key.Limit{Name: "hour", Requests: 1500, Window: time.Hour})
	for round, want := range []int64{1000, 500, 0} {
		var allowed atomic.Int64
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for i := range 500 {
					if _, ok := m.take(5, l, begin.Add(time.Duration(round)*time.Minute)); ok {
						allowed.Add(1)
					}
					m.take(int64(100+i), limits(perMinute(1)), begin) // others come and go
				}
			})
		}
		all.Wait()
		// In a minute, 25 of the hour's 1500 come back.
		if got := allowed.Load(); got < want || got > want+25 {
			t.Errorf("round %d: %d were allowed, want %d", round, got, want)
		}
	}
}

func TestWhatIsThereAgainIsForgotten(t *testing.T) {
	m := NewMemory(begin)
	const keys = 100_000
	for id := range int64(keys) {
		m.take(id, limits(perMinute(2)), begin)
	}
	if n := m.Keys(); n != keys {
		t.Fatalf("%d keys, want %d", n, keys)
	}
	m.Sweep(begin.Add(30*time.Second - 1))
	if n := m.Keys(); n != keys {
		t.Errorf("%d keys before their limits were there again, want %d", n, keys)
	}
	m.take(7, limits(perMinute(2)), begin.Add(29*time.Second))
	m.Sweep(begin.Add(30 * time.Second))
	if n := m.Keys(); n != 1 {
		t.Errorf("%d keys after their limits were there again, want 1", n)
	}
	if a, ok := m.take(7, limits(perMinute(2)), begin.Add(30*time.Second)); !ok || a.Remaining != 0 {
		t.Errorf("the one that is in use was forgotten: %+v", a)
	}
	for i := range m.shards {
		if c := cap(m.shards[i].keys); c > shrinkAbove {
			t.Fatalf("a shard keeps room for %d keys", c)
		}
	}
}

// Ever new keys take no more room than those of the last window.
func TestManyKeysOnePerInstant(t *testing.T) {
	m := NewMemory(begin)
	now, l := begin, limits(key.Limit{Name: "default", Requests: 10, Window: 10 * time.Second})
	for id := range int64(300_000) {
		now = now.Add(100 * time.Microsecond)
		m.take(id, l, now)
	}
	const inUse = int(time.Second / (100 * time.Microsecond))
	if n := m.Keys(); n > 3*inUse {
		t.Errorf("%d keys, and %d are in use", n, inUse)
	}
}

func TestTakeAllocatesNothing(t *testing.T) {
	m := NewMemory(begin)
	l := limits(perMinute(1000), key.Limit{Name: "hour", Requests: 1000, Window: time.Hour})
	now := begin
	if n := testing.AllocsPerRun(2000, func() { now = now.Add(time.Microsecond); m.take(1, l, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMemory(b *testing.B) {
	var ten []key.Limit
	for i := range key.MaxLimits {
		ten = append(ten, key.Limit{Name: fmt.Sprint("limit-", i), Requests: 1000, Window: time.Hour})
	}
	for _, tt := range []struct {
		name string
		l    []key.Limit
		keys int64
	}{
		{"one limit, one key", limits(perMinute(key.MaxRequests)), 1},
		{"one limit, a million keys", limits(perMinute(1000)), 1 << 20},
		{"ten limits, used up", ten, 1},
	} {
		b.Run(tt.name, func(b *testing.B) {
			m := NewMemory(time.Now())
			for id := range tt.keys {
				m.take(id, tt.l, time.Now())
			}
			b.ReportAllocs()
			b.ResetTimer()
			var next atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				id := next.Add(1) * 7919
				for pb.Next() {
					id = (id*1664525 + 1013904223) & (tt.keys - 1)
					m.take(id, tt.l, time.Now())
				}
			})
		})
	}
}
