package postgres

import (
	"errors"
	"fmt"
	"time"

	"github.com/apikeyd/apikeyd/internal/store"
)

const (
	// settleTimeout is how long it is tried to find out what became of a transaction whose commit was not answered. One try
	// more may begin just before its end.
	settleTimeout = 6 * time.Second
	settlePause   = 100 * time.Millisecond
)

// settle finds out what became of a transaction whose commit was not answered.
func (s *session) settle(lost error) error {
	tx := s.tx
	s.close()
	for began := time.Now(); ; time.Sleep(settlePause) {
		switch kept, err := s.look(tx); {
		case kept == yes:
			return nil
		case kept == no:
			return fmt.Errorf("%w: %w", store.ErrUnavailable, lost)
		case time.Since(began) > settleTimeout:
			return fmt.Errorf("%w: %v; then %v", store.ErrOutcomeUnknown, lost, err)
		}
	}
}

// look looks once what became of a transaction.
//
// It takes the turn first, and so waits until that transaction has ended: on this server, whatever became of the one that it
// was begun on. Then it commits something itself: commits are on disk, and on a standby that the server waits for, in their
// order, so that what was found is there as well.
func (s *session) look(tx transaction) (answer, error) {
	if err := s.begin(nil); err != nil {
		return unknown, err
	}
	kept, err := s.wasKept(tx)
	if err != nil || !kept {
		s.Rollback()
		if err == nil {
			return no, nil
		}
		return unknown, err
	}
	ctx, cancel := s.timeout()
	defer cancel()
	if _, err := s.conn.Exec(ctx, `UPDATE audit_extent SET one = one WHERE one = 1`); err != nil {
		s.Rollback()
		return unknown, err
	}
	if done, err := s.commit(); done != yes {
		s.Rollback()
		return unknown, err
	}
	return yes, nil
}

// wasKept reports whether a transaction that has ended was committed.
//
// What it has added to the audit log says so for certain: hashes do not come twice. Its number does where it added nothing, save
// that a server that has crashed, or was replaced by its standby, may give it to another one once more. Only what nobody relies
// on, as the time of last use, is not in the audit log.
func (s *session) wasKept(tx transaction) (kept bool, err error) {
	ctx, cancel := s.timeout()
	defer cancel()
	if tx.auditID != 0 {
		err = s.conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM audit_log WHERE audit_id = $1 AND hash = $2)`, tx.auditID, tx.auditHash).Scan(&kept)
		return kept, err
	}
	var status *string
	err = s.conn.QueryRow(ctx, `SELECT pg_xact_status($1::text::xid8)`, tx.xid).Scan(&status)
	switch {
	case sqlstate(err) == invalidParameter: // this server has not come so far
		return false, nil
	case err != nil:
		return false, err
	case status == nil:
		return false, errors.New("the transaction was too long ago")
	}
	return *status == "committed", nil
}
