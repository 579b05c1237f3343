package middleware

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

// CacheOptions change how a Cache works. A zero field takes its default.
type CacheOptions struct {
	// Keys is how many keys are kept at most; 100,000. Each takes some 600 bytes, and its metadata.
	Keys int
	// UnknownTokens is how many tokens are kept that belong to no key; 10,000. They have a place of their own, so that a flood of
	// invented tokens drives out no key.
	UnknownTokens int
	// Log is told when the subscription ends, and when there is one again; nil: nobody is.
	Log *slog.Logger
}

// Cache is a Checker that answers from memory, in less than a microsecond and without an allocation.
//
// Nevertheless a deleted key is dead: once the delete was answered, no check that begins afterwards finds it valid. The same holds for
// whatever else makes a check come out differently. For that, the Cache subscribes to apikeyd, which grants it a lease of less than a
// second, over and over, and lets no change of a key be answered before the Cache has applied it or its lease has ended. While it
// has no lease, because the connection is cut, or the program or the server was stopped for a while, it asks apikeyd about each key, as
// the Verifier does. docs/consistency.md has the argument.
//
// Keys with limits, a quota or a list of addresses are asked about each time, because they have to be counted where all requests are
// known.
//
// A Cache is for the life of a program. Close it in the end, or a change may have to wait for its lease once.
type Cache struct {
	keys    *client.Verifier
	options CacheOptions
	current atomic.Pointer[session] // nil: there is none
	uses    *uses

	closing context.CancelFunc
	done    chan struct{} // closed when nothing runs any more
	once    sync.Once
}

// NewCache returns a Cache that asks by way of keys. It subscribes in the background, and answers meanwhile.
func NewCache(keys *client.Verifier, o CacheOptions) *Cache {
	if keys == nil {
		panic("middleware: the verifier is nil")
	}
	o.Keys, o.UnknownTokens = cmp.Or(o.Keys, 100_000), cmp.Or(o.UnknownTokens, 10_000)
	if o.Keys < 0 || o.UnknownTokens < 0 {
		panic("middleware: the size of a cache is negative")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Cache{keys: keys, options: o, uses: newUses(o.Keys), closing: cancel, done: make(chan struct{})}
	go c.run(ctx)
	return c
}

// Close gives up the lease, tells apikeyd so, and of what was checked last, and returns when nothing runs any more, in a second or so. A
// Cache that is closed asks about each key.
func (c *Cache) Close() {
	c.once.Do(c.closing)
	<-c.done
}

// Leased reports whether the Cache may answer from memory at the moment.
func (c *Cache) Leased() bool {
	s := c.current.Load()
	return s != nil && s.lease.held(time.Now())
}

// String names the server.
func (c *Cache) String() string { return fmt.Sprintf("cache of %v", c.keys) }

// Verify asks whether a key may do a thing, as Verifier.Verify does. What the answer refers to is shared and must not be changed.
func (c *Cache) Verify(ctx context.Context, q api.VerifyRequest) (api.Verification, error) {
	scope, known := scopeBit(q.Scope)
	if !known || len(q.Key) > maxToken {
		return c.keys.Verify(ctx, q)
	}
	digest := hash(q.Key)
	now := time.Now() // after the check began: what holds now has held since
	s := c.current.Load()
	if s == nil || !s.lease.held(now) {
		return c.keys.Verify(ctx, q)
	}
	e := s.get(&digest)
	if e == nil {
		if !wellFormed(q.Key) {
			return api.Verification{Code: api.VerifyNotFound}, nil
		}
		if e = s.lookUp(ctx, &digest); e == nil {
			return c.keys.Verify(ctx, q)
		}
		now = time.Now()
	}
	if e.ask {
		return c.keys.Verify(ctx, q)
	}
	use, answer := e.decide(q.OrganizationID, scope, now.UnixMilli())
	if use != notFound {
		c.uses.count(e, use)
	}
	return answer, nil
}

// hash returns the digest of a token that is no longer than maxToken, and allocates nothing.
func hash(token string) digest {
	var text [maxToken]byte
	return sha256.Sum256(text[:copy(text[:], token)])
}

const (
	// openTimeout bounds the opening of a subscription.
	openTimeout = 5 * time.Second
	// Between two attempts there is a random time up to the first, which doubles with each that has failed, up to the second: who
	// lost a server together does not come back together.
	firstPause, maxPause = 100 * time.Millisecond, 2 * time.Second
)

// run subscribes, again and again, until ctx ends.
func (c *Cache) run(ctx context.Context) {
	defer close(c.done)
	pause := firstPause
	for well := true; ; {
		err := c.subscribe(ctx, func() {
			if !well {
				c.options.Log.Info("subscribed to apikeyd again; keys are checked from memory")
			}
			well, pause = true, firstPause
		})
		if ctx.Err() != nil {
			return
		}
		if well {
			c.options.Log.Warn("the subscription to apikeyd has ended; it is asked about each key until there is one again", "error", err)
			well = false
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(rand.N(pause) + 1):
		}
		pause = min(2*pause, maxPause)
	}
}

// subscribe is one subscription, from its opening to its end. leased is called when it has brought a lease.
func (c *Cache) subscribe(ctx context.Context, leased func()) error {
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	stream, err := c.keys.Subscribe(opening)
	cancel()
	if err != nil {
		return err
	}
	s := newSession(stream, c.options, c.uses)
	c.current.Store(s)
	defer c.current.Store(nil)
	return s.run(ctx, leased)
}
