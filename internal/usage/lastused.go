// Package usage gathers in memory what checks leave behind, and writes it to the store in batches.
//
// A check must never write to the database and never wait for one, so all it does is to note a time in a Mark that
// stands beside the cached key. A Recorder collects the marks that were touched and writes them from time to
// time. What was noted since the last write is lost when the process is killed; a clean stop writes it.
package usage

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

const (
	// Interval is the time between two writes. A key's last use is thus at most this, and the time a write takes,
	// behind: well under the minute that is promised.
	Interval = 15 * time.Second

	// batch is the number of keys written in one transaction: small enough that changes made by people, which wait
	// for the same writer, do not notice.
	batch = 500

	// precision is how far a mark may lag behind the use it notes. Keys that are checked all the time are so
	// spared a write to memory that every processor reads.
	precision = key.Millis(time.Second / time.Millisecond)
)

// Mark notes when one key was last used. The zero Mark is ready; it must not be copied.
type Mark struct {
	at     atomic.Int64 // key.Millis
	queued atomic.Bool  // it stands in the recorder's list
}

// Writer is the part of a store that a Recorder needs.
type Writer interface {
	Update(ctx context.Context, fn func(store.Tx) error) ([]store.Change, error)
}

// Recorder collects last-used times. Its methods are safe for concurrent use.
type Recorder struct {
	writer Writer
	log    *slog.Logger

	mu      sync.Mutex
	touched []touched
}

type touched struct {
	mark  *Mark
	keyID int64
}

// NewRecorder returns a Recorder that writes to w.
func NewRecorder(w Writer, log *slog.Logger) *Recorder { return &Recorder{writer: w, log: log} }

// Touch notes that the key was used now. It does not wait for the database, and for a key that was noted within
// the last second it only reads.
func (r *Recorder) Touch(m *Mark, keyID int64, now key.Millis) {
	if at := key.Millis(m.at.Load()); now >= at && now < at+precision {
		return
	}
	m.at.Store(int64(now))
	if m.queued.CompareAndSwap(false, true) {
		r.mu.Lock()
		r.touched = append(r.touched, touched{m, keyID})
		r.mu.Unlock()
	}
}

// Run writes every Interval until ctx is done, then once more, so that a clean stop loses nothing.
func (r *Recorder) Run(ctx context.Context) {
	ticker := time.NewTicker(Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.flush(ctx)
		case <-ctx.Done():
			r.flush(context.WithoutCancel(ctx))
			return
		}
	}
}

// flush writes what was noted so far. What cannot be written now is kept for the next time.
func (r *Recorder) flush(ctx context.Context) {
	r.mu.Lock()
	todo := r.touched
	r.touched = nil
	r.mu.Unlock()

	uses := make([]store.Use, 0, batch)
	for len(todo) > 0 {
		n := min(batch, len(todo))
		uses = uses[:0]
		for _, t := range todo[:n] {
			// The order matters: a Touch that comes after this line puts the mark into the list again.
			t.mark.queued.Store(false)
			uses = append(uses, store.Use{KeyID: t.keyID, At: key.Millis(t.mark.at.Load()).Time()})
		}
		_, err := r.writer.Update(ctx, func(tx store.Tx) error { return tx.SetLastUsed(ctx, uses) })
		if err != nil {
			r.log.Warn("last-used times not written, will try again", "keys", len(todo), "error", err)
			r.putBack(todo)
			return
		}
		todo = todo[n:]
	}
}

// putBack queues marks again, save those that were touched anew in the meantime and so stand in the list already.
func (r *Recorder) putBack(todo []touched) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, t := range todo {
		if i >= batch || t.mark.queued.CompareAndSwap(false, true) { // beyond the batch none was taken off
			r.touched = append(r.touched, t)
		}
	}
}
