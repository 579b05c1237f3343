package storetest

import (
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

var tokenTests = []test{
	{"a record says what a check needs", recordComesBack},
	{"an unknown token is not found", recordNotFound},
	{"a record sees every change whose Update has returned", recordSeesChanges},
	{"a record does not wait for an Update, and sees nothing of it", recordDoesNotWait},
	{"ReplaceToken at once", replaceAtOnce},
	{"ReplaceToken with grace", replaceWithGrace},
	{"ReplaceToken never prolongs a token", replaceNeverProlongs},
	{"DeleteToken", deleteToken},
	{"DeleteToken of a token that nobody has", deleteUnknownToken},
}

func (w *world) mustRecord(t *testing.T, digest key.Digest) *key.Record {
	t.Helper()
	rec, err := w.RecordByDigest(t.Context(), digest)
	if err != nil {
		t.Fatalf("RecordByDigest(%v) = %v", digest, err)
	}
	return rec
}

func recordOf(k key.Key) key.Record {
	return key.Record{KeyID: k.ID, OrganizationID: k.OrganizationID, UserID: k.UserID, Name: k.Name, Scopes: k.Scopes,
		Enabled: k.Enabled, ExpiresAt: key.MillisOf(k.ExpiresAt), Metadata: string(k.Metadata)}
}

func recordComesBack(t *testing.T, w *world) {
	k, digest := w.insert(t, w.key())
	if got, want := *w.mustRecord(t, digest), recordOf(k); got != want {
		t.Errorf("record = %+v, want %+v", got, want)
	}
	bare := w.key()
	bare.ExpiresAt, bare.Metadata, bare.Enabled = time.Time{}, nil, false
	bare, digest = w.insert(t, bare)
	if got, want := *w.mustRecord(t, digest), recordOf(bare); got != want {
		t.Errorf("record = %+v, want %+v", got, want)
	}
}

func recordNotFound(t *testing.T, w *world) {
	_, near := w.insert(t, w.key())
	near[31] ^= 0x80
	for _, digest := range []key.Digest{{}, near, w.digest()} {
		rec, err := w.RecordByDigest(t.Context(), digest)
		wantIs(t, "RecordByDigest", err, store.ErrNotFound)
		if rec != nil {
			t.Errorf("record = %+v, want nil", rec)
		}
	}
}

func recordSeesChanges(t *testing.T, w *world) {
	k, digest := w.insert(t, w.key())
	for i := range 50 {
		k.Enabled = i%2 == 0
		w.update(t, func(tx store.Tx) error { return tx.UpdateKey(t.Context(), k) })
		if got := w.mustRecord(t, digest).Enabled; got != k.Enabled {
			t.Fatalf("Enabled = %v after it was set to %v", got, k.Enabled)
		}
	}
}

func recordDoesNotWait(t *testing.T, w *world) {
	k, digest := w.insert(t, w.key())
	begun, seen := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := w.Update(t.Context(), func(tx store.Tx) error {
			err := tx.DeleteKey(t.Context(), k.ID)
			close(begun)
			<-seen
			return err
		})
		done <- err
	}()
	<-begun
	w.mustRecord(t, digest)
	w.wantKey(t, k)
	if keys, err := w.Keys(t.Context(), store.KeyQuery{Limit: 1}); err != nil || len(keys) != 1 {
		t.Errorf("%d keys, %v, while one is being deleted, want 1", len(keys), err)
	}
	close(seen)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	_, err := w.RecordByDigest(t.Context(), digest)
	wantIs(t, "RecordByDigest", err, store.ErrNotFound)
}

func replaceAtOnce(t *testing.T, w *world) {
	now := start.Add(time.Minute)
	for name, end := range map[string]time.Time{"none": {}, "past": start, "now": now} {
		k, old := w.insert(t, w.key())
		_, bystander := w.insert(t, w.key())
		digest := w.digest()
		changes := w.update(t, func(tx store.Tx) error {
			return tx.ReplaceToken(t.Context(), k.ID, digest, "ak_New1…Hint", end, now)
		})
		wantChanges(t, changes, old)
		_, err := w.RecordByDigest(t.Context(), old)
		wantIs(t, name+": RecordByDigest of the old token", err, store.ErrNotFound)
		k.Hint, k.UpdatedAt = "ak_New1…Hint", now
		w.wantKey(t, k)
		if got, want := *w.mustRecord(t, digest), recordOf(k); got != want {
			t.Errorf("%s: record = %+v, want %+v", name, got, want)
		}
		w.mustRecord(t, bystander)
	}
}

