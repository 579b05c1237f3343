package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/store"
)

func wantNothing(t *testing.T, folder string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 0 {
		t.Errorf("%s holds %v, %v, want nothing", folder, entries, err)
	}
}

// TestBackup copies a database from which keys are deleted and to which keys are added without end, in transactions
// that keep their number the same.
func TestBackup(t *testing.T) {
	path := newPath(t)
	const n = 2000
	s := openFilled(t, Options{Path: path, Migrate: true}, n)
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		for i := int64(1); ctx.Err() == nil; i++ {
			_, err := s.Update(t.Context(), func(tx store.Tx) error {
				if err := tx.DeleteKey(t.Context(), i); err != nil {
					return err
				}
				_, err := tx.InsertKey(t.Context(), plainKey(), digestOf(n+i))
				return err
			})
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	other := open(t, Options{Path: path, ReadOnly: true}) // as the command does, beside the server
	folder := t.TempDir()
	for i, from := range []*Store{s, other, s, other} {
		target := filepath.Join(folder, string(rune('a'+i))+".db")
		if err := from.Backup(t.Context(), target); err != nil {
			t.Fatalf("Backup() = %v", err)
		}
		info, err := os.Lstat(target)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("mode of the copy = %v, %v, want 0600", info.Mode(), err)
		}
		if problem := integrity(t, target); problem != "ok" {
			t.Errorf("integrity_check: %s", problem)
		}
	}
	stop()
	group.Wait()
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 4 {
		t.Errorf("the folder holds %v, %v, want the four copies", entries, err)
	}

	newest, err := s.Keys(t.Context(), store.KeyQuery{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.db", "d.db"} {
		restored := open(t, Options{Path: filepath.Join(folder, name)})
		for what, query := range map[string]string{
			"keys":   `SELECT count(*) FROM api_keys`,
			"tokens": `SELECT count(*) FROM tokens JOIN api_keys USING (key_id)`,
		} {
			if got := count(t, restored, query); got != n {
				t.Errorf("%s has %d %s, want %d: it is not of one moment", name, got, what, n)
			}
		}
		keys, err := restored.Keys(t.Context(), store.KeyQuery{Limit: 1})
		if err != nil || keys[0].ID > newest[0].ID {
			t.Errorf("newest key of %s = %v, %v, want at most %d", name, keys, err, newest[0].ID)
		}
		// It goes on where it was: also an id that was deleted is not given again.
		highest := keys[0].ID
		_, err = restored.Update(t.Context(), func(tx store.Tx) error {
			if err := tx.DeleteKey(t.Context(), highest); err != nil {
				return err
			}
			id, err := tx.InsertKey(t.Context(), plainKey(), digestOf(1<<40))
			if id <= highest {
				t.Errorf("id = %d after %d", id, highest)
			}
			return err
		})
		if err != nil {
			t.Errorf("Update() of the restored database = %v", err)
		}
	}
}

func TestBackupRefuses(t *testing.T) {
	s := openFilled(t, Options{Path: newPath(t), Migrate: true}, 10)
	folder := t.TempDir()
	taken := filepath.Join(folder, "taken")
	if err := os.WriteFile(taken, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	dangling := filepath.Join(folder, "dangling")
	if err := os.Symlink(filepath.Join(folder, "nowhere"), dangling); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{taken, dangling, folder, s.file.path} {
		if err := s.Backup(t.Context(), path); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
			t.Errorf("Backup(%s) = %v, want that it exists", path, err)
		}
	}
	if content, err := os.ReadFile(taken); err != nil || string(content) != "precious" {
		t.Errorf("the file that was there holds %q, %v", content, err)
	}
	missing := filepath.Join(folder, "no", "copy.db")
	if err := s.Backup(t.Context(), missing); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("Backup() into no folder = %v", err)
	}
	empty := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Backup(ctx, filepath.Join(empty, "copy.db")); !errors.Is(err, context.Canceled) {
		t.Errorf("Backup() with a context that has ended = %v", err)
	}
	wantNothing(t, empty)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), filepath.Join(empty, "copy.db")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Backup() of a closed store = %v", err)
	}
	wantNothing(t, empty)
}

func init() {
	children["backup"] = func(path string, tell func(string, ...any)) error {
		s, err := Open(background, Options{Path: path, ReadOnly: true})
		if err != nil {
			return err
		}
		tell("started")
		return s.Backup(background, filepath.Join(filepath.Dir(path), "backups", "copy.db"))
	}
}

// TestBackupKilled kills the process as soon as there is something of the copy. What is called as the backup is a whole one; most often
// there is none, and a machine that is late with the kill tries again.
func TestBackupKilled(t *testing.T) {
	path := newPath(t)
	s := openFilled(t, Options{Path: path, Migrate: true}, 3000)
	folder := filepath.Join(filepath.Dir(path), "backups")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(folder, "copy.db")
	for tries := 1; killBackup(t, path, folder); tries++ {
		if problem := integrity(t, target); problem != "ok" {
			t.Fatalf("integrity_check of what is called as the backup: %s", problem)
		}
		if tries == 20 {
			t.Fatal("every copy was finished before it could be killed")
		}
		if err := os.Remove(target); err != nil {
			t.Fatal(err)
		}
	}
	// Neither is the database harmed, nor the next backup in its way.
	if err := s.Backup(t.Context(), target); err != nil {
		t.Errorf("Backup() = %v", err)
	}
	if problem := integrity(t, target); problem != "ok" {
		t.Errorf("integrity_check: %s", problem)
	}
}

// killBackup has a process copy a database into a folder, kills it, and reports whether there is something called as the backup.
func killBackup(t *testing.T, path, folder string) bool {
	t.Helper()
	before, err := os.ReadDir(folder) // what others have left that were killed
	if err != nil {
		t.Fatal(err)
	}
	c := startChild(t, "backup", path)
	c.line()
	deadline := time.Now().Add(time.Minute)
	for entries := before; len(entries) == len(before); {
		if entries, err = os.ReadDir(folder); err != nil || time.Now().After(deadline) {
			t.Fatalf("no copy was begun: %v", err)
		}
	}
	c.kill(t)
	_, err = os.Lstat(filepath.Join(folder, "copy.db"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}
