package postgres

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// The codes that mean something to a caller: https://www.postgresql.org/docs/current/errcodes-appendix.html.
const (
	uniqueViolation     = "23505"
	foreignKeyViolation = "23503"
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
}

// faults are the classes of codes that say that the database was not able to, and not that the statement was wrong:
// connection, resources, operator's intervention, system error, transaction rolled back by the server, object in use,
// read-only, damaged.
var faults = map[string]bool{
	"08": true, "53": true, "57": true, "58": true, "40": true, "55": true, "25": true, "XX": true, "28": true, "3D": true,
}

func sqlstate(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
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
	case code == "", faults[code[:2]]:
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
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
