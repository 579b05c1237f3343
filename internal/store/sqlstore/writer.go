package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// MaxBatch is how many transactions are committed together at most. It bounds how long the first one waits for the
// others, to some 20 ms of work.
const MaxBatch = 256

// Session is the one connection of a database that writes. It is for one goroutine at a time, and its calls, which do not
// watch contexts, end by themselves. Its errors are those of the storage contract.
type Session interface {
	Runner
	// Begin begins a transaction, now or with its first statement, from where on it sees all that was committed, and keeps others from
	// writing until it ends. Unless it is to be prompt, a statement may be left for later, and the error of a later one match ErrLate.
	Begin(prompt bool) error
	// Commit commits. The error matches store.ErrOutcomeUnknown where it may have been done all the same.
	Commit() error
	// Rollback undoes the transaction, whatever state it is in.
	Rollback()
	// Announce adds changes to what other nodes follow, in the transaction, and returns the number of the last one; 0 where
	// there are no other nodes.
	Announce(digests []key.Digest) (last int64, err error)
	// Lost reports whether, after a statement has failed with err, nothing of the transaction can be kept.
	Lost(err error) bool
}

// ErrLate: a statement that was left for later has failed, and which one is not known.
var ErrLate = errors.New("a statement that was left for later has failed")

// Writer owns the session that writes.
//
// Whoever wants a transaction queues for a turn. The writer's goroutine begins a transaction of the database, gives
// each in the queue a turn in it, one after the other, until nobody is left, commits, and tells all of them. So those
// that arrive while others wait for the disk share the next commit, and nobody ever waits for company.
//
// A turn that fails before it has changed anything costs the others nothing. Where one fails later, all is undone and the
// others take their turns again, without it: that is rare, and cheaper than a savepoint around each.
//
// A turn is taken on the goroutine of the caller of Update, so that whatever ends it, a panic or runtime.Goexit, ends
// the goroutine where it belongs.
type Writer struct {
	session Session
	queue   chan *call
	stopped chan struct{}
}

// NewWriter returns a Writer for a session, which is its own from then on. Close it, or its goroutine stays.
func NewWriter(s Session) *Writer {
	w := &Writer{session: s, queue: make(chan *call, MaxBatch), stopped: make(chan struct{})}
	go w.loop()
	return w
}

// Close ends the goroutine when the queue is empty. Nobody may be in Update any more.
func (w *Writer) Close() {
	close(w.queue)
	<-w.stopped
}

// Waiting returns how many calls of Update wait for a turn.
func (w *Writer) Waiting() int { return len(w.queue) }

// call is one call of Update.
type call struct {
	state    atomic.Int32 // waiting, then given up by the caller or begun by the writer
	turn     chan *turn
	finished chan struct{} // the turn is over
	outcome  chan outcome
}

const (
	waiting int32 = iota
	givenUp
	begun
)

type outcome struct {
	changes []store.Change
	err     error
}

// Update waits for a turn, runs fn in it, and waits until what fn did is on disk.
func (w *Writer) Update(ctx context.Context, fn func(store.Tx) error) ([]store.Change, error) {
	if ctx.Err() != nil {
		return nil, GaveUp(ctx)
	}
	c := &call{turn: make(chan *turn), finished: make(chan struct{}), outcome: make(chan outcome, 1)}
	select {
	case w.queue <- c:
	case <-ctx.Done():
		return nil, GaveUp(ctx)
	}
	ended := ctx.Done()
	for {
		select {
		case t := <-c.turn: // more than once where the first one was lost
			c.take(t, fn)
		case o := <-c.outcome:
			return o.changes, o.err
		case <-ended:
			if c.state.CompareAndSwap(waiting, givenUp) {
				return nil, GaveUp(ctx)
			}
			ended = nil // fn has begun: now the outcome must be known
		}
	}
}

// take runs fn in its turn.
func (c *call) take(t *turn, fn func(store.Tx) error) {
	defer func() { c.finished <- struct{}{} }()
	t.err = errUnfinished // stays where fn does not return
	err := fn(t.tx)
	t.err = err
}

// errUnfinished is the error of a turn whose function panicked or ended its goroutine. Nobody is left to get it.
var errUnfinished = errors.New("transaction did not come to an end")

// loop commits what is in the queue until that is closed.
func (w *Writer) loop() {
	defer close(w.stopped)
	for first := range w.queue {
		lost, apart := w.together(first, w.next, false)
		for len(lost) > 0 {
			lost, apart = w.again(lost, apart)
		}
	}
}

