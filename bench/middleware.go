package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/bench/internal/keyfile"
	"github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/middleware"
)

// inProcess is how many keys are checked by turns.
const inProcess = 1000

// measureMiddleware measures a check in the memory of another program, with a server that grants its lease, on one processor.
func measureMiddleware(ctx context.Context, b *bench) (_ []figure, err error) {
	path, err := b.smallFile(ctx)
	if err != nil {
		return nil, err
	}
	s, err := b.startServer(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	keys, err := client.NewVerifier(s.verification)
	if err != nil {
		return nil, err
	}
	cache := middleware.NewCache(keys, middleware.CacheOptions{})
	defer cache.Close()
	questions := make([]api.VerifyRequest, min(inProcess, b.size.Few))
	for i := range questions {
		text := keyfile.Token(int64(i + 1))
		questions[i] = api.VerifyRequest{Key: string(text[:]), Scope: api.ScopeRead, IP: "203.0.113.9"}
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))

	took := figure{What: "`middleware.Cache`, key in the program's memory, one processor", Unit: "ns", Bound: bound{under, 1000}}
	allocated := figure{What: "allocations of the same", Unit: "", Bound: bound{atMost, 0}}
	err = inTurn(ctx, b.size.Rounds, func() error {
		if err := awaitLease(ctx, cache, questions); err != nil {
			return err
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		checks := 0
		for time.Since(began) < b.size.Loop {
			if err := askAll(ctx, cache, questions); err != nil {
				return err
			}
			checks += len(questions)
		}
		elapsed := time.Since(began)
		runtime.ReadMemStats(&after)
		took.Ours = append(took.Ours, float64(elapsed.Nanoseconds())/float64(checks))
		// A whole number, as testing.B counts: renewals of the lease allocate by the way.
		allocated.Ours = append(allocated.Ours, float64((after.Mallocs-before.Mallocs)/uint64(checks)))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return []figure{took, allocated}, nil
}

// awaitLease returns when the cache has a lease, and every key.
func awaitLease(ctx context.Context, cache *middleware.Cache, questions []api.VerifyRequest) error {
	for end := time.Now().Add(readyTimeout); !cache.Leased(); time.Sleep(time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(end) {
			return errors.New("the cache gets no lease")
		}
	}
	return askAll(ctx, cache, questions)
}

func askAll(ctx context.Context, cache *middleware.Cache, questions []api.VerifyRequest) error {
	for i := range questions {
		if a, err := cache.Verify(ctx, questions[i]); err != nil || !a.Valid {
			return fmt.Errorf("key %d is %s: %w", i+1, a.Code, err)
		}
	}
	return nil
}
