package cluster

import (
	"sync/atomic"
	"time"
)

// Bounds of a lease.
const (
	MinLease = 500 * time.Millisecond
	MaxLease = 30 * time.Second
)

// margin is what the holder of a lease takes off, and what those who wait for its end add: clocks do not all run at the same
// rate, and a process may be held up between looking at one and going by it.
func margin(lease time.Duration) time.Duration { return lease / 10 }

// Lease is a node's leave to answer from memory, by its own clock. It is verify.Lease. Its methods are safe for concurrent
// use; a Node alone extends and ends it.
type Lease struct {
	length, stale time.Duration
	now           func() time.Time
	base          time.Time // times by the monotonic clock count from here
	current       atomic.Pointer[term]
}

// term lets the node answer until either clock says that it has ended.
type term struct {
	number    uint64        // rises with each lease that does not go on from the one before
	monotonic time.Duration // since base
	wall      time.Time     // without its monotonic part: it shows what stopped the other clock, as suspending the machine does
}

// NewLease returns a lease that is not held. length is from MinLease to MaxLease. staleIfError is for how long after its end
// checks may be answered from memory where the database is away, which gives up the promise for that long; 0 does not.
func NewLease(length, staleIfError time.Duration, now func() time.Time) *Lease {
	l := &Lease{length: length, stale: staleIfError, now: now, base: now()}
	l.current.Store(new(term))
	return l
}

// Held reports whether the node may answer from memory at now, a reading of the clock just taken, and in which term.
func (l *Lease) Held(now time.Time) (number uint64, held bool) {
	t := l.current.Load()
	return t.number, now.Sub(l.base) < t.monotonic && now.Before(t.wall)
}

// Excused reports whether the node may answer from memory although it does not hold the lease, given that the database
// cannot be asked.
func (l *Lease) Excused(now time.Time) bool {
	t := l.current.Load()
	return l.stale > 0 && t.monotonic > 0 && now.Sub(l.base) < t.monotonic+l.stale
}

// Left returns how long the lease lasts, 0 where it is not held.
func (l *Lease) Left() time.Duration {
	t, now := l.current.Load(), l.now()
	if _, held := l.Held(now); !held {
		return 0
	}
	return t.monotonic - now.Sub(l.base)
}

// extend counts the lease from when it was asked for.
func (l *Lease) extend(asked time.Time) {
	length := l.length - margin(l.length)
	number, held := l.Held(l.now())
	if !held {
		number++
	}
	l.current.Store(&term{number: number, monotonic: asked.Sub(l.base) + length, wall: asked.Round(0).Add(length)})
}

// end ends the lease at once. What is in memory is not good any more, however the database is.
func (l *Lease) end() {
	l.current.Store(&term{number: l.current.Load().number})
}
