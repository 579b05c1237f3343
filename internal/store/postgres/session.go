package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

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
	// unusedTimeout is how long the connection may be unused before it has to show that it is there still.
	unusedTimeout = time.Second
)

// session is the connection that writes. It is made when it is needed and made anew when it was lost.
type session struct {
	config *pgx.ConnConfig
	watch  *watch
	conn   *pgx.Conn     // nil: there is none
	pid    atomic.Uint32 // of the server's process behind the connection, by which others know what it says
	used   time.Time     // when it was used last
	warned bool          // the server has given a warning
	tx     transaction
	// extent is where the audit log ends, as it was read with the turn; nil: it has to be read.
	extent sqlstore.Row
	// late are statements that are sent with the next one: those whose answer nobody waits for.
	late *pgx.Batch
}

// transaction is what a transaction can be recognized by after its connection was lost.
type transaction struct {
	xid string
	// The last entry that it has added to the audit log, if any.
	auditID   int64
	auditHash []byte
}

var _ sqlstore.Session = (*session)(nil)

func newSession(d *dsn, w *watch) *session {
	s := &session{watch: w}
	s.config = d.connections(setting{"lock_timeout", milliseconds(turnTimeout)}, setting{"statement_timeout", milliseconds(listTimeout)},
		// Frozen between two statements, or in the middle of an answer that the network cannot hold.
		setting{"idle_in_transaction_session_timeout", milliseconds(idleTimeout)}, setting{"tcp_user_timeout", milliseconds(idleTimeout)})
	s.config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { s.warned = s.warned || n.SeverityUnlocalized == "WARNING" }
	return s
}

func (s *session) close() {
	if s.conn != nil {
		hangUp(s.conn)
		s.conn = nil
	}
}

func (s *session) connect() (err error) {
	if s.conn != nil && !s.conn.IsClosed() {
		return nil
	}
	if s.conn, err = connect(context.Background(), uncancelled(s.config.Copy())); err == nil {
		s.pid.Store(s.conn.PgConn().PID())
	}
	return err
}

// Begin begins a transaction and takes the turn to write. A connection that turns out to be dead is replaced once.
func (s *session) Begin() error {
	if err := s.watch.err(); err != nil {
		return err
	}
	reused := s.alive()
	err := s.begin()
	if err != nil && reused && s.conn == nil && s.watch.err() == nil {
		err = s.begin()
	}
	return s.watch.saw(err)
}

// alive reports whether there is a connection, and closes one that has been cut meanwhile. To find that out by Begin would
// take longer.
func (s *session) alive() bool {
	if s.conn != nil && time.Since(s.used) > unusedTimeout {
		ctx, cancel := s.within(pingTimeout)
		defer cancel()
		if s.conn.Ping(ctx) != nil {
			s.close()
		}
	}
	return s.conn != nil
}

// beginTransaction begins one that sees in each statement what was committed before that. Whoever writes takes the turn first,
// and until it ends there is nothing that could be committed.
const beginTransaction = `BEGIN ISOLATION LEVEL READ COMMITTED`

// takeTurn locks the row that stands for the turn to write, and reads it for whoever asks where the audit log ends.
var takeTurn = strings.Replace(texts[sqlstore.SelectAuditExtent], "FROM", ", pg_current_xact_id()::text FROM", 1) + ` FOR UPDATE`

func (s *session) begin() error {
	if err := s.connect(); err != nil {
		return err
	}
	s.tx, s.extent, s.late = transaction{}, nil, nil
	ctx, cancel := s.within(turnTimeout + time.Second)
	defer cancel()
	batch := new(pgx.Batch)
	batch.Queue(beginTransaction)
	batch.Queue(takeTurn)
	results := s.conn.SendBatch(ctx, batch)
	_, err := results.Exec()
	if err == nil {
		err = s.take(results)
	}
	if closed := results.Close(); err == nil { // else it only says the same again
		err = closed
	}
	if err != nil {
		s.Rollback()
		return failure(err)
	}
	return nil
}

