package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strconv"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// text returns a statement as SQLite runs it.
func text(s sqlstore.Statement) string {
	switch s {
	case sqlstore.ListMemberships:
		return listMemberships
	case sqlstore.ListKeys, sqlstore.ListKeysOfOrganization, sqlstore.ListKeysOfUser, sqlstore.ListKeysOfMember:
		return listKeys(s, `key_id < $3`, `key_id DESC`)
	case sqlstore.ListKeyIDsOfMember:
		return `SELECT key_id FROM api_keys INDEXED BY api_keys_by_member
			WHERE organization_id = CAST($1 AS INTEGER) AND user_id = CAST($2 AS INTEGER) AND scopes & $3 <> 0
			ORDER BY key_id`
	case sqlstore.ListDigestsOfOrganization:
		return `SELECT digest FROM tokens INDEXED BY tokens_by_key WHERE key_id IN ` + keysOfOrganization
	case sqlstore.DeleteTokensOfOrganization:
		return `DELETE FROM tokens INDEXED BY tokens_by_key WHERE key_id IN ` + keysOfOrganization
	case sqlstore.DeleteKeysOfOrganization:
		return `DELETE FROM api_keys INDEXED BY api_keys_by_organization WHERE organization_id = CAST($1 AS INTEGER)`
	case sqlstore.ListOrganizations:
		return `SELECT ` + sqlstore.OrganizationColumns + ` FROM organizations
			WHERE organization_id < $1 AND ($2 = '' OR instr(lower(organization_name), $2) > 0)
			ORDER BY organization_id DESC LIMIT $3`
	case sqlstore.ListMembers:
		return `SELECT ` + sqlstore.MemberColumns + ` FROM members m
			WHERE organization_id = CAST($1 AS INTEGER) AND user_id < $2
				AND ($4 = '' OR instr((SELECT u.email_folded FROM users u WHERE u.user_id = m.user_id), $4) > 0)
			ORDER BY user_id DESC LIMIT $3`
	case sqlstore.CountOwners:
		return `SELECT count(*) FROM members WHERE organization_id = CAST($1 AS INTEGER) AND role = ` + owner
	case sqlstore.ListSessions:
		return `SELECT ` + sqlstore.SessionColumns + ` FROM sessions INDEXED BY sessions_by_user
			WHERE user_id = CAST($1 AS INTEGER) AND session_id < $2 ORDER BY session_id DESC LIMIT $3`
	case sqlstore.ListIdentities:
		return `SELECT issuer, subject, created_at FROM identities INDEXED BY identities_by_user
			WHERE user_id = CAST($1 AS INTEGER)`
	case sqlstore.ListAudit:
		return listAudit("", "")
	case sqlstore.ListAuditOfOrganization:
		return listAudit("INDEXED BY audit_log_by_organization", "organization_id = CAST($1 AS INTEGER) AND")
	case sqlstore.ListAuditOfTarget:
		return listAudit("INDEXED BY audit_log_by_target", "target_type = $2 AND target_id = CAST($3 AS INTEGER) AND")
	case sqlstore.ListAuditOldest:
		return `SELECT ` + sqlstore.AuditColumns + ` FROM audit_log WHERE audit_id > $1 ORDER BY audit_id LIMIT $2`
	case sqlstore.ListUsage:
		return `SELECT first_hour, hours, outcome, checks FROM usage_counts
			WHERE organization_id = CAST($1 AS INTEGER) AND key_id = CAST($2 AS INTEGER) AND first_hour >= $3 AND first_hour < $4
			ORDER BY first_hour`
	case sqlstore.ListUsageOfMember:
		return `SELECT u.first_hour, u.hours, u.outcome, u.checks
			FROM api_keys k INDEXED BY api_keys_by_member CROSS JOIN usage_counts u
			WHERE k.organization_id = CAST($1 AS INTEGER) AND k.user_id = CAST($2 AS INTEGER)
				AND u.organization_id = k.organization_id AND u.key_id = k.key_id AND u.first_hour >= $3 AND u.first_hour < $4`
	case sqlstore.ListAgedUsage:
		return `SELECT ` + sqlstore.UsageColumns + ` FROM usage_counts INDEXED BY usage_counts_by_age
			WHERE hours = $1 AND first_hour < $2 ORDER BY first_hour LIMIT $3`
	case sqlstore.ListUsageOfGone:
		return `SELECT ` + sqlstore.UsageColumns + ` FROM usage_counts
			WHERE organization_id = CAST($1 AS INTEGER) AND key_id >= $2 AND key_id <= $3 ORDER BY key_id LIMIT $4`
	default:
		if list, order, ok := s.Ordered(); ok {
			return orderedKeys(list, order)
		}
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

// keyLists are where lists of keys are read from.
var keyLists = map[sqlstore.Statement]struct{ index, restriction string }{
	sqlstore.ListKeys:               {"", ""},
	sqlstore.ListKeysOfOrganization: {"INDEXED BY api_keys_by_organization", "organization_id = CAST($1 AS INTEGER) AND"},
	sqlstore.ListKeysOfUser:         {"INDEXED BY api_keys_by_user", "user_id = CAST($2 AS INTEGER) AND"},
	sqlstore.ListKeysOfMember: {"INDEXED BY api_keys_by_member",
		"organization_id = CAST($1 AS INTEGER) AND user_id = CAST($2 AS INTEGER) AND"},
}

// listKeys returns the statement for a page of keys that is read from an index in its order.
func listKeys(list sqlstore.Statement, restriction, order string) string {
	return `
	SELECT ` + sqlstore.KeyColumns + `
	` + wantedKeys(list, restriction) + `
	ORDER BY ` + order + ` LIMIT $7`
}

// wantedKeys are those of a list that the filters leave.
func wantedKeys(list sqlstore.Statement, restriction string) string {
	from := keyLists[list]
	return `FROM api_keys ` + from.index + `
	WHERE ` + from.restriction + ` ` + restriction + `
		AND ($4 = '' OR key_name LIKE ` + holdsName + ` ESCAPE '\')
		AND ($5 IS NULL OR enabled = $5)
		AND ($6 = 0 OR scopes & $6 <> 0)
		AND ($8 = 0 OR $8 = ` + sqlstore.KeyState("$9") + `)`
}

// orderedKeys returns the statement for a page of keys in another order than NewestFirst. By age they are read from an index. Otherwise
// all are looked at and the first of them kept, and those alone are read as a whole.
func orderedKeys(list sqlstore.Statement, order key.Order) string {
	var by string
	switch order {
	case key.OldestFirst:
		return listKeys(list, `key_id > $3`, `key_id`)
	case key.ByName:
		by = `lower(key_name)`
	default:
		by = sqlstore.Rank(order)
	}
	return `
	SELECT ` + sqlstore.KeyColumns + `
	FROM (SELECT key_id AS id, ` + by + ` AS place ` + wantedKeys(list, `(`+by+`, key_id) > ($10, $3)`) + `
		ORDER BY place, id LIMIT $7) CROSS JOIN api_keys ON key_id = id
	ORDER BY place, id`
}

// holdsName is the pattern of names that hold $4. It is put together once for each list, and LIKE, which folds the case of ASCII
// letters alone, takes half as long for a name as instr of lower.
const holdsName = `'%' || replace(replace(replace($4, '\', '\\'), '%', '\%'), '_', '\_') || '%'`

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

const keysOfOrganization = `(SELECT k.key_id FROM api_keys k INDEXED BY api_keys_by_organization
	WHERE k.organization_id = CAST($1 AS INTEGER))`

// owner is the role as it is stored.
var owner = strconv.Itoa(int(key.Owner))

// listAudit returns the statement for a page of the audit log.
func listAudit(index, restriction string) string {
	return `
	SELECT ` + sqlstore.AuditColumns + `
	FROM audit_log ` + index + `
	WHERE ` + restriction + ` audit_id < $5 AND audit_id >= $4
		AND ($1 = 0 OR organization_id = $1)
		AND ($2 = '' OR target_type = $2) AND ($3 = 0 OR target_id = $3)
		AND ($6 = 0 OR actor_user_id = $6) AND ($7 = 0 OR actor_key_id = $7)
		AND ($8 = '' OR action = $8) AND ($9 = '' OR substr(action, 1, length($9)) = $9)
		AND ($10 = 0 OR outcome = $10)
	ORDER BY audit_id DESC LIMIT $11`
}

// exec runs a statement that answers with no rows.
func (p *prepared) exec(ctx context.Context, s sqlstore.Statement, args []any) (sql.Result, error) {
	result, err := p[s].ExecContext(ctx, args...)
	if err != nil {
		return nil, statementFailure(ctx, s, err)
	}
	return result, nil
}
