package postgres

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// The codes that mean something: https://www.postgresql.org/docs/current/errcodes-appendix.html.
const (
	uniqueViolation     = "23505"
	foreignKeyViolation = "23503"
	undefinedTable      = "42P01"
	undefinedColumn     = "42703"
	invalidParameter    = "22023"
	lockNotAvailable    = "55P03"
	deadlockDetected    = "40P01"
	adminShutdown       = "57P01"
	crashShutdown       = "57P02"
	cannotConnectNow    = "57P03"
	// A prepared statement that a change of the schema has made void, and one that is gone.
	featureNotSupported  = "0A000"
	invalidStatementName = "26000"
)

// constraints are those that a caller can run into, by the name that the schema gives them.
var constraints = map[string]store.Constraint{
	"users_email":               store.EmailTaken,
	"organizations_external_id": store.ExternalIDTaken,
	"members_once":              store.MemberExists,
	"identities_once":           store.IdentityTaken,
	"tokens_digest":             store.DigestTaken,
	"sessions_digest":           store.DigestTaken,
	"sign_in_links_digest":      store.DigestTaken,
	"used_forms_digest":         store.DigestTaken,
}

// faults are the classes of codes that say that the database was not able to, and not that the statement was wrong:
// connection, resources, operator's intervention, system error, transaction rolled back by the server, object in use,
// read-only, damaged, no access, statement void.
var faults = map[string]bool{
	"08": true, "53": true, "57": true, "58": true, "40": true, "55": true, "25": true, "XX": true, "28": true, "3D": true,
	"0A": true, "26": true,
}

// sqlstate returns the code of a server's answer, and "" for an error of another kind.
func sqlstate(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && len(e.Code) == 5 {
		return e.Code
	}
	return ""
}

// void reports whether a statement failed only because it was prepared before the schema changed. It can be run again.
func void(err error) bool {
	code := sqlstate(err)
	return code == featureNotSupported || code == invalidStatementName
}

// failure returns err as the storage contract names it, where no constraint can be the reason. Whatever is no answer of
// the server's is the connection's fault.
func failure(err error) error {
	code := sqlstate(err)
	switch {
	case err == nil, errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrSchema):
		return err
	case errors.Is(err, pgx.ErrNoRows):
		return store.ErrNotFound
	case isScan(err):
		return err
	case code == "", faults[code[:2]]:
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}

// isScan reports whether a value that the server answered with is not what it should be.
func isScan(err error) bool {
	_, ok := errors.AsType[pgx.ScanArgError](err)
	return ok
}

// statementFailure returns the error of a statement as the storage contract names it.
func statementFailure(_ sqlstore.Statement, err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case foreignKeyViolation:
			return &store.ConflictError{Constraint: store.NoReference}
		case uniqueViolation:
			if taken, ok := constraints[e.ConstraintName]; ok {
				return &store.ConflictError{Constraint: taken}
			}
		}
	}
	return failure(err)
}
