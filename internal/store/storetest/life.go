package storetest

import (
	"sync"
	"testing"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

var lifeTests = []test{
	{"a store that was opened is ready", ready},
	{"a closed store says so", closed},
	{"Close waits for the calls under way", closeWaits},
}

func ready(t *testing.T, w *world) {
	if err := w.Ready(t.Context()); err != nil {
		t.Errorf("Ready() = %v", err)
	}
}

func closed(t *testing.T, w *world) {
	calls := w.reads(t.Context(), t)
	calls["Update"] = func() error { _, err := w.Update(t.Context(), func(store.Tx) error { return nil }); return err }
	for range 2 {
		if err := w.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}
	for name, call := range calls {
		err := call()
		wantIs(t, name, err, store.ErrClosed)
		wantIs(t, name, err, store.ErrUnavailable)
	}
}

func closeWaits(t *testing.T, w *world) {
	hold, release := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		_, err := w.Update(t.Context(), func(tx store.Tx) error {
			close(hold)
			<-release
			_, err := tx.InsertKey(t.Context(), w.key(), key.Digest{1})
			return err
		})
		if err != nil {
			t.Errorf("Update that was under way = %v", err)
		}
	})
	<-hold
	done := make(chan error, 1)
	go func() { done <- w.Close() }()
	// A call that came too late tells that Close has begun.
	for {
		if _, err := w.Initialised(t.Context()); err != nil {
			wantIs(t, "Initialised", err, store.ErrClosed)
			break
		}
	}
	select {
	case err := <-done:
		t.Errorf("Close() = %v while an Update is under way", err)
	default:
	}
	close(release)
	group.Wait()
	if err := <-done; err != nil {
		t.Errorf("Close() = %v", err)
	}
}
