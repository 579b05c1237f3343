package oidc

import (
	"math"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// clockSkew is how far the provider's clock and ours may differ, either way.
	clockSkew = 60 * time.Second

	maxSubject = 255 // bytes, as OpenID Connect has it
	maxEmail   = 254 // bytes, the longest address that mail can be sent to
)

// claims are what we need of a token's claims.
type claims struct {
	Issuer          string       `json:"iss"`
	Subject         string       `json:"sub"`
	Audience        audience     `json:"aud"`
	AuthorizedParty string       `json:"azp"`
	Expires         *numericDate `json:"exp"`
	NotBefore       *numericDate `json:"nbf"`
	IssuedAt        *numericDate `json:"iat"`
	Nonce           string       `json:"nonce"`
	AccessTokenHash string       `json:"at_hash"`
	emailClaims

	// Scope and Scopes make it an access token: an ID token gives no rights. The second is the name that some use.
	Scope  jsontext.Value `json:"scope"`
	Scopes jsontext.Value `json:"scp"`
	// Events make it a logout token or another message between servers about somebody (RFC 8417).
	Events jsontext.Value `json:"events"`
	// Confirmation binds it to a key or a certificate that the sender must prove to have (RFC 7800).
	Confirmation jsontext.Value `json:"cnf"`
}

type emailClaims struct {
	Email         string         `json:"email"`
	EmailVerified jsontext.Value `json:"email_verified"`
}

// audience is a string or an array of strings.
type audience []string

// UnmarshalJSON reads either.
func (a *audience) UnmarshalJSON(text []byte) error {
	if text[0] != '"' {
		return json.Unmarshal(text, (*[]string)(a))
	}
	*a = make(audience, 1)
	return json.Unmarshal(text, &(*a)[0])
}

// numericDate is a number of seconds since 1970, which may have a fraction.
type numericDate float64

func (n numericDate) time() time.Time {
	// Beyond the year 9999 there is nothing to tell apart, and the conversion would overflow.
	const farOff = 253402300799
	return time.Unix(int64(math.Floor(min(max(float64(n), -farOff), farOff))), 0)
}

// check checks what holds for every token.
func (c *claims) check(issuer string, now time.Time) error {
	switch {
	case c.Issuer != issuer:
		return reject("the token is of another issuer")
	case c.Expires == nil:
		return reject("the token never expires")
	case !now.Before(c.Expires.time().Add(clockSkew)):
		return reject("the token has expired")
	case c.NotBefore != nil && now.Before(c.NotBefore.time().Add(-clockSkew)):
		return reject("the token is not valid yet")
	case c.IssuedAt != nil && now.Before(c.IssuedAt.time().Add(-clockSkew)):
		return reject("the token was issued in the future")
	case c.Subject == "":
		return reject("the token has no subject")
	case len(c.Subject) > maxSubject || strings.ContainsFunc(c.Subject, unicode.IsControl):
		return reject("the token's subject is longer than %d bytes, or has control characters", maxSubject)
	case c.Events != nil:
		return reject("the token is a message about an event")
	case c.Confirmation != nil:
		return reject("the token is bound to a key, and that is not supported")
	}
	return nil
}

// identify returns who the subject of a bearer token is, where the token is meant for us.
//
// What an ID token looks like is meant for the client; what an access token looks like, for the audience. A token that
// may be either is an ID token where it is meant for the client, and an access token where it is meant for an audience
// that is not the client.
func (p *Provider) identify(t *token) (Identity, error) {
	id := Identity{Issuer: t.Issuer, Subject: t.Subject}
	if !t.accessToken && p.checkClient(t) == nil {
		id.setEmail(t.emailClaims)
		return id, nil
	}
	if !slices.Contains(t.Audience, p.o.Audience) {
		return Identity{}, reject("the token is meant for another audience")
	}
	if !t.accessToken && p.o.Audience == p.o.ClientID {
		return Identity{}, p.checkClient(t)
	}
	return id, nil
}

// checkClient checks that an ID token was issued to us.
func (p *Provider) checkClient(t *token) error {
	switch {
	case !slices.Contains(t.Audience, p.o.ClientID):
		return reject("the token is meant for another client")
	case len(t.Audience) > 1 && t.AuthorizedParty == "":
		return reject("the token is meant for several clients and does not say who got it")
	case t.AuthorizedParty != "" && t.AuthorizedParty != p.o.ClientID:
		return reject("the token was issued to another client")
	}
	return nil
}

// setEmail sets the address. One that cannot be one is none; one is verified where the provider says just that.
func (id *Identity) setEmail(c emailClaims) {
	if c.Email == "" || len(c.Email) > maxEmail || strings.ContainsFunc(c.Email, unicode.IsControl) {
		return
	}
	verified := string(c.EmailVerified)
	id.Email, id.EmailVerified = c.Email, verified == "true" || verified == `"true"`
}
