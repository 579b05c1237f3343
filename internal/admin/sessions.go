package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/secret"
	"github.com/apikeyd/apikeyd/internal/store"
)

// signIn is what those do who have no credential yet. It is no action that authorize decides about: who proves to be a
// user may do it.
var signIn = action{name: "session.create"}

// touchEvery is how far LastUsedAt of a session may be behind: one write a minute, and not one for each request.
const touchEvery = time.Minute

// Browser is what somebody signs in with.
type Browser struct {
	UserAgent string
	Device    string // the secret that it was given when it signed in before; "" or anything else: it was not
}

// Started is a session that has begun.
type Started struct {
	key.Session
	Secret secret.Secret // of the session, for the browser alone
	Device secret.Secret // of the device, for the browser alone
}

// wrong is the answer to every attempt that failed, whatever the reason: it must not tell which addresses there are.
func wrong() error {
	return &key.Error{Code: key.Unauthenticated, Detail: "e-mail address or password is wrong, or the one-time link was used or has ended"}
}

// SignIn begins a session with e-mail address and password. It takes the same time for an address that nobody has.
func (s *Service) SignIn(ctx context.Context, c Caller, email, pass string, b Browser) (Started, error) {
	email = strings.TrimSpace(email)
	user, device, err := s.account(ctx, email, b.Device)
	if err != nil {
		return Started{}, wrap(err)
	}
	undo, err := s.attempts.onAccount(email, c.IP, device)
	if err != nil {
		return Started{}, err
	}
	kept, outdated, err := s.checkPassword(ctx, user.ID, pass)
	if err != nil {
		if !errors.Is(err, errWrongPassword) {
			undo() // nothing was compared
			return Started{}, wrap(err)
		}
		return Started{}, s.refuseSignIn(ctx, c, user.ID, wrong())
	}
	undo()
	renewed := ""
	if outdated {
		if renewed, err = s.passwords.Hash(ctx, pass); err != nil {
			return Started{}, wrap(err)
		}
	}
	return s.begin(ctx, c, user.ID, key.ByPassword, b, func(tx store.Tx) error {
		// The password may have been changed while this one was compared.
		switch now, err := tx.Password(ctx, user.ID); {
		case errors.Is(err, store.ErrNotFound), err == nil && now != kept:
			return wrong()
		case err != nil:
			return err
		case renewed == "":
			return nil
		}
		return tx.SetPassword(ctx, user.ID, renewed, s.now())
	})
}

// account finds the user with an e-mail address, a zero User where there is none, and whether they have signed in with the
// device before.
func (s *Service) account(ctx context.Context, email, device string) (key.User, key.Digest, error) {
	user, err := s.store.UserByEmail(ctx, email)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return user, key.Digest{}, fmt.Errorf("user by e-mail address: %w", err)
	}
	digest, ok := secret.Digest(device)
	if !ok {
		return user, key.Digest{}, nil
	}
	known, err := s.store.Device(ctx, user.ID, digest)
	if err != nil {
		return user, key.Digest{}, fmt.Errorf("device of user %d: %w", user.ID, err)
	}
	if !known {
		digest = key.Digest{}
	}
	return user, digest, nil
}

// SignInWithLink begins a session with a one-time link, which is used up by it.
//
// A link that is good works from wherever it is tried. Those that are not count for the address, so that nobody fills the
// audit log with them.
func (s *Service) SignInWithLink(ctx context.Context, c Caller, link string, b Browser) (Started, error) {
	undo, tooMany := s.attempts.atLinks(c.IP)
	refused := wrong()
	if tooMany != nil {
		refused = tooMany
	}
	digest, ok := secret.Digest(link)
	started, err := s.beginFor(ctx, c, key.ByLink, b, func(tx store.Tx) (int64, error) {
		if !ok {
			return 0, refused
		}
		l, err := tx.TakeLink(ctx, digest)
		if errors.Is(err, store.ErrNotFound) || err == nil && !s.now().Before(l.ExpiresAt) {
			return 0, refused
		}
		return l.UserID, err
	})
	if tooMany == nil && !errors.Is(err, wrong()) {
		undo()
	}
	return started, err
}

