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
	// Migrate lets Open create the schema where it holds no data yet.
	Migrate bool
	// Expand, with Migrate, also lets it bring a schema with data up to date, if programs that work on it now go on doing so. For
	// all else there is Migrate, the function.
	Expand bool
	// Logger is told of migrations, and when the database goes away and comes back. nil: nobody is.
	Logger *slog.Logger
}

// queryTimeout is how long a statement may take that is about few rows. It is not how long it should take: it says when the
// database counts as away.
const queryTimeout = 5 * time.Second

// Store is a store.Store in PostgreSQL.
type Store struct {
	sqlstore.Reader

	dsn     *dsn
	watch   *watch
	reads   *reads
	nodes   *pgxpool.Pool // where nodes leave word for each other, so that a lease waits for no check
	session *session
	writer  *sqlstore.Writer
	gate    sqlstore.Gate
}

var _ store.Store = (*Store)(nil)

// Open opens the database. It returns store.ErrSchema where the schema is not one that this program can work on, and
// ErrUnavailable where the database cannot be reached.
func Open(ctx context.Context, opts Options) (*Store, error) {
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d, err := parseDSN(opts.DSN)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, d, opts, log); err != nil {
		return nil, explain(err)
	}
	s := &Store{dsn: d}
	s.watch = newWatch(d.connections(), log, func() {
		s.reads.reset()
		s.nodes.Reset()
	})
	if s.reads, err = newReads(d, &s.gate, s.watch); err != nil {
		return nil, explain(err)
	}
	if s.nodes, err = d.pool(nodeConnections, false, setting{"statement_timeout", milliseconds(queryTimeout)}); err != nil {
		s.reads.close()
		return nil, explain(err)
	}
	s.Reader = sqlstore.NewReader(s.reads)
	s.session = newSession(d, s.watch)
	s.writer = sqlstore.NewWriter(s.session)
	return s, nil
}

// prepare looks whether the database can be used, and makes or extends its schema where it may.
func prepare(ctx context.Context, d *dsn, opts Options, log *slog.Logger) error {
	conn, server, err := d.meet(ctx)
	if err != nil {
		return err
	}
	defer hangUp(conn)
	if server.fsync == "off" {
		log.Warn("the database server has fsync off: it may lose what it has confirmed")
	}
	if opts.Migrate {
		if err := migrateWhere(ctx, conn, d, opts.Expand, log); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return checkSchema(ctx, conn)
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

// TakeQuota hands out a share of a key's quota.
func (s *Store) TakeQuota(ctx context.Context, take store.QuotaTake) (store.QuotaShare, error) {
	return sqlstore.TakeQuota(ctx, s, take)
}

// Ready returns nil where the database can be read and its schema is one that this program can work on.
func (s *Store) Ready(ctx context.Context) error {
	return s.reads.run(ctx, s.reads.points, func(ctx context.Context, conn *pgx.Conn) (bool, error) {
		return true, checkSchema(ctx, conn)
	})
}

// Close waits for the calls under way and closes the connections. Closing again does nothing.
func (s *Store) Close() error {
	if !s.gate.Close() {
		return nil
	}
	s.writer.Close()
	s.watch.close()
	s.session.close()
	s.reads.close()
	s.nodes.Close()
	return nil
}
