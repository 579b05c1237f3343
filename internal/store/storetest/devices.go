package storetest

import (
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

var deviceTests = []test{
	{"a device is known to the user who has signed in with it", deviceKnown},
	{"the newest few devices of a user are kept", newestDevices},
	{"a device that is used again is among the newest", deviceUsedAgain},
	{"DeleteDevices forgets all of a user's", deleteDevices},
}

// keepDevice remembers a device, a new one where digest is zero.
func (w *world) keepDevice(t *testing.T, user int64, digest key.Digest, at time.Time) key.Digest {
	t.Helper()
	if digest == (key.Digest{}) {
		digest = w.digest()
	}
	w.update(t, func(tx store.Tx) error { return tx.KeepDevice(t.Context(), user, digest, at) })
	return digest
}

func (w *world) deviceThere(t *testing.T, user int64, digest key.Digest) bool {
	t.Helper()
	known, err := w.Device(t.Context(), user, digest)
	if err != nil {
		t.Fatalf("Device() = %v", err)
	}
	return known
}

func deviceKnown(t *testing.T, w *world) {
	digest := w.keepDevice(t, w.user, key.Digest{}, start)
	for range 2 { // to keep it again is no error
		if !w.deviceThere(t, w.user, digest) {
			t.Error("the device is not known")
		}
		if w.deviceThere(t, w.otherUser, digest) || w.deviceThere(t, 1<<40, digest) {
			t.Error("the device is known to somebody else")
		}
		if w.deviceThere(t, w.user, w.digest()) || w.deviceThere(t, w.user, key.Digest{}) {
			t.Error("another device is known")
		}
		w.keepDevice(t, w.user, digest, start.Add(time.Hour))
	}
	w.keepDevice(t, w.otherUser, digest, start) // somebody else signs in with it
	if w.deviceThere(t, w.user, digest) || !w.deviceThere(t, w.otherUser, digest) {
		t.Error("the device is not that of whoever signed in last")
	}
	_, err := w.Update(t.Context(), func(tx store.Tx) error { return tx.KeepDevice(t.Context(), 1<<40, w.digest(), start) })
	wantConflict(t, "KeepDevice for nobody", err, store.NoReference)
}

func newestDevices(t *testing.T, w *world) {
	other := w.keepDevice(t, w.otherUser, key.Digest{}, start)
	keepsNewest(t, func(at time.Time) key.Digest { return w.keepDevice(t, w.user, key.Digest{}, at) },
		func(digest key.Digest) bool { return w.deviceThere(t, w.user, digest) })
	if !w.deviceThere(t, w.otherUser, other) {
		t.Error("somebody else's device is forgotten")
	}
}

func deviceUsedAgain(t *testing.T, w *world) {
	first, second := w.keepDevice(t, w.user, key.Digest{}, start), w.keepDevice(t, w.user, key.Digest{}, start)
	for i := range manyMore {
		at := start.Add(time.Duration(i+1) * time.Hour)
		w.keepDevice(t, w.user, key.Digest{}, at)
		w.keepDevice(t, w.user, first, at)
	}
	if !w.deviceThere(t, w.user, first) || w.deviceThere(t, w.user, second) {
		t.Error("want the one that is used to be known, and the other one not")
	}
}

func deleteDevices(t *testing.T, w *world) {
	mine := []key.Digest{w.keepDevice(t, w.user, key.Digest{}, start), w.keepDevice(t, w.user, key.Digest{}, start)}
	other := w.keepDevice(t, w.otherUser, key.Digest{}, start)
	for range 2 { // to have none is no error
		w.update(t, func(tx store.Tx) error { return tx.DeleteDevices(t.Context(), w.user) })
	}
	for _, digest := range mine {
		if w.deviceThere(t, w.user, digest) {
			t.Error("a device is known still")
		}
	}
	if !w.deviceThere(t, w.otherUser, other) {
		t.Error("somebody else's device is forgotten")
	}
}
