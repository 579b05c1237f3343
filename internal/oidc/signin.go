package oidc

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"hash"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"
)

const (
	secretBytes = 32
	maxCode     = 4 << 10 // bytes of an authorization code
)

// Pending is a sign-in that has begun: what the browser must bring along when the provider sends it back. It is a
// secret of that browser; whoever prints or logs it gets nothing.
type Pending struct {
	state    string // ties the answer to the browser that asked
	nonce    string // ties the ID token to this sign-in
	verifier string // proves that whoever exchanges the code is who asked for it (PKCE)
}

// Encode returns a text for a cookie, from which ParsePending makes the same again.
func (s Pending) Encode() string { return s.state + "." + s.nonce + "." + s.verifier }

// ParsePending reads what Encode has written. The error is ErrRejected.
func ParsePending(text string) (Pending, error) {
	parts := strings.SplitN(text, ".", 4)
	wellFormed := func(s string) bool {
		b, err := base64.RawURLEncoding.Strict().DecodeString(s)
		return err == nil && len(b) == secretBytes && len(s) == base64.RawURLEncoding.EncodedLen(secretBytes)
	}
	if len(parts) != 3 || !wellFormed(parts[0]) || !wellFormed(parts[1]) || !wellFormed(parts[2]) {
		return Pending{}, reject("no sign-in is under way")
	}
	return Pending{parts[0], parts[1], parts[2]}, nil
}

// String returns nothing that is secret.
func (s Pending) String() string { return "oidc.Pending" }

// GoString returns the same, for %#v.
func (s Pending) GoString() string { return s.String() }

// LogValue returns the same.
func (s Pending) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Begin returns where to send the browser, and what it must bring along on its way back. The error is ErrUnavailable,
// but where the options name no RedirectURL.
func (p *Provider) Begin(ctx context.Context) (redirectTo string, pending Pending, err error) {
	if p.o.RedirectURL == "" {
		return "", Pending{}, errors.New("begin sign-in: no redirect URL")
	}
	s, err := p.source.get(ctx)
	if err != nil {
		return "", Pending{}, err
	}
	pending = Pending{state: secret(), nonce: secret(), verifier: secret()}
	return p.oauth(s).AuthCodeURL(pending.state,
		oauth2.SetAuthURLParam("nonce", pending.nonce),
		oauth2.S256ChallengeOption(pending.verifier)), pending, nil
}

// secret returns 256 random bits as 43 characters of base64url.
func secret() string {
	var b [secretBytes]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Complete returns who has signed in: pending is what Begin gave to this browser, query what the provider gave it. The
// error is ErrRejected or ErrUnavailable. A pending must be used once and then forgotten by the browser.
func (p *Provider) Complete(ctx context.Context, pending Pending, query url.Values) (Identity, error) {
	if p.o.RedirectURL == "" || pending == (Pending{}) {
		return Identity{}, reject("no sign-in is under way")
	}
	s, err := p.source.get(ctx)
	if err != nil {
		return Identity{}, err
	}
	code, err := p.checkAnswer(s, pending, query)
	if err != nil {
		return Identity{}, err
	}
	granted, err := p.exchange(ctx, s, code, pending.verifier)
	if err != nil {
		return Identity{}, err
	}
	t, err := p.verifyIDToken(ctx, granted, pending.nonce)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{Issuer: t.Issuer, Subject: t.Subject}
	id.setEmail(t.emailClaims)
	if id.Email == "" {
		id.setEmail(p.userInfo(ctx, s, granted.AccessToken, t.Subject))
	}
	return id, nil
}

// checkAnswer returns the code of the provider's answer, where it is the answer to our question, from the provider that
// we asked.
func (p *Provider) checkAnswer(s *snapshot, pending Pending, query url.Values) (code string, err error) {
	for _, name := range []string{"state", "iss", "error", "code"} {
		if len(query[name]) > 1 {
			return "", reject("the answer has several %s", name)
		}
	}
	if subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(pending.state)) != 1 {
		return "", reject("the answer belongs to another sign-in")
	}
	if (query.Has("iss") || s.NamesIssuer) && query.Get("iss") != p.o.Issuer {
		return "", reject("the answer is of another provider")
	}
	if query.Has("error") {
		return "", refusal(query.Get("error"))
	}
	if code = query.Get("code"); code == "" || len(code) > maxCode {
		return "", reject("the answer has no code")
	}
	return code, nil
}

