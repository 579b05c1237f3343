package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/apikeyd/apikeyd/bench/internal/keyfile"
	"github.com/apikeyd/apikeyd/bench/internal/wrk"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store/postgres"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
	"github.com/apikeyd/apikeyd/internal/usage"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// measureClusterMiss is measureMiss with PostgreSQL: the query is prepared, on one connection of pgx.
func measureClusterMiss(ctx context.Context, b *bench) (_ []figure, err error) {
	d, err := startDatabases()
	if err != nil {
		return nil, err
	}
	defer d.Discard()
	b.progress("filling PostgreSQL with %s keys", count(b.size.Keys))
	database, err := d.fill(ctx, "keys", b.size.Keys)
	if err != nil {
		return nil, err
	}
	s, err := postgres.Open(ctx, postgres.Options{DSN: database})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	checker := verify.New(verify.Options{Tokens: s, Usage: usage.NewRecorder(discard{}, slog.New(slog.DiscardHandler)),
		Now: time.Now, CacheBytes: 16 << 10, NegativeCacheBytes: 16 << 10})
	f := figure{What: fmt.Sprintf("a check, key not in cache, %s keys in PostgreSQL", count(b.size.Keys)), Unit: "/s", Bound: bound{atLeast, 0.6}}
	err = withConnection(ctx, database, func(db *pgx.Conn) error {
		if _, err := db.Prepare(ctx, "record", sqlstore.SelectRecord.Text()); err != nil {
			return err
		}
		ours := func() error {
			perSecond, err := b.lookUp(checkOf(ctx, checker))
			f.Ours = append(f.Ours, perSecond)
			return err
		}
		floor := func() error {
			perSecond, err := b.lookUp(func(_ keyfile.Text, digest key.Digest) error {
				return scanRecord(db.QueryRow(ctx, "record", digest[:]))
			})
			f.Floor = append(f.Floor, perSecond)
			return err
		}
		if err := inTurn(ctx, 1, ours, floor); err != nil { // both find in memory then what they ask for
			return err
		}
		f.Ours, f.Floor = nil, nil
		return inTurn(ctx, b.size.Rounds, ours, floor)
	})
	if err != nil {
		return nil, err
	}
	if st := checker.Stats(); st.Hits > st.Misses/100 {
		return nil, fmt.Errorf("%d of %d checks found their key in the cache", st.Hits, st.Hits+st.Misses)
	}
	return []figure{f}, nil
}

// measureClusterCreate measures creates over HTTP by many clients at once on one node of three, and as many connections of pgx that
// insert keys with their tokens, each in a transaction of its own, in another database of the same server.
func measureClusterCreate(ctx context.Context, b *bench) (_ []figure, err error) {
	c, err := b.startCluster(ctx, b.size.Few)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	bare, err := c.fill(ctx, "bare", b.size.Few)
	if err != nil {
		return nil, err
	}
	f := figure{What: fmt.Sprintf("creates by %d clients, PostgreSQL, %d nodes", wrk.Connections, nodeCount), Unit: "/s", Bound: bound{atLeast, 0.7}}
	latency := figure{What: "the same: p99", Unit: "ms"}
	var inserted atomic.Int64
	err = inTurn(ctx, b.size.Rounds,
		func() error {
			r, err := wrk.Create(ctx, c.nodes[0].management+"/v1/api-keys", caller(), keyfile.Large, b.size.Load)
			if err != nil {
				return err
			}
			f.Ours = append(f.Ours, r.PerSecond())
			latency.Ours = append(latency.Ours, r.P99().Seconds()*1e3)
			return c.nodes[0].forgetLog()
		},
		func() error {
			perSecond, err := insertTogether(ctx, bare, b.size.Load, &inserted)
			f.Floor = append(f.Floor, perSecond)
			return err
		})
	return []figure{f, latency}, err
}

// insertTogether inserts keys on many connections, each with its token in a transaction of its own, and returns how many it could
// in a second. inserted counts them.
func insertTogether(ctx context.Context, url string, d time.Duration, inserted *atomic.Int64) (perSecond float64, err error) {
	var (
		mu     sync.Mutex
		failed error
		all    sync.WaitGroup
	)
	before, began := inserted.Load(), time.Now()
	for range wrk.Connections {
		all.Go(func() {
			err := withConnection(ctx, url, func(db *pgx.Conn) error {
				for time.Since(began) < d {
					if err := insertKey(ctx, db, inserted.Add(1)); err != nil {
						return err
					}
				}
				return nil
			})
			mu.Lock()
			failed = errors.Join(failed, err)
			mu.Unlock()
		})
	}
	all.Wait()
	return float64(inserted.Load()-before) / time.Since(began).Seconds(), failed
}

// insertKey inserts a key and its token, in the one statement that takes one way to the server and back.
func insertKey(ctx context.Context, db *pgx.Conn, n int64) error {
	digest := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	at := time.Now().UnixMicro()
	_, err := db.Exec(ctx, `WITH added AS (INSERT INTO api_keys (organization_id, user_id, key_name, key_hint, scopes, enabled, created_at, updated_at)
			VALUES ($1, $1, $2, $3, $4, TRUE, $5, $5) RETURNING key_id)
		INSERT INTO tokens (digest, key_id) SELECT $6, key_id FROM added`,
		keyfile.Large, fmt.Sprintf("Inserted %d", n), "ak_7Gx2…9fQ2", int64(key.ScopesOf(key.Read, key.Create)), at, digest[:])
	return err
}
