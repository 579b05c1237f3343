// Package verify answers the question that apikeyd exists for: may this token do that?
//
// It is the hot path. A token that was seen before is answered from memory, without a lock, an allocation or the
// database; a malformed one never gets that far. Nevertheless a deleted key is dead: whoever changes what a
// check depends on calls Invalidate after the commit and before the answer, and no check that begins after that sees
// what was cached or is being fetched.
//
// The package knows no transport and decides nothing itself: the rules are key.Record.Decide.
package verify

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/token"
	"github.com/apikeyd/apikeyd/internal/usage"
)

// Lease says whether checks may be answered from memory: others may have changed what they depend on.
type Lease interface {
	// Held reports whether they may at now, a reading of the clock just taken, and in which term. What was begun to be looked
	// up in a term is good for others as long as that term lasts.
	Held(now time.Time) (term uint64, held bool)
	// Excused reports whether they may where the database cannot be asked either. The operator wants it so.
	Excused(now time.Time) bool
}

// always is the Lease of who is alone.
type always struct{}

func (always) Held(time.Time) (uint64, bool) { return 0, true }
func (always) Excused(time.Time) bool        { return false }

// Limiter counts requests against the limits and the quota of a key.
type Limiter interface {
	// Take counts one request of a key whose restrictions are counted, and says whether it is within all of them: the outcome is
	// CheckValid, CheckRateLimited or CheckQuotaExceeded, or CheckNotFound where the key has been deleted meanwhile. A request that
	// is refused is not counted, save that one which the quota refuses may be counted against the limits. Where it cannot be
	// counted, and must not be allowed uncounted, the error matches store.ErrUnavailable.
	Take(ctx context.Context, keyID int64, r *key.Restrictions, now time.Time) (key.Outcome, key.Allowance, error)
}

// unlimited is the Limiter of who counts nothing.
type unlimited struct{}

func (unlimited) Take(context.Context, int64, *key.Restrictions, time.Time) (key.Outcome, key.Allowance, error) {
	return key.CheckValid, key.Allowance{}, nil
}

// Options are what a Checker is made of. Where nothing else is said, a field is required.
type Options struct {
	Tokens store.Tokens
	Usage  *usage.Recorder
	Now    func() time.Time
	Lease  Lease // nil: nobody else changes what checks depend on

	// Limiter counts the requests of keys that are limited; nil: they are not counted, and so not limited.
	Limiter Limiter

	// CacheBytes bounds the memory of known keys, NegativeCacheBytes that of well-formed tokens that belong to no
	// key. They are apart so that a flood of invented tokens cannot evict a key that is in use.
	CacheBytes         int64
	NegativeCacheBytes int64
}

// Checker checks tokens. Its methods are safe for concurrent use.
type Checker struct {
	tokens  store.Tokens
	usage   *usage.Recorder
	now     func() time.Time
	lease   Lease
	limiter Limiter

	known   *cache[known]
	unknown *cache[struct{}]
	fetches [fetchShards]fetchShard

	checks, malformed, misses, failures, stale counter
}

// counter is padded so that counters do not share cache lines.
type counter struct {
	atomic.Int64
	_ [56]byte
}

// known is what the cache holds of a key.
type known struct {
	tally  usage.Tally // in front: every check counts
	record key.Record
}

// Decision is the answer to a check.
type Decision struct {
	Outcome key.Outcome
	// Malformed: what was asked about is no token, whatever the store holds. With CheckNotFound alone.
	Malformed bool
	// Record is what the decision was made from; nil with CheckNotFound. It is shared and must not be changed.
	Record *key.Record
	// Allowance is what is left to a key that is limited, where the decision was made after counting.
	Allowance key.Allowance
}

// New returns a Checker with an empty cache.
func New(o Options) *Checker {
	if o.Lease == nil {
		o.Lease = always{}
	}
	if o.Limiter == nil {
		o.Limiter = unlimited{}
	}
	return &Checker{
		lease:   o.Lease,
		tokens:  o.Tokens,
		usage:   o.Usage,
		now:     o.Now,
		limiter: o.Limiter,
		known:   newCache[known](o.CacheBytes),
		unknown: newCache[struct{}](o.NegativeCacheBytes),
	}
}

// Check answers q for a token. The error matches store.ErrUnavailable, or is ctx's, where the question could not be
// answered; a caller must then refuse. Where the token is cached it allocates nothing.
func (c *Checker) Check(ctx context.Context, text []byte, q key.Question) (Decision, error) {
	c.checks.Add(1)
	if len(text) > token.MaxLength { // spares the hashing of what is no token anyway
		c.malformed.Add(1)
		return Decision{Outcome: key.CheckNotFound, Malformed: true}, nil
	}
	// What is cached under the digest was well-formed when it came in, so a hit need not look at the form again.
	digest := token.Hash(text)
	now := c.now()
	if _, held := c.lease.Held(now); held {
		if k := c.known.get(&digest); k != nil {
			return c.decide(ctx, k, q, now)
		}
		if c.unknown.get(&digest) != nil {
			return Decision{Outcome: key.CheckNotFound}, nil
		}
	}
	if !token.WellFormed(text) {
		c.malformed.Add(1)
		return Decision{Outcome: key.CheckNotFound, Malformed: true}, nil
	}
	c.misses.Add(1)
	k, err := c.fetch(ctx, digest)
	if err != nil {
		c.failures.Add(1)
		return c.excused(ctx, digest, q, err)
	}
	return c.decide(ctx, k, q, c.now())
}

