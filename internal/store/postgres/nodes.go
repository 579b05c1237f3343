package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// The channels of notifications.
const (
	changedChannel = "apikeyd_changed"
	appliedChannel = "apikeyd_applied"
)

var _ store.Nodes = (*Store)(nil)

// micros is the time by the database's clock, in microseconds since 1970.
const micros = `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`

// bounded bounds a statement about nodes.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, queryTimeout)
}

// Join adds a node.
func (s *Store) Join(ctx context.Context, n store.Node) (store.Node, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	err := s.pool.QueryRow(ctx, `
		INSERT INTO nodes (node_name, version, lease_ms, beat, applied_id, started_at, renewed_at)
		SELECT $1, $2, $3, 0, last_id, $4, `+micros+` FROM change_extent WHERE one = 1
		RETURNING node_id, applied_id`, n.Name, n.Version, n.Lease.Milliseconds(), n.StartedAt.UnixMicro()).Scan(&n.ID, &n.Applied)
	return n, failure(err)
}

// Leave removes a node.
func (s *Store) Leave(ctx context.Context, id int64) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, err := s.pool.Exec(ctx, `DELETE FROM nodes WHERE node_id = $1`, id)
	if err == nil {
		_, err = s.pool.Exec(ctx, `SELECT pg_notify($1, '')`, appliedChannel) // nobody has to wait for it any more
	}
	return failure(err)
}

// Follow returns the changes behind after. Extent and changes are read by one statement, and so as of one moment.
func (s *Store) Follow(ctx context.Context, after int64) (feed store.Feed, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, `
		SELECT e.pruned_id, e.last_id, c.digest
		FROM change_extent e LEFT JOIN changes c ON c.change_id > $1
		WHERE e.one = 1 ORDER BY c.change_id`, after)
	if err != nil {
		return feed, failure(err)
	}
	var pruned int64
	var digest []byte
	_, err = pgx.ForEachRow(rows, []any{&pruned, &feed.Last, &digest}, func() error {
		var d key.Digest
		switch {
		case digest == nil: // there is none
			return nil
		case copy(d[:], digest) != len(d):
			return fmt.Errorf("a digest has %d bytes, not %d", len(digest), len(d))
		}
		feed.Digests = append(feed.Digests, d)
		return nil
	})
	feed.Gap = after < pruned || after > feed.Last || feed.Last-after != int64(len(feed.Digests))
	return feed, failure(err)
}

// Renew renews a node. PostgreSQL looks at the last change as of the beginning of the statement, or later.
func (s *Store) Renew(ctx context.Context, id, oldest, beat, applied int64) (renewed, known bool, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	// The other nodes are told where the node has got on: somebody may be waiting for it.
	var told *string
	err = s.pool.QueryRow(ctx, `
		WITH was AS (
			SELECT applied_id FROM nodes WHERE node_id = $1
		), renewed AS (
			UPDATE nodes SET beat = $3, applied_id = $4, renewed_at = `+micros+`
			WHERE node_id = $1 AND beat >= $2 AND beat < $3 AND $4 = (SELECT last_id FROM change_extent WHERE one = 1)
			RETURNING applied_id
		)
		SELECT EXISTS (SELECT 1 FROM renewed),
			EXISTS (SELECT 1 FROM nodes WHERE node_id = $1 AND beat >= $2 AND beat < $3),
			(SELECT pg_notify('`+appliedChannel+`', '')::text FROM renewed, was WHERE was.applied_id < renewed.applied_id)`,
		id, oldest, beat, applied).Scan(&renewed, &known, &told)
	return renewed, known, failure(err)
}

// Expel removes a node that has not renewed since.
func (s *Store) Expel(ctx context.Context, id, beat int64) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, err := s.pool.Exec(ctx, `DELETE FROM nodes WHERE node_id = $1 AND beat = $2`, id, beat)
	return failure(err)
}

const nodeColumns = `node_id, node_name, version, lease_ms, beat, applied_id, started_at, renewed_at`

func scanNode(row pgx.CollectableRow) (n store.Node, err error) {
	var lease, started, renewed int64
	err = row.Scan(&n.ID, &n.Name, &n.Version, &lease, &n.Beat, &n.Applied, &started, &renewed)
	n.Lease = time.Duration(lease) * time.Millisecond
	n.StartedAt, n.RenewedAt = time.UnixMicro(started).UTC(), time.UnixMicro(renewed).UTC()
	return n, err
}

// Behind returns the nodes but one that have not applied a change.
func (s *Store) Behind(ctx context.Context, change, except int64) ([]store.Node, error) {
	return s.nodes(ctx, `SELECT `+nodeColumns+` FROM nodes WHERE applied_id < $1 AND node_id <> $2 ORDER BY node_id`, change, except)
}

func (s *Store) nodes(ctx context.Context, query string, args ...any) ([]store.Node, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, failure(err)
	}
	nodes, err := pgx.CollectRows(rows, scanNode)
	return nodes, failure(err)
}

// List returns all nodes and the number of the last change.
func (s *Store) List(ctx context.Context) (nodes []store.Node, last int64, err error) {
	if nodes, err = s.nodes(ctx, `SELECT `+nodeColumns+` FROM nodes ORDER BY node_id`); err != nil {
		return nil, 0, err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx, `SELECT last_id FROM change_extent WHERE one = 1`).Scan(&last)
	return nodes, last, failure(err)
}

// Tidy removes nodes that were not renewed for long, and changes that all nodes have applied.
func (s *Store) Tidy(ctx context.Context, unrenewed time.Duration) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, err := s.pool.Exec(ctx, `DELETE FROM nodes WHERE renewed_at < `+micros+` - $1`, unrenewed.Microseconds())
	if err != nil {
		return failure(err)
	}
	_, err = s.pool.Exec(ctx, `
		WITH pruned AS (
			UPDATE change_extent SET pruned_id = (SELECT coalesce(min(applied_id), last_id) FROM nodes)
			WHERE one = 1 AND pruned_id < (SELECT coalesce(min(applied_id), last_id) FROM nodes)
			RETURNING pruned_id
		)
		DELETE FROM changes WHERE change_id <= (SELECT pruned_id FROM pruned)`)
	return failure(err)
}

// Listen waits for notifications on a connection of its own.
func (s *Store) Listen(ctx context.Context, changed, applied func()) error {
	connecting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(connecting, s.session.config.Copy())
	if err != nil {
		return failure(err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	for _, channel := range []string{changedChannel, appliedChannel} {
		if _, err := conn.Exec(connecting, `LISTEN `+channel); err != nil {
			return failure(err)
		}
	}
	// What was said before is not repeated.
	changed()
	applied()
	for {
		if err := s.wait(ctx, conn, changed, applied); err != nil {
			return err
		}
	}
}

// quiet is how long nothing may be heard before it is looked whether the connection is there still.
const quiet = 5 * time.Second

func (s *Store) wait(ctx context.Context, conn *pgx.Conn, changed, applied func()) error {
	waiting, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	n, err := conn.WaitForNotification(waiting)
	switch {
	case err == nil && n.Channel == changedChannel:
		changed()
	case err == nil:
		applied()
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		alive, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		return failure(conn.Ping(alive))
	default:
		return failure(err)
	}
	return nil
}
