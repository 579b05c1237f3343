package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

var linkTests = []test{
	{"a link comes back as it was stored, once", linkComesBackOnce},
	{"a link that many take at once is taken by one", linkTakenByOne},
	{"a link that was taken by what fails can be taken again", linkTakenInVain},
	{"a link needs a secret of its own and a user", linkConflicts},
	{"the newest few links of a user are kept", newestLinks},
	{"DeleteLinks deletes all of a user's", deleteLinks},
}

// insertLink stores a link with a new secret.
func (w *world) insertLink(t *testing.T, l key.Link) key.Digest {
	t.Helper()
	digest := w.digest()
	w.update(t, func(tx store.Tx) error { return tx.InsertLink(t.Context(), l, digest) })
	return digest
}

// takeLink takes a link and reports whether it was there.
func (w *world) takeLink(t *testing.T, digest key.Digest) (there bool) {
	t.Helper()
	w.update(t, func(tx store.Tx) error {
		_, err := tx.TakeLink(t.Context(), digest)
		there = err == nil
		if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return err
	})
	return there
}

func linkComesBackOnce(t *testing.T, w *world) {
	want := newLink(w.user)
	given := want
	given.CreatedAt = given.CreatedAt.In(time.FixedZone("", 3600))
	digest := w.insertLink(t, given)
	near := digest
	near[31] ^= 0x80
	if w.takeLink(t, near) {
		t.Error("a link is taken with another secret")
	}
	w.update(t, func(tx store.Tx) error {
		got, err := tx.TakeLink(t.Context(), digest)
		if got != want {
			t.Errorf("TakeLink() = %+v, want %+v", got, want)
		}
		_, again := tx.TakeLink(t.Context(), digest)
		wantIs(t, "TakeLink again in the same transaction", again, store.ErrNotFound)
		return err
	})
	_, err := w.Update(t.Context(), func(tx store.Tx) error {
		_, err := tx.TakeLink(t.Context(), digest)
		return err
	})
	wantIs(t, "TakeLink again", err, store.ErrNotFound)

	ended := newLink(w.user)
	ended.ExpiresAt = start.AddDate(-1, 0, 0)
	if !w.takeLink(t, w.insertLink(t, ended)) {
		t.Error("a link that has ended is not found: to look at the time is not for the store")
	}
}

func linkTakenByOne(t *testing.T, w *world) {
	digest := w.insertLink(t, newLink(w.user))
	var mu sync.Mutex
	taken := 0
	var group sync.WaitGroup
	for range 32 {
		group.Go(func() {
			_, err := w.Update(t.Context(), func(tx store.Tx) error {
				_, err := tx.TakeLink(t.Context(), digest)
				return err
			})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				taken++
			} else {
				wantIs(t, "TakeLink", err, store.ErrNotFound)
			}
		})
	}
	group.Wait()
	if taken != 1 {
		t.Errorf("%d have taken the link, want 1", taken)
	}
}

func linkTakenInVain(t *testing.T, w *world) {
	digest := w.insertLink(t, newLink(w.user))
	_, err := w.Update(t.Context(), func(tx store.Tx) error {
		if _, err := tx.TakeLink(t.Context(), digest); err != nil {
			return err
		}
		return errMine
	})
	wantIs(t, "Update", err, errMine)
	if !w.takeLink(t, digest) {
		t.Error("the link is gone")
	}
}

func linkConflicts(t *testing.T, w *world) {
	taken := w.insertLink(t, newLink(w.user))
	for _, c := range []struct {
		user   int64
		digest key.Digest
		want   store.Constraint
	}{{w.otherUser, taken, store.DigestTaken}, {1 << 40, w.digest(), store.NoReference}} {
		_, err := w.Update(t.Context(), func(tx store.Tx) error { return tx.InsertLink(t.Context(), newLink(c.user), c.digest) })
		wantConflict(t, "InsertLink", err, c.want)
	}
	if !w.takeLink(t, taken) {
		t.Error("the link is gone")
	}
}

// manyMore is more than are kept of a user's links, or devices.
const manyMore = 30

// keepsNewest adds many, with times by different clocks, and fails where not a few of them are kept: the newest, and the
// last that was added in any case.
func keepsNewest(t *testing.T, add func(at time.Time) key.Digest, there func(key.Digest) bool) {
	t.Helper()
	var all []key.Digest
	addMany := func(clock string, at func(i int) time.Time) (kept int) {
		t.Helper()
		for i := range manyMore {
			all = append(all, add(at(i)))
			if !there(all[len(all)-1]) {
				t.Errorf("%s: number %d is gone as soon as it was added", clock, i)
			}
		}
		for _, d := range all {
			if there(d) {
				kept++
			}
		}
		if kept < 2 || kept > manyMore/2 {
			t.Errorf("%s: %d are kept, want a few", clock, kept)
		}
		return kept
	}
	kept := addMany("a clock that goes on", func(i int) time.Time { return start.Add(time.Duration(i) * time.Millisecond) })
	for i, d := range all {
		if there(d) != (i >= len(all)-kept) {
			t.Errorf("%d of %d are kept; number %d is: %v", kept, len(all), i, there(d))
		}
	}
	addMany("a clock that stands", func(int) time.Time { return start.AddDate(1, 0, 0) })
	addMany("a clock that is set back", func(i int) time.Time { return start.AddDate(0, 0, -i) })
}

func newestLinks(t *testing.T, w *world) {
	other := w.insertLink(t, newLink(w.otherUser))
	keepsNewest(t, func(at time.Time) key.Digest {
		return w.insertLink(t, key.Link{UserID: w.user, CreatedAt: at, ExpiresAt: at.Add(key.LinkLifetime)})
	}, func(digest key.Digest) (there bool) {
		_, err := w.Update(t.Context(), func(tx store.Tx) error {
			_, err := tx.TakeLink(t.Context(), digest)
			there = err == nil
			return errMine // leaves it where it is
		})
		wantIs(t, "Update", err, errMine)
		return there
	})
	if !w.takeLink(t, other) {
		t.Error("somebody else's link is gone")
	}
}

func deleteLinks(t *testing.T, w *world) {
	mine := []key.Digest{w.insertLink(t, newLink(w.user)), w.insertLink(t, newLink(w.user))}
	other := w.insertLink(t, newLink(w.otherUser))
	for range 2 { // to have none is no error
		w.update(t, func(tx store.Tx) error { return tx.DeleteLinks(t.Context(), w.user) })
	}
	for _, digest := range mine {
		if w.takeLink(t, digest) {
			t.Error("a link is left")
		}
	}
	if !w.takeLink(t, other) {
		t.Error("somebody else's link is gone")
	}
}
