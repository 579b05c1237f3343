package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

var keyTests = []test{
	{"a key comes back as it was stored", keyComesBack},
	{"a hostile text comes back as it was stored", hostileTexts},
	{"a time comes back to the millisecond, in UTC", times},
	{"a value shares no memory with the store", ownMemory},
	{"what is not there is not found", keyNotFound},
	{"a key needs its organization and its user", keyNeedsReferences},
	{"two keys never have one token", digestTaken},
	{"ids rise and are never given again", idsAreNew},
	{"UpdateKey writes what may change and nothing else", updateKey},
	{"UpdateKey records a change for each token", updateKeyChanges},
	{"DeleteKey deletes the key and its tokens and records a change for each", deleteKey},
	{"Recall records a change for each token of a key, and changes nothing", recallKey},
	{"SetLastUsed moves forward, never back, and records no change", setLastUsed},
}

func keyComesBack(t *testing.T, w *world) {
	full, _ := w.insert(t, w.key())
	w.wantKey(t, full)

	bare := w.key()
	bare.ExpiresAt, bare.Metadata, bare.Enabled, bare.Scopes = time.Time{}, nil, false, key.AllScopes
	bare, _ = w.insert(t, bare)
	w.wantKey(t, bare)
	if got := w.mustGet(t, bare.ID); !got.ExpiresAt.IsZero() || !got.LastUsedAt.IsZero() || got.Metadata != nil {
		t.Errorf("ExpiresAt, LastUsedAt, Metadata = %v, %v, %q, want none", got.ExpiresAt, got.LastUsedAt, got.Metadata)
	}
}

func hostileTexts(t *testing.T, w *world) {
	for _, name := range []string{
		strings.Repeat("𝕬", key.MaxNameLength), // four bytes each
		`'; DROP TABLE api_keys; --`, `"quoted"`, `\`, `\'`, `$1 ?1 :a @b`, `%_`, "NULL", "0", "a\u200db", "e\u0301", "é",
		"ﷺ", "👩‍👩‍👧‍👦", " ", "\u00a0",
	} {
		k := w.key()
		k.Name = name
		k, _ = w.insert(t, k)
		w.wantKey(t, k)
	}
	for _, metadata := range []string{
		`{"nul":"\u0000"}`, `{"surrogate":"\ud800"}`, `{"":""}`, `{"a":1e400,"b":123456789012345678901234567890}`,
		`{"b":1,"a":2,"b":3}`, `{"é":"𝕬"}`, `{"x":"` + strings.Repeat("y", key.MaxMetadata-8) + `"}`,
	} {
		k := w.key()
		k.Metadata = []byte(metadata)
		k, _ = w.insert(t, k)
		w.wantKey(t, k)
	}
}

func times(t *testing.T, w *world) {
	for _, at := range []time.Time{
		start,
		start.Add(time.Millisecond),
		start.In(time.FixedZone("", -9*3600)),
		time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(1969, 12, 31, 23, 59, 59, int(999*time.Millisecond), time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, int(999*time.Millisecond), time.UTC),
	} {
		k := w.key()
		k.ExpiresAt, k.LastUsedAt, k.CreatedAt, k.UpdatedAt = at, at, at, at
		k, _ = w.insert(t, k)
		w.wantKey(t, k)
	}
}

