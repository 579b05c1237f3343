// Package limit counts the requests of keys against their limits and quotas.
//
// A limit, so many requests in a window of time, is counted by the generic cell rate algorithm: a key may make all its requests at
// once, and they come back one by one, evenly. One number says how much is used, so that a check is one step, and several limits are
// taken together or not at all. Nothing is rounded: what remains and when it comes back is exact. It is counted in this process
// (Memory) or, for several together, in a server that they share (Valkey). That is short-lived and no loss: who starts anew
// starts with whole limits.
//
// A quota, so many requests in a day, a month or ever, is another matter: it is never exceeded, whatever happens. The database hands
// it out in shares, each to one process, which lets requests pass out of its share by itself (Quotas). What is left of a share is
// given back; what a process that was killed had left counts as used until the period ends.
package limit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// sweepInterval is how often keys are forgotten whose limits are all there again.
const sweepInterval = 10 * time.Second

// Options are what a Limiter is made of. Where nothing else is said, a field is required.
type Options struct {
	Quotas store.Quotas // hands out shares of quotas
	Valkey *Valkey      // counts for several processes together; nil: this one counts by itself
	// Closed says that, while the Valkey is away, checks of keys with limits cannot be answered. Otherwise this process counts by
	// itself meanwhile.
	Closed bool
	Now    func() time.Time
	Log    *slog.Logger
}

// Limiter counts requests. It is verify.Limiter. Its methods are safe for concurrent use.
type Limiter struct {
	memory *Memory
	valkey *Valkey
	closed bool
	quotas *Quotas
	now    func() time.Time

	fallbacks atomic.Int64
}

// New returns a Limiter.
func New(o Options) *Limiter {
	return &Limiter{memory: NewMemory(o.Now()), valkey: o.Valkey, closed: o.Closed, quotas: NewQuotas(o.Quotas, o.Now, o.Log), now: o.Now}
}

// Take counts one request of a key. The outcome is CheckValid, CheckRateLimited or CheckQuotaExceeded, or CheckNotFound where the
// key has just been deleted. A request that a limit refuses is counted nowhere; one that is within the limits and refused by the
// quota stays counted against the limits. Where nothing else is said, it allocates nothing.
func (l *Limiter) Take(ctx context.Context, keyID int64, r *key.Restrictions, now time.Time) (o key.Outcome, a key.Allowance, err error) {
	if len(r.Limits) > 0 {
		var ok bool
		switch a, ok, err = l.take(ctx, keyID, r.Limits, now); {
		case err != nil:
			return o, a, err
		case !ok:
			return key.CheckRateLimited, a, nil
		}
	}
	if r.Quota == (key.Quota{}) {
		return key.CheckValid, a, nil
	}
	left, ok, err := l.quotas.take(ctx, keyID, r.Quota, now)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return key.CheckNotFound, key.Allowance{}, nil
	case err != nil:
		return o, left, err
	case !ok:
		return key.CheckQuotaExceeded, left, nil
	case left.Requests > 0 && (a.Requests == 0 || nearer(left, a)):
		a = left
	}
	return key.CheckValid, a, nil
}

// take counts one request against limits, of which there is at least one.
func (l *Limiter) take(ctx context.Context, keyID int64, limits []key.Limit, now time.Time) (a key.Allowance, ok bool, err error) {
	if l.valkey != nil {
		if a, ok, err = l.valkey.take(ctx, keyID, limits); err == nil {
			return a, ok, nil
		}
		if l.closed || !errors.Is(err, store.ErrUnavailable) {
			return a, false, fmt.Errorf("count the request: %w", err)
		}
		l.fallbacks.Add(1)
	}
	a, ok = l.memory.take(keyID, limits, now)
	return a, ok, nil
}

// Run does what has to be done from time to time, until ctx is done. Then it gives back what is left of the quotas: no request may
// be counted after.
func (l *Limiter) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { l.quotas.Run(ctx) })
	if l.valkey != nil {
		all.Go(func() { l.valkey.Run(ctx) })
	}
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			l.memory.Sweep(l.now())
		case <-ctx.Done():
			return
		}
	}
}

// Stats are counts since the start, but for Keys and Up.
type Stats struct {
	Keys      int   // of which limits are used, in memory
	Fallbacks int64 // checks counted in memory because the Valkey was away
	Up        bool  // there is a Valkey, and it answers
	Quotas    QuotaStats
}

// Stats returns the counts.
func (l *Limiter) Stats() Stats {
	return Stats{Keys: l.memory.Keys(), Fallbacks: l.fallbacks.Load(), Up: l.valkey != nil && l.valkey.Up(), Quotas: l.quotas.Stats()}
}
