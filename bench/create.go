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
	err = inTurn(ctx, b.size.Rounds,
		func() error {
			before, err := lastKey(ctx, path)
			if err != nil {
				return err
			}
			r, err := wrk.Create(ctx, s.management+"/v1/api-keys", caller(), keyfile.Large, b.size.Load)
			if err != nil {
				return err
			}
			after, err := lastKey(ctx, path)
			if err != nil {
				return err
			}
			if after-before < r.Requests {
				return fmt.Errorf("%d keys were made, wrk got %d answers", after-before, r.Requests)
			}
			f.Ours = append(f.Ours, r.PerSecond())
			latency.Ours = append(latency.Ours, r.P99().Seconds()*1e3)
			return s.forgetLog()
		},
		func() error {
			perSecond, err := insertAlone(ctx, barePath, b.size.Load)
			f.Floor = append(f.Floor, perSecond)
			return err
		})
	return []figure{f, latency}, err
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

// insertAlone inserts keys, each in a transaction of its own, and returns how many it could in a second.
func insertAlone(ctx context.Context, path string, d time.Duration) (perSecond float64, err error) {
	db, err := bareWriter(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	insert, err := db.PrepareContext(ctx, sqlstore.InsertKey.Text())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, insert.Close()) }()
	began := time.Now()
	n := 0
	for ; time.Since(began) < d && ctx.Err() == nil; n++ {
		at := time.Now().UnixMicro()
		_, err := insert.Exec(fmt.Sprintf("Inserted %d", n), int64(key.ScopesOf(key.Read, key.Create)), keyfile.Large,
			keyfile.Large, "ak_7Gx2…9fQ2", true, nil, nil, at, at, nil, nil)
		if err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(began).Seconds(), ctx.Err()
}
