// Package postgres keeps apikeyd's data in PostgreSQL, 14 or newer, so that several nodes can serve it.
//
// What the storage contract asks is met so:
//
//   - On disk before Update returns: PostgreSQL waits for its log at each commit. A server that is set not to
//     (synchronous_commit off) is refused.
//   - Serializable: whoever is about to change something locks one row first, the turn to write, and so sees all that was
//     committed before. Isolation that detects conflicts would make most of those that arrive together try again.
//   - Many writers at once: transactions that arrive together on a node share one turn and one commit.
//   - A node that freezes with the turn in its hands loses it: the server ends a transaction that does nothing for a few
//     seconds.
//   - Reads have connections of their own and wait for no turn.
//
// No superuser is needed, no extension, and nothing but its own schema: tables, indexes and sequences. Statements are
// prepared, once for each connection.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// Options says which database to open, and how.
type Options struct {
	// DSN is a URL or a list of settings as libpq takes it. pool_max_conns and the other settings of pgxpool's may stand in it.
	DSN string
	// Migrate lets Open create the schema where it holds no data yet. A database with data is never migrated by Open.
	Migrate bool
	// Logger is told of migrations, and when the database goes away and comes back. nil: nobody is.
	Logger *slog.Logger
}

// Time-outs. None of them is how long something should take: they say when the database counts as away.
const (
	connectTimeout = 3 * time.Second
	queryTimeout   = 5 * time.Second  // of a statement outside a transaction
	listTimeout    = 30 * time.Second // of one that may have to look at many rows
)

// Store is a store.Store in PostgreSQL.
type Store struct {
	sqlstore.Reader

	pool    *pgxpool.Pool
	reads   *reads
	session *session
	writer  *sqlstore.Writer
	gate    sqlstore.Gate
	log     *slog.Logger
}

var _ store.Store = (*Store)(nil)

// Open opens the database. It returns store.ErrSchema where the schema is not the one that this program knows, and
// ErrUnavailable where the database cannot be reached.
func Open(ctx context.Context, opts Options) (_ *Store, err error) {
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	config, err := parseDSN(opts.DSN)
	if err != nil {
		return nil, err
	}
	if opts.Migrate {
		if err := migrateEmpty(ctx, config.ConnConfig, log); err != nil {
			return nil, explain(err)
		}
	}
	s := &Store{log: log}
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, explain(failure(err))
	}
	defer func() {
		if err != nil {
			s.pool.Close()
		}
	}()
	if err := check(ctx, s.pool); err != nil {
		return nil, explain(err)
	}
	s.reads = &reads{pool: s.pool, gate: &s.gate}
	s.Reader = sqlstore.NewReader(s.reads)
	s.session = newSession(config.ConnConfig)
	s.writer = sqlstore.NewWriter(s.session)
	return s, nil
}

// parseDSN reads a DSN. Its error does not repeat it: there may be a password in it.
func parseDSN(dsn string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("the database's address cannot be read; write one like postgres://user@host:5432/name")
	}
	config.ConnConfig.ConnectTimeout = connectTimeout
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "apikeyd"
	}
	return config, nil
}

// oldest is the oldest version of PostgreSQL that is supported, as server_version_num has it.
const oldest = 140000

// check looks whether the server and its schema can be used.
func check(ctx context.Context, q querier) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var version int
	var commit string
	err := q.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('synchronous_commit')`).
		Scan(&version, &commit)
	switch {
	case err != nil:
		return failure(err)
	case version < oldest:
		return fmt.Errorf("the server is PostgreSQL %d; 14 or newer is needed", version/10000)
	case commit == "off":
		return errors.New("the server has synchronous_commit off, so that it may lose what it has confirmed; set it to on")
	}
	return checkSchema(ctx, q)
}

// explain says what an error is about.
func explain(err error) error { return fmt.Errorf("database: %w", err) }

// Update runs fn in a transaction, on the calling goroutine, and returns the changes it recorded.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) ([]store.Change, error) {
	if err := s.gate.Enter(); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	return s.writer.Update(ctx, fn)
}

// Ready returns nil where the database can be read and its schema is the one that this program knows.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return checkSchema(ctx, s.pool)
}

// Close waits for the calls under way and closes the connections. Closing again does nothing.
func (s *Store) Close() error {
	if !s.gate.Close() {
		return nil
	}
	s.writer.Close()
	s.session.close()
	s.pool.Close()
	return nil
}

// reads runs queries outside of transactions. It is a sqlstore.Runner that changes nothing.
type reads struct {
	pool *pgxpool.Pool
	gate *sqlstore.Gate
}

// errReadOnly is what a statement that changes something gets outside of a transaction.
var errReadOnly = errors.New("changes are made in a transaction")

// One gives the first row of the answer to scan.
func (r *reads) One(ctx context.Context, s sqlstore.Statement, scan func(sqlstore.Row) error, args ...any) error {
	if err := r.gate.Enter(); err != nil {
		return err
	}
	defer r.gate.Leave()
	limited, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return gaveUp(ctx, one(limited, r.pool, s, scan, args))
}

// Each gives every row of the answer to scan.
func (r *reads) Each(ctx context.Context, s sqlstore.Statement, scan func(sqlstore.Row) error, args ...any) error {
	if err := r.gate.Enter(); err != nil {
		return err
	}
	defer r.gate.Leave()
	limited, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	return gaveUp(ctx, each(limited, r.pool, s, scan, args))
}

// gaveUp is err, as the contract wants it where ctx has ended.
func gaveUp(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return sqlstore.GaveUp(ctx)
	}
	return err
}

// Exec, ExecEach and Insert return errReadOnly.
func (*reads) Exec(context.Context, sqlstore.Statement, ...any) (int64, error) { return 0, errReadOnly }
func (*reads) ExecEach(context.Context, sqlstore.Statement, [][]any) error     { return errReadOnly }
func (*reads) Insert(context.Context, sqlstore.Statement, ...any) (int64, error) {
	return 0, errReadOnly
}

// querier is a pool or a connection.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func one(ctx context.Context, q querier, s sqlstore.Statement, scan func(sqlstore.Row) error, args []any) error {
	return statementFailure(s, scan(q.QueryRow(ctx, texts[s], args...)))
}

func each(ctx context.Context, q querier, s sqlstore.Statement, scan func(sqlstore.Row) error, args []any) error {
	rows, err := q.Query(ctx, texts[s], args...)
	if err != nil {
		return statementFailure(s, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return statementFailure(s, err)
		}
	}
	return statementFailure(s, rows.Err())
}