// Identity is what an OpenID Connect provider says of somebody.
type Identity struct {
	Issuer, Subject string
	Email           string
	EmailVerified   bool
}

// SignInWithIdentity begins a session for the user that an identity is bound to.
func (s *Service) SignInWithIdentity(ctx context.Context, c Caller, id Identity, b Browser) (Started, error) {
	userID, err := s.UserOf(ctx, c, id)
	if errors.Is(err, unbound()) {
		return Started{}, s.refuseSignIn(ctx, c, 0, err)
	}
	if err != nil {
		return Started{}, err
	}
	return s.begin(ctx, c, userID, key.ByOIDC, b, func(tx store.Tx) error {
		_, err := tx.UserByIdentity(ctx, id.Issuer, id.Subject)
		if errors.Is(err, store.ErrNotFound) { // deleted a moment ago
			return unbound()
		}
		return err
	})
}

// UserOf returns the user that an identity is bound to. Where the operator wants it so, a verified e-mail address binds it
// to the user who has that address. The error is unauthenticated where there is no such user. That is not recorded: it is no
// action that was refused, and access tokens can be sent without end.
func (s *Service) UserOf(ctx context.Context, c Caller, id Identity) (int64, error) {
	user, err := s.store.UserByIdentity(ctx, id.Issuer, id.Subject)
	switch {
	case err == nil:
		return user.ID, nil
	case !errors.Is(err, store.ErrNotFound):
		return 0, wrap(fmt.Errorf("user by identity: %w", err))
	case !s.match || !id.EmailVerified || id.Email == "":
		return 0, unbound()
	}
	if _, err := userWithAddress(ctx, s.store, id.Email); err != nil {
		return 0, wrap(err)
	}
	return s.matchIdentity(ctx, c, id)
}

