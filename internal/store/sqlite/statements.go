package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// text returns a statement as SQLite runs it.
func text(s sqlstore.Statement) string {
	switch s {
	case sqlstore.ListMemberships:
		return listMemberships
	case sqlstore.ListKeys:
		return listKeys("", "")
	case sqlstore.ListKeysOfOrganization:
		return listKeys("INDEXED BY api_keys_by_organization", "organization_id = CAST($1 AS INTEGER) AND")
	case sqlstore.ListKeysOfUser:
		return listKeys("INDEXED BY api_keys_by_user", "user_id = CAST($2 AS INTEGER) AND")
	case sqlstore.ListKeysOfMember:
		return listKeys("INDEXED BY api_keys_by_member",
			"organization_id = CAST($1 AS INTEGER) AND user_id = CAST($2 AS INTEGER) AND")
	default:
		return s.Text()
	}
}

// Lists name their index, because statistics, which an operator may gather at any time, could otherwise lead the
// optimiser to walk through the rows of everybody else. And they cast the ids that they compare: with a bare parameter
// SQLite, since 3.54, plans a statement that sorts anew whenever the value becomes 0 or 1 or is it no longer. The
// first organization has the id 1, and planning costs 40 µs.

const listMemberships = `
	SELECT m.organization_id,
		(SELECT o.organization_name FROM organizations o WHERE o.organization_id = m.organization_id),
		m.user_id, m.role, m.created_at
	FROM members m INDEXED BY members_by_user
	WHERE m.user_id = CAST($1 AS INTEGER)
	ORDER BY m.organization_id`

// listKeys returns the statement for a page of keys.
func listKeys(index, restriction string) string {
	return `
	SELECT ` + sqlstore.KeyColumns + `
	FROM api_keys ` + index + `
	WHERE ` + restriction + ` key_id < $3
		AND ($4 = '' OR instr(lower(key_name), $4) > 0)
		AND ($5 IS NULL OR enabled = $5)
		AND ($6 = 0 OR scopes & $6 <> 0)
	ORDER BY key_id DESC LIMIT $7`
}

// prepared holds the statements of one pool or connection, those it needs.
type prepared [sqlstore.Count]*sql.Stmt

// preparer is an *sql.DB or an *sql.Conn.
type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// prepare prepares the statements that are wanted.
func (p *prepared) prepare(ctx context.Context, on preparer, wanted func(sqlstore.Statement) bool) (err error) {
	for i := range p {
		if s := sqlstore.Statement(i); wanted(s) {
			if p[i], err = on.PrepareContext(ctx, text(s)); err != nil {
				return failure(ctx, err)
			}
		}
	}
	return nil
}

func (p *prepared) close() error {
	var errs []error
	for _, stmt := range p {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	return errors.Join(errs...)
}

// one runs a query and gives its first row to scan.
func (p *prepared) one(ctx context.Context, s sqlstore.Statement, scan func(sqlstore.Row) error, args []any) error {
	if err := scan(p[s].QueryRowContext(ctx, args...)); err != nil {
		return statementFailure(ctx, s, err)
	}
	return nil
}

// each runs a query and gives its rows to scan.
func (p *prepared) each(ctx context.Context, s sqlstore.Statement, scan func(sqlstore.Row) error, args []any) error {
	rows, err := p[s].QueryContext(ctx, args...)
	if err != nil {
		return statementFailure(ctx, s, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return statementFailure(ctx, s, err)
		}
	}
	if err := rows.Err(); err != nil {
		return statementFailure(ctx, s, err)
	}
	return nil
}
