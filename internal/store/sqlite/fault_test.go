package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

func yield() { runtime.Gosched() }

// provoke returns the error of a statement that breaks a rule of the database.
func provoke(t *testing.T, query string) error {
	t.Helper()
	db := plain(t, filepath.Join(t.TempDir(), "x.db"))
	execute(t, db,
		`CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT UNIQUE NOT NULL CHECK (b <> 'x')) STRICT`,
		`INSERT INTO t VALUES (1, 'b')`)
	_, err := db.Exec(query)
	if err == nil {
		t.Fatalf("%s succeeds", query)
	}
	return err
}

// TestConstraintsAreToldApart: a constraint that no statement can meet in use is a fault of the program, no conflict.
func TestConstraintsAreToldApart(t *testing.T) {
	unique := provoke(t, `INSERT INTO t VALUES (2, 'b')`)
	primaryKey := provoke(t, `INSERT INTO t VALUES (1, 'c')`)
	notNull := provoke(t, `INSERT INTO t VALUES (2, NULL)`)
	check := provoke(t, `INSERT INTO t VALUES (2, 'x')`)
	datatype := provoke(t, `INSERT INTO t VALUES ('x', 'c')`)
	for _, c := range []struct {
		name      string
		statement sqlstore.Statement
		err       error
		want      store.Constraint
	}{
		{"unique", sqlstore.InsertUser, unique, store.EmailTaken},
		{"unique", sqlstore.InsertOrganization, unique, store.ExternalIDTaken},
		{"primary key", sqlstore.InsertMember, primaryKey, store.MemberExists},
		{"primary key", sqlstore.InsertToken, primaryKey, store.DigestTaken},
		{"unique", sqlstore.InsertKey, unique, ""},
		{"not null", sqlstore.InsertUser, notNull, ""},
		{"check", sqlstore.InsertMember, check, ""},
		{"datatype", sqlstore.InsertToken, datatype, ""},
	} {
		err := statementFailure(t.Context(), c.statement, c.err)
		conflict, ok := errors.AsType[*store.ConflictError](err)
		if ok != (c.want != "") || ok && conflict.Constraint != c.want {
			t.Errorf("%s in statement %d: %v, want conflict %q", c.name, c.statement, err, c.want)
		}
		if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s in statement %d: %v, which is something else as well", c.name, c.statement, err)
		}
	}
}

func TestARowThatOthersReferToStays(t *testing.T) {
	s := openFilled(t, Options{Path: newPath(t), Migrate: true}, 1)
	_, err := s.session.conn.ExecContext(t.Context(), `DELETE FROM users`)
	if extended(err) != sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY {
		t.Errorf("DELETE = %v, want a refusal", err)
	}
}

func TestCancelledIsUnavailable(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := failure(ctx, errors.New("interrupted"))
	if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("failure() = %v", err)
	}
}

// limitFiles lets no file of this process grow beyond size.
func limitFiles(size uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	limit.Cur = min(size, limit.Max)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
}

func init() {
	// Writes while the log cannot grow, so that commits fail, and then while it can again.
	children["fail to commit"] = func(path string, tell func(string, ...any)) error {
		signal.Ignore(syscall.SIGXFSZ)
		s, err := Open(background, Options{Path: path, Migrate: true})
		if err != nil {
			return err
		}
		if err := errors.Join(addAccount(background, s), addKeys(background, s, 0, 10)); err != nil {
			return err
		}
		log, err := os.Stat(path + "-wal")
		if err != nil {
			return err
		}
		rename := func(tx store.Tx) error {
			tx.Record(plainEntry(1))
			k, err := tx.Key(background, 1)
			if err != nil {
				return err
			}
			k.Name = "renamed"
			return tx.UpdateKey(background, k)
		}
		for range 3 {
			if err := limitFiles(uint64(log.Size()) + 5000); err != nil {
				return err
			}
			changes, err := s.Update(background, func(tx store.Tx) error {
				for i := range 20 {
					if _, err := tx.InsertKey(background, plainKey(), digestOf(int64(100+i))); err != nil {
						return err
					}
				}
				return rename(tx)
			})
			if !errors.Is(err, store.ErrUnavailable) || len(changes) != 1 {
				return fmt.Errorf("Update without room = %v, %v, want ErrUnavailable and one change", changes, err)
			}
			if k, err := s.Key(background, 1); err != nil || k.Name == "renamed" {
				return fmt.Errorf("Key after a failed commit = %+v, %v", k, err)
			}
			if _, err := s.RecordByDigest(background, digestOf(100)); !errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("RecordByDigest after a failed commit = %v", err)
			}
			if err := s.Ready(background); err != nil {
				return fmt.Errorf("Ready after a failed commit = %w", err)
			}
		}
		if err := limitFiles(1 << 40); err != nil {
			return err
		}
		if changes, err := s.Update(background, rename); err != nil || len(changes) != 1 {
			return fmt.Errorf("Update with room = %v, %v", changes, err)
		}
		if err := addKeys(background, s, 200, 10); err != nil {
			return err
		}
		tell("committed")
		select {}
	}

	// Tries to open the database, as a user who may not write where it is.
	children["open"] = func(path string, tell func(string, ...any)) error {
		_, err := Open(background, Options{Path: path, Migrate: true})
		tell("%v", err)
		return nil
	}
}

