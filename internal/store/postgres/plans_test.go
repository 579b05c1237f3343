package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// fill makes n rows of everything: few organizations that have most of it, and many that have little.
func fill(t *testing.T, conn *pgx.Conn, n int) {
	t.Helper()
	execute(t, conn, `TRUNCATE users, organizations, api_keys, quotas, tokens, members, sessions, sign_in_links, devices, identities, audit_log, usage_counts, usage_gone RESTART IDENTITY`)
	for _, statement := range []string{
		`INSERT INTO users (email, email_folded, instance_admin, created_at, updated_at)
			SELECT n || '@example.com', n || '@example.com', FALSE, n, n FROM generate_series(1, $1 / 4 + 1) n`,
		`INSERT INTO organizations (organization_name, external_id, created_at, updated_at)
			SELECT 'o' || n, CASE WHEN n % 2 = 0 THEN 'x' || n END, n, n FROM generate_series(1, $1 / 10 + 1) n`,
		// organization 1 has half of all keys, user 1 a third of them
		`INSERT INTO api_keys (key_name, key_hint, scopes, organization_id, user_id, enabled, created_at, updated_at, restrictions)
			SELECT 'k' || n, 'h', n % 32, CASE n % 2 WHEN 0 THEN 1 ELSE 1 + n % ($1 / 10) END, CASE n % 3 WHEN 0 THEN 1 ELSE 1 + n % ($1 / 4) END, n % 10 > 0, n, n,
			CASE n % 4 WHEN 0 THEN '{"quota":{"requests":1}}' END
			FROM generate_series(1, $1) n`,
		`INSERT INTO quotas (key_id, used) SELECT n, n FROM generate_series(1, $1) n WHERE n % 4 = 0`,
		`INSERT INTO tokens (digest, key_id) SELECT sha256(n::text::bytea), n FROM generate_series(1, $1) n`,
		`INSERT INTO members (organization_id, user_id, role, created_at)
			SELECT 1, n, 1 + n % 4, n FROM generate_series(1, $1 / 4) n
			UNION ALL SELECT 1 + n % ($1 / 10), n, 1 + n % 4, n FROM generate_series(1, $1 / 4) n WHERE n % ($1 / 10) > 0`,
		`INSERT INTO sessions (digest, user_id, method, ip, user_agent, created_at, last_used_at, expires_at)
			SELECT sha256(n::text::bytea), 1 + n % ($1 / 4), 1, '', '', n, n, n FROM generate_series(1, $1 / 2) n`,
		`INSERT INTO sign_in_links (digest, user_id, created_at, expires_at)
			SELECT sha256(n::text::bytea), 1 + n % ($1 / 4), n, n FROM generate_series(1, $1 / 2) n`,
		`INSERT INTO devices (digest, user_id, last_used_at) SELECT sha256(n::text::bytea), 1 + n % ($1 / 4), n FROM generate_series(1, $1 / 2) n`,
		`INSERT INTO identities (issuer, subject, user_id, created_at) SELECT 'https://one', n::text, n, n FROM generate_series(1, $1 / 4) n`,
		`INSERT INTO audit_log (audit_id, occurred_at, actor_user_id, action, target_type, target_id, organization_id, outcome, previous_hash, hash)
			SELECT n, n, 1, 'key.create', CASE n % 10 WHEN 0 THEN 'user' ELSE 'key' END, n / 2, CASE n % 2 WHEN 0 THEN 1 ELSE 1 + n % ($1 / 10) END, 1, '\x', '\x'
			FROM generate_series(1, $1) n`,
		`INSERT INTO usage_counts (organization_id, key_id, first_hour, hours, outcome, checks)
			SELECT 1 + n / 2 % ($1 / 10), CASE n % 2 WHEN 0 THEN 0 ELSE n END, n, CASE n % 4 WHEN 0 THEN 24 ELSE 1 END, 1 + n % 7, n FROM generate_series(1, $1) n`,
		`INSERT INTO usage_gone (organization_id, key_id) SELECT n, n FROM generate_series(1, $1 / 10) n`,
	} {
		execute(t, conn, strings.ReplaceAll(statement, "$1", fmt.Sprint(n)))
	}
}

