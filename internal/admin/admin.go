// Package admin holds the use cases: everything that looks at keys and accounts or changes them.
//
// Every method takes the Caller first and passes through one door, authorize, before it shows or changes
// anything, and leaves what it changed, and what it refused, in the audit log. What is read for the decision and what is changed because of it stand in one transaction, so that a
// caller who loses a right at the same moment either acts before that or not at all.
//
// The package knows no transport: HTTP, the console and the command line come in by the same methods. Its errors are
// *key.Error, whose detail and faults are for the caller, and *DoneError where the Caller comes with a form.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/password"
	"github.com/apikeyd/apikeyd/internal/secret"
	"github.com/apikeyd/apikeyd/internal/store"
)

// Caller is who asks: the authenticated user, and what the request came with. Who only identifies the request, as where
// somebody signs in, leaves the user out.
type Caller struct {
	UserID int64
	// Token is the digest of the token of an API key, and KeyID its key; zero where no key calls.
	Token key.Digest
	KeyID int64
	// SessionID is the session that the request was made in; 0: it was not.
	SessionID int64

	// Form is the id of a form that is to be carried out once, however often it is sent; "": there is none. A call that comes with one
	// that was carried out before gets a *DoneError.
	Form string

	IP        string // where the request came from, for the audit log and for keys with an allow-list; "": not known
	RequestID string // for the audit log; "": a command on the server
}

// Address returns where the request came from; the zero Addr: not known.
func (c Caller) Address() netip.Addr {
	address, _ := netip.ParseAddr(c.IP)
	return address
}

// Invalidator makes every node forget what it knew about tokens that changed. It MUST return only when no check that
// begins afterwards, on any node, is answered from what was known before.
type Invalidator interface {
	Invalidate(changes []store.Change)
}

// Mailer sends one-time links, and word of leaked keys. It MUST NOT wait for a mail server.
type Mailer interface {
	// SendSignInLink sends a link to a user. organization is the one that they were invited to, "" where they asked for
	// the link themselves.
	SendSignInLink(email string, link secret.Secret, organization string)
	// SendLeak tells the user whose key it was that a token was reported and is dead.
	SendLeak(email string, n LeakNotice)
}

// Options are what a Service is made of. Where nothing else is said, a field is required.
type Options struct {
	Store       store.Store
	Invalidator Invalidator
	Now         func() time.Time
	TokenPrefix string // of new tokens; one that token.CheckPrefix accepts
	Log         *slog.Logger

	Passwords       *password.Hasher
	SessionIdle     time.Duration // a session ends this long after its last use
	SessionLifetime time.Duration // and this long after it was begun
	Mailer          Mailer        // nil: no mail is sent
	MatchEmail      bool          // a provider's verified e-mail address finds the user on the first sign-in
	AuditRetention  time.Duration // how long audit entries are kept; 0: for ever
}

// Service offers the use cases. Its methods are safe for concurrent use.
type Service struct {
	store       store.Store
	invalidator Invalidator
	clock       func() time.Time
	prefix      string
	log         *slog.Logger

	passwords *password.Hasher
	attempts  *attempts
	idle      time.Duration
	lifetime  time.Duration
	mailer    Mailer
	asked     chan linkRequest // one-time links that somebody has asked for
	match     bool
	retention time.Duration
}

// New returns a Service.
func New(o Options) *Service {
	return &Service{
		store: o.Store, invalidator: o.Invalidator, clock: o.Now, prefix: o.TokenPrefix, log: o.Log,
		passwords: o.Passwords, attempts: newAttempts(o.Now), idle: o.SessionIdle, lifetime: o.SessionLifetime,
		mailer: o.Mailer, asked: make(chan linkRequest, maxAsked), match: o.MatchEmail, retention: o.AuditRetention,
	}
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
	HasPassword bool             // the user has chosen a password; known in a session alone
}

// Me returns who the caller is. Every scope allows it.
func (s *Service) Me(ctx context.Context, c Caller) (me Me, err error) {
	err = s.look(ctx, c, readMe, audit.Target{Type: audit.User, ID: c.UserID}, func(r view, _ *record) error {
		g, err := s.authorize(ctx, r, c, readMe, object{})
		if err != nil {
			return err
		}
		memberships, err := r.Memberships(ctx, c.UserID)
		if err != nil {
			return fmt.Errorf("memberships of user %d: %w", c.UserID, err)
		}
		if g.key != nil {
			memberships = slices.DeleteFunc(memberships, func(m key.Membership) bool { return m.OrganizationID != g.key.OrganizationID })
		}
		me = Me{User: g.user, Memberships: memberships, Key: g.key}
		if g.session == nil {
			return nil
		}
		kept, err := r.Password(ctx, c.UserID)
		me.HasPassword = kept != ""
		return err
	})
	return me, err
}
