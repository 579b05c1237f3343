package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

var memberKeyTests = []test{
	{"DeleteKeysOf deletes the keys that have one of the scopes, and no others", deleteKeysOf},
	{"TransferKeysOf gives the keys that have one of the scopes away, and no others", transferKeysOf},
	{"TransferKeysOf needs somebody to give to", transferToNobody},
}

// hadScopes says in Go which keys of w.user in w.organization have one of the scopes.
func (w *world) hadScopes(keys []key.Key, scopes key.Scopes) (ids []int64) {
	for _, k := range keys {
		if k.OrganizationID == w.organization && k.UserID == w.user && k.Scopes&scopes != 0 {
			ids = append(ids, k.ID)
		}
	}
	return ids
}

// eachScopes calls fn in a world of its own transaction for some sets of scopes; what fn does is not kept.
func (w *world) eachScopes(t *testing.T, keys []key.Key, fn func(tx store.Tx, scopes key.Scopes) ([]int64, error)) {
	t.Helper()
	for _, scopes := range []key.Scopes{
		0, key.ScopesOf(key.Read), key.ScopesOf(key.Manage), key.ScopesOf(key.Manage, key.Create), key.AllScopes,
	} {
		_, err := w.Update(t.Context(), func(tx store.Tx) error {
			got, err := fn(tx, scopes)
			if err != nil {
				return err
			}
			if want := w.hadScopes(keys, scopes); !slices.Equal(got, want) {
				t.Errorf("with scopes %05b: keys %v, want %v", scopes, got, want)
			}
			return errMine
		})
		wantIs(t, "Update", err, errMine)
	}
}

// tokensOf returns the tokens of keys, some of which are rotated for it, so that they have two.
func (w *world) tokensOf(t *testing.T, keys []key.Key, digests []key.Digest) (tokens map[int64][]key.Digest) {
	t.Helper()
	tokens = map[int64][]key.Digest{}
	w.update(t, func(tx store.Tx) error {
		for i, k := range keys {
			tokens[k.ID] = []key.Digest{digests[i]}
			if i%3 != 0 {
				continue
			}
			second := digests[i]
			second[30] ^= 0xff
			tokens[k.ID] = append(tokens[k.ID], second)
			if err := tx.ReplaceToken(t.Context(), k.ID, second, k.Hint, start.Add(time.Hour), k.UpdatedAt); err != nil {
				return err
			}
		}
		return nil
	})
	return tokens
}

// keysWithTokens stores keys of every kind, and returns their tokens.
func (w *world) keysWithTokens(t *testing.T) ([]key.Key, map[int64][]key.Digest) {
	t.Helper()
	var keys []key.Key
	var digests []key.Digest
	for i := range 24 {
		k := w.key()
		k.Scopes = key.Scopes(1 + i*5%31)
		if i%2 == 1 {
			k.OrganizationID = w.otherOrganization
		}
		if i/2%3 == 1 {
			k.UserID = w.otherUser
		}
		k, digest := w.insert(t, k)
		keys, digests = append(keys, k), append(digests, digest)
	}
	return keys, w.tokensOf(t, keys, digests)
}

func deleteKeysOf(t *testing.T, w *world) {
	keys, tokens := w.keysWithTokens(t)
	w.eachScopes(t, keys, func(tx store.Tx, scopes key.Scopes) ([]int64, error) {
		return tx.DeleteKeysOf(t.Context(), w.organization, w.user, scopes)
	})
	scopes := key.ScopesOf(key.Manage, key.Update)
	gone := w.hadScopes(keys, scopes)
	if len(gone) < 2 || len(gone) == len(w.hadScopes(keys, key.AllScopes)) {
		t.Fatalf("keys %v of %v are to be deleted, which proves little", gone, w.hadScopes(keys, key.AllScopes))
	}
	var want []key.Digest
	for _, id := range gone {
		want = append(want, tokens[id]...)
	}
	wantChanges(t, w.update(t, func(tx store.Tx) error {
		_, err := tx.DeleteKeysOf(t.Context(), w.organization, w.user, scopes)
		return err
	}), want...)
	for _, k := range keys {
		deleted := slices.Contains(gone, k.ID)
		for _, digest := range tokens[k.ID] {
			_, err := w.RecordByDigest(t.Context(), digest)
			var want error
			if deleted {
				want = store.ErrNotFound
			}
			wantIs(t, fmt.Sprintf("RecordByDigest of key %d", k.ID), err, want)
		}
		if !deleted {
			w.wantKey(t, k)
			continue
		}
		_, err := w.Key(t.Context(), k.ID)
		wantIs(t, "Key", err, store.ErrNotFound)
	}
}

func transferKeysOf(t *testing.T, w *world) {
	keys, tokens := w.keysWithTokens(t)
	now := start.Add(time.Hour)
	w.eachScopes(t, keys, func(tx store.Tx, scopes key.Scopes) ([]int64, error) {
		return tx.TransferKeysOf(t.Context(), w.organization, w.user, scopes, w.otherUser, now)
	})
	scopes := key.ScopesOf(key.Manage, key.Update)
	given := w.hadScopes(keys, scopes)
	var want []key.Digest
	for _, id := range given {
		want = append(want, tokens[id]...)
	}
	wantChanges(t, w.update(t, func(tx store.Tx) error {
		_, err := tx.TransferKeysOf(t.Context(), w.organization, w.user, scopes, w.otherUser, now)
		return err
	}), want...)
	for _, k := range keys {
		if slices.Contains(given, k.ID) {
			k.UserID, k.UpdatedAt = w.otherUser, now
		}
		w.wantKey(t, k)
		for _, digest := range tokens[k.ID] {
			if rec := w.mustRecord(t, digest); rec.UserID != k.UserID {
				t.Errorf("a check takes key %d for that of user %d, want %d", k.ID, rec.UserID, k.UserID)
			}
		}
	}
}

func transferToNobody(t *testing.T, w *world) {
	k, _ := w.insert(t, w.key())
	changes, err := w.Update(t.Context(), func(tx store.Tx) error {
		_, err := tx.TransferKeysOf(t.Context(), w.organization, w.user, key.AllScopes, 1<<40, start)
		return err
	})
	wantConflict(t, "TransferKeysOf", err, store.NoReference)
	wantChanges(t, changes)
	w.wantKey(t, k)
	for _, c := range [][2]int64{{1 << 40, w.user}, {w.organization, 1 << 40}, {w.otherOrganization, w.user}} {
		wantChanges(t, w.update(t, func(tx store.Tx) error {
			given, err := tx.TransferKeysOf(t.Context(), c[0], c[1], key.AllScopes, w.otherUser, start)
			deleted, e := tx.DeleteKeysOf(t.Context(), c[0], c[1], key.AllScopes)
			if len(given)+len(deleted) != 0 || e != nil {
				t.Errorf("keys of %v: %v are given and %v deleted, %v, want none", c, given, deleted, e)
			}
			return err
		}))
	}
	w.wantKey(t, k)
}
