package sqlite

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/store"
)

// verify walks through the audit log and returns it, and the first place where it is not what was written.
func verify(t *testing.T, s *Store) (entries []audit.Entry, err error) {
	t.Helper()
	extent, err := s.AuditExtent(t.Context())
	if err != nil {
		t.Fatalf("AuditExtent() = %v", err)
	}
	reached := extent.Pruned
	for {
		page, err := s.AuditAfter(t.Context(), reached.ID, 1000)
		if err != nil {
			t.Fatalf("AuditAfter() = %v", err)
		}
		if len(page) == 0 {
			return entries, extent.End(reached)
		}
		for i := range page {
			if reached, err = audit.Follow(reached, &page[i]); err != nil {
				return entries, err
			}
		}
		entries = append(entries, page...)
	}
}

// verified returns the audit log, and fails where it is not what was written.
func verified(t *testing.T, s *Store) []audit.Entry {
	t.Helper()
	entries, err := verify(t, s)
	if err != nil {
		t.Errorf("the audit log is not what was written: %v", err)
	}
	return entries
}

// wantUnavailable fails where err is something else as well, which a caller would take for an answer.
func wantUnavailable(t *testing.T, what string, err error) {
	t.Helper()
	_, conflict := errors.AsType[*store.ConflictError](err)
	if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrNotFound) || conflict {
		t.Errorf("%s = %v, want ErrUnavailable alone", what, err)
	}
}

// TestNoRoomForEntries lets transactions arrive together that need no room themselves, while there is none for their
// entries in the audit log.
func TestNoRoomForEntries(t *testing.T) {
	s := openFilled(t, Options{Path: newPath(t), Migrate: true}, 10)
	rename := func(tx store.Tx, id int64) error {
		k, err := tx.Key(t.Context(), id)
		if err != nil {
			return err
		}
		k.Name = "renamed"
		return tx.UpdateKey(t.Context(), k)
	}
	large := plainEntry(1)
	large.Before = bytes.Repeat([]byte(`x`), 100_000)
	mine := errors.New("mine")
	fns := []struct {
		fn   func(tx store.Tx) error
		want error
	}{
		{func(tx store.Tx) error { return rename(tx, 1) }, store.ErrUnavailable}, // has no entry, and shares the commit
		{func(tx store.Tx) error { tx.Record(plainEntry(2)); return rename(tx, 2) }, store.ErrUnavailable},
		{func(tx store.Tx) error { tx.Record(large); return rename(tx, 3) }, store.ErrUnavailable},
		{func(tx store.Tx) error { tx.Record(plainEntry(4)); return nil }, store.ErrUnavailable},
		{func(tx store.Tx) error { tx.Record(plainEntry(5)); return mine }, store.ErrUnavailable}, // it may have seen the others
		{func(tx store.Tx) error { _, err := tx.Key(t.Context(), 1); return err }, store.ErrUnavailable},
	}
	pages := func(n string) {
		t.Helper()
		if _, err := s.session.conn.ExecContext(t.Context(), `PRAGMA max_page_count = `+n); err != nil {
			t.Fatal(err)
		}
	}
	together := func(want func(i int) error) {
		t.Helper()
		release := hold(t, s)
		var group sync.WaitGroup
		for i, f := range fns {
			group.Go(func() {
				if _, err := s.Update(t.Context(), f.fn); !errors.Is(err, want(i)) {
					t.Errorf("Update() of number %d = %v, want %v", i, err, want(i))
				}
			})
			waitForQueue(s, i+1)
		}
		release()
		group.Wait()
	}
	renamed := func(want int) {
		t.Helper()
		if got := count(t, s, `SELECT count(*) FROM api_keys WHERE key_name = 'renamed'`); got != want {
			t.Errorf("%d keys are renamed, want %d", got, want)
		}
	}

	pages("1") // as many as there are
	for range 2 {
		together(func(i int) error { return fns[i].want })
		renamed(0)
		if log := verified(t, s); len(log) != 0 {
			t.Errorf("the audit log holds %d entries, want none", len(log))
		}
	}
	if _, err := s.Update(t.Context(), fns[1].fn); err != nil { // a small entry has room
		t.Errorf("Update() with a small entry = %v", err)
	}
	pages("1000000")
	together(func(i int) error {
		if i == 4 {
			return mine
		}
		return nil
	})
	renamed(3)
	if log := verified(t, s); len(log) != 4 {
		t.Errorf("the audit log holds %d entries, want 4", len(log))
	}
}

