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

const (
	quotaShards = 256

	// takeTimeout bounds how long a check waits for a share before it says that it cannot decide.
	takeTimeout = 5 * time.Second
	// usedUpPause is for how long a quota that is used up is refused without asking, at first: another node may give something
	// back. It doubles up to longestPause.
	usedUpPause  = time.Second
	longestPause = 8 * time.Second
	// failurePause is for how long a store that could not answer is not asked again about the same key.
	failurePause = 200 * time.Millisecond
)

// Quotas lets requests pass out of shares of quotas that the store hands out. Its methods are safe for concurrent use.
type Quotas struct {
	store store.Quotas
	now   func() time.Time
	log   *slog.Logger
	start time.Time // durations count from here

	shards   [quotaShards]quotaShard
	underWay sync.WaitGroup // takes
	away     atomic.Bool    // the store could not answer the last time

	keys, takes, failures, lost atomic.Int64
}

type quotaShard struct {
	mu     sync.Mutex
	shares map[int64]*share
	_      [48]byte
}

// NewQuotas returns a Quotas that has no shares.
func NewQuotas(s store.Quotas, now func() time.Time, log *slog.Logger) *Quotas {
	q := &Quotas{store: s, now: now, log: log, start: now()}
	for i := range q.shards {
		q.shards[i].shares = map[int64]*share{}
	}
	return q
}

func (q *Quotas) shard(keyID int64) *quotaShard { return &q.shards[uint64(keyID)%quotaShards] }

var (
	errTakeTimeout = fmt.Errorf("%w: no share of the quota within %v", store.ErrUnavailable, takeTimeout)
	errTakePanic   = fmt.Errorf("%w: taking a share of the quota panicked", store.ErrUnavailable)
)

// take lets one request of a key pass, or reports that its quota is used up. A quota that was changed since the check began, and it
// alone then, is the one of now; where there is none any more, nothing is counted and the allowance is the zero one. The error matches
// store.ErrUnavailable, store.ErrNotFound where the key is gone, or is ctx's.
func (q *Quotas) take(ctx context.Context, keyID int64, quota key.Quota, at time.Time) (a key.Allowance, ok bool, err error) {
	for {
		a, ok, wait, err := q.try(keyID, quota, at)
		switch to, changed := changedTo(err); {
		case changed && to.Requests == 0:
			return key.Allowance{}, true, nil
		case changed:
			quota = to
		case wait == nil:
			return a, ok, err
		default:
			if err := await(ctx, wait); err != nil {
				return a, false, err
			}
			at = q.now()
		}
	}
}

// try is take, but for the waiting: for the take that is under way.
func (q *Quotas) try(keyID int64, quota key.Quota, at time.Time) (a key.Allowance, ok bool, wait <-chan struct{}, err error) {
	now := at.Sub(q.start)
	sh := q.shard(keyID)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s := sh.shares[keyID]
	if s == nil {
		s = newShare(keyID, quota)
		sh.shares[keyID] = s
		q.keys.Add(1)
	}
	s.usedAt = now
	if newer := s.latest(); quota.Generation < newer.Generation {
		return a, false, nil, &changedError{to: newer}
	}
	current := s.current(quota, at)
	if current && s.left > 0 {
		s.left--
		if s.busy == nil && s.low() && !s.paused(now) {
			q.begin(s, s.ask(quota, at, now))
		}
		return s.allowance(at), true, nil, nil
	}
	if s.busy == nil {
		if current && s.paused(now) {
			return s.refusal(at), false, nil, s.failure
		}
		q.begin(s, s.ask(quota, at, now))
	}
	return a, false, s.busy, nil
}

// await waits for the end of a take.
func await(ctx context.Context, done <-chan struct{}) error {
	timeout := time.NewTimer(takeTimeout)
	defer timeout.Stop()
	select {
	case <-done:
		return nil
	case <-timeout.C:
		return errTakeTimeout
	case <-ctx.Done():
		return fmt.Errorf("wait for a share of the quota: %w", ctx.Err())
	}
}

// begin begins a take, which no check's end ends: what the store hands out must arrive. The caller holds the lock.
func (q *Quotas) begin(s *share, t store.QuotaTake) {
	s.busy = make(chan struct{})
	q.underWay.Go(func() { q.finish(s, t) })
}

// finish asks the store and enters what it says.
func (q *Quotas) finish(s *share, t store.QuotaTake) {
	got, err := q.ask(context.Background(), t)
	sh := q.shard(s.keyID)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.enter(got, err, q.now().Sub(q.start))
	close(s.busy)
	s.busy = nil
}

// ask asks the store. What was given back in vain is lost: it may have arrived, and must not be given back twice.
func (q *Quotas) ask(ctx context.Context, t store.QuotaTake) (got store.QuotaShare, err error) {
	ctx, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			q.log.Error("taking a share of a quota panicked", "key_id", t.KeyID, "panic", r)
			err = errTakePanic
		}
		q.away.Store(err != nil && !errors.Is(err, store.ErrNotFound))
	}()
	q.takes.Add(1)
	if got, err = q.store.TakeQuota(ctx, t); err == nil {
		return got, nil
	}
	if errors.Is(err, store.ErrNotFound) {
		return got, fmt.Errorf("take a share of the quota: %w", err)
	}
	q.failures.Add(1)
	q.lost.Add(t.Return)
	if !errors.Is(err, store.ErrUnavailable) {
		err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return got, fmt.Errorf("take a share of the quota: %w", err)
}
