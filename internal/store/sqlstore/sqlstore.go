// Package sqlstore is what the SQL databases have in common: the text of their statements, and what stands between a
// statement and a value of the domain.
//
// The statements keep to what SQLite and PostgreSQL both understand: parameters are $1, $2, …, and nothing is
// computed by the database that Go can compute, the time above all, so that both hold the same values. A
// statement that has to differ has no text here; each database gives its own.
//
// The package opens nothing and runs nothing. A database lends it a Runner, and gets the methods of the storage
// contract for it.
package sqlstore

import (
	"context"
	"errors"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/store"
)

// Row is one row of an answer.
type Row interface {
	Scan(dest ...any) error
}

// Runner runs statements, each for itself or all in one transaction. Its errors are those of the storage contract.
type Runner interface {
	// One gives the first row of the answer to scan. It returns store.ErrNotFound where there is no row.
	One(ctx context.Context, s Statement, scan func(Row) error, args ...any) error
	// Each gives every row of the answer to scan. Where the statement changes something, it may do so only before the next call
	// that has a result to return.
	Each(ctx context.Context, s Statement, scan func(Row) error, args ...any) error
	// Exec returns how many rows were changed.
	Exec(ctx context.Context, s Statement, args ...any) (int64, error)
	// ExecEach runs a statement once for each list of arguments, in their order. It ends at the first that fails.
	ExecEach(ctx context.Context, s Statement, args [][]any) error
	// Insert returns the id that the database gave to the row.
	Insert(ctx context.Context, s Statement, args ...any) (int64, error)
}

// Reader is store.Reader and store.Tokens over a Runner.
type Reader struct{ run Runner }

// NewReader returns a Reader that runs its statements on r.
func NewReader(r Runner) Reader { return Reader{r} }

// all returns every row of an answer.
func all[T any](ctx context.Context, run Runner, s Statement, scan func(Row) (T, error), args ...any) ([]T, error) {
	var rows []T
	err := run.Each(ctx, s, func(row Row) error {
		one, err := scan(row)
		rows = append(rows, one)
		return err
	}, args...)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

var errLimit = errors.New("the limit of a page must be positive")

// page returns every row of an answer that has at most limit of them.
func page[T any](ctx context.Context, run Runner, s Statement, limit int, scan func(Row) (T, error), args ...any) ([]T, error) {
	if limit <= 0 {
		return nil, errLimit
	}
	return all(ctx, run, s, scan, args...)
}

// Tx is store.Tx over a Runner that runs everything in one transaction. It is for one goroutine at a time.
type Tx struct {
	Reader
	changes []store.Change
	entries []audit.Entry
	callers callers      // of this transaction and those that are committed together with it
	usable  func() error // why no statement can run any more
}

// Changes returns the changes that were recorded so far.
func (t *Tx) Changes() []store.Change { return t.changes }

var (
	_ store.Reader = Reader{}
	_ store.Tokens = Reader{}
	_ store.Tx     = (*Tx)(nil)
)
