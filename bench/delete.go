package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/apikeyd/apikeyd/bench/internal/keyfile"
	"github.com/apikeyd/apikeyd/client"
)

// measureDelete measures deletes of keys that every one of three nodes has in its cache, one after the other, by each node in
// turn, and committed deletes of one row on the same server.
func measureDelete(ctx context.Context, b *bench) (_ []figure, err error) {
	c, err := b.startCluster(ctx, b.size.Few)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	for _, s := range c.nodes {
		if err := checkAll(ctx, s.verification, b.size.Few); err != nil {
			return nil, err
		}
	}
	clients, err := c.clients()
	if err != nil {
		return nil, err
	}
	bare, err := c.create(ctx, "bare", "")
	if err != nil {
		return nil, err
	}
	rows := b.size.Rounds * b.size.Deletes
	if err := execute(ctx, bare, fmt.Sprintf(`CREATE TABLE keys AS SELECT key_id FROM generate_series(1, %d) key_id`, rows)); err != nil {
		return nil, err
	}
	if err := execute(ctx, bare, `ALTER TABLE keys ADD PRIMARY KEY (key_id)`); err != nil {
		return nil, err
	}

	what := fmt.Sprintf("`DELETE /v1/api-keys/{key_id}`, %d nodes", nodeCount)
	middle := figure{What: what + ": median, beside a committed DELETE of one row", Unit: "ms", Bound: bound{under, 10}}
	alone := figure{What: "the same by itself", Unit: "ms", Bound: bound{under, 20}}
	slowest := figure{What: "the same: p99", Unit: "ms", Bound: bound{under, 100}}
	next := int64(0)
	err = inTurn(ctx, b.size.Rounds,
		func() error {
			took := make([]float64, b.size.Deletes)
			for i := range took {
				next++
				if took[i], err = deleteKey(ctx, clients[i%len(clients)], keyfile.OfLarge(1+next)); err != nil {
					return err
				}
			}
			middle.Ours = append(middle.Ours, median(took))
			alone.Ours = append(alone.Ours, median(took))
			slowest.Ours = append(slowest.Ours, percentile(took, 99))
			return nil
		},
		func() error {
			ms, err := deleteRows(ctx, bare, len(middle.Floor)*b.size.Deletes, b.size.Deletes)
			middle.Floor = append(middle.Floor, ms)
			return err
		})
	if err != nil {
		return nil, err
	}
	return []figure{middle, alone, slowest}, c.forgot(ctx, b.size.Few-next)
}

// deleteKey deletes a key, and returns how many milliseconds that took.
func deleteKey(ctx context.Context, c *client.Client, id int64) (ms float64, err error) {
	began := time.Now()
	err = c.DeleteKey(ctx, id)
	return time.Since(began).Seconds() * 1e3, err
}

// deleteRows deletes n rows behind so many, each in a transaction of its own, and returns the median of the times in milliseconds.
func deleteRows(ctx context.Context, url string, behind, n int) (ms float64, err error) {
	took := make([]float64, n)
	err = withConnection(ctx, url, func(db *pgx.Conn) error {
		for i := range took {
			began := time.Now()
			tag, err := db.Exec(ctx, `DELETE FROM keys WHERE key_id = $1`, behind+i+1)
			if err != nil {
				return err
			}
			if tag.RowsAffected() != 1 {
				return fmt.Errorf("row %d is not there", behind+i+1)
			}
			took[i] = time.Since(began).Seconds() * 1e3
		}
		return nil
	})
	return median(took), err
}

// forgot makes sure that no node holds more keys in its cache than there are.
func (all nodes) forgot(ctx context.Context, keys int64) error {
	for _, s := range all {
		c, err := s.counters(ctx)
		if err != nil {
			return err
		}
		if c.cached > keys {
			return fmt.Errorf("%s has %d keys in its cache, of which there are only %d", s.name, c.cached, keys)
		}
	}
	return nil
}

// percentile returns the value that so many in a hundred do not exceed. There must be one.
func percentile(values []float64, p int) float64 {
	s := slices.Sorted(slices.Values(values))
	return s[max(0, (len(s)*p+99)/100-1)]
}
