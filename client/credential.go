package client

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// credential is a secret that is sent with requests. It sits behind a function, where no formatting verb, logger or dumper that walks
// a value by reflection finds it.
type credential func() string

// newCredential refuses what no header can carry, without repeating it.
func newCredential(what, s string) (credential, error) {
	if s == "" {
		return nil, fmt.Errorf("the %s is empty", what)
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return nil, fmt.Errorf("the %s must be printable ASCII without spaces; is there a line break around it?", what)
		}
	}
	return func() string { return s }, nil
}

// newSession refuses what no cookie can carry (RFC 6265, section 4.1.1), without repeating it.
func newSession(s string) (credential, error) {
	session, err := newCredential("session", s)
	if err == nil && strings.ContainsAny(s, `",;\`) {
		return nil, errors.New("the session must be the value of a cookie, without quotation marks, commas, semicolons and backslashes")
	}
	return session, err
}

const (
	redacted = "[redacted]"
	// minSecret is the length from which on a key to be verified, or a password, is taken for a secret. Anything may be
	// sent as one, and taking a few letters out of every message would only spoil it.
	minSecret = 8
)

// tokenShaped matches what could be a token, or the beginning of one that was cut off, and the secret end of a one-time
// link.
var tokenShaped = regexp.MustCompile(`[a-z0-9]_[0-9A-Za-z]{16,}|/sign-in/[^\s"'<>]+`)

// scrub takes the secrets of a request out of text that came from outside. A server has no reason to repeat them, but
// what answers may be a proxy's debugging page that shows the request.
func (c *conn) scrub(r request, text string) string {
	for _, own := range []credential{c.credential, c.session} {
		if own != nil {
			text = strings.ReplaceAll(text, own(), redacted)
		}
	}
	for _, s := range r.secrets {
		if len(s) >= minSecret {
			text = strings.ReplaceAll(text, s, redacted)
		}
	}
	return text
}

// scrubError is scrub for an error. Only where the text had a secret does it lose what it wraps.
func (c *conn) scrubError(r request, err error) error {
	text := err.Error()
	if clean := c.scrub(r, text); clean != text {
		return errors.New(clean)
	}
	return err
}