func replaceWithGrace(t *testing.T, w *world) {
	k, old := w.insert(t, w.key())
	digest, end := w.digest(), start.Add(time.Hour)
	changes := w.update(t, func(tx store.Tx) error { return tx.ReplaceToken(t.Context(), k.ID, digest, "new", end, start) })
	wantChanges(t, changes, old)
	want := recordOf(k)
	if got := *w.mustRecord(t, digest); got != want {
		t.Errorf("record of the new token = %+v, want %+v", got, want)
	}
	want.TokenExpiresAt = key.MillisOf(end)
	if got := *w.mustRecord(t, old); got != want {
		t.Errorf("record of the old token = %+v, want %+v", got, want)
	}
}

func replaceNeverProlongs(t *testing.T, w *world) {
	k, first := w.insert(t, w.key())
	second, third, fourth, fifth := w.digest(), w.digest(), w.digest(), w.digest()
	replace := func(digest key.Digest, end, now time.Time) []store.Change {
		t.Helper()
		return w.update(t, func(tx store.Tx) error { return tx.ReplaceToken(t.Context(), k.ID, digest, "h", end, now) })
	}
	ends := func(digest key.Digest, want time.Time) {
		t.Helper()
		if got := w.mustRecord(t, digest).TokenExpiresAt; got != key.MillisOf(want) {
			t.Errorf("token ends at %v, want %v", got.Time(), want)
		}
	}
	wantChanges(t, replace(second, start.Add(time.Hour), start), first)
	wantChanges(t, replace(third, start.Add(24*time.Hour), start.Add(time.Minute)), first, second)
	ends(first, start.Add(time.Hour))
	ends(second, start.Add(24*time.Hour))

	wantChanges(t, replace(fourth, start.Add(30*time.Minute), start.Add(2*time.Minute)), first, second, third)
	ends(first, start.Add(30*time.Minute))
	ends(second, start.Add(30*time.Minute))
	ends(third, start.Add(30*time.Minute))

	// By now the first three have come to their end.
	wantChanges(t, replace(fifth, start.Add(2*time.Hour), start.Add(time.Hour)), first, second, third, fourth)
	for _, digest := range []key.Digest{first, second, third} {
		_, err := w.RecordByDigest(t.Context(), digest)
		wantIs(t, "RecordByDigest of a token that has ended", err, store.ErrNotFound)
	}
	ends(fourth, start.Add(2*time.Hour))
	ends(fifth, time.Time{})
}

func deleteToken(t *testing.T, w *world) {
	k, old := w.insert(t, w.key())
	_, bystander := w.insert(t, w.key())
	current, end := w.digest(), start.Add(time.Hour)
	w.update(t, func(tx store.Tx) error { return tx.ReplaceToken(t.Context(), k.ID, current, k.Hint, end, start) })

	remove := func(digest key.Digest) {
		t.Helper()
		wantChanges(t, w.update(t, func(tx store.Tx) error { return tx.DeleteToken(t.Context(), digest) }), digest)
		_, err := w.RecordByDigest(t.Context(), digest)
		wantIs(t, "RecordByDigest of a deleted token", err, store.ErrNotFound)
	}
	remove(old)
	w.mustRecord(t, current)
	remove(current)
	w.wantKey(t, k)
	w.mustRecord(t, bystander)

	// A key without a token is one like others: it can be changed, and be given another.
	k.Enabled = false
	wantChanges(t, w.update(t, func(tx store.Tx) error { return tx.UpdateKey(t.Context(), k) }))
	next := w.digest()
	wantChanges(t, w.update(t, func(tx store.Tx) error { return tx.ReplaceToken(t.Context(), k.ID, next, k.Hint, end, start) }))
	w.mustRecord(t, next)
	wantChanges(t, w.update(t, func(tx store.Tx) error { return tx.DeleteKey(t.Context(), k.ID) }), next)
}

// Whoever finds the token gone must wait for other nodes as whoever deleted it does.
func deleteUnknownToken(t *testing.T, w *world) {
	k, digest := w.insert(t, w.key())
	unknown := w.digest()
	changes := w.update(t, func(tx store.Tx) error {
		wantIs(t, "DeleteToken", tx.DeleteToken(t.Context(), unknown), store.ErrNotFound)
		return nil
	})
	wantChanges(t, changes, unknown)
	w.wantKey(t, k)
	w.mustRecord(t, digest)
}
