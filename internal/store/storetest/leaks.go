package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

var leakTests = []test{
	{"a token that leaked is remembered", leakKept},
	{"a token that leaked outlives key and organization", leakOutlives},
	{"a token is not remembered where the transaction fails", leakUndone},
}

// leaked returns what is remembered of a token; a zero Leak: nothing.
func (w *world) leaked(t *testing.T, digest key.Digest) (l store.Leak) {
	t.Helper()
	w.update(t, func(tx store.Tx) (err error) {
		l, err = tx.Leaked(t.Context(), digest)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	return l
}

func (w *world) keepLeak(t *testing.T, digest key.Digest, l store.Leak) {
	t.Helper()
	wantChanges(t, w.update(t, func(tx store.Tx) error { return tx.KeepLeak(t.Context(), digest, l) }))
}

func leakKept(t *testing.T, w *world) {
	digest := w.digest()
	if l := w.leaked(t, digest); l != (store.Leak{}) {
		t.Errorf("of a token that has not leaked there is %+v", l)
	}
	first := store.Leak{KeyID: 1 << 62, OrganizationID: 1<<62 - 1, At: start}
	w.update(t, func(tx store.Tx) error {
		if err := tx.KeepLeak(t.Context(), digest, first); err != nil {
			return err
		}
		l, err := tx.Leaked(t.Context(), digest) // in the same transaction
		if err == nil && l != first {
			t.Errorf("Leaked() = %+v, want %+v", l, first)
		}
		return err
	})
	near := digest
	near[31] ^= 0x80
	if l := w.leaked(t, near); l != (store.Leak{}) {
		t.Errorf("of another token there is %+v", l)
	}
	if l := w.leaked(t, digest); l != first {
		t.Errorf("Leaked() = %+v, want %+v", l, first)
	}
	// Nothing that is remembered may keep a token alive.
	again := store.Leak{KeyID: 2, OrganizationID: 3, At: start.Add(time.Millisecond)}
	w.keepLeak(t, digest, again)
	if l := w.leaked(t, digest); l != again {
		t.Errorf("Leaked() = %+v, want %+v", l, again)
	}
}

func leakOutlives(t *testing.T, w *world) {
	k, digest := w.insert(t, w.key())
	want := store.Leak{KeyID: k.ID, OrganizationID: k.OrganizationID, At: start}
	w.keepLeak(t, digest, want)
	w.mustRecord(t, digest) // to end it is another call's part
	w.deleteKey(t, k.ID)
	w.update(t, func(tx store.Tx) error {
		_, _, err := tx.DeleteOrganization(t.Context(), k.OrganizationID)
		return err
	})
	if l := w.leaked(t, digest); l != want {
		t.Errorf("Leaked() = %+v, want %+v", l, want)
	}
}

func leakUndone(t *testing.T, w *world) {
	digest := w.digest()
	_, err := w.Update(t.Context(), func(tx store.Tx) error {
		if err := tx.KeepLeak(t.Context(), digest, store.Leak{KeyID: 1, OrganizationID: 1, At: start}); err != nil {
			return err
		}
		return errMine
	})
	wantIs(t, "Update", err, errMine)
	if l := w.leaked(t, digest); l != (store.Leak{}) {
		t.Errorf("there is %+v", l)
	}
}
