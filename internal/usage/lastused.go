// Package usage gathers in memory what checks leave behind, and writes it to the store in batches.
//
// A check must never write to the database and never wait for one, so all it does is to note that a key was used: at
// most once every few seconds for each key, in a list that a Recorder writes from time to time. What was noted since the
// last write is lost when the process is killed; a clean stop writes it.
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
	// Interval is the time between two writes.
	Interval = 15 * time.Second

	// Precision is how far the noted time may lie behind the last use: a key that is checked all the time is noted
	// once in this time, and costs only a read otherwise. A key's last use is thus at most Interval and Precision,
	// and the time a write takes, behind: well under the minute that is promised.
	Precision = 15 * time.Second

	// batch is the number of keys written in one transaction: small enough that changes made by people, which wait
	// for the same writer, do not notice.
	batch = 500

	// maxPending bounds the memory of what waits for a database that cannot be written: 16 bytes each.
	maxPending = 1 << 20
)

// Mark remembers when one key was last noted. The zero Mark is ready; it must not be copied.
type Mark struct {
	at atomic.Int64 // key.Millis
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
	pending []use
	dropped int // uses that found no room since the last write
}

type use struct {
	keyID int64
	at    key.Millis
}

// NewRecorder returns a Recorder that writes to w.
func NewRecorder(w Writer, log *slog.Logger) *Recorder { return &Recorder{writer: w, log: log} }

// Touch notes that the key was used now. It never waits for the database.
func (r *Recorder) Touch(m *Mark, keyID int64, now key.Millis) {
	const precision = key.Millis(Precision / time.Millisecond)
	last := m.at.Load()
	if at := key.Millis(last); now >= at && now < at+precision {
		return
	}
	if !m.at.CompareAndSwap(last, int64(now)) {
		return // another check of the same key has just noted it
	}
	r.mu.Lock()
	if len(r.pending) < maxPending {
		r.pending = append(r.pending, use{keyID, now})
	} else {
		r.dropped++
	}
	r.mu.Unlock()
}

// Run writes every Interval until ctx is done, then once more, so that a clean stop loses nothing that was noted.
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
	todo, dropped := r.pending, r.dropped
	r.pending, r.dropped = nil, 0
	r.mu.Unlock()
	if dropped > 0 {
		r.log.Warn("last-used times dropped: too many wait for the database", "keys", dropped)
	}

	uses := make([]store.Use, 0, min(batch, len(todo)))
	for len(todo) > 0 {
		n := min(batch, len(todo))
		uses = uses[:0]
		for _, u := range todo[:n] {
			uses = append(uses, store.Use{KeyID: u.keyID, At: u.at.Time()})
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

// putBack keeps uses for the next time, as far as there is room beside what was noted in the meantime.
func (r *Recorder) putBack(todo []use) {
	r.mu.Lock()
	defer r.mu.Unlock()
	room := max(0, maxPending-len(r.pending))
	if len(todo) > room {
		r.dropped += len(todo) - room
		todo = todo[len(todo)-room:] // the newest
	}
	r.pending = append(todo, r.pending...)
}
