package sqlite

import (
	"errors"
	"sync"
	"testing"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// hold takes a turn and keeps it until the returned function is called, so that what is sent meanwhile arrives together.
func hold(t *testing.T, s *Store) (release func()) {
	t.Helper()
	held, end := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := s.Update(t.Context(), func(store.Tx) error { close(held); <-end; return nil }); err != nil {
			t.Errorf("Update() = %v", err)
		}
	})
	<-held
	return func() { close(end); group.Wait() }
}

// waitForQueue waits until n calls stand in the queue.
func waitForQueue(s *Store, n int) {
	for s.writer.Waiting() < n {
		// Whoever is on the way needs the processor.
		yield()
	}
}

func TestArrivingTogetherIsCommittedTogether(t *testing.T) {
	s := openFilled(t, Options{Path: newPath(t), Migrate: true}, 0)
	release := hold(t, s)
	const n = 100
	var group sync.WaitGroup
	var mu sync.Mutex
	open, most := 0, 0 // turns that have written and are not known to be committed
	for i := range n {
		group.Go(func() {
			_, err := s.Update(t.Context(), func(tx store.Tx) error {
				id, err := tx.InsertKey(t.Context(), plainKey(), digestOf(int64(i)))
				if err != nil {
					return err
				}
				if _, err := s.reads.points.db.Exec(`SELECT 1`); err != nil { // readers go on
					return err
				}
				if _, err := s.Key(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("Key() before the commit = %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				open++
				most = max(most, open)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			open--
		})
	}
	waitForQueue(s, n)
	release()
	group.Wait()
	if most != n {
		t.Errorf("at most %d transactions were open together, want %d in one commit", most, n)
	}
}

func TestMoreThanABatch(t *testing.T) {
	s := openFilled(t, Options{Path: newPath(t), Migrate: true}, 0)
	release := hold(t, s)
	const n = 3 * sqlstore.MaxBatch
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			_, err := s.Update(t.Context(), func(tx store.Tx) error {
				_, err := tx.InsertKey(t.Context(), plainKey(), digestOf(int64(i)))
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	waitForQueue(s, sqlstore.MaxBatch)
	release()
	group.Wait()
	if got := count(t, s, `SELECT count(*) FROM tokens`); got != n {
		t.Errorf("%d keys, want %d", got, n)
	}
}

func TestCloseServesTheQueue(t *testing.T) {
	path := newPath(t)
	s := openFilled(t, Options{Path: path, Migrate: true}, 0)
	release := hold(t, s)
	const n = 20
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			if err := addKeys(t.Context(), s, i, 1); err != nil {
				t.Errorf("Update that was in the queue = %v", err)
			}
		})
	}
	waitForQueue(s, n)
	var closed sync.WaitGroup
	closed.Go(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	for s.Ready(t.Context()) == nil { // until Close has begun
	}
	release()
	group.Wait()
	closed.Wait()
	s = open(t, Options{Path: path})
	if got := count(t, s, `SELECT count(*) FROM tokens`); got != n {
		t.Errorf("%d keys, want %d", got, n)
	}
}

// TestBusy has another program hold the lock of the database, as the sqlite3 shell can.
func TestBusy(t *testing.T) {
	path := newPath(t)
	s := openFilled(t, Options{Path: path, Migrate: true, pragmas: []string{"busy_timeout(10)"}}, 1)
	other := plain(t, path)
	other.SetMaxOpenConns(1)
	execute(t, other, `BEGIN IMMEDIATE`)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			_, err := s.Update(t.Context(), func(store.Tx) error { t.Error("the function runs"); return nil })
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("Update() = %v, want ErrUnavailable", err)
			}
		})
	}
	group.Wait()
	if _, err := s.RecordByDigest(t.Context(), digestOf(0)); err != nil {
		t.Errorf("RecordByDigest() meanwhile = %v", err)
	}
	execute(t, other, `ROLLBACK`)
	if err := addKeys(t.Context(), s, 1, 1); err != nil {
		t.Errorf("Update() afterwards = %v", err)
	}
}

// TestLostTurn fills the database with one transaction while others have arrived with it: SQLite may have undone all of
// them, so they run again, and succeed, because they need no room.
func TestLostTurn(t *testing.T) {
	s := openFilled(t, Options{Path: newPath(t), Migrate: true}, 10)
	if _, err := s.session.conn.ExecContext(t.Context(), `PRAGMA max_page_count = 1`); err != nil { // as many as there are
		t.Fatal(err)
	}
	release := hold(t, s)
	var group sync.WaitGroup
	var mu sync.Mutex
	runs := 0
	rename := func(id int64) {
		changes, err := s.Update(t.Context(), func(tx store.Tx) error {
			mu.Lock()
			runs++
			mu.Unlock()
			k, err := tx.Key(t.Context(), id)
			if err != nil {
				return err
			}
			k.Name = "renamed"
			tx.Record(plainEntry(id))
			return tx.UpdateKey(t.Context(), k)
		})
		if err != nil || len(changes) != 1 {
			t.Errorf("Update() of key %d = %v, %v, want one change", id, changes, err)
		}
	}
	failed := errors.New("mine")
	group.Go(func() { rename(1) })
	waitForQueue(s, 1)
	group.Go(func() { rename(2) })
	waitForQueue(s, 2)
	group.Go(func() {
		if _, err := s.Update(t.Context(), func(tx store.Tx) error { return failed }); err != failed {
			t.Errorf("Update() = %v, want its own error", err)
		}
	})
	waitForQueue(s, 3)
	group.Go(func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic did not come back")
			}
		}()
		s.Update(t.Context(), func(store.Tx) error { panic("mine") })
	})
	waitForQueue(s, 4)
	group.Go(func() {
		if err := addKeys(t.Context(), s, 10, 300); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("Update() that fills the database = %v, want ErrUnavailable", err)
		}
	})
	waitForQueue(s, 5)
	group.Go(func() { rename(3) })
	waitForQueue(s, 6)
	release()
	group.Wait()
	if runs != 5 {
		t.Errorf("the three others ran %d times, want 5: the first two twice", runs)
	}
	for id := range int64(3) {
		if k, err := s.Key(t.Context(), 1+id); err != nil || k.Name != "renamed" {
			t.Errorf("Key(%d) = %+v, %v", 1+id, k, err)
		}
	}
	if got := count(t, s, `SELECT count(*) FROM tokens`); got != 10 {
		t.Errorf("%d keys, want 10", got)
	}
	if log := verified(t, s); len(log) != 3 {
		t.Errorf("the audit log holds %d entries, want one of each, however often it ran", len(log))
	}
	if _, err := s.session.conn.ExecContext(t.Context(), `PRAGMA max_page_count = 1000000`); err != nil {
		t.Fatal(err)
	}
	if err := addKeys(t.Context(), s, 10, 300); err != nil {
		t.Errorf("Update() with room = %v", err)
	}
}

func TestRepeatedClose(t *testing.T) {
	s := openFilled(t, Options{Path: newPath(t), Migrate: true}, 0)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := s.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
		})
	}
	group.Wait()
	if _, err := s.Update(t.Context(), func(store.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Update() = %v, want ErrClosed", err)
	}
	if _, err := s.RecordByDigest(t.Context(), key.Digest{}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("RecordByDigest() = %v, want ErrClosed", err)
	}
}
