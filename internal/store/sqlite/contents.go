package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// Contents is all that is in a database file, to be taken elsewhere. While it is open, nobody changes the file: no server can
// have it, and no other process that writes beside one.
type Contents struct {
	file *file
	db   *sql.DB
	tx   *sql.Tx
}

// OpenContents opens a database that no server has. It returns store.ErrSchema where the schema is not the one that this
// program knows, and an error where there is no file.
func OpenContents(ctx context.Context, path string) (_ *Contents, err error) {
	f, err := openFile(Options{Path: path})
	if err != nil {
		return nil, err
	}
	c := &Contents{file: f}
	defer func() {
		if err != nil {
			err = f.explain(errors.Join(err, c.close()))
		}
	}()
	if c.db, err = f.connect(writing, 1); err != nil {
		return nil, err
	}
	version, err := schemaVersion(ctx, c.db)
	if err != nil {
		return nil, failure(ctx, err)
	}
	if err := sqlstore.Same(f.newest(), version); err != nil { // it would leave behind what it does not know
		return nil, err
	}
	// The turn to write is taken, and nothing is written. The transaction must outlive what a context ends in it.
	if c.tx, err = c.db.BeginTx(context.WithoutCancel(ctx), nil); err != nil {
		return nil, failure(ctx, err)
	}
	return c, nil
}

// Count returns how many rows a table has.
func (c *Contents) Count(ctx context.Context, t sqlstore.Table) (n int64, err error) {
	err = c.tx.QueryRowContext(ctx, `SELECT count(*) FROM `+t.Name).Scan(&n)
	return n, failure(ctx, err)
}

// Highest returns the highest key that was ever given in a table, also where that row is gone.
func (c *Contents) Highest(ctx context.Context, t sqlstore.Table) (n int64, err error) {
	err = c.tx.QueryRowContext(ctx, `SELECT max(coalesce((SELECT max(`+t.Columns[0].Name+`) FROM `+t.Name+`), 0),
		coalesce((SELECT seq FROM sqlite_sequence WHERE name = $1), 0))`, t.Name).Scan(&n)
	return n, failure(ctx, err)
}

// Rows returns the rows of a table in the order of its key.
func (c *Contents) Rows(ctx context.Context, t sqlstore.Table) (sqlstore.Rows, error) {
	found, err := c.tx.QueryContext(ctx, t.Select(" COLLATE BINARY"))
	if err != nil {
		return nil, failure(ctx, err)
	}
	return &rows{Rows: found, ctx: ctx, table: t}, nil
}

// rows are sqlstore.Rows.
type rows struct {
	*sql.Rows
	ctx   context.Context
	table sqlstore.Table
}

// Values returns the row.
func (r *rows) Values() ([]any, error) {
	values := make([]any, len(r.table.Columns))
	into := make([]any, len(values))
	for i := range values {
		into[i] = &values[i]
	}
	if err := r.Scan(into...); err != nil {
		return nil, failure(r.ctx, err)
	}
	for i, column := range r.table.Columns {
		n, ok := values[i].(int64)
		if column.Kind != sqlstore.Boolean || !ok {
			continue
		}
		if n != 0 && n != 1 {
			return nil, fmt.Errorf("%s is %d, which is neither true nor false", column.Name, n)
		}
		values[i] = n == 1
	}
	return values, nil
}

// Err returns why reading failed.
func (r *rows) Err() error { return failure(r.ctx, r.Rows.Err()) }

// Close lets go of the file.
func (c *Contents) Close() error {
	if err := c.close(); err != nil {
		return c.file.explain(err)
	}
	return nil
}

func (c *Contents) close() error {
	var errs []error
	if c.tx != nil {
		errs = append(errs, c.tx.Rollback())
	}
	if c.db != nil {
		errs = append(errs, c.db.Close())
	}
	return errors.Join(append(errs, c.file.close())...)
}
