package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

var updateTests = []test{
	{"a transaction sees what it has done, nobody else does", readsItsWrites},
	{"what fails leaves nothing behind", failureLeavesNothing},
	{"after a failed write nothing can be kept", failedWriteEndsIt},
	{"what was read is still so at the commit", serializable},
	{"transactions that arrive together succeed and fail alone", failAlone},
	{"64 goroutines that create", manyCreate},
	{"a context ends the wait for a turn", contextEndsWait},
	{"a context does not end what has begun", contextDoesNotEndTurn},
	{"a panic comes back and harms nobody", panics},
	{"a goroutine that ends harms nobody", goroutineEnds},
	{"a transaction that is over does nothing", useAfterEnd},
	{"all methods at once", everythingAtOnce},
}

func readsItsWrites(t *testing.T, w *world) {
	digest := w.digest()
	var id int64
	w.update(t, func(tx store.Tx) error {
		k := w.key()
		var err error
		if id, err = tx.InsertKey(t.Context(), k, digest); err != nil {
			return err
		}
		k.ID = id
		got, err := tx.Key(t.Context(), id)
		if err != nil {
			return err
		}
		sameKey(t, got, k)
		page, err := tx.Keys(t.Context(), store.KeyQuery{OrganizationID: w.organization, Limit: 10})
		if err != nil || len(page) != 1 {
			t.Errorf("Keys inside of the transaction = %v, %v", page, err)
		}
		user, err := tx.InsertUser(t.Context(), newUser("new@example.com"))
		if err != nil {
			return err
		}
		if _, err := tx.User(t.Context(), user); err != nil {
			t.Errorf("User inside of the transaction = %v", err)
		}
		if s, err := tx.Standing(t.Context(), user, w.organization); err != nil || !s.OrganizationExists {
			t.Errorf("Standing inside of the transaction = %+v, %v", s, err)
		}
		k.Enabled = false
		if err := tx.UpdateKey(t.Context(), k); err != nil {
			return err
		}
		if got, err := tx.Key(t.Context(), id); err != nil || got.Enabled {
			t.Errorf("Key after UpdateKey = %+v, %v", got, err)
		}

		_, err = w.Key(t.Context(), id)
		wantIs(t, "Key outside of the transaction", err, store.ErrNotFound)
		_, err = w.RecordByDigest(t.Context(), digest)
		wantIs(t, "RecordByDigest outside of the transaction", err, store.ErrNotFound)
		return nil
	})
	if w.mustGet(t, id).Enabled {
		t.Error("the change is not there after the commit")
	}
}

var errMine = errors.New("mine")

func failureLeavesNothing(t *testing.T, w *world) {
	k, old := w.insert(t, w.key())
	digest := w.digest()
	var id int64
	changes, err := w.Update(t.Context(), func(tx store.Tx) (err error) {
		if id, err = tx.InsertKey(t.Context(), w.key(), digest); err != nil {
			return err
		}
		if err := tx.DeleteKey(t.Context(), k.ID); err != nil {
			return err
		}
		return errMine
	})
	if err != errMine { // as it is
		t.Errorf("error = %v, want that of the function", err)
	}
	wantChanges(t, changes)
	_, err = w.Key(t.Context(), id)
	wantIs(t, "Key", err, store.ErrNotFound)
	_, err = w.RecordByDigest(t.Context(), digest)
	wantIs(t, "RecordByDigest", err, store.ErrNotFound)
	w.wantKey(t, k)
	w.mustRecord(t, old)
}

func failedWriteEndsIt(t *testing.T, w *world) {
	k, _ := w.insert(t, w.key())
	_, err := w.Update(t.Context(), func(tx store.Tx) error {
		if err := tx.DeleteKey(t.Context(), k.ID); err != nil {
			return err
		}
		_, err := tx.InsertUser(t.Context(), newUser("ada@example.com"))
		wantConflict(t, "InsertUser", err, store.EmailTaken)
		if _, err := tx.InsertKey(t.Context(), w.key(), w.digest()); err == nil {
			t.Error("InsertKey after a failed write succeeds")
		}
		return nil
	})
	wantConflict(t, "Update", err, store.EmailTaken)
	w.wantKey(t, k)
}