// take reads the answer to takeTurn.
func (s *session) take(results pgx.BatchResults) error {
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	if !rows.Next() {
		return errors.Join(rows.Err(), errNoTurn)
	}
	last := len(rows.RawValues()) - 1
	s.extent = keep(rows, last)
	s.tx.xid = string(rows.RawValues()[last])
	return nil
}

var errNoTurn = errors.New("the row that stands for the turn to write is gone")

// later has a statement sent with the next one.
func (s *session) later(st sqlstore.Statement, args []any) {
	if s.late == nil {
		s.late = new(pgx.Batch)
	}
	s.late.Queue(texts[st], args...)
}

// send sends what was left for later.
func (s *session) send() error {
	if s.late == nil {
		return nil
	}
	batch := s.late
	s.late = nil
	ctx, cancel := s.within(queryTimeout + time.Duration(batch.Len())*rowTime)
	defer cancel()
	return failure(s.conn.SendBatch(ctx, batch).Close())
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
	SELECT last_id, pg_notify('` + changedChannel + `', last_id::text)::text FROM last`

// Announce adds changes to what other nodes follow. It goes with what was left for later, and not with COMMIT: of what is sent
// together a part may get lost, and then the server would wait for the rest with the turn in hand.
func (s *session) Announce(digests []key.Digest) (last int64, err error) {
	batch := s.late
	if s.late = nil; batch == nil {
		batch = new(pgx.Batch)
	}
	list := make([][]byte, len(digests))
	for i := range digests {
		list[i] = digests[i][:]
	}
	batch.Queue(announce, list).QueryRow(func(row pgx.Row) error { return row.Scan(&last, new(string)) })
	ctx, cancel := s.within(listTimeout)
	defer cancel()
	err = failure(s.conn.SendBatch(ctx, batch).Close())
	return last, err
}

// Commit commits. Where the answer does not come, the server is asked what became of the transaction.
func (s *session) Commit() error {
	kept, err := s.commit()
	switch {
	case kept == yes:
		return nil
	case kept == no:
		return s.watch.saw(err)
	}
	s.watch.saw(fmt.Errorf("%w: %w", store.ErrUnavailable, err))
	return s.settle(err)
}

// answer is what is known about a commit.
type answer int

const (
	unknown answer = iota
	yes
	no
)

// errNotReplicated is the warning that PostgreSQL gives where it has stopped waiting for a standby.
var errNotReplicated = errors.New("the server gave a warning: the commit may not be on its standby")

// commit sends COMMIT, and returns what its answer says.
//
// An error that ends the connection says nothing: the server may have committed before. A warning says that a commit is on this
// server and on no other, if there must be another, so that it is not kept where this one is lost.
func (s *session) commit() (answer, error) {
	if s.late == nil {
		s.late = new(pgx.Batch)
	}
	batch := s.late
	s.late, s.warned = nil, false
	batch.Queue(`COMMIT`)
	ctx, cancel := s.within(queryTimeout + time.Duration(batch.Len())*rowTime)
	defer cancel()
	results := s.conn.SendBatch(ctx, batch)
	var tag pgconn.CommandTag
	var err error
	for i := 0; i < batch.Len() && err == nil; i++ {
		tag, err = results.Exec()
	}
	if closed := results.Close(); err == nil {
		err = closed
	}
	s.used = time.Now()
	switch {
	case err == nil && tag.String() != "COMMIT": // the server rolls back what has failed, and says so without an error
		return no, fmt.Errorf("%w: the transaction had failed", store.ErrUnavailable)
	case err == nil && s.warned:
		return unknown, errNotReplicated
	case err == nil:
		return yes, nil
	case !s.conn.IsClosed(): // COMMIT, or something before it, was refused
		return no, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return unknown, err
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
	s.used = time.Now()
}

// Lost reports whether the transaction can be undone only as a whole, which is so after any error.
func (s *session) Lost(error) bool { return true }

// within bounds what is asked of the server. It also ends where the database turns out to be away.
func (s *session) within(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.watch.while(), d)
}

// timeout bounds a statement: the database that does not answer in this time counts as away.
func (s *session) timeout() (context.Context, context.CancelFunc) { return s.within(queryTimeout) }

// long are the statements that may have to go through many rows.
var long = map[sqlstore.Statement]bool{
	sqlstore.ListDigestsOfOrganization: true, sqlstore.DeleteTokensOfOrganization: true, sqlstore.DeleteKeysOfOrganization: true,
	sqlstore.DeleteMembersOfOrganization: true, sqlstore.DeleteUnusedSessions: true, sqlstore.DeleteEndedLinks: true,
	sqlstore.DeleteAudit: true,
}

func (s *session) timeoutOf(st sqlstore.Statement) (context.Context, context.CancelFunc) {
	if long[st] {
		return s.within(listTimeout)
	}
	return s.timeout()
}

// One gives the first row of the answer to scan.
func (s *session) One(_ context.Context, st sqlstore.Statement, scan func(sqlstore.Row) error, args ...any) error {
	if st == sqlstore.SelectAuditExtent && s.extent != nil {
		return scan(row{s.extent})
	}
	if err := s.send(); err != nil {
		return err
	}
	ctx, cancel := s.timeout()
	defer cancel()
	return one(ctx, s.conn, st, scan, args)
}

// Each gives every row of the answer to scan.
func (s *session) Each(_ context.Context, st sqlstore.Statement, scan func(sqlstore.Row) error, args ...any) error {
	if err := s.send(); err != nil {
		return err
	}
	ctx, cancel := s.timeoutOf(st)
	defer cancel()
	return each(ctx, s.conn, st, scan, args)
}

// Exec returns how many rows were changed. Where the audit log ends is written behind its entries, and with them; what goes before a
// key does is sent with the statement that deletes the key.
func (s *session) Exec(_ context.Context, st sqlstore.Statement, args ...any) (int64, error) {
	switch st {
	case sqlstore.UpdateAuditLast:
		s.tx.auditID, s.tx.auditHash = args[0].(int64), args[1].([]byte)
		s.extent = nil
		s.later(st, args)
		return 1, nil
	case sqlstore.DeleteTokens, sqlstore.InsertGoneKey:
		s.later(st, args)
		return 0, nil
	case sqlstore.UpdateAuditPruned:
		s.extent = nil
	}
	s.later(st, args)
	batch := s.late
	s.late = nil
	var rows int64
	batch.QueuedQueries[batch.Len()-1].Exec(func(tag pgconn.CommandTag) error {
		rows = tag.RowsAffected()
		return nil
	})
	ctx, cancel := s.timeoutOf(st)
	defer cancel()
	err := s.conn.SendBatch(ctx, batch).Close()
	return rows, statementFailure(st, err)
}

// rowTime is what a row more may take.
const rowTime = 5 * time.Millisecond

// ExecEach runs a statement for each list of arguments, all of them on one way to the server and back. Entries of the audit log go with
// the commit.
func (s *session) ExecEach(_ context.Context, st sqlstore.Statement, args [][]any) error {
	if len(args) == 0 {
		return nil
	}
	if manyRows[st] {
		args = [][]any{columns(args)}
	}
	for _, row := range args {
		s.later(st, row)
	}
	if st == sqlstore.InsertAudit {
		return nil
	}
	return s.send()
}

// Insert returns the id of the new row.
func (s *session) Insert(_ context.Context, st sqlstore.Statement, args ...any) (id int64, err error) {
	if err := s.send(); err != nil {
		return 0, err
	}
	ctx, cancel := s.timeout()
	defer cancel()
	err = s.conn.QueryRow(ctx, texts[st], args...).Scan(&id)
	return id, statementFailure(st, err)
}
