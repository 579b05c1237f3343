package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/token"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// IdentityProvider says whose an access token is.
type IdentityProvider interface {
	// Claims reports whether a bearer credential looks like one of the provider's tokens.
	Claims(bearer string) bool
	// Authenticate returns whom the token was issued to. The error is a *key.Error: unauthenticated where the token is not
	// good, unavailable where the provider's keys are not to be had.
	Authenticate(ctx context.Context, bearer string) (admin.Identity, error)
}

// authenticator finds out who calls the management API.
type authenticator struct {
	checker    *verify.Checker
	admin      *admin.Service
	identities IdentityProvider // nil: there is none
	guard      *browser.Guard
}

// authenticate puts who calls into x.caller.
//
// A credential that was sent on purpose goes before the cookie, which a browser sends by itself: API keys first, then
// access tokens of the identity provider, then the session.
func (a *authenticator) authenticate(x *exchange) error {
	sent, err := credentials(x.r.Header)
	switch {
	case err != nil:
		return err
	case sent.key != "":
		return a.byKey(x, sent.key)
	case sent.foreign != "" && a.identities != nil && a.identities.Claims(sent.foreign):
		return a.byIdentity(x, sent.foreign)
	case sent.foreign != "":
		return badCredential("what was sent is no key: it is not of the right form, or its checksum is wrong")
	}
	if secret := browser.Session(x.r); secret != "" {
		return a.bySession(x, secret)
	}
	return &problem{code: api.CodeUnauthenticated, challenge: challenge,
		detail: "sign in, or send a key as Authorization: Bearer or as X-API-Key"}
}

func (a *authenticator) byKey(x *exchange, text string) error {
	secret := []byte(text)
	d, err := a.checker.Check(x.r.Context(), secret, key.Question{IP: x.caller.Address(), Uncounted: true})
	switch {
	case err != nil:
		return undecided(err)
	case d.Outcome == key.CheckIPNotAllowed:
		return &problem{code: api.CodeForbidden, detail: "the key may not be used from this address"}
	case d.Outcome != key.CheckValid:
		return badCredential("the key is unknown, deleted, disabled or expired")
	}
	x.keyID = d.Record.KeyID
	x.caller.UserID, x.caller.KeyID, x.caller.Token = d.Record.UserID, d.Record.KeyID, token.Hash(secret)
	return nil
}

func (a *authenticator) byIdentity(x *exchange, bearer string) error {
	identity, err := a.identities.Authenticate(x.r.Context(), bearer)
	if err != nil {
		return err
	}
	x.caller.UserID, err = a.admin.UserOf(x.r.Context(), x.caller, identity)
	return err
}

func (a *authenticator) bySession(x *exchange, secret string) error {
	if err := a.guard.Check(x.r); err != nil {
		return crossSite(err)
	}
	session, err := a.admin.Authenticate(x.r.Context(), secret)
	if errors.Is(err, &key.Error{Code: key.Unauthenticated}) {
		return badCredential("the session has ended; sign in again")
	}
	x.caller.UserID, x.caller.SessionID = session.UserID, session.ID
	return err
}

func crossSite(cause error) error {
	return &problem{code: api.CodeForbidden, cause: cause, detail: "the browser says that another site has made it send this request"}
}

// sentCredentials are what a request was made with, beside cookies.
type sentCredentials struct {
	key     string // a token of ours; "": none
	foreign string // a credential in the place of one that is none of ours; "": none
}

// credentials returns what a request was made with.
//
// A key comes as "Authorization: Bearer TOKEN" or "X-API-Key: TOKEN". The bearer goes first, unless it is none of our
// tokens: what an identity provider or a proxy has put there does not stand in the way of a key. Two different tokens
// of ours are refused, because whichever was taken, somebody might have meant the other. So are two of somebody else's.
func credentials(h http.Header) (sent sentCredentials, err error) {
	bearers := bearerTokens(h)
	for _, text := range append(bearers, h["X-Api-Key"]...) {
		switch _, ours := token.Digest([]byte(text)); {
		case !ours, text == sent.key:
		case sent.key != "":
			return sent, badCredential("there are two different keys in the request; send one")
		default:
			sent.key = text
		}
	}
	if sent.key != "" {
		return sent, nil
	}
	for _, text := range append(bearers, h["X-Api-Key"]...) {
		switch {
		case text == "" || text == sent.foreign:
		case sent.foreign != "":
			return sent, badCredential("there are two different credentials in the request, and neither is a key; send one")
		default:
			sent.foreign = text
		}
	}
	if sent.foreign == "" && len(bearers) > 0 {
		return sent, badCredential("what was sent is no key: it is not of the right form, or its checksum is wrong")
	}
	return sent, nil
}

// bearerTokens returns what follows the scheme Bearer in each Authorization header. Other schemes are not ours to
// judge.
func bearerTokens(h http.Header) []string {
	var found []string
	for _, line := range h["Authorization"] {
		if text, ok := cutBearer(line); ok {
			found = append(found, text)
		}
	}
	return found
}

// cutBearer returns what follows the scheme, whose case does not matter (RFC 9110, section 11.1).
func cutBearer(line string) (string, bool) {
	const scheme = "Bearer"
	if len(line) < len(scheme) || !strings.EqualFold(line[:len(scheme)], scheme) {
		return "", false
	}
	rest := line[len(scheme):]
	if rest != "" && rest[0] != ' ' {
		return "", false
	}
	return strings.Trim(rest, " "), true
}

// authenticateService asks a caller of the verification listener for one of the operator's bearer tokens. valid
// compares in constant time.
func authenticateService(valid func(presented string) bool) func(*exchange) error {
	return func(x *exchange) error {
		sent := false
		for _, line := range x.r.Header["Authorization"] {
			text, ok := cutBearer(line)
			if ok && valid(text) {
				return nil
			}
			sent = sent || ok
		}
		if !sent {
			return &problem{code: api.CodeUnauthenticated, challenge: challenge,
				detail: "this listener wants the bearer token that its operator has set: Authorization: Bearer"}
		}
		return badCredential("the bearer token is not one that this listener takes")
	}
}

func badCredential(detail string) error {
	return &problem{code: api.CodeUnauthenticated, challenge: challengeInvalidToken, detail: detail}
}

// undecided is the answer where the store could not say what a token is. Whatever the reason, nobody gets in.
func undecided(err error) error {
	return &problem{code: api.CodeUnavailable, cause: err,
		detail: "the database cannot be reached, so the key cannot be checked; nothing was done, try again"}
}
