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
		r.Touch(&marks[0], 1, now())
		stop()
		if got := w.lastOf(1); !got.After(used.Time()) {
			t.Error("a clean stop lost the last use")
		}
	})
}

func TestTheNewestTimeIsWrittenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writer{last: map[int64]time.Time{}}
		r, _, stop := start(t, w)
		var m Mark
		var last key.Millis
		for range 10 {
			last = now()
			r.Touch(&m, 1, last)
			time.Sleep(time.Second)
		}
		stop()
		if got := w.lastOf(1); !got.Equal(last.Time()) || w.calls != 1 {
			t.Errorf("last used %v in %d writes, want %v in one", got, w.calls, last.Time())
		}
	})
}

func TestAFailedWriteIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writer{last: map[int64]time.Time{}, fail: errors.New("disk full")}
		r, log, stop := start(t, w)
		defer stop()
		marks := make([]Mark, 2*batch+1)
		for i := range marks {
			r.Touch(&marks[i], int64(i+1), now())
		}
		time.Sleep(Interval)
		synctest.Wait()
		if !strings.Contains(log.String(), "disk full") {
			t.Errorf("the log says nothing: %q", log)
		}
		again := now()
		r.Touch(&marks[0], 1, again) // is in the list already: must be there once
		w.mu.Lock()
		w.fail, w.calls = nil, 0
		w.mu.Unlock()
		time.Sleep(Interval)
		synctest.Wait()
		if len(w.last) != len(marks) || w.calls != 3 {
			t.Errorf("%d keys in %d writes, want %d in 3", len(w.last), w.calls, len(marks))
		}
		if got := w.lastOf(1); !got.Equal(again.Time()) {
			t.Errorf("key 1: %v, want %v", got, again.Time())
		}
	})
}

// Touches and writes race; whatever the order, the last touch is written in the end.
func TestConcurrentTouches(t *testing.T) {
	w := &writer{last: map[int64]time.Time{}}
	r := NewRecorder(w, slog.New(slog.DiscardHandler))
	marks := make([]Mark, 50)
	const rounds = 200
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for round := range rounds {
				for i := range marks {
					r.Touch(&marks[i], int64(i+1), key.Millis(2000*(round+1)+g))
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
		if got := key.MillisOf(w.lastOf(int64(i + 1))); got < 2000*rounds {
			t.Fatalf("key %d: %v, want at least %v", i+1, got, 2000*rounds)
		}
	}
}

func TestTouchAllocatesNothing(t *testing.T) {
	r := NewRecorder(&writer{}, slog.New(slog.DiscardHandler))
	var m Mark
	at := key.Millis(1)
	if n := testing.AllocsPerRun(1000, func() { at += 2000; r.Touch(&m, 1, at) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
