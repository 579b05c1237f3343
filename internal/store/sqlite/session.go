package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// control is a statement that begins or ends something.
type control int

const (
	begin control = iota
	commit
	rollback
	controls
)

var controlTexts = [controls]string{
	begin:    `BEGIN IMMEDIATE`,
	commit:   `COMMIT`,
	rollback: `ROLLBACK`,
}

// session is the connection that writes.
type session struct {
	db   *sql.DB
	conn *sql.Conn
	prepared
	control [controls]*sql.Stmt
}

var _ sqlstore.Session = (*session)(nil)

func openSession(ctx context.Context, f *file) (_ *session, err error) {
	s := new(session)
	if s.db, err = f.connect(writing, 1); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return nil, err
	}
	var journal string
	if err := s.conn.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&journal); err != nil {
		return nil, err
	}
	if journal != "wal" {
		return nil, fmt.Errorf("its folder allows no write-ahead log, as one on a network may not (journal mode %s)", journal)
	}
	for c, text := range controlTexts {
		if s.control[c], err = s.conn.PrepareContext(ctx, text); err != nil {
			return nil, err
		}
	}
	if err := s.prepare(ctx, s.conn, func(sqlstore.Statement) bool { return true }); err != nil {
		return nil, err
	}
	return s, nil
}

// close closes the statements and the connection. One statement left open would keep SQLite from writing the log back into
// the file.
func (s *session) close() error {
	errs := []error{s.prepared.close()}
	for _, stmt := range s.control {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	if s.conn != nil {
		errs = append(errs, s.conn.Close())
	}
	return errors.Join(append(errs, s.db.Close())...)
}

// Begin begins a transaction that nobody else can write beside. Nothing is left for later.
func (s *session) Begin(bool) error { return s.do(begin) }

// Commit commits. Where the disk took everything and then failed to confirm it, nobody can know whether it is kept.
func (s *session) Commit() error {
	err := s.do(commit)
	if outcomeUnknown(extended(err)) {
		return fmt.Errorf("%w: %v", store.ErrOutcomeUnknown, err) // not %w: it says unavailable, where nothing was done
	}
	return err
}

// Rollback undoes the transaction. It fails where SQLite has done so already.
func (s *session) Rollback() { _ = s.do(rollback) }

// Announce has nobody to tell: one process has the file.
func (s *session) Announce([]key.Digest) (int64, error) { return 0, nil }

// Lost reports whether SQLite may have undone the whole transaction.
func (s *session) Lost(err error) bool { return errors.Is(err, store.ErrUnavailable) }

// do runs a statement that begins or ends something.
func (s *session) do(c control) error {
	_, err := s.control[c].ExecContext(context.Background())
	return failure(context.Background(), err)
}

// One gives the first row of the answer to scan.
func (s *session) One(ctx context.Context, st sqlstore.Statement, scan func(sqlstore.Row) error, args ...any) error {
	return s.one(ctx, st, scan, args)
}

// Each gives every row of the answer to scan.
func (s *session) Each(ctx context.Context, st sqlstore.Statement, scan func(sqlstore.Row) error, args ...any) error {
	return s.each(ctx, st, scan, args)
}

// Exec returns how many rows were changed.
func (s *session) Exec(ctx context.Context, st sqlstore.Statement, args ...any) (int64, error) {
	result, err := s.exec(ctx, st, args)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// ExecEach runs a statement once for each list of arguments.
func (s *session) ExecEach(ctx context.Context, st sqlstore.Statement, args [][]any) error {
	for _, row := range args {
		if _, err := s.exec(ctx, st, row); err != nil {
			return err
		}
	}
	return nil
}

// Insert returns the id of the new row. A key and its token are two statements.
func (s *session) Insert(ctx context.Context, st sqlstore.Statement, args ...any) (int64, error) {
	var digest any
	if st == sqlstore.InsertKey {
		args, digest = args[:len(args)-1], args[len(args)-1]
	}
	result, err := s.exec(ctx, st, args)
	if err != nil {
		return 0, err
	}
	id, err := result.LastInsertId()
	if err == nil && digest != nil {
		_, err = s.exec(ctx, sqlstore.InsertToken, []any{digest, id})
	}
	return id, err
}
