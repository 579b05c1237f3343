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

const (
	// fetchTimeout bounds how long a check waits for the store before it says that it cannot decide.
	fetchTimeout = 5 * time.Second

	// maxFetches bounds the look-ups that wait for a store that does not answer. Checks beyond it are not decided.
	maxFetches = 4096

	fetchShards = 64
)

type fetchShard struct {
	mu       sync.Mutex
	underWay map[key.Digest]*fetch
	_        [48]byte
}

// fetch is one look-up in the store, which all checks of the same token wait for.
type fetch struct {
	done chan struct{} // closed when the rest is final

	known    *known // nil: no such token
	err      error
	outdated bool // what was read may be older than a change
}

var (
	errFetchTimeout = fmt.Errorf("%w: no answer within %v", store.ErrUnavailable, fetchTimeout)
	errFetchesFull  = fmt.Errorf("%w: %d look-ups wait for it already", store.ErrUnavailable, maxFetches)
	errFetchPanic   = fmt.Errorf("%w: the look-up panicked", store.ErrUnavailable)
)

func (c *Checker) fetchShard(d *key.Digest) *fetchShard { return &c.fetches[d[0]%fetchShards] }

// fetch gets what the store knows of a token, nil where it knows nothing, and caches it.
//
// A look-up runs on a goroutine of its own, so that neither a caller who goes away harms the others, nor a store that
// hangs keeps anybody waiting for ever. Checks of the same token share it. Invalidate takes a look-up that is under
// way out of the map: nobody joins it any more, what it brings is not cached, and those who wait for it look again.
func (c *Checker) fetch(ctx context.Context, digest key.Digest) (*known, error) {
	timeout := time.NewTimer(fetchTimeout)
	defer timeout.Stop()
	for {
		f, err := c.join(digest)
		if err != nil {
			return nil, err
		}
		select {
		case <-f.done:
			if !f.outdated {
				return f.known, f.err
			}
		case <-timeout.C:
			return nil, errFetchTimeout
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the store: %w", ctx.Err())
		}
	}
}

// join returns the look-up of a token that is under way, or begins one.
func (c *Checker) join(digest key.Digest) (*fetch, error) {
	s := c.fetchShard(&digest)
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.underWay[digest]; f != nil {
		return f, nil
	}
	// Since the cache was asked, another look-up may have ended. That costs a second one now and then, which is less
	// than asking the cache again under the lock each time.
	if c.fetching.Add(1) > maxFetches {
		c.fetching.Add(-1)
		return nil, errFetchesFull
	}
	f := &fetch{done: make(chan struct{})}
	if s.underWay == nil {
		s.underWay = make(map[key.Digest]*fetch)
	}
	s.underWay[digest] = f
	go c.run(s, f, digest)
	return f, nil
}

// run does one look-up.
func (c *Checker) run(s *fetchShard, f *fetch, digest key.Digest) {
	e, err := c.lookUp(digest)
	s.mu.Lock()
	if s.underWay[digest] == f {
		delete(s.underWay, digest)
		if err == nil {
			c.remember(digest, e)
		}
	} else {
		f.outdated = true
	}
	s.mu.Unlock()
	if e != nil {
		f.known = &e.value
	}
	f.err = err
	c.fetching.Add(-1)
	close(f.done)
}

// lookUp asks the store; nil is an unknown token. A panic is an error: on this goroutine it would end the process.
func (c *Checker) lookUp(digest key.Digest) (e *entry[known], err error) {
	defer func() {
		if v := recover(); v != nil {
			e, err = nil, fmt.Errorf("%w: %v", errFetchPanic, v)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	record, err := c.tokens.RecordByDigest(ctx, digest)
	switch {
	case err == nil:
		return &entry[known]{digest: digest, value: known{record: *record}}, nil
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	default:
		return nil, fmt.Errorf("look up token: %w", err)
	}
}

// remember caches the outcome of a look-up; a nil entry is an unknown token.
func (c *Checker) remember(digest key.Digest, e *entry[known]) {
	if e == nil {
		c.unknown.put(&entry[struct{}]{digest: digest}, 0)
		return
	}
	c.known.put(e, len(e.value.record.Name)+len(e.value.record.Metadata))
}
