package postgres

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
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

// Turns that share a transaction see what those before them have done, also about who somebody is.
func TestTurnsSeeWhatOthersDid(t *testing.T) {
	dsn := postgrestest.NewDatabase(t)
	s := openFilled(t, dsn, 3)
	var order []string
	var group sync.WaitGroup
	queue := func(what string, do func(store.Tx, key.Identity) error) {
		t.Helper()
		before := s.writer.Waiting()
		group.Go(func() {
			if _, err := s.Update(t.Context(), func(tx store.Tx) error {
				id, err := tx.Identity(t.Context(), 1, digestOf(1), 1)
				if err != nil {
					return err
				}
				order = append(order, what)
				return do(tx, id)
			}); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		})
		for s.writer.Waiting() == before {
			runtime.Gosched()
		}
	}
	want := func(enabled bool, role key.Role, then func(store.Tx) error) func(store.Tx, key.Identity) error {
		return func(tx store.Tx, id key.Identity) error {
			if id.Key == nil || id.Key.KeyID != 2 || id.Key.Enabled != enabled || id.Standing.Role != role {
				t.Errorf("Identity() = %+v (%+v), want enabled %v, role %v", id, id.Key, enabled, role)
			}
			return then(tx)
		}
	}
	add := func(n int64) func(store.Tx) error {
		return func(tx store.Tx) error {
			id, err := tx.InsertKey(t.Context(), plainKey(), digestOf(n))
			tx.Record(plainEntry(id))
			return err
		}
	}
	release := hold(t, s)
	queue("a create", want(true, key.Owner, add(100)))
	queue("another one", want(true, key.Owner, add(101)))
	queue("a demotion", want(true, key.Owner, func(tx store.Tx) error { return tx.UpdateMember(t.Context(), 1, 1, key.Viewer) }))
	queue("a create by who was demoted", want(true, key.Viewer, add(102)))
	queue("a disabling", want(true, key.Viewer, func(tx store.Tx) error {
		k, err := tx.Key(t.Context(), 2)
		if err != nil {
			return err
		}
		k.Enabled = false
		return tx.UpdateKey(t.Context(), k)
	}))
	queue("a use of what was disabled", want(false, key.Viewer, func(tx store.Tx) error { return tx.DeleteKey(t.Context(), 2) }))
	queue("a use of what was deleted", func(tx store.Tx, id key.Identity) error {
		if id.Key != nil {
			t.Errorf("Identity() = %+v, want no key", id.Key)
		}
		return add(103)(tx)
	})
	release()
	group.Wait()
	if len(order) != 7 {
		t.Errorf("%q", order)
	}
	checkChain(t, s)
}

// One that fails is undone alone, and those before it run once more, together.
func TestArrivingTogetherFailsAlone(t *testing.T) {
	dsn := postgrestest.NewDatabase(t)
	proxy := postgrestest.NewProxy(t, postgrestest.Address(t, dsn))
	s := openFilled(t, proxy.URL(t, dsn), 1)
	var commits atomic.Int64
	proxy.OnStatement(func(statement string) postgrestest.Fault {
		if statement == "COMMIT" {
			commits.Add(1)
		}
		return postgrestest.Pass
	})
	release := hold(t, s)
	var group sync.WaitGroup
	const n = 60
	for i := range int64(n) {
		group.Go(func() {
			_, err := s.Update(t.Context(), func(tx store.Tx) error {
				if i%10 == 0 {
					return tx.InsertMember(t.Context(), key.Membership{OrganizationID: 1, UserID: 1, Role: key.Member, CreatedAt: time.Now()})
				}
				id, err := tx.InsertKey(t.Context(), plainKey(), digestOf(100+i))
				tx.Record(plainEntry(id))
				return err
			})
			conflict, ok := errors.AsType[*store.ConflictError](err)
			if i%10 != 0 && err != nil || i%10 == 0 && (!ok || conflict.Constraint != store.MemberExists) {
				t.Errorf("Update() %d = %v", i, err)
			}
		})
	}
	for s.writer.Waiting() < n {
		runtime.Gosched()
	}
	release()
	group.Wait()
	if got := commits.Load(); got > 1+2*n/10 {
		t.Errorf("%d commits for %d that succeed and %d that fail", got, n*9/10, n/10)
	}
	keys, err := s.Keys(t.Context(), store.KeyQuery{Limit: 1000})
	if err != nil || len(keys) != 1+n*9/10 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	checkChain(t, s)
}

