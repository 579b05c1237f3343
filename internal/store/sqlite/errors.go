package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// The codes that opening a file explains.
const (
	notADatabase = sqlite3.SQLITE_NOTADB
	readOnly     = sqlite3.SQLITE_READONLY
	cannotOpen   = sqlite3.SQLITE_CANTOPEN
)

// primary returns SQLite's primary result code for err, and 0 where err is not SQLite's.
// Codes: https://www.sqlite.org/rescode.html.
func primary(err error) int { return extended(err) & 0xff }

func extended(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

// outcomeUnknown reports whether a COMMIT that failed with this code may have been done all the same. SQLite writes to
// the log in order, and what marks the commit last. Where writing failed, the mark is not there, and recovery drops
// the rest. Where only the sync behind it failed, it may be.
func outcomeUnknown(code int) bool {
	return code == sqlite3.SQLITE_IOERR_FSYNC || code == sqlite3.SQLITE_IOERR_DIR_FSYNC
}

// failure returns err as the storage contract names it, where no constraint can be the reason.
func failure(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return store.ErrNotFound
	case ctx.Err() != nil:
		return sqlstore.GaveUp(ctx)
	}
	switch primary(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, // somebody else has it
		sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_NOLFS, // no room, broken disk
		sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, // the file went away or may not be used
		sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB,
		sqlite3.SQLITE_INTERRUPT:
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}

// statementFailure returns the error of a statement as the storage contract names it.
func statementFailure(ctx context.Context, s sqlstore.Statement, err error) error {
	switch extended(err) {
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return &store.ConflictError{Constraint: store.NoReference}
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		if taken := s.Taken(); taken != "" {
			return &store.ConflictError{Constraint: taken}
		}
	}
	return failure(ctx, err)
}
