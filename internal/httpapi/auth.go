package httpapi

import (
	"context"
	"errors"
	"net/url"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/credential"
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
	sent, err := credential.Find(x.r.Header["Authorization"], x.r.Header["X-Api-Key"])
	switch {
	case err != nil:
		return badCredential(err.Error())
	case sent.Key != "":
		return a.byKey(x, sent.Key)
	case sent.Foreign != "" && a.identities != nil && a.identities.Claims(sent.Foreign):
		return a.byIdentity(x, sent.Foreign)
	case sent.Foreign != "":
		return badCredential(credential.ErrNoKey.Error())
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

// verifyTokenHeader carries the operator's bearer token where Authorization is taken: a proxy passes that of its client on.
const verifyTokenHeader = "X-Apikeyd-Verify-Token"

// authenticateService asks a caller of the verification listener for one of the operator's bearer tokens. valid
// compares in constant time.
func authenticateService(valid func(presented string) bool) func(*exchange) error {
	return func(x *exchange) error {
		sent := false
		for _, text := range x.r.Header[verifyTokenHeader] {
			if valid(text) {
				return nil
			}
			sent = true
		}
		if x.route.judges {
			return noVerifyToken(sent, verifyTokenHeader)
		}
		for _, line := range x.r.Header["Authorization"] {
			text, ok := credential.CutBearer(line)
			if ok && valid(text) {
				return nil
			}
			sent = sent || ok
		}
		for _, text := range clientSecrets(x) {
			if valid(text) {
				return nil
			}
			sent = true
		}
		return noVerifyToken(sent, "Authorization: Bearer")
	}
}

// clientSecrets returns what may be the secret that an OAuth client has sent as its password: form-encoded, as RFC 6749 wants it
// (section 2.3.1), or, as many send it, as it is. There are gateways that introspect tokens and know no other way to show who they are.
// What the client is called does not matter.
func clientSecrets(x *exchange) []string {
	if !x.route.clients {
		return nil
	}
	_, password, ok := x.r.BasicAuth()
	if !ok {
		return nil
	}
	if decoded, err := url.QueryUnescape(password); err == nil && decoded != password {
		return []string{password, decoded}
	}
	return []string{password}
}

// noVerifyToken is the answer to a caller who has sent a token that is none, or has sent none. header is where it belongs.
func noVerifyToken(sent bool, header string) error {
	if sent {
		return badCredential("the bearer token is not one that this listener takes")
	}
	return &problem{code: api.CodeUnauthenticated, challenge: challenge,
		detail: "this listener wants the bearer token that its operator has set: " + header}
}

func badCredential(detail string) error {
	return &problem{code: api.CodeUnauthenticated, challenge: challengeInvalidToken, detail: detail}
}

// undecided is the answer where it could not be found out what a token is, or counted how often it was used: the database is away, or
// the store of limits. Whatever the reason, nobody gets in.
func undecided(err error) error {
	return &problem{code: api.CodeUnavailable, cause: err,
		detail: "the key cannot be checked just now; try again"}
}
