package move_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/move"
	"github.com/apikeyd/apikeyd/internal/store/postgres"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
	"github.com/apikeyd/apikeyd/internal/store/sqlite"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

const childVariable = "APIKEYD_MOVE_TEST_STOP"

// TestMain is also the child of TestKilled: it copies, and stops for good where the variable says.
func TestMain(m *testing.M) {
	stop := os.Getenv(childVariable)
	if stop == "" {
		postgrestest.Main(m)
		return
	}
	_, err := copyTo(context.Background(), os.Args[1], os.Args[2], func(p move.Progress) {
		if fmt.Sprint(p.Step, " ", p.Table) == stop && p.Finished() {
			fmt.Println("there")
			select {}
		}
	})
	fmt.Println("ended:", err)
	os.Exit(1)
}

// oneNumber reads what a test looks for past the stores.
func oneNumber(t *testing.T, dsn, query string) (n int64) {
	t.Helper()
	conn := connect(t, dsn)
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func migrate(t *testing.T, dsn string) {
	t.Helper()
	if _, err := postgres.Migrate(t.Context(), postgres.Options{DSN: dsn}); err != nil {
		t.Fatal(err)
	}
}

// everything reads a database by its store.
func everything(t *testing.T, s store.Store) (all []any) {
	t.Helper()
	ctx := t.Context()
	add := func(value any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, value)
	}
	const many = 10_000
	for user := range int64(2) {
		found, err := s.User(ctx, user+1)
		add(found, err)
		password, err := s.Password(ctx, user+1)
		add(password, err)
		memberships, err := s.Memberships(ctx, user+1)
		add(memberships, err)
		sessions, err := s.Sessions(ctx, user+1, 1<<60, many)
		add(sessions, err)
		device, err := s.Device(ctx, user+1, digest("device 1"))
		add(device, err)
	}
	for organization := range int64(2) {
		used, err := s.Usage(ctx, store.UsageQuery{OrganizationID: organization + 1, From: start.AddDate(-1, 0, 0), To: start.AddDate(1, 0, 0)})
		add(used, err)
	}
	organizations, err := s.Organizations(ctx, store.OrganizationQuery{Limit: many})
	add(organizations, err)
	found, err := s.Keys(ctx, store.KeyQuery{Limit: many})
	add(found, err)
	for i := range found {
		record, err := s.RecordByDigest(ctx, digest(fmt.Sprint("token ", i)))
		add(record, err)
	}
	record, err := s.RecordByDigest(ctx, digest("rotated"))
	add(record, err)
	session, err := s.SessionByDigest(ctx, digest("session 1"))
	add(session, err)
	for _, subject := range []string{"B", "a", "Z", "é", "-", "ab", "a b"} {
		user, err := s.UserByIdentity(ctx, "https://login.example.com", subject)
		add(user, err)
	}
	extent, err := admin.VerifyAudit(ctx, s)
	add(extent, err)
	log, err := s.AuditAfter(ctx, 0, many)
	add(log, err)
	return all
}

