package postgres

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
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

// nodeConnections is how many connections nodes use at most to leave word for each other.
const nodeConnections = 2

// nodeTimeout is how long a statement about nodes may take. A lease is not much longer.
const nodeTimeout = 2 * time.Second

// bounded bounds a statement about nodes.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, nodeTimeout)
}

// done returns the error of a statement about nodes as the storage contract names it.
func (s *Store) done(ctx context.Context, err error) error {
	if err = failure(err); ctx.Err() == nil {
		s.watch.saw(err)
	}
	return err
}

// history is the timeline that the server writes: each promotion of a standby begins another one. Everybody may ask for it. Behind it
// stands which table holds the numbers of changes: notifications go through the whole database, where others may have another schema, and
// what is restored into it begins anew.
const history = `(left(pg_walfile_name(pg_current_wal_lsn()), 8) || '.' || 'change_extent'::regclass::oid)`

// Join adds a node. Its id is not the database's to give: a server that has taken over might give one again.
func (s *Store) Join(ctx context.Context, n store.Node) (store.Node, error) {
	limited, cancel := bounded(ctx)
	defer cancel()
	err := s.nodes.QueryRow(limited, `
		INSERT INTO nodes (node_id, node_name, version, lease_ms, beat, applied_id, started_at, renewed_at)
		OVERRIDING SYSTEM VALUE
		SELECT $1, $2, $3, $4, 0, last_id, $5, `+micros+` FROM change_extent WHERE one = 1
		RETURNING applied_id, `+history, n.ID, n.Name, n.Version, n.Lease.Milliseconds(), n.StartedAt.UnixMicro()).Scan(&n.Applied, &n.History)
	return n, s.done(ctx, err)
}

// Leave removes a node.
func (s *Store) Leave(ctx context.Context, id int64) error {
	limited, cancel := bounded(ctx)
	defer cancel()
	_, err := s.nodes.Exec(limited, `DELETE FROM nodes WHERE node_id = $1`, id)
	if err == nil {
		_, err = s.nodes.Exec(limited, `SELECT pg_notify($1, '')`, appliedChannel) // nobody has to wait for it any more
	}
	return s.done(ctx, err)
}

// What a node is told, in a row for each change behind $1; one where there is none. Extent and changes are read by one statement, and
// so as of one moment.
const (
	feedColumns = history + `, e.pruned_id, e.last_id, c.digest`
	feedTables  = `change_extent e LEFT JOIN changes c ON c.change_id > $1 WHERE e.one = 1 ORDER BY c.change_id`
)

// Follow returns the changes behind after.
func (s *Store) Follow(ctx context.Context, after int64) (feed store.Feed, err error) {
	limited, cancel := bounded(ctx)
	defer cancel()
	rows, err := s.nodes.Query(limited, `SELECT `+feedColumns+` FROM `+feedTables, after)
	if err == nil {
		feed, err = scanFeed(rows, after)
	}
	return feed, s.done(ctx, err)
}

