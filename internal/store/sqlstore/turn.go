package sqlstore

import (
	"context"
	"errors"

	"github.com/apikeyd/apikeyd/internal/store"
)

// turn is one call's part of a transaction of the database. It is the Runner of that call's Tx.
//
// Its statements do not watch contexts: a turn lasts as long as its statements, and its end
// has to be known.
type turn struct {
	session Session
	call    *call
	tx      *Tx

	err    error // how the function ended
	wrote  bool  // a statement has changed something
	failed error // what a statement failed on, after which nothing that was done can be kept
	lost   bool  // nothing of the whole transaction can be kept
	over   bool
}

var errOver = errors.New("transaction is over")

// may returns why no statement can run any more.
func (t *turn) may() error {
	if t.over {
		return errOver
	}
	return t.failed
}

// fail notes that nothing of the turn can be kept.
func (t *turn) fail(err error) error {
	t.failed = err
	t.lost = t.lost || t.session.Lost(err)
	return err
}

// end says how the turn came out.
func (t *turn) end() {
	t.over = true
	if t.err == nil {
		t.err = t.failed
	}
	t.lost = t.lost || t.wrote && t.err != nil
}

// One gives the first row of the answer to scan.
func (t *turn) One(_ context.Context, s Statement, scan func(Row) error, args ...any) error {
	if err := t.may(); err != nil {
		return err
	}
	return t.read(t.session.One(context.Background(), s, scan, args...))
}

// Each gives every row of the answer to scan.
func (t *turn) Each(_ context.Context, s Statement, scan func(Row) error, args ...any) error {
	if err := t.may(); err != nil {
		return err
	}
	if !s.Writes() {
		return t.read(t.session.Each(context.Background(), s, scan, args...))
	}
	t.tx.callers.forget(s)
	t.wrote = true // perhaps before it fails
	if err := t.session.Each(context.Background(), s, scan, args...); err != nil {
		return t.fail(err)
	}
	return nil
}

// read notes the failure of a query where it is one of the database.
func (t *turn) read(err error) error {
	if err != nil && !errors.Is(err, store.ErrNotFound) && t.session.Lost(err) {
		return t.fail(err)
	}
	return err
}

// Exec returns how many rows were changed.
func (t *turn) Exec(_ context.Context, s Statement, args ...any) (int64, error) {
	if err := t.may(); err != nil {
		return 0, err
	}
	t.tx.callers.forget(s)
	n, err := t.session.Exec(context.Background(), s, args...)
	if err != nil {
		return 0, t.fail(err)
	}
	t.wrote = true
	return n, nil
}

// ExecEach runs a statement once for each list of arguments.
func (t *turn) ExecEach(_ context.Context, s Statement, args [][]any) error {
	if err := t.may(); err != nil {
		return err
	}
	t.tx.callers.forget(s)
	t.wrote = true // perhaps before it fails
	if err := t.session.ExecEach(context.Background(), s, args); err != nil {
		return t.fail(err)
	}
	return nil
}

// Insert returns the id of the new row.
func (t *turn) Insert(_ context.Context, s Statement, args ...any) (int64, error) {
	if err := t.may(); err != nil {
		return 0, err
	}
	t.tx.callers.forget(s)
	t.wrote = true // perhaps before it fails
	id, err := t.session.Insert(context.Background(), s, args...)
	if err != nil {
		return 0, t.fail(err)
	}
	return id, nil
}

// changed reports whether there is something to commit.
func (t *turn) changed() bool { return t.wrote || len(t.tx.entries) > 0 || len(t.tx.changes) > 0 }
