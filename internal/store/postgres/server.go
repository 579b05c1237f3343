package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// oldest is the oldest version of PostgreSQL that is supported, as server_version_num has it.
const oldest = 140000

// server is what a server says about itself.
type server struct {
	version       int
	commit, fsync string
	encoding      string
}

// meet makes a first connection, and refuses a server that cannot be used.
func (d *dsn) meet(ctx context.Context) (_ *pgx.Conn, s server, err error) {
	// A pooler might lend a connection that was set to something to others.
	config := d.config.ConnConfig.Copy()
	config.ValidateConnect = d.validate(`SELECT pg_is_in_recovery()`)
	conn, err := connect(ctx, config)
	if err != nil {
		return nil, s, err
	}
	defer func() {
		if err != nil {
			hangUp(conn)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if err := checkPooler(ctx, conn, config); err != nil {
		return nil, s, err
	}
	err = conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('synchronous_commit'), current_setting('fsync'),
		current_setting('server_encoding')`).Scan(&s.version, &s.commit, &s.fsync, &s.encoding)
	if err != nil {
		return nil, s, failure(err)
	}
	return conn, s, s.refuse()
}

// refuse returns why a server cannot be used.
func (s server) refuse() error {
	switch {
	case s.version < oldest:
		return fmt.Errorf("the server is PostgreSQL %d; 14 or newer is needed", s.version/10000)
	case s.commit == "off":
		return errors.New("synchronous_commit is off, so that the server may lose what it has confirmed; set it to on, " +
			"for this user with ALTER ROLE … SET synchronous_commit = on")
	case s.encoding != "UTF8":
		return fmt.Errorf("its encoding is %s, which cannot hold every name; UTF8 is needed", s.encoding)
	}
	return nil
}

// errPooler is why a pooler is not used that lends its connections for no longer than a transaction: prepared statements,
// settings and notifications belong to a connection.
var errPooler = errors.New("a connection pooler stands before the server, and lends connections for the length of a transaction " +
	"(PgBouncer: pool_mode = transaction or statement); give apikeyd the server itself, or a pool with pool_mode = session: " +
	"it keeps its own connections, few and for long")

// poolerTries is how often it is looked whether the pooler exchanges connections. Other clients may get between.
const poolerTries = 5

// checkPooler returns errPooler where there is one. A server tells its process when a connection begins; where another one
// answers then, somebody stands between. A pooler that lends by transactions shows itself when a second connection holds a
// transaction: either it has got the process that the first one had, or the first one gets another.
func checkPooler(ctx context.Context, first *pgx.Conn, config *pgx.ConnConfig) error {
	pid, err := process(ctx, first)
	if err != nil || pid == fmt.Sprint(first.PgConn().PID()) {
		return err
	}
	second, err := connect(ctx, config)
	if err != nil {
		return err
	}
	defer hangUp(second)
	for range poolerTries {
		if err := exchanges(ctx, first, second); err != nil {
			return err
		}
	}
	return nil
}

func exchanges(ctx context.Context, first, second *pgx.Conn) error {
	before, err := process(ctx, first)
	if err != nil {
		return err
	}
	if err := simple(ctx, second, `BEGIN`); err != nil {
		return fmt.Errorf("%w: %v", errPooler, err) // pool_mode = statement knows no transactions
	}
	other, err := process(ctx, second)
	if err != nil {
		return err
	}
	if other == before {
		return errPooler
	}
	after, err := process(ctx, first)
	switch {
	case err != nil:
		return err
	case after != before:
		return errPooler
	}
	return simple(ctx, second, `ROLLBACK`)
}

// process returns the process of the server that answers, without a prepared statement.
func process(ctx context.Context, conn *pgx.Conn) (string, error) {
	results, err := conn.PgConn().Exec(ctx, `SELECT pg_backend_pid()`).ReadAll()
	if err != nil {
		return "", failure(err)
	}
	return string(results[0].Rows[0][0]), nil
}

func simple(ctx context.Context, conn *pgx.Conn, statement string) error {
	_, err := conn.PgConn().Exec(ctx, statement).ReadAll()
	return failure(err)
}