// scanFeed reads the feed from the last columns of some rows, and what stands before them into others.
func scanFeed(rows pgx.Rows, after int64, others ...any) (feed store.Feed, err error) {
	var pruned int64
	var digest []byte
	_, err = pgx.ForEachRow(rows, append(others, &feed.History, &pruned, &feed.Last, &digest), func() error {
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
	return feed, err
}

// wordSealed is what wordOf reads, of the node $2 that has applied $1.
var wordSealed = sealed(appliedChannel, `$2::bigint || ' ' || $1::bigint || ' ' || `+history, `x.secret`)

// Renew renews a node and reads the changes that it has not applied.
func (s *Store) Renew(ctx context.Context, n store.Node, oldest, beat int64, hurry bool) (feed store.Feed, known bool, err error) {
	limited, cancel := bounded(ctx)
	defer cancel()
	// The other nodes are told where the node has got on: somebody may be waiting for it, and in a hurry need not wait for the disk. What a
	// server that crashes loses of it makes the node look further behind than it is, and have it join anew.
	rows, err := s.nodes.Query(limited, `
		WITH was AS (
			SELECT applied_id FROM nodes WHERE node_id = $2
		), renewed AS (
			UPDATE nodes SET beat = $4, applied_id = $1, renewed_at = `+micros+`
			WHERE node_id = $2 AND beat >= $3 AND beat < $4 AND `+history+` = $5
			RETURNING applied_id
		)
		SELECT EXISTS (SELECT 1 FROM renewed),
			(SELECT pg_notify('`+appliedChannel+`', `+wordSealed+`)::text || CASE WHEN $6 THEN set_config('synchronous_commit', 'off', true) ELSE '' END
				FROM renewed, was, change_extent x WHERE x.one = 1 AND was.applied_id < renewed.applied_id),
			`+feedColumns+` FROM `+feedTables, n.Applied, n.ID, oldest, beat, n.History, hurry)
	if err == nil {
		var told *string
		feed, err = scanFeed(rows, n.Applied, &known, &told)
	}
	return feed, known, s.done(ctx, err)
}

// Expel removes a node that has not renewed since.
func (s *Store) Expel(ctx context.Context, id, beat int64) error {
	limited, cancel := bounded(ctx)
	defer cancel()
	_, err := s.nodes.Exec(limited, `DELETE FROM nodes WHERE node_id = $1 AND beat = $2`, id, beat)
	return s.done(ctx, err)
}

const nodeColumns = `node_id, node_name, version, lease_ms, beat, applied_id, started_at, renewed_at, waits, waited_ms, ` + history

func scanNode(row pgx.CollectableRow) (n store.Node, err error) {
	var lease, started, renewed, waited int64
	err = row.Scan(&n.ID, &n.Name, &n.Version, &lease, &n.Beat, &n.Applied, &started, &renewed, &n.Waits, &waited, &n.History)
	n.Lease, n.Waited = time.Duration(lease)*time.Millisecond, time.Duration(waited)*time.Millisecond
	n.StartedAt, n.RenewedAt = time.UnixMicro(started).UTC(), time.UnixMicro(renewed).UTC()
	return n, err
}

// Behind returns the nodes but one that have not applied a change.
func (s *Store) Behind(ctx context.Context, change, except int64) ([]store.Node, error) {
	return s.listNodes(ctx, `SELECT `+nodeColumns+` FROM nodes WHERE applied_id < $1 AND node_id <> $2 ORDER BY node_id`, change, except)
}

func (s *Store) listNodes(ctx context.Context, query string, args ...any) ([]store.Node, error) {
	limited, cancel := bounded(ctx)
	defer cancel()
	rows, err := s.nodes.Query(limited, query, args...)
	if err != nil {
		return nil, s.done(ctx, err)
	}
	nodes, err := pgx.CollectRows(rows, scanNode)
	return nodes, s.done(ctx, err)
}

// Awaited adds to how many changes have waited for a node.
func (s *Store) Awaited(ctx context.Context, id, changes int64, waited time.Duration) error {
	limited, cancel := bounded(ctx)
	defer cancel()
	_, err := s.nodes.Exec(limited, `UPDATE nodes SET waits = waits + $2, waited_ms = waited_ms + $3 WHERE node_id = $1`,
		id, changes, waited.Milliseconds())
	return s.done(ctx, err)
}

// List returns all nodes and the number of the last change.
func (s *Store) List(ctx context.Context) (nodes []store.Node, last int64, err error) {
	if nodes, err = s.listNodes(ctx, `SELECT `+nodeColumns+` FROM nodes ORDER BY node_name, node_id`); err != nil {
		return nil, 0, err
	}
	limited, cancel := bounded(ctx)
	defer cancel()
	err = s.nodes.QueryRow(limited, `SELECT last_id FROM change_extent WHERE one = 1`).Scan(&last)
	return nodes, last, s.done(ctx, err)
}

// Tidy removes changes that all nodes have applied.
func (s *Store) Tidy(ctx context.Context) error {
	limited, cancel := bounded(ctx)
	defer cancel()
	_, err := s.nodes.Exec(limited, `
		WITH pruned AS (
			UPDATE change_extent SET pruned_id = (SELECT coalesce(min(applied_id), last_id) FROM nodes)
			WHERE one = 1 AND pruned_id < (SELECT coalesce(min(applied_id), last_id) FROM nodes)
			RETURNING pruned_id
		)
		DELETE FROM changes WHERE change_id <= (SELECT pruned_id FROM pruned)`)
	return s.done(ctx, err)
}

// Listen waits for notifications on a connection of its own.
func (s *Store) Listen(ctx context.Context, changed func(store.News), applied func(store.Word)) error {
	conn, err := connect(ctx, uncancelled(s.dsn.connections()))
	if err != nil {
		return s.watch.saw(err)
	}
	defer hangUp(conn)
	for _, channel := range []string{changedChannel, appliedChannel} {
		if err := s.listenTo(ctx, conn, channel); err != nil {
			return err
		}
	}
	secret, err := s.secret(ctx, conn)
	if err != nil {
		return err
	}
	// What was said before is not repeated.
	changed(store.News{})
	applied(store.Word{})
	for {
		if err := s.wait(ctx, conn, secret, changed, applied); err != nil {
			return err
		}
	}
}

// secret returns what notifications are sealed with.
func (s *Store) secret(ctx context.Context, conn *pgx.Conn) (secret []byte, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	err = conn.QueryRow(ctx, `SELECT secret FROM change_extent WHERE one = 1`).Scan(&secret)
	return secret, failure(err)
}

// newsOf reads the payload that says of changes: the number of the last one, and, where there was room for them, the history and the
// digests of all. Programs of before seal nothing, and anybody may say anything; then nothing is known but that there was word.
func newsOf(payload string, secret []byte) (news store.News) {
	said, _ := opened(changedChannel, payload, secret)
	number, rest, _ := strings.Cut(said, " ")
	last, err := strconv.ParseInt(number, 10, 64)
	if err != nil || last < 0 {
		return store.News{}
	}
	news.Last = last
	history, digests, _ := strings.Cut(rest, " ")
	raw, err := base64.StdEncoding.DecodeString(digests)
	if err != nil || len(raw)%len(key.Digest{}) != 0 {
		return news
	}
	news.History = history
	for d := range slices.Chunk(raw, len(key.Digest{})) {
		news.Digests = append(news.Digests, key.Digest(d))
	}
	return news
}

// wordOf reads the payload that says of a node: its id, the last change that it has applied, and the history. Programs of before seal
// nothing.
func wordOf(payload string, secret []byte) store.Word {
	said, _ := opened(appliedChannel, payload, secret)
	id, rest, _ := strings.Cut(said, " ")
	change, history, _ := strings.Cut(rest, " ")
	node, err := strconv.ParseInt(id, 10, 64)
	applied, err2 := strconv.ParseInt(change, 10, 64)
	if err != nil || err2 != nil || node <= 0 {
		return store.Word{}
	}
	return store.Word{NodeID: node, Applied: applied, History: history}
}

func (s *Store) listenTo(ctx context.Context, conn *pgx.Conn, channel string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, err := conn.Exec(ctx, `LISTEN `+channel)
	return failure(err)
}

// quiet is how long nothing may be heard before it is looked whether the connection is there still.
const quiet = 5 * time.Second

func (s *Store) wait(ctx context.Context, conn *pgx.Conn, secret []byte, changed func(store.News), applied func(store.Word)) error {
	waiting, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	n, err := conn.WaitForNotification(waiting)
	switch {
	case err == nil && n.Channel == changedChannel:
		news := newsOf(n.Payload, secret)
		news.Own = n.PID == s.session.pid.Load()
		changed(news)
	case err == nil:
		applied(wordOf(n.Payload, secret))
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		alive, cancel := context.WithTimeout(ctx, pingTimeout)
		defer cancel()
		return failure(conn.Ping(alive))
	default:
		return failure(err)
	}
	return nil
}
