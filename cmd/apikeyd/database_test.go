package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/app"
	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/cli"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/move"
	"github.com/apikeyd/apikeyd/internal/store/postgres"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// newDatabase returns an empty PostgreSQL database.
func newDatabase(t *testing.T) config.Database {
	t.Helper()
	d, err := config.ParseDatabase(postgrestest.NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// run runs a command of the program and returns what it prints.
func run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, notes strings.Builder
	p := program{stdin: os.Stdin, stdout: &out, stderr: &notes}
	root := p.rootCommand()
	root.SetArgs(args)
	err = root.ExecuteContext(t.Context())
	return out.String(), notes.String(), err
}

func TestNodes(t *testing.T) {
	if _, _, err := run(t, "nodes", "--database", "sqlite:"+newFile(t)); !errors.Is(err, app.ErrOneNode) {
		t.Errorf("with SQLite: %v", err)
	}
	dsn := postgrestest.NewDatabase(t)
	s, err := postgres.Open(t.Context(), postgres.Options{DSN: dsn, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if out, _, err := run(t, "nodes", "--database", dsn, "-o", "json"); err != nil || out != "[]\n" {
		t.Errorf("without nodes: %q, %v", out, err)
	}
	for i, name := range []string{"keys-1", "keys-2\x1b[31m"} {
		if _, err := s.Join(t.Context(), store.Node{ID: int64(i) + 1, Name: name, Version: "1.2.3", Lease: 2500 * time.Millisecond, StartedAt: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := s.Awaited(t.Context(), 1, 2, 14*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	out, _, err := run(t, "nodes", "--database", dsn)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out, "\n")
	if len(lines) != 4 || strings.Join(strings.Fields(lines[0]), " ") != "ID NAME VERSION LEASE BEHIND WAITS EACH RENEWED" ||
		!strings.HasPrefix(strings.Join(strings.Fields(lines[1]), " "), "1 keys-1 1.2.3 2.5s 0 4 7ms ") || !strings.HasSuffix(lines[1], "s ago") {
		t.Errorf("table:\n%s", out)
	}
	if strings.Contains(out, "\x1b") || !strings.Contains(out, `keys-2\x1b[31m`) {
		t.Errorf("a terminal would obey:\n%q", out)
	}
	out, _, err = run(t, "nodes", "--database", dsn, "-o", "json")
	var list []map[string]any
	if err != nil || json.Unmarshal([]byte(out), &list) != nil || len(list) != 2 {
		t.Fatalf("json: %q, %v", out, err)
	}
	if n := list[0]; n["node_id"] != 1.0 || n["node_name"] != "keys-1" || n["version"] != "1.2.3" || n["lease_ms"] != 2500.0 || n["changes_behind"] != 0.0 ||
		n["waits"] != 4.0 || n["waited_ms"] != 28.0 {
		t.Errorf("json: %v", n)
	}
	if _, _, err := run(t, "nodes", "-o", "xml"); cli.ExitCode(err) != 2 {
		t.Errorf("-o xml: %v", err)
	}
}

func TestBehind(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	n := store.Node{Applied: 7, RenewedAt: now.Add(-1234 * time.Millisecond)}
	if behind(n, 9) != 2 || behind(n, 7) != 0 || behind(n, 5) != 0 { // the last: read before the node went on
		t.Error("changes behind")
	}
	if got := sinceRenewal(n, now); got != 1200*time.Millisecond {
		t.Errorf("renewed %s ago", got)
	}
	if got := sinceRenewal(n, now.Add(-time.Hour)); got != 0 {
		t.Errorf("renewed %s ago, by a clock that is behind", got)
	}
}

// newFile returns the path of an SQLite database with a first key.
func newFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "apikeyd.db")
	if _, _, err := run(t, "init", "--email", "you@example.com", "--organization", "Example", "--database", "sqlite:"+path); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCopy moves a server's database, and acts with a key that was made before.
func TestCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "apikeyd.db")
	out, _, err := run(t, "init", "--json", "--email", "you@example.com", "--organization", "Example", "--database", "sqlite:"+path)
	var made struct {
		KeyID int64  `json:"key_id"`
		Key   string `json:"key"`
	}
	if err != nil || json.Unmarshal([]byte(out), &made) != nil {
		t.Fatal(out, err)
	}
	dsn := postgrestest.NewDatabase(t)
	out, notes, err := run(t, "copy", "--from", "sqlite:"+path, "--to", dsn)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"copying users: 1 rows\n", "copying devices: 0 rows\n", "comparing tokens: 1 rows\n"} {
		if !strings.Contains(notes, want) {
			t.Errorf("%q is not in %q", want, notes)
		}
	}
	if !strings.HasPrefix(out, "copied and compared ") {
		t.Errorf("stdout is %q", out)
	}
	if _, _, err := run(t, "copy", "--from", "sqlite:"+path, "--to", dsn); cli.ExitCode(err) != 1 || !errors.Is(err, postgres.ErrNotEmpty) {
		t.Errorf("again: %v", err)
	}
	s := apptest.Start(t, &apptest.Options{Config: func(c *config.Config) {
		if c.Database, err = config.ParseDatabase(dsn); err != nil {
			t.Error(err)
		}
	}})
	found, err := s.ClientWith(made.Key).GetKey(t.Context(), made.KeyID)
	if err != nil || found.KeyID != made.KeyID {
		t.Errorf("the key is %+v, %v", found, err)
	}
	answer, err := s.Verifier().Verify(t.Context(), api.VerifyRequest{Key: made.Key})
	if err != nil || !answer.Valid {
		t.Errorf("checked: %+v, %v", answer, err)
	}
}

func TestCopyRefuses(t *testing.T) {
	const to = "postgres://u:hunter2@127.0.0.1:1/db"
	for _, tt := range []struct {
		from, to string
		code     int
		want     string
	}{
		{to, to, 2, "from one PostgreSQL to another, use its own tools, such as pg_dump"},
		{to, "sqlite:x.db", 2, "there is no way back"},
		{"sqlite:x.db", "sqlite:y.db", 2, "a copy of an SQLite file is what apikeyd backup makes"},
		{"x.db", to, 2, "--from: does not say what kind of database it is"},
		{"sqlite:x.db", "mysql://h/db", 2, "--to: mysql: is no database that apikeyd knows"},
		{"sqlite:" + newFile(t) + "x", to, 1, "file does not exist"},
		{"sqlite:" + newFile(t), to, 1, "connection refused"},
	} {
		_, _, err := run(t, "copy", "--from", tt.from, "--to", tt.to)
		if err == nil || cli.ExitCode(err) != tt.code || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("from %s to %s: %d, %v, want %d, %s", tt.from, tt.to, cli.ExitCode(err), err, tt.code, tt.want)
		}
	}
}

// TestCopyInterrupted has Ctrl-C pressed at once.
func TestCopyInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := program{stdin: os.Stdin, stdout: io.Discard, stderr: io.Discard}
	root := p.rootCommand()
	root.SetArgs([]string{"copy", "--from", "sqlite:" + newFile(t), "--to", postgrestest.NewDatabase(t)})
	cancel()
	if err := root.ExecuteContext(ctx); cli.ExitCode(err) != 1 || !strings.HasPrefix(err.Error(), "interrupted; ") {
		t.Errorf("copy ends with %v", err)
	}
}

func TestProgressBar(t *testing.T) {
	var out strings.Builder
	p := progress{out: &out, bar: true}
	p.tell(app.CopyProgress{Step: move.Copying, Table: "users", All: 0, Total: 200})
	p.tell(app.CopyProgress{Step: move.Copying, Table: "users", All: 1, Total: 200}) // too soon after the first
	p.tell(app.CopyProgress{Step: move.Comparing, Table: "tokens", All: 200, Total: 200})
	p.end()
	want := "\r[..............................]   0 %  copying users\x1b[K\r[##############################] 100 %  comparing tokens\x1b[K\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
