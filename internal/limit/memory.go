package limit

import (
	"sync"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
)

const (
	memoryShards = 256

	// sweepChunk is how many keys are looked at while one lock is held: some ten microseconds.
	sweepChunk = 256
	// sweepOnInsert is how many keys are looked at whenever one comes in. More than one: what is used up no longer goes
	// faster than new keys come, however many they are.
	sweepOnInsert = 2
	// shrinkAbove is how many keys a shard has room for without giving any back.
	shrinkAbove = 64

	// mostLate is how long a request may take from when it has looked at the clock until it is counted: also in a process that was
	// stopped for a while. A time that is further back is that of a clock that has jumped, as only one that is not monotonic does.
	mostLate = time.Hour
)

// Memory holds how much of the limits of keys is used, of one process. A key whose limits are all there again is
// forgotten, so that memory is taken by those alone that were used within a window. Its methods are safe for concurrent use.
type Memory struct {
	start  time.Time // times count from here: by the monotonic clock, where there is one
	shards [memoryShards]memoryShard
}

type memoryShard struct {
	mu     sync.Mutex
	index  map[int64]int32 // of keys in keys
	keys   []usedKey
	cursor int   // the key that is looked at next, whether it can be forgotten
	latest int64 // the latest time that a request has looked at the clock
	_      [8]byte
}

// usedKey is a key of which something is used.
type usedKey struct {
	keyID  int64
	limits []usedLimit // as many as it has, in the same order
}

type usedLimit struct {
	name     string
	requests int64 // that the level's part is a fraction of
	level
}

// NewMemory returns a Memory in which nothing is used.
func NewMemory(now time.Time) *Memory {
	m := &Memory{start: now}
	for i := range m.shards {
		m.shards[i].index = map[int64]int32{}
	}
	return m
}

// take counts one request against all limits, or, where one of them has no room for it, against none. There is at least one. It
// returns what is left of the one that is nearest to being used up, or of the one that refused: of several, the one that does so
// longest.
func (m *Memory) take(keyID int64, limits []key.Limit, at time.Time) (a key.Allowance, ok bool) {
	s := &m.shards[uint64(keyID)%memoryShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.time(int64(at.Sub(m.start)))
	used := s.used(keyID, limits, now)
	refusal, ok := refuse(used, limits, now)
	if !ok {
		return refusal, false
	}
	for i := range limits {
		u, r := &used[i], rateOf(&limits[i])
		u.level = r.spend(u.level)
		if left := r.allowance(u.name, u.level, now, time.Nanosecond); i == 0 || nearer(left, a) {
			a = left
		}
	}
	return a, true
}

// time returns the time of a request that has looked at the clock at at. Others that have looked later may have been counted before it,
// and to them it would be a clock that has jumped back: what is used would be brought to where it stood then, and be there once more.
func (s *memoryShard) time(at int64) int64 {
	if at < s.latest && s.latest-at <= int64(mostLate) {
		return s.latest
	}
	s.latest = at
	return at
}

// refuse looks whether there is room for one more request, and brings all levels to where they stand at now. That has to be kept
// where nothing is taken, too: else a clock that has jumped back would be waited for.
func refuse(used []usedLimit, limits []key.Limit, now int64) (a key.Allowance, ok bool) {
	ok = true
	for i := range limits {
		u, r := &used[i], rateOf(&limits[i])
		u.level = r.at(u.level, now)
		wait := time.Duration(r.over(r.spend(u.level), now))
		if wait > 0 && (ok || wait > a.Retry) {
			a, ok = r.allowance(u.name, u.level, now, time.Nanosecond), false
			a.Retry = wait
		}
	}
	return a, ok
}

func rateOf(l *key.Limit) rate { return rate{requests: l.Requests, window: int64(l.Window)} }

// used returns how much of each limit of a key is used.
func (s *memoryShard) used(keyID int64, limits []key.Limit, now int64) []usedLimit {
	i, ok := s.index[keyID]
	if !ok {
		s.sweep(sweepOnInsert, now)
		i = int32(len(s.keys))
		s.keys = append(s.keys, usedKey{keyID: keyID})
		s.index[keyID] = i
	}
	k := &s.keys[i]
	if !k.about(limits) {
		k.change(limits, now)
	}
	return k.limits
}

// about reports whether the limits of k are these.
func (k *usedKey) about(limits []key.Limit) bool {
	if len(k.limits) != len(limits) {
		return false
	}
	for i := range limits {
		if u := &k.limits[i]; u.requests != limits[i].Requests || u.name != limits[i].Name {
			return false
		}
	}
	return true
}

// change gives k other limits. What is used of one that had the same name stays used, as a part of the whole.
func (k *usedKey) change(limits []key.Limit, now int64) {
	changed := make([]usedLimit, len(limits))
	for i := range limits {
		changed[i] = usedLimit{name: limits[i].Name, requests: limits[i].Requests, level: level{at: now}}
		for _, u := range k.limits {
			if u.name != limits[i].Name {
				continue
			}
			changed[i].level = u.level
			if u.requests != limits[i].Requests {
				changed[i].level = level{at: u.up()}
			}
		}
	}
	k.limits = changed
}

// full reports whether all of each limit is there again.
func (k *usedKey) full(now int64) bool {
	for i := range k.limits {
		if k.limits[i].up() > now {
			return false
		}
	}
	return true
}

// Sweep forgets the keys whose limits are all there again. Nobody waits for it longer than it takes to look at a few.
func (m *Memory) Sweep(at time.Time) {
	now := int64(at.Sub(m.start))
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		s.cursor = 0
		left := len(s.keys)
		s.mu.Unlock()
		for ; left > 0; left -= sweepChunk {
			s.mu.Lock()
			s.sweep(sweepChunk, now)
			s.mu.Unlock()
		}
		s.mu.Lock()
		s.shrink()
		s.mu.Unlock()
	}
}

// sweep looks at n keys whether they can be forgotten.
func (s *memoryShard) sweep(n int, now int64) {
	for range min(n, len(s.keys)) {
		if s.cursor >= len(s.keys) {
			s.cursor = 0
		}
		if s.keys[s.cursor].full(now) {
			s.forget(s.cursor)
		} else {
			s.cursor++
		}
	}
}

// forget takes a key out; the last one takes its place.
func (s *memoryShard) forget(i int) {
	last := len(s.keys) - 1
	delete(s.index, s.keys[i].keyID)
	if i != last {
		s.keys[i] = s.keys[last]
		s.index[s.keys[i].keyID] = int32(i)
	}
	s.keys[last] = usedKey{}
	s.keys = s.keys[:last]
}

// shrink gives memory back where little of it is in use.
func (s *memoryShard) shrink() {
	if cap(s.keys) <= shrinkAbove || len(s.keys) > cap(s.keys)/4 {
		return
	}
	s.keys = append(make([]usedKey, 0, 2*len(s.keys)), s.keys...)
	s.index = make(map[int64]int32, len(s.keys))
	for i := range s.keys {
		s.index[s.keys[i].keyID] = int32(i)
	}
}

// Keys returns of how many keys something is used, or was when they were looked at last.
func (m *Memory) Keys() int {
	n := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += len(s.keys)
		s.mu.Unlock()
	}
	return n
}
