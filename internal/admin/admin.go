// Package admin holds the use cases: everything that looks at keys and accounts or changes them.
//
// Every method takes the Caller first and passes through one door, authorize, before it shows or changes
// anything. What is read for the decision and what is changed because of it stand in one transaction, so that a
// caller who loses a right at the same moment either acts before that or not at all.
//
// The package knows no transport: HTTP, the console and the command line come in by the same methods. Its errors are
// *key.Error, whose detail and faults are for the caller.
package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// Caller is who asks: the authenticated user, and the token of theirs that the request came with.
type Caller struct {
	UserID int64
	// Token is the digest of the token of an API key; zero where no key calls.
	Token key.Digest
}

// Invalidator makes every node forget what it knew about tokens that changed. It MUST return only when no check that
// begins afterwards, on any node, is answered from what was known before.
type Invalidator interface {
	Invalidate(changes []store.Change)
}

// Options are what a Service is made of. Every field is required.
type Options struct {
	Store       store.Store
	Invalidator Invalidator
	Now         func() time.Time
	TokenPrefix string // of new tokens; one that token.CheckPrefix accepts
}

// Service offers the use cases. Its methods are safe for concurrent use.
type Service struct {
	store       store.Store
	invalidator Invalidator
	clock       func() time.Time
	prefix      string
}

// New returns a Service.
func New(o Options) *Service {
	return &Service{store: o.Store, invalidator: o.Invalidator, clock: o.Now, prefix: o.TokenPrefix}
}

// now is the time as it is stored.
func (s *Service) now() time.Time { return s.clock().UTC().Truncate(key.Resolution) }

// update runs fn in a transaction. When it returns, no check goes by what fn has changed.
func (s *Service) update(ctx context.Context, fn func(store.Tx) error) error {
	changes, err := s.store.Update(ctx, fn)
	s.invalidator.Invalidate(changes) // also after a failed commit, whose outcome may be unknown
	return wrap(err)
}

// wrap turns what a store returns into a *key.Error; one that is one already stays as it is.
func wrap(err error) error {
	var rule *key.Error
	switch {
	case err == nil, errors.As(err, &rule):
		return err
	case errors.Is(err, store.ErrOutcomeUnknown):
		return &key.Error{Code: key.Internal, Detail: "the disk failed at the end: the change may have been made or not; look " +
			"before you try again", Err: err}
	case errors.Is(err, store.ErrUnavailable):
		return &key.Error{Code: key.Unavailable, Detail: "the database cannot be reached; nothing was done, try again", Err: err}
	case errors.Is(err, store.ErrNotFound):
		return notFound(err)
	default:
		return err // a fault of ours
	}
}

func notFound(cause error) *key.Error {
	return &key.Error{Code: key.NotFound, Detail: "no such thing, or not yours to see", Err: cause}
}

func invalid(faults []key.Fault) *key.Error {
	return &key.Error{Code: key.Invalid, Detail: "the request cannot be carried out as it stands; see errors", Faults: faults}
}

// Me says who the caller is.
type Me struct {
	User        key.User
	Memberships []key.Membership // with a key, that of its organization alone
	Key         *key.Record      // the calling key; nil without one
}

// Me returns who the caller is. Every scope allows it.
func (s *Service) Me(ctx context.Context, c Caller) (Me, error) {
	who, err := s.identify(ctx, s.store, c)
	if err != nil {
		return Me{}, wrap(err)
	}
	memberships, err := s.store.Memberships(ctx, c.UserID)
	if err != nil {
		return Me{}, wrap(fmt.Errorf("memberships of user %d: %w", c.UserID, err))
	}
	if who.key == nil {
		return Me{who.user, memberships, nil}, nil
	}
	var own []key.Membership
	for _, m := range memberships {
		if m.OrganizationID == who.key.OrganizationID {
			own = append(own, m)
		}
	}
	return Me{who.user, own, who.key}, nil
}
