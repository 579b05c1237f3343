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
	term     uint64
}

var (
	errFetchTimeout = fmt.Errorf("%w: no answer within %v", store.ErrUnavailable, fetchTimeout)
	errFetchPanic   = fmt.Errorf("%w: the look-up panicked", store.ErrUnavailable)
)

func (c *Checker) fetchShard(d *key.Digest) *fetchShard { return &c.fetches[d[0]%fetchShards] }

// fetch gets what the store knows of a token, nil where it knows nothing, and caches it.
//
// Checks of the same token share one look-up, which the first of them does; its going away does not end it. Invalidate
// takes a look-up that is under way out of the map: nobody joins it any more, what it brings is not cached, and those
// who wait for it look again.
//
// Without a lease others do not wait until this node has let go of what it is looking up. What was begun before is then no
// answer to who comes later, so each check looks for itself.
func (c *Checker) fetch(ctx context.Context, digest key.Digest) (*known, error) {
	s := c.fetchShard(&digest)
	for {
		term, held := c.lease.Held(c.now())
		if !held {
			return c.fetchAlone(ctx, digest)
		}
		f, first := s.join(digest, term)
		if first {
			c.run(s, f, digest)
		} else if err := f.wait(ctx); err != nil {
			return nil, err
		}
		if f.outdated || f.term != term {
			continue
		}
		if now, held := c.lease.Held(c.now()); held && now == term {
			return f.known, f.err
		}
	}
}

// join returns the look-up of a token that is under way, or a new one, which the caller has to do.
func (s *fetchShard) join(digest key.Digest, term uint64) (f *fetch, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.underWay[digest]; f != nil {
		return f, false
	}
	// Since the cache was asked, another look-up may have ended. That costs a second one now and then, which is less
	// than asking the cache again under the lock each time.
	f = &fetch{done: make(chan struct{}), term: term}
	if s.underWay == nil {
		s.underWay = make(map[key.Digest]*fetch)
	}
	s.underWay[digest] = f
	return f, true
}

// wait waits for the end of a look-up that somebody else does.
func (f *fetch) wait(ctx context.Context) error {
	timeout := time.NewTimer(fetchTimeout)
	defer timeout.Stop()
	select {
	case <-f.done:
		return nil
	case <-timeout.C:
		return errFetchTimeout
	case <-ctx.Done():
		return fmt.Errorf("wait for the store: %w", ctx.Err())
	}
}

// run does one look-up, on the goroutine of the check: to hand it to another one would cost as much as the look-up.
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
	close(f.done)
}

// fetchAlone looks up a token for one check alone, and keeps nothing.
func (c *Checker) fetchAlone(ctx context.Context, digest key.Digest) (*known, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("look up token: %w", err)
	}
	e, err := c.lookUp(digest)
	if e == nil {
		return nil, err
	}
	return &e.value, nil
}

// lookUp asks the store; nil is an unknown token. A panic is an error, so that those who wait get one too.
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
		e = &entry[known]{digest: digest, value: known{record: *record}}
		e.value.tally.Of(&e.value.record)
		return e, nil
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
	c.known.put(e, len(e.value.record.Name)+len(e.value.record.Metadata)+e.value.record.Restrictions.Size())
}
