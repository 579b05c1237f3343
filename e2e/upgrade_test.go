package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// TestUpgrade replaces this version by the next one: the same program with one more migration, which adds to the schema as
// migrations do.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	next := buildNext(t)
	t.Run("nodes one after the other", func(t *testing.T) { upgradeNodes(t, next) })
	t.Run("one file", func(t *testing.T) { upgradeFile(t, next) })
}

// nextMigration is what the next version does to the schema, by store: it adds columns to what statements of before read, write and
// lock, and a table that refers to theirs.
var nextMigration = map[string]string{
	"postgres": `-- +goose Up
		ALTER TABLE api_keys ADD COLUMN color TEXT;
		ALTER TABLE tokens ADD COLUMN color TEXT;
		ALTER TABLE users ADD COLUMN color TEXT DEFAULT 'red';
		ALTER TABLE audit_log ADD COLUMN color TEXT;
		ALTER TABLE audit_extent ADD COLUMN color TEXT;
		ALTER TABLE change_extent ADD COLUMN color TEXT;
		ALTER TABLE nodes ADD COLUMN color TEXT;
		CREATE TABLE colors (key_id BIGINT PRIMARY KEY REFERENCES api_keys ON DELETE CASCADE, color TEXT NOT NULL);`,
	"sqlite": `-- +goose Up
		ALTER TABLE api_keys ADD COLUMN color TEXT;
		ALTER TABLE users ADD COLUMN color TEXT DEFAULT 'red';
		CREATE TABLE colors (key_id INTEGER PRIMARY KEY REFERENCES api_keys ON DELETE CASCADE, color TEXT NOT NULL) STRICT;`,
}

