package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
	"github.com/apikeyd/apikeyd/internal/store/storetest"
)

// with adds settings to the URL of a database.
func with(t *testing.T, dsn string, settings ...string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for i := 0; i < len(settings); i += 2 {
		q.Set(settings[i], settings[i+1])
	}
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20") // libpq takes no + for a space
	return u.String()
}

// databaseOf returns the name of the database in a URL.
func databaseOf(t *testing.T, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}

func TestServersThatAreRefused(t *testing.T) {
	good := server{version: 140000, commit: "on", fsync: "on", encoding: "UTF8"}
	for _, c := range []struct {
		change func(*server)
		want   string
	}{
		{func(*server) {}, ""},
		{func(s *server) { s.version = 180001 }, ""},
		{func(s *server) { s.version = 130022 }, "PostgreSQL 13"},
		{func(s *server) { s.version = 90624 }, "PostgreSQL 9"},
		{func(s *server) { s.commit = "off" }, "synchronous_commit"},
		{func(s *server) { s.commit = "remote_apply" }, ""},
		{func(s *server) { s.commit = "local" }, ""},
		{func(s *server) { s.encoding = "LATIN1" }, "LATIN1"},
	} {
		s := good
		c.change(&s)
		if err := s.refuse(); (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", s, err, c.want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dsn := postgrestest.NewDatabase(t)
	admin := plain(t, dsn)
	latin := databaseOf(t, dsn) + "_latin"
	execute(t, admin, `CREATE DATABASE `+latin+` ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`)
	t.Cleanup(func() { execute(t, plain(t, dsn), `DROP DATABASE `+latin+` WITH (FORCE)`) })
	for _, c := range []struct{ name, dsn, want string }{
		{"a server that confirms before it has written", with(t, dsn, "synchronous_commit", "off"), "synchronous_commit"},
		{"an encoding that holds not every name", strings.Replace(dsn, databaseOf(t, dsn), latin, 1), "LATIN1"},
		{"a schema that is not there", with(t, dsn, "search_path", "nowhere"), "search_path"},
		{"a standby alone", with(t, dsn, "target_session_attrs", "standby"), "standby"},
	} {
		for name, call := range map[string]func() error{
			"Open":       func() error { _, err := Open(t.Context(), Options{DSN: c.dsn, Migrate: true}); return err },
			"Migrate":    func() error { _, err := Migrate(t.Context(), Options{DSN: c.dsn}); return err },
			"Migrations": func() error { _, err := Migrations(t.Context(), Options{DSN: c.dsn}); return err },
		} {
			if err := call(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s of %s = %v, want a refusal because of %q", name, c.name, err, c.want)
			}
		}
	}
	if n := count(t, admin, `SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'public'`); n != 0 {
		t.Errorf("%d tables and indexes were made", n)
	}
}

// Nothing that is said or logged holds a password, however wrong the address is.
func TestNoPasswordIsTold(t *testing.T) {
	const password = "S3cr3t"
	dsn := postgrestest.NewDatabase(t)
	host := postgrestest.Address(t, dsn)
	name := databaseOf(t, dsn)
	role := "apikeyd_test_" + name
	execute(t, plain(t, dsn), `CREATE ROLE `+role+` LOGIN PASSWORD '`+password+`'`)
	execute(t, plain(t, dsn), `REVOKE CREATE ON SCHEMA public FROM PUBLIC`) // as it is since version 15
	t.Cleanup(func() {
		conn := plain(t, dsn)
		execute(t, conn, `DROP OWNED BY `+role)
		execute(t, conn, `DROP ROLE `+role)
	})
	for _, bad := range []string{
		"postgres://u:" + password + "@127.0.0.1:1/x?sslmode=disable",
		"postgres://u:" + password + "@nowhere.invalid/x",
		"postgres://u:" + password + "@" + host + "/nowhere?sslmode=disable",
		"postgres://nobody:" + password + "@" + host + "/" + name + "?sslmode=disable",
		"postgres://" + role + ":" + password + "@" + host + "/" + name + "?sslmode=disable", // may not create anything
		"postgres://u:" + password + "/x@" + host + "/x",                                     // not written as it should be
		"postgres://u:" + password + "#@" + host + "/x", "postgres://u:" + password + "%zz@" + host + "/x",
		"postgres://u:" + password + "@[::1/x", "postgres://u:" + password + "@" + host + ":port/x", "postgres://u:" + password + "@h/x?sslmode=maybe",
		"postgres://u:" + password + "@h/x?pool_max_conns=many", "postgres://u:" + password + "@h/x?sslrootcert=/nowhere&sslmode=verify-ca",
		"host=h user=u password=" + password + " port=many", "host=h user=u password='" + password, "password=" + password + " nonsense",
		"postgres://u@h/x?password=" + password + "&connect_timeout=soon",
	} {
		log := new(bytes.Buffer)
		opts := Options{DSN: bad, Migrate: true, Logger: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		for name, call := range map[string]func() error{
			"Open":       func() error { _, err := Open(t.Context(), opts); return err },
			"Migrate":    func() error { _, err := Migrate(t.Context(), opts); return err },
			"Migrations": func() error { _, err := Migrations(t.Context(), opts); return err },
		} {
			err := call()
			if err == nil && name != "Migrations" {
				t.Errorf("%s of %s succeeds", name, bad)
			}
			for ; err != nil; err = errors.Unwrap(err) {
				if said := fmt.Sprintf("%v %+v", err, err); strings.Contains(said, password[:4]) {
					t.Errorf("%s of %s says %s", name, bad, said)
				}
			}
		}
		if strings.Contains(log.String(), password[:4]) {
			t.Errorf("of %s is logged %s", bad, log)
		}
	}
}

// The user needs to create in its own schema, and nothing else.
func TestWithoutSuperuser(t *testing.T) {
	limited := postgrestest.Limited(t, postgrestest.NewDatabase(t))
	own := plain(t, limited)
	var mu sync.Mutex
	schemas := 0
	storetest.Run(t, func(t *testing.T) store.Store {
		mu.Lock()
		defer mu.Unlock()
		schemas++
		schema := fmt.Sprintf("Keys %d", schemas) // a name that has to be quoted
		execute(t, own, `CREATE SCHEMA "`+schema+`"`)
		return open(t, with(t, limited, "search_path", `"`+schema+`"`))
	})
	s := open(t, with(t, limited, "search_path", `"Keys 1"`))
	n, err := s.Join(t.Context(), store.Node{ID: 7, Lease: time.Second})
	if err != nil || n.History == "" {
		t.Errorf("Join() = %+v, %v", n, err)
	}
	if _, known, err := s.Renew(t.Context(), n, 0, 1, false); err != nil || !known {
		t.Errorf("Renew() = %v, %v", known, err)
	}
}

func TestPoolSettings(t *testing.T) {
	for settings, want := range map[string]int{"": max(minPointConnections, 2*2), "pool_max_conns=3": 3, "pool_max_conns=100": 100} {
		d, err := parseDSN("postgres://u@h/x?" + settings)
		if err != nil {
			t.Fatal(err)
		}
		r, err := newReads(d, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := int(r.points.Stat().MaxConns()); n < want || settings != "" && n != want {
			t.Errorf("%q: %d connections for single rows, want %d", settings, n, want)
		}
		if n := r.lists.Stat().MaxConns(); n != listConnections {
			t.Errorf("%q: %d connections for lists, want %d", settings, n, listConnections)
		}
		r.close()
	}
}

// A list that takes long keeps no check from a connection, and ends on the server when nobody waits for it any more.
func TestListsAndChecksAreApart(t *testing.T) {
	dsn := postgrestest.NewDatabase(t)
	s := openFilled(t, dsn, 1)
	conn := plain(t, dsn)
	locked, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := locked.Exec(t.Context(), `LOCK TABLE organizations`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 2 * cap(s.reads.points.free) {
		group.Go(func() {
			_, err := s.Organizations(ctx, store.OrganizationQuery{Limit: 10})
			if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.Canceled) {
				t.Errorf("Organizations() = %v", err)
			}
		})
	}
	watcher := plain(t, dsn)
	waiting := func() int {
		return count(t, watcher, `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`)
	}
	for waiting() < listConnections {
	}
	if _, err := s.RecordByDigest(t.Context(), digestOf(0)); err != nil { // the lists hold their connections for as long as it would wait
		t.Errorf("RecordByDigest() = %v", err)
	}
	cancel()
	group.Wait()
	for began := time.Now(); waiting() > 0; {
		if time.Since(began) > listTimeout/2 {
			t.Fatal("lists that were given up go on on the server")
		}
	}
	if err := locked.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Organizations(t.Context(), store.OrganizationQuery{Limit: 10}); err != nil {
		t.Errorf("Organizations() = %v", err)
	}
}

// Clients that hang up cost no connections.
func TestHangingUpKeepsTheConnection(t *testing.T) {
	dsn := postgrestest.NewDatabase(t)
	s := openFilled(t, dsn, 1)
	if _, err := s.RecordByDigest(t.Context(), digestOf(0)); err != nil {
		t.Fatal(err)
	}
	before := s.reads.points.Stat().NewConnsCount()
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if _, err := s.RecordByDigest(ctx, digestOf(0)); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("RecordByDigest() = %v", err)
		}
		cancel()
	}
	if after := s.reads.points.Stat().NewConnsCount(); after != before {
		t.Errorf("%d connections were made anew", after-before)
	}
}

// What a change of the schema makes void is prepared again, and nobody notices.
func TestPreparedBeforeTheSchemaChanged(t *testing.T) {
	dsn := postgrestest.NewDatabase(t)
	s := openFilled(t, dsn, 1)
	read := func() {
		t.Helper()
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				if _, err := s.User(t.Context(), 1); err != nil {
					t.Errorf("User() = %v", err)
				}
				if _, err := s.Organizations(t.Context(), store.OrganizationQuery{Limit: 10}); err != nil {
					t.Errorf("Organizations() = %v", err)
				}
			})
		}
		group.Wait()
	}
	read()
	conn := plain(t, dsn)
	execute(t, conn, `ALTER TABLE users ALTER COLUMN email TYPE varchar(500)`)
	execute(t, conn, `ALTER TABLE organizations ALTER COLUMN organization_name TYPE varchar(500)`)
	read()
	execute(t, conn, `ALTER TABLE users ADD COLUMN later TEXT`)
	read()
	if err := addKey(t.Context(), s, 100); err != nil {
		t.Errorf("Update() = %v", err)
	}
}

