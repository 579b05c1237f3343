package verify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// lookupTimeout bounds how long a check waits for the store before it says that it cannot decide.
const lookupTimeout = 5 * time.Second

const fetchShards = 64

type fetchShard struct {
	mu       sync.Mutex
	underWay map[key.Digest]*fetch
	_        [48]byte
}

// fetch is one look-up in the store, which all checks of the same token wait for.
type fetch struct {
	done  chan struct{} // closed when known and err are final
	known *known        // nil: no such token
	err   error
}

// errAborted is what the others get where a look-up ended in a panic.
var errAborted = fmt.Errorf("%w: the look-up was aborted", store.ErrUnavailable)

func (c *Checker) fetchShard(d *key.Digest) *fetchShard { return &c.fetches[d[0]%fetchShards] }

// fetch gets what the store knows of a token, nil where it knows nothing, and caches it. Checks of the same token
// share one look-up. Invalidate takes a look-up that is under way out of the map: those who wait for it asked before
// the change and may have the old answer, but nobody joins it any more, and what it brings is not cached.
func (c *Checker) fetch(ctx context.Context, digest key.Digest) (*known, error) {
	s := c.fetchShard(&digest)
	s.mu.Lock()
	if f := s.underWay[digest]; f != nil {
		s.mu.Unlock()
		select {
		case <-f.done:
			return f.known, f.err
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the store: %w", ctx.Err())
		}
	}
	// Since the cache was asked, another look-up may have ended. That costs a second one now and then, which is less
	// than asking the cache again under the lock each time.
	f := &fetch{done: make(chan struct{}), err: errAborted}
	if s.underWay == nil {
		s.underWay = make(map[key.Digest]*fetch)
	}
	s.underWay[digest] = f
	s.mu.Unlock()

	var e *entry[known]
	defer func() { // runs where the store panics, too
		s.mu.Lock()
		if s.underWay[digest] == f {
			delete(s.underWay, digest)
			if f.err == nil {
				c.remember(digest, e)
			}
		}
		s.mu.Unlock()
		close(f.done)
	}()

	// The others must not lose their answer to the impatience of the one who came first.
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
	defer cancel()
	record, err := c.tokens.RecordByDigest(detached, digest)
	switch {
	case err == nil:
		e = &entry[known]{digest: digest, value: known{record: *record}}
		f.known, f.err = &e.value, nil
	case errors.Is(err, store.ErrNotFound):
		f.err = nil
	default:
		f.err = fmt.Errorf("look up token: %w", err)
	}
	return f.known, f.err
}

// remember caches the outcome of a look-up; a nil entry is an unknown token.
func (c *Checker) remember(digest key.Digest, e *entry[known]) {
	if e == nil {
		c.unknown.put(&entry[struct{}]{digest: digest}, 0)
		return
	}
	c.known.put(e, len(e.value.record.Name)+len(e.value.record.Metadata))
}
