package postgres

import (
	"slices"
	"strconv"
	"strings"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// texts are the statements as PostgreSQL runs them.
var texts = func() (texts [sqlstore.Count]string) {
	for i := range texts {
		texts[i] = text(sqlstore.Statement(i))
	}
	return texts
}()

// text returns a statement as PostgreSQL runs it.
func text(s sqlstore.Statement) string {
	switch s {
	case sqlstore.InsertUser:
		return s.Text() + ` RETURNING user_id`
	case sqlstore.InsertOrganization:
		return s.Text() + ` RETURNING organization_id`
	case sqlstore.InsertKey:
		// Foreign keys are looked at when all of it is done.
		return `WITH added AS (
				INSERT INTO api_keys (key_name, scopes, organization_id, user_id, key_hint, enabled, expires_at, last_used_at,
					created_at, updated_at, metadata, restrictions, key_id) OVERRIDING SYSTEM VALUE
				SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::text[], $6::boolean[], $7::bigint[],
					$8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::text[], $14::bigint[])
			)
			INSERT INTO tokens (digest, key_id) SELECT * FROM unnest($13::bytea[], $14::bigint[])`
	case sqlstore.InsertSession:
		return s.Text() + ` RETURNING session_id`
	case sqlstore.InsertAudit:
		return `INSERT INTO audit_log (` + sqlstore.AuditColumns + `)
			SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[],
				$8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::integer[], $13::text[], $14::text[], $15::text[],
				$16::bytea[], $17::bytea[])`
	case sqlstore.UpdateLastUsed:
		return `UPDATE api_keys k SET last_used_at = u.at
			FROM (SELECT key_id, max(at) AS at FROM unnest($1::bigint[], $2::bigint[]) AS given (key_id, at) GROUP BY key_id) u
			WHERE k.key_id = u.key_id AND (k.last_used_at IS NULL OR k.last_used_at < u.at)`
	case sqlstore.ListMemberships:
		return `
			SELECT m.organization_id,
				(SELECT o.organization_name FROM organizations o WHERE o.organization_id = m.organization_id),
				m.user_id, m.role, m.created_at
			FROM members m
			WHERE (m.user_id, m.organization_id) >= ($1, 0) AND m.user_id <= $1
			ORDER BY m.user_id, m.organization_id`
	case sqlstore.ListKeys, sqlstore.ListKeysOfOrganization, sqlstore.ListKeysOfUser, sqlstore.ListKeysOfMember:
		from := keyLists[s]
		return listKeys(from.between(`>=`, `0`, `<`, `$3`), from.columns(` DESC`))
	case sqlstore.ListKeyIDsOfMember:
		return `SELECT key_id FROM api_keys
			WHERE (organization_id, user_id, key_id) >= ($1, $2, 0) AND (organization_id, user_id) <= ($1, $2) AND scopes & $3 <> 0
			ORDER BY organization_id, user_id, key_id`
	case sqlstore.ListDigestsOfOrganization:
		return `SELECT digest FROM tokens WHERE key_id IN (SELECT key_id FROM api_keys WHERE organization_id = $1)`
	case sqlstore.DeleteTokensOfOrganization:
		return `DELETE FROM tokens WHERE key_id IN (SELECT key_id FROM api_keys WHERE organization_id = $1)`
	case sqlstore.DeleteKeysOfOrganization:
		return `DELETE FROM api_keys WHERE organization_id = $1`
	case sqlstore.ListOrganizations:
		return `SELECT ` + sqlstore.OrganizationColumns + ` FROM organizations
			WHERE organization_id < $1 AND ($2 = '' OR strpos(` + lower("organization_name") + `, $2) > 0)
			ORDER BY organization_id DESC LIMIT $3`
	case sqlstore.ListMembers:
		return `SELECT ` + sqlstore.MemberColumns + ` FROM members m
			WHERE (organization_id, user_id) >= ($1, 0) AND (organization_id, user_id) < ($1, $2)
				AND ($4::text = '' OR strpos((SELECT u.email_folded FROM users u WHERE u.user_id = m.user_id), $4::text) > 0)
			ORDER BY organization_id DESC, user_id DESC LIMIT $3`
	case sqlstore.CountOwners:
		return `SELECT count(*) FROM members WHERE organization_id = $1 AND role = ` + strconv.Itoa(int(key.Owner))
	case sqlstore.ListSessions:
		return `SELECT ` + sqlstore.SessionColumns + ` FROM sessions
			WHERE (user_id, session_id) >= ($1, 0) AND (user_id, session_id) < ($1, $2)
			ORDER BY user_id DESC, session_id DESC LIMIT $3`
	case sqlstore.ListIdentities:
		return `SELECT issuer, subject, created_at FROM identities WHERE user_id = $1`
	case sqlstore.ListAudit:
		return listAudit(`audit_id >= $4 AND audit_id < $5`, `audit_id DESC`)
	case sqlstore.ListAuditOfOrganization:
		return listAudit(`(organization_id, audit_id) >= ($1, $4) AND (organization_id, audit_id) < ($1, $5)`,
			`organization_id DESC, audit_id DESC`)
	case sqlstore.ListAuditOfTarget:
		return listAudit(`(target_type, target_id, audit_id) >= ($2, $3, $4) AND (target_type, target_id, audit_id) < ($2, $3, $5)`,
			`target_type DESC, target_id DESC, audit_id DESC`)
	case sqlstore.ListAuditOldest:
		return `SELECT ` + sqlstore.AuditColumns + ` FROM audit_log WHERE audit_id > $1 ORDER BY audit_id LIMIT $2`
	case sqlstore.ListUsage:
		// Compared as rows: since version 18 the planner may otherwise choose to skip through the index by age.
		return `SELECT first_hour, hours, outcome, checks FROM usage_counts
			WHERE (organization_id, key_id, first_hour) >= ($1, $2, $3) AND (organization_id, key_id, first_hour) < ($1, $2, $4)`
	case sqlstore.ListUsageOfMember:
		// With OFFSET the counts of each key are found for themselves, whatever the planner thinks of the join.
		return `SELECT u.first_hour, u.hours, u.outcome, u.checks
			FROM (` + keysOfMember + `) k CROSS JOIN LATERAL (
				SELECT first_hour, hours, outcome, checks FROM usage_counts c
				WHERE (c.organization_id, c.key_id, c.first_hour) >= ($1, k.key_id, $3)
					AND (c.organization_id, c.key_id, c.first_hour) < ($1, k.key_id, $4) OFFSET 0) u`
	case sqlstore.ListAgedUsage:
		return `SELECT ` + sqlstore.UsageColumns + ` FROM usage_counts
			WHERE (hours, first_hour) >= ($1, 0) AND (hours, first_hour) < ($1, $2) ORDER BY hours, first_hour LIMIT $3`
	case sqlstore.ListUsageOfGone:
		return `SELECT ` + sqlstore.UsageColumns + ` FROM usage_counts
			WHERE (organization_id, key_id) >= ($1, $2) AND (organization_id, key_id) <= ($1, $3) ORDER BY organization_id, key_id LIMIT $4`
	case sqlstore.AddUsage:
		return `INSERT INTO usage_counts (` + sqlstore.UsageColumns + `)
			SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::integer[], $5::integer[], $6::bigint[]) AS g (` + sqlstore.UsageColumns + `)
			WHERE ` + sqlstore.UsageKept("g.organization_id", "g.key_id") + sqlstore.UsageAdded
	case sqlstore.DeleteUsage:
		const columns = `(organization_id, key_id, first_hour, hours, outcome)`
		return `DELETE FROM usage_counts WHERE ` + columns + ` >= ($1, $2, $3, $4, $5) AND ` + columns + ` <= ($1, $2, $3, $4, $5)`
	default:
		if list, order, ok := s.Ordered(); ok {
			return orderedKeys(keyLists[list], order)
		}
		return s.Text()
	}
}

// keysOfMember lists the keys of $2 in the organization $1.
const keysOfMember = `SELECT key_id FROM api_keys
	WHERE (organization_id, user_id, key_id) >= ($1, $2, 0) AND (organization_id, user_id) <= ($1, $2)
	ORDER BY organization_id, user_id, key_id`

// manyRows are the statements that are run for many rows at once: each of their parameters is an array.
var manyRows = map[sqlstore.Statement]bool{sqlstore.InsertAudit: true, sqlstore.UpdateLastUsed: true,
	sqlstore.AddUsage: true, sqlstore.InsertKey: true}

// columns makes an array of each column.
func columns(rows [][]any) []any {
	arrays := make([]any, len(rows[0]))
	for c := range arrays {
		column := make([]any, len(rows))
		for r := range rows {
			column[r] = rows[r][c]
		}
		arrays[c] = column
	}
	return arrays
}

// lower folds the case of ASCII letters alone, whatever the database's locale. To translate them letter by letter would take fifteen
// times as long, five seconds for a million names.
func lower(column string) string {
	return `lower(` + column + ` COLLATE "C")`
}

// Lists leave the planner one index: none but that gives their rows in the order that they are asked for in. Told that a column has the
// value $1, it would know that to order by that column as well is idle, and might walk through everybody else's rows in the order of
// their ids, until enough of one organization have come by: where one has nearly all of them, that looks cheap. A comparison of rows says
// the same and hides it. Ids are above 0.

// keyList is what a list of keys is restricted to: the columns in front of key_id in its index, and what they are.
type keyList struct{ names, values []string }

var keyLists = map[sqlstore.Statement]keyList{
	sqlstore.ListKeys:               {},
	sqlstore.ListKeysOfOrganization: {[]string{"organization_id"}, []string{"$1"}},
	sqlstore.ListKeysOfUser:         {[]string{"user_id"}, []string{"$2"}},
	sqlstore.ListKeysOfMember:       {[]string{"organization_id", "user_id"}, []string{"$1", "$2"}},
}

// columns returns the columns of the index, each with a direction.
func (l keyList) columns(direction string) string {
	return strings.Join(append(slices.Clone(l.names), "key_id"), direction+", ") + direction
}

// between returns the condition that keys are in the list, and their ids compare with two others as they should.
func (l keyList) between(from, first, to, last string) string {
	row := func(id string) string { return `(` + strings.Join(append(slices.Clone(l.values), id), ", ") + `)` }
	columns := `(` + l.columns("") + `) `
	return columns + from + ` ` + row(first) + ` AND ` + columns + to + ` ` + row(last)
}

// listKeys returns the statement for a page of keys that is read from an index in its order.
func listKeys(restriction, order string) string {
	return `
	SELECT ` + sqlstore.KeyColumns + `
	FROM api_keys
	WHERE ` + restriction + wantedKeys + `
	ORDER BY ` + order + ` LIMIT $7`
}

// orderedKeys returns the statement for a page of keys in another order than NewestFirst. By age they are read from an index. Otherwise
// all are looked at and the first of them kept, and those alone are read as a whole. OFFSET keeps apart what the planner would otherwise
// mix: it looks at them in the order of their index, so that it has to take that, and reads each for itself.
func orderedKeys(list keyList, order key.Order) string {
	const last = `9223372036854775807`
	var by, kind string
	switch order {
	case key.OldestFirst:
		return listKeys(list.between(`>`, `$3`, `<=`, last), list.columns(""))
	case key.ByName:
		by, kind = lower("key_name"), "text"
	default:
		by, kind = sqlstore.Rank(order), "bigint"
	}
	return `
	SELECT ` + sqlstore.KeyColumns + `
	FROM (SELECT key_id, ` + by + `
			FROM (SELECT * FROM api_keys WHERE ` + list.between(`>=`, `0`, `<=`, last) + ` ORDER BY ` + list.columns("") + ` OFFSET 0) api_keys
			WHERE (` + by + `, key_id) > ($10::` + kind + `, $3::bigint)` + wantedKeys + `
			ORDER BY 2, 1 LIMIT $7) found (id, place)
		CROSS JOIN LATERAL (SELECT * FROM api_keys k WHERE k.key_id = id OFFSET 0) api_keys
	ORDER BY place, id`
}

// wantedKeys are the filters of lists of keys. Parameters that stand in no comparison with a column need a type.
var wantedKeys = `
		AND ($1::bigint IS NOT NULL) AND ($2::bigint IS NOT NULL)
		AND ($4::text = '' OR strpos(` + lower("key_name") + `, $4::text) > 0)
		AND ($5::boolean IS NULL OR enabled = $5::boolean)
		AND ($6::integer = 0 OR scopes & $6::integer <> 0)
		AND ($8::integer = 0 OR $8::integer = ` + sqlstore.KeyState("$9::bigint") + `)`

// listAudit returns the statement for a page of the audit log.
func listAudit(restriction, order string) string {
	return `
	SELECT ` + sqlstore.AuditColumns + `
	FROM audit_log
	WHERE ` + restriction + `
		AND ($1::bigint = 0 OR organization_id = $1::bigint)
		AND ($2::text = '' OR target_type = $2::text) AND ($3::bigint = 0 OR target_id = $3::bigint)
		AND ($6::bigint = 0 OR actor_user_id = $6::bigint) AND ($7::bigint = 0 OR actor_key_id = $7::bigint)
		AND ($8::text = '' OR action = $8::text) AND ($9::text = '' OR starts_with(action, $9::text))
		AND ($10::integer = 0 OR outcome = $10::integer)
	ORDER BY ` + order + ` LIMIT $11`
}