// TestFailedCommit runs in a process of its own, because a limit on the size of files is one of a process. It ends with
// a kill, so that what is on disk tells.
func TestFailedCommit(t *testing.T) {
	path := newPath(t)
	c := startChild(t, "fail to commit", path)
	if got := c.line(); got != "committed" {
		t.Fatalf("child says %q", got)
	}
	c.kill(t)
	s := open(t, Options{Path: path})
	if k, err := s.Key(t.Context(), 1); err != nil || k.Name != "renamed" {
		t.Errorf("Key() = %+v, %v", k, err)
	}
	if got := count(t, s, `SELECT count(*) FROM tokens`); got != 20 {
		t.Errorf("%d tokens, want 20", got)
	}
	if log := verified(t, s); len(log) != 1 {
		t.Errorf("the audit log holds %d entries, want that of the one commit that did not fail", len(log))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if problem := integrity(t, path); problem != "ok" {
		t.Errorf("integrity_check: %s", problem)
	}
}

// TestFullDisk fills a small file system, and then makes room.
func TestFullDisk(t *testing.T) {
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	ballast := filepath.Join(folder, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("fill", func(t *testing.T) { // closes the store before the file system goes away
		s := openFilled(t, Options{Path: filepath.Join(folder, "x.db"), Migrate: true}, 1)
		add := func(n int) error { // each key with an entry in the audit log
			_, err := s.Update(t.Context(), func(tx store.Tx) error {
				for i := range 20 {
					id, err := tx.InsertKey(t.Context(), plainKey(), digestOf(int64(n*1000+i)))
					if err != nil {
						return err
					}
					tx.Record(plainEntry(id))
				}
				return nil
			})
			return err
		}
		wantLog := func(n int) {
			t.Helper()
			if log := verified(t, s); len(log) != n*20 {
				t.Errorf("the audit log holds %d entries, want %d", len(log), n*20)
			}
		}
		n := 1
		for ; ; n++ {
			err := add(n)
			if err != nil {
				if !errors.Is(err, store.ErrUnavailable) || primary(err) != sqlite3.SQLITE_FULL {
					t.Fatalf("Update() on a full disk = %v, want ErrUnavailable, because full", err)
				}
				break
			}
			if n > 10_000 {
				t.Fatal("4 MB are not enough to fill 4 MB")
			}
		}
		if _, err := s.RecordByDigest(t.Context(), digestOf(1000)); err != nil {
			t.Errorf("RecordByDigest() on a full disk = %v", err)
		}
		if _, err := s.RecordByDigest(t.Context(), digestOf(int64(n*1000))); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("RecordByDigest() of what failed = %v", err)
		}
		if err := s.Ready(t.Context()); err != nil {
			t.Errorf("Ready() on a full disk = %v", err)
		}
		wantLog(n - 1)
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		if err := add(n); err != nil {
			t.Errorf("Update() with room again = %v", err)
		}
		wantLog(n)
	})
}

func TestDamagedFile(t *testing.T) {
	path := newPath(t)
	s := openFilled(t, Options{Path: path, Migrate: true}, 2000)
	first := count(t, s, `SELECT max(rootpage) FROM sqlite_schema`) // those behind it hold rows, and nothing of the schema
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	for offset := int64(first * page); offset < info.Size(); offset += page {
		if _, err := f.WriteAt([]byte("\xff\xff\xff\xff\xff\xff"), offset); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Options{Path: path})
	unavailable := 0
	for i := range int64(2000) {
		_, err := s.RecordByDigest(t.Context(), digestOf(i))
		switch {
		case errors.Is(err, store.ErrUnavailable):
			unavailable++
		case err != nil:
			t.Fatalf("RecordByDigest() = %v: a damaged file must not look like a deleted key", err)
		}
	}
	if unavailable == 0 {
		t.Error("the damage is not seen")
	}
	target := filepath.Join(t.TempDir(), "copy.db")
	if err := s.Backup(t.Context(), target); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("Backup() = %v, want a refusal", err)
	}
	wantNothing(t, filepath.Dir(target))
}

// asNobody runs a child as a user who owns nothing.
func asNobody(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

func TestFoldersThatMayNotBeWritten(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	// The child has to reach both the folder and the test binary.
	folder, err := os.MkdirTemp("/tmp", "apikeyd-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	executable := filepath.Join(folder, "test")
	content, err := os.ReadFile(must(os.Executable()))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(executable, content, 0o755), os.Chmod(folder, 0o755)); err != nil {
		t.Fatal(err)
	}
	theirs := filepath.Join(folder, "theirs.db")
	if err := openFilled(t, Options{Path: theirs, Migrate: true}, 1).Close(); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a new database":                     filepath.Join(folder, "new.db"),
		"a database of somebody else":        theirs,
		"a folder that may not be looked at": "/root/x.db",
	} {
		c := startChild(t, "open", path, asNobody, func(cmd *exec.Cmd) { cmd.Path = executable })
		got := c.line()
		c.wait(t)
		if !strings.Contains(got, path) || !strings.Contains(got, "permission denied") {
			t.Errorf("%s: %q, want an error that says so", name, got)
		}
	}
}
