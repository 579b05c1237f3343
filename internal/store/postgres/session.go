package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

const (
	// turnTimeout is how long the turn to write is waited for. It is longer than idleTimeout, so that one who has frozen
	// with the turn in hand costs the others a wait and not an error.
	turnTimeout = 6 * time.Second
	// idleTimeout is how long a transaction may do nothing before the server ends it.
	idleTimeout = 4 * time.Second
	// settleTimeout is how long the outcome of a commit is asked for whose answer was lost.
	settleTimeout = 5 * time.Second
)

// session is the connection that writes. It is made when it is needed and made anew when it was lost.
type session struct {
	config *pgx.ConnConfig
	conn   *pgx.Conn // nil: there is none
	xid    string    // of the transaction under way
}

var _ sqlstore.Session = (*session)(nil)

func newSession(config *pgx.ConnConfig) *session { return &session{config: config} }

func (s *session) close() {
	if s.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.conn.Close(ctx)
		s.conn = nil
	}
}

func (s *session) connect() error {
	if s.conn != nil && !s.conn.IsClosed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, s.config.Copy())
	if err != nil {
		return failure(err)
	}
	s.conn = conn
	return nil
}

// Begin begins a transaction and takes the turn to write. A connection that turns out to be dead is replaced once.
func (s *session) Begin() error {
	reused := s.conn != nil
	err := s.begin()
	if err != nil && reused && (s.conn == nil || s.conn.IsClosed()) {
		err = s.begin()
	}
	return err
}

var beginTexts = []string{
	`BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE`,
	fmt.Sprintf(`SET LOCAL lock_timeout = %d`, turnTimeout.Milliseconds()),
	fmt.Sprintf(`SET LOCAL idle_in_transaction_session_timeout = %d`, idleTimeout.Milliseconds()),
}

// takeTurn locks the row that stands for the turn to write.
const takeTurn = `SELECT pg_current_xact_id()::text FROM audit_extent WHERE one = 1 FOR UPDATE`

func (s *session) begin() error {
	if err := s.connect(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), turnTimeout+connectTimeout)
	defer cancel()
	batch := new(pgx.Batch)
	for _, text := range beginTexts {
		batch.Queue(text)
	}
	batch.Queue(takeTurn)
	results := s.conn.SendBatch(ctx, batch)
	var err error
	for range beginTexts {
		if _, err = results.Exec(); err != nil {
			break
		}
	}
	if err == nil {
		err = results.QueryRow().Scan(&s.xid)
	}
	if err = errors.Join(err, results.Close()); err != nil {
		s.Rollback()
		return failure(err)
	}
	return nil
}

// announce adds changes behind the last one. Their numbers have no gaps and rise in the order of commits, because the turn
// to write is held until then. The notification is only a wake-up: it may get lost.
const announce = `
	WITH last AS (
		UPDATE change_extent SET last_id = last_id + cardinality($1::bytea[]) WHERE one = 1
		RETURNING last_id, last_id - cardinality($1::bytea[]) AS before
	), added AS (
		INSERT INTO changes (change_id, digest)
		SELECT last.before + d.place, d.digest FROM last, unnest($1::bytea[]) WITH ORDINALITY AS d (digest, place)
	)
	SELECT last_id, pg_notify('` + changedChannel + `', '')::text FROM last`

// Announce adds changes to what other nodes follow.
func (s *session) Announce(digests []key.Digest) (last int64, err error) {
	list := make([][]byte, len(digests))
	for i := range digests {
		list[i] = digests[i][:]
	}
	ctx, cancel := context.WithTimeout(context.Background(), listTimeout)
	defer cancel()
	var notified string
	err = failure(s.conn.QueryRow(ctx, announce, list).Scan(&last, &notified))
	return last, err
}

// Commit commits. Where the answer does not come, the server is asked what became of the transaction.
func (s *session) Commit() error {
	ctx, cancel := s.timeout()
	defer cancel()
	tag, err := s.conn.Exec(ctx, `COMMIT`)
	switch {
	case err == nil && tag.String() == "COMMIT":
		return nil
	case err == nil: // the server rolls back what has failed, and says so without an error
		return fmt.Errorf("%w: the transaction had failed", store.ErrUnavailable)
	case sqlstate(err) != "":
		return failure(err)
	}
	return s.settle(err)
}

// settle finds out what became of a transaction whose commit was not answered.
func (s *session) settle(lost error) error {
	xid := s.xid
	s.close()
	until := time.Now().Add(settleTimeout)
	for {
		status, err := s.status(xid)
		switch {
		case err == nil && status == "committed":
			return nil
		case err == nil && status == "aborted":
			return fmt.Errorf("%w: %w", store.ErrUnavailable, lost)
		case time.Now().After(until):
			return fmt.Errorf("%w: %v", store.ErrOutcomeUnknown, lost)
		}
		time.Sleep(settlePause) // the server may not have noticed yet that we are gone
	}
}

const settlePause = 100 * time.Millisecond

func (s *session) status(xid string) (status string, err error) {
	if err := s.connect(); err != nil {
		return "", err
	}
	ctx, cancel := s.timeout()
	defer cancel()
	var found *string
	if err := s.conn.QueryRow(ctx, `SELECT pg_xact_status($1::xid8)`, xid).Scan(&found); err != nil || found == nil {
		return "", err
	}
	return *found, nil
}

// Rollback undoes the transaction. A connection that cannot even do that is closed, and the server undoes it.
func (s *session) Rollback() {
	if s.conn == nil {
		return
	}
	ctx, cancel := s.timeout()
	defer cancel()
	if _, err := s.conn.Exec(ctx, `ROLLBACK`); err != nil {
		s.close()
	}
}

// Lost reports whether the transaction can be undone only as a whole, which is so after any error.
func (s *session) Lost(error) bool { return true }

// timeout bounds a statement: the database that does not answer in this time counts as away.
func (s *session) timeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), queryTimeout)
}

// One gives the first row of the answer to scan.
func (s *session) One(_ context.Context, st sqlstore.Statement, scan func(sqlstore.Row) error, args ...any) error {
	ctx, cancel := s.timeout()
	defer cancel()
	return one(ctx, s.conn, st, scan, args)
}

// Each gives every row of the answer to scan.
func (s *session) Each(_ context.Context, st sqlstore.Statement, scan func(sqlstore.Row) error, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), listTimeout)
	defer cancel()
	return each(ctx, s.conn, st, scan, args)
}

// Exec returns how many rows were changed.
func (s *session) Exec(_ context.Context, st sqlstore.Statement, args ...any) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), listTimeout)
	defer cancel()
	tag, err := s.conn.Exec(ctx, texts[st], args...)
	return tag.RowsAffected(), statementFailure(st, err)
}

// ExecEach runs a statement once for each list of arguments, all of them on one way to the server and back.
func (s *session) ExecEach(_ context.Context, st sqlstore.Statement, args [][]any) error {
	if len(args) == 0 {
		return nil
	}
	batch := new(pgx.Batch)
	for _, row := range args {
		batch.Queue(texts[st], row...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), listTimeout)
	defer cancel()
	return statementFailure(st, s.conn.SendBatch(ctx, batch).Close())
}

// Insert returns the id of the new row.
func (s *session) Insert(_ context.Context, st sqlstore.Statement, args ...any) (id int64, err error) {
	ctx, cancel := s.timeout()
	defer cancel()
	err = s.conn.QueryRow(ctx, texts[st], args...).Scan(&id)
	return id, statementFailure(st, err)
}
