// Package usage gathers in memory what checks leave behind, and writes it to the store in batches: how many there were of each
// key, by outcome and hour, and when a key was used last.
//
// A check must never write to the database and never wait for one. All it does is to add one to a number beside the cached key; the
// first one since those numbers were collected puts them into a list as well. Every Interval of the clock a Recorder collects what is
// in the list, so that an hour's checks are collected when it ends, and writes it. What was not written yet is lost when the
// process is killed; a clean stop writes it.
package usage

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

const (
	// Interval is the time between two collections, each at a multiple of it by the clock. It divides an hour. A key's last use as it
	// is kept is the first one in an Interval, so it is at most two of them, and the time a write takes, behind: well under the minute
	// that is promised.
	Interval = 10 * time.Second

	// batch is the number of rows written in one transaction: small enough that changes made by people, which wait for the same
	// writer, do not notice.
	batch = 500

	// maxListed is how many keys are counted before they are collected early: whoever is in the list stays in memory, also where the
	// cache has dropped it.
	maxListed = 1 << 16

	// maxWaiting bounds the memory of what waits for a database that cannot be written, to some 100 MB.
	maxWaiting = 1 << 20
)

// Writer is the part of a store that a Recorder needs.
type Writer interface {
	Update(ctx context.Context, fn func(store.Tx) error) ([]store.Change, error)
}

// Recorder collects what tallies hold and writes it. Its methods are safe for concurrent use.
type Recorder struct {
	writer Writer
	log    *slog.Logger

	head   atomic.Pointer[Tally] // of the list of those to collect, which ends with end
	end    Tally
	listed atomic.Int32
	full   chan struct{} // the list is long

	mu      sync.Mutex
	since   time.Time // when was collected last
	waiting map[counted]sum
	room    int   // how many may wait
	dropped int64 // checks that found no room since the last write
}

// counted is what is counted for: a row of what is written.
type counted struct {
	organizationID, keyID int64
	hour                  int64 // since 1970
	outcome               key.Outcome
}

type sum struct {
	checks int64
	used   key.Millis // with CheckValid alone
}

// NewRecorder returns a Recorder that writes to w.
func NewRecorder(w Writer, log *slog.Logger) *Recorder {
	r := &Recorder{writer: w, log: log, full: make(chan struct{}, 1), since: time.Now(), waiting: map[counted]sum{}, room: maxWaiting}
	r.head.Store(&r.end)
	return r
}

// Add counts n checks of a key in the hour that at is in, which somebody else has made. It never waits for the database.
func (r *Recorder) Add(keyID, organizationID int64, o key.Outcome, n int64, at time.Time) {
	if o == key.CheckNotFound || n <= 0 {
		return
	}
	s := sum{checks: n}
	if o == key.CheckValid {
		s.used = key.MillisOf(at)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(counted{organizationID, keyID, hourOf(at), o}, s)
}

func hourOf(at time.Time) int64 { return at.Unix() / int64(time.Hour/time.Second) }

// add adds to what waits, as far as there is room. The lock is held.
func (r *Recorder) add(c counted, s sum) {
	old, ok := r.waiting[c]
	if !ok && len(r.waiting) >= r.room {
		r.dropped += s.checks
		return
	}
	r.waiting[c] = sum{old.checks + s.checks, max(old.used, s.used)}
}

// Run collects every Interval and writes what was collected, until ctx is done, then once more, so that a clean stop loses
// nothing that was counted.
func (r *Recorder) Run(ctx context.Context) {
	collected := make(chan struct{}, 1)
	var writing sync.WaitGroup
	writing.Go(func() {
		for range collected {
			r.write(ctx)
		}
	})
	for r.wait(ctx) {
		r.collect() // on time, however long it takes to write
		select {
		case collected <- struct{}{}:
		default: // what is written next is all there is
		}
	}
	close(collected)
	writing.Wait()
	r.collect()
	r.write(context.WithoutCancel(ctx))
}

// wait waits until it is time to collect. It returns false where ctx is done.
func (r *Recorder) wait(ctx context.Context) bool {
	now := time.Now()
	timer := time.NewTimer(now.Truncate(Interval).Add(Interval).Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.full:
	case <-ctx.Done():
		return false
	}
	return true
}

// collect takes what was counted since it was called last. All of it counts for the hour in which that was: at the end of each hour it
// is called anew. Where the clock was set back meanwhile, nothing counts for a time to come.
func (r *Recorder) collect() {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	begun := r.since
	if begun.After(now) {
		begun = now
	}
	r.since = now
	hour, millis := hourOf(begun), key.MillisOf(now)
	r.take(func(k *key.Record, o key.Outcome, n int64) {
		r.add(counted{k.OrganizationID, k.KeyID, hour, o}, sum{checks: n})
	}, func(k *key.Record, low uint32) {
		r.add(counted{k.OrganizationID, k.KeyID, hour, key.CheckValid}, sum{used: wholeTime(low, millis)})
	})
}

// row is what is written at once.
type row struct {
	counted
	sum
}

// write writes what was collected so far. What cannot be written now is kept for the next time.
func (r *Recorder) write(ctx context.Context) {
	rows := r.takeWaiting()
	for len(rows) > 0 {
		n := min(batch, len(rows))
		err := r.writeRows(ctx, rows[:n])
		switch {
		case errors.Is(err, store.ErrOutcomeUnknown): // written again, it might be counted twice
			r.log.Warn("usage may not be written", "rows", n, "error", err)
		case err != nil:
			r.log.Warn("usage not written, will try again", "rows", len(rows), "error", err)
			r.putBack(rows)
			return
		}
		rows = rows[n:]
	}
}

// takeWaiting returns what waits, in the order in which the database has it.
func (r *Recorder) takeWaiting() []row {
	r.mu.Lock()
	waiting, dropped := r.waiting, r.dropped
	r.waiting, r.dropped = map[counted]sum{}, 0
	r.mu.Unlock()
	if dropped > 0 {
		r.log.Warn("usage dropped: too much waits for the database", "checks", dropped)
	}
	rows := make([]row, 0, len(waiting))
	for c, s := range waiting {
		rows = append(rows, row{c, s})
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.organizationID, b.organizationID), cmp.Compare(a.keyID, b.keyID), cmp.Compare(a.hour, b.hour),
			cmp.Compare(a.outcome, b.outcome))
	})
	return rows
}

// writeRows writes rows in one transaction.
func (r *Recorder) writeRows(ctx context.Context, rows []row) error {
	uses, checks := make([]store.Use, 0, len(rows)), make([]store.Checks, 0, len(rows))
	for _, w := range rows {
		if w.used != 0 {
			uses = append(uses, store.Use{KeyID: w.keyID, At: w.used.Time()})
		}
		checks = append(checks, store.Checks{OrganizationID: w.organizationID, KeyID: w.keyID, At: time.Unix(w.hour*3600, 0),
			Outcome: w.outcome, Count: w.checks})
	}
	_, err := r.writer.Update(ctx, func(tx store.Tx) error {
		if err := tx.SetLastUsed(ctx, uses); err != nil {
			return err
		}
		return tx.AddUsage(ctx, checks)
	})
	return err
}

// putBack keeps rows for the next time, as far as there is room beside what was collected in the meantime.
func (r *Recorder) putBack(rows []row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range rows {
		r.add(w.counted, w.sum)
	}
}