// A key is added when nobody waits for it any more. Where that fails, it costs its own turn alone, and no id comes twice or out of order.
func TestAKeyThatFailsLate(t *testing.T) {
	const n = 20 // ids are taken for keys 0, 1, 4 and 16
	for name, c := range map[string]struct {
		taken int64
		last  func(store.Tx) error
	}{
		"with more ids":     {7, func(store.Tx) error { return nil }},
		"with the commit":   {17, func(store.Tx) error { return nil }},
		"with a statement":  {17, func(tx store.Tx) error { return tx.SetSignedIn(t.Context(), 1, time.Now()) }},
		"with a read":       {17, func(tx store.Tx) error { _, err := tx.User(t.Context(), 1); return err }},
		"with a new change": {17, func(tx store.Tx) error { return tx.DeleteKey(t.Context(), 2) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := openFilled(t, postgrestest.NewDatabase(t), 3)
			release := hold(t, s)
			var group sync.WaitGroup
			ids := make([]int64, n)
			for i := range int64(n) {
				before := s.writer.Waiting()
				group.Go(func() {
					digest := digestOf(100 + i)
					if i == c.taken {
						digest = digestOf(0) // it is taken
					}
					_, err := s.Update(t.Context(), func(tx store.Tx) (err error) {
						if i == n-1 {
							return c.last(tx)
						}
						ids[i], err = tx.InsertKey(t.Context(), plainKey(), digest)
						tx.Record(plainEntry(ids[i]))
						return err
					})
					conflict, ok := errors.AsType[*store.ConflictError](err)
					if i != c.taken && err != nil || i == c.taken && (!ok || conflict.Constraint != store.DigestTaken) {
						t.Errorf("Update() %d = %v", i, err)
					}
				})
				for s.writer.Waiting() == before {
					runtime.Gosched()
				}
			}
			release()
			group.Wait()
			for i, id := range ids[:n-1] {
				i := int64(i)
				k, err := s.Key(t.Context(), id)
				if i == c.taken && !errors.Is(err, store.ErrNotFound) || i != c.taken && (err != nil || k.ID != id || i > 0 && id <= ids[i-1]) {
					t.Errorf("key %d after key %d: %v", id, ids[max(i-1, 0)], err)
				}
			}
			checkChain(t, s)
		})
	}
}

// Whoever was lost twice has an answer all the same, and so have those behind.
func TestLostTwice(t *testing.T) {
	dsn := postgrestest.NewDatabase(t)
	s := openFilled(t, dsn, 1)
	release := hold(t, s)
	var group sync.WaitGroup
	runs := make([]int, 6)
	for i := range runs {
		before := s.writer.Waiting()
		group.Go(func() {
			_, err := s.Update(t.Context(), func(tx store.Tx) error {
				runs[i]++
				if i == 2 && runs[i] == 2 {
					terminate(t, s, dsn)
					if _, err := tx.User(t.Context(), 1); err != nil {
						return err
					}
				}
				if i == 4 {
					return tx.InsertMember(t.Context(), key.Membership{OrganizationID: 1, UserID: 1, Role: key.Member, CreatedAt: time.Now()})
				}
				id, err := tx.InsertKey(t.Context(), plainKey(), digestOf(100+int64(i)))
				tx.Record(plainEntry(id))
				return err
			})
			_, conflict := errors.AsType[*store.ConflictError](err)
			switch {
			case i == 2 && !errors.Is(err, store.ErrUnavailable), i == 4 && !conflict, i != 2 && i != 4 && err != nil:
				t.Errorf("Update() %d = %v", i, err)
			}
		})
		for s.writer.Waiting() == before {
			runtime.Gosched()
		}
	}
	release()
	group.Wait()
	for i, want := range []int{3, 3, 2, 2, 1, 1} {
		if runs[i] != want {
			t.Errorf("call %d ran %d times, want %d", i, runs[i], want)
		}
	}
	checkChain(t, s)
}
