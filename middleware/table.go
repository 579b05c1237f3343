package middleware

import (
	"encoding/binary"
	"sync"
)

// table holds entries by their digests, as many as there may be. To make room it drops the oldest that was not asked for since
// it last looked: what is asked for once passes through without driving out what is in use.
type table struct{ shards []shard }

type shard struct {
	mu      sync.RWMutex
	entries map[digest]*entry
	ring    []*entry // the same ones
	most    int
	hand    int // where the search for one to drop begins
	_       [64]byte
}

// newTable returns a table of at most so many entries.
func newTable(most int) *table {
	const shards = 64 // so that processors do not wait for each other
	n := 1
	if most >= 100*shards {
		n = shards
	}
	t := &table{shards: make([]shard, n)}
	for i := range t.shards {
		t.shards[i].most = most / n
		t.shards[i].entries = map[digest]*entry{}
	}
	return t
}

// shard returns where a digest belongs. Digests are uniformly distributed.
func (t *table) shard(d *digest) *shard {
	return &t.shards[binary.LittleEndian.Uint32(d[:])%uint32(len(t.shards))]
}

func (t *table) get(d *digest) *entry {
	s := t.shard(d)
	s.mu.RLock()
	e := s.entries[*d]
	s.mu.RUnlock()
	if e != nil && !e.visited.Load() { // read first: a store would take the cache line from the other processors
		e.visited.Store(true)
	}
	return e
}

func (t *table) put(e *entry) {
	s := t.shard(&e.digest)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(&e.digest)
	if s.most == 0 {
		return
	}
	if len(s.ring) == s.most {
		s.evict()
	}
	e.slot = len(s.ring)
	s.ring = append(s.ring, e)
	s.entries[e.digest] = e
}

func (t *table) remove(d *digest) {
	s := t.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(d)
}

func (t *table) clear() {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		clear(s.entries)
		s.ring, s.hand = nil, 0
		s.mu.Unlock()
	}
}

func (t *table) len() (n int) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.RLock()
		n += len(s.ring)
		s.mu.RUnlock()
	}
	return n
}

// evict drops one. There must be one.
func (s *shard) evict() {
	for {
		s.hand %= len(s.ring)
		e := s.ring[s.hand]
		if !e.visited.Load() {
			s.remove(&e.digest)
			return
		}
		e.visited.Store(false)
		s.hand++
	}
}

// remove takes an entry out, and puts the last of the ring in its place.
func (s *shard) remove(d *digest) {
	e := s.entries[*d]
	if e == nil {
		return
	}
	delete(s.entries, *d)
	last := len(s.ring) - 1
	s.ring[e.slot] = s.ring[last]
	s.ring[e.slot].slot = e.slot
	s.ring[last] = nil
	s.ring = s.ring[:last]
}