func ownMemory(t *testing.T, w *world) {
	k := w.key()
	metadata := bytes.Clone(k.Metadata)
	k, digest := w.insert(t, k)
	clear(k.Metadata)
	read := w.mustGet(t, k.ID)
	clear(read.Metadata)
	page, err := w.Keys(t.Context(), store.KeyQuery{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	clear(page[0].Metadata)
	if again := w.mustGet(t, k.ID); !bytes.Equal(again.Metadata, metadata) {
		t.Errorf("metadata = %q, want %q", again.Metadata, metadata)
	}
	if rec := w.mustRecord(t, digest); rec.Metadata != string(metadata) {
		t.Errorf("metadata of the record = %q, want %q", rec.Metadata, metadata)
	}
}

func keyNotFound(t *testing.T, w *world) {
	for _, id := range []int64{1 << 62, 0, -1} {
		_, err := w.Key(t.Context(), id)
		wantIs(t, fmt.Sprintf("Key(%d)", id), err, store.ErrNotFound)
	}
	absent := w.key()
	absent.ID = 1 << 62
	for name, fn := range map[string]func(store.Tx) error{
		"Key":          func(tx store.Tx) error { _, err := tx.Key(t.Context(), absent.ID); return err },
		"UpdateKey":    func(tx store.Tx) error { return tx.UpdateKey(t.Context(), absent) },
		"DeleteKey":    func(tx store.Tx) error { return tx.DeleteKey(t.Context(), absent.ID) },
		"ReplaceToken": func(tx store.Tx) error { return tx.ReplaceToken(t.Context(), absent.ID, w.digest(), "", start, start) },
	} {
		changes, err := w.Update(t.Context(), fn)
		wantIs(t, name, err, store.ErrNotFound)
		wantChanges(t, changes)
	}
	// What was not found is no reason to give up the rest.
	var id int64
	w.update(t, func(tx store.Tx) (err error) {
		wantIs(t, "DeleteKey", tx.DeleteKey(t.Context(), absent.ID), store.ErrNotFound)
		id, err = tx.InsertKey(t.Context(), w.key(), w.digest())
		return err
	})
	w.mustGet(t, id)
}

func keyNeedsReferences(t *testing.T, w *world) {
	for _, change := range []func(*key.Key){
		func(k *key.Key) { k.OrganizationID = 1 << 40 },
		func(k *key.Key) { k.UserID = 1 << 40 },
		func(k *key.Key) { k.UserID = 0 },
	} {
		k := w.key()
		change(&k)
		digest := w.digest()
		_, err := w.Update(t.Context(), func(tx store.Tx) error {
			_, err := tx.InsertKey(t.Context(), k, digest)
			return err
		})
		wantConflict(t, "InsertKey", err, store.NoReference)
		_, err = w.RecordByDigest(t.Context(), digest)
		wantIs(t, "RecordByDigest", err, store.ErrNotFound)
	}
	k, _ := w.insert(t, w.key())
	stranger := k
	stranger.UserID = 1 << 40
	_, err := w.Update(t.Context(), func(tx store.Tx) error { return tx.UpdateKey(t.Context(), stranger) })
	wantConflict(t, "UpdateKey", err, store.NoReference)
	w.wantKey(t, k)
}

func digestTaken(t *testing.T, w *world) {
	first, digest := w.insert(t, w.key())
	second, _ := w.insert(t, w.key())
	for name, fn := range map[string]func(store.Tx) error{
		"InsertKey": func(tx store.Tx) error { _, err := tx.InsertKey(t.Context(), w.key(), digest); return err },
		"ReplaceToken": func(tx store.Tx) error {
			return tx.ReplaceToken(t.Context(), second.ID, digest, "ak_new", time.Time{}, start)
		},
		"InsertKey, ignored": func(tx store.Tx) error { tx.InsertKey(t.Context(), w.key(), digest); return nil },
	} {
		changes, err := w.Update(t.Context(), fn)
		wantConflict(t, name, err, store.DigestTaken)
		wantChanges(t, changes)
		if strings.Contains(fmt.Sprintf("%v %+v", err, err), fmt.Sprintf("%x", digest)) {
			t.Errorf("%s: the digest is in the error: %v", name, err)
		}
	}
	keys, err := w.Keys(t.Context(), store.KeyQuery{Limit: 10})
	if err != nil || len(keys) != 2 {
		t.Errorf("%d keys, %v, want the two that were there", len(keys), err)
	}
	if rec := w.mustRecord(t, digest); rec.KeyID != first.ID {
		t.Errorf("the token is that of key %d, want %d", rec.KeyID, first.ID)
	}
}

func idsAreNew(t *testing.T, w *world) {
	highest := int64(0)
	for range 5 {
		k, _ := w.insert(t, w.key())
		if k.ID <= highest {
			t.Errorf("id = %d after %d", k.ID, highest)
		}
		highest = k.ID
		w.update(t, func(tx store.Tx) error { return tx.DeleteKey(t.Context(), k.ID) })
	}
	if w.organization <= 0 || w.otherOrganization <= w.organization || w.user <= 0 || w.otherUser <= w.user {
		t.Errorf("ids of organizations %d, %d, and users %d, %d do not rise",
			w.organization, w.otherOrganization, w.user, w.otherUser)
	}
	// Nor inside of one transaction.
	w.update(t, func(tx store.Tx) error {
		for range 2 {
			id, err := tx.InsertKey(t.Context(), w.key(), w.digest())
			if err != nil {
				return err
			}
			if id <= highest {
				t.Errorf("id = %d after %d", id, highest)
			}
			highest = id
			if err := tx.DeleteKey(t.Context(), id); err != nil {
				return err
			}
		}
		return nil
	})
}

func updateKey(t *testing.T, w *world) {
	k := w.key()
	k.LastUsedAt = start.Add(time.Hour)
	k, _ = w.insert(t, k)
	bystander, _ := w.insert(t, w.key())

	changed := key.Key{
		ID: k.ID, Name: "renamed", Scopes: key.ScopesOf(key.Delete), UserID: w.otherUser, Enabled: false,
		UpdatedAt: start.Add(time.Minute), Metadata: []byte(`{"a":1}`),
		OrganizationID: w.otherOrganization, Hint: "other", CreatedAt: start.Add(time.Second), LastUsedAt: start, // not written
	}
	want := changed
	want.OrganizationID, want.Hint, want.CreatedAt, want.LastUsedAt = k.OrganizationID, k.Hint, k.CreatedAt, k.LastUsedAt
	w.update(t, func(tx store.Tx) error { return tx.UpdateKey(t.Context(), changed) })
	w.wantKey(t, want)
	w.wantKey(t, bystander)

	want.ExpiresAt, want.Metadata, want.Enabled = start.AddDate(2, 0, 0), nil, true
	w.update(t, func(tx store.Tx) error { return tx.UpdateKey(t.Context(), want) })
	w.wantKey(t, want)
}

func updateKeyChanges(t *testing.T, w *world) {
	k, first := w.insert(t, w.key())
	w.insert(t, w.key())
	second := w.digest()
	w.update(t, func(tx store.Tx) error {
		return tx.ReplaceToken(t.Context(), k.ID, second, k.Hint, start.Add(time.Hour), start)
	})
	changes := w.update(t, func(tx store.Tx) error { return tx.UpdateKey(t.Context(), k) })
	wantChanges(t, changes, first, second)

	k.Enabled = false
	w.update(t, func(tx store.Tx) error { return tx.UpdateKey(t.Context(), k) })
	for _, digest := range []key.Digest{first, second} {
		if w.mustRecord(t, digest).Enabled {
			t.Error("a check does not see that the key was disabled")
		}
	}
}

func deleteKey(t *testing.T, w *world) {
	k, first := w.insert(t, w.key())
	bystander, other := w.insert(t, w.key())
	second := w.digest()
	w.update(t, func(tx store.Tx) error {
		return tx.ReplaceToken(t.Context(), k.ID, second, k.Hint, start.Add(time.Hour), start)
	})
	changes := w.update(t, func(tx store.Tx) error {
		if err := tx.DeleteKey(t.Context(), k.ID); err != nil {
			return err
		}
		_, err := tx.Key(t.Context(), k.ID)
		wantIs(t, "Key inside the transaction", err, store.ErrNotFound)
		return nil
	})
	wantChanges(t, changes, first, second)
	_, err := w.Key(t.Context(), k.ID)
	wantIs(t, "Key", err, store.ErrNotFound)
	for _, digest := range []key.Digest{first, second} {
		_, err := w.RecordByDigest(t.Context(), digest)
		wantIs(t, "RecordByDigest", err, store.ErrNotFound)
	}
	w.wantKey(t, bystander)
	w.mustRecord(t, other)
	_, err = w.Update(t.Context(), func(tx store.Tx) error { return tx.DeleteKey(t.Context(), k.ID) })
	wantIs(t, "DeleteKey again", err, store.ErrNotFound)
}

func setLastUsed(t *testing.T, w *world) {
	a, _ := w.insert(t, w.key())
	b, _ := w.insert(t, w.key())
	gone, _ := w.insert(t, w.key())
	w.update(t, func(tx store.Tx) error { return tx.DeleteKey(t.Context(), gone.ID) })

	use := func(uses ...store.Use) {
		t.Helper()
		wantChanges(t, w.update(t, func(tx store.Tx) error { return tx.SetLastUsed(t.Context(), uses) }))
		w.wantKey(t, a)
		w.wantKey(t, b)
	}
	use()
	a.LastUsedAt, b.LastUsedAt = start.Add(time.Minute), start.Add(2*time.Minute)
	use(store.Use{KeyID: a.ID, At: a.LastUsedAt}, store.Use{KeyID: gone.ID, At: start},
		store.Use{KeyID: b.ID, At: b.LastUsedAt})
	use(store.Use{KeyID: a.ID, At: start}, store.Use{KeyID: b.ID}) // earlier, and none
	a.LastUsedAt = start.Add(3 * time.Minute)
	use(store.Use{KeyID: a.ID, At: a.LastUsedAt}, store.Use{KeyID: a.ID, At: start})
	_, err := w.Key(t.Context(), gone.ID)
	wantIs(t, "Key that is gone", err, store.ErrNotFound)
}

func recallKey(t *testing.T, w *world) {
	k, digest := w.insert(t, w.key())
	other, _ := w.insert(t, w.key())
	second := w.digest()
	w.update(t, func(tx store.Tx) error {
		return tx.ReplaceToken(t.Context(), k.ID, second, k.Hint, start.AddDate(0, 1, 0), start)
	})
	wantChanges(t, w.update(t, func(tx store.Tx) error { return tx.Recall(t.Context(), k.ID) }), digest, second)
	w.wantKey(t, k)
	w.wantKey(t, other)
	wantChanges(t, w.update(t, func(tx store.Tx) error { return tx.Recall(t.Context(), 1<<40) }))
}