func TestErrorsAreToldApart(t *testing.T) {
	dsn := postgrestest.NewDatabase(t)
	conn := plain(t, dsn)
	execute(t, conn, `CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL CHECK (b <> 'x') CONSTRAINT users_email UNIQUE, c INTEGER REFERENCES t)`)
	execute(t, conn, `INSERT INTO t VALUES (1, 'b')`)
	for statement, want := range map[string]struct {
		conflict    store.Constraint
		unavailable bool
	}{
		`INSERT INTO t VALUES (2, 'b')`:                  {conflict: store.EmailTaken},
		`INSERT INTO t VALUES (2, 'c', 9)`:               {conflict: store.NoReference},
		`INSERT INTO t VALUES (1, 'c')`:                  {}, // a constraint that nobody runs into
		`INSERT INTO t VALUES (2, 'x')`:                  {},
		`INSERT INTO t VALUES (2, NULL)`:                 {},
		`SELECT 1/0`:                                     {},
		`SELECT nothing`:                                 {},
		`SET LOCAL lock_timeout = 'x'`:                   {},
		`BEGIN READ ONLY; INSERT INTO t VALUES (3, 'd')`: {unavailable: true},
		`SET statement_timeout = 1; SELECT pg_sleep(10)`: {unavailable: true},
		`SELECT pg_terminate_backend(pg_backend_pid())`:  {unavailable: true},
		`DO $$ BEGIN RAISE SQLSTATE '53100'; END $$`:     {unavailable: true}, // disk full
		`DO $$ BEGIN RAISE SQLSTATE '40001'; END $$`:     {unavailable: true},
		`DO $$ BEGIN RAISE SQLSTATE 'XX001'; END $$`:     {unavailable: true}, // damaged
	} {
		_, err := plain(t, dsn).PgConn().Exec(t.Context(), statement).ReadAll()
		err = statementFailure(0, err)
		conflict, _ := errors.AsType[*store.ConflictError](err)
		if err == nil || (conflict != nil) != (want.conflict != "") || conflict != nil && conflict.Constraint != want.conflict ||
			errors.Is(err, store.ErrUnavailable) != want.unavailable || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v, want %+v", statement, err, want)
		}
	}
}

