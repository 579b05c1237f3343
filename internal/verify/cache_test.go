package verify

import (
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/apikeyd/apikeyd/internal/key"
)

func put(c *cache[int], d key.Digest, v int) { c.put(&entry[int]{digest: d, value: v}, 0) }

// TestCacheAgainstMap runs the same random steps on a cache that never has to evict and on a map.
func TestCacheAgainstMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	c := newCache[int](1 << 30)
	want := map[key.Digest]int{}
	for step := range 200_000 {
		d := digestOf(rng.Uint64N(2000))
		switch rng.IntN(4) {
		case 0, 1:
			put(c, d, step)
			want[d] = step
		case 2:
			c.remove(&d)
			delete(want, d)
		case 3:
			got := c.get(&d)
			v, ok := want[d]
			if (got != nil) != ok || ok && *got != v {
				t.Fatalf("step %d: get = %v, want %v %v", step, got, v, ok)
			}
		}
	}
	if st := c.stats(); st.Entries != int64(len(want)) || st.Evictions != 0 {
		t.Errorf("stats = %+v, want %d entries", st, len(want))
	}
	for d := range want {
		c.remove(&d)
	}
	if st := c.stats(); st.Entries != 0 || st.Bytes != 0 {
		t.Errorf("after removing all: %+v", st)
	}
}

func TestCacheKeepsToItsBudget(t *testing.T) {
	const budget = 256 << 10
	c := newCache[int](budget)
	for i := range uint64(20_000) {
		put(c, digestOf(i), int(i))
		if i%1000 == 0 {
			if st := c.stats(); st.Bytes > budget {
				t.Fatalf("%d bytes after %d entries, budget %d", st.Bytes, i, budget)
			}
		}
	}
	if st := c.stats(); st.Bytes < budget*8/10 {
		t.Errorf("only %d of %d bytes used", st.Bytes, budget)
	}
	huge := digestOf(1 << 40)
	c.put(&entry[int]{digest: huge}, budget)
	if c.get(&huge) != nil {
		t.Error("an entry larger than its shard's budget was kept")
	}
}

// Keys in use outlive any number of keys that are asked for once: what SIEVE is for, and LRU is not.
func TestCacheScanDoesNotEvictKeysInUse(t *testing.T) {
	c := newCache[int](1 << 20)
	const inUse = 1000
	for i := range uint64(inUse) {
		put(c, digestOf(i), int(i))
	}
	for i := range uint64(100_000) {
		if i%10 == 0 { // the keys in use are asked for all along
			for j := range uint64(100) {
				d := digestOf((i*10 + j) % inUse)
				c.get(&d)
			}
		}
		put(c, digestOf(1<<32+i), int(i))
	}
	lost := 0
	for i := range uint64(inUse) {
		d := digestOf(i)
		if c.get(&d) == nil {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d keys in use were evicted by a scan", lost, inUse)
	}
}

// TestMemoryPerKey is the claim "at most 400 bytes per cached key", and holds the cache's own count against the heap.
func TestMemoryPerKey(t *testing.T) {
	if testing.Short() {
		t.Skip("asked for short tests: this one fills a cache with 300,000 keys")
	}
	const keys = 300_000
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	c := newCache[known](1 << 30)
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range keys {
		r := record(int64(i))
		r.Name = string(make([]byte, 20))
		var d key.Digest
		for j := range d {
			d[j] = byte(rng.Uint32())
		}
		c.put(&entry[known]{digest: d, value: known{record: r}}, len(r.Name))
	}
	perKey := float64(heap()-before) / keys
	counted := float64(c.stats().Bytes) / keys
	t.Logf("%.0f bytes per key on the heap, %.0f counted", perKey, counted)
	if perKey > 400 {
		t.Errorf("%.0f bytes per cached key, want at most 400", perKey)
	}
	if counted < perKey*0.85 || counted > perKey*1.3 {
		t.Errorf("the budget counts %.0f bytes where the heap has %.0f", counted, perKey)
	}
	runtime.KeepAlive(c)
}
