package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// kept is a row that was kept from an answer.
type kept struct {
	types  *pgtype.Map
	fields []pgconn.FieldDescription
	values [][]byte
}

// keep keeps the first n columns of a row.
func keep(rows pgx.Rows, n int) kept {
	k := kept{types: rows.Conn().TypeMap(), fields: slices.Clone(rows.FieldDescriptions()[:n]), values: make([][]byte, n)}
	for i := range k.values {
		k.values[i] = slices.Clone(rows.RawValues()[i])
	}
	return k
}

// Scan reads the row.
func (k kept) Scan(dest ...any) error { return pgx.ScanRow(k.types, k.fields, k.values, dest...) }

// caller is whom SelectIdentityAndKey asks about.
type caller struct {
	digest             key.Digest
	user, organization int64
}

// keyColumn is the column of SelectIdentityAndKey that is NULL where no key has the token.
const keyColumn = 8

// identity answers SelectIdentityAndKey. Those who change something within the same few milliseconds are often one caller, a company's own
// service; and while the turn is held, nobody else can change what somebody is. That there is no such key is not kept: one may be added.
func (s *session) identity(ctx context.Context, scan func(sqlstore.Row) error, args []any) error {
	c := caller{user: args[1].(int64), organization: args[2].(int64)}
	copy(c.digest[:], args[0].([]byte))
	if k, ok := s.callers[c]; ok {
		return scan(row{k})
	}
	k, err := first(s.conn.Query(ctx, texts[sqlstore.SelectIdentityAndKey], args...))
	if err != nil {
		return statementFailure(sqlstore.SelectIdentityAndKey, err)
	}
	if k.values[keyColumn] != nil {
		s.callers[c] = k
	}
	return scan(row{k})
}

// first keeps the first row of an answer.
func first(rows pgx.Rows, err error) (k kept, _ error) {
	if err != nil {
		return k, err
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return k, err
		}
		return k, pgx.ErrNoRows
	}
	k = keep(rows, len(rows.RawValues()))
	rows.Close()
	return k, rows.Err()
}

// forget forgets who somebody is where a statement might change that.
func (s *session) forget(st sqlstore.Statement) {
	switch st {
	case sqlstore.InsertKey, sqlstore.InsertAudit, sqlstore.UpdateAuditLast, sqlstore.UpdateLastUsed:
	default:
		clear(s.callers)
	}
}
