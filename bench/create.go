package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apikeyd/apikeyd/bench/internal/keyfile"
	"github.com/apikeyd/apikeyd/bench/internal/wrk"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// measureCreate measures creates over HTTP by many clients at once, and durable inserts on the bare driver, one after
// the other, into the same tables on the same file system. The insert is of the row of a key alone; a create writes its
// token as well, and looks at the rights of the caller.
func measureCreate(ctx context.Context, b *bench) (_ []figure, err error) {
	path, err := b.smallFile(ctx)
	if err != nil {
		return nil, err
	}
	s, err := b.startServer(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	barePath, err := b.smallFile(ctx)
	if err != nil {
		return nil, err
	}
	f := figure{What: fmt.Sprintf("creates by %d clients, durable", wrk.Connections), Unit: "/s", Bound: bound{atLeast, 2}}
	latency := figure{What: "the same: time of the slowest 1 % (p99)", Unit: "ms"}
	for range b.size.Rounds {
		var created, inserted tally
		var tails []float64
		err := takeTurns(ctx, b.size.Load,
			func(d time.Duration) error {
				r, err := b.createKeys(ctx, s, path, d)
				created.add(r.Requests, r.Duration())
				tails = append(tails, r.P99().Seconds()*1e3)
				return err
			},
			func(d time.Duration) error {
				n, took, err := insertAlone(ctx, barePath, d)
				inserted.add(n, took)
				return err
			})
		if err != nil {
			return nil, err
		}
		f.add(created.perSecond(), inserted.perSecond())
		latency.Ours = append(latency.Ours, median(tails))
	}
	return []figure{f, latency}, nil
}

// createKeys has a server create keys for a while. All that it says it has made must be in the file.
func (b *bench) createKeys(ctx context.Context, s *server, path string, d time.Duration) (r wrk.Result, err error) {
	before, err := lastKey(ctx, path)
	if err != nil {
		return r, err
	}
	if r, err = wrk.Create(ctx, s.management+"/v1/api-keys", caller(), keyfile.Large, d); err != nil {
		return r, err
	}
	after, err := lastKey(ctx, path)
	if err != nil {
		return r, err
	}
	if after-before < r.Requests {
		return r, fmt.Errorf("%d keys were made, wrk got %d answers", after-before, r.Requests)
	}
	return r, s.forgetLog()
}

// lastKey returns the id of the newest key in a database file.
func lastKey(ctx context.Context, path string) (id int64, err error) {
	db, err := bareReader(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.QueryRowContext(ctx, `SELECT max(key_id) FROM api_keys`).Scan(&id)
	return id, err
}

// insertAlone inserts keys for a while, each in a transaction of its own, and returns how many it could, and how long it took.
func insertAlone(ctx context.Context, path string, d time.Duration) (n int64, took time.Duration, err error) {
	db, err := bareWriter(path)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	insert, err := db.PrepareContext(ctx, sqlstore.InsertKey.Text())
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, insert.Close()) }()
	began := time.Now()
	for ; time.Since(began) < d && ctx.Err() == nil; n++ {
		at := time.Now().UnixMicro()
		_, err := insert.Exec(fmt.Sprintf("Inserted %d", n), int64(key.ScopesOf(key.Read, key.Create)), keyfile.Large,
			keyfile.Large, "ak_7Gx2…9fQ2", true, nil, nil, at, at, nil, nil)
		if err != nil {
			return 0, 0, err
		}
	}
	return n, time.Since(began), ctx.Err()
}