func TestServerBehindPgBouncer(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	for _, c := range []struct {
		mode     string
		settings []string
		refused  bool
	}{
		{"session", nil, false},
		{"transaction", nil, true},
		{"transaction", []string{"server_round_robin = 1"}, true},
		{"transaction", []string{"default_pool_size = 1"}, true},
		{"statement", nil, true},
	} {
		t.Run(fmt.Sprint(c.mode, c.settings), func(t *testing.T) {
			t.Parallel()
			dsn := server.NewDatabase(t)
			pooled := server.PgBouncer(t, c.mode, databaseOf(t, dsn), c.settings...)
			if !c.refused {
				s := openFilled(t, pooled, 1)
				if _, err := s.RecordByDigest(t.Context(), digestOf(0)); err != nil {
					t.Error(err)
				}
				if err := addKey(t.Context(), s, 1); err != nil {
					t.Error(err)
				}
				return
			}
			// Other clients are there as well.
			ctx, cancel := context.WithCancel(t.Context())
			var group sync.WaitGroup
			defer group.Wait()
			defer cancel()
			if c.settings == nil {
				for range 3 {
					conn := plain(t, pooled)
					group.Go(func() {
						for ctx.Err() == nil {
							_, _ = conn.PgConn().Exec(ctx, `SELECT 1`).ReadAll()
						}
					})
				}
			}
			_, err := Open(t.Context(), Options{DSN: pooled, Migrate: true})
			if !errors.Is(err, errPooler) {
				t.Errorf("Open() = %v, want a refusal", err)
			}
			if _, err := Migrate(t.Context(), Options{DSN: pooled}); !errors.Is(err, errPooler) {
				t.Errorf("Migrate() = %v, want a refusal", err)
			}
			if n := count(t, plain(t, dsn), `SELECT count(*) FROM pg_class WHERE relname = 'users'`); n != 0 {
				t.Error("the schema was made all the same")
			}
		})
	}
}

