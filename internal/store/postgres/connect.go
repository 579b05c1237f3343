package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Time-outs of connections.
const (
	connectTimeout = 2 * time.Second // for each address
	// pingTimeout is how long a connection that was not used for a while may take to show that it is there still.
	pingTimeout = time.Second
	// closeTimeout is how long a connection that was cut is waited for. The driver would wait a quarter of a minute, and the
	// place in its pool would stay taken.
	closeTimeout = 500 * time.Millisecond
	// silence is after how long a peer that acknowledges nothing is given up.
	silence = 10 * time.Second
)

// dsn is what the address of a database says.
type dsn struct {
	config *pgxpool.Config
	points int // how many connections for single rows there are to be; 0 where it does not say
}

// parseDSN reads a DSN. Its error repeats nothing of it but the name of a file: there may be a password in it, anywhere
// where it was not written as it should be.
func parseDSN(text string) (*dsn, error) {
	config, err := pgxpool.ParseConfig(text)
	if err != nil {
		if file, ok := errors.AsType[*fs.PathError](err); ok {
			return nil, fmt.Errorf("a file that the database's address names: %w", file)
		}
		return nil, errors.New("the database's address cannot be read; write one like postgres://user@host:5432/name")
	}
	d := &dsn{config: config}
	if c, err := pgx.ParseConfig(text); err == nil && c.RuntimeParams["pool_max_conns"] != "" {
		d.points = int(config.MaxConns)
	}
	c := config.ConnConfig
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "apikeyd"
	}
	c.DialFunc = dial
	c.AfterConnect = func(_ context.Context, conn *pgconn.PgConn) error { return conn.Conn().SetDeadline(time.Time{}) }
	if config.PingTimeout == 0 {
		config.PingTimeout = pingTimeout
	}
	if config.MaxConnLifetimeJitter == 0 {
		config.MaxConnLifetimeJitter = config.MaxConnLifetime / 10
	}
	return d, nil
}

// setting is a setting of PostgreSQL's that a connection has for as long as it lasts.
type setting struct{ name, value string }

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }

// common are the settings of every connection.
var common = []setting{
	// The server notices soon that this process is gone, or takes nothing of what it is sent: whatever it holds then, the turn to
	// write above all, it must not hold for long.
	{"tcp_user_timeout", milliseconds(silence)},
	{"tcp_keepalives_idle", seconds(silence / 2)}, {"tcp_keepalives_interval", "2"}, {"tcp_keepalives_count", "3"},
	// Statements are written so that an index gives their rows in the order that they are wanted in, and are planned once, for all
	// values. Statistics must not talk the planner out of that: it would read the whole of a table that has one page, and go on to
	// when it has a thousand. Without seq scans it takes what it must do for very dear, and would compile it.
	{"plan_cache_mode", "force_generic_plan"},
	{"enable_seqscan", "off"}, {"enable_sort", "off"}, {"enable_incremental_sort", "off"}, {"max_parallel_workers_per_gather", "0"}, {"jit", "off"},
}

// connections returns how connections are made that have these settings, which go before the common ones.
func (d *dsn) connections(settings ...setting) *pgx.ConnConfig {
	config := d.config.ConnConfig.Copy()
	query := new(strings.Builder)
	query.WriteString(`SELECT pg_is_in_recovery()`)
	for _, s := range append(slices.Clone(common), settings...) {
		fmt.Fprintf(query, `, set_config('%s', '%s', false)`, s.name, s.value)
	}
	config.ValidateConnect = d.validate(query.String())
	return config
}

// pool returns a pool of at most n connections that have these settings. cancelled: statements that are given up are cancelled on
// the server.
func (d *dsn) pool(n int, cancelled bool, settings ...setting) (*pgxpool.Pool, error) {
	config := d.config.Copy()
	config.ConnConfig = d.connections(settings...)
	config.MaxConns = int32(n)
	config.MinConns, config.MinIdleConns = min(config.MinConns, config.MaxConns), min(config.MinIdleConns, config.MaxConns)
	if !cancelled {
		config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
			uncancelled(c)
			return nil
		}
	}
	return pgxpool.NewWithConfig(context.Background(), config)
}

// errStandby is why a server is not used that replicates another one: what it knows is old.
var errStandby = errors.New("the server is a standby")

// validate returns a function that runs a query on a new connection, whose first column says whether the server is a standby.
func (d *dsn) validate(query string) pgconn.ValidateConnectFunc {
	attributes := d.config.ConnConfig.ValidateConnect // target_session_attrs
	return func(ctx context.Context, c *pgconn.PgConn) error {
		if attributes != nil { // first: the query may make the connection one that only reads
			if err := attributes(ctx, c); err != nil {
				return err
			}
		}
		results, err := c.Exec(ctx, query).ReadAll()
		switch {
		case err != nil:
			return err
		case len(results) != 1 || len(results[0].Rows) != 1 || string(results[0].Rows[0][0]) != "f":
			return errStandby
		}
		return nil
	}
}

// uncancelled makes the one connection that is made with config one whose statements are not cancelled on the server when
// they are given up: the driver would open another connection for that, and so would everybody at the same time while the
// database is away. And a COMMIT that waits for a standby must not be cancelled, because PostgreSQL then commits at once.
func uncancelled(config *pgx.ConnConfig) *pgx.ConnConfig {
	var made atomic.Bool
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if made.Load() {
			return nil, errUncancelled
		}
		return dial(ctx, network, address)
	}
	after := config.AfterConnect
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		made.Store(true)
		return after(ctx, conn)
	}
	return config
}

var errUncancelled = errors.New("statements of this connection are not cancelled")

// dialer notices within some seconds that a peer is gone that does not say so.
var dialer = net.Dialer{
	Timeout:         connectTimeout,
	KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: silence / 2, Interval: 2 * time.Second, Count: 3},
	Control:         limitSilence,
}

// dial opens a network connection. Until AfterConnect, all that is done on it has to be done in time.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	deadline, ok := ctx.Deadline()
	if limit := time.Now().Add(connectTimeout); !ok || deadline.After(limit) {
		deadline = limit
	}
	return boundConn{conn}, conn.SetDeadline(deadline)
}

// boundConn is a connection whose deadlines are near. The driver sets one that is not past only when it closes a connection
// that was cut, far away.
type boundConn struct{ net.Conn }

// SetDeadline sets the deadline; the zero time is none.
func (c boundConn) SetDeadline(t time.Time) error {
	if limit := time.Now().Add(closeTimeout); t.After(limit) {
		t = limit
	}
	return c.Conn.SetDeadline(t)
}

// connect makes one connection.
func connect(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	return conn, failure(err)
}

// hangUp closes a connection, and does not wait for a server that does not take leave.
func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = conn.Close(ctx)
}
