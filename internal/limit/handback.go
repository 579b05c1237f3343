package limit

import (
	"context"
	"sync"
	"time"

	"github.com/apikeyd/apikeyd/internal/store"
)

const (
	// idle is after how long without a request what is left of a share is given back.
	idle = 10 * time.Second
	// handbackInterval is how often that is looked for.
	handbackInterval = time.Second
	// handbackTimeout bounds how long a process that ends gives back what it has.
	handbackTimeout = 10 * time.Second
	// handbacks is how many shares are given back at the same time: the database commits them together.
	handbacks = 16
)

// Run gives back what is left to keys that are not used, until ctx is done; then everything. No request may be let pass after.
func (q *Quotas) Run(ctx context.Context) {
	ticker := time.NewTicker(handbackInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			q.handBack(ctx, q.now().Sub(q.start)-idle)
		case <-ctx.Done():
			q.end(context.WithoutCancel(ctx))
			return
		}
	}
}

// end gives everything back.
func (q *Quotas) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, handbackTimeout)
	defer cancel()
	q.underWay.Wait()
	const always = 1<<63 - 1
	q.handBack(ctx, always)
	q.underWay.Wait()
	requests := q.lost.Load()
	for i := range q.shards {
		for _, s := range q.shards[i].shares {
			requests += s.left
		}
	}
	if requests > 0 {
		q.log.Warn("quotas not given back: they count as used until their period ends", "requests", requests)
	}
}

// handBack gives back what is left to keys that were not used since a time, and forgets them, and what is left to keys that are
// used less than before. While the store is away nothing is given back: it would be lost.
func (q *Quotas) handBack(ctx context.Context, since time.Duration) {
	if q.keys.Load() == 0 {
		return
	}
	var workers sync.WaitGroup
	defer workers.Wait()
	free := make(chan struct{}, handbacks)
	for i := range q.shards {
		for _, s := range q.unused(&q.shards[i], since) {
			if ctx.Err() != nil || q.away.Load() && !q.back(ctx, s) {
				return
			}
			free <- struct{}{}
			workers.Go(func() {
				q.handBackOne(ctx, s, since)
				<-free
			})
		}
	}
}

// unused forgets the keys that were not used since a time and have nothing left, and returns those that have something to give
// back.
func (q *Quotas) unused(sh *quotaShard, since time.Duration) (unused []*share) {
	at := q.now()
	now := at.Sub(q.start)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for id, s := range sh.shares {
		switch {
		case s.busy != nil || !s.idle(since) && !s.stale(now):
		case s.left == 0 || !s.current(s.quota, at):
			if s.idle(since) {
				q.forget(sh, id)
			}
		default:
			unused = append(unused, s)
		}
	}
	return unused
}

func (q *Quotas) forget(sh *quotaShard, keyID int64) {
	delete(sh.shares, keyID)
	q.keys.Add(-1)
}

// back asks a store that was away whether it is back: for nothing, so that nothing is lost where it is not.
func (q *Quotas) back(ctx context.Context, s *share) bool {
	sh := q.shard(s.keyID)
	sh.mu.Lock()
	t := store.QuotaTake{KeyID: s.keyID, Quota: s.quota, PeriodStart: s.start}
	sh.mu.Unlock()
	_, _ = q.ask(ctx, t)
	return !q.away.Load()
}

// handBackOne gives back what is left to one key, given that there is still reason to.
func (q *Quotas) handBackOne(ctx context.Context, s *share, since time.Duration) {
	sh := q.shard(s.keyID)
	sh.mu.Lock()
	forget := s.idle(since)
	if s.busy != nil || !forget && !s.stale(q.now().Sub(q.start)) || s.left == 0 || sh.shares[s.keyID] != s {
		sh.mu.Unlock()
		return
	}
	t := store.QuotaTake{KeyID: s.keyID, Quota: s.quota, PeriodStart: s.start, Return: s.left}
	s.left = 0
	s.busy = make(chan struct{})
	sh.mu.Unlock()
	got, err := q.ask(ctx, t) // what could not be given back is counted
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if forget {
		q.forget(sh, s.keyID)
	} else {
		s.shrink(t.Return, got, err)
	}
	close(s.busy)
	s.busy = nil
}

// QuotaStats are counts since the start, but for Keys.
type QuotaStats struct {
	Takes    int64 // how often the store was asked for a share, or given one back
	Failures int64 // of these, how often it could not answer
	Lost     int64 // requests that may not have been given back, because it could not
	Keys     int   // that there is a share of
}

// Stats returns the counts.
func (q *Quotas) Stats() QuotaStats {
	return QuotaStats{Takes: q.takes.Load(), Failures: q.failures.Load(), Lost: q.lost.Load(), Keys: int(q.keys.Load())}
}
