package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/bench/internal/keyfile"
	"github.com/apikeyd/apikeyd/client"
)

// measureOrganization measures the deletion of an organization with all its keys by one node of three, each time in a new copy of
// the same database, and meanwhile checks of other keys on the other two.
func measureOrganization(ctx context.Context, b *bench) (_ []figure, err error) {
	d, err := startDatabases()
	if err != nil {
		return nil, err
	}
	defer d.Discard()
	if _, err := d.fill(ctx, "original", b.size.Organization); err != nil {
		return nil, err
	}
	took := figure{What: fmt.Sprintf("`DELETE /v1/organizations/{organization_id}` with %s keys, %d nodes", count(b.size.Organization/10), nodeCount),
		Unit: "s", Bound: bound{under, 5}}
	checks := figure{What: "checks on the other nodes meanwhile: p99, beside that before", Unit: "ms"}
	for round := range b.size.Rounds {
		name := fmt.Sprintf("copy_%d", round)
		url, err := d.create(ctx, name, "original")
		if err != nil {
			return nil, err
		}
		r, err := b.deleteOrganization(ctx, url)
		if err != nil {
			return nil, err
		}
		b.progress("  deleted in %.2f s; checks: p99 %.2f ms, before %.2f ms", r.took, r.during, r.before)
		took.Ours = append(took.Ours, r.took)
		checks.add(r.during, r.before)
		if err := execute(ctx, d.URL("postgres"), "DROP DATABASE "+name); err != nil {
			return nil, err
		}
	}
	return []figure{took, checks}, nil
}

// deletion is what was measured of one.
type deletion struct {
	took           float64 // seconds
	before, during float64 // p99 of checks, in milliseconds
}

func (b *bench) deleteOrganization(ctx context.Context, database string) (r deletion, err error) {
	all, err := b.startNodes(ctx, database, nodeCount)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, all.stop()) }()
	for _, s := range all {
		if err := checkAll(ctx, s.verification, min(b.size.Few, b.size.Organization)); err != nil {
			return r, err
		}
	}
	clients, err := all.clients()
	if err != nil {
		return r, err
	}
	if r.before, err = checkMeanwhile(ctx, all[1:], func(ctx context.Context) error {
		select {
		case <-time.After(b.size.Load / 5):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}); err != nil {
		return r, err
	}
	r.during, err = checkMeanwhile(ctx, all[1:], func(ctx context.Context) error {
		began := time.Now()
		err := clients[0].DeleteOrganization(ctx, keyfile.Large)
		r.took = time.Since(began).Seconds()
		return err
	})
	if err != nil {
		return r, err
	}
	for _, s := range all { // the promise itself
		if err := holdDead(ctx, s); err != nil {
			return r, err
		}
	}
	return r, nil
}

// holdDead makes sure that a node does not know keys of the large organization any more.
func holdDead(ctx context.Context, s *server) error {
	v, err := client.NewVerifier(s.verification)
	if err != nil {
		return err
	}
	defer v.CloseIdleConnections()
	a, err := v.Verify(ctx, api.VerifyRequest{Key: caller()})
	if err == nil && a.Code != api.VerifyNotFound {
		err = fmt.Errorf("a key of a deleted organization is %s on %s", a.Code, s.name)
	}
	return err
}

// checkMeanwhile checks a key of another organization on each of the nodes, once in so often, for as long as something takes, and
// returns the time of the slowest 1 % in milliseconds. Each check must find the key valid.
func checkMeanwhile(ctx context.Context, others nodes, something func(context.Context) error) (p99 float64, err error) {
	const pause = 2 * time.Millisecond
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	var (
		mu     sync.Mutex
		took   []float64
		failed error
		all    sync.WaitGroup
	)
	for _, s := range others {
		v, err := client.NewVerifier(s.verification)
		if err != nil {
			return 0, err
		}
		text := keyfile.Token(1)
		all.Go(func() {
			defer v.CloseIdleConnections()
			every := time.NewTicker(pause)
			defer every.Stop()
			for {
				began := time.Now()
				a, err := v.Verify(ctx, api.VerifyRequest{Key: string(text[:])})
				if err == nil && !a.Valid {
					err = fmt.Errorf("a key of another organization is %s on %s", a.Code, s.name)
				}
				mu.Lock()
				took, failed = append(took, time.Since(began).Seconds()*1e3), errors.Join(failed, err)
				mu.Unlock()
				if err != nil {
					cancel()
					return
				}
				select {
				case <-done:
					return
				case <-every.C:
				}
			}
		})
	}
	err = something(ctx)
	close(done)
	all.Wait()
	return percentile(took, 99), errors.Join(failed, err)
}
