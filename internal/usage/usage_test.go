package usage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// writer keeps what is written, as a store would.
type writer struct {
	mu     sync.Mutex
	fail   error
	calls  int
	uses   int
	last   map[int64]time.Time
	checks map[counted]int64
	block  chan struct{} // a write waits until it is closed; nil: none does
}

func newWriter() *writer { return &writer{last: map[int64]time.Time{}, checks: map[counted]int64{}} }

func (w *writer) Update(ctx context.Context, fn func(store.Tx) error) ([]store.Change, error) {
	w.mu.Lock()
	block := w.block
	w.mu.Unlock()
	if block != nil {
		<-block
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	if w.fail != nil && !errors.Is(w.fail, store.ErrOutcomeUnknown) {
		return nil, w.fail
	}
	return nil, errors.Join(fn(tx{w: w}), w.fail)
}

type tx struct {
	store.Tx
	w *writer
}

func (t tx) SetLastUsed(_ context.Context, uses []store.Use) error {
	for _, u := range uses {
		t.w.uses++
		if u.At.After(t.w.last[u.KeyID]) {
			t.w.last[u.KeyID] = u.At
		}
	}
	return nil
}

func (t tx) AddUsage(_ context.Context, checks []store.Checks) error {
	for _, c := range checks {
		t.w.checks[counted{c.OrganizationID, c.KeyID, hourOf(c.At), c.Outcome}] += c.Count
	}
	return nil
}

func (w *writer) lastOf(id int64) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[id]
}

// count returns how many checks of a key had an outcome, in an hour or, where that is zero, in all of them.
func (w *writer) count(id int64, o key.Outcome, hour time.Time) (n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c, checks := range w.checks {
		if c.keyID == id && c.outcome == o && (hour.IsZero() || c.hour == hourOf(hour)) {
			n += checks
		}
	}
	return n
}

func (w *writer) wantCount(t *testing.T, id int64, o key.Outcome, hour time.Time, want int64) {
	t.Helper()
	if got := w.count(id, o, hour); got != want {
		t.Errorf("%d checks of key %d are %s in the hour of %v, want %d", got, id, o, hour, want)
	}
}

func (w *writer) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *writer) transactions() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls
}

func start(t *testing.T, w *writer) (r *Recorder, log *strings.Builder, stop func()) {
	log = new(strings.Builder)
	r = NewRecorder(w, slog.New(slog.NewTextHandler(log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	return r, log, func() { cancel(); <-done }
}

func now() key.Millis { return key.MillisOf(time.Now()) }

// of returns the tally of a key.
func of(id int64) *Tally {
	t := new(Tally)
	t.Of(&key.Record{KeyID: id, OrganizationID: 7})
	return t
}

// tallies returns those of keys from 1 on.
func tallies(n int) []*Tally {
	all := make([]*Tally, n)
	for i := range all {
		all[i] = of(int64(i + 1))
	}
	return all
}

func TestWrittenWithinTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriter()
		r, _, stop := start(t, w)
		keys := tallies(3 * batch)
		used := now()
		for _, k := range keys {
			r.Count(k, key.CheckValid, used)
			r.Count(k, key.CheckValid, used+1)
		}
		r.Count(keys[0], key.CheckExpired, used)
		if w.transactions() != 0 {
			t.Error("a check wrote to the database")
		}
		time.Sleep(Interval)
		synctest.Wait()
		for i := range keys {
			if got := w.lastOf(int64(i + 1)); !got.Equal(used.Time()) {
				t.Fatalf("key %d: last used %v, want %v", i+1, got, used.Time())
			}
			w.wantCount(t, int64(i+1), key.CheckValid, used.Time(), 2)
		}
		w.wantCount(t, 1, key.CheckExpired, used.Time(), 1)
		if n := w.transactions(); n != 4 {
			t.Errorf("%d transactions for %d keys, want 4", n, len(keys))
		}
		time.Sleep(10 * Interval)
		synctest.Wait()
		if n := w.transactions(); n != 4 {
			t.Errorf("%d transactions, though no key was used since", n)
		}
		r.Count(keys[0], key.CheckValid, now()) // much later
		stop()
		if got := w.lastOf(1); !got.After(used.Time()) {
			t.Error("a clean stop lost the last use")
		}
		w.wantCount(t, 1, key.CheckValid, time.Time{}, 3)
	})
}

func TestEveryOutcome(t *testing.T) {
	w := newWriter()
	r := NewRecorder(w, slog.New(slog.DiscardHandler))
	k := of(1)
	for i, o := range key.Outcomes()[1:] {
		for range i + 1 {
			r.Count(k, o, now())
		}
	}
	r.collect()
	r.write(t.Context())
	for i, o := range key.Outcomes()[1:] {
		w.wantCount(t, 1, o, time.Time{}, int64(i+1))
	}
	if len(w.checks) != key.OutcomeCount-1 {
		t.Errorf("it wrote %v", w.checks)
	}
}

