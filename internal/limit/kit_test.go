package limit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// ledger is a store.Quotas in memory, with faults.
type ledger struct {
	mu     sync.Mutex
	kept   map[int64]store.QuotaShare // by key; one that is not there is gone
	takes  []store.QuotaTake
	delay  time.Duration
	before error // nothing is done
	after  error // it is done, and the answer is lost
}

func newLedger(keys ...int64) *ledger {
	l := &ledger{kept: map[int64]store.QuotaShare{}}
	for _, id := range keys {
		l.kept[id] = store.QuotaShare{}
	}
	return l
}

func (l *ledger) TakeQuota(ctx context.Context, t store.QuotaTake) (share store.QuotaShare, err error) {
	if l.delay > 0 {
		select {
		case <-time.After(l.delay):
		case <-ctx.Done():
			return share, fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.takes = append(l.takes, t)
	if l.before != nil {
		return share, l.before
	}
	kept, ok := l.kept[t.KeyID]
	if !ok {
		return share, store.ErrNotFound
	}
	current := t.Quota.Generation == kept.Quota.Generation
	switch {
	case current && t.PeriodStart.After(kept.PeriodStart):
		kept.Used, kept.PeriodStart = 0, t.PeriodStart
	case t.PeriodStart.Equal(kept.PeriodStart):
		if kept.Used -= t.Return; kept.Used < 0 {
			panic("more was given back than was taken")
		}
	}
	if current {
		kept.Quota = t.Quota
		share.Granted = max(0, min(t.Want, t.Quota.Requests-kept.Used))
		kept.Used += share.Granted
	}
	l.kept[t.KeyID] = kept
	if l.after != nil {
		return store.QuotaShare{}, l.after
	}
	kept.Granted = share.Granted
	return kept, nil
}

// change gives a key another quota, and returns it as a check learns it that begins afterwards.
func (l *ledger) change(keyID int64, to key.Quota) key.Quota {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.kept[keyID]
	to.Generation = kept.Quota.Generation + 1
	kept.Quota = to
	l.kept[keyID] = kept
	return to
}

func (l *ledger) fail(before, after error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before, l.after = before, after
}

func (l *ledger) used(keyID int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept[keyID].Used
}

func (l *ledger) start(keyID int64) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept[keyID].PeriodStart
}

func (l *ledger) asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.takes)
}

var errAway = fmt.Errorf("%w: away", store.ErrUnavailable)

var errDisk = errors.New("disk on fire")

// node is a process with its own shares.
type node struct {
	*Quotas
	dead atomic.Bool // the process is: the store hears nothing more of it
	log  *strings.Builder
	stop func()
}

// mortal is the store as a node sees it.
type mortal struct {
	store.Quotas
	dead *atomic.Bool
}

func (m mortal) TakeQuota(ctx context.Context, take store.QuotaTake) (store.QuotaShare, error) {
	if m.dead.Load() {
		return store.QuotaShare{}, errAway
	}
	return m.Quotas.TakeQuota(ctx, take)
}

func startNode(ctx context.Context, s store.Quotas) *node {
	n := &node{log: new(strings.Builder)}
	n.Quotas = NewQuotas(mortal{s, &n.dead}, time.Now, slog.New(slog.NewTextHandler(n.log, nil)))
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { n.Run(ctx); close(done) }()
	n.stop = func() { cancel(); <-done }
	return n
}

// pass lets n requests pass and returns how many did, and what was told last.
func (n *node) pass(ctx context.Context, keyID int64, q key.Quota, requests int) (passed int64, last key.Allowance, err error) {
	for range requests {
		a, ok, err := n.take(ctx, keyID, q, time.Now())
		if err != nil {
			return passed, last, err
		}
		if last = a; ok {
			passed++
		}
	}
	return passed, last, nil
}