// buildNext builds the next version and returns where it is. The source stays as it is: the go command lays the new files over it.
func buildNext(t *testing.T) string {
	t.Helper()
	folder, replace := t.TempDir(), map[string]string{}
	for store, text := range nextMigration {
		migrations, err := filepath.Abs(filepath.Join(repository, "internal", "store", store, "migrations"))
		if err != nil {
			t.Fatal(err)
		}
		known, err := sqlstore.KnownMigrations(os.DirFS(migrations))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(folder, store+".sql")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(migrations, fmt.Sprintf("%05d_colors.sql", known[len(known)-1].Number+1))] = file
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := build(filepath.Join(folder, "next"), "-overlay", file)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// upgradeNodes replaces three nodes while clients check and change keys through all of them, and starts an old one again
// beside those.
func upgradeNodes(t *testing.T, next string) {
	db := postgrestest.Start(t)
	c := serveCluster(t, db, "--shutdown-delay", "2s")
	kept := c.create(t, c.nodes[0])
	w := startWork(t, c, kept.Token)
	w.goesOn()
	for _, n := range c.nodes {
		n.program = next
		n.server().stop()
		n.start()
		n.holdsLease(t)
		w.goesOn()
	}
	w.stop()
	t.Logf("%d checks and %d changes; a connection was refused %d times", w.checks.Load(), w.changes.Load(), w.refused.Load())

	beside := &node{t: t, name: "old", dsn: c.nodes[0].dsn, folder: t.TempDir()}
	c.add(beside)
	beside.holdsLease(t)
	for _, n := range []*node{beside, c.nodes[0]} {
		k := c.create(t, n)
		watch := c.watch(t, k.Token, "")
		watch.sees(c.nodes...)
		if err := c.client(n).DeleteKey(t.Context(), k.KeyID); err != nil {
			t.Fatal(err)
		}
		watch.over.Store(true)
		watch.sawDeath(c.nodes...)
		watch.want(api.VerifyNotFound)
		watch.stop()
	}

	// A version that breaks what this one relies on.
	db.Execute(t, c.database, `UPDATE schema_compatibility SET oldest = (SELECT max(version_id) FROM `+sqlstore.History+`)`)
	if code, text := readiness(t, beside); code != http.StatusServiceUnavailable || !strings.Contains(text, "schema") {
		t.Errorf("the old node's /readyz: %d %s", code, text)
	}
	if code, text := readiness(t, c.nodes[0]); code != http.StatusOK {
		t.Errorf("a new node's /readyz: %d %s", code, text)
	}
	refused := launch(t, t.TempDir(), append([]string{"APIKEYD_DATABASE=" + beside.dsn}, anyPort...), binary, "serve")
	if code := refused.wait(); code != 1 || !strings.Contains(refused.stderr.String(), "run a newer apikeyd") {
		t.Errorf("the old version on a schema that is not made for it: exit code %d: %s", code, refused.stderr)
	}
}

func readiness(t *testing.T, n *node) (code int, text string) {
	t.Helper()
	resp, err := http.Get(n.server().verification + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// upgradeFile has the next version take over a file, and this one go back to it.
func upgradeFile(t *testing.T, next string) {
	folder := t.TempDir()
	first := serve(t, folder)
	token := first.token
	created, err := first.client(token).CreateKey(t.Context(), draft("kept"))
	if err != nil {
		t.Fatal(err)
	}
	first.stop()
	for _, program := range []string{next, binary} {
		s := await(t, launch(t, folder, anyPort, program, "serve"), folder)
		if k, err := s.client(token).GetKey(t.Context(), created.KeyID); err != nil || k.KeyName != "kept" {
			t.Errorf("the key is %+v, %v", k, err)
		}
		get(t, s.verification+"/readyz")
		s.stop()
	}
	p := launch(t, folder, nil, binary, "migrate", "--status")
	if code := p.wait(); code != 0 || strings.Contains(p.stdout.String(), "not yet") {
		t.Errorf("migrate --status: exit code %d: %s%s", code, p.stdout, p.stderr)
	}
	p = launch(t, folder, nil, binary, "copy", "--from", "sqlite:apikeyd.db", "--to", postgrestest.NewDatabase(t))
	if code := p.wait(); code != 1 || !strings.Contains(p.stderr.String(), "run a newer apikeyd") {
		t.Errorf("copy by the old version: exit code %d: %s%s", code, p.stdout, p.stderr)
	}
}

// work is clients of a cluster behind a load balancer: they are sent to any node that says that it is ready, and to another one
// where nobody takes the connection. No request of theirs may fail.
type work struct {
	t       *testing.T
	cluster *cluster
	ready   []atomic.Bool // by node
	kept    string        // a token that stays good
	stop    func()

	checks, changes, refused atomic.Int64

	mu   sync.Mutex
	dead []string // tokens of keys that were deleted
}

func startWork(t *testing.T, c *cluster, kept string) *work {
	t.Helper()
	w := &work{t: t, cluster: c, ready: make([]atomic.Bool, len(c.nodes)), kept: kept}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i, n := range c.nodes {
		w.ready[i].Store(true)
		all.Go(func() { w.look(ctx, n, &w.ready[i]) })
	}
	for range 4 {
		all.Go(func() { w.check(ctx) })
	}
	for range 2 {
		all.Go(func() { w.change(ctx) })
	}
	w.stop = sync.OnceFunc(func() {
		cancel()
		all.Wait()
	})
	t.Cleanup(w.stop)
	return w
}

// goesOn waits until some more has been done.
func (w *work) goesOn() {
	w.t.Helper()
	checks, changes := w.checks.Load()+300, w.changes.Load()+20
	for deadline := time.Now().Add(patience); w.checks.Load() < checks || w.changes.Load() < changes; time.Sleep(10 * time.Millisecond) {
		if w.t.Failed() || time.Now().After(deadline) {
			w.t.Fatal("the work does not go on")
		}
	}
}

// look asks a node all the time whether it is ready.
func (w *work) look(ctx context.Context, n *node, ready *atomic.Bool) {
	h := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	for ctx.Err() == nil {
		resp, err := h.Get(n.server().verification + "/readyz")
		if err == nil {
			resp.Body.Close()
		}
		ready.Store(err == nil && resp.StatusCode == http.StatusOK)
		time.Sleep(20 * time.Millisecond)
	}
}

// through does something on a node that is ready, on another one where nobody took the connection.
func (w *work) through(do func(*node) error) {
	for try := 1; ; try++ {
		var able []*node
		for i := range w.ready {
			if w.ready[i].Load() {
				able = append(able, w.cluster.nodes[i])
			}
		}
		if len(able) == 0 {
			w.t.Error("no node is ready")
			return
		}
		n := able[rand.IntN(len(able))]
		err := do(n)
		if errors.Is(err, syscall.ECONNREFUSED) && try < 100 {
			w.refused.Add(1)
			continue
		}
		if err != nil {
			w.t.Errorf("node %s: %v", n.name, err)
		}
		return
	}
}

// asks wants an answer about a token.
func (w *work) asks(token string, want api.VerifyCode) {
	w.through(func(n *node) error {
		code, err := n.ask(token)
		if err == nil && code != want {
			err = fmt.Errorf("a check says %s, want %s", code, want)
		}
		return err
	})
	w.checks.Add(1)
}

// check checks the token that stays good, and those that are dead.
func (w *work) check(ctx context.Context) {
	for ctx.Err() == nil {
		w.asks(w.kept, api.VerifyValid)
		w.mu.Lock()
		dead := slices.Clone(w.dead)
		w.mu.Unlock()
		if len(dead) > 0 {
			w.asks(dead[rand.IntN(len(dead))], api.VerifyNotFound)
		}
		time.Sleep(2 * time.Millisecond) // a steady stream, and room for a program to start beside it
	}
}

// change has keys live and die, each step on any node.
func (w *work) change(ctx context.Context) {
	for ctx.Err() == nil {
		var k api.CreatedKey
		w.with(func(c *client.Client) (err error) {
			k, err = c.CreateKey(context.Background(), draft("k"))
			return err
		})
		w.asks(k.Token, api.VerifyValid)
		w.with(func(c *client.Client) error {
			_, err := c.UpdateKey(context.Background(), k.KeyID, api.KeyPatch{Enabled: new(false)})
			return err
		})
		w.asks(k.Token, api.VerifyDisabled)
		w.with(func(c *client.Client) error { return c.DeleteKey(context.Background(), k.KeyID) })
		w.asks(k.Token, api.VerifyNotFound)
		w.mu.Lock()
		w.dead = append(w.dead, k.Token)
		w.mu.Unlock()
	}
}

// with makes one change.
func (w *work) with(do func(*client.Client) error) {
	w.through(func(n *node) error {
		c := w.cluster.client(n)
		defer c.CloseIdleConnections()
		return do(c)
	})
	w.changes.Add(1)
}
