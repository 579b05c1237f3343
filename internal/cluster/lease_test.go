package cluster

import (
	"testing"
	"time"
	"unsafe"
)

// clock is a machine's: a test moves its two parts, together or not.
type clock struct{ monotonic, wall time.Duration }

// began is what all clocks have shown at first.
var began = time.Now()

// now is what time.Now returns on that machine. There is no other way to make a time.Time whose parts are apart.
func (c *clock) now() time.Time {
	t := began.Add(c.wall)
	layout := (*struct {
		wall uint64
		ext  int64 // the monotonic part
		loc  *time.Location
	})(unsafe.Pointer(&t))
	layout.ext += int64(c.monotonic - c.wall)
	return t
}

func (c *clock) advance(d time.Duration) { c.monotonic, c.wall = c.monotonic+d, c.wall+d }

func TestClockHasTwoParts(t *testing.T) {
	c := clock{monotonic: time.Second, wall: time.Hour}
	if d := c.now().Sub(began); d != time.Second {
		t.Errorf("the monotonic part has moved by %v, want 1s", d)
	}
	if d := c.now().Round(0).Sub(began.Round(0)); d != time.Hour {
		t.Errorf("the wall has moved by %v, want 1h", d)
	}
}

const length = 2 * time.Second

// lasts is how long a lease of that length is held at most.
const lasts = length - length/10

func (c *clock) lease(stale time.Duration) *Lease { return NewLease(length, stale, c.now) }

func held(l *Lease, c *clock) bool {
	_, held := l.Held(c.now())
	return held
}

func TestLeaseIsNotHeldAtFirst(t *testing.T) {
	c := new(clock)
	l := c.lease(time.Hour)
	if held(l, c) || l.Excused(c.now()) || l.Left() != 0 {
		t.Error("a lease is held that was never granted")
	}
}

func TestLeaseCountsFromBeforeItWasAskedFor(t *testing.T) {
	c := new(clock)
	l := c.lease(0)
	asked := c.now()
	c.advance(time.Second) // the answer took so long
	l.extend(asked)
	if left := l.Left(); left != lasts-time.Second {
		t.Errorf("%v are left, want %v", left, lasts-time.Second)
	}
	c.advance(lasts - time.Second - 1)
	if !held(l, c) {
		t.Error("not held to its end")
	}
	c.advance(1)
	if held(l, c) || l.Left() != 0 {
		t.Error("held behind its end")
	}
	l.extend(asked) // an answer that took longer than the lease
	if held(l, c) {
		t.Error("held although it had ended before the answer came")
	}
}

func TestLeaseGoesByBothClocks(t *testing.T) {
	for _, test := range []struct {
		name            string
		monotonic, wall time.Duration
		held            bool
	}{
		{"no time passes", 0, 0, true},
		{"shortly before the end", lasts - 1, lasts - 1, true},
		{"at the end", lasts, lasts, false},
		{"the wall is set forward", 1, time.Hour, false},
		{"the wall is set forward within the lease", 1, lasts - 1, true},
		{"the wall is set back", 1, -time.Hour, true},
		{"the wall is set back and the lease ends", lasts, lasts - time.Hour, false},
		{"the machine is suspended: the monotonic clock stands", 0, lasts, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := new(clock)
			l := c.lease(0)
			l.extend(c.now())
			c.monotonic, c.wall = test.monotonic, test.wall
			if got := held(l, c); got != test.held {
				t.Errorf("held: %v, want %v", got, test.held)
			}
		})
	}
}

func TestTermChangesWhereALeaseDoesNotGoOn(t *testing.T) {
	c := new(clock)
	l := c.lease(0)
	seen := map[uint64]string{}
	begins := func(why string) {
		t.Helper()
		l.extend(c.now())
		number, held := l.Held(c.now())
		if other, ok := seen[number]; ok || !held {
			t.Fatalf("%s: term %d, held: %v; that term was there already: %s", why, number, held, other)
		}
		seen[number] = why
	}
	begins("the first")
	number, _ := l.Held(c.now())
	c.advance(lasts - 1)
	l.extend(c.now())
	if again, held := l.Held(c.now()); again != number || !held {
		t.Errorf("renewed in time, it is term %d after %d, held: %v", again, number, held)
	}
	c.advance(lasts)
	begins("it had ended")
	c.wall += time.Hour
	begins("the wall says it had ended")
	l.end()
	if held(l, c) {
		t.Error("held although it was ended")
	}
	begins("it was ended")
}

func TestExcused(t *testing.T) {
	c := new(clock)
	l := c.lease(time.Minute)
	l.extend(c.now())
	for _, step := range []struct {
		after   time.Duration
		excused bool
	}{{0, true}, {lasts, true}, {time.Minute - 1, true}, {1, false}} {
		c.advance(step.after)
		if got := l.Excused(c.now()); got != step.excused {
			t.Errorf("%v after the start: %v, want %v", c.monotonic, got, step.excused)
		}
	}
	l.extend(c.now())
	l.end() // what is in memory is not good any more
	if l.Excused(c.now()) {
		t.Error("excused although the lease was given up")
	}
	without := c.lease(0)
	without.extend(c.now())
	if without.Excused(c.now()) {
		t.Error("excused although nobody wants it")
	}
}
