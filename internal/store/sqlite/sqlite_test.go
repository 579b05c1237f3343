package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
	"github.com/apikeyd/apikeyd/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, Options{Path: newPath(t), Migrate: true}) })
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "apikeyd.db") }

func open(t testing.TB, opts Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return s
}

// addAccount makes user 1 and organization 1, and him its owner.
func addAccount(ctx context.Context, s *Store) error {
	now := time.Now()
	_, err := s.Update(ctx, func(tx store.Tx) error {
		if _, err := tx.InsertUser(ctx, key.User{Email: "a@example.com", CreatedAt: now, UpdatedAt: now}); err != nil {
			return err
		}
		if _, err := tx.InsertOrganization(ctx, key.Organization{Name: "o", CreatedAt: now, UpdatedAt: now}); err != nil {
			return err
		}
		return tx.InsertMember(ctx, key.Membership{OrganizationID: 1, UserID: 1, Role: key.Owner, CreatedAt: now})
	})
	return err
}

// openFilled returns a store with user 1, organization 1 and n keys.
func openFilled(t testing.TB, opts Options, n int) *Store {
	t.Helper()
	s := open(t, opts)
	if err := addAccount(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := addKeys(t.Context(), s, 0, n); err != nil {
		t.Fatal(err)
	}
	return s
}

// addKeys adds n keys, the first with the digest of number from.
func addKeys(ctx context.Context, s *Store, from, n int) error {
	_, err := s.Update(ctx, func(tx store.Tx) error {
		for i := range n {
			if _, err := tx.InsertKey(ctx, plainKey(), digestOf(int64(from+i))); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

func plainKey() key.Key {
	now := time.Now()
	return key.Key{Name: "Backend API Key", Scopes: key.ScopesOf(key.Read, key.Create), OrganizationID: 1, UserID: 1,
		Hint: "ak_7Gx2…9fQ2", Enabled: true, CreatedAt: now, UpdatedAt: now}
}

// plainEntry is what is recorded where a key was created.
func plainEntry(id int64) audit.Entry {
	return audit.Entry{
		OccurredAt: time.Now(), Actor: audit.Actor{UserID: 1, KeyID: 1}, Action: "key.create",
		Target: audit.Target{Type: audit.Key, ID: id}, OrganizationID: 1, IP: "192.0.2.7", RequestID: "8Vt3kq0Jr1hQ",
		Outcome: audit.Success, After: []byte(`{"key_name":"Backend API Key","key_scope":["READ","CREATE"],"enabled":true}`),
	}
}

// plain opens a file with the driver alone, as another program would.
func plain(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func execute(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// TestPragmas asks every connection of every pool, all at the same time so that none is asked twice.
func TestPragmas(t *testing.T) {
	s := openFilled(t, Options{Path: newPath(t), Migrate: true}, 1)
	for _, pool := range []struct {
		name string
		db   *sql.DB
		want map[string]string
	}{
		{"points", s.reads.points.db, map[string]string{"query_only": "1"}},
		{"lists", s.reads.lists.db, map[string]string{"query_only": "1"}},
		{"writer", nil, map[string]string{"query_only": "0", "journal_size_limit": "67108864"}},
	} {
		conns := []*sql.Conn{s.session.conn}
		if pool.db != nil {
			conns = nil
			for range pool.db.Stats().MaxOpenConnections {
				conn, err := pool.db.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				conns = append(conns, conn)
			}
		}
		const full = "2"
		pool.want["synchronous"], pool.want["foreign_keys"], pool.want["journal_mode"] = full, "1", "wal"
		pool.want["busy_timeout"], pool.want["temp_store"] = "5000", "2"
		for i, conn := range conns {
			for pragma, want := range pool.want {
				var got string
				if err := conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
					t.Errorf("%s of connection %d of %s = %s, %v, want %s", pragma, i, pool.name, got, err, want)
				}
			}
			_, err := conn.ExecContext(t.Context(), `DELETE FROM tokens WHERE key_id = 0`)
			if reads := pool.want["query_only"] == "1"; (primary(err) == readOnly) != reads {
				t.Errorf("DELETE on connection %d of %s = %v", i, pool.name, err)
			}
		}
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	s := openFilled(t, Options{Path: newPath(t), Migrate: true}, 1)
	files, err := os.ReadDir(filepath.Dir(s.file.real))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
		if info, err := f.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has the mode %v, %v", f.Name(), info.Mode(), err)
		}
	}
	if got, want := strings.Join(names, " "), "apikeyd.db apikeyd.db-shm apikeyd.db-wal apikeyd.db.lock"; got != want {
		t.Errorf("files = %s, want %s", got, want)
	}
}

func TestStrangePaths(t *testing.T) {
	for _, name := range []string{
		"a b.db", "50%.db", "what?mode=ro.db", "#1.db", "&_pragma=x.db", "ünï.db", "-x", "a+b", "a:b", "'\".db",
	} {
		path := filepath.Join(t.TempDir(), name)
		s := openFilled(t, Options{Path: path, Migrate: true}, 1)
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 2 { // it and its lock
			t.Errorf("%q: files = %v, %v", name, entries, err)
		}
	}
	t.Chdir(t.TempDir())
	s := openFilled(t, Options{Path: "relative.db", Migrate: true}, 1)
	t.Chdir(t.TempDir())
	if err := addKeys(t.Context(), s, 1, 1); err != nil {
		t.Errorf("after a change of the working directory: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	folder := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dangling := filepath.Join(folder, "dangling.db")
	if err := os.Symlink(filepath.Join(folder, "none.db"), dangling); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(folder, "foreign.db")
	execute(t, plain(t, foreign), `CREATE TABLE things (x)`)

	type refusal struct {
		opts Options
		want string
		is   error
	}
	create := func(path string) Options { return Options{Path: path, Migrate: true} }
	nowhere := filepath.Join(folder, "no", "x.db")
	none := filepath.Join(folder, "none.db")
	for name, c := range map[string]refusal{
		"no path":           {create(""), "must name a file", nil},
		"no folder":         {create(nowhere), "there is no folder " + filepath.Dir(nowhere), nil},
		"a folder":          {create(folder), "is a folder; must be a file, such as " + filepath.Join(folder, "apikeyd.db"), nil},
		"a device":          {create("/dev/null"), "is no regular file", nil},
		"a link to nothing": {create(dangling), "is a symbolic link to a file that does not exist", nil},
		"no file":           {Options{Path: none}, "", fs.ErrNotExist},
		"no file to read":   {Options{Path: none, ReadOnly: true}, "", fs.ErrNotExist},
		"a text":            {create(write("text", strings.Repeat("no database\n", 100))), "is no SQLite database", nil},
		"a short text":      {create(write("short", "x")), "is no SQLite database", nil},
		"of another":        {create(foreign), "belongs to another program", nil},
		"of another, read":  {Options{Path: foreign, ReadOnly: true}, "", store.ErrSchema},
		"empty":             {Options{Path: write("empty", "")}, fmt.Sprint("schema version 0 is older than ", newest), store.ErrSchema},
		"empty to read":     {Options{Path: write("empty2", ""), ReadOnly: true}, "run apikeyd migrate", store.ErrSchema},
		"migrate read-only": {Options{Path: foreign, ReadOnly: true, Migrate: true}, "cannot create a schema", nil},
		"migrate beside":    {Options{Path: foreign, Beside: true, Migrate: true}, "cannot create a schema", nil},
	} {
		s, err := Open(t.Context(), c.opts)
		if err == nil {
			s.Close()
			t.Errorf("%s: opened", name)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.opts.Path) {
			t.Errorf("%s: error %q, want one about %q with %q", name, err, c.opts.Path, c.want)
		}
		if c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: error %v, want %v", name, err, c.is)
		}
	}
	for _, path := range []string{"none.db", "none.db.lock", "empty2.lock"} {
		if _, err := os.Stat(filepath.Join(folder, path)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was left behind: %v", path, err)
		}
	}
	if content, err := os.ReadFile(filepath.Join(folder, "empty")); err != nil || len(content) != 0 {
		t.Errorf("the empty file was touched: %d bytes, %v", len(content), err)
	}
	var mode string
	if err := plain(t, foreign).QueryRow(`PRAGMA journal_mode`).Scan(&mode); err != nil || mode != "delete" {
		t.Errorf("the other program's database was touched: journal mode %s, %v", mode, err)
	}
}

// TestOpenTurnsOnTheLog opens a database that some tool has taken the write-ahead log from.
func TestOpenTurnsOnTheLog(t *testing.T) {
	path := newPath(t)
	if err := openFilled(t, Options{Path: path, Migrate: true}, 1).Close(); err != nil {
		t.Fatal(err)
	}
	execute(t, plain(t, path), `PRAGMA journal_mode = DELETE`)
	s := open(t, Options{Path: path})
	if err := addKeys(t.Context(), s, 1, 1); err != nil {
		t.Error(err)
	}
	if _, err := s.RecordByDigest(t.Context(), digestOf(1)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path + "-wal"); err != nil {
		t.Error(err)
	}
}

// TestPlans holds the plan of every statement against statistics that are wrong in the worst ways, from tables that
// held one row when an operator gathered them to indexes that tell no rows apart. A statement must find its rows
// by an index all the same.
func TestPlans(t *testing.T) {
	path := newPath(t)
	s := openFilled(t, Options{Path: path, Migrate: true}, 10)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, stats := range []string{"", "1 1", "3 1", "10000000 10000000", "10000000 10000000 10000000", "10000000 1 1"} {
		db := plain(t, path)
		execute(t, db, `ANALYZE`, `DELETE FROM sqlite_stat1`)
		if stats != "" {
			execute(t, db, `INSERT INTO sqlite_stat1 SELECT tbl_name, name, '`+stats+`' FROM sqlite_schema WHERE type = 'index'`)
		}
		db.Close()
		db = plain(t, path) // reads the statistics
		for i := range sqlstore.Count {
			st := sqlstore.Statement(i)
			if (byPrimaryKey[st] || st == sqlstore.OrderedKeys(sqlstore.ListKeys, key.OldestFirst)) && stats == "1 1" {
				continue // the primary key cannot be named; SQLite reads a table of 1 or 2 rows without it
			}
			plan := queryPlan(t, db, text(st))
			want := map[sqlstore.Statement]string{
				sqlstore.SelectRecord:           "PRIMARY KEY (digest=?)",
				sqlstore.ListKeys:               "USING INTEGER PRIMARY KEY (rowid<?)",
				sqlstore.ListKeysOfOrganization: "USING INDEX api_keys_by_organization (organization_id=? AND key_id<?)",
				sqlstore.ListKeysOfUser:         "USING INDEX api_keys_by_user (user_id=? AND key_id<?)",
				sqlstore.ListKeysOfMember:       "USING INDEX api_keys_by_member (organization_id=? AND user_id=? AND rowid<?)",
				sqlstore.ListMemberships:        "members_by_user (user_id=?)",
				sqlstore.ListDigests:            "tokens_by_key (key_id=?)",
				sqlstore.DeleteTokens:           "tokens_by_key (key_id=?)",

				sqlstore.SelectUserByEmail:              "(email_folded=?)",
				sqlstore.SelectUserByIdentity:           "PRIMARY KEY (issuer=? AND subject=?)",
				sqlstore.SelectOrganizationByExternalID: "(external_id=?)",
				sqlstore.SelectSessionByDigest:          "(digest=?)",
				sqlstore.SelectMember:                   "PRIMARY KEY (organization_id=? AND user_id=?)",
				sqlstore.ListKeyIDsOfMember:             "api_keys_by_member (organization_id=? AND user_id=?)",
				sqlstore.ListDigestsOfOrganization:      "api_keys_by_organization (organization_id=?)",
				sqlstore.DeleteTokensOfOrganization:     "tokens_by_key (key_id=?)",
				sqlstore.DeleteKeysOfOrganization:       "api_keys_by_organization (organization_id=?)",
				sqlstore.ListOrganizations:              "USING INTEGER PRIMARY KEY (rowid<?)",
				sqlstore.ListMembers:                    "PRIMARY KEY (organization_id=? AND user_id<?)",
				sqlstore.CountOwners:                    "PRIMARY KEY (organization_id=?)",
				sqlstore.ListSessions:                   "sessions_by_user (user_id=? AND rowid<?)",
				sqlstore.ListAudit:                      "rowid<?)",
				sqlstore.ListAuditOfOrganization:        "audit_log_by_organization (organization_id=? AND rowid>? AND rowid<?)",
				sqlstore.ListAuditOfTarget:              "audit_log_by_target (target_type=? AND target_id=? AND rowid>? AND rowid<?)",
				sqlstore.ListAuditOldest:                "USING INTEGER PRIMARY KEY (rowid>?)",
				sqlstore.SelectAuditTime:                "USING INTEGER PRIMARY KEY (rowid>?)",
				sqlstore.DeleteAudit:                    "USING INTEGER PRIMARY KEY (rowid<?)",
				sqlstore.DeleteUnusedSessions:           "sessions_by_last_use (last_used_at<?)",
				sqlstore.DeleteEndedLinks:               "sign_in_links_by_end (expires_at<?)",
				sqlstore.DeleteOldLinks:                 "COVERING INDEX sign_in_links_by_user (user_id=?)",
				sqlstore.DeleteOldDevices:               "COVERING INDEX devices_by_user (user_id=?)",
				sqlstore.SelectForm:                     "PRIMARY KEY (digest=?)",
				sqlstore.SelectLeak:                     "PRIMARY KEY (digest=?)",
				sqlstore.ListIdentities:                 "identities_by_user (user_id=?)",
				sqlstore.DeleteIdentity:                 "PRIMARY KEY (issuer=? AND subject=?)",
				sqlstore.DeleteOldForms:                 "used_forms_by_age (used_at<?)",
				sqlstore.ListUsage:                      "PRIMARY KEY (organization_id=? AND key_id=? AND first_hour>? AND first_hour<?)",
				sqlstore.ListUsageOfMember:              "PRIMARY KEY (organization_id=? AND key_id=? AND first_hour>? AND first_hour<?)",
				sqlstore.ListAgedUsage:                  "usage_counts_by_age (hours=? AND first_hour<?)",
				sqlstore.ListUsageOfGone:                "PRIMARY KEY (organization_id=? AND key_id>? AND key_id<?)",
				sqlstore.ListGone:                       "PRIMARY KEY (organization_id>?)",
				sqlstore.DeleteUsage:                    "organization_id=? AND key_id=?",
			}[st]
			sorts := false
			if list, order, ok := st.Ordered(); ok { // of these all keys of the list are looked at, and no others
				want, sorts = []string{"PRIMARY KEY", "INDEX api_keys_by_organization (organization_id=?", "INDEX api_keys_by_user (user_id=?",
					"INDEX api_keys_by_member (organization_id=? AND user_id=?"}[list-sqlstore.ListKeys], order != key.OldestFirst
				if sorts && list == sqlstore.ListKeys {
					continue // it is about every key
				}
			}
			scans := scansTable(plan) && st != sqlstore.SelectInitialised
			if !strings.Contains(plan, want) || scans && !sorts || strings.Contains(plan, "TEMP B-TREE") && !sorts {
				t.Errorf("with statistics %q the plan of %s is\n%swant %q", stats, text(st), plan, want)
			}
		}
	}
}

// TestFiltersAreCovered holds that where there may be many keys they are found in an index alone, whatever they are filtered by.
func TestFiltersAreCovered(t *testing.T) {
	path := newPath(t)
	open(t, Options{Path: path, Migrate: true})
	db := plain(t, path)
	for st, want := range map[sqlstore.Statement]string{
		sqlstore.ListKeysOfOrganization: "USING COVERING INDEX api_keys_by_organization (organization_id=? AND key_id<?)",
		sqlstore.ListKeysOfUser:         "USING COVERING INDEX api_keys_by_user (user_id=? AND key_id<?)",
	} {
		list := strings.Replace(text(st), sqlstore.KeyColumns, "key_id", 1)
		if plan := queryPlan(t, db, list); !strings.Contains(plan, want) {
			t.Errorf("the plan of %s is\n%swant %q", list, plan, want)
		}
		for _, order := range []key.Order{key.ByName, key.ByExpiry} {
			want, _, _ := strings.Cut(want, " AND")
			ordered := text(sqlstore.OrderedKeys(st, order))
			if plan := queryPlan(t, db, ordered); !strings.Contains(plan, want) {
				t.Errorf("the plan of %s is\n%swant %q", ordered, plan, want)
			}
		}
	}
}

// byPrimaryKey are the statements that read a range of a table's primary key.
var byPrimaryKey = map[sqlstore.Statement]bool{
	sqlstore.ListKeys: true, sqlstore.ListOrganizations: true, sqlstore.ListAudit: true, sqlstore.ListAuditOldest: true,
	sqlstore.SelectAuditTime: true, sqlstore.DeleteAudit: true, sqlstore.ListGone: true, sqlstore.ListUsageOfGone: true,
}

// scansTable reports whether a plan reads a whole table, other than one that the statement itself has made.
func scansTable(plan string) bool {
	made := map[string]bool{"CONSTANT": true} // CONSTANT ROW
	for line := range strings.Lines(plan) {
		switch words := strings.Fields(line); words[0] {
		case "CO-ROUTINE", "MATERIALIZE":
			made[words[1]] = true
		case "SCAN":
			if !made[words[1]] {
				return true
			}
		}
	}
	return false
}

func queryPlan(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	args := make([]any, strings.Count(query, "$"))
	rows, err := db.Query("EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&plan, detail)
	}
	return plan.String()
}
