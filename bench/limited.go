package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/apikeyd/apikeyd/bench/internal/keyfile"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/limit"
	"github.com/apikeyd/apikeyd/internal/limit/valkeytest"
	"github.com/apikeyd/apikeyd/internal/store"
)

// measureLimited measures checks of keys that have a limit each, and of the same keys without.
func measureLimited(ctx context.Context, b *bench) (_ []figure, err error) {
	var free, limited contestant
	defer func() { err = errors.Join(err, stopAll(&free, &limited)) }()
	if free.server, err = b.startCached(ctx); err != nil {
		return nil, err
	}
	path, err := b.smallFile(ctx)
	if err != nil {
		return nil, err
	}
	if err := limitAll(ctx, path); err != nil {
		return nil, err
	}
	if limited.server, err = b.startServer(ctx, path); err != nil {
		return nil, err
	}
	if err := checkAll(ctx, limited.verification, b.size.Few); err != nil {
		return nil, err
	}
	if err := b.compete(ctx, mix{what: "keys with a limit"}, &free, &limited); err != nil {
		return nil, err
	}
	return limited.figures("`POST /v1/verify`, keys with a limit, beside keys without", free, promise{share: 0.90, tail: 1.3}), nil
}

// limitAll gives all keys of a file a limit that no load uses up.
func limitAll(ctx context.Context, path string) (err error) {
	db, err := keyfile.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(ctx, `UPDATE api_keys SET restrictions = ?`, `{"limits":[{"name":"default","requests":1000000000,"window_seconds":60}]}`)
	return err
}

// leastCount is the least that a script must do to count by the server's clock, and to leave nothing behind.
const leastCount = `local time = redis.call('TIME')
local kept = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], time[1], 'PX', 60000)
return kept and 1 or 0`

// measureLimitedTogether measures requests that are counted in a server which several nodes could share.
func measureLimitedTogether(ctx context.Context, b *bench) (_ []figure, err error) {
	dir, err := os.MkdirTemp(b.work, "valkey-")
	if err != nil {
		return nil, err
	}
	server, err := valkeytest.Launch(dir)
	if err != nil {
		return nil, err
	}
	defer server.End()
	client, err := valkey.NewClient(valkey.ClientOption{InitAddress: []string{server.Address()}, ForceSingleClient: true, DisableCache: true})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	log := slog.New(slog.DiscardHandler)
	shared, err := limit.NewValkey(server.URL(), "", log)
	if err != nil {
		return nil, err
	}
	defer shared.Close()
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() { shared.Run(ctx) })
	defer looking.Wait()
	defer cancel()
	limiter := limit.New(limit.Options{Quotas: noQuotas{}, Valkey: shared, Closed: true, Now: time.Now, Log: log})

	script, restrictions := valkey.NewLuaScript(leastCount), &key.Restrictions{Limits: []key.Limit{{Name: "default", Requests: 1_000_000_000, Window: time.Minute}}}
	f := figure{What: "a request counted against a limit in a Valkey or Redis", Unit: "/s", Bound: bound{atLeast, 0.7}}
	err = inTurn(ctx, b.size.Rounds,
		func() error {
			perSecond, err := b.punctual(shared, func(i int64) error {
				_, _, err := limiter.Take(ctx, i, restrictions, time.Now())
				return err
			})
			f.Ours = append(f.Ours, perSecond)
			return err
		},
		func() error {
			perSecond, err := b.callers(func(i int64) error {
				return script.Exec(ctx, client, []string{fmt.Sprintf("floor:{%d}", i)}, nil).Error()
			})
			f.Floor = append(f.Floor, perSecond)
			return err
		})
	return []figure{f}, err
}

// punctual is callers where a machine that stands still makes the server late for whoever calls: then it is measured anew.
func (b *bench) punctual(shared *limit.Valkey, call func(i int64) error) (perSecond float64, err error) {
	const tries = 10
	for range tries {
		if perSecond, err = b.callers(call); !errors.Is(err, store.ErrUnavailable) {
			return perSecond, err
		}
		for end := time.Now().Add(readyTimeout); !shared.Up() && time.Now().Before(end); time.Sleep(time.Millisecond) {
		}
	}
	return perSecond, err
}

// callers has many call at the same time, each with numbers from 1 to 1,000, and returns how many calls there were in a second.
func (b *bench) callers(call func(i int64) error) (perSecond float64, err error) {
	const callers, numbers = 64, 1000
	var all sync.WaitGroup
	var calls atomic.Int64
	errs := make([]error, callers)
	began := time.Now()
	for c := range callers {
		all.Go(func() {
			for i := int64(c); errs[c] == nil && time.Since(began) < b.size.Loop; i++ {
				errs[c] = call(i%numbers + 1)
				calls.Add(1)
			}
		})
	}
	all.Wait()
	return float64(calls.Load()) / time.Since(began).Seconds(), errors.Join(errs...)
}

// noQuotas is the store of quotas where no key has one.
type noQuotas struct{}

func (noQuotas) TakeQuota(context.Context, store.QuotaTake) (store.QuotaShare, error) {
	return store.QuotaShare{}, store.ErrNotFound
}
