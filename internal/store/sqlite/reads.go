package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"runtime"

	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// reads runs queries outside of transactions. It is a sqlstore.Runner that changes nothing.
type reads struct {
	file *file
	gate *sqlstore.Gate
	// Single rows and lists have connections of their own: a list may take seconds, and a check must not wait for it.
	points, lists pool
	// free holds a place for each connection for single rows. Whoever waits for one watches their context here; the
	// pool, which is asked without a context, then has one at once.
	free chan struct{}
}

// pool is a number of connections with prepared statements.
type pool struct {
	db *sql.DB
	prepared
}

// Each connection takes some 2.5 MB at most. More than a few gain nothing: a query for one row takes 15 µs.
const (
	maxPointConnections = 8
	listConnections     = 2
)

func openReads(f *file, g *sqlstore.Gate) (_ *reads, err error) {
	r := &reads{file: f, gate: g}
	n := min(max(2, runtime.GOMAXPROCS(0)), maxPointConnections)
	r.free = make(chan struct{}, n)
	if r.points.db, err = f.connect(reading, n); err != nil {
		return nil, err
	}
	if r.lists.db, err = f.connect(reading, listConnections); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// checkSchema returns store.ErrSchema where the schema is not one that this program can work on.
func (r *reads) checkSchema(ctx context.Context) error {
	return failure(ctx, r.file.checkSchema(ctx, r.points.db))
}

func (r *reads) prepare(ctx context.Context) error {
	queries := func(s sqlstore.Statement) bool { return !s.Writes() }
	for _, p := range []*pool{&r.points, &r.lists} {
		if err := p.prepare(ctx, p.db, queries); err != nil {
			return err
		}
	}
	return nil
}

func (r *reads) close() error {
	var errs []error
	for _, p := range []*pool{&r.points, &r.lists} {
		if p.db != nil {
			errs = append(errs, p.prepared.close(), p.db.Close())
		}
	}
	return errors.Join(errs...)
}

// One gives the first row of the answer to scan. A query for one row ends within microseconds, and watching a context
// would cost the driver more than that: only the wait for a connection does.
func (r *reads) One(ctx context.Context, s sqlstore.Statement, scan func(sqlstore.Row) error, args ...any) error {
	if err := r.gate.Enter(); err != nil {
		return err
	}
	defer r.gate.Leave()
	if err := r.wait(ctx); err != nil {
		return err
	}
	defer func() { <-r.free }()
	return r.points.one(context.Background(), s, scan, args)
}

// wait takes a place at a connection for single rows.
func (r *reads) wait(ctx context.Context) error {
	if ctx.Err() != nil {
		return sqlstore.GaveUp(ctx)
	}
	select {
	case r.free <- struct{}{}:
		return nil
	case <-ctx.Done():
		return sqlstore.GaveUp(ctx)
	}
}

// Each gives every row of the answer to scan, until ctx ends.
func (r *reads) Each(ctx context.Context, s sqlstore.Statement, scan func(sqlstore.Row) error, args ...any) error {
	if err := r.gate.Enter(); err != nil {
		return err
	}
	defer r.gate.Leave()
	if s != sqlstore.ListMemberships && s != sqlstore.ListSessions {
		return r.lists.each(ctx, s, scan, args)
	}
	if err := r.wait(ctx); err != nil { // as short as a single row
		return err
	}
	defer func() { <-r.free }()
	return r.points.each(context.Background(), s, scan, args)
}

// Exec returns ErrReadOnly.
func (*reads) Exec(context.Context, sqlstore.Statement, ...any) (int64, error) { return 0, ErrReadOnly }

// ExecEach returns ErrReadOnly.
func (*reads) ExecEach(context.Context, sqlstore.Statement, [][]any) error { return ErrReadOnly }

// Insert returns ErrReadOnly.
func (*reads) Insert(context.Context, sqlstore.Statement, ...any) (int64, error) {
	return 0, ErrReadOnly
}
