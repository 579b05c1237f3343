package httpapi

import (
	"net/http"
	"strings"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/token"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// authenticateKey finds out who calls the management API, by the key that came with the request.
func authenticateKey(checker *verify.Checker) func(*exchange) error {
	return func(x *exchange) error {
		text, err := credential(x.r.Header)
		if err != nil {
			return err
		}
		secret := []byte(text)
		d, err := checker.Check(x.r.Context(), secret, key.Question{})
		if err != nil {
			return undecided(err)
		}
		if d.Outcome != key.CheckValid {
			return badCredential("the key is unknown, deleted, disabled or expired")
		}
		x.keyID = d.Record.KeyID
		x.caller = admin.Caller{UserID: d.Record.UserID, Token: token.Hash(secret)}
		return nil
	}
}

// credential returns the token that a request was made with.
//
// It comes as "Authorization: Bearer TOKEN" or "X-API-Key: TOKEN". The bearer goes first, unless it is none of our
// tokens: what an identity provider or a proxy has put there does not stand in the way of a key. Two different tokens
// of ours are refused, because whichever was taken, somebody might have meant the other.
func credential(h http.Header) (string, error) {
	bearers := bearerTokens(h)
	sent := bearers
	for _, text := range h["X-Api-Key"] {
		if text != "" {
			sent = append(sent, text)
		}
	}
	if len(sent) == 0 {
		return "", &problem{code: api.CodeUnauthenticated, challenge: challenge,
			detail: "a key is required: send it as Authorization: Bearer, or as X-API-Key"}
	}
	ours := ""
	for _, text := range sent {
		switch _, ok := token.Digest([]byte(text)); {
		case !ok || text == ours:
		case ours != "":
			return "", badCredential("there are two different keys in the request; send one")
		default:
			ours = text
		}
	}
	if ours == "" {
		return "", badCredential("what was sent is no key: it is not of the right form, or its checksum is wrong")
	}
	return ours, nil
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
