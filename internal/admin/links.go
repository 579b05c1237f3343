package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/secret"
	"github.com/apikeyd/apikeyd/internal/store"
)

// makeLink makes a one-time link. It is no action that authorize decides about: whoever gets the link proves with it that
// they read the user's mail, or hold the database.
var makeLink = action{name: "user.link"}

// maxAsked is how many links may wait to be made. Somebody who asks for more gets none, and may ask again.
const maxAsked = 100

// linkRequest is a one-time link that somebody has asked for.
type linkRequest struct {
	caller Caller
	email  string
}

// insertLink makes a one-time link for a user.
func (s *Service) insertLink(ctx context.Context, tx store.Tx, userID int64) (secret.Secret, error) {
	link, now := secret.New(), s.now()
	l := key.Link{UserID: userID, CreatedAt: now, ExpiresAt: now.Add(key.LinkLifetime)}
	if err := tx.InsertLink(ctx, l, link.Digest()); err != nil {
		return secret.Secret{}, fmt.Errorf("insert link: %w", err)
	}
	return link, nil
}

// MakeLink makes a one-time link for the user with an e-mail address. It is for whoever holds the database: there is no
// Caller to be asked for rights, only where it comes from.
func (s *Service) MakeLink(ctx context.Context, c Caller, email string) (link secret.Secret, err error) {
	err = s.change(ctx, c, makeLink, audit.Target{Type: audit.User}, func(tx store.Tx, r *record) error {
		user, err := tx.UserByEmail(ctx, email)
		if errors.Is(err, store.ErrNotFound) {
			return &key.Error{Code: key.NotFound, Detail: "no user has this e-mail address"}
		}
		if err != nil {
			return fmt.Errorf("user by e-mail address: %w", err)
		}
		r.Target.ID = user.ID
		link, err = s.insertLink(ctx, tx, user.ID)
		return err
	})
	return link, err
}

// RequestLink has a one-time link mailed to an e-mail address, where a user has that. It returns before anybody has looked,
// so that neither the answer nor its time tells.
func (s *Service) RequestLink(_ context.Context, c Caller, email string) error {
	if s.mailer == nil {
		return &key.Error{Code: key.Conflict, Detail: "this server sends no mail; its operator can make a one-time link with " +
			"apikeyd users sign-in-link"}
	}
	if detail := key.CheckEmail(email); detail != "" {
		return invalid([]key.Fault{{Pointer: "/email", Detail: detail}})
	}
	if err := s.attempts.ask(c.IP); err != nil {
		return err
	}
	select {
	case s.asked <- linkRequest{c, email}:
	default:
		s.log.Warn("too many one-time links are waiting to be made; one is not made", "request_id", c.RequestID)
	}
	return nil
}

// sweepEvery is the time between two sweeps.
const sweepEvery = 10 * time.Minute

// Run makes the one-time links that were asked for, and sweeps from time to time, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case r := <-s.asked:
			err = s.mailLink(ctx, r)
		case <-sweep.C:
			err = s.Sweep(ctx)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("background work on accounts failed", "error", err)
		}
	}
}

// mailLink makes a link that was asked for and mails it. That nobody has the address, or has got enough of them just now, is
// nobody's business.
func (s *Service) mailLink(ctx context.Context, r linkRequest) error {
	if !s.attempts.mail(r.email) {
		return nil
	}
	user, err := s.store.UserByEmail(ctx, r.email)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("user by e-mail address: %w", err)
	}
	link, err := s.MakeLink(ctx, r.caller, user.Email)
	if err == nil {
		s.mailer.SendSignInLink(user.Email, link, "")
	}
	return err
}

// Sweep deletes sessions and links that have ended, and forms, usage and audit entries that are older than they are to be kept.
func (s *Service) Sweep(ctx context.Context) error {
	now := s.now()
	err := s.update(ctx, func(tx store.Tx) error {
		if _, err := tx.DeleteEnded(ctx, now.Add(-s.idle), now); err != nil {
			return err
		}
		_, err := tx.ForgetForms(ctx, now.Add(-formsKept))
		return err
	})
	if err == nil {
		err = s.sweepUsage(ctx, now)
	}
	if err == nil && s.retention > 0 {
		err = s.sweepAudit(ctx, now)
	}
	return err
}

// sweepAudit deletes audit entries that are older than they are to be kept.
func (s *Service) sweepAudit(ctx context.Context, now time.Time) error {
	const batch = 1000 // so that nobody waits long for it
	for n := batch; n == batch; {
		err := s.update(ctx, func(tx store.Tx) (err error) {
			n, err = tx.PruneAudit(ctx, now.Add(-s.retention), batch)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