// serializable lets many transactions read a counter and write it back one higher: none may be lost.
func serializable(t *testing.T, w *world) {
	k, _ := w.insert(t, w.key())
	const writers, each = 8, 10
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range each {
				_, err := w.Update(t.Context(), func(tx store.Tx) error {
					k, err := tx.Key(t.Context(), k.ID)
					if err != nil {
						return err
					}
					k.ExpiresAt = k.ExpiresAt.Add(time.Second)
					return tx.UpdateKey(t.Context(), k)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if got, want := w.mustGet(t, k.ID).ExpiresAt, k.ExpiresAt.Add(writers*each*time.Second); !got.Equal(want) {
		t.Errorf("%v of %d transactions are there", got.Sub(k.ExpiresAt)/time.Second, writers*each)
	}
}

// failAlone sends transactions while another one holds the turn, so that they arrive together.
func failAlone(t *testing.T, w *world) {
	hold, release := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := w.Update(t.Context(), func(store.Tx) error { close(hold); <-release; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-hold
	const n = 60
	type result struct {
		id  int64
		err error
	}
	results := make([]result, n)
	digests := make([]key.Digest, n)
	for i := range n {
		digests[i] = w.digest()
		group.Go(func() {
			r := &results[i]
			defer func() {
				if p := recover(); p != nil {
					r.err = fmt.Errorf("panic: %v", p)
				}
			}()
			_, r.err = w.Update(t.Context(), func(tx store.Tx) (err error) {
				if i%6 == 1 {
					return errMine // before it wrote
				}
				if r.id, err = tx.InsertKey(t.Context(), w.key(), digests[i]); err != nil {
					return err
				}
				switch i % 6 {
				case 2:
					return errMine // after it wrote
				case 3:
					_, err := tx.InsertUser(t.Context(), newUser("ADA@example.com"))
					return err
				case 4:
					panic("mine")
				}
				return nil
			})
		})
	}
	close(release)
	group.Wait()
	for i, r := range results {
		_, err := w.RecordByDigest(t.Context(), digests[i])
		switch i % 6 {
		case 0, 5:
			if r.err != nil || err != nil {
				t.Errorf("transaction %d: %v, then RecordByDigest: %v, want none", i, r.err, err)
			}
			continue
		case 1, 2:
			if r.err != errMine {
				t.Errorf("transaction %d: %v, want its own error", i, r.err)
			}
		case 3:
			wantConflict(t, fmt.Sprintf("transaction %d", i), r.err, store.EmailTaken)
		case 4:
			if r.err == nil || r.err.Error() != "panic: mine" {
				t.Errorf("transaction %d: %v, want its panic", i, r.err)
			}
		}
		wantIs(t, fmt.Sprintf("transaction %d failed: RecordByDigest", i), err, store.ErrNotFound)
	}
}

func manyCreate(t *testing.T, w *world) {
	const goroutines, each = 64, 8
	var mu sync.Mutex
	created := map[int64]key.Digest{}
	var group sync.WaitGroup
	for g := range goroutines {
		group.Go(func() {
			for i := range each {
				digest := key.Digest{0xc0, byte(g), byte(i)}
				var id int64
				_, err := w.Update(t.Context(), func(tx store.Tx) (err error) {
					if _, err := tx.Standing(t.Context(), w.user, w.organization); err != nil {
						return err
					}
					id, err = tx.InsertKey(t.Context(), w.key(), digest)
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
				if rec, err := w.RecordByDigest(t.Context(), digest); err != nil || rec.KeyID != id {
					t.Errorf("RecordByDigest after Update = %+v, %v, want key %d", rec, err, id)
				}
				mu.Lock()
				if _, twice := created[id]; twice {
					t.Errorf("id %d was given twice", id)
				}
				created[id] = digest
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if len(created) != goroutines*each {
		t.Errorf("%d keys, want %d", len(created), goroutines*each)
	}
}

func contextEndsWait(t *testing.T, w *world) {
	hold, release := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := w.Update(t.Context(), func(store.Tx) error { close(hold); <-release; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-hold
	ran := false
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := w.Update(ctx, func(store.Tx) error { ran = true; return nil })
		done <- err
	}()
	cancel()
	err := <-done // while the other one still has the turn
	wantIs(t, "Update", err, context.Canceled)
	wantIs(t, "Update", err, store.ErrUnavailable)
	close(release)
	group.Wait()
	for range 20 { // nor where it had ended before, and the turn is free
		_, err := w.Update(ctx, func(store.Tx) error { ran = true; return nil })
		wantIs(t, "Update", err, context.Canceled)
	}
	w.update(t, func(store.Tx) error { return nil })
	if ran {
		t.Error("the function ran although its context had ended")
	}
}

func contextDoesNotEndTurn(t *testing.T, w *world) {
	ctx, cancel := context.WithCancel(t.Context())
	var id int64
	_, err := w.Update(ctx, func(tx store.Tx) (err error) {
		cancel()
		id, err = tx.InsertKey(ctx, w.key(), w.digest())
		return err
	})
	if err != nil {
		t.Fatalf("Update() = %v, want the outcome", err)
	}
	w.mustGet(t, id)
}

func panics(t *testing.T, w *world) {
	digest := w.digest()
	type mine struct{ n int }
	func() {
		defer func() {
			if p := recover(); p != (mine{7}) {
				t.Errorf("recovered %v, want the value of the panic", p)
			}
		}()
		w.Update(t.Context(), func(tx store.Tx) error {
			if _, err := tx.InsertKey(t.Context(), w.key(), digest); err != nil {
				t.Error(err)
			}
			panic(mine{7})
		})
		t.Error("Update returned")
	}()
	_, err := w.RecordByDigest(t.Context(), digest)
	wantIs(t, "RecordByDigest", err, store.ErrNotFound)
	w.insert(t, w.key())
}

func goroutineEnds(t *testing.T, w *world) {
	digest := w.digest()
	var group sync.WaitGroup
	group.Go(func() {
		w.Update(t.Context(), func(tx store.Tx) error {
			if _, err := tx.InsertKey(t.Context(), w.key(), digest); err != nil {
				t.Error(err)
			}
			runtime.Goexit()
			return nil
		})
	})
	group.Wait()
	_, err := w.RecordByDigest(t.Context(), digest)
	wantIs(t, "RecordByDigest", err, store.ErrNotFound)
	w.insert(t, w.key())
}

func useAfterEnd(t *testing.T, w *world) {
	var leaked store.Tx
	w.update(t, func(tx store.Tx) error { leaked = tx; return nil })
	if _, err := leaked.InsertKey(t.Context(), w.key(), w.digest()); err == nil {
		t.Error("InsertKey of a transaction that is over succeeds")
	}
	if _, err := leaked.Key(t.Context(), 1); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("Key of a transaction that is over = %v", err)
	}
	if keys, err := w.Keys(t.Context(), store.KeyQuery{Limit: 1}); err != nil || len(keys) != 0 {
		t.Errorf("Keys() = %v, %v, want none", keys, err)
	}
}

func everythingAtOnce(t *testing.T, w *world) {
	calls := w.reads(t.Context(), t)
	k, _ := w.insert(t, w.key())
	calls["Update"] = func() error {
		_, err := w.Update(t.Context(), func(tx store.Tx) error {
			tx.Record(w.entry())
			return tx.UpdateKey(t.Context(), k)
		})
		return err
	}
	var group sync.WaitGroup
	for name, call := range calls {
		for range 2 {
			group.Go(func() {
				for range 20 {
					if err := call(); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			})
		}
	}
	group.Wait()
}
