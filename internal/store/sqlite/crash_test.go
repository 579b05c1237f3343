package sqlite

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/apikeyd/apikeyd/internal/store"
)

// background is the context of children, which no test ends.
var background = context.Background()

func init() {
	// Inserts keys from several goroutines, each with an entry in the audit log, and tells the id of each that was acknowledged, until it is killed.
	children["insert"] = func(path string, tell func(string, ...any)) error {
		s, err := Open(background, Options{Path: path, Migrate: true})
		if err != nil {
			return err
		}
		first := int64(0)
		if is, err := s.Initialised(background); err != nil {
			return err
		} else if !is {
			if err := addAccount(background, s); err != nil {
				return err
			}
		} else {
			keys, err := s.Keys(background, store.KeyQuery{Limit: 1})
			if err != nil {
				return err
			}
			first = keys[0].ID
		}
		var n atomic.Int64
		n.Store(first * 1000) // digests that no key has, whatever of the last run was not acknowledged
		var mu sync.Mutex
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for {
					digest := digestOf(n.Add(1))
					var id int64
					_, err := s.Update(background, func(tx store.Tx) (err error) {
						id, err = tx.InsertKey(background, plainKey(), digest)
						tx.Record(plainEntry(id))
						return err
					})
					mu.Lock()
					if err != nil {
						tell("error: %v", err)
					} else {
						tell("%d", id)
					}
					mu.Unlock()
				}
			})
		}
		group.Wait()
		return nil
	}
}

func parseID(t *testing.T, line string) int64 {
	t.Helper()
	id, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		t.Fatalf("child says %q", line)
	}
	return id
}

// TestKill kills a process that writes, several times, and looks for every key that it had acknowledged.
func TestKill(t *testing.T) {
	path := newPath(t)
	acknowledged := map[int64]bool{}
	for round := range 5 {
		c := startChild(t, "insert", path)
		var lines []string
		for range 50 + 100*round {
			lines = append(lines, c.line())
		}
		lines = append(lines, c.kill(t)...)
		for i, line := range lines {
			if i == len(lines)-1 && i >= 50+100*round {
				break // may be cut off
			}
			id := parseID(t, line)
			if acknowledged[id] {
				t.Errorf("id %d was given twice", id)
			}
			acknowledged[id] = true
		}

		s := open(t, Options{Path: path})
		if err := s.Ready(t.Context()); err != nil {
			t.Fatalf("Ready() = %v", err)
		}
		there := map[int64]bool{}
		for q := (store.KeyQuery{Limit: 1000}); ; {
			keys, err := s.Keys(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if len(keys) == 0 {
				break
			}
			for _, k := range keys {
				there[k.ID] = true
			}
			q.Before = keys[len(keys)-1].ID
		}
		for id := range acknowledged {
			if !there[id] {
				t.Errorf("round %d: key %d was acknowledged and is gone", round, id)
			}
		}
		// A key and its token are there together or not at all.
		if orphans := count(t, s, `SELECT count(*) FROM api_keys WHERE key_id NOT IN (SELECT key_id FROM tokens)`); orphans != 0 {
			t.Errorf("%d keys have no token", orphans)
		}
		// So are a key and its entry in the audit log.
		log := verified(t, s)
		for _, e := range log {
			if !there[e.Target.ID] {
				t.Errorf("round %d: entry %d is about key %d, which is not there", round, e.ID, e.Target.ID)
			}
			delete(there, e.Target.ID)
		}
		if len(there) != 0 {
			t.Errorf("round %d: %d keys have no entry in the audit log", round, len(there))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if problem := integrity(t, path); problem != "ok" {
		t.Errorf("integrity_check: %s", problem)
	}
}

func count(t *testing.T, s *Store, query string) (n int) {
	t.Helper()
	if err := s.reads.lists.db.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func integrity(t *testing.T, path string) (result string) {
	t.Helper()
	db := plain(t, path)
	if err := errors.Join(db.QueryRow(`PRAGMA integrity_check`).Scan(&result), db.Close()); err != nil {
		t.Fatal(err)
	}
	return result
}
