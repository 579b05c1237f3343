package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apikeyd/apikeyd/bench/internal/keyfile"
	"github.com/apikeyd/apikeyd/bench/internal/process"
	"github.com/apikeyd/apikeyd/bench/internal/wrk"
)

// measureVerify measures checks of keys that are all in the cache.
func measureVerify(ctx context.Context, b *bench) ([]figure, error) {
	return b.measureChecks(ctx, mix{what: "keys in cache"}, promise{share: 0.90, tail: 1.3})
}

// measureUnknown measures checks of which one in ten is of a well-formed token that belongs to no key: first tokens
// that come again, as from clients that keep a deleted key, then tokens that come once, as from somebody who guesses,
// each of which has to be looked up.
func measureUnknown(ctx context.Context, b *bench) ([]figure, error) {
	again, err := b.measureChecks(ctx, mix{what: "10 % unknown", unknown: int(b.size.Few / 10)}, promise{share: 0.85, tail: 1.3})
	if err != nil {
		return nil, err
	}
	const perSecond = 20_000 // more than one in ten requests will be
	once, err := b.measureChecks(ctx, mix{what: "10 % unknown, never the same", once: true,
		unknown: int(perSecond * piece.Seconds())}, promise{})
	return append(again, once...), err
}

// promise is what is promised of a server beside another one; of what is 0, nothing is.
type promise struct {
	share float64 // at least so much of its requests, for each second and for each processor second
	tail  float64 // at most so much of its p99
}

// contestant is a server under load, and what was measured of it.
type contestant struct {
	*server
	runs []checkRun // one for each round
}

// measureChecks puts servers under load in turn: the floor, apikeyd as it is by default, and apikeyd without a log line
// for each check. What is promised is promised of the second.
func (b *bench) measureChecks(ctx context.Context, m mix, p promise) (_ []figure, err error) {
	var floor, usual, quiet contestant
	defer func() { err = errors.Join(err, stopAll(&floor, &usual, &quiet)) }()
	if usual.server, err = b.startCached(ctx); err != nil {
		return nil, err
	}
	if quiet.server, err = b.startCached(ctx, "--log-checks=false"); err != nil {
		return nil, err
	}
	answer, err := answerTo(ctx, usual.verification, keyfile.Token(1))
	if err != nil {
		return nil, err
	}
	if floor.server, err = b.startFloor(ctx, "verify", answer); err != nil {
		return nil, err
	}

	if err := b.compete(ctx, m, &floor, &usual, &quiet); err != nil {
		return nil, err
	}
	what := "`POST /v1/verify`, " + m.what
	return append(usual.figures(what, floor, p), quiet.figures(what+", without log lines", floor, promise{})...), nil
}

// stopAll stops the servers that were started.
func stopAll(all ...*contestant) error {
	var errs []error
	for _, c := range all {
		if c.server != nil {
			errs = append(errs, c.stop())
		}
	}
	return errors.Join(errs...)
}

// compete puts servers under the same load, in turn.
func (b *bench) compete(ctx context.Context, m mix, all ...*contestant) error {
	tokens, err := b.writeTokens(m)
	if err != nil {
		return err
	}
	// Nobody's first run counts: connections and heap are new to all, and tokens that come again must have come once.
	turns := make([]turn, len(all))
	for i, c := range all {
		if _, err := putUnderLoad(ctx, c.server, tokens, b.size.Load); err != nil {
			return err
		}
		turns[i] = func(d time.Duration) error { return measureLoad(ctx, c.server, tokens, d, &c.runs[len(c.runs)-1]) }
	}
	for range b.size.Rounds {
		for _, c := range all {
			c.runs = append(c.runs, checkRun{})
		}
		if err := takeTurns(ctx, b.size.Load, turns...); err != nil {
			return err
		}
		for _, c := range all {
			b.progress("  %s: %v", c.name, &c.runs[len(c.runs)-1])
		}
	}
	return nil
}

// startCached starts a server that has all keys of a small file in its cache.
func (b *bench) startCached(ctx context.Context, flags ...string) (*server, error) {
	path, err := b.smallFile(ctx)
	if err != nil {
		return nil, err
	}
	s, err := b.startServer(ctx, path, flags...)
	if err != nil {
		return nil, err
	}
	if err := checkAll(ctx, s.verification, b.size.Few); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// perProcessorSecond ends the name of a figure.
const perProcessorSecond = ": requests per processor second"

// figures returns what was measured beside the floor: requests for each second, and for each processor second, and p99.
func (c *contestant) figures(what string, floor contestant, p promise) []figure {
	rate := figure{What: what + ": requests per second", Unit: "/s"}
	perCPU := figure{What: what + perProcessorSecond, Unit: "/s"}
	slowest := figure{What: what + ": p99", Unit: "ms"}
	if p.share != 0 {
		rate.Bound, perCPU.Bound = bound{atLeast, p.share}, bound{atLeast, p.share}
	}
	if p.tail != 0 {
		slowest.Bound = bound{atMost, p.tail}
	}
	for i := range c.runs {
		r, f := &c.runs[i], &floor.runs[i]
		rate.add(r.perSecond(), f.perSecond())
		perCPU.add(r.perCPU(), f.perCPU())
		slowest.add(r.p99(), f.p99())
	}
	return []figure{rate, perCPU, slowest}
}

// add adds what was measured in one round.
func (f *figure) add(ours, floor float64) {
	f.Ours, f.Floor = append(f.Ours, ours), append(f.Floor, floor)
}

// checkRun is what was measured of a server in one round.
type checkRun struct {
	tally               // of requests
	spent time.Duration // by processors, on the server
	tails []float64     // p99 of each turn, ms
}

// add adds a turn.
func (r *checkRun) add(load wrk.Result, spent time.Duration) {
	r.tally.add(load.Requests, load.Duration())
	r.spent += spent
	r.tails = append(r.tails, load.P99().Seconds()*1e3)
}

// perCPU returns the requests for each second that processors spent on the server.
func (r *checkRun) perCPU() float64 { return float64(r.done) / max(r.spent, process.Tick).Seconds() }

// p99 returns the middle of those of the turns, in ms.
func (r *checkRun) p99() float64 { return median(r.tails) }

func (r *checkRun) String() string {
	return fmt.Sprintf("%.0f/s, %.0f/s of processor time, p99 %.2f ms", r.perSecond(), r.perCPU(), r.p99())
}
