package client

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Option changes how a Client or a Verifier works.
type Option func(*settings) error

type settings struct {
	apiKey      credential
	session     credential
	verifyToken credential
	http        *http.Client
	userAgent   string
	retry       Retry
}

// apply returns the settings, or everything that is wrong with them.
func apply(options []Option) (settings, error) {
	s := settings{userAgent: "apikeyd-go-client"}
	var faults []error
	for _, o := range options {
		faults = append(faults, o(&s))
	}
	return s, errors.Join(faults...)
}

// WithAPIKey sends the token of an API key with every request. It is for New alone.
//
// Without it no credential is sent, which suits an *http.Client that adds its own, such as an OIDC access token.
func WithAPIKey(token string) Option {
	return func(s *settings) (err error) {
		s.apiKey, err = newCredential("API key", token)
		return err
	}
}

// WithSession sends the secret of a session, as SignIn returns it, with every request, as a browser does. It is for New
// alone, and not together with WithAPIKey.
func WithSession(secret string) Option {
	return func(s *settings) (err error) {
		s.session, err = newSession(secret)
		return err
	}
}

// WithVerifyToken sends the bearer token that the verification listener asks for where it is reachable by more than
// its own machine. It is for NewVerifier alone.
func WithVerifyToken(token string) Option {
	return func(s *settings) (err error) {
		s.verifyToken, err = newCredential("verification token", token)
		return err
	}
}

// WithHTTPClient sends requests through h: for mutual TLS, a proxy, tracing or another time limit. A copy of h is
// used; its CheckRedirect and its Jar are ignored. Without it a request may take 30 seconds, a verification 5, each
// attempt counted alone.
//
// A unix socket needs a transport of its own, so there h must not have one.
func WithHTTPClient(h *http.Client) Option {
	return func(s *settings) error {
		if h == nil {
			return errors.New("WithHTTPClient: the HTTP client is nil")
		}
		s.http = h
		return nil
	}
}

// WithUserAgent sets the User-Agent header, which proxies on the way may log; apikeyd does not.
func WithUserAgent(agent string) Option {
	return func(s *settings) error {
		for _, c := range []byte(agent) {
			if c < ' ' || c > '~' {
				return fmt.Errorf("WithUserAgent: %q must be printable ASCII", agent)
			}
		}
		s.userAgent = agent
		return nil
	}
}

// WithRetry sets when a request that failed is sent again. See Retry.
func WithRetry(r Retry) Option {
	return func(s *settings) error {
		if r.Attempts < 0 || r.FirstDelay < 0 || r.MaxDelay < 0 || r.MaxRetryAfter < 0 {
			return errors.New("WithRetry: no field may be negative")
		}
		s.retry = r
		return nil
	}
}

// defaults is in what a Client and a Verifier differ.
type defaults struct {
	credential credential
	retry      Retry
	timeout    time.Duration
}
