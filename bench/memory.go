package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// measureMemory measures what a cached key takes on the heap, and by how much a whole server grows that has checked as
// many: that has what requests and look-ups have left behind as well.
func measureMemory(ctx context.Context, b *bench) (_ []figure, err error) {
	keys := count(int64(b.size.Cached))
	heap := figure{What: fmt.Sprintf("memory for each cached key, %s keys", keys), Unit: "bytes", Bound: bound{atMost, 400}}
	err = inTurn(ctx, b.size.Rounds, func() error {
		before := heapInUse()
		c, err := fullChecker(ctx, b.size.Cached)
		if err != nil {
			return err
		}
		heap.Ours = append(heap.Ours, float64(heapInUse()-before)/float64(b.size.Cached))
		if n := c.Stats().Known.Entries; n != int64(b.size.Cached) {
			return fmt.Errorf("%d keys are in the cache, want %d", n, b.size.Cached)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}

	path, err := b.largeFile(ctx)
	if err != nil {
		return nil, err
	}
	s, err := b.startServer(ctx, path, "--cache-size", "1GiB")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	before, err := s.Memory()
	if err != nil {
		return nil, err
	}
	b.progress("checking %s keys", keys)
	if err := checkAll(ctx, s.verification, int64(b.size.Cached)); err != nil {
		return nil, err
	}
	after, err := s.Memory()
	if err != nil {
		return nil, err
	}
	if c, err := s.counters(ctx); err != nil || c.cached != int64(b.size.Cached) {
		return nil, errors.Join(fmt.Errorf("%d keys are in the cache, want %d", c.cached, b.size.Cached), err)
	}
	whole := figure{What: fmt.Sprintf("growth of the whole server for each of %s keys checked once", keys), Unit: "bytes",
		Ours: []float64{float64(after-before) / float64(b.size.Cached)}}
	return []figure{heap, whole}, nil
}

// heapInUse returns how many bytes on the heap are in use.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // what has a finalizer or stands in a pool goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
