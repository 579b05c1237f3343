package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// How long reads may take. It is not how long they should take: it says when the database counts as away.
const (
	pointTimeout = 3 * time.Second
	listTimeout  = 30 * time.Second // of what may have to look at many rows
)

// How many connections for reads a node has at most. Single rows and lists have connections of their own: a list may take
// seconds, and a check must not wait for it. pool_max_conns says how many there are for single rows.
const (
	minPointConnections = 8
	maxPointConnections = 32
	listConnections     = 2
)

// pool is a number of connections that read.
type pool struct {
	*pgxpool.Pool
	// free holds a place for each connection. Whoever waits for one watches their context here; the pool then has one at
	// once, or makes one.
	free    chan struct{}
	timeout time.Duration
	// patient: a query goes on where the caller gives up. It ends by itself, and to give it up would cost its connection.
	patient bool
}

// reads runs queries outside of transactions. It is a sqlstore.Runner that changes nothing.
type reads struct {
	points, lists *pool
	gate          *sqlstore.Gate
	watch         *watch
}

// newReads returns reads that connect when they have to.
func newReads(d *dsn, g *sqlstore.Gate, w *watch) (_ *reads, err error) {
	r := &reads{gate: g, watch: w}
	n := d.points
	if n == 0 {
		n = min(max(minPointConnections, 2*runtime.GOMAXPROCS(0)), maxPointConnections)
	}
	if r.points, err = newReadPool(d, n, pointTimeout); err != nil {
		return nil, err
	}
	r.points.patient = true
	if r.lists, err = newReadPool(d, listConnections, listTimeout); err != nil {
		r.points.Close()
		return nil, err
	}
	return r, nil
}

func newReadPool(d *dsn, n int, timeout time.Duration) (*pool, error) {
	p, err := d.pool(n, timeout == listTimeout, setting{"default_transaction_read_only", "on"}, setting{"statement_timeout", milliseconds(timeout)})
	if err != nil {
		return nil, err
	}
	return &pool{Pool: p, free: make(chan struct{}, n), timeout: timeout}, nil
}

// reset makes connections be closed that were made before.
func (r *reads) reset() {
	r.points.Reset()
	r.lists.Reset()
}

func (r *reads) close() {
	r.points.Close()
	r.lists.Close()
}

// errReadOnly is what a statement that changes something gets outside of a transaction.
var errReadOnly = errors.New("changes are made in a transaction")

// One gives the first row of the answer to scan.
func (r *reads) One(ctx context.Context, s sqlstore.Statement, scan func(sqlstore.Row) error, args ...any) error {
	return r.run(ctx, r.points, func(ctx context.Context, conn *pgx.Conn) (bool, error) {
		return true, one(ctx, conn, s, scan, args)
	})
}

// Each gives every row of the answer to scan.
func (r *reads) Each(ctx context.Context, s sqlstore.Statement, scan func(sqlstore.Row) error, args ...any) error {
	p := r.lists
	if s == sqlstore.ListMemberships || s == sqlstore.ListSessions { // as short as a single row
		p = r.points
	}
	return r.run(ctx, p, func(ctx context.Context, conn *pgx.Conn) (bool, error) {
		began := false
		err := each(ctx, conn, s, func(row sqlstore.Row) error {
			began = true
			return scan(row)
		}, args)
		return !began, err
	})
}

// query runs a query, and reports whether it may be run again where it has failed.
type query func(context.Context, *pgx.Conn) (again bool, err error)

// run runs a query on a connection.
func (r *reads) run(ctx context.Context, p *pool, q query) error {
	if err := r.gate.Enter(); err != nil {
		return err
	}
	defer r.gate.Leave()
	if ctx.Err() != nil {
		return sqlstore.GaveUp(ctx)
	}
	if err := r.watch.err(); err != nil {
		return err
	}
	deadline := time.Now().Add(p.timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	err := p.wait(ctx, deadline)
	if err == nil {
		err = p.run(ctx, deadline, q)
	}
	if err != nil && ctx.Err() != nil {
		return sqlstore.GaveUp(ctx)
	}
	return r.watch.saw(err)
}

// wait takes a place at a connection.
func (p *pool) wait(ctx context.Context, deadline time.Time) error {
	select {
	case p.free <- struct{}{}:
		return nil
	default:
	}
	late := time.NewTimer(time.Until(deadline))
	defer late.Stop()
	select {
	case p.free <- struct{}{}:
		return nil
	case <-ctx.Done():
		return sqlstore.GaveUp(ctx)
	case <-late.C:
		return errBusy
	}
}

var errBusy = fmt.Errorf("%w: every connection is busy", store.ErrUnavailable)

// run runs a query in a place that was taken, and gives that back. It tries until it has had a connection that was good when it
// began: those that the server has closed since they were used last come to light only then, and there are no more of them than
// the pool has.
func (p *pool) run(ctx context.Context, deadline time.Time, q query) (err error) {
	defer func() { <-p.free }()
	if p.patient {
		ctx = context.Background()
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	for again, tries := true, cap(p.free)+1; again && tries > 0; tries-- {
		again, err = p.attempt(ctx, q)
	}
	return err
}

func (p *pool) attempt(ctx context.Context, q query) (again bool, err error) {
	conn, err := p.Acquire(ctx)
	if err != nil {
		return false, failure(err)
	}
	defer conn.Release()
	again, err = q(ctx, conn.Conn())
	ended := conn.Conn().IsClosed() && ctx.Err() == nil
	return again && err != nil && (ended || void(err)), err
}

// Exec, ExecEach and Insert return errReadOnly.
func (*reads) Exec(context.Context, sqlstore.Statement, ...any) (int64, error) { return 0, errReadOnly }
func (*reads) ExecEach(context.Context, sqlstore.Statement, [][]any) error     { return errReadOnly }
func (*reads) Insert(context.Context, sqlstore.Statement, ...any) (int64, error) {
	return 0, errReadOnly
}

func one(ctx context.Context, conn *pgx.Conn, s sqlstore.Statement, scan func(sqlstore.Row) error, args []any) error {
	return statementFailure(s, scan(row{conn.QueryRow(ctx, texts[s], args...)}))
}

func each(ctx context.Context, conn *pgx.Conn, s sqlstore.Statement, scan func(sqlstore.Row) error, args []any) error {
	rows, err := conn.Query(ctx, texts[s], args...)
	if err != nil {
		return statementFailure(s, err)
	}
	return statementFailure(s, scanEach(rows, scan))
}

func scanEach(rows pgx.Rows, scan func(sqlstore.Row) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := scan(row{rows}); err != nil {
			return err
		}
	}
	return rows.Err()
}

// row is a row of an answer. It reads values that may be NULL as the driver reads its own: by way of database/sql each would cost as
// much as all the rest of the row.
type row struct{ sqlstore.Row }

// Scan reads the row.
func (r row) Scan(dest ...any) error {
	for i, d := range dest {
		switch d := d.(type) {
		case *sql.NullInt64:
			dest[i] = (*pgtype.Int8)(d)
		case *sql.NullString:
			dest[i] = (*pgtype.Text)(d)
		case *sql.NullBool:
			dest[i] = (*pgtype.Bool)(d)
		case interface{ Null() *sql.NullInt64 }:
			dest[i] = (*pgtype.Int8)(d.Null())
		}
	}
	return r.Row.Scan(dest...)
}