func TestCopy(t *testing.T) {
	for _, schema := range []string{"no schema yet", "the schema is there"} {
		t.Run(schema, func(t *testing.T) {
			path, dsn := newFile(t, 25), postgrestest.NewDatabase(t)
			if schema == "the schema is there" {
				migrate(t, dsn)
			}
			var told []string
			rows, err := copyTo(t.Context(), path, dsn, func(p move.Progress) {
				if p.Finished() {
					told = append(told, fmt.Sprint(p.Step, " ", p.Table, " ", p.Done))
				}
				if p.All > p.Total || p.Done > p.Rows {
					t.Errorf("progress is %+v", p)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if rows != 105 {
				t.Errorf("copied %d rows", rows)
			}
			for _, want := range []string{"copying api_keys 25", "comparing quotas 2", "comparing usage_counts 4", "comparing usage_gone 1", "comparing tokens 26", "comparing leaked_tokens 1", "copying devices 3", "comparing audit_extent 1"} {
				if !slices.Contains(told, want) {
					t.Errorf("it was not told of %q, but of %q", want, told)
				}
			}

			before, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			defer before.Close()
			after, err := postgres.Open(t.Context(), postgres.Options{DSN: dsn})
			if err != nil {
				t.Fatal(err)
			}
			defer after.Close()
			if diff := cmp.Diff(everything(t, before), everything(t, after), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Error(diff)
			}
			goOn(t, after)
		})
	}
}

// goOn changes a database as a server would. No id is given a second time, also where its row is gone, and the log goes on.
func goOn(t *testing.T, s store.Store) {
	t.Helper()
	ctx := t.Context()
	_, err := s.Update(ctx, func(tx store.Tx) error {
		link, err := tx.TakeLink(ctx, digest("link 2"))
		if err != nil || link.UserID != 2 {
			return fmt.Errorf("link %+v: %w", link, err)
		}
		for what, insert := range map[string]struct {
			want int64
			do   func() (int64, error)
		}{
			"user": {4, func() (int64, error) {
				return tx.InsertUser(ctx, key.User{Email: "new@example.com", CreatedAt: start, UpdatedAt: start})
			}},
			"organization": {3, func() (int64, error) {
				return tx.InsertOrganization(ctx, key.Organization{Name: "New", CreatedAt: start, UpdatedAt: start})
			}},
			"key": {27, func() (int64, error) {
				return tx.InsertKey(ctx, key.Key{Name: "new", OrganizationID: 1, UserID: 1, CreatedAt: start, UpdatedAt: start}, digest("new"))
			}},
			"session": {4, func() (int64, error) {
				return tx.InsertSession(ctx, key.Session{UserID: 1, Method: key.ByLink, CreatedAt: start, LastUsedAt: start, ExpiresAt: start}, digest("new"))
			}},
		} {
			if id, err := insert.do(); err != nil || id != insert.want {
				t.Errorf("the new %s has id %d, %v; want %d", what, id, err, insert.want)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestCopyWithoutSuperuser copies as somebody who may do nothing but create in a schema of their own.
func TestCopyWithoutSuperuser(t *testing.T) {
	path, dsn := newFile(t, 3), postgrestest.Limited(t, postgrestest.NewDatabase(t))
	if _, err := connect(t, dsn).Exec(t.Context(), `CREATE SCHEMA own`); err != nil {
		t.Fatal(err)
	}
	dsn += "&search_path=own"
	if rows, err := copyTo(t.Context(), path, dsn, quietly); err != nil || rows == 0 {
		t.Fatalf("Copy() = %d, %v", rows, err)
	}
	after, err := postgres.Open(t.Context(), postgres.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	if k, err := after.Key(t.Context(), 1); err != nil || k.ID != 1 {
		t.Errorf("Key() = %+v, %v", k, err)
	}
}

// TestNothingGiven copies a database in which no id was given yet: the first is 1 then.
func TestNothingGiven(t *testing.T) {
	path, dsn := t.TempDir()+"/apikeyd.db", postgrestest.NewDatabase(t)
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Migrate: true})
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := copyTo(t.Context(), path, dsn, quietly); err != nil || rows != 1 {
		t.Fatalf("Copy() = %d, %v", rows, err)
	}
	if id := oneNumber(t, dsn, `INSERT INTO organizations (organization_name, created_at, updated_at) VALUES ('x', 0, 0) RETURNING organization_id`); id != 1 {
		t.Errorf("the first id is %d", id)
	}
}

func TestOnlyIntoAnEmptyDatabase(t *testing.T) {
	path, dsn := newFile(t, 3), postgrestest.NewDatabase(t)
	if _, err := copyTo(t.Context(), path, dsn, quietly); err != nil {
		t.Fatal(err)
	}
	_, err := copyTo(t.Context(), path, dsn, quietly)
	if !errors.Is(err, postgres.ErrNotEmpty) || !strings.Contains(err.Error(), "there are rows in users") {
		t.Errorf("the second time: %v", err)
	}
	// No table is passed over.
	for _, table := range sqlstore.Tables {
		if table.One {
			continue
		}
		t.Run(table.Name, func(t *testing.T) {
			dsn := postgrestest.NewDatabase(t)
			migrate(t, dsn)
			conn := connect(t, dsn)
			// Without what it refers to, which only a superuser can do.
			for _, statement := range []string{`SET session_replication_role = replica`, insertAnything(table)} {
				if _, err := conn.Exec(t.Context(), statement); err != nil {
					t.Fatal(statement, err)
				}
			}
			if _, err := copyTo(t.Context(), path, dsn, quietly); !errors.Is(err, postgres.ErrNotEmpty) {
				t.Errorf("Copy() = %v", err)
			}
		})
	}
	other := postgrestest.NewDatabase(t)
	if _, err := connect(t, other).Exec(t.Context(), `CREATE TABLE theirs (id int)`); err != nil {
		t.Fatal(err)
	}
	if _, err := copyTo(t.Context(), path, other, quietly); err == nil || !strings.Contains(err.Error(), "belongs to another program") {
		t.Errorf("another program's: %v", err)
	}
}

func insertAnything(t sqlstore.Table) string {
	values := map[sqlstore.Kind]string{sqlstore.Integer: "1", sqlstore.Boolean: "true", sqlstore.Text: "'x'", sqlstore.Bytes: `'\x00'`}
	var list []string
	for _, c := range t.Columns {
		list = append(list, values[c.Kind])
	}
	return `INSERT INTO ` + t.Name + ` (` + strings.Join(t.Names(), ", ") + `) OVERRIDING SYSTEM VALUE VALUES (` + strings.Join(list, ", ") + `)`
}

// TestKilled kills a copy at several places. Nothing is left of it, and the next one does all of it.
func TestKilled(t *testing.T) {
	path, dsn := newFile(t, 2000), postgrestest.NewDatabase(t)
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, stop := range []string{"copying users", "copying tokens", "copying audit_extent", "comparing api_keys", "comparing audit_extent"} {
		cmd := exec.CommandContext(t.Context(), executable, path, dsn)
		cmd.Env = append(os.Environ(), childVariable+"="+stop)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || line != "there\n" {
			t.Fatalf("%s: the child says %q, %v", stop, line, err)
		}
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		for _, table := range sqlstore.Tables {
			if n := oneNumber(t, dsn, `SELECT count(*) FROM `+table.Name); n != 0 && !table.One {
				t.Errorf("killed %s: %d rows are left in %s", stop, n, table.Name)
			}
		}
	}
	if _, err := copyTo(t.Context(), path, dsn, quietly); err != nil {
		t.Fatal(err)
	}
	if n := oneNumber(t, dsn, `SELECT count(*) FROM api_keys`); n != 2000 {
		t.Errorf("%d keys were copied", n)
	}
}

// TestStopped ends a copy by its context in the middle of a table.
func TestStopped(t *testing.T) {
	path, dsn := newFile(t, 5000), postgrestest.NewDatabase(t)
	for _, step := range []move.Step{move.Copying, move.Comparing} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := copyTo(ctx, path, dsn, func(p move.Progress) {
			if p.Step == step && p.Table == "api_keys" && p.Done > 0 {
				cancel()
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: stopped with %v", step, err)
		}
		if n := oneNumber(t, dsn, `SELECT count(*) FROM users`); n != 0 {
			t.Errorf("%s: %d users are left", step, n)
		}
	}
	if _, err := copyTo(t.Context(), path, dsn, quietly); err != nil {
		t.Error(err)
	}
}

// TestDifferent lets the database alter, lose and add rows behind the copy's back.
func TestDifferent(t *testing.T) {
	for _, tt := range []struct {
		name, table, trigger, want string
	}{
		{"altered text", "api_keys", `IF NEW.key_id = 17 THEN NEW.key_name := NEW.key_name || ' '; END IF; RETURN NEW;`, "api_keys: row 17 differs in key_name"},
		{"altered boolean", "api_keys", `NEW.enabled := true; RETURN NEW;`, "api_keys: row 1 differs in enabled"},
		{"emptied", "api_keys", `NEW.last_used_at := NULL; RETURN NEW;`, "api_keys: row 1 differs in last_used_at"},
		{"altered bytes", "tokens", `NEW.digest := set_byte(NEW.digest, 31, (get_byte(NEW.digest, 31) + 1) % 256); RETURN NEW;`, "tokens: row 1 differs in digest"},
		{"lost", "audit_log", `IF NEW.audit_id = 25 THEN RETURN NULL; END IF; RETURN NEW;`, "audit_log: row 22 is missing in the copy"},
		{"lost in the middle", "audit_log", `IF NEW.audit_id = 10 THEN RETURN NULL; END IF; RETURN NEW;`, "audit_log: row 7 differs in audit_id"},
		{"added", "users", `IF NEW.user_id = 2 THEN INSERT INTO users OVERRIDING SYSTEM VALUE VALUES (9, 'e', 'e', true, 1, 1); END IF; RETURN NEW;`, "users: row 3 is in the copy alone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path, dsn := newFile(t, 25), postgrestest.NewDatabase(t)
			migrate(t, dsn)
			conn := connect(t, dsn)
			for _, statement := range []string{
				`CREATE FUNCTION interfere() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ` + tt.trigger + ` END $$`,
				`CREATE TRIGGER interfere BEFORE INSERT ON ` + tt.table + ` FOR EACH ROW EXECUTE FUNCTION interfere()`,
			} {
				if _, err := conn.Exec(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			_, err := copyTo(t.Context(), path, dsn, quietly)
			if different, ok := errors.AsType[*move.DifferentError](err); !ok || !strings.HasPrefix(err.Error(), tt.want+";") {
				t.Errorf("Copy() = %v, %v, want %s", different, err, tt.want)
			}
			if n := oneNumber(t, dsn, `SELECT count(*) FROM users`); n != 0 {
				t.Errorf("%d users were kept", n)
			}
		})
	}
}

// TestRefusedRow looks for the row in what is said about one that the server does not take.
func TestRefusedRow(t *testing.T) {
	path, dsn := newFile(t, 3), postgrestest.NewDatabase(t)
	migrate(t, dsn)
	if _, err := connect(t, dsn).Exec(t.Context(), `ALTER TABLE users ADD CHECK (password IS NULL)`); err != nil {
		t.Fatal(err)
	}
	_, err := copyTo(t.Context(), path, dsn, quietly)
	if err == nil || strings.Contains(err.Error(), "argon2id") || !strings.Contains(err.Error(), "users: ") {
		t.Errorf("Copy() = %v", err)
	}
}

// TestNobodyChangesTheFile opens the file as others would, before a copy and in the middle of one.
func TestNobodyChangesTheFile(t *testing.T) {
	path, dsn := newFile(t, 3), postgrestest.NewDatabase(t)
	server, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := copyTo(t.Context(), path, dsn, quietly); err == nil || !strings.Contains(err.Error(), "another apikeyd serves it") {
		t.Errorf("beside a server: %v", err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	looked := false
	_, err = copyTo(t.Context(), path, dsn, func(move.Progress) {
		if looked {
			return
		}
		looked = true
		if s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path}); err == nil {
			s.Close()
			t.Error("a server could open the file")
		}
		db, err := sql.Open("sqlite", path) // another program
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(`DELETE FROM tokens`); err == nil || !strings.Contains(err.Error(), "locked") {
			t.Errorf("another program could write: %v", err)
		}
	})
	if err != nil || !looked {
		t.Errorf("Copy() = %v", err)
	}
	if _, err := copyTo(t.Context(), path+"x", dsn, quietly); err == nil || !strings.Contains(err.Error(), "no such file") && !strings.Contains(err.Error(), "not exist") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestTables holds the list of tables against both schemas: nothing that a migration adds may be left behind.
func TestTables(t *testing.T) {
	path, dsn := newFile(t, 3), postgrestest.NewDatabase(t)
	migrate(t, dsn)
	var want []string
	for _, table := range sqlstore.Tables {
		for i, c := range table.Columns {
			kind := map[sqlstore.Kind]string{sqlstore.Integer: "integer", sqlstore.Boolean: "boolean", sqlstore.Text: "text", sqlstore.Bytes: "bytes"}[c.Kind]
			want = append(want, fmt.Sprintf("%s.%s %s key %d", table.Name, c.Name, kind, min(i+1, table.Key+1)%(table.Key+1)))
		}
	}
	slices.Sort(want)

	var inPostgres []string
	rows, err := connect(t, dsn).Query(t.Context(), `
		SELECT c.table_name || '.' || c.column_name || ' ' ||
			CASE c.data_type WHEN 'bigint' THEN 'integer' WHEN 'bytea' THEN 'bytes' ELSE c.data_type END || ' key ' || coalesce(k.ordinal_position, 0)
		FROM information_schema.columns c
		LEFT JOIN information_schema.table_constraints t ON t.table_schema = c.table_schema AND t.table_name = c.table_name AND t.constraint_type = 'PRIMARY KEY'
		LEFT JOIN information_schema.key_column_usage k ON k.table_schema = c.table_schema AND k.constraint_name = t.constraint_name AND k.column_name = c.column_name
		WHERE c.table_schema = 'public' AND c.table_name NOT IN ('schema_migrations', 'changes', 'change_extent', 'nodes', 'schema_compatibility')`)
	if err == nil {
		inPostgres, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(inPostgres)
	if diff := cmp.Diff(want, inPostgres); diff != "" {
		t.Errorf("in PostgreSQL: %s", diff)
	}

	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found, err := db.Query(`
		SELECT m.name || '.' || c.name || ' ' || CASE c.type WHEN 'BLOB' THEN 'bytes' ELSE lower(c.type) END || ' key ' || c.pk
		FROM sqlite_schema m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name NOT IN ('schema_migrations', 'schema_compatibility')`)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	var inSQLite []string
	for found.Next() {
		var line string
		if err := found.Scan(&line); err != nil {
			t.Fatal(err)
		}
		inSQLite = append(inSQLite, line)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(inSQLite)
	for i, line := range want {
		want[i] = strings.Replace(line, " boolean ", " integer ", 1) // it has no other type for them
	}
	if diff := cmp.Diff(want, inSQLite); diff != "" {
		t.Errorf("in SQLite: %s", diff)
	}
}