// userWithAddress returns the user who has an e-mail address that a provider has verified; the error is unbound where there
// is none. Only the case of ASCII letters is not regarded: the lower case of İ is i, and that of the Kelvin sign k, so that
// otherwise whoever got such an address verified would be taken for whom it looks like.
func userWithAddress(ctx context.Context, r store.Reader, email string) (key.User, error) {
	user, err := r.UserByEmail(ctx, email)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && lowerASCII(user.Email) != lowerASCII(email):
		return key.User{}, unbound()
	case err != nil:
		return key.User{}, fmt.Errorf("user by e-mail address: %w", err)
	}
	return user, nil
}

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// matchIdentity binds an identity to the user who has its e-mail address, and returns who that is.
func (s *Service) matchIdentity(ctx context.Context, c Caller, id Identity) (userID int64, err error) {
	err = s.change(ctx, c, bindIdentity, audit.Target{Type: audit.User}, func(tx store.Tx, r *record) error {
		// A page sends several requests at once, and the first of them may just have bound it.
		user, err := tx.UserByIdentity(ctx, id.Issuer, id.Subject)
		if err == nil {
			userID = user.ID
			r.nothing()
			return nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if user, err = userWithAddress(ctx, tx, id.Email); err != nil {
			return err
		}
		userID = user.ID
		r.Actor.UserID, r.Target.ID = userID, userID
		return s.bind(ctx, tx, userID, id, r)
	})
	if err != nil {
		return 0, err
	}
	return userID, nil
}

func unbound() error {
	return &key.Error{Code: key.Unauthenticated, Detail: "no user here is connected with this identity; sign in with a one-time link or a " +
		"password, and connect it"}
}

// freshness is how long after a sign-in an identity may be connected. Whoever has got hold of a session must not be able to
// come back for good by it.
const freshness = 15 * time.Minute

// BindIdentity binds an identity to the user whose session it is.
func (s *Service) BindIdentity(ctx context.Context, c Caller, id Identity) error {
	return s.change(ctx, c, bindIdentity, audit.Target{Type: audit.User, ID: c.UserID}, func(tx store.Tx, r *record) error {
		g, err := s.authorize(ctx, tx, c, bindIdentity, object{})
		if err != nil {
			return err
		}
		if s.now().Sub(g.session.CreatedAt) > freshness {
			return forbidden("you have signed in a while ago; sign in again to connect an identity")
		}
		return s.bind(ctx, tx, c.UserID, id, r)
	})
}

func (s *Service) bind(ctx context.Context, tx store.Tx, userID int64, id Identity, r *record) error {
	r.After = fields{"issuer": id.Issuer, "subject": id.Subject}.text()
	err := tx.InsertIdentity(ctx, id.Issuer, id.Subject, userID, s.now())
	if conflict, ok := errors.AsType[*store.ConflictError](err); ok && conflict.Constraint == store.IdentityTaken {
		return &key.Error{Code: key.Conflict, Detail: "this identity is connected with a user already", Err: err}
	}
	return err
}

// Identities returns the identities that are bound to the user whose session it is.
func (s *Service) Identities(ctx context.Context, c Caller) (found []key.Connection, err error) {
	err = s.look(ctx, c, listIdentities, audit.Target{Type: audit.User, ID: c.UserID}, func(r view, _ *record) error {
		if _, err := s.authorize(ctx, r, c, listIdentities, object{}); err != nil {
			return err
		}
		found, err = r.Identities(ctx, c.UserID)
		return err
	})
	return found, err
}

// UnbindIdentity unbinds an identity from the user whose session it is. The last one stays where there is no password: nobody is to be
// left with one-time links alone, which they may have no way to get.
func (s *Service) UnbindIdentity(ctx context.Context, c Caller, issuer, subject string) error {
	return s.change(ctx, c, bindIdentity, audit.Target{Type: audit.User, ID: c.UserID}, func(tx store.Tx, r *record) error {
		if _, err := s.authorize(ctx, tx, c, bindIdentity, object{}); err != nil {
			return err
		}
		bound, err := tx.Identities(ctx, c.UserID)
		if err != nil {
			return fmt.Errorf("identities of user %d: %w", c.UserID, err)
		}
		if !slices.ContainsFunc(bound, func(b key.Connection) bool { return b.Issuer == issuer && b.Subject == subject }) {
			return notFound(nil)
		}
		if kept, err := tx.Password(ctx, c.UserID); err != nil {
			return err
		} else if kept == "" && len(bound) == 1 {
			return &key.Error{Code: key.Conflict, Detail: "you have no password, and no other identity to sign in with; choose a password first"}
		}
		r.Before = fields{"issuer": issuer, "subject": subject}.text()
		return tx.DeleteIdentity(ctx, issuer, subject, c.UserID)
	})
}

// begin begins a session of a user, after allow has said that it may.
func (s *Service) begin(ctx context.Context, c Caller, userID int64, m key.Method, b Browser, allow func(store.Tx) error) (Started, error) {
	return s.beginFor(ctx, c, m, b, func(tx store.Tx) (int64, error) { return userID, allow(tx) })
}

// beginFor begins a session of the user whom prove returns.
//
// A session that the browser has already ends with that, and the secret is always a new one: whoever knew the old one, or
// had put it there, does not get in.
func (s *Service) beginFor(ctx context.Context, c Caller, m key.Method, b Browser, prove func(store.Tx) (int64, error)) (Started, error) {
	now := s.now()
	started := Started{Secret: secret.New(), Device: secret.New()}
	err := s.change(ctx, c, signIn, audit.Target{Type: audit.Session}, func(tx store.Tx, r *record) error {
		userID, err := prove(tx)
		if err != nil {
			return err
		}
		r.Actor.UserID = userID
		started.Session = key.Session{UserID: userID, Method: m, IP: c.IP, UserAgent: shorten(b.UserAgent), CreatedAt: now,
			LastUsedAt: now, ExpiresAt: now.Add(s.lifetime)}
		if c.SessionID != 0 {
			if err := tx.DeleteSession(ctx, c.SessionID); err != nil {
				return err
			}
		}
		if started.ID, err = tx.InsertSession(ctx, started.Session, started.Secret.Digest()); err != nil {
			return fmt.Errorf("insert session: %w", err)
		}
		if err := tx.KeepDevice(ctx, userID, started.Device.Digest(), now); err != nil {
			return fmt.Errorf("keep device: %w", err)
		}
		r.Target.ID, r.Actor.SessionID, r.After = started.ID, started.ID, fields{"method": m.String()}.text()
		return tx.SetSignedIn(ctx, userID, now)
	})
	if err != nil {
		return Started{}, err
	}
	return started, nil
}

// refuseSignIn records an attempt that failed with err, and returns that. userID is whose account was tried; 0: nobody's.
func (s *Service) refuseSignIn(ctx context.Context, c Caller, userID int64, err error) error {
	e := s.entry(c, signIn, audit.Target{Type: audit.User, ID: userID})
	return s.recordRefusal(ctx, e.Entry, err)
}

// shorten returns what is kept of a browser's name for itself.
func shorten(agent string) string {
	agent = strings.ToValidUTF8(agent, "\uFFFD")
	if len(agent) <= key.MaxUserAgentLength {
		return agent
	}
	end := key.MaxUserAgentLength
	for !utf8.RuneStart(agent[end]) {
		end--
	}
	return agent[:end]
}

// alive reports whether a session has not ended.
func (s *Service) alive(session *key.Session) bool { return s.clock().Before(session.Ends(s.idle)) }

// SessionEnds returns when a session ends if it is not used any more.
func (s *Service) SessionEnds(session *key.Session) time.Time { return session.Ends(s.idle) }

// Authenticate returns the session whose secret text is, and notes that it is used. The error is unauthenticated where
// there is no such session, or it has ended.
func (s *Service) Authenticate(ctx context.Context, text string) (key.Session, error) {
	digest, ok := secret.Digest(text)
	if !ok {
		return key.Session{}, gone()
	}
	session, err := s.store.SessionByDigest(ctx, digest)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && !s.alive(&session):
		return key.Session{}, gone()
	case err != nil:
		return key.Session{}, wrap(fmt.Errorf("session: %w", err))
	}
	if now := s.now(); now.Sub(session.LastUsedAt) >= touchEvery {
		session.LastUsedAt = now
		err = s.update(ctx, func(tx store.Tx) error { return tx.TouchSession(ctx, session.ID, now) })
	}
	return session, err
}

