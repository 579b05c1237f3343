package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// maxBatch is how many transactions are committed together at most. It bounds how long the first one waits for the
// others, to some 20 ms of work.
const maxBatch = 256

// control is a statement that begins or ends something.
type control int

const (
	begin control = iota
	commit
	rollback
	savepoint
	release
	undo
	controls
)

var controlTexts = [controls]string{
	begin:     `BEGIN IMMEDIATE`,
	commit:    `COMMIT`,
	rollback:  `ROLLBACK`,
	savepoint: `SAVEPOINT turn`,
	release:   `RELEASE turn`,
	undo:      `ROLLBACK TO turn`,
}

// writer owns the connection that writes.
//
// Whoever wants a transaction queues for a turn. The writer's goroutine begins a transaction of the database, gives
// each in the queue a turn in it, one after the other, until nobody is left, commits, and tells all of them. So those
// that arrive while others wait for the disk share the next commit, and nobody ever waits for company.
//
// A turn is taken on the goroutine of the caller of Update, so that whatever ends it, a panic or runtime.Goexit, ends
// the goroutine where it belongs.
type writer struct {
	db   *sql.DB
	conn *sql.Conn
	prepared
	control [controls]*sql.Stmt

	queue   chan *call
	stopped chan struct{}
}

func openWriter(ctx context.Context, f *file) (_ *writer, err error) {
	w := &writer{queue: make(chan *call, maxBatch), stopped: make(chan struct{})}
	if w.db, err = f.connect(writing, 1); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.disconnect())
		}
	}()
	if w.conn, err = w.db.Conn(ctx); err != nil {
		return nil, err
	}
	var journal string
	if err := w.conn.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&journal); err != nil {
		return nil, err
	}
	if journal != "wal" {
		return nil, fmt.Errorf("its folder allows no write-ahead log, as one on a network may not (journal mode %s)", journal)
	}
	for c, text := range controlTexts {
		if w.control[c], err = w.conn.PrepareContext(ctx, text); err != nil {
			return nil, err
		}
	}
	if err := w.prepare(ctx, w.conn, func(sqlstore.Statement) bool { return true }); err != nil {
		return nil, err
	}
	go w.loop()
	return w, nil
}

// close ends the goroutine when the queue is empty. Nobody may be in update any more.
func (w *writer) close() error {
	close(w.queue)
	<-w.stopped
	return w.disconnect()
}

// disconnect closes the statements and the connection. One statement left open would keep SQLite from writing the log
// back into the file.
func (w *writer) disconnect() error {
	errs := []error{w.prepared.close()}
	for _, stmt := range w.control {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	if w.conn != nil {
		errs = append(errs, w.conn.Close())
	}
	return errors.Join(append(errs, w.db.Close())...)
}

// call is one call of update.
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

// update waits for a turn, runs fn in it, and waits until what fn did is on disk.
func (w *writer) update(ctx context.Context, fn func(store.Tx) error) ([]store.Change, error) {
	if ctx.Err() != nil {
		return nil, gaveUp(ctx)
	}
	c := &call{turn: make(chan *turn), finished: make(chan struct{}), outcome: make(chan outcome, 1)}
	select {
	case w.queue <- c:
	case <-ctx.Done():
		return nil, gaveUp(ctx)
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
				return nil, gaveUp(ctx)
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
func (w *writer) loop() {
	defer close(w.stopped)
	for first := range w.queue {
		for _, c := range w.together(first, w.next) {
			w.together(c, func() *call { return nil })
		}
	}
}

// next returns the next call in the queue, nil where none has arrived.
func (w *writer) next() *call {
	select {
	case c := <-w.queue: // nil where the queue is closed
		return c
	default:
		return nil
	}
}

// together gives turns to first and those that next returns, and commits them all. It returns the calls that have to
// run again, each for itself: what they did was lost because of another.
func (w *writer) together(first *call, next func() *call) (redo []*call) {
	if err := w.do(begin); err != nil {
		first.answer(nil, err)
		for range len(w.queue) { // who comes later may find the database well again
			if c := next(); c != nil {
				c.answer(nil, err)
			}
		}
		return nil
	}
	dirty := false
	var kept []*turn // those that have changed something, and those that may have seen it
	for c, n := first, 1; c != nil; c, n = next(), n+1 {
		if c.begin() {
			t := w.give(c)
			if t.lost {
				w.do(rollback) // fails where SQLite has done it
				c.answer(nil, t.err)
				return again(kept)
			}
			if dirty = dirty || t.err == nil && (t.wrote || len(t.tx.Entries()) > 0); dirty {
				kept = append(kept, t)
			} else {
				c.answer(nil, t.err)
			}
		}
		if n == maxBatch {
			break
		}
	}

	err := sqlstore.AppendAudit(context.Background(), w, entries(kept))
	if err == nil {
		err = w.doCommit()
	}
	if err != nil {
		w.do(rollback)
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
	return nil
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

// again returns the calls of turns that were lost.
func again(lost []*turn) (calls []*call) {
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

// doCommit commits. Where the disk took everything and then failed to confirm it, nobody can know whether it is kept.
func (w *writer) doCommit() error {
	err := w.do(commit)
	if outcomeUnknown(extended(err)) {
		return fmt.Errorf("%w: %v", store.ErrOutcomeUnknown, err) // not %w: it says unavailable, where nothing was done
	}
	return err
}

// give gives a call its turn and waits for the end of that.
func (w *writer) give(c *call) *turn {
	t := &turn{writer: w, call: c}
	t.tx = sqlstore.NewTx(t)
	c.turn <- t
	<-c.finished
	t.end()
	return t
}

// One, Each, Exec and Insert make the writer a sqlstore.Runner, for what is done in a transaction of the database and in
// nobody's turn.

// One gives the first row of the answer to scan.
func (w *writer) One(ctx context.Context, s sqlstore.Statement, scan func(sqlstore.Row) error, args ...any) error {
	return w.one(ctx, s, scan, args)
}

// Each gives every row of the answer to scan.
func (w *writer) Each(ctx context.Context, s sqlstore.Statement, scan func(sqlstore.Row) error, args ...any) error {
	return w.each(ctx, s, scan, args)
}

// Exec returns how many rows were changed.
func (w *writer) Exec(ctx context.Context, s sqlstore.Statement, args ...any) (int64, error) {
	result, err := w.exec(ctx, s, args)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Insert returns the id of the new row.
func (w *writer) Insert(ctx context.Context, s sqlstore.Statement, args ...any) (int64, error) {
	result, err := w.exec(ctx, s, args)
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

// do runs a statement that begins or ends something.
func (w *writer) do(c control) error {
	_, err := w.control[c].ExecContext(context.Background())
	return failure(context.Background(), err)
}
