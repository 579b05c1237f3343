package usage

import (
	"context"
	"errors"
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
	mu    sync.Mutex
	fail  error
	calls int
	count int // uses written
	last  map[int64]time.Time
}

func (w *writer) Update(ctx context.Context, fn func(store.Tx) error) ([]store.Change, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	if w.fail != nil {
		return nil, w.fail
	}
	return nil, fn(tx{w: w})
}

type tx struct {
	store.Tx
	w *writer
}

func (t tx) SetLastUsed(_ context.Context, uses []store.Use) error {
	for _, u := range uses {
		t.w.count++
		if u.At.After(t.w.last[u.KeyID]) {
			t.w.last[u.KeyID] = u.At
		}
	}
	return nil
}

func (w *writer) lastOf(id int64) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[id]
}

func (w *writer) uses() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
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

func TestWrittenWithinTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writer{last: map[int64]time.Time{}}
		r, _, stop := start(t, w)
		marks := make([]Mark, 3*batch)
		used := now()
		for i := range marks {
			r.Touch(&marks[i], int64(i+1), used)
		}
		if w.transactions() != 0 {
			t.Error("a check wrote to the database")
		}
		time.Sleep(Interval)
		synctest.Wait()
		for i := range marks {
			if got := w.lastOf(int64(i + 1)); !got.Equal(used.Time()) {
				t.Fatalf("key %d: last used %v, want %v", i+1, got, used.Time())
			}
		}
		if n := w.transactions(); n != 3 {
			t.Errorf("%d transactions for %d keys, want 3", n, len(marks))
		}
		time.Sleep(10 * Interval)
		synctest.Wait()
		if n := w.transactions(); n != 3 {
			t.Errorf("%d transactions, though no key was used since", n)
		}
		r.Touch(&marks[0], 1, now()) // much later
		stop()
		if got := w.lastOf(1); !got.After(used.Time()) {
			t.Error("a clean stop lost the last use")
		}
	})
}

func TestABusyKeyIsNotedOnceAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writer{last: map[int64]time.Time{}}
		r, _, stop := start(t, w)
		var m Mark
		begin := time.Now()
		used := begin
		for range 10 * int(time.Minute/time.Second) {
			used = time.Now()
			r.Touch(&m, 1, key.MillisOf(used))
			time.Sleep(time.Second)
			if behind := used.Sub(w.lastOf(1)); used.Sub(begin) > time.Minute && behind > time.Minute {
				t.Fatalf("%v behind", behind)
			}
		}
		stop()
		if behind := used.Sub(w.lastOf(1)); behind > Precision {
			t.Errorf("%v behind after a clean stop, want at most %v", behind, Precision)
		}
		if n := w.uses(); n > 41 {
			t.Errorf("%d writes in ten minutes, want one in %v", n, Precision)
		}
	})
}

func TestAFailedWriteIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writer{last: map[int64]time.Time{}, fail: errors.New("disk full")}
		r, log, stop := start(t, w)
		marks := make([]Mark, 2*batch+1)
		for i := range marks {
			r.Touch(&marks[i], int64(i+1), now())
		}
		time.Sleep(Interval)
		synctest.Wait()
		again := now()
		r.Touch(&marks[0], 1, again)
		w.mu.Lock()
		w.fail = nil
		w.mu.Unlock()
		time.Sleep(Interval)
		synctest.Wait()
		if len(w.last) != len(marks) {
			t.Errorf("%d keys written, want %d", len(w.last), len(marks))
		}
		if got := w.lastOf(1); !got.Equal(again.Time()) {
			t.Errorf("key 1: %v, want %v", got, again.Time())
		}
		stop()
		if !strings.Contains(log.String(), "disk full") {
			t.Errorf("the log says nothing: %q", log)
		}
	})
}

// A database that cannot be written for long, while ever new keys are used, must not take all memory.
func TestWhatWaitsIsBounded(t *testing.T) {
	w := &writer{last: map[int64]time.Time{}, fail: errors.New("disk full")}
	log := new(strings.Builder)
	r := NewRecorder(w, slog.New(slog.NewTextHandler(log, nil)))
	for round := range 3 {
		for i := range maxPending/2 + 10 {
			r.Touch(new(Mark), int64(round*maxPending+i+1), now())
		}
		r.flush(t.Context())
		if len(r.pending) > maxPending {
			t.Fatalf("%d wait, want at most %d", len(r.pending), maxPending)
		}
	}
	w.fail = nil
	r.flush(t.Context())
	if len(w.last) != maxPending || !strings.Contains(log.String(), "dropped") {
		t.Errorf("%d written; log: %s", len(w.last), log)
	}
}

// Touches and writes race; whatever the order, every key is written in the end.
func TestConcurrentTouches(t *testing.T) {
	w := &writer{last: map[int64]time.Time{}}
	r := NewRecorder(w, slog.New(slog.DiscardHandler))
	marks := make([]Mark, 50)
	const rounds, step = 200, int(Precision / time.Millisecond)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for round := range rounds {
				for i := range marks {
					r.Touch(&marks[i], int64(i+1), key.Millis(step*(round+1)+g))
				}
			}
		})
	}
	for range rounds {
		r.flush(t.Context())
	}
	wg.Wait()
	r.flush(t.Context())
	for i := range marks {
		if got := key.MillisOf(w.lastOf(int64(i + 1))); int(got) < step*rounds {
			t.Fatalf("key %d: %v, want at least %v", i+1, got, step*rounds)
		}
	}
}

func TestTouchAllocatesNothing(t *testing.T) {
	r := NewRecorder(&writer{}, slog.New(slog.DiscardHandler))
	var m Mark
	at := key.Millis(1)
	if n := testing.AllocsPerRun(1000, func() { at += 20_000; r.Touch(&m, 1, at) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
