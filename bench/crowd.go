package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// measureCrowd measures what clusters that nobody asks anything cost the database: a small one, and a large one, so that it shows
// how the cost grows. Statements are those that the database counts.
func measureCrowd(ctx context.Context, b *bench) ([]figure, error) {
	few, err := b.countStatements(ctx, max(1, b.size.Crowd/10))
	if err != nil {
		return nil, err
	}
	many, err := b.countStatements(ctx, b.size.Crowd)
	many.Bound = bound{under, 20}
	return []figure{few, many}, err
}

// countStatements starts nodes on an empty database and counts the statements of each.
func (b *bench) countStatements(ctx context.Context, n int) (f figure, err error) {
	const perNode = 15 // connections, more than a node that nobody asks has
	d, err := startDatabases(fmt.Sprintf("max_connections=%d", 50+perNode*n), "shared_preload_libraries=pg_stat_statements")
	if err != nil {
		return f, err
	}
	defer d.Discard()
	database, err := d.create(ctx, "keys", "")
	if err != nil {
		return f, err
	}
	all, err := b.startNodes(ctx, database, n)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, all.stop()) }()
	f = figure{What: fmt.Sprintf("statements of each of %d nodes that nobody asks", n), Unit: "/s"}
	err = withConnection(ctx, d.URL("postgres"), func(db *pgx.Conn) error {
		if _, err := db.Exec(ctx, `CREATE EXTENSION pg_stat_statements`); err != nil {
			return err
		}
		return inTurn(ctx, b.size.Rounds, func() error {
			perSecond, err := statements(ctx, db, max(b.size.Load, time.Second))
			f.Ours = append(f.Ours, perSecond/float64(n))
			return err
		})
	})
	return f, err
}

// statements returns how many statements a server runs in a second, in the database "keys".
func statements(ctx context.Context, db *pgx.Conn, during time.Duration) (perSecond float64, err error) {
	if _, err := db.Exec(ctx, `SELECT pg_stat_statements_reset()`); err != nil {
		return 0, err
	}
	began := time.Now()
	select {
	case <-time.After(during):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	var calls int64
	err = db.QueryRow(ctx, `SELECT COALESCE(sum(calls), 0)::bigint FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
		WHERE d.datname = 'keys'`).Scan(&calls)
	return float64(calls) / time.Since(began).Seconds(), err
}
