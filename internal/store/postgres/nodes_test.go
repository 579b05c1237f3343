package postgres

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
)

// change makes a change of the key with the token of number n, and returns the number of the change.
func change(t *testing.T, s *Store, n int64) int64 {
	t.Helper()
	changes, err := s.Update(t.Context(), func(tx store.Tx) error {
		r, err := tx.RecordByDigest(t.Context(), digestOf(n))
		if err != nil {
			return err
		}
		return tx.Recall(t.Context(), r.KeyID)
	})
	if err != nil || len(changes) != 1 {
		t.Fatalf("Update() = %v, %v", changes, err)
	}
	return changes[0].ID
}

func joined(t *testing.T, s *Store, n store.Node) store.Node {
	t.Helper()
	n.Lease = time.Second
	n, err := s.Join(t.Context(), n)
	if err != nil {
		t.Fatalf("Join() = %v", err)
	}
	return n
}

// TestRenew holds what a renewal needs and brings.
func TestRenew(t *testing.T) {
	dsn := postgrestest.NewDatabase(t)
	s := openFilled(t, dsn, 1)
	first := change(t, s, 0)
	const id = 1<<53 - 1
	n := joined(t, s, store.Node{ID: id, Name: "n"})
	if n.ID != id || n.Applied != first || n.History == "" {
		t.Fatalf("Join() = %+v, want change %d", n, first)
	}
	if _, err := s.Join(t.Context(), store.Node{ID: id}); err == nil {
		t.Error("two nodes have one id")
	}
	renew := func(n store.Node, oldest, beat int64, wantKnown bool, want ...key.Digest) store.Feed {
		t.Helper()
		feed, known, err := s.Renew(t.Context(), n, oldest, beat, false)
		if err != nil || known != wantKnown || feed.History != n.History && wantKnown {
			t.Fatalf("Renew() = %+v, %v, %v", feed, known, err)
		}
		if known && (!slices.Equal(feed.Digests, want) || feed.Gap) {
			t.Errorf("Renew() = %+v, want %v", feed, want)
		}
		return feed
	}
	renew(n, 0, 1, true)
	renew(n, 0, 1, false) // the same once more
	renew(n, 0, 3, true)  // the answer to the second was lost
	renew(n, 1, 2, false) // it comes late
	renew(n, 4, 5, false) // the database has gone back

	last := change(t, s, 0)
	if behind, err := s.Behind(t.Context(), last, 0); err != nil || len(behind) != 1 || behind[0].Beat != 3 {
		t.Errorf("Behind() = %+v, %v", behind, err)
	}
	feed := renew(n, 3, 4, true, digestOf(0))
	if behind, err := s.Behind(t.Context(), last, 0); err != nil || len(behind) != 1 || feed.Last != last {
		t.Errorf("Behind() = %+v, %v: what was only told is not applied", behind, err)
	}
	n.Applied = feed.Last
	renew(n, 4, 5, true)
	if behind, err := s.Behind(t.Context(), last, 0); err != nil || len(behind) != 0 {
		t.Errorf("Behind() = %+v, %v", behind, err)
	}

	other := n
	other.History = "0000007F"
	renew(other, 5, 6, false)
	for ahead, gap := range map[int64]bool{-last: true, 0: false, 1: true} {
		if err := s.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		feed, err := s.Follow(t.Context(), last+ahead)
		if err != nil || feed.Gap != gap || feed.Last != last || feed.History != n.History {
			t.Errorf("Follow(%d) = %+v, %v, want a gap: %v", last+ahead, feed, err, gap)
		}
	}
	if err := s.Leave(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	renew(n, 0, 100, false)
}

// An acknowledgement need not wait for the disk where it is in a hurry; what grants a lease does.
func TestRenewInAHurry(t *testing.T) {
	dsn := postgrestest.NewDatabase(t)
	s := openFilled(t, dsn, 1)
	conn := plain(t, dsn)
	execute(t, conn, `CREATE TABLE waits (way TEXT NOT NULL)`)
	execute(t, conn, `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO waits VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$`)
	n := joined(t, s, store.Node{ID: 1})
	execute(t, conn, `CREATE CONSTRAINT TRIGGER note AFTER UPDATE ON nodes DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note()`)
	for beat, hurry := range []bool{false, true, false, true} {
		if beat < 2 {
			n.Applied = change(t, s, 0)
		}
		if _, known, err := s.Renew(t.Context(), n, 0, int64(beat+1), hurry); err != nil || !known {
			t.Fatalf("Renew() = %v, %v", known, err)
		}
	}
	rows, err := conn.Query(t.Context(), `SELECT way FROM waits`)
	if err != nil {
		t.Fatal(err)
	}
	// The last one in a hurry has nothing to acknowledge.
	if got, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || !slices.Equal(got, []string{"on", "off", "on", "on"}) {
		t.Errorf("renewals were committed with %v (error %v)", got, err)
	}
}

// TestServerThatTakesOverHasAnotherHistory: whatever a node has read from the one before, it is not taken for one of the new one's.
func TestServerThatTakesOverHasAnotherHistory(t *testing.T) {
	t.Parallel()
	primary := postgrestest.Start(t)
	dsn := primary.NewDatabase(t)
	s := openFilled(t, dsn, 1)
	n := joined(t, s, store.Node{ID: 1})
	standby := primary.Standby(t)
	primary.Set(t, "synchronous_standby_names", "*")
	last := change(t, s, 0)
	if _, known, err := s.Renew(t.Context(), n, 0, 1, false); err != nil || !known {
		t.Fatalf("Renew() = %v, %v", known, err)
	}
	primary.Kill(t)
	standby.Promote(t)
	s = open(t, standby.URL(databaseOf(t, dsn)))
	feed, known, err := s.Renew(t.Context(), n, 1, 2, false)
	if err != nil || known || feed.History <= n.History || feed.Last != last {
		t.Errorf("Renew() = %+v, %v, %v; the node has joined history %q", feed, known, err, n.History)
	}
	n.History = feed.History
	if _, known, err := s.Renew(t.Context(), n, 1, 2, false); err != nil || !known {
		t.Errorf("Renew() with the new history = %v, %v", known, err)
	}
}