// statistics are what the planner may believe.
var statistics = []struct {
	name   string
	change []string
}{
	{"that are true", []string{`ANALYZE`}},
	{"that take all rows for alike", []string{`UPDATE pg_statistic SET stadistinct = 1, stakind1 = 0, stakind2 = 0, stakind3 = 0, stakind4 = 0, stakind5 = 0,
		stavalues1 = NULL, stavalues2 = NULL, stanumbers1 = NULL, stanumbers2 = NULL, stanumbers3 = NULL
		WHERE starelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)`}},
	{"that are not there", []string{`DELETE FROM pg_statistic WHERE starelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)`}},
}

// TestPlans holds the plan of every statement against statistics, true ones and wrong ones, of tables that hold nothing, a row each, and
// many. A statement must find its rows by an index, in the order that it wants them in, whatever it is asked.
func TestPlans(t *testing.T) {
	dsn := postgrestest.NewDatabase(t)
	open(t, dsn).Close()
	conn := plain(t, dsn)
	// Since version 18 an index serves for its second column too, once for each value of the first. While it is a page long, which the
	// planner knows from statistics, one such index is as good as any.
	skips := count(t, conn, `SELECT current_setting('server_version_num')::int`) >= 18_0000
	holdPlans(t, dsn, "of empty tables", false)
	for _, n := range []int{10, 200_000} {
		fill(t, conn, n)
		for _, stats := range statistics {
			for _, statement := range stats.change {
				execute(t, conn, statement)
			}
			holdPlans(t, dsn, fmt.Sprintf("of tables of %d rows with statistics %s", n, stats.name), n == 10 && skips)
		}
	}
}

