package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// step is a migration that may follow those of this program.
type step struct{ name, text string }

// later returns the migrations of this program, and behind them some that may follow.
func later(more ...step) fs.FS {
	dir := first(len(embeddedMigrations))
	for i, s := range more {
		name := fmt.Sprintf("%05d_%s.sql", newest+1+int64(i), s.name)
		dir[name] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + s.text)}
	}
	return dir
}

// embeddedMigrations are those of this program, and newest is the number of the last one.
var (
	embeddedMigrations = must(sqlstore.KnownMigrations(embedded()))
	newest             = embeddedMigrations[len(embeddedMigrations)-1].Number
)

// upTo returns the numbers of the migrations from the first to that with the number n, which may be one of those that follow.
func upTo(n int64) (numbers []int64) {
	for _, m := range embeddedMigrations {
		numbers = append(numbers, m.Number)
	}
	for number := newest + 1; number <= n; number++ {
		numbers = append(numbers, number)
	}
	return numbers
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var (
	next      = step{"next", `CREATE TABLE next (x INTEGER) STRICT;`}
	afterNext = step{"after_next", `CREATE TABLE after_next (x INTEGER) STRICT; INSERT INTO after_next VALUES (1);`}
)

// applied lists the numbers of the migrations that a database has.
func applied(t *testing.T, opts Options) (numbers []int64) {
	t.Helper()
	migrations, err := Migrations(t.Context(), opts)
	if err != nil {
		t.Fatalf("Migrations() = %v", err)
	}
	for _, m := range migrations {
		if !m.AppliedAt.IsZero() {
			numbers = append(numbers, m.Number)
		}
	}
	return numbers
}

func TestMigrationsAreNumberedWithoutGaps(t *testing.T) {
	for i, m := range embeddedMigrations {
		if m.Number != int64(i+1) || m.Name == "" {
			t.Errorf("migration %d is %+v", i+1, m)
		}
	}
}

func TestMigrateNewDatabase(t *testing.T) {
	opts := Options{Path: newPath(t), Migrate: true}
	before := time.Now().Add(-2 * time.Second)
	open(t, opts)
	opts.Migrate = false
	migrations, err := Migrations(t.Context(), opts) // while the store is open
	known := embeddedMigrations
	if err != nil || len(migrations) != len(known) || known[0].Name != "accounts_and_keys" {
		t.Fatalf("Migrations() = %+v, %v, want %+v", migrations, err, known)
	}
	for i, m := range migrations {
		if at := m.AppliedAt; at.Before(before) || at.After(time.Now()) || at.Location() != time.UTC {
			t.Errorf("AppliedAt = %v, want now in UTC", at)
		}
		m.AppliedAt = time.Time{}
		if m != known[i] {
			t.Errorf("migration = %+v, want %+v", m, known[i])
		}
	}
}

func TestOlderSchema(t *testing.T) {
	opts := Options{Path: newPath(t), Migrate: true}
	if err := openFilled(t, opts, 1).Close(); err != nil {
		t.Fatal(err)
	}
	opts.migrations = later(next, afterNext)
	want := fmt.Sprintf("schema version %d is older than %d", newest, newest+2)
	for _, migrate := range []bool{false, true} { // with data in it, Open leaves it alone unless it is told to expand it
		_, err := Open(t.Context(), Options{Path: opts.Path, Migrate: migrate, migrations: opts.migrations})
		if !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), want) {
			t.Errorf("Open() = %v, want ErrSchema with both versions", err)
		}
	}
	if got := applied(t, opts); !slices.Equal(got, upTo(newest)) {
		t.Errorf("applied before = %v", got)
	}
	opts.Migrate = false
	done, err := Migrate(t.Context(), opts)
	if err != nil || len(done) != 2 || done[0].Name != next.name || done[1].Number != newest+2 || done[1].AppliedAt.IsZero() {
		t.Errorf("Migrate() = %+v, %v", done, err)
	}
	if got := applied(t, opts); !slices.Equal(got, upTo(newest+2)) {
		t.Errorf("applied after = %v", got)
	}
	if done, err := Migrate(t.Context(), opts); err != nil || len(done) != 0 {
		t.Errorf("Migrate() again = %+v, %v", done, err)
	}
	s := open(t, opts)
	if _, err := s.Key(t.Context(), 1); err != nil {
		t.Errorf("the key is gone: %v", err)
	}
}

