// Package subscribe lets other processes check keys for themselves, and yet a deleted key is dead in each of them.
//
// A subscriber is a program with the Go middleware. It keeps what it is told about keys, and answers from that while it holds a
// lease, which this node grants it over a connection that stays open. Whoever changes something tells the subscribers, and waits
// until each has let go of it or holds no lease any more: what nodes do among each other, once more. A Hub stands where a node's
// cache is invalidated, so that a change that comes from elsewhere is acknowledged for this node and its subscribers together.
//
// A subscriber's lease lies within the node's own. Whoever waits for the node's lease to end, because it is dead or cut off, has
// waited for its subscribers as well. Where there is one node alone, which has no lease, a process that follows one
// that was killed waits for what that one may have granted: see Memory.
//
// api.SubscriptionProtocol is what goes over the connection, and docs/consistency.md has the argument.
//
// The package knows no HTTP and no database.
package subscribe

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

const (
	// MaxLease is the longest lease of a subscriber. A dead one keeps a change waiting for no longer than this and a tenth, once.
	MaxLease = 900 * time.Millisecond

	// MaxSubscribers bounds how many there are at a time.
	MaxSubscribers = 1000
)

// margin is what is added to a lease before it is taken to have ended. The subscriber takes the same off.
func margin(lease time.Duration) time.Duration { return lease / 10 }

// Cache is what the node itself answers from.
type Cache interface {
	Invalidate(changes []store.Change)
	Forget()
}

// Tokens is what the node knows of tokens.
type Tokens interface {
	// Find returns what is known of the token with a digest, nil where there is no such key, and whether that may be kept.
	Find(ctx context.Context, digest key.Digest) (r *key.Record, keep bool, err error)
	// Used notes n checks of a token that a subscriber has decided.
	Used(ctx context.Context, digest key.Digest, o key.Outcome, n int64) error
}

// Memory outlives the process. It is for a node without a lease of its own.
type Memory interface {
	// Marked reports whether a process before this one has granted leases that it may not have seen the end of.
	Marked() (bool, error)
	// Mark makes it so. It is called before the first lease is granted.
	Mark() error
	// Clear ends it: no lease is left.
	Clear() error
}

// Options are what a Hub is made of. Where nothing else is said, a field is required.
type Options struct {
	Cache  Cache
	Tokens Tokens
	// Lease is that of a subscriber, MaxLease at most. Where the node holds one itself, half of that at most: it renews its own
	// before it can have waited for a subscriber's for so long that it ends.
	Lease time.Duration
	// Left says how long the node's own lease lasts; nil: it needs none.
	Left   func() time.Duration
	Memory Memory           // nil: others wait for the leases that this process leaves behind
	Now    func() time.Time // with a monotonic clock, like time.Now
	Log    *slog.Logger
}

// Hub is a node's cache with its subscribers. Its methods are safe for concurrent use.
type Hub struct {
	o      Options
	ctx    context.Context // of what subscribers ask
	cancel context.CancelFunc
	group  sync.WaitGroup // what subscribers are served by

	mu      sync.Mutex
	closed  bool
	marked  bool      // Memory is
	settled time.Time // until then, leases of a process before this one may last
	all     map[*subscriber]struct{}
	number  uint64 // of the last change that anybody was told of
	stats   Stats
}

// Stats are counts since the start, but for Subscribers.
type Stats struct {
	Subscribers   int           // connected now
	Invalidations int64         // tokens that subscribers were told of, each subscriber counted
	Waits         int64         // changes that subscribers had to be told of
	Expiries      int64         // of these, how many had to wait for a lease to end
	Waited        time.Duration // all of them together
}

// New returns a Hub without subscribers.
func New(o Options) (*Hub, error) {
	h := &Hub{o: o, all: map[*subscriber]struct{}{}}
	if o.Memory != nil {
		marked, err := o.Memory.Marked()
		if err != nil {
			return nil, err
		}
		if h.marked = marked; marked {
			h.settled = o.Now().Add(MaxLease + margin(MaxLease))
		}
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h, nil
}

// Stats returns the counts.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.stats
	s.Subscribers = h.connected()
	return s
}

func (h *Hub) connected() (n int) {
	for s := range h.all {
		if !s.gone {
			n++
		}
	}
	return n
}

// Errors of Ready and Accept.
var (
	ErrClosed = errors.New("the server is shutting down")
	ErrFull   = errors.New("there are as many subscribers as there may be")
)

// Ready says why there can be no further subscriber now.
func (h *Hub) Ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ready()
}

func (h *Hub) ready() error {
	h.tidy()
	switch {
	case h.closed:
		return ErrClosed
	case h.connected() >= MaxSubscribers:
		return ErrFull
	}
	return h.mark()
}