// holdPlans fails where a plan is not as it should be. With anyIndex a key may be found by any index that has its number.
func holdPlans(t *testing.T, dsn, circumstances string, anyIndex bool) {
	t.Helper()
	d, err := parseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := connect(t.Context(), d.connections()) // plans are kept for as long as a connection lasts
	if err != nil {
		t.Fatal(err)
	}
	defer hangUp(conn)
	one := map[sqlstore.Statement]bool{ // these read a table of one row, or one row of it
		sqlstore.SelectAuditExtent: true, sqlstore.UpdateAuditLast: true, sqlstore.UpdateAuditPruned: true, sqlstore.SelectInitialised: true,
	}
	for i := range sqlstore.Count {
		s := sqlstore.Statement(i)
		plan := genericPlan(t, conn, texts[s])
		want := map[sqlstore.Statement][]string{
			sqlstore.SelectRecord:            {"tokens_digest", "(digest = $1)", "api_keys_pkey"},
			sqlstore.SelectKey:               {"using api_keys_pkey", "using quotas_pkey"},
			sqlstore.SelectQuota:             {"using api_keys_pkey", "using quotas_pkey"},
			sqlstore.ListKeys:                {"Backward using api_keys_pkey", "(key_id < $3)", "using quotas_pkey"},
			sqlstore.ListKeysOfOrganization:  {"Backward using api_keys_by_organization", "ROW(organization_id, key_id) >= ROW($1, ", "ROW(organization_id, key_id) < ROW($1, $3)"},
			sqlstore.ListKeysOfUser:          {"Backward using api_keys_by_user", "ROW(user_id, key_id) >= ROW($2, ", "ROW(user_id, key_id) < ROW($2, $3)"},
			sqlstore.ListKeysOfMember:        {"Backward using api_keys_by_member", "ROW(organization_id, user_id, key_id) >= ROW($1, $2, ", "ROW(organization_id, user_id, key_id) < ROW($1, $2, $3)"},
			sqlstore.ListAudit:               {"Backward using audit_log_pkey", "((audit_id >= $4) AND (audit_id < $5))"},
			sqlstore.ListAuditOfOrganization: {"Backward using audit_log_by_organization", "ROW(organization_id, audit_id) >= ROW($1, $4)", "ROW(organization_id, audit_id) < ROW($1, $5)"},
			sqlstore.ListAuditOfTarget:       {"Backward using audit_log_by_target", "ROW(target_type, target_id, audit_id) >= ROW($2, $3, $4)", "ROW(target_type, target_id, audit_id) < ROW($2, $3, $5)"},
			sqlstore.ListAuditOldest:         {"using audit_log_pkey", "(audit_id > $1)"},
			sqlstore.ListKeyIDsOfMember:      {"using api_keys_by_member", "ROW(organization_id, user_id, key_id) >= ROW($1, $2, ", "ROW(organization_id, user_id) <= ROW($1, $2)"},
			sqlstore.ListMembers:             {"Backward using members_once", "ROW(organization_id, user_id) >= ROW($1, ", "ROW(organization_id, user_id) < ROW($1, $2)"},
			sqlstore.ListMemberships:         {"using members_by_user", "ROW(user_id, organization_id) >= ROW($1, ", "(user_id <= $1)"},
			sqlstore.ListOrganizations:       {"Backward using organizations_pkey", "(organization_id < $1)"},
			sqlstore.ListSessions:            {"Backward using sessions_by_user", "ROW(user_id, session_id) >= ROW($1, ", "ROW(user_id, session_id) < ROW($1, $2)"},
			sqlstore.ListDigests:             {"tokens_by_key", "(key_id = $1)"},
			sqlstore.DeleteTokens:            {"tokens_by_key", "(key_id = $1)"},
			sqlstore.SelectForm:              {"using used_forms_digest", "(digest = $1)"},
			sqlstore.SelectLeak:              {"using leaked_tokens_digest", "(digest = $1)"},
			sqlstore.ListUsage:               {"usage_counts_once", "ROW(organization_id, key_id, first_hour) >= ROW($1, $2, $3)", "ROW(organization_id, key_id, first_hour) < ROW($1, $2, $4)"},
			sqlstore.ListUsageOfMember:       {"using api_keys_by_member", "ROW(organization_id, key_id, first_hour) >= ROW($1, api_keys.key_id, $3)", "ROW(organization_id, key_id, first_hour) < ROW($1, api_keys.key_id, $4)"},
			sqlstore.ListAgedUsage:           {"using usage_counts_by_age", "ROW(hours, first_hour) >= ROW($1, ", "ROW(hours, first_hour) < ROW($1, $2)"},
			sqlstore.ListUsageOfGone:         {"using usage_counts_once", "ROW(organization_id, key_id) >= ROW($1, $2)", "ROW(organization_id, key_id) <= ROW($1, $3)"},
			sqlstore.AddUsage:                {"using organizations_pkey", "using api_keys_pkey"},
			sqlstore.DeleteUsage:             {"usage_counts_once", "ROW(organization_id, key_id, first_hour, hours, outcome) >= ROW($1, $2, $3, $4, $5)", "<= ROW($1, $2, $3, $4, $5)"},
		}[s]
		sorts := false
		if list, order, ok := s.Ordered(); ok { // of these all keys of the list are looked at, and no others
			want, sorts = []string{"Scan using " + []string{"api_keys_pkey", "api_keys_by_organization", "api_keys_by_user", "api_keys_by_member"}[list-sqlstore.ListKeys]},
				order != key.OldestFirst
		}
		found := (sorts || !strings.Contains(plan, "Sort")) && (one[s] || !strings.Contains(plan, "Seq Scan"))
		for _, part := range want {
			if anyIndex && strings.HasSuffix(part, "api_keys_pkey") && !strings.HasPrefix(part, "Backward") {
				part = "Index Cond: (key_id = "
			}
			found = found && strings.Contains(plan, part)
		}
		if !found {
			t.Errorf("%s the plan of %s is\n%s\nwant %q", circumstances, texts[s], plan, want)
		}
	}
}

// genericPlan returns the plan of a statement for all values of its parameters.
func genericPlan(t *testing.T, conn *pgx.Conn, statement string) string {
	t.Helper()
	described, err := conn.Prepare(t.Context(), "p", statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	call := `EXPLAIN (COSTS OFF) EXECUTE p`
	if n := len(described.ParamOIDs); n > 0 {
		call += `(NULL` + strings.Repeat(`, NULL`, n-1) + `)`
	}
	rows, err := conn.Query(t.Context(), call, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Deallocate(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}
