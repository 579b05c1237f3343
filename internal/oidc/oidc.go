// Package oidc lets a company's OpenID Connect provider say who somebody is: by the authorization code flow, for people
// with a browser, and by the provider's tokens as bearer credentials of the API.
//
// It finds keys and endpoints by discovery, on first use, and keeps what it found: a provider that is away does not stop
// the start, and tokens signed with keys that are known are judged without it.
//
// Signatures are left to go-jose and the exchange of the code to x/oauth2. What a token must say is judged here, because
// the rules are tighter than those of the usual libraries: names of claims are case-sensitive and may not be repeated,
// clocks may differ by a minute and no more, and an unknown key id makes no more than one request in a few seconds.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

var (
	// ErrRejected is the answer to a token, or an answer of the provider, that is not good. What else the error says is
	// the reason: for a log, not for whoever sent it. It never holds the token or a part of it.
	ErrRejected = errors.New("not accepted")
	// ErrUnavailable is the answer where nobody can say now: the provider is away, or answers what cannot be used.
	ErrUnavailable = errors.New("the identity provider is not available")
)

// Identity is who the provider says somebody is. Issuer and Subject together are one person for good; an address may
// move from one person to another.
type Identity struct {
	Issuer  string
	Subject string // 1 to 255 bytes, without control characters
	// Email is empty where the provider did not say, and where the token is known for an access token: those say what
	// may be done, not who somebody is.
	Email         string
	EmailVerified bool
}

// Options say which provider to believe, and as whom.
type Options struct {
	// Issuer is the provider's URL, exactly as its discovery document and its tokens spell it. It is https, or http on
	// a loopback address.
	Issuer string
	// ClientID is the name under which the provider knows us.
	ClientID string
	// ClientSecret returns the secret that goes with ClientID, and is asked each time. nil, or an empty answer: a public
	// client.
	ClientSecret func() string
	// Audience is what an access token must be meant for; empty: ClientID.
	Audience string
	// RedirectURL is where the provider sends browsers back to; empty: no sign-in by browser.
	RedirectURL string
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// HTTPClient calls the provider; nil: one with time-outs, which follows redirects within one host alone.
	HTTPClient *http.Client
	// Log is told when the provider goes away and comes back; nil: nobody is.
	Log *slog.Logger
}

// Provider is an OpenID Connect provider. It is safe for concurrent use.
type Provider struct {
	o      Options
	source *source
}

// New checks the options, and calls nobody.
func New(o Options) (*Provider, error) {
	if err := checkURL(o.Issuer, ""); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	if o.ClientID == "" {
		return nil, errors.New("client id: must not be empty")
	}
	if o.RedirectURL != "" {
		if err := checkURL(o.RedirectURL, ""); err != nil {
			return nil, fmt.Errorf("redirect URL: %w", err)
		}
	}
	if o.Audience == "" {
		o.Audience = o.ClientID
	}
	if o.ClientSecret == nil {
		o.ClientSecret = func() string { return "" }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.HTTPClient == nil {
		o.HTTPClient = newClient()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Provider{o: o}
	p.source = newSource(p.discover, o.Now, o.Log.With("issuer", o.Issuer))
	return p, nil
}

// Close ends a request for keys that is under way, and connections that are idle. The provider may be used no more.
func (p *Provider) Close() {
	p.source.close()
	p.o.HTTPClient.CloseIdleConnections()
}

// checkURL says why text is no URL to trust a provider at. Where issuer is https, so must text be.
func checkURL(text, issuer string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("is no URL") // the error of url.Parse repeats text, which may hold a password
	case u.User != nil:
		return errors.New("must hold no user name or password")
	case u.Host == "" || u.Hostname() == "":
		return errors.New("must be an absolute URL with a host")
	case u.Fragment != "" || strings.Contains(text, "#"):
		return errors.New("must have no fragment")
	case issuer == "" && (u.RawQuery != "" || u.ForceQuery):
		return errors.New("must have no query")
	case u.Scheme == "https":
		return nil
	case u.Scheme != "http":
		return errors.New("must be https")
	case !loopback(u.Hostname()):
		return errors.New("must be https, or http on a loopback address")
	case issuer != "" && !strings.HasPrefix(issuer, "http:"):
		return errors.New("must be https like the issuer")
	}
	return nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// newClient returns a client that waits for nobody long. Redirects stay on one host: keys from elsewhere would be as
// good as the provider's own.
func newClient() *http.Client {
	return &http.Client{
		Timeout: tryTimeout,
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           4,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			first := via[0].URL
			if r.URL.Scheme != first.Scheme || r.URL.Host != first.Host {
				return errors.New("redirected to another host")
			}
			if len(via) > 3 {
				return errors.New("redirected too often")
			}
			return nil
		},
	}
}

// reject returns an ErrRejected with a reason.
func reject(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRejected, fmt.Errorf(format, args...))
}

// unavailable returns an ErrUnavailable with a reason.
func unavailable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnavailable, fmt.Errorf(format, args...))
}

// Authenticate returns whose token it is: an access token (RFC 9068, and those of providers that came before it) or an
// ID token. The error is ErrRejected or ErrUnavailable.
func (p *Provider) Authenticate(ctx context.Context, bearer string) (Identity, error) {
	t, err := p.verify(ctx, bearer)
	if err != nil {
		return Identity{}, err
	}
	return p.identify(t)
}
