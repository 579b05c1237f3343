package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// A check that waits for a connection gives up with its context: connections may hang on a disk that does not answer.
func TestWaitForAConnectionEndsWithTheContext(t *testing.T) {
	s, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "a.db"), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for range cap(s.reads.free) {
		s.reads.free <- struct{}{} // every connection is busy
	}
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error)
	go func() { _, err := s.RecordByDigest(ctx, key.Digest{}); gaveUp <- err }()
	cancel()
	if err := <-gaveUp; !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	for range cap(s.reads.free) {
		<-s.reads.free
	}
	if _, err := s.RecordByDigest(t.Context(), key.Digest{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("afterwards: %v", err)
	}
}
