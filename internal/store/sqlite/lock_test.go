package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

func init() {
	// Serves a database until it is killed.
	children["serve"] = func(path string, tell func(string, ...any)) error {
		if _, err := Open(background, Options{Path: path, Migrate: true}); err != nil {
			return err
		}
		tell("serving")
		select {}
	}
}

func wantServed(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "another apikeyd serves it") {
		t.Errorf("%s = %v, want that another one serves it", what, err)
	}
}

func TestOneProcessServes(t *testing.T) {
	path := newPath(t)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	c := startChild(t, "serve", path)
	if got := c.line(); got != "serving" {
		t.Fatalf("child says %q", got)
	}
	for _, p := range []string{path, link} {
		_, err := Open(t.Context(), Options{Path: p, Migrate: true})
		wantServed(t, "Open", err)
		_, err = Migrate(t.Context(), Options{Path: p})
		wantServed(t, "Migrate", err)
	}
	c.kill(t) // leaves nothing that had to be cleaned up
	s := openFilled(t, Options{Path: link}, 1)
	_, err := Open(t.Context(), Options{Path: path})
	wantServed(t, "Open in the same process", err)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, Options{Path: path})
}

func TestReadOnlyNeedsNoLock(t *testing.T) {
	path := newPath(t)
	s := openFilled(t, Options{Path: path, Migrate: true}, 1)
	r := open(t, Options{Path: path, ReadOnly: true})
	if err := r.Ready(t.Context()); err != nil {
		t.Errorf("Ready() = %v", err)
	}
	for i := range 3 { // it sees what the other one has committed
		if err := addKeys(t.Context(), s, 1+i, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := r.RecordByDigest(t.Context(), digestOf(int64(1+i))); err != nil {
			t.Errorf("RecordByDigest() = %v", err)
		}
	}
	_, err := r.Update(t.Context(), func(store.Tx) error { t.Error("the function runs"); return nil })
	if !errors.Is(err, ErrReadOnly) {
		t.Errorf("Update() = %v, want ErrReadOnly", err)
	}
	for name, err := range map[string]error{
		"Insert": func() error { _, err := r.reads.Insert(t.Context(), 0); return err }(),
		"Exec":   func() error { _, err := r.reads.Exec(t.Context(), 0); return err }(),
	} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s = %v, want ErrReadOnly", name, err)
		}
	}
	if _, err := s.RecordByDigest(t.Context(), key.Digest{}); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}

// TestReadOnlyRecovers opens for reading what a killed process has left, with nobody there to recover it.
func TestReadOnlyRecovers(t *testing.T) {
	path := newPath(t)
	c := startChild(t, "insert", path)
	var last string
	for range 20 {
		last = c.line()
	}
	c.kill(t)
	r := open(t, Options{Path: path, ReadOnly: true})
	if _, err := r.Key(t.Context(), parseID(t, last)); err != nil {
		t.Errorf("Key(%s) = %v", last, err)
	}
}
