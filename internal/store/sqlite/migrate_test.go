package sqlite

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/apikeyd/apikeyd/internal/store"
)

// later returns the migrations of this program, and of some that may follow.
func later(more map[string]string) fs.FS {
	dir := fstest.MapFS{}
	for _, m := range must(knownMigrations(embedded())) {
		name := "0000" + string(rune('0'+m.Number)) + "_" + m.Name + ".sql"
		dir[name] = &fstest.MapFile{Data: must(fs.ReadFile(embedded(), name))}
	}
	for name, text := range more {
		dir[name] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + text)}
	}
	return dir
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var (
	second = map[string]string{"00002_second.sql": `CREATE TABLE second (x INTEGER) STRICT;`}
	third  = map[string]string{
		"00002_second.sql": second["00002_second.sql"],
		"00003_third.sql":  `CREATE TABLE third (x INTEGER) STRICT; INSERT INTO third VALUES (1);`,
	}
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
	for i, m := range must(knownMigrations(embedded())) {
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
	if err != nil || len(migrations) != 1 || migrations[0].Number != 1 || migrations[0].Name != "accounts_and_keys" {
		t.Fatalf("Migrations() = %+v, %v", migrations, err)
	}
	if at := migrations[0].AppliedAt; at.Before(before) || at.After(time.Now()) || at.Location() != time.UTC {
		t.Errorf("AppliedAt = %v, want now in UTC", at)
	}
}

func TestOlderSchema(t *testing.T) {
	opts := Options{Path: newPath(t), Migrate: true}
	if err := openFilled(t, opts, 1).Close(); err != nil {
		t.Fatal(err)
	}
	opts.migrations = later(third)
	for _, migrate := range []bool{false, true} { // with data in it, Open leaves it alone
		_, err := Open(t.Context(), Options{Path: opts.Path, Migrate: migrate, migrations: opts.migrations})
		if !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), "schema version 1 is older than 3") {
			t.Errorf("Open() = %v, want ErrSchema with both versions", err)
		}
	}
	if got := applied(t, opts); !slices.Equal(got, []int64{1}) {
		t.Errorf("applied before = %v", got)
	}
	opts.Migrate = false
	done, err := Migrate(t.Context(), opts)
	if err != nil || len(done) != 2 || done[0].Name != "second" || done[1].Number != 3 || done[1].AppliedAt.IsZero() {
		t.Errorf("Migrate() = %+v, %v", done, err)
	}
	if got := applied(t, opts); !slices.Equal(got, []int64{1, 2, 3}) {
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
	opts := Options{Path: newPath(t), Migrate: true, migrations: later(second)}
	s := openFilled(t, opts, 1)
	db := plain(t, opts.Path)
	// While it is open, as if a newer program had migrated it.
	execute(t, db, `INSERT INTO schema_migrations (version_id, is_applied) VALUES (7, 1)`)
	err := s.Ready(t.Context())
	if !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), "schema version 7 is newer than 2") {
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
	want := []Migration{{Number: 1, Name: "accounts_and_keys"}, {Number: 2}, {Number: 7}}
	if err != nil || !slices.Equal(migrations, want) {
		t.Errorf("Migrations() = %+v, %v, want %+v", migrations, err, want)
	}
}

func TestMigrationThatFails(t *testing.T) {
	opts := Options{Path: newPath(t), Migrate: true}
	if err := openFilled(t, opts, 1).Close(); err != nil {
		t.Fatal(err)
	}
	opts.migrations = later(map[string]string{
		"00002_second.sql": second["00002_second.sql"],
		"00003_broken.sql": `CREATE TABLE third (x INTEGER) STRICT; INSERT INTO nowhere VALUES (1);`,
	})
	done, err := Migrate(t.Context(), opts)
	if err == nil || len(done) != 1 || done[0].Number != 2 {
		t.Errorf("Migrate() = %+v, %v, want an error after the second", done, err)
	}
	if got := applied(t, opts); !slices.Equal(got, []int64{1, 2}) {
		t.Errorf("applied = %v, want 1 and 2", got)
	}
	opts.migrations = later(third) // creates the table that the broken one had created
	if done, err := Migrate(t.Context(), opts); err != nil || len(done) != 1 {
		t.Errorf("Migrate() with the fault mended = %+v, %v", done, err)
	}
}

// slow is a migration that takes many seconds and changes a lot.
var slow = map[string]string{
	"00002_second.sql": second["00002_second.sql"],
	"00003_slow.sql": `CREATE TABLE third (x BLOB) STRICT;
		INSERT INTO third
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)
		SELECT zeroblob(4000) FROM n;`,
}

func init() {
	children["migrate"] = func(path string, tell func(string, ...any)) error {
		tell("started")
		_, err := Migrate(background, Options{Path: path, Migrate: true, migrations: later(slow)})
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

			if got := applied(t, Options{Path: path}); !slices.Equal(got, []int64{1, 2}) {
				t.Errorf("applied = %v, want 1 and 2", got)
			}
			opts := Options{Path: path, Migrate: true, migrations: later(third)}
			if name == "database with data" {
				if _, err := Migrate(t.Context(), opts); err != nil {
					t.Fatalf("Migrate() = %v", err)
				}
			}
			s := open(t, opts) // goes on by itself where there is no data yet
			if rows := count(t, s, `SELECT count(*) FROM third`); rows != 1 {
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
	delete(tables, history) // not ours
	want := []string{"api_keys", "members", "organizations", "tokens", "users"}
	if got := slices.Sorted(maps.Keys(tables)); !slices.Equal(got, want) {
		t.Errorf("tables = %v, want %v", got, want)
	}
	for name, text := range tables {
		if !strings.Contains(text, "STRICT") {
			t.Errorf("%s is not STRICT", name)
		}
		if strings.Contains(text, "_id") && !strings.Contains(text, "AUTOINCREMENT") && !strings.Contains(text, "WITHOUT ROWID") {
			t.Errorf("%s may give an id twice", name)
		}
	}
}
