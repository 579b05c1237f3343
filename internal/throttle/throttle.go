// Package throttle counts failed attempts to sign in, in memory, and says how long to wait before the next.
//
// Each name has a bucket. An attempt puts a drop into it, and one drains away every so often; while the bucket is full
// nobody may try. An attempt is counted before it is made and given back where it succeeds: a hundred attempts at once,
// each waiting for its password to be computed, must not all pass because none of them has failed yet. Attempts that are
// refused are not counted, so that going on does not make the wait longer.
//
// Who can keep whom out depends on what the caller takes for a name. A bucket for an account alone could be kept full by
// anybody who knows the address; one for an account and the AddressGroup it is tried from can be filled only from there.
// Where several buckets apply, the caller tries one after the other, and refunds those that let it pass when a later one
// does not.
//
// Memory is bounded, and filling it wins nothing. When there are too many names, the one whose bucket is nearest to empty
// makes room, and whoever is not known from then on starts with a bucket as full as that one was: nobody ever has fewer
// attempts counted than were made, as in the algorithm Space-Saving (Metwally, Agrawal and El Abbadi, 2005). The other
// side of it: whoever makes more attempts than all buckets together drain, maxEntries of them each Every, takes attempts
// from strangers for as long as it goes on. With room for all the attempts that the server can serve while a full bucket
// drains, the table is never full, and that cannot happen.
//
// Names come from strangers, so none is kept: a bucket is found by a hash under a key that this process made up.
//
// Nothing is written or shared: a restart empties all buckets, and each process has its own. There are no goroutines;
// what has drained is dropped as others arrive.
package throttle

import (
	"container/heap"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"
)

// Limit says how many attempts may fail.
type Limit struct {
	Burst int           // at once
	Every time.Duration // then one more each
}

// Limiter holds the buckets. Its methods are safe for concurrent use.
type Limiter struct {
	limit      Limit
	maxEntries int
	now        func() time.Time
	start      time.Time // times below count from here: by the monotonic clock, where now has one
	key        [32]byte

	mu     sync.Mutex
	byName map[digest]*bucket
	queue  queue         // the same buckets; the one that is empty first comes first
	floor  time.Duration // when the buckets of those who are not known are empty
}

type digest [16]byte

// New returns a Limiter that remembers at most maxEntries names, some 100 bytes for each. It panics where a number is
// not positive.
func New(limit Limit, maxEntries int, now func() time.Time) *Limiter {
	if limit.Burst < 1 || limit.Every <= 0 || maxEntries < 1 {
		panic(fmt.Sprintf("throttle: %+v for %d names", limit, maxEntries))
	}
	l := &Limiter{limit: limit, maxEntries: maxEntries, now: now, start: now(), byName: map[digest]*bucket{}}
	rand.Read(l.key[:]) // never fails: crypto/rand ends the program instead
	return l
}

// Try counts an attempt for name and returns 0, or, where too many failed, counts nothing and returns the time until the
// next may be made. Refund takes the attempt back if it succeeds.
func (l *Limiter) Try(name string) time.Duration {
	d := l.digest(name)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.elapsed()
	l.dropEmpty(now)
	emptyAt := l.emptyAt(d)
	if wait := l.wait(emptyAt, now); wait > 0 {
		return wait
	}
	l.set(d, max(emptyAt, now)+l.limit.Every)
	return 0
}

// Wait returns what Try would, and counts nothing.
func (l *Limiter) Wait(name string) time.Duration {
	d := l.digest(name)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wait(l.emptyAt(d), l.elapsed())
}

// Refund takes back an attempt that Try counted for name, because it succeeded or nothing was compared after all. It is
// to be called once for each, and before Every has passed: what has drained away cannot be given back. What failed before
// stays counted; else one who knows a password could guess at others between.
func (l *Limiter) Refund(name string) {
	d := l.digest(name)
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.byName[d]
	if !ok {
		return // made room for another
	}
	if emptyAt := b.emptyAt - l.limit.Every; emptyAt > l.elapsed() {
		l.set(d, emptyAt)
	} else {
		l.remove(b)
	}
}

// wait is the algorithm GCRA: a bucket is known by the time when it will be empty. There is room for one drop more where
// that time, with it, is not more than Burst drops away.
func (l *Limiter) wait(emptyAt, now time.Duration) time.Duration {
	full := time.Duration(l.limit.Burst) * l.limit.Every
	return max(0, max(emptyAt, now)+l.limit.Every-full-now)
}

func (l *Limiter) emptyAt(d digest) time.Duration {
	if b, ok := l.byName[d]; ok {
		return b.emptyAt
	}
	return l.floor
}

func (l *Limiter) set(d digest, emptyAt time.Duration) {
	if b, ok := l.byName[d]; ok {
		b.emptyAt = emptyAt
		heap.Fix(&l.queue, b.place)
		return
	}
	if len(l.queue) == l.maxEntries {
		first := l.queue[0]
		l.floor = max(l.floor, first.emptyAt)
		l.remove(first)
	}
	b := &bucket{name: d, emptyAt: emptyAt}
	l.byName[d] = b
	heap.Push(&l.queue, b)
}

// dropEmpty drops two buckets at most: more than an attempt can add, so that they never gather, and so few that none
// waits for it.
func (l *Limiter) dropEmpty(now time.Duration) {
	for range 2 {
		if len(l.queue) == 0 || l.queue[0].emptyAt > now {
			return
		}
		l.remove(l.queue[0])
	}
}

func (l *Limiter) remove(b *bucket) {
	heap.Remove(&l.queue, b.place)
	delete(l.byName, b.name)
}

func (l *Limiter) elapsed() time.Duration { return l.now().Sub(l.start) }

func (l *Limiter) digest(name string) digest {
	sum := sha256.Sum256(append(l.key[:len(l.key):len(l.key)], name...))
	return digest(sum[:len(digest{})])
}