// A refusal is no use of the key, and a use that is not counted is one all the same.
func TestUses(t *testing.T) {
	w := newWriter()
	r := NewRecorder(w, slog.New(slog.DiscardHandler))
	refused, touched := of(1), of(2)
	at := now()
	r.Count(refused, key.CheckDisabled, at)
	r.Touch(touched, at-5)
	r.Touch(touched, at)
	r.collect()
	r.write(t.Context())
	if got := w.lastOf(1); !got.IsZero() {
		t.Errorf("a key that was refused was used at %v", got)
	}
	if got := w.lastOf(2); !got.Equal((at - 5).Time()) {
		t.Errorf("a key was used at %v, want %v", got, (at - 5).Time())
	}
	w.wantCount(t, 2, key.CheckValid, time.Time{}, 0)
}

// Checks are counted for the hour in which they were made, whenever they are written.
func TestHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriter()
		time.Sleep(time.Until(time.Now().Truncate(time.Hour).Add(time.Hour - 25*time.Second)))
		r, _, stop := start(t, w)
		k := of(1)
		first := time.Now()
		w.set(func() { w.block = make(chan struct{}) }) // the database is slow
		time.Sleep(1500 * time.Millisecond)
		for range 60 {
			r.Count(k, key.CheckValid, now())
			time.Sleep(time.Second)
		}
		w.set(func() { close(w.block); w.block = nil })
		stop()
		w.wantCount(t, 1, key.CheckValid, first, 24)
		w.wantCount(t, 1, key.CheckValid, first.Add(time.Hour), 36)
	})
}

func TestAdd(t *testing.T) {
	w := newWriter()
	r := NewRecorder(w, slog.New(slog.DiscardHandler))
	at := time.Date(2026, 11, 22, 18, 54, 3, 0, time.UTC)
	r.Add(1, 7, key.CheckValid, 5, at)
	r.Add(1, 7, key.CheckValid, 6, at.Add(time.Minute))
	r.Add(1, 7, key.CheckValid, 7, at.Add(time.Hour))
	r.Add(1, 7, key.CheckRateLimited, 8, at)
	r.Add(1, 7, key.CheckNotFound, 9, at)
	r.Add(2, 7, key.CheckValid, 0, at)
	r.Add(2, 7, key.CheckExpired, 1, at)
	r.write(t.Context())
	w.wantCount(t, 1, key.CheckValid, at, 11)
	w.wantCount(t, 1, key.CheckValid, at.Add(time.Hour), 7)
	w.wantCount(t, 1, key.CheckRateLimited, at, 8)
	if len(w.checks) != 4 {
		t.Errorf("it wrote %v", w.checks)
	}
	if !w.lastOf(1).Equal(at.Add(time.Hour)) || !w.lastOf(2).IsZero() {
		t.Errorf("last uses are %v", w.last)
	}
}

func TestABusyKeyIsNotedOnceAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriter()
		r, _, stop := start(t, w)
		k := of(1)
		begin := time.Now()
		used := begin
		for range 10 * int(time.Minute/time.Second) {
			used = time.Now()
			r.Count(k, key.CheckValid, key.MillisOf(used))
			time.Sleep(time.Second)
			if behind := used.Sub(w.lastOf(1)); used.Sub(begin) > time.Minute && behind > 2*Interval {
				t.Fatalf("%v behind", behind)
			}
		}
		stop()
		if behind := used.Sub(w.lastOf(1)); behind > Interval {
			t.Errorf("%v behind after a clean stop, want at most %v", behind, Interval)
		}
		if w.uses > 61 {
			t.Errorf("%d writes in ten minutes, want one in %v", w.uses, Interval)
		}
		w.wantCount(t, 1, key.CheckValid, time.Time{}, 600)
	})
}

func TestAFailedWriteIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriter()
		w.fail = errors.New("disk full")
		r, log, stop := start(t, w)
		keys := tallies(2*batch + 1)
		for _, k := range keys {
			r.Count(k, key.CheckValid, now())
		}
		time.Sleep(Interval)
		synctest.Wait()
		again := now()
		r.Count(keys[0], key.CheckValid, again)
		w.set(func() { w.fail = nil })
		time.Sleep(Interval)
		synctest.Wait()
		if len(w.last) != len(keys) {
			t.Errorf("%d keys written, want %d", len(w.last), len(keys))
		}
		if got := w.lastOf(1); !got.Equal(again.Time()) {
			t.Errorf("key 1: %v, want %v", got, again.Time())
		}
		for i := range keys {
			want := int64(1)
			if i == 0 {
				want = 2
			}
			w.wantCount(t, int64(i+1), key.CheckValid, time.Time{}, want)
		}
		stop()
		if !strings.Contains(log.String(), "disk full") {
			t.Errorf("the log says nothing: %q", log)
		}
	})
}