// mark sees to it that a process that follows this one knows of subscribers.
func (h *Hub) mark() error {
	if h.o.Memory == nil || h.marked {
		return nil
	}
	if err := h.o.Memory.Mark(); err != nil {
		return err
	}
	h.marked = true
	return nil
}

// Accept makes who is at the other end of conn a subscriber; r is where it is read from. The connection is the hub's from then on.
func (h *Hub) Accept(conn net.Conn, r io.Reader) error {
	s := &subscriber{hub: h, conn: conn, wake: make(chan struct{}, 1), asked: make(chan struct{}, maxAsked)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.ready(); err != nil {
		return errors.Join(err, conn.Close())
	}
	h.all[s] = struct{}{}
	h.group.Go(func() { s.read(r) })
	h.group.Go(s.write)
	return nil
}

// tidy drops those who are gone, and whose leases have ended.
func (h *Hub) tidy() {
	now := h.o.Now()
	for s := range h.all {
		if s.gone && !now.Before(s.leaseEnd) {
			delete(h.all, s)
		}
	}
}

// Invalidate forgets what is known about tokens that changed, here and at every subscriber. When it returns, no check that begins
// afterwards is answered from what was known before.
func (h *Hub) Invalidate(changes []store.Change) {
	h.o.Cache.Invalidate(changes)
	if len(changes) > maxListed {
		h.tell(changeLine{forget: true})
	} else if len(changes) > 0 {
		h.tell(changeLine{changes: changes})
	}
}

// Forget does so for all tokens.
func (h *Hub) Forget() {
	h.o.Cache.Forget()
	h.tell(changeLine{forget: true})
}

// tell tells every subscriber of a change, and waits until each has applied it, or has no lease any more.
//
// Who subscribes later is not told: what it asks is answered from what the node knows by now.
func (h *Hub) tell(c changeLine) {
	began := h.o.Now()
	h.mu.Lock()
	h.tidy()
	if len(h.all) == 0 && !began.Before(h.settled) {
		h.mu.Unlock()
		return
	}
	h.mu.Unlock()
	lines := c.lines() // it may take a while, and grants need the lock

	h.mu.Lock()
	h.number++
	last := append(lines, c.last(h.number))
	settled, now, waits := h.settled, h.o.Now(), make([]*wait, 0, len(h.all))
	for s := range h.all {
		if w := s.tell(h.number, last, now); w != nil {
			waits = append(waits, w)
		}
		h.stats.Invalidations += int64(len(c.changes))
	}
	h.stats.Waits++
	h.mu.Unlock()

	h.sleepUntil(settled)
	expired := 0
	for _, w := range waits {
		if !h.await(w) {
			expired++
		}
	}
	took := h.o.Now().Sub(began)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stats.Waited += took
	if expired > 0 {
		h.stats.Expiries++
		h.o.Log.Warn("a change had to wait for the leases of subscribers to end", "subscribers", expired, "waited", took)
	}
}

// wait is a change that waits for one subscriber.
type wait struct {
	s        *subscriber
	number   uint64        // of the change
	applied  chan struct{} // closed when the subscriber has
	deadline time.Time     // when its lease has ended for certain
}

// await waits for a subscriber. One that has let its lease end is cut off, so that nobody waits for it again, and the result is
// false.
//
// The deadline is that of the lease as it was when the subscriber was told. A later grant does not move it: it stands behind the change
// on the connection, so whoever has taken it has applied the change.
func (h *Hub) await(w *wait) bool {
	for {
		left := w.deadline.Sub(h.o.Now())
		timer := time.NewTimer(max(left, 0))
		select {
		case <-w.applied:
			timer.Stop()
			return true
		case <-timer.C:
		}
		if left <= 0 {
			break
		}
	}
	select {
	case <-w.applied: // both at once
		return true
	default:
		w.s.end()
		return false
	}
}

func (h *Hub) sleepUntil(t time.Time) {
	for left := t.Sub(h.o.Now()); left > 0; left = t.Sub(h.o.Now()) {
		time.Sleep(left)
	}
}

// Close ends all subscriptions: it has the subscribers give up their leases, or waits until those have ended. There are no new ones
// afterwards. It may be called more than once.
func (h *Hub) Close() error {
	h.mu.Lock()
	first := !h.closed
	h.closed = true
	h.mu.Unlock()
	if first {
		h.tell(changeLine{forget: true, close: true})
		h.mu.Lock()
		for s := range h.all {
			s.drop()
		}
		h.mu.Unlock()
		h.cancel()
	}
	h.group.Wait()
	if !first || h.o.Memory == nil || !h.marked {
		return nil
	}
	return h.o.Memory.Clear()
}