func TestNewerSchema(t *testing.T) {
	opts := Options{Path: newPath(t), Migrate: true, migrations: later(next)}
	s := openFilled(t, opts, 1)
	db := plain(t, opts.Path)
	// While it is open, as if a newer program had migrated it.
	execute(t, db, `INSERT INTO schema_migrations (version_id, is_applied) VALUES (7000, 1)`, `UPDATE schema_compatibility SET oldest = 7000`)
	err := s.Ready(t.Context())
	said := fmt.Sprintf("schema version 7000 is newer than %d", newest+1)
	if !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), said) {
		t.Errorf("Ready() = %v, want ErrSchema with both versions", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, opts := range []Options{opts, {Path: opts.Path}, {Path: opts.Path, ReadOnly: true}} {
		if _, err := Open(t.Context(), opts); !errors.Is(err, store.ErrSchema) {
			t.Errorf("Open() = %v, want ErrSchema", err)
		}
	}
	if done, err := Migrate(t.Context(), Options{Path: opts.Path}); !errors.Is(err, store.ErrSchema) || len(done) != 0 {
		t.Errorf("Migrate() = %v, %v, want ErrSchema", done, err)
	}
	// The status shows what this program does not know, without a name.
	migrations, err := Migrations(t.Context(), Options{Path: opts.Path})
	for i := range migrations {
		migrations[i].AppliedAt = time.Time{}
	}
	want := append(slices.Clone(embeddedMigrations), Migration{Number: newest + 1}, Migration{Number: 7000})
	if err != nil || !slices.Equal(migrations, want) {
		t.Errorf("Migrations() = %+v, %v, want %+v", migrations, err, want)
	}
}

// A newer program has added to the schema and broken nothing: an older one goes on, and starts as well.
func TestExpandedSchema(t *testing.T) {
	path := newPath(t)
	s := openFilled(t, Options{Path: path, Migrate: true}, 1)
	old := Options{Path: path, Migrate: true, Expand: true}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	newer := old
	newer.migrations = later(step{"more", `ALTER TABLE api_keys ADD COLUMN more TEXT; ALTER TABLE users ADD COLUMN more TEXT;`}, next)
	if err := open(t, newer).Close(); err != nil { // migrates by itself
		t.Fatal(err)
	}
	if got := applied(t, newer); !slices.Equal(got, upTo(newest+2)) {
		t.Fatalf("applied = %v, want %v", got, upTo(newest+2))
	}
	s = open(t, old)
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("Ready() = %v", err)
	}
	if _, err := s.Key(t.Context(), 1); err != nil {
		t.Errorf("Key() = %v", err)
	}
	if err := addKeys(t.Context(), s, 1, 1); err != nil {
		t.Errorf("Update() = %v", err)
	}
	if err := s.Backup(t.Context(), filepath.Join(t.TempDir(), "copy.db")); err != nil {
		t.Errorf("Backup() = %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if done, err := Migrate(t.Context(), old); err != nil || len(done) != 0 {
		t.Errorf("Migrate() by the older program = %v, %v, want nothing to do", done, err)
	}
	if _, err := OpenContents(t.Context(), path); !errors.Is(err, store.ErrSchema) {
		t.Errorf("OpenContents() = %v, want ErrSchema: it does not know everything that there is", err)
	}
}

// TestOldest holds what the program says about its schema to what the schema says.
func TestOldest(t *testing.T) {
	s := open(t, Options{Path: newPath(t), Migrate: true})
	if said := count(t, s, sqlstore.SelectOldest); said != sqlstore.Oldest {
		t.Errorf("the schema says that programs need to know %d, and the program %d", said, sqlstore.Oldest)
	}
}

func TestMigrationThatFails(t *testing.T) {
	opts := Options{Path: newPath(t), Migrate: true}
	if err := openFilled(t, opts, 1).Close(); err != nil {
		t.Fatal(err)
	}
	opts.migrations = later(next, step{"broken", `CREATE TABLE after_next (x INTEGER) STRICT; INSERT INTO nowhere VALUES (1);`})
	done, err := Migrate(t.Context(), opts)
	if err == nil || len(done) != 1 || done[0].Number != newest+1 {
		t.Errorf("Migrate() = %+v, %v, want an error after the first of two", done, err)
	}
	if got := applied(t, opts); !slices.Equal(got, upTo(newest+1)) {
		t.Errorf("applied = %v, want %v", got, upTo(newest+1))
	}
	opts.migrations = later(next, afterNext) // creates the table that the broken one had created
	if done, err := Migrate(t.Context(), opts); err != nil || len(done) != 1 {
		t.Errorf("Migrate() with the fault mended = %+v, %v", done, err)
	}
}

// slow is a migration that takes many seconds and changes a lot.
var slow = step{"slow", `CREATE TABLE after_next (x BLOB) STRICT;
	INSERT INTO after_next
	WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)
	SELECT zeroblob(4000) FROM n;`}

func init() {
	children["migrate"] = func(path string, tell func(string, ...any)) error {
		tell("started")
		_, err := Migrate(background, Options{Path: path, Migrate: true, migrations: later(next, slow)})
		return err
	}
}

// TestMigrationKilled kills a process in the middle of a migration that has already written to the disk.
func TestMigrationKilled(t *testing.T) {
	for name, prepare := range map[string]func(path string){
		"new database": func(string) {},
		"database with data": func(path string) {
			if err := openFilled(t, Options{Path: path, Migrate: true}, 1).Close(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			prepare(path)
			c := startChild(t, "migrate", path)
			c.line()
			waitForSize(t, path+"-wal", 16<<20) // its cache holds 8 MiB: the rest is in the log, not committed
			c.kill(t)

			if got := applied(t, Options{Path: path}); !slices.Equal(got, upTo(newest+1)) {
				t.Errorf("applied = %v, want %v", got, upTo(newest+1))
			}
			opts := Options{Path: path, Migrate: true, migrations: later(next, afterNext)}
			if name == "database with data" {
				if _, err := Migrate(t.Context(), opts); err != nil {
					t.Fatalf("Migrate() = %v", err)
				}
			}
			s := open(t, opts) // goes on by itself where there is no data yet
			if rows := count(t, s, `SELECT count(*) FROM after_next`); rows != 1 {
				t.Errorf("%d rows in the new table, want 1", rows)
			}
		})
	}
}

// waitForSize waits until a file has grown to a size.
func waitForSize(t *testing.T, path string, size int64) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		if info, err := os.Stat(path); err == nil && info.Size() >= size {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s did not grow to %d bytes", path, size)
		}
		time.Sleep(time.Millisecond)
	}
}