func init() {
	children["migrate"] = func(dsn string, tell func(string, ...any)) error {
		applied, err := Migrate(context.Background(), Options{DSN: dsn})
		tell("%d", len(applied))
		return err
	}
}

// Processes that migrate at the same time take turns.
func TestMigrateTogether(t *testing.T) {
	dsn := postgrestest.NewDatabase(t)
	var together []*child
	for range 5 {
		together = append(together, startChild(t, "migrate", dsn))
	}
	applied := 0
	for _, c := range together {
		var n int
		if _, err := fmt.Sscan(c.line(), &n); err != nil {
			t.Error(err)
		}
		c.wait(t)
		applied += n
	}
	if applied != len(known) {
		t.Errorf("%d migrations were applied, want %d", applied, len(known))
	}
	list, err := Migrations(t.Context(), Options{DSN: dsn})
	if err != nil || len(list) != len(known) || slices.ContainsFunc(list, func(m sqlstore.Migration) bool { return m.AppliedAt.IsZero() }) {
		t.Errorf("Migrations() = %v, %v", list, err)
	}
	open(t, dsn)
}

// firstRelease makes the schema as the first release left it.
func firstRelease(t *testing.T, dsn string) {
	t.Helper()
	if _, err := Migrate(t.Context(), Options{DSN: dsn}); err != nil {
		t.Fatal(err)
	}
	conn := plain(t, dsn)
	for table := range tablesOf(t, conn) {
		execute(t, conn, `DROP TABLE IF EXISTS `+table+` CASCADE`)
	}
	execute(t, conn, `DELETE FROM `+sqlstore.History+` WHERE version_id > 1`)
	text, err := files.ReadFile("migrations/00001_accounts_and_keys.sql")
	if err != nil {
		t.Fatal(err)
	}
	execute(t, conn, string(text))
}