// Sessions returns a page of the caller's sessions that have not ended, newest first, and whether there are more behind it.
func (s *Service) Sessions(ctx context.Context, c Caller, before int64, limit int) (page []key.Session, more bool, err error) {
	err = s.look(ctx, c, listSessions, audit.Target{Type: audit.Session}, func(r view, _ *record) error {
		if _, err := s.authorize(ctx, r, c, listSessions, object{}); err != nil {
			return err
		}
		// Those that have ended are passed over, so there may have to be another look.
		for len(page) <= limit {
			found, err := r.Sessions(ctx, c.UserID, before, limit+1)
			if err != nil {
				return err
			}
			for i := range found {
				if s.alive(&found[i]) {
					page = append(page, found[i])
				}
			}
			if len(found) <= limit {
				break
			}
			before = found[limit].ID
		}
		return nil
	})
	page, more = cut(page, limit)
	return page, more, err
}

// EndOtherSessions ends all sessions of the caller's but the one that it is called in.
func (s *Service) EndOtherSessions(ctx context.Context, c Caller) error {
	return s.change(ctx, c, endSession, audit.Target{Type: audit.Session}, func(tx store.Tx, r *record) error {
		if _, err := s.authorize(ctx, tx, c, endSession, object{}); err != nil {
			return err
		}
		ended, err := tx.DeleteSessions(ctx, c.UserID, c.SessionID)
		if ended == 0 {
			r.nothing()
		}
		r.Before = fields{"sessions": ended}.text()
		return err
	})
}

// EndSession ends a session of the caller's.
func (s *Service) EndSession(ctx context.Context, c Caller, id int64) error {
	return s.change(ctx, c, endSession, audit.Target{Type: audit.Session, ID: id}, func(tx store.Tx, r *record) error {
		session, err := tx.Session(ctx, id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("session %d: %w", id, err)
		}
		missing := err != nil || session.UserID != c.UserID || !s.alive(&session)
		if _, err := s.authorize(ctx, tx, c, endSession, object{missing: missing}); err != nil {
			return err
		}
		return tx.DeleteSession(ctx, id)
	})
}