// Where nobody knows whether a write is kept, it is not made a second time.
func TestNothingIsCountedTwice(t *testing.T) {
	w := newWriter()
	w.fail = fmt.Errorf("%w: no answer", store.ErrOutcomeUnknown)
	log := new(strings.Builder)
	r := NewRecorder(w, slog.New(slog.NewTextHandler(log, nil)))
	k := of(1)
	r.Count(k, key.CheckValid, now())
	for range 2 {
		r.collect()
		r.write(t.Context())
	}
	w.wantCount(t, 1, key.CheckValid, time.Time{}, 1)
	if !strings.Contains(log.String(), "may not be written") {
		t.Errorf("the log says %q", log)
	}
}

// A database that cannot be written for long, while ever new keys are used, must not take all memory.
func TestWhatWaitsIsBounded(t *testing.T) {
	w := newWriter()
	w.fail = errors.New("disk full")
	log := new(strings.Builder)
	r := NewRecorder(w, slog.New(slog.NewTextHandler(log, nil)))
	r.room = 5000
	for round := range 3 {
		for i := range r.room/2 + 10 {
			r.Count(of(int64(round*r.room+i+1)), key.CheckValid, now())
		}
		r.collect()
		r.write(t.Context())
		if len(r.waiting) > r.room {
			t.Fatalf("%d wait, want at most %d", len(r.waiting), r.room)
		}
	}
	w.fail = nil
	r.write(t.Context())
	if len(w.last) != r.room || !strings.Contains(log.String(), "dropped") {
		t.Errorf("%d written; log: %s", len(w.last), log)
	}
}

// Whoever is counted stays in memory until it is collected, which does not take long where there are many.
func TestManyKeysAreCollectedEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriter()
		r, _, stop := start(t, w)
		defer stop()
		time.Sleep(time.Until(time.Now().Truncate(Interval).Add(Interval + time.Second)))
		for i := range maxListed {
			r.Count(of(int64(i+1)), key.CheckValid, now())
		}
		synctest.Wait()
		if r.head.Load() != &r.end || len(w.last) != maxListed {
			t.Errorf("%d of %d keys are written", len(w.last), maxListed)
		}
	})
}

// Checks, collections and writes race; whatever the order, every check is counted once and every last use is kept.
func TestConcurrentChecks(t *testing.T) {
	w := newWriter()
	r := NewRecorder(w, slog.New(slog.DiscardHandler))
	keys := tallies(20)
	const goroutines, rounds = 4, 2000
	begun := now()
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for round := range rounds {
				for _, k := range keys {
					r.Count(k, key.CheckValid, begun+key.Millis(round))
					if round%3 == 0 {
						r.Count(k, key.CheckDisabled, begun)
					}
					if round%5 == 0 {
						r.Touch(k, begun+key.Millis(round))
					}
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		r.collect()
		r.write(t.Context())
	}
	for _, k := range keys { // one use more, after all others were collected
		r.Count(k, key.CheckValid, begun+rounds)
	}
	r.collect()
	r.write(t.Context())
	for i := range keys {
		id := int64(i + 1)
		w.wantCount(t, id, key.CheckValid, time.Time{}, goroutines*rounds+1)
		w.wantCount(t, id, key.CheckDisabled, time.Time{}, goroutines*((rounds+2)/3))
		if got := key.MillisOf(w.lastOf(id)); got != begun+rounds {
			t.Errorf("key %d was used at %v, want %v", id, got, begun+rounds)
		}
	}
}

// A time is kept in few bits, which may turn over or be none at all.
func TestTimes(t *testing.T) {
	for _, at := range []key.Millis{1, 1 << 32, 1<<32 + 1, 1<<32 - 1, 1790000000000} {
		for _, later := range []key.Millis{0, 1, 10_000, 1 << 30, -10_000} {
			want := at
			if uint32(at) == 0 {
				want--
			}
			if got := wholeTime(lowBits(at), at+later); got != want {
				t.Errorf("%d comes back as %d when it is %d later", at, got, later)
			}
		}
	}
}

func TestCountAllocatesNothing(t *testing.T) {
	r := NewRecorder(newWriter(), slog.New(slog.DiscardHandler))
	k := of(1)
	for _, o := range []key.Outcome{key.CheckValid, key.CheckDisabled} {
		at := key.Millis(1)
		if n := testing.AllocsPerRun(1000, func() { at++; r.Count(k, o, at); r.Touch(k, at) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}