// TestLogThatWasMeddledWith: what cannot be said in the log is not done, and nobody takes what is wrong with the log for
// an answer to what they did.
func TestLogThatWasMeddledWith(t *testing.T) {
	path := newPath(t)
	s := openFilled(t, Options{Path: path, Migrate: true}, 1)
	create := func(n int64) error {
		_, err := s.Update(t.Context(), func(tx store.Tx) error {
			id, err := tx.InsertKey(t.Context(), plainKey(), digestOf(n))
			tx.Record(plainEntry(id))
			return err
		})
		return err
	}
	if err := create(1); err != nil {
		t.Fatal(err)
	}
	db := plain(t, path)
	execute(t, db, `CREATE TABLE before AS SELECT * FROM audit_extent`)
	for name, meddle := range map[string]string{
		"the end is gone":      `DELETE FROM audit_extent`,
		"the end is no hash":   `UPDATE audit_extent SET last_hash = x'00'`,
		"the next id is taken": `INSERT INTO audit_log SELECT audit_id + 1, 0, NULL, NULL, NULL, '', '', NULL, NULL, NULL, NULL, 1, NULL, NULL, NULL, hash, hash FROM audit_log`,
	} {
		execute(t, db, meddle)
		wantUnavailable(t, name+": Update()", create(2))
		if _, err := s.RecordByDigest(t.Context(), digestOf(2)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: RecordByDigest() = %v: the key is there without an entry", name, err)
		}
		if err := addKeys(t.Context(), s, 100, 1); err != nil {
			t.Errorf("%s: Update() that records nothing = %v", name, err)
		}
		if _, err := s.Update(t.Context(), func(tx store.Tx) error { return tx.DeleteKey(t.Context(), newestKey(t, s)) }); err != nil {
			t.Errorf("%s: Update() that records nothing = %v", name, err)
		}
		execute(t, db, `DELETE FROM audit_log WHERE audit_id > 1`, `DELETE FROM audit_extent`,
			`INSERT INTO audit_extent SELECT * FROM before`)
	}
	if err := create(2); err != nil {
		t.Errorf("Update() with the log as it was = %v", err)
	}
	if log := verified(t, s); len(log) != 2 {
		t.Errorf("the audit log holds %d entries, want 2", len(log))
	}
}

func newestKey(t *testing.T, s *Store) int64 {
	t.Helper()
	keys, err := s.Keys(t.Context(), store.KeyQuery{Limit: 1})
	if err != nil || len(keys) != 1 {
		t.Fatalf("Keys() = %v, %v", keys, err)
	}
	return keys[0].ID
}

// TestLogWithGaps: entries that somebody has removed are missed, and keep nothing from working.
func TestLogWithGaps(t *testing.T) {
	path := newPath(t)
	s := openFilled(t, Options{Path: path, Migrate: true}, 0)
	at := time.Date(2026, 11, 22, 18, 54, 3, 0, time.UTC)
	const n = 100
	_, err := s.Update(t.Context(), func(tx store.Tx) error {
		for i := range n {
			e := plainEntry(int64(i))
			e.OccurredAt = at.Add(time.Duration(i) * time.Second) // entry i+1
			tx.Record(e)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// At the start, where bisection looks first, where pruning would end, and at the end.
	execute(t, plain(t, path), `DELETE FROM audit_log
		WHERE audit_id <= 2 OR audit_id BETWEEN 45 AND 55 OR audit_id IN (10, 20, 75) OR audit_id > 98`)
	if _, err := verify(t, s); err == nil {
		t.Error("nobody sees that entries are gone")
	}
	between := func(from, to int, want ...int64) {
		t.Helper()
		q := store.AuditQuery{From: at.Add(time.Duration(from) * time.Second), To: at.Add(time.Duration(to) * time.Second), Limit: n}
		log, err := s.AuditLog(t.Context(), q)
		var got []int64
		for _, e := range slices.Backward(log) {
			got = append(got, e.ID)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("entries of second %d to %d = %v, %v, want %v", from, to, got, err, want)
		}
	}
	between(0, 4, 3, 4)
	between(40, 50, 41, 42, 43, 44)
	between(40, 57, 41, 42, 43, 44, 56, 57)
	between(50, 57, 56, 57)
	between(73, 77, 74, 76, 77)
	between(95, 1000, 96, 97, 98)
	between(98, 1000)

	pruned := 0
	for range n {
		_, err := s.Update(t.Context(), func(tx store.Tx) error {
			n, err := tx.PruneAudit(t.Context(), at.Add(80*time.Second), 10)
			pruned += n
			return err
		})
		if err != nil {
			t.Fatalf("PruneAudit() = %v", err)
		}
	}
	if want := 80 - 2 - 11 - 3; pruned != want {
		t.Errorf("%d entries are pruned, want %d", pruned, want)
	}
	between(0, 83, 81, 82, 83)
	if _, err := verify(t, s); err == nil {
		t.Error("nobody sees that the last entries are gone")
	}
}