// tablesOf returns the names of the tables but that of the migrations.
func tablesOf(t *testing.T, conn *pgx.Conn) map[string]bool {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> $1`, sqlstore.History)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(names) < 5 {
		t.Fatalf("tables = %v, %v", names, err)
	}
	tables := map[string]bool{}
	for _, name := range names {
		tables[name] = true
	}
	return tables
}

// A migration that has to wait for a table does not make checks wait for it.
func TestMigrationsDoNotHoldUpChecks(t *testing.T) {
	dsn := postgrestest.NewDatabase(t)
	firstRelease(t, dsn)
	admin, checking := plain(t, dsn), plain(t, dsn)
	reading, err := admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reading.Exec(t.Context(), `SELECT count(*) FROM users`); err != nil { // as a backup does, for long
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, err := Migrate(t.Context(), Options{DSN: dsn}); done <- err }()
	execute(t, checking, `SET statement_timeout = `+milliseconds(migrationLockTimeout+busy))
	for began := time.Now(); time.Since(began) < 2*(migrationLockTimeout+migrationPause); {
		count(t, checking, `SELECT count(*) FROM users`)
	}
	if err := reading.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Migrate() = %v", err)
	}
	if err := open(t, dsn).Ready(t.Context()); err != nil {
		t.Errorf("Ready() = %v", err)
	}
}

// TestStatementsDoNotDependOnWhatIsAdded prepares every statement, adds a column to every table, and prepares them again: none takes
// or answers anything else than before. So programs can go on while a newer one extends the schema.
func TestStatementsDoNotDependOnWhatIsAdded(t *testing.T) {
	dsn := postgrestest.NewDatabase(t)
	open(t, dsn)
	conn := plain(t, dsn)
	describe := func() (all []string) {
		for i, text := range texts {
			d, err := conn.Prepare(t.Context(), "", text)
			if err != nil {
				t.Fatalf("statement %d: %v", i, err)
			}
			line := fmt.Sprint(d.ParamOIDs)
			for _, f := range d.Fields {
				line += fmt.Sprintf(" %s %d", f.Name, f.DataTypeOID)
			}
			all = append(all, line)
		}
		return all
	}
	before := describe()
	for table := range tablesOf(t, conn) {
		execute(t, conn, `ALTER TABLE `+table+` ADD COLUMN later TEXT`)
	}
	for i, after := range describe() {
		if after != before[i] {
			t.Errorf("this depends on which columns there are:\n%s", texts[i])
		}
	}
}

// TestOldest holds what the program says about its schema to what the schema says.
func TestOldest(t *testing.T) {
	dsn := postgrestest.NewDatabase(t)
	open(t, dsn)
	if said := count(t, plain(t, dsn), sqlstore.SelectOldest); said != sqlstore.Oldest {
		t.Errorf("the schema says that programs need to know %d, and the program %d", said, sqlstore.Oldest)
	}
}

// What a program leaves that knows a newer schema: one that adds something, or breaks something as well.
const (
	newerSchema    = `INSERT INTO schema_migrations (version_id, is_applied) VALUES (99, TRUE)`
	breakingSchema = `UPDATE schema_compatibility SET oldest = 99`
)

func TestSchemas(t *testing.T) {
	for _, c := range []struct {
		name           string
		make           []string
		open, migrate  string // what the error says; "": there is none
		isErrSchema    bool
		migratedByOpen bool
	}{
		{name: "empty", migratedByOpen: true},
		{name: "older, with data, whose programs do not know this one", make: []string{"first release",
			`INSERT INTO users (email, email_folded, instance_admin, created_at, updated_at) VALUES ('a', 'a', FALSE, 0, 0)`},
			open: "run apikeyd migrate", isErrSchema: true},
		{name: "newer", make: []string{"migrate", newerSchema}},
		{name: "newer, and not made for this program", make: []string{"migrate", newerSchema, breakingSchema},
			open: "run a newer apikeyd", migrate: "run a newer apikeyd", isErrSchema: true},
		{name: "foreign", make: []string{`CREATE TABLE things (a INTEGER)`}, open: "another program", migrate: "another program"},
		{name: "foreign, with migrations of its own", make: []string{`CREATE TABLE schema_migrations (version TEXT PRIMARY KEY)`,
			`INSERT INTO schema_migrations VALUES ('20260101000000')`, `CREATE TABLE users (id INTEGER)`},
			open: "another program", migrate: "another program"},
		{name: "foreign, with a view alone", make: []string{`CREATE VIEW v AS SELECT 1`}, open: "another program", migrate: "another program"},
		{name: "beside a foreign one", make: []string{`CREATE SCHEMA apikeyd`, `CREATE TABLE public.schema_migrations (version TEXT)`,
			`CREATE TABLE public.users (id INTEGER)`}, migratedByOpen: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dsn := with(t, postgrestest.NewDatabase(t), "search_path", "apikeyd,public")
			conn := plain(t, dsn)
			for _, statement := range c.make {
				switch statement {
				case "migrate":
					if _, err := Migrate(t.Context(), Options{DSN: dsn}); err != nil {
						t.Fatal(err)
					}
				case "first release":
					firstRelease(t, dsn)
				default:
					execute(t, conn, statement)
				}
			}
			check := func(what string, err error, want string) {
				t.Helper()
				if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) ||
					want != "" && errors.Is(err, store.ErrSchema) != c.isErrSchema {
					t.Errorf("%s = %v, want %q", what, err, want)
				}
			}
			if c.migratedByOpen {
				_, err := Open(t.Context(), Options{DSN: dsn})
				if !errors.Is(err, store.ErrSchema) {
					t.Errorf("Open() without leave to migrate = %v, want ErrSchema", err)
				}
			}
			s, err := Open(t.Context(), Options{DSN: dsn, Migrate: true, Expand: true})
			check("Open()", err, c.open)
			if err == nil {
				check("Ready()", s.Ready(t.Context()), "")
				// Whoever changes the schema under a server that runs is noticed.
				execute(t, conn, newerSchema)
				if err := s.Ready(t.Context()); err != nil {
					t.Errorf("Ready() with a newer schema = %v", err)
				}
				execute(t, conn, breakingSchema)
				if err := s.Ready(t.Context()); !errors.Is(err, store.ErrSchema) {
					t.Errorf("Ready() with a schema that breaks this program = %v, want ErrSchema", err)
				}
				execute(t, conn, `DELETE FROM schema_migrations WHERE version_id = 99`)
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			_, err = Migrate(t.Context(), Options{DSN: dsn})
			check("Migrate()", err, c.migrate)
			if c.migrate == "" {
				open(t, dsn)
			}
		})
	}
}

// A server that is replaced by its standby goes on by itself, and nothing that was confirmed is lost where the standby is waited for.
func TestServerFailsOver(t *testing.T) {
	t.Parallel()
	primary := postgrestest.Start(t)
	dsn := primary.NewDatabase(t)
	openFilled(t, dsn, 1).Close()
	standby := primary.Standby(t)
	primary.Set(t, "synchronous_standby_names", "*")
	if _, err := Open(t.Context(), Options{DSN: standby.URL(databaseOf(t, dsn))}); !errors.Is(err, store.ErrUnavailable) ||
		!strings.Contains(err.Error(), errStandby.Error()) {
		t.Errorf("Open() of a standby = %v, want ErrUnavailable", err)
	}
	both := strings.Replace(dsn, primary.Address(), standby.Address()+","+primary.Address(), 1)
	s := open(t, both)
	l := startLoad(t, s, 8, 1000)
	l.wait(t, 100)
	primary.Kill(t)
	standby.Promote(t)
	wantRecovered(t, s, time.Now(), 100_000)
	l.wait(t, 50)
	l.check(t, s)
}

// A commit that the standby does not have is not confirmed, whatever makes the server stop waiting.
func TestServerWaitsForItsStandby(t *testing.T) {
	t.Parallel()
	primary := postgrestest.Start(t)
	dsn := primary.NewDatabase(t)
	s := openFilled(t, dsn, 1)
	standby := primary.Standby(t)
	primary.Set(t, "synchronous_standby_names", "*")
	if err := addKey(t.Context(), s, 1); err != nil {
		t.Fatal(err)
	}
	for name, impatience := range map[string]string{
		"nobody":                       ``,
		"somebody cancels the wait":    `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`,
		"somebody ends the connection": `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`,
	} {
		standby.Freeze(t)
		n := time.Now().UnixNano()
		ended := make(chan error, 1)
		go func() { ended <- addKey(t.Context(), s, n) }()
		if impatience != "" {
			conn := plain(t, dsn)
			for len(ended) == 0 && count(t, conn, `SELECT count(*) FROM (`+impatience+`) x`) == 0 {
			}
		}
		if err := <-ended; !errors.Is(err, store.ErrOutcomeUnknown) {
			t.Errorf("%s: Update() = %v, want ErrOutcomeUnknown: the standby does not have it", name, err)
		}
		standby.Thaw(t)
		wantRecovered(t, s, time.Now().Add(turnTimeout), n+1)
	}
	primary.Kill(t)
	standby.Promote(t)
	s = open(t, standby.URL(databaseOf(t, dsn)))
	for _, n := range []int64{0, 1} {
		if _, err := s.RecordByDigest(t.Context(), digestOf(n)); err != nil {
			t.Errorf("key %d: %v", n, err)
		}
	}
	checkChain(t, s)
}