// first returns the first n migrations of this program, as an older one had them.
func first(n int) fstest.MapFS {
	dir := fstest.MapFS{}
	for _, name := range must(fs.Glob(embedded(), "*.sql"))[:n] {
		dir[name] = &fstest.MapFile{Data: must(fs.ReadFile(embedded(), name))}
	}
	return dir
}

// columnsOf returns the columns of every table, also of that in which SQLite keeps which ids it gave.
func columnsOf(t *testing.T, path string) map[string][]string {
	t.Helper()
	db := plain(t, path)
	defer db.Close()
	columns := map[string][]string{}
	err := list(t.Context(), db, `SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name <> '`+sqlstore.History+`'`, func(rows *sql.Rows) error {
		var table, column string
		err := rows.Scan(&table, &column)
		columns[table] = append(columns[table], column)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return columns
}

// rowsOf returns what stands in these columns of each table.
func rowsOf(t *testing.T, path string, columns map[string][]string) map[string][]string {
	t.Helper()
	db := plain(t, path)
	defer db.Close()
	all := map[string][]string{}
	for table, names := range columns {
		query := `SELECT concat_ws('|', quote(` + strings.Join(names, `), quote(`) + `)) FROM ` + table + ` ORDER BY 1`
		err := list(t.Context(), db, query, func(rows *sql.Rows) error {
			var row string
			err := rows.Scan(&row)
			if !strings.Contains(row, sqlstore.History) { // its ids, which every migration adds to
				all[table] = append(all[table], row)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestMigrateKeepsEverything migrates a database that the first release has filled.
func TestMigrateKeepsEverything(t *testing.T) {
	path := newPath(t)
	if _, err := Migrate(t.Context(), Options{Path: path, Migrate: true, migrations: first(1)}); err != nil {
		t.Fatal(err)
	}
	token, old := digestOf(1), digestOf(2)
	db := plain(t, path)
	execute(t, db,
		`INSERT INTO users VALUES (3, 'Ada@example.com', 'ada@example.com', 1, 1000, 2000), (7, 'b@example.com', 'b@example.com', 0, 1, 2)`,
		`INSERT INTO organizations VALUES (4, 'Engines', 'crm-1', '{"a":1}', 3000, 4000), (5, 'bare', NULL, NULL, 5000, 6000)`,
		`INSERT INTO members VALUES (4, 3, 4, 7000), (5, 3, 1, 8000), (4, 7, 2, 9000)`,
		`INSERT INTO api_keys VALUES (9, 4, 3, 'Key', 'ak_7Gx2…9fQ2', 3, 1, 11000, 12000, 13000, 14000, '{"b":2}'),
			(10, 5, 3, 'bare', 'h', 1, 0, NULL, NULL, 1, 2, NULL), (11, 5, 3, 'deleted', 'h', 1, 0, NULL, NULL, 1, 2, NULL)`,
		`DELETE FROM api_keys WHERE key_id = 11`,
		fmt.Sprintf(`INSERT INTO tokens VALUES (x'%x', 9, NULL), (x'%x', 9, 15000)`, token[:], old[:]))
	db.Close()
	columns := columnsOf(t, path)
	want := rowsOf(t, path, columns)
	if len(want["tokens"]) != 2 || len(want["members"]) != 3 || len(want["sqlite_sequence"]) != 3 {
		t.Fatalf("the old database holds %v", want)
	}

	// Programs that know the first release's schema do not know this one: it is not taken from under them.
	if _, err := Open(t.Context(), Options{Path: path, Migrate: true, Expand: true}); !errors.Is(err, store.ErrSchema) {
		t.Errorf("Open() = %v, want that it must be migrated", err)
	}
	if done, err := Migrate(t.Context(), Options{Path: path}); err != nil || len(done) != len(embeddedMigrations)-1 {
		t.Fatalf("Migrate() = %v, %v", done, err)
	}
	s := open(t, Options{Path: path})
	if k, err := s.Key(t.Context(), 9); err != nil || k.Name != "Key" || !k.LastUsedAt.Equal(time.UnixMicro(12000)) {
		t.Errorf("Key() = %+v, %v", k, err)
	}
	if rec, err := s.RecordByDigest(t.Context(), old); err != nil || rec.KeyID != 9 || rec.TokenExpiresAt.Time().UnixMicro() != 15000 {
		t.Errorf("RecordByDigest() = %+v, %v", rec, err)
	}
	u, err := s.UserByEmail(t.Context(), "ADA@example.com")
	if err != nil || u.ID != 3 || !u.InstanceAdmin || !u.SignedInAt.IsZero() {
		t.Errorf("UserByEmail() = %+v, %v, want one who has never signed in", u, err)
	}
	if hashed, err := s.Password(t.Context(), 3); err != nil || hashed != "" {
		t.Errorf("Password() = %q, %v, want none", hashed, err)
	}
	if extent, err := s.AuditExtent(t.Context()); err != nil || extent != (audit.Extent{}) {
		t.Errorf("AuditExtent() = %+v, %v, want that of an empty log", extent, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := rowsOf(t, path, columns); !reflect.DeepEqual(got, want) {
		t.Errorf("after the migration there is\n%v\nwant\n%v", got, want)
	}
	if problem := integrity(t, path); problem != "ok" {
		t.Errorf("integrity_check: %s", problem)
	}
}

// TestSchema holds the tables to what the code relies on.
func TestSchema(t *testing.T) {
	s := open(t, Options{Path: newPath(t), Migrate: true})
	rows, err := s.reads.lists.db.Query(`SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	tables := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			t.Fatal(err)
		}
		tables[name] = text
	}
	delete(tables, sqlstore.History) // not ours
	want := []string{"api_keys", "audit_extent", "audit_log", "devices", "identities", "leaked_tokens", "members", "organizations", "quotas",
		"schema_compatibility", "sessions", "sign_in_links", "tokens", "usage_counts", "usage_gone", "used_forms", "users"}
	if got := slices.Sorted(maps.Keys(tables)); !slices.Equal(got, want) {
		t.Errorf("tables = %v, want %v", got, want)
	}
	givesIDs := map[string]bool{} // tables whose ids SQLite gives
	for name, text := range tables {
		if !strings.Contains(text, "STRICT") {
			t.Errorf("%s is not STRICT", name)
		}
		givesIDs[name] = !strings.Contains(text, "WITHOUT ROWID")
	}
	// Audit ids are given by the chain, which must have no gaps and knows its last id also when the entry is gone. The
	// extent has one row, which is never deleted.
	givesIDs["audit_log"], givesIDs["audit_extent"], givesIDs["schema_compatibility"] = false, false, false
	for name, gives := range givesIDs {
		if gives != strings.Contains(tables[name], "AUTOINCREMENT") {
			t.Errorf("%s: SQLite gives ids = %v, and may give one twice:\n%s", name, gives, tables[name])
		}
	}
}
