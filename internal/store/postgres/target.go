package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// Target is an empty database that is filled in one transaction. Until that is committed there is nothing in it, for anybody
// else and after any interruption.
type Target struct {
	conn *pgx.Conn
	tx   pgx.Tx
}

// ErrNotEmpty: there is something in the database that was to be filled.
var ErrNotEmpty = errors.New("is not empty; only an empty one can be filled")

// OpenTarget opens a database to fill it, and creates the schema where there is none. It returns ErrNotEmpty where there is a row
// in any table.
func OpenTarget(ctx context.Context, dsn string) (_ *Target, err error) {
	d, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, d, Options{Migrate: true}, slog.New(slog.DiscardHandler)); err != nil {
		return nil, explain(err)
	}
	t := new(Target)
	if t.conn, err = pgx.ConnectConfig(ctx, d.connections()); err != nil {
		return nil, explain(failure(err))
	}
	defer func() {
		if err != nil {
			err = explain(errors.Join(err, t.Close()))
		}
	}()
	version, err := schemaVersion(ctx, t.conn)
	if err != nil {
		return nil, err
	}
	if err := sqlstore.Same(newest(), version); err != nil { // it would fill what it knows, and nothing else
		return nil, err
	}
	if t.tx, err = t.conn.Begin(ctx); err != nil {
		return nil, failure(err)
	}
	if err := t.lock(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// lock keeps everybody else from the tables, and makes sure that nobody was there before.
func (t *Target) lock(ctx context.Context) error {
	var names []string
	for _, table := range sqlstore.Tables {
		names = append(names, table.Name)
	}
	for _, statement := range []string{
		`SET LOCAL lock_timeout = '5s'`,
		// However long it takes: a transaction that comes to nothing leaves nothing.
		`SET LOCAL statement_timeout = 0`,
		`SET LOCAL idle_in_transaction_session_timeout = 0`,
		`LOCK TABLE ` + strings.Join(names, ", ") + ` IN EXCLUSIVE MODE`,
	} {
		if _, err := t.tx.Exec(ctx, statement); sqlstate(err) == lockNotAvailable {
			return errors.New("somebody else is using it: a server, or another copy, or what is left of one that was interrupted just now")
		} else if err != nil {
			return failure(err)
		}
	}
	for _, table := range sqlstore.Tables {
		if table.One {
			continue
		}
		var there bool
		if err := t.tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM `+table.Name+`)`).Scan(&there); err != nil {
			return failure(err)
		}
		if there {
			return fmt.Errorf("%w: there are rows in %s", ErrNotEmpty, table.Name)
		}
	}
	return nil
}

// Fill takes rows into a table, as a stream.
func (t *Target) Fill(ctx context.Context, table sqlstore.Table, rows sqlstore.Rows) error {
	if table.One {
		if _, err := t.tx.Exec(ctx, `DELETE FROM `+table.Name); err != nil {
			return failure(err)
		}
	}
	kept := &remembering{Rows: rows}
	if _, err := t.tx.CopyFrom(ctx, pgx.Identifier{table.Name}, table.Names(), kept); err != nil {
		if kept.err != nil {
			return kept.err
		}
		return hushed(err)
	}
	// Else the rows would be put in order by guesswork.
	_, err := t.tx.Exec(ctx, `ANALYZE `+table.Name)
	return failure(err)
}

// remembering is a source of rows. What goes wrong there comes back from the server as an error of its own otherwise.
type remembering struct {
	sqlstore.Rows
	err error
}

// Values returns the row.
func (r *remembering) Values() ([]any, error) {
	values, err := r.Rows.Values()
	if err != nil {
		r.err = err
	}
	return values, err
}

// Err returns why reading failed.
func (r *remembering) Err() error {
	if r.err == nil {
		r.err = r.Rows.Err()
	}
	return r.err
}

// hushed is an error without what it says about the row, in which there may be secrets.
func hushed(err error) error {
	if code := sqlstate(err); code != "" {
		return failure(fmt.Errorf("the server refuses a row (SQLSTATE %s)", code))
	}
	return failure(err)
}

// GiveFrom lets the next key of a table be the one behind highest. A sequence knows no transaction; where this one comes to
// nothing, the next copy sets it again.
func (t *Target) GiveFrom(ctx context.Context, table sqlstore.Table, highest int64) error {
	_, err := t.tx.Exec(ctx, `SELECT setval(pg_get_serial_sequence($1, $2), greatest($3::bigint, 1), $3::bigint > 0)`,
		table.Name, table.Columns[0].Name, highest)
	return failure(err)
}

// Rows returns the rows of a table in the order of its key, those that were filled in included.
func (t *Target) Rows(ctx context.Context, table sqlstore.Table) (sqlstore.Rows, error) {
	found, err := t.tx.Query(ctx, table.Select(` COLLATE "C"`))
	if err != nil {
		return nil, failure(err)
	}
	return filled{found}, nil
}

// filled are sqlstore.Rows.
type filled struct{ pgx.Rows }

// Values returns the row. Its numbers have the width that the other databases give them.
func (f filled) Values() ([]any, error) {
	values, err := f.Rows.Values()
	if err != nil {
		return nil, failure(err)
	}
	for i, value := range values {
		if n, ok := value.(int32); ok {
			values[i] = int64(n)
		}
	}
	return values, nil
}

// Err returns why reading failed.
func (f filled) Err() error { return failure(f.Rows.Err()) }

// Close ends reading.
func (f filled) Close() error {
	f.Rows.Close()
	return nil
}

// Commit keeps everything that was filled in. It is not interrupted: nobody could say then whether it had been done.
func (t *Target) Commit(ctx context.Context) error {
	if err := t.tx.Commit(context.WithoutCancel(ctx)); err != nil {
		if sqlstate(err) != "" {
			return explain(failure(err))
		}
		return fmt.Errorf("the connection was lost at the end; run it again: where the database is not empty then, everything "+
			"is there, and compared: %w", err)
	}
	return nil
}

// Close ends the connection, and what was not committed is gone.
func (t *Target) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	return t.conn.Close(ctx)
}
