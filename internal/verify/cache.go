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
// Digests are SHA-256 and thus uniformly distributed, so their own bits serve as hash. Somebody could search for
// tokens whose digests collide in those bits, but would have to be handed them as keys: only the small cache of
// unknown tokens can be filled from outside.
type cache[V any] struct {
	shards   [cacheShards]cacheShard[V]
	overhead int64 // bytes that an entry takes beside what its value refers to
}

const cacheShards = 64

type cacheShard[V any] struct {
	buckets atomic.Pointer[[]bucket[V]] // a power of two of them; linear probing

	mu     sync.Mutex // held by whoever changes anything
	used   int        // tags that are not empty: entries and tombstones
	live   int        // entries
	bytes  int64
	budget int64
	newest *entry[V] // the list in order of arrival
	oldest *entry[V]
	hand   *entry[V] // where the next search for a victim begins; nil: at the oldest

	evictions atomic.Int64
	// Shards are changed by different processors; without the gap they would share cache lines.
	_ [64]byte
}

// bucket is one cache line: the tags tell, without a look at the entries, which of them may be the one. A tag stands
// for the entry of the same index; the eighth byte is not used.
type bucket[V any] struct {
	tags    atomic.Uint64
	entries [bucketSize]atomic.Pointer[entry[V]]
}

const (
	bucketSize = 7

	tagEmpty  = 0 // nothing here, and nothing behind this bucket that began before it
	tagTomb   = 1 // an entry was removed, but probing goes on behind this bucket
	firstTag  = 2 // tags of entries are from here to 255
	minBucket = 2
)

// entry is one cached value. Digest and value are set before it is put, and never change afterwards. What every hit
// reads stands in front, in as few cache lines as possible.
type entry[V any] struct {
	digest  key.Digest
	visited atomic.Bool
	size    int32
	value   V

	newer *entry[V]
	older *entry[V]
}

// newCache returns a cache of at most budget bytes.
func newCache[V any](budget int64) *cache[V] {
	// A bucket of 64 bytes holds 5 entries when its table is full and half of that after it has grown.
	const share = 16
	c := &cache[V]{overhead: int64(unsafe.Sizeof(entry[V]{})) + share}
	for i := range c.shards {
		s := &c.shards[i]
		s.budget = budget / cacheShards
		s.reset()
	}
	return c
}

func (s *cacheShard[V]) reset() {
	buckets := make([]bucket[V], minBucket)
	s.buckets.Store(&buckets)
	s.used, s.live, s.bytes = 0, 0, 0
	s.newest, s.oldest, s.hand = nil, nil, nil
}

// clear drops every entry.
func (c *cache[V]) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.reset()
		s.mu.Unlock()
	}
}

// Different bits of a digest choose the shard, the first bucket and the tag.
func (c *cache[V]) shard(d *key.Digest) *cacheShard[V] { return &c.shards[d[0]%cacheShards] }

func firstBucket(d *key.Digest) uint64 { return binary.LittleEndian.Uint64(d[8:]) }

func tagOf(d *key.Digest) byte { return max(d[1], firstTag) }

func tagAt(tags uint64, i int) byte { return byte(tags >> (8 * i)) }

// setTag changes one tag. Only the holder of the shard's lock writes tags.
func (b *bucket[V]) setTag(i int, tag byte) {
	shift := 8 * i
	b.tags.Store(b.tags.Load()&^(0xff<<shift) | uint64(tag)<<shift)
}

// full reports whether probing goes on behind a bucket with these tags.
func full(tags uint64) bool {
	for i := range bucketSize {
		if tagAt(tags, i) == tagEmpty {
			return false
		}
	}
	return true
}

// find returns the entry of d and where it stands, or nil.
func (s *cacheShard[V]) find(d *key.Digest) (e *entry[V], in *bucket[V], at int) {
	buckets := *s.buckets.Load()
	mask := uint64(len(buckets) - 1)
	tag := tagOf(d)
	for n := firstBucket(d); ; n++ {
		b := &buckets[n&mask]
		tags := b.tags.Load()
		for i := range bucketSize {
			if tagAt(tags, i) != tag {
				continue
			}
			// The entry may have been exchanged since its tag was read; its digest decides.
			if e := b.entries[i].Load(); e != nil && e.digest == *d {
				return e, b, i
			}
		}
		if !full(tags) {
			return nil, nil, 0
		}
	}
}

// get returns the value for d, or nil.
func (c *cache[V]) get(d *key.Digest) *V {
	e, _, _ := c.shard(d).find(d)
	if e == nil {
		return nil
	}
	if !e.visited.Load() { // read first: a store would take the cache line from the other processors
		e.visited.Store(true)
	}
	return &e.value
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

// insert puts e, which is in the list already, into a bucket.
func (s *cacheShard[V]) insert(e *entry[V]) {
	buckets := *s.buckets.Load()
	if (s.used+1)*5 > len(buckets)*bucketSize*4 { // one in five stays empty, so that probing ends soon
		s.rebuild()
		return
	}
	place(buckets, e)
	s.used++
}

func place[V any](buckets []bucket[V], e *entry[V]) {
	mask := uint64(len(buckets) - 1)
	for n := firstBucket(&e.digest); ; n++ {
		b := &buckets[n&mask]
		for i := range bucketSize {
			if tagAt(b.tags.Load(), i) == tagEmpty {
				b.entries[i].Store(e) // before its tag, or a reader would find nothing behind it
				b.setTag(i, tagOf(&e.digest))
				return
			}
		}
	}
}

// rebuild makes a table of the whole list, with no tombstones, at most 40 % full.
func (s *cacheShard[V]) rebuild() {
	n := minBucket
	for n*bucketSize*2 < s.live*5 {
		n *= 2
	}
	buckets := make([]bucket[V], n)
	for e := s.oldest; e != nil; e = e.newer {
		place(buckets, e)
	}
	s.used = s.live
	s.buckets.Store(&buckets)
}

// remove takes d out. What a reader has already found it may go on using: it asked before the removal.
func (c *cache[V]) remove(d *key.Digest) {
	s := c.shard(d)
	s.mu.Lock()
	s.remove(d)
	s.mu.Unlock()
}

func (s *cacheShard[V]) remove(d *key.Digest) {
	e, b, i := s.find(d)
	if e == nil {
		return
	}
	if full(b.tags.Load()) {
		b.setTag(i, tagTomb)
	} else {
		b.setTag(i, tagEmpty)
		s.used--
	}
	b.entries[i].Store(nil)
	s.unlink(e)
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
