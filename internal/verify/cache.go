package verify

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/apikeyd/apikeyd/internal/key"
)

// cache maps digests to values, within a budget of bytes.
//
// A hit takes no lock: it follows atomic pointers and sets one bit. Only fills, evictions and removals lock, each
// one shard of many. What to evict is decided by SIEVE (Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024):
// entries stand in order of arrival, a hit marks its entry, and a hand that moves from the oldest to the newest
// spares the marked ones, once. A flood of keys that are asked for once therefore passes through without driving
// out those in use.
//
// Digests are SHA-256 and thus uniformly distributed, also where an attacker chooses the tokens, so their own bits
// serve as hash.
type cache[V any] struct {
	shards   [cacheShards]cacheShard[V]
	overhead int64 // bytes that an entry takes beside what its value refers to
}

const (
	cacheShards = 64
	minSlots    = 8
)

type cacheShard[V any] struct {
	slots atomic.Pointer[[]slot[V]] // open addressing, a power of two; linear probing

	mu     sync.Mutex // held by whoever changes anything below, or the slots
	used   int        // slots that are not nil: entries and tombstones
	live   int        // entries
	bytes  int64
	budget int64
	newest *entry[V] // the list in order of arrival
	oldest *entry[V]
	hand   *entry[V] // where the next search for a victim begins; nil: at the oldest
	tomb   *entry[V] // stands where an entry was removed, so that probing goes on behind it

	evictions atomic.Int64
	// Shards are changed by different processors; without the gap they would share cache lines.
	_ [64]byte
}

type slot[V any] = atomic.Pointer[entry[V]]

// entry is one cached value. Digest and value are set before it is put, and never change afterwards.
type entry[V any] struct {
	digest key.Digest
	value  V

	visited atomic.Bool
	size    int32
	newer   *entry[V]
	older   *entry[V]
}

// newCache returns a cache of at most budget bytes.
func newCache[V any](budget int64) *cache[V] {
	// An entry takes 8 bytes in a table that is between a quarter and three quarters full.
	const slots = 24
	c := &cache[V]{overhead: int64(unsafe.Sizeof(entry[V]{})) + slots}
	for i := range c.shards {
		s := &c.shards[i]
		s.budget = budget / cacheShards
		s.tomb = new(entry[V])
		slots := make([]slot[V], minSlots)
		s.slots.Store(&slots)
	}
	return c
}

func (c *cache[V]) shard(d *key.Digest) *cacheShard[V] { return &c.shards[d[0]%cacheShards] }

// position returns the bits of d that slots are chosen by: others than those that choose the shard.
func position(d *key.Digest) uint64 { return binary.LittleEndian.Uint64(d[8:]) }

// get returns the value for d, or nil.
func (c *cache[V]) get(d *key.Digest) *V {
	s := c.shard(d)
	slots := *s.slots.Load()
	mask := uint64(len(slots) - 1)
	for i := position(d); ; i++ {
		e := slots[i&mask].Load()
		if e == nil {
			return nil
		}
		if e.digest == *d && e != s.tomb {
			if !e.visited.Load() { // read first: a store would take the cache line from the other processors
				e.visited.Store(true)
			}
			return &e.value
		}
	}
}

// put adds e in place of any other entry of the same digest, and evicts what it must to stay within the budget. extra
// is the number of bytes that the value refers to outside itself.
func (c *cache[V]) put(e *entry[V], extra int) {
	s := c.shard(&e.digest)
	size := c.overhead + int64(extra)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(&e.digest)
	if size > s.budget {
		return
	}
	for s.bytes+size > s.budget {
		s.evict()
	}
	e.size = int32(size)
	e.older = s.newest
	if s.newest != nil {
		s.newest.newer = e
	} else {
		s.oldest = e
	}
	s.newest = e
	s.bytes += size
	s.live++
	s.insert(e)
}

// insert puts e, which is in the list already, into a slot.
func (s *cacheShard[V]) insert(e *entry[V]) {
	slots := *s.slots.Load()
	if (s.used+1)*4 > len(slots)*3 {
		s.rebuild()
		return
	}
	place(slots, e)
	s.used++
}

func place[V any](slots []slot[V], e *entry[V]) {
	mask := uint64(len(slots) - 1)
	i := position(&e.digest)
	for slots[i&mask].Load() != nil {
		i++
	}
	slots[i&mask].Store(e)
}

// rebuild makes a table of the whole list, with no tombstones, between a quarter and half full.
func (s *cacheShard[V]) rebuild() {
	n := minSlots
	for n < 2*s.live {
		n *= 2
	}
	slots := make([]slot[V], n)
	for e := s.oldest; e != nil; e = e.newer {
		place(slots, e)
	}
	s.used = s.live
	s.slots.Store(&slots)
}

// remove takes d out. What a reader has already found it may go on using: it asked before the removal.
func (c *cache[V]) remove(d *key.Digest) {
	s := c.shard(d)
	s.mu.Lock()
	s.remove(d)
	s.mu.Unlock()
}

func (s *cacheShard[V]) remove(d *key.Digest) {
	slots := *s.slots.Load()
	mask := uint64(len(slots) - 1)
	for i := position(d); ; i++ {
		e := slots[i&mask].Load()
		if e == nil {
			return
		}
		if e.digest == *d && e != s.tomb {
			slots[i&mask].Store(s.tomb)
			s.unlink(e)
			return
		}
	}
}

// unlink takes e out of the list.
func (s *cacheShard[V]) unlink(e *entry[V]) {
	if s.hand == e {
		s.hand = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		s.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		s.oldest = e.newer
	}
	s.bytes -= int64(e.size)
	s.live--
}

// evict removes the entry that SIEVE chooses. There must be one.
func (s *cacheShard[V]) evict() {
	e := s.hand
	if e == nil {
		e = s.oldest
	}
	for e.visited.Load() {
		e.visited.Store(false)
		if e = e.newer; e == nil {
			e = s.oldest
		}
	}
	s.hand = e
	s.remove(&e.digest) // moves the hand on to the next newer
	s.evictions.Add(1)
}

// clear takes everything out.
func (c *cache[V]) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		slots := make([]slot[V], minSlots)
		s.slots.Store(&slots)
		s.used, s.live, s.bytes = 0, 0, 0
		s.newest, s.oldest, s.hand = nil, nil, nil
		s.mu.Unlock()
	}
}

// CacheStats says how full a cache is.
type CacheStats struct {
	Entries   int64
	Bytes     int64 // as counted against the budget
	Evictions int64 // since the start
}

func (c *cache[V]) stats() (st CacheStats) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		st.Entries += int64(s.live)
		st.Bytes += s.bytes
		s.mu.Unlock()
		st.Evictions += s.evictions.Load()
	}
	return st
}
