// Package sqlite keeps apikeyd's data in one SQLite file.
//
// SQLite is what a server on one machine needs: nothing to install, and a check that misses the cache costs some
// 15 µs. The driver is pure Go. What the storage contract asks is met so:
//
//   - On disk before Update returns: write-ahead log with synchronous=FULL, set on every connection by its DSN.
//   - Many writers at once: one goroutine owns the one connection that writes, takes all transactions that have
//     arrived and commits them together, so they share the wait for the disk. Each still succeeds or fails alone.
//   - Reads never wait for writes: they have connections of their own, which cannot write. Those of single rows and
//     those of lists are apart, so that a long list never holds up a check.
//   - One process: a lock file keeps a second server away, because the cache in front of the store holds only as long
//     as every change comes by it.
//
// The package does not tune itself, gathers no statistics for the optimiser (the queries name their index), and never
// shrinks the file.
package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"

	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// Options says which database to open, and how.
type Options struct {
	// Path is the database file. Beside it SQLite keeps PATH-wal and PATH-shm, and the store PATH.lock.
	Path string
	// Migrate lets Open create the file where there is none, and the schema where it holds no data yet.
	Migrate bool
	// Expand, with Migrate, also lets it bring a schema with data up to date, if programs that work on it now go on doing so. For
	// all else there is Migrate, the function.
	Expand bool
	// ReadOnly opens a database that another process may serve, to read it or back it up. Update then returns
	// ErrReadOnly. Without it the store is the only one that may change the file, and Open fails where another one
	// is open.
	ReadOnly bool
	// Beside opens a database that another process may serve, to write what nothing in that process's memory depends on:
	// sign-in links and audit entries, and never a key or a token. It must be there already.
	Beside bool
	// Logger is told of migrations. nil: nobody is.
	Logger *slog.Logger

	// For tests: what is set beside the usual pragmas, and what takes the place of the usual migrations.
	pragmas    []string
	migrations fs.FS
}

// ErrReadOnly is returned by Update of a store that was opened with ReadOnly.
var ErrReadOnly = errors.New("store was opened for reading only")

// Store is a store.Store in an SQLite file.
type Store struct {
	sqlstore.Reader

	file    *file
	gate    sqlstore.Gate
	reads   *reads
	session *session         // nil where the store is read-only
	writer  *sqlstore.Writer // likewise
}

var _ store.Store = (*Store)(nil)

// Open opens the database, and returns when it can be used. It returns store.ErrSchema where the schema is not one that
// this program can work on.
//
// Its cost does not depend on how much is in the file, save that of recovering the write-ahead log after a crash.
func Open(ctx context.Context, opts Options) (_ *Store, err error) {
	f, err := openFile(opts)
	if err != nil {
		return nil, err
	}
	s := &Store{file: f}
	defer func() {
		if err != nil {
			err = f.explain(errors.Join(err, s.close()))
		}
	}()

	if opts.Migrate {
		if err := f.migrateWhere(ctx, opts.Expand); err != nil {
			return nil, err
		}
	}
	if s.reads, err = openReads(f, &s.gate); err != nil {
		return nil, err
	}
	if err := s.reads.checkSchema(ctx); err != nil {
		return nil, err
	}
	if err := s.reads.prepare(ctx); err != nil {
		return nil, err
	}
	s.Reader = sqlstore.NewReader(s.reads)
	if !opts.ReadOnly {
		if s.session, err = openSession(ctx, f); err != nil {
			return nil, err
		}
		s.writer = sqlstore.NewWriter(s.session)
	}
	return s, nil
}

// Update runs fn in a transaction, on the calling goroutine, and returns the changes it recorded. fn must not wait for
// anything but its Tx: no other transaction goes on in the meantime.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) ([]store.Change, error) {
	if s.writer == nil {
		return nil, ErrReadOnly
	}
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
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	return s.reads.checkSchema(ctx)
}

// Close waits for the calls under way and closes the database. Closing again does nothing.
func (s *Store) Close() error {
	if !s.gate.Close() {
		return nil
	}
	if err := s.close(); err != nil {
		return s.file.explain(err)
	}
	return nil
}

// close closes what was opened, the writer last: with the last connection SQLite writes the log back into the file.
func (s *Store) close() error {
	var errs []error
	if s.reads != nil {
		errs = append(errs, s.reads.close())
	}
	if s.writer != nil {
		s.writer.Close()
	}
	if s.session != nil {
		errs = append(errs, s.session.close())
	}
	errs = append(errs, s.file.close())
	return errors.Join(errs...)
}
