package oidctest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
)

// ownRedirect is where the provider sends the sign-ins that AccessToken and IDToken make. Nobody listens there.
const ownRedirect = "http://127.0.0.1:9/oidctest"

// SignIn does what a browser and a user do: it goes to redirectTo, the login page, and signs in as subject. It returns
// where the provider sends the browser at the end, and does not go there. client may be nil.
func (p *Provider) SignIn(t testing.TB, client *http.Client, redirectTo, subject string) (callback *url.URL) {
	t.Helper()
	page, callback := p.follow(t, client, func(c *http.Client) (*http.Response, error) { return c.Get(redirectTo) })
	if callback != nil {
		t.Fatalf("sign in: the provider went back to %s at once", callback.Redacted())
	}
	_, callback = p.follow(t, client, func(c *http.Client) (*http.Response, error) {
		return c.PostForm(page.String(), url.Values{"subject": {subject}})
	})
	if callback == nil {
		t.Fatal("sign in: the provider did not send the browser back")
	}
	return callback
}

// follow makes a request and follows redirects within the provider. It returns the page that it comes to, or else where
// the provider sends it away to.
func (p *Provider) follow(t testing.TB, client *http.Client, request func(*http.Client) (*http.Response, error)) (page, away *url.URL) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	if client != nil {
		c = *client
	}
	c.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host != p.address {
			return http.ErrUseLastResponse
		}
		return nil
	}
	answer, err := request(&c)
	if err != nil {
		t.Fatalf("sign in: %v", err)
	}
	answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
		return answer.Request.URL, nil
	case http.StatusFound, http.StatusSeeOther:
		away, err = answer.Location()
		if err != nil {
			t.Fatalf("sign in: %v", err)
		}
		return nil, away
	default:
		t.Fatalf("sign in: %s answered %s", answer.Request.URL.Path, answer.Status)
		return nil, nil
	}
}

// AccessToken returns a new access token of a user, a JSON Web Token for ClientID.
func (p *Provider) AccessToken(t testing.TB, subject string) string {
	t.Helper()
	return p.grant(t, subject).AccessToken
}

// IDToken returns a new ID token of a user, for ClientID.
func (p *Provider) IDToken(t testing.TB, subject string) string {
	t.Helper()
	text, _ := p.grant(t, subject).Extra("id_token").(string)
	if text == "" {
		t.Fatal("no ID token")
	}
	return text
}

// grant signs a user in with a client of its own.
func (p *Provider) grant(t testing.TB, subject string) *oauth2.Token {
	t.Helper()
	p.Allow(ownRedirect)
	c := oauth2.Config{
		ClientID:     ClientID,
		ClientSecret: ClientSecret,
		RedirectURL:  ownRedirect,
		Scopes:       []string{"openid", "email"},
		Endpoint: oauth2.Endpoint{
			AuthURL:   p.Issuer() + "/authorize",
			TokenURL:  p.Issuer() + "/oauth/token",
			AuthStyle: oauth2.AuthStyleInHeader,
		},
	}
	callback := p.SignIn(t, nil, c.AuthCodeURL("state"), subject)
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true},
		Timeout:   30 * time.Second,
	})
	granted, err := c.Exchange(ctx, callback.Query().Get("code"))
	if err != nil {
		t.Fatalf("get tokens: %v", err)
	}
	return granted
}

// Sign signs claims with the provider's present key, as the provider would never do itself. header adds to the header
// of the token, or replaces parts of it.
func (p *Provider) Sign(t testing.TB, claims map[string]any, header map[string]any) string {
	t.Helper()
	return p.store.currentKey().sign(t, claims, header)
}

func (k *key) sign(t testing.TB, claims, header map[string]any) string {
	t.Helper()
	o := new(jose.SignerOptions).WithHeader("kid", k.id)
	for name, value := range header {
		o = o.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: k.algorithm, Key: k.private}, o)
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	return strings.TrimSpace(text)
}