// again gives calls another turn whose first one was lost, all of them together or the first one alone. It returns those that have to
// wait for one more, each time at least one less, and whether they have to be apart.
func (w *Writer) again(lost []*call, apart bool) ([]*call, bool) {
	rest := lost[1:]
	redo, fault := w.together(lost[0], func() *call {
		if apart || len(rest) == 0 {
			return nil
		}
		c := rest[0]
		rest = rest[1:]
		return c
	}, apart)
	return append(redo, rest...), apart || fault
}

// next returns the next call in the queue, nil where none has arrived.
func (w *Writer) next() *call {
	select {
	case c := <-w.queue: // nil where the queue is closed
		return c
	default:
		return nil
	}
}

// together gives turns to first and those that next returns, and commits them all. It returns the calls that have to
// run again, because what they did was lost with another: apart, each for itself, where that was the database's fault or it is not known
// whose it was.
func (w *Writer) together(first *call, next func() *call, prompt bool) (redo []*call, apart bool) {
	if err := w.session.Begin(prompt); err != nil {
		first.answer(nil, err)
		for range MaxBatch { // who comes later may find the database well again
			c := next()
			if c == nil {
				break
			}
			c.answer(nil, err)
		}
		return nil, false
	}
	known := callers{}
	dirty := false
	var kept []*turn // those that have changed something, and those that may have seen it
	for c, n := first, 1; c != nil; c, n = next(), n+1 {
		if c.begin() {
			t := w.give(c, known)
			if t.lost {
				w.session.Rollback()
				if errors.Is(t.failed, ErrLate) {
					return callsOf(append(kept, t)), true
				}
				c.answer(nil, t.err)
				return callsOf(kept), errors.Is(t.err, store.ErrUnavailable)
			}
			if dirty = dirty || t.err == nil && t.changed(); dirty {
				kept = append(kept, t)
			} else {
				c.answer(nil, t.err)
			}
		}
		if n == MaxBatch {
			break
		}
	}

	err := AppendAudit(context.Background(), w.session, entries(kept))
	if err == nil {
		err = w.announce(kept)
	}
	if err == nil {
		err = w.session.Commit()
	}
	if err != nil {
		w.session.Rollback()
		if errors.Is(err, ErrLate) {
			return callsOf(kept), true
		}
		if !errors.Is(err, store.ErrOutcomeUnknown) {
			unnumber(kept)
		}
	}
	for _, t := range kept {
		switch {
		case t.err == nil:
			// Also where the outcome is not known: nobody may go on trusting what it has changed.
			t.call.answer(t.tx.Changes(), err)
		case err == nil:
			t.call.answer(nil, t.err)
		default:
			// What it failed on may be what was just undone.
			t.call.answer(nil, err)
		}
	}
	return nil, false
}

// entries returns what the turns that succeeded have recorded for the audit log.
func entries(kept []*turn) (all []audit.Entry) {
	for _, t := range kept {
		if t.err == nil {
			all = append(all, t.tx.Entries()...)
		}
	}
	return all
}

// announce tells other nodes what the turns that succeeded have changed.
func (w *Writer) announce(kept []*turn) error {
	var digests []key.Digest
	for _, t := range kept {
		if t.err == nil {
			for _, c := range t.tx.changes {
				digests = append(digests, c.Digest)
			}
		}
	}
	if len(digests) == 0 {
		return nil
	}
	last, err := w.session.Announce(digests)
	for _, t := range kept {
		for i := range t.tx.changes {
			t.tx.changes[i].ID = last
		}
	}
	return err
}

// unnumber takes the numbers from changes that were not made: other nodes will not hear of them, so nobody is to wait for it.
func unnumber(kept []*turn) {
	for _, t := range kept {
		for i := range t.tx.changes {
			t.tx.changes[i].ID = 0
		}
	}
}

// callsOf returns the calls of turns that were lost.
func callsOf(lost []*turn) (calls []*call) {
	for _, t := range lost {
		if !errors.Is(t.err, errUnfinished) {
			calls = append(calls, t.call)
		}
	}
	return calls
}

// begin reports whether the call wants its turn still.
func (c *call) begin() bool {
	return c.state.CompareAndSwap(waiting, begun) || c.state.Load() == begun
}

// answer ends a call.
func (c *call) answer(changes []store.Change, err error) { c.outcome <- outcome{changes, err} }

// give gives a call its turn and waits for the end of that.
func (w *Writer) give(c *call, known callers) *turn {
	t := &turn{session: w.session, call: c}
	t.tx = &Tx{Reader: Reader{t}, callers: known, usable: t.may}
	c.turn <- t
	<-c.finished
	t.end()
	return t
}

// GaveUp is the error of a call whose context ended while it waited.
func GaveUp(ctx context.Context) error {
	return fmt.Errorf("%w: gave up waiting: %w", store.ErrUnavailable, ctx.Err())
}