// refusal returns the error for an error code of the provider.
func refusal(code string) error {
	switch {
	case code == "temporarily_unavailable" || code == "server_error":
		return unavailable("it answered %s", code)
	case len(code) > 64:
		return reject("the provider answered with an error")
	default:
		return reject("the provider answered %q", code)
	}
}

// exchange gives the code for tokens. Only that the code is not good is the fault of who brought it.
func (p *Provider) exchange(ctx context.Context, s *snapshot, code, verifier string) (*oauth2.Token, error) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, p.o.HTTPClient)
	granted, err := p.oauth(s).Exchange(ctx, code, oauth2.VerifierOption(verifier))
	var answer *oauth2.RetrieveError
	switch {
	case err == nil:
		return granted, nil
	case !errors.As(err, &answer):
		return nil, unavailable("exchange the code: %w", err)
	case answer.ErrorCode == "invalid_grant":
		return nil, reject("the provider does not accept the code")
	default: // the body of the answer is not repeated: nobody knows what is in it
		return nil, unavailable("exchange the code: status %d, error %.64q", answer.Response.StatusCode, answer.ErrorCode)
	}
}

func (p *Provider) oauth(s *snapshot) *oauth2.Config {
	c := &oauth2.Config{
		ClientID:     p.o.ClientID,
		ClientSecret: p.o.ClientSecret(),
		RedirectURL:  p.o.RedirectURL,
		Scopes:       []string{"openid", "email"},
		Endpoint:     oauth2.Endpoint{AuthURL: s.AuthorizationEndpoint, TokenURL: s.TokenEndpoint, AuthStyle: oauth2.AuthStyleInHeader},
	}
	// Never tried out: a provider takes a code once, and may take the second try for a theft.
	if c.ClientSecret == "" || !p.acceptsBasic(s) {
		c.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return c
}

// acceptsBasic reports whether the secret goes into a header, which is so where the provider does not say.
func (p *Provider) acceptsBasic(s *snapshot) bool {
	return s.ClientAuthentication == nil || slices.Contains(s.ClientAuthentication, "client_secret_basic")
}

// verifyIDToken returns the ID token that came with the answer to our code, where it is for us and for this sign-in.
func (p *Provider) verifyIDToken(ctx context.Context, granted *oauth2.Token, nonce string) (*token, error) {
	text, _ := granted.Extra("id_token").(string)
	if text == "" {
		return nil, reject("the provider sent no ID token")
	}
	t, err := p.verify(ctx, text)
	if err != nil {
		return nil, err
	}
	if err := p.checkClient(t); err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(t.Nonce), []byte(nonce)) != 1 {
		return nil, reject("the ID token belongs to another sign-in")
	}
	if t.AccessTokenHash != "" && t.AccessTokenHash != accessTokenHash(t.algorithm, granted.AccessToken) {
		return nil, reject("the ID token belongs to another access token")
	}
	return t, nil
}

// accessTokenHash returns the at_hash of an access token: the left half of its hash.
func accessTokenHash(algorithm, accessToken string) string {
	var h hash.Hash
	switch {
	case strings.HasSuffix(algorithm, "256"):
		h = sha256.New()
	case strings.HasSuffix(algorithm, "384"):
		h = sha512.New384()
	default: // EdDSA hashes with SHA-512 itself
		h = sha512.New()
	}
	h.Write([]byte(accessToken))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:h.Size()/2])
}

// userInfo asks for the address that was not in the ID token; where OpenID Connect is followed to the letter, none is.
// Who has signed in is known without it, so a failure is not one of the sign-in.
func (p *Provider) userInfo(ctx context.Context, s *snapshot, accessToken, subject string) emailClaims {
	if s.UserInfoEndpoint == "" {
		return emailClaims{}
	}
	var answer struct {
		Subject string `json:"sub"`
		emailClaims
	}
	err := p.getJSON(ctx, s.UserInfoEndpoint, accessToken, &answer)
	if err == nil && answer.Subject != subject {
		err = errors.New("it is about somebody else") // a token of somebody else was slipped in
	}
	if err != nil {
		p.o.Log.Warn("no address of who has signed in", "issuer", p.o.Issuer, "error", err)
		return emailClaims{}
	}
	return answer.emailClaims
}
