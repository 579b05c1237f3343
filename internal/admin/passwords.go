package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/password"
	"github.com/apikeyd/apikeyd/internal/store"
)

// errWrongPassword: the password is another, or there is none, or no such user.
var errWrongPassword = errors.New("wrong password")

// checkPassword compares a password with that of a user, and returns that as it is kept, and whether it should be kept in
// another form. Where there is nothing to compare with it takes as long.
func (s *Service) checkPassword(ctx context.Context, userID int64, pass string) (kept string, outdated bool, err error) {
	kept, err = s.store.Password(ctx, userID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", false, fmt.Errorf("password of user %d: %w", userID, err)
	}
	if kept == "" {
		if err := s.passwords.VerifyNone(ctx, pass); err != nil { // as below: nothing was compared
			return "", false, fmt.Errorf("password of user %d: %w", userID, err)
		}
		return "", false, errWrongPassword
	}
	ok, outdated, err := s.passwords.Verify(ctx, kept, pass)
	switch {
	case err != nil:
		return "", false, fmt.Errorf("password of user %d: %w", userID, err)
	case !ok:
		return "", false, errWrongPassword
	}
	return kept, outdated, nil
}

// SetPassword sets the caller's password and ends all their other sessions, the one-time links they have not used, and what
// is remembered of their devices. The current password is asked for, unless the session began with a one-time link or there
// is none.
func (s *Service) SetPassword(ctx context.Context, c Caller, current, wanted string) error {
	kept, err := s.maySetPassword(ctx, c, current, wanted)
	if err != nil {
		return err
	}
	hashed, err := s.passwords.Hash(ctx, wanted)
	if err != nil {
		return wrap(fmt.Errorf("hash the password: %w", err))
	}
	return s.change(ctx, c, setPassword, audit.Target{Type: audit.User, ID: c.UserID}, func(tx store.Tx, r *record) error {
		if _, err := s.authorize(ctx, tx, c, setPassword, object{}); err != nil {
			return err
		}
		if now, err := tx.Password(ctx, c.UserID); err != nil {
			return err
		} else if now != kept {
			return &key.Error{Code: key.Conflict, Detail: "the password was changed meanwhile; sign in anew"}
		}
		if err := tx.SetPassword(ctx, c.UserID, hashed, s.now()); err != nil {
			return err
		}
		ended, err := tx.DeleteSessions(ctx, c.UserID, c.SessionID)
		if err != nil {
			return err
		}
		r.After = fields{"sessions_ended": ended}.text()
		return errors.Join(tx.DeleteLinks(ctx, c.UserID), tx.DeleteDevices(ctx, c.UserID))
	})
}

// maySetPassword returns the password as it is kept now, or all that speaks against another one. It is done outside the
// transaction, which would have to wait for a password to be computed.
func (s *Service) maySetPassword(ctx context.Context, c Caller, current, wanted string) (kept string, err error) {
	target := audit.Target{Type: audit.User, ID: c.UserID}
	err = s.look(ctx, c, setPassword, target, func(r view, e *record) error {
		g, err := s.authorize(ctx, r, c, setPassword, object{})
		if err != nil {
			return err
		}
		var faults []key.Fault
		var guessed error
		if detail := password.Check(wanted, g.user.Email); detail != "" {
			faults = append(faults, key.Fault{Pointer: "/new_password", Detail: detail})
		}
		if kept, err = r.Password(ctx, c.UserID); err != nil {
			return err
		}
		if kept != "" && g.session.Method != key.ByLink {
			undo, err := s.attempts.inSession(c.SessionID)
			if err != nil {
				return err
			}
			switch kept, _, err = s.checkPassword(ctx, c.UserID, current); {
			case errors.Is(err, errWrongPassword):
				faults = append(faults, key.Fault{Pointer: "/current_password", Detail: "must be the password that is set now"})
				guessed = wrong() // bad input, and a refusal
			case err != nil:
				undo()
				return err
			default:
				undo()
			}
		}
		if len(faults) > 0 {
			bad := invalid(faults)
			bad.Err = guessed
			return bad
		}
		return nil
	})
	return kept, err
}
