package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

var sessionTests = []test{
	{"a session comes back as it was stored", sessionComesBack},
	{"a session needs a secret of its own and a user", sessionConflicts},
	{"sessions come newest first, in pages, those of one user", sessionsInPages},
	{"TouchSession moves LastUsedAt forward, never back", touchSession},
	{"DeleteSession ends one session", deleteSession},
	{"DeleteSessions ends all of a user's but one", deleteSessions},
	{"ids of sessions rise and are never given again", sessionIDsAreNew},
	{"DeleteEnded deletes sessions that are not used and links that have ended", deleteEnded},
}

// insertSession stores a session with a new secret.
func (w *world) insertSession(t *testing.T, s key.Session) (key.Session, key.Digest) {
	t.Helper()
	digest := w.digest()
	w.update(t, func(tx store.Tx) (err error) {
		s.ID, err = tx.InsertSession(t.Context(), s, digest)
		return err
	})
	return s, digest
}

// wantSession fails where the stored session is not want.
func (w *world) wantSession(t *testing.T, want key.Session) {
	t.Helper()
	if got, err := w.Session(t.Context(), want.ID); err != nil || got != want {
		t.Errorf("Session(%d) = %+v, %v, want %+v", want.ID, got, err, want)
	}
}

// wantNoSession fails where there is a session with this id.
func (w *world) wantNoSession(t *testing.T, id int64) {
	t.Helper()
	_, err := w.Session(t.Context(), id)
	wantIs(t, fmt.Sprintf("Session(%d)", id), err, store.ErrNotFound)
}

func sessionComesBack(t *testing.T, w *world) {
	elsewhere := time.FixedZone("", -9*3600)
	for _, want := range []key.Session{
		newSession(w.user),
		{UserID: w.otherUser, Method: key.ByOIDC, UserAgent: `𝕬 "q" '; DROP TABLE sessions; --`, CreatedAt: start,
			LastUsedAt: start.Add(time.Millisecond), ExpiresAt: start.Add(time.Hour)},
		{UserID: w.user, Method: key.ByLink, IP: "2001:db8::1", CreatedAt: start, LastUsedAt: start, ExpiresAt: start},
	} {
		given := want
		given.CreatedAt, given.LastUsedAt = given.CreatedAt.In(elsewhere), given.LastUsedAt.In(elsewhere)
		given, digest := w.insertSession(t, given)
		want.ID = given.ID
		w.wantSession(t, want)
		if got, err := w.SessionByDigest(t.Context(), digest); err != nil || got != want {
			t.Errorf("SessionByDigest() = %+v, %v, want %+v", got, err, want)
		}
		if list, err := w.Sessions(t.Context(), want.UserID, 0, 1); err != nil || len(list) != 1 || list[0] != want {
			t.Errorf("Sessions() = %+v, %v, want %+v", list, err, want)
		}
		digest[31] ^= 0x80
		_, err := w.SessionByDigest(t.Context(), digest)
		wantIs(t, "SessionByDigest of another secret", err, store.ErrNotFound)
	}
	for _, id := range []int64{0, -1, 1 << 40} {
		w.wantNoSession(t, id)
	}
	_, token := w.insert(t, w.key())
	_, err := w.SessionByDigest(t.Context(), token)
	wantIs(t, "SessionByDigest of a key's token", err, store.ErrNotFound)
}

func sessionConflicts(t *testing.T, w *world) {
	_, taken := w.insertSession(t, newSession(w.user))
	for _, c := range []struct {
		user   int64
		digest key.Digest
		want   store.Constraint
	}{{w.otherUser, taken, store.DigestTaken}, {1 << 40, w.digest(), store.NoReference}, {0, w.digest(), store.NoReference}} {
		_, err := w.Update(t.Context(), func(tx store.Tx) error {
			_, err := tx.InsertSession(t.Context(), newSession(c.user), c.digest)
			return err
		})
		wantConflict(t, fmt.Sprintf("InsertSession of user %d", c.user), err, c.want)
	}
	if s, err := w.SessionByDigest(t.Context(), taken); err != nil || s.UserID != w.user {
		t.Errorf("SessionByDigest() = %+v, %v, want that of user %d", s, err, w.user)
	}
}

