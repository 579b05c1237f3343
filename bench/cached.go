package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/apikeyd/apikeyd/bench/internal/keyfile"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/usage"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// endless is a store.Tokens that knows every token: it returns a new record each time, of the usual size.
type endless struct{ keyID int64 }

func (e *endless) RecordByDigest(context.Context, key.Digest) (*key.Record, error) {
	e.keyID++
	return &key.Record{KeyID: e.keyID, OrganizationID: 1, UserID: 1, Name: fmt.Sprintf("Backend key %08d", e.keyID),
		Scopes: key.AllScopes, Enabled: true}, nil
}

// discard is a usage.Writer that writes nothing.
type discard struct{}

func (discard) Update(context.Context, func(store.Tx) error) ([]store.Change, error) { return nil, nil }

// fullChecker returns a checker that has so many keys in its cache: those with the ids from 1 on.
func fullChecker(ctx context.Context, keys int) (*verify.Checker, error) {
	recorder := usage.NewRecorder(discard{}, slog.New(slog.DiscardHandler))
	c := verify.New(verify.Options{Tokens: new(endless), Usage: recorder, Now: time.Now,
		CacheBytes: 1 << 40, NegativeCacheBytes: 1 << 20})
	for i := range keys {
		text := keyfile.Token(int64(i + 1))
		if d, err := c.Check(ctx, text[:], key.Question{}); err != nil || d.Outcome != key.CheckValid {
			return nil, fmt.Errorf("key %d is %v: %w", i+1, d.Outcome, err)
		}
	}
	// What was noted to be written is written every few seconds in a server that runs.
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	recorder.Run(stopped)
	return c, nil
}

// measureCached measures a check of a key in the cache, on one processor. The tokens come in order, as from a buffer
// just read; where they are in the cache is random, because digests are.
func measureCached(ctx context.Context, b *bench) ([]figure, error) {
	c, err := fullChecker(ctx, b.size.Cached)
	if err != nil {
		return nil, err
	}
	texts := make([]keyfile.Text, b.size.Cached)
	for i := range texts {
		texts[i] = keyfile.Token(int64(i + 1))
	}
	runtime.GC()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))

	keys := count(int64(b.size.Cached))
	took := figure{What: fmt.Sprintf("`verify.Check`, key in cache, %s keys, one processor", keys), Unit: "ns", Bound: bound{under, 500}}
	allocated := figure{What: "allocations of it", Unit: "", Bound: bound{atMost, 0}}
	next := 0
	err = inTurn(ctx, b.size.Rounds, func() error {
		const step = 1000 // checks between two looks at the clock
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		checks := 0
		for time.Since(began) < b.size.Loop {
			for range step {
				d, err := c.Check(ctx, texts[next][:], key.Question{Scope: key.Read, OrganizationID: 1})
				if err != nil || d.Outcome != key.CheckValid {
					return fmt.Errorf("key %d is %v: %w", next+1, d.Outcome, err)
				}
				if next++; next == len(texts) {
					next = 0
				}
			}
			checks += step
		}
		elapsed := time.Since(began)
		runtime.ReadMemStats(&after)
		took.Ours = append(took.Ours, float64(elapsed.Nanoseconds())/float64(checks))
		// A whole number, as testing.B counts: what the runtime allocates by the way is not the check's.
		allocated.Ours = append(allocated.Ours, float64((after.Mallocs-before.Mallocs)/uint64(checks)))
		return nil
	})
	if err != nil {
		return nil, err
	}
	if st := c.Stats(); st.Misses != int64(b.size.Cached) || st.Known.Evictions != 0 {
		return nil, errors.New("not every key was in the cache")
	}
	return []figure{took, allocated}, nil
}