// excused answers from memory where the database could not say, and the operator prefers an answer that may be old to none.
func (c *Checker) excused(ctx context.Context, digest key.Digest, q key.Question, err error) (Decision, error) {
	now := c.now()
	if k := c.known.get(&digest); k != nil && errors.Is(err, store.ErrUnavailable) && c.lease.Excused(now) {
		c.stale.Add(1)
		return c.decide(ctx, k, q, now)
	}
	return Decision{}, err
}

// decide answers q from what is known; nil is an unknown token.
func (c *Checker) decide(ctx context.Context, k *known, q key.Question, at time.Time) (d Decision, err error) {
	if k == nil {
		return Decision{Outcome: key.CheckNotFound}, nil
	}
	now := key.MillisOf(at)
	d.Outcome = k.record.Decide(q, now)
	if d.Outcome == key.CheckNotFound {
		return d, nil
	}
	d.Record = &k.record
	if d.Outcome == key.CheckValid && !q.Uncounted && k.record.Restrictions.Counted() {
		if d.Outcome, d.Allowance, err = c.limiter.Take(ctx, k.record.KeyID, k.record.Restrictions, at); err != nil {
			c.failures.Add(1)
			return Decision{}, err
		}
		if d.Outcome == key.CheckNotFound {
			return Decision{Outcome: d.Outcome}, nil
		}
	}
	switch {
	case !q.Uncounted:
		c.usage.Count(&k.tally, d.Outcome, now)
	case d.Outcome == key.CheckValid:
		c.usage.Touch(&k.tally, now)
	}
	return d, nil
}

// Find returns what is known of the token with a digest, for somebody who checks it by himself; nil: there is no such key. keep
// reports whether it may be kept, by somebody who hears of every change: this node has held its lease all along. The error is as
// with Check.
func (c *Checker) Find(ctx context.Context, digest key.Digest) (r *key.Record, keep bool, err error) {
	term, held := c.lease.Held(c.now())
	if held {
		if k := c.known.get(&digest); k != nil {
			return &k.record, true, nil
		}
		if c.unknown.get(&digest) != nil {
			return nil, true, nil
		}
	}
	k, err := c.fetch(ctx, digest)
	if err != nil {
		return nil, false, err
	}
	now, still := c.lease.Held(c.now())
	keep = held && still && now == term
	if k == nil {
		return nil, keep, nil
	}
	return &k.record, keep, nil
}

// Used notes that somebody has checked the token with a digest by himself, n times with this outcome. The error is as with Check.
func (c *Checker) Used(ctx context.Context, digest key.Digest, o key.Outcome, n int64) error {
	k := c.known.get(&digest)
	if k == nil {
		var err error
		if k, err = c.fetch(ctx, digest); k == nil {
			return err // a key that is gone has no use
		}
	}
	c.usage.Add(k.record.KeyID, k.record.OrganizationID, o, n, c.now())
	return nil
}

// Invalidate forgets what is known about the tokens that changed. A check that begins after it returned sees the
// change, given that the change is committed.
func (c *Checker) Invalidate(changes []store.Change) {
	for i := range changes {
		d := &changes[i].Digest
		s := c.fetchShard(d)
		s.mu.Lock()
		delete(s.underWay, *d) // what it fetches may be older than the change: see fetch
		c.known.remove(d)
		c.unknown.remove(d)
		s.mu.Unlock()
	}
}

// Forget forgets what is known about every token. A check that begins after it returned sees what the store knows then.
func (c *Checker) Forget() {
	for i := range c.fetches {
		s := &c.fetches[i]
		s.mu.Lock()
		clear(s.underWay)
	}
	c.known.clear()
	c.unknown.clear()
	for i := range c.fetches {
		c.fetches[i].mu.Unlock()
	}
}

// Stats are counts since the start, but for the caches' entries and bytes.
type Stats struct {
	Hits     int64 // well-formed tokens that were answered from the cache
	Misses   int64 // those that were looked up in the store
	Failures int64 // of the misses, those that the store could not answer
	Stale    int64 // of the failures, those that were answered from memory all the same
	Known    CacheStats
	Unknown  CacheStats
}

// Stats returns the counts. They are read one after another and may be apart by a few checks.
func (c *Checker) Stats() Stats {
	// Hits are what is left: the less a hit has to count, the better.
	s := Stats{Misses: c.misses.Load(), Failures: c.failures.Load(), Stale: c.stale.Load(), Known: c.known.stats(), Unknown: c.unknown.stats()}
	s.Hits = max(0, c.checks.Load()-c.malformed.Load()-s.Misses)
	return s
}