func sessionsInPages(t *testing.T, w *world) {
	var want []int64
	w.update(t, func(tx store.Tx) error {
		want = want[:0]
		for i := range 24 {
			s := newSession([]int64{w.user, w.user, w.otherUser}[i%3])
			s.LastUsedAt = start.Add(time.Duration(i*7%10) * time.Minute) // is not what they are ordered by
			id, err := tx.InsertSession(t.Context(), s, key.Digest{0x5e, byte(i)})
			if s.UserID == w.user {
				want = append(want, id)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	slices.Reverse(want)
	for _, size := range []int{1, 5, 8, 16, 100} {
		var got []int64
		for before := int64(0); ; before = got[len(got)-1] {
			page, err := w.Sessions(t.Context(), w.user, before, size)
			if err != nil || len(page) > size {
				t.Fatalf("Sessions() = %d of %d, %v", len(page), size, err)
			}
			for _, s := range page {
				got = append(got, s.ID)
			}
			if len(page) < size {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("sessions in pages of %d = %v, want %v", size, got, want)
		}
	}
	if list, err := w.Sessions(t.Context(), 1<<40, 0, 10); err != nil || len(list) != 0 {
		t.Errorf("Sessions() of nobody = %+v, %v", list, err)
	}
	for _, limit := range []int{0, -1} {
		if list, err := w.Sessions(t.Context(), w.user, 0, limit); err == nil {
			t.Errorf("Sessions() with limit %d = %+v, want an error", limit, list)
		}
	}
}

func touchSession(t *testing.T, w *world) {
	s, _ := w.insertSession(t, newSession(w.user))
	bystander, _ := w.insertSession(t, newSession(w.user))
	touch := func(id int64, at time.Time) {
		t.Helper()
		wantChanges(t, w.update(t, func(tx store.Tx) error { return tx.TouchSession(t.Context(), id, at) }))
		w.wantSession(t, s)
		w.wantSession(t, bystander)
	}
	s.LastUsedAt = start.Add(time.Hour)
	touch(s.ID, s.LastUsedAt)
	touch(s.ID, start.Add(time.Minute))
	touch(s.ID, time.Time{})
	touch(1<<40, start.Add(time.Hour)) // one that is gone is no error
	s.LastUsedAt = start.Add(time.Hour + time.Millisecond)
	touch(s.ID, s.LastUsedAt)
}

func deleteSession(t *testing.T, w *world) {
	s, digest := w.insertSession(t, newSession(w.user))
	bystander, _ := w.insertSession(t, newSession(w.user))
	for range 2 { // one that is gone is no error
		wantChanges(t, w.update(t, func(tx store.Tx) error { return tx.DeleteSession(t.Context(), s.ID) }))
		w.wantNoSession(t, s.ID)
		_, err := w.SessionByDigest(t.Context(), digest)
		wantIs(t, "SessionByDigest", err, store.ErrNotFound)
		w.wantSession(t, bystander)
	}
}

func deleteSessions(t *testing.T, w *world) {
	other, _ := w.insertSession(t, newSession(w.otherUser))
	var mine []key.Session
	for range 4 {
		s, _ := w.insertSession(t, newSession(w.user))
		mine = append(mine, s)
	}
	del := func(except, want int64) {
		t.Helper()
		w.update(t, func(tx store.Tx) error {
			n, err := tx.DeleteSessions(t.Context(), w.user, except)
			if n != want {
				t.Errorf("DeleteSessions() = %d, want %d", n, want)
			}
			return err
		})
		w.wantSession(t, other)
	}
	del(mine[1].ID, 3)
	w.wantSession(t, mine[1])
	for _, i := range []int{0, 2, 3} {
		w.wantNoSession(t, mine[i].ID)
	}
	del(mine[1].ID, 0)
	again, _ := w.insertSession(t, newSession(w.user))
	del(0, 2)
	w.wantNoSession(t, mine[1].ID)
	w.wantNoSession(t, again.ID)
	last, _ := w.insertSession(t, newSession(w.user))
	del(other.ID, 1) // one of somebody else's excepts none
	w.wantNoSession(t, last.ID)
}

func sessionIDsAreNew(t *testing.T, w *world) {
	highest := int64(0)
	for range 3 {
		s, _ := w.insertSession(t, newSession(w.user))
		if s.ID <= highest {
			t.Errorf("id = %d after %d", s.ID, highest)
		}
		highest = s.ID
		w.update(t, func(tx store.Tx) error { return tx.DeleteSession(t.Context(), s.ID) })
	}
}

func deleteEnded(t *testing.T, w *world) {
	now, unused := start.Add(24*time.Hour), start.Add(12*time.Hour)
	sessions := map[time.Duration]key.Session{} // by when they were last used, seen from unused
	for _, since := range []time.Duration{-time.Hour, -time.Millisecond, 0, time.Hour} {
		s := newSession(w.user)
		s.LastUsedAt = unused.Add(since)
		sessions[since], _ = w.insertSession(t, s)
	}
	links := map[time.Duration]key.Digest{} // by when they end, seen from now
	for _, since := range []time.Duration{-time.Hour, -time.Millisecond, 0, time.Hour} {
		l := newLink(w.user)
		l.ExpiresAt, links[since] = now.Add(since), w.digest()
		w.update(t, func(tx store.Tx) error { return tx.InsertLink(t.Context(), l, links[since]) })
	}
	for _, want := range []int64{4, 0} {
		w.update(t, func(tx store.Tx) error {
			n, err := tx.DeleteEnded(t.Context(), unused, now)
			if n != want {
				t.Errorf("DeleteEnded() = %d, want %d", n, want)
			}
			return err
		})
	}
	for since, s := range sessions {
		if since < 0 {
			w.wantNoSession(t, s.ID)
		} else {
			w.wantSession(t, s)
		}
	}
	for since, digest := range links {
		if there := w.takeLink(t, digest); there != (since >= 0) {
			t.Errorf("the link that ends %v after now is there: %v", since, there)
		}
	}
}
