package postgres

import (
	"context"
	"encoding/base64"
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
	due    bool // a transaction is to be begun with the next statement
	reused bool // the connection has been used before
	// extent is where the audit log ends, as it was read with the turn; nil: it has to be read.
	extent sqlstore.Row
	// late are statements that are sent with the next one: those whose answer nobody waits for.
	late *pgx.Batch
	// keys are rows of new keys, which go behind the statements in late; ids were taken for others.
	keys   [][]any
	ids    []int64
	taken  int  // ids in this transaction
	unsure bool // whether keys that were sent have been added
	prompt bool // keys are added at once
}

// transaction is what a transaction can be recognized by after its connection was lost.
type transaction struct {
	xid     string
	history string // of the server that it was begun on
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

// Begin has the next statement begin a transaction and take the turn to write: a query goes with both on one way to the server.
func (s *session) Begin(prompt bool) error {
	if err := s.watch.err(); err != nil {
		return err
	}
	s.forget()
	s.prompt, s.due, s.reused = prompt, true, s.alive()
	return nil
}

// forget forgets the transaction before.
func (s *session) forget() {
	s.tx, s.extent, s.late, s.keys, s.ids, s.taken, s.unsure, s.due = transaction{}, nil, nil, nil, nil, 0, false, false
}

// start begins the transaction that is due, with a query if first is not nil. A connection that turns out to be dead is replaced once.
func (s *session) start(first *firstQuery) error {
	if !s.due {
		return nil
	}
	err := s.begin(first)
	if err != nil && s.reused && s.conn == nil && s.watch.err() == nil {
		err = s.begin(first)
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
var takeTurn = strings.Replace(texts[sqlstore.SelectAuditExtent], "FROM", ", pg_current_xact_id()::text, "+history+" FROM", 1) + ` FOR UPDATE`

// begin begins a transaction, takes the turn to write, and asks first if it is not nil.
func (s *session) begin(first *firstQuery) error {
	late := s.late
	s.forget()
	s.late = late // what was left for later before anything was asked, also where connecting is tried once more
	if err := s.connect(); err != nil {
		return err
	}
	ctx, cancel := s.within(turnTimeout + time.Second)
	defer cancel()
	batch := new(pgx.Batch)
	batch.Queue(beginTransaction)
	batch.Queue(takeTurn)
	if first != nil {
		batch.Queue(texts[first.statement], first.args...)
	}
	results := s.conn.SendBatch(ctx, batch)
	_, err := results.Exec()
	if err == nil {
		err = s.take(results)
	}
	if err == nil && first != nil {
		first.err = statementFailure(first.statement, first.scan(row{results.QueryRow()}))
	}
	if closed := results.Close(); err == nil && (first == nil || first.err == nil) { // else it only says the same again
		err = closed
	}
	if err != nil {
		s.Rollback()
		return failure(err)
	}
	return nil
}

// firstQuery is a query for one row with which a transaction begins, and what came of it.
type firstQuery struct {
	statement sqlstore.Statement
	args      []any
	scan      func(sqlstore.Row) error
	err       error
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
	values := rows.RawValues()
	own := len(values) - 2
	s.extent = keep(rows, own)
	s.tx.xid, s.tx.history = string(values[own]), string(values[own+1])
	return nil
}

var errNoTurn = errors.New("the row that stands for the turn to write is gone")

// later has a statement sent with the next one.
func (s *session) later(st sqlstore.Statement, args []any) *pgx.QueuedQuery {
	s.laterKeys()
	if s.late == nil {
		s.late = new(pgx.Batch)
	}
	return s.late.Queue(texts[st], args...)
}

// laterKeys has new keys sent with the next statement.
func (s *session) laterKeys() {
	if keys := s.keys; len(keys) > 0 {
		s.keys, s.unsure = nil, !s.prompt
		s.later(sqlstore.InsertKey, columns(keys)).Exec(func(pgconn.CommandTag) error {
			s.unsure = false
			return nil
		})
	}
}

// pending returns what was left for later, to which more can be added, and forgets it.
func (s *session) pending() *pgx.Batch {
	s.laterKeys()
	batch := s.late
	if s.late = nil; batch == nil {
		batch = new(pgx.Batch)
	}
	return batch
}

// blame returns the error of statements that were sent together. Where it may be the fault of new keys that were sent with them, it is not
// known whose turn has left those.
func (s *session) blame(err error) error {
	if s.unsure && sqlstate(err) != "" && !s.conn.IsClosed() {
		return fmt.Errorf("%w: %w", sqlstore.ErrLate, err)
	}
	return err
}

// send sends what was left for later, in a transaction that has begun.
func (s *session) send() error {
	if err := s.start(nil); err != nil {
		return err
	}
	if s.late == nil && s.keys == nil {
		return nil
	}
	batch := s.pending()
	ctx, cancel := s.within(queryTimeout + time.Duration(batch.Len())*rowTime)
	defer cancel()
	return s.blame(failure(s.conn.SendBatch(ctx, batch).Close()))
}

// announce adds changes behind the last one. Their numbers have no gaps and rise in the order of commits, because the turn
// to write is held until then. The notification, which newsOf reads, only saves asking: it may get lost.
var announce = `
	WITH last AS (
		UPDATE change_extent SET last_id = last_id + cardinality($1::bytea[]) WHERE one = 1
		RETURNING last_id, last_id - cardinality($1::bytea[]) AS before, secret
	), added AS (
		INSERT INTO changes (change_id, digest)
		SELECT last.before + d.place, d.digest FROM last, unnest($1::bytea[]) WITH ORDINALITY AS d (digest, place)
	)
	SELECT last_id, pg_notify('` + changedChannel + `', ` + sealed(changedChannel, `last_id || $2::text`, `secret`) + `)::text FROM last`

// maxTold is how many digests a notification may have at most: it holds less than 8000 bytes.
const maxTold = 160

// Announce adds changes to what other nodes follow. It goes with what was left for later, and not with COMMIT: of what is sent
// together a part may get lost, and then the server would wait for the rest with the turn in hand.
func (s *session) Announce(digests []key.Digest) (last int64, err error) {
	if err := s.start(nil); err != nil {
		return 0, err
	}
	batch := s.pending()
	list := make([][]byte, len(digests))
	var all []byte
	for i := range digests {
		list[i] = digests[i][:]
		all = append(all, digests[i][:]...)
	}
	details := ""
	if len(digests) <= maxTold {
		details = " " + s.tx.history + " " + base64.StdEncoding.EncodeToString(all)
	}
	batch.Queue(announce, list, details).QueryRow(func(row pgx.Row) error { return row.Scan(&last, new(string)) })
	ctx, cancel := s.within(listTimeout)
	defer cancel()
	err = s.blame(failure(s.conn.SendBatch(ctx, batch).Close()))
	return last, err
}

// Commit commits. Where the answer does not come, the server is asked what became of the transaction.
func (s *session) Commit() error {
	if s.due && s.late == nil && s.keys == nil { // nobody has asked for anything
		s.due = false
		return nil
	}
	if err := s.start(nil); err != nil {
		return err
	}
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
	batch := s.pending()
	s.warned = false
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
		return no, s.blame(fmt.Errorf("%w: %w", store.ErrUnavailable, err))
	}
	return unknown, err
}

// Rollback undoes the transaction. A connection that cannot even do that is closed, and the server undoes it.
func (s *session) Rollback() {
	if s.conn == nil || s.due { // nothing has begun
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
	if s.due && s.late == nil && st != sqlstore.SelectAuditExtent {
		first := &firstQuery{statement: st, args: args, scan: scan}
		if err := s.start(first); err != nil {
			return err
		}
		return first.err
	}
	if err := s.start(nil); err != nil {
		return err
	}
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

// Each gives every row of the answer to scan. The tokens of a key are deleted with the key.
func (s *session) Each(_ context.Context, st sqlstore.Statement, scan func(sqlstore.Row) error, args ...any) error {
	if st == sqlstore.DeleteTokens {
		s.later(st, args).Query(func(rows pgx.Rows) error { return scanEach(rows, scan) })
		return nil
	}
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
	case sqlstore.InsertGoneKey:
		s.later(st, args)
		return 0, nil
	case sqlstore.UpdateAuditPruned:
		s.extent = nil
	}
	if err := s.start(nil); err != nil {
		return 0, err
	}
	var rows int64
	s.later(st, args).Exec(func(tag pgconn.CommandTag) error {
		rows = tag.RowsAffected()
		return nil
	})
	batch := s.pending()
	ctx, cancel := s.timeoutOf(st)
	defer cancel()
	err := s.blame(s.conn.SendBatch(ctx, batch).Close())
	if errors.Is(err, sqlstore.ErrLate) { // whatever constraint it ran into is not of this statement
		return 0, err
	}
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

// Insert returns the id of the new row. A key is added with the next statement, unless the transaction is a prompt one.
func (s *session) Insert(_ context.Context, st sqlstore.Statement, args ...any) (id int64, err error) {
	if st == sqlstore.InsertKey {
		return s.insertKey(args)
	}
	if err := s.send(); err != nil {
		return 0, err
	}
	ctx, cancel := s.timeout()
	defer cancel()
	err = s.conn.QueryRow(ctx, texts[st], args...).Scan(&id)
	return id, statementFailure(st, err)
}

func (s *session) insertKey(args []any) (int64, error) {
	if len(s.ids) == 0 {
		if err := s.takeIDs(); err != nil {
			return 0, err
		}
	}
	id := s.ids[0]
	s.ids = s.ids[1:]
	s.keys = append(s.keys, append(args, id))
	if !s.prompt {
		return id, nil
	}
	batch := s.pending()
	ctx, cancel := s.timeout()
	defer cancel()
	return id, statementFailure(sqlstore.InsertKey, s.conn.SendBatch(ctx, batch).Close())
}

// maxIDs is how many ids are taken at once at most. What is left of them when the transaction ends is never given: were they kept, a key
// could get a lower id than one that another node has made before.
const maxIDs = 64

// takeIDs takes ids for new keys: one for the first, and the more at once the more there were, so that many that arrive together cost few
// ways to the server, and one alone leaves no gap.
func (s *session) takeIDs() error {
	if err := s.start(nil); err != nil {
		return err
	}
	n := min(max(1, 3*s.taken), maxIDs)
	s.taken += n
	batch := s.pending()
	batch.Queue(`SELECT nextval(pg_get_serial_sequence('api_keys', 'key_id')) FROM generate_series(1, $1::integer)`, n).
		Query(func(rows pgx.Rows) (err error) {
			s.ids, err = pgx.AppendRows(s.ids, rows, pgx.RowTo[int64])
			return err
		})
	ctx, cancel := s.timeout()
	defer cancel()
	return s.blame(failure(s.conn.SendBatch(ctx, batch).Close()))
}
