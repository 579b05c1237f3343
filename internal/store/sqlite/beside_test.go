package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// addLink adds a link for a user, and says so in the audit log.
func addLink(s *Store, user int64, digest key.Digest) error {
	_, err := s.Update(background, func(tx store.Tx) error {
		now := time.Now()
		tx.Record(audit.Entry{OccurredAt: now, Action: "user.link", Target: audit.Target{Type: audit.User, ID: user},
			Outcome: audit.Success})
		return tx.InsertLink(background, key.Link{UserID: user, CreatedAt: now, ExpiresAt: now.Add(key.LinkLifetime)}, digest)
	})
	return err
}

const besideUsers = 40

// linkOf is the digest of the link for a user.
func linkOf(user int64) key.Digest { return digestOf(1<<50 + user) }

func init() {
	// Adds a link for each user, as the command does beside a server, and tells their ids.
	children["beside"] = func(path string, tell func(string, ...any)) error {
		s, err := Open(background, Options{Path: path, Beside: true})
		if err != nil {
			return err
		}
		for user := range int64(besideUsers) {
			if err := addLink(s, 1+user, linkOf(1+user)); err != nil {
				return err
			}
			tell("%d", 1+user)
		}
		return s.Close()
	}
	// The same for the first user, until it is killed.
	children["beside without end"] = func(path string, tell func(string, ...any)) error {
		s, err := Open(background, Options{Path: path, Beside: true})
		if err != nil {
			return err
		}
		for n := int64(0); ; n++ {
			if err := addLink(s, 1, digestOf(1<<51+n)); err != nil {
				return err
			}
			tell("%d", n)
		}
	}
}

// take takes a link, which must be there.
func take(t *testing.T, s *Store, digest key.Digest) {
	t.Helper()
	_, err := s.Update(t.Context(), func(tx store.Tx) error {
		_, err := tx.TakeLink(t.Context(), digest)
		return err
	})
	if err != nil {
		t.Errorf("TakeLink() = %v", err)
	}
}

// writeKeys adds keys, each with an entry in the audit log, until stop is called, which returns how many.
func writeKeys(t *testing.T, s *Store) (stop func() int64) {
	t.Helper()
	ended := make(chan struct{})
	var group sync.WaitGroup
	var counts [4]int64
	for g := range counts {
		group.Go(func() {
			for {
				digest := digestOf(int64(g)<<40 + counts[g])
				_, err := s.Update(background, func(tx store.Tx) error {
					id, err := tx.InsertKey(background, plainKey(), digest)
					tx.Record(plainEntry(id))
					return err
				})
				if err != nil {
					t.Errorf("Update() = %v", err)
					return
				}
				counts[g]++
				select {
				case <-ended:
					return
				default:
				}
			}
		})
	}
	return func() (n int64) {
		close(ended)
		group.Wait()
		for _, c := range counts {
			n += c
		}
		return n
	}
}

// TestBeside has a second process write while the server does.
func TestBeside(t *testing.T) {
	path := newPath(t)
	s := openFilled(t, Options{Path: path, Migrate: true}, 0)
	_, err := s.Update(t.Context(), func(tx store.Tx) error {
		for i := range besideUsers {
			u := key.User{Email: fmt.Sprint(i), CreatedAt: time.Now(), UpdatedAt: time.Now()}
			if _, err := tx.InsertUser(t.Context(), u); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := writeKeys(t, s)
	c := startChild(t, "beside", path)
	for user := range int64(besideUsers) {
		if got := parseID(t, c.line()); got != 1+user {
			t.Fatalf("child tells of user %d, want %d", got, 1+user)
		}
		if user%2 == 0 {
			take(t, s, linkOf(1+user)) // the server sees it at once
		}
	}
	c.wait(t)
	keys := stop()
	if got := count(t, s, `SELECT count(*) FROM tokens`); int64(got) != keys {
		t.Errorf("%d keys, want %d", got, keys)
	}
	if got := count(t, s, `SELECT count(*) FROM sign_in_links`); got != besideUsers/2 {
		t.Errorf("%d links, want %d", got, besideUsers/2)
	}
	actions := map[audit.Action]int64{}
	for _, e := range verified(t, s) {
		actions[e.Action]++
	}
	if actions["user.link"] != besideUsers || actions["key.create"] != keys {
		t.Errorf("the audit log holds %v, want %d links and %d keys", actions, besideUsers, keys)
	}
}

// TestBesideKilled kills a second process that writes. The server goes on.
func TestBesideKilled(t *testing.T) {
	path := newPath(t)
	s := openFilled(t, Options{Path: path, Migrate: true}, 0)
	stop := writeKeys(t, s)
	told := int64(0)
	for range 3 {
		c := startChild(t, "beside without end", path)
		for range 10 {
			parseID(t, c.line())
		}
		told += 10 + int64(max(0, len(c.kill(t))-1)) // the last line may be cut off
		if err := s.Ready(t.Context()); err != nil {
			t.Errorf("Ready() = %v", err)
		}
		// Its digests begin anew with each process.
		if _, err := s.Update(t.Context(), func(tx store.Tx) error { return tx.DeleteLinks(t.Context(), 1) }); err != nil {
			t.Errorf("Update() = %v", err)
		}
	}
	keys := stop()
	links := int64(0)
	log := verified(t, s)
	for _, e := range log {
		if e.Action == "user.link" {
			links++
		}
	}
	if links < told || int64(len(log))-links != keys {
		t.Errorf("the audit log holds %d links and %d keys, want at least %d and %d", links, int64(len(log))-links, told, keys)
	}
	if problem := integrity(t, path); problem != "ok" {
		t.Errorf("integrity_check: %s", problem)
	}
}

func TestBesideNeedsNoLock(t *testing.T) {
	path := newPath(t)
	if _, err := Open(t.Context(), Options{Path: path, Beside: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open() of no file = %v", err)
	}
	wantNothing(t, filepath.Dir(path))
	s := openFilled(t, Options{Path: path, Migrate: true}, 0)
	b := open(t, Options{Path: path, Beside: true})
	for i, writer := range []*Store{b, s, b} {
		if err := addLink(writer, 1, linkOf(int64(i))); err != nil {
			t.Fatal(err)
		}
	}
	for i, other := range []*Store{s, b, s} {
		take(t, other, linkOf(int64(i)))
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if log := verified(t, s); len(log) != 3 {
		t.Errorf("the audit log holds %d entries, want 3", len(log))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, Options{Path: path, Beside: true}) // nor does it need a server, nor keep one away
	s = open(t, Options{Path: path})
	for i, writer := range []*Store{b, s} {
		if err := addLink(writer, 1, linkOf(int64(i))); err != nil {
			t.Error(err)
		}
	}
}
