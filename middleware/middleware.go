// Package middleware puts apikeyd in front of a Go handler: a request gets through with a key that may do what it asks for.
//
//	keys, err := client.NewVerifier("http://127.0.0.1:8081")
//	…
//	http.Handle("/", middleware.Require(keys)(api))
//
// It is plain net/http, func(http.Handler) http.Handler, which chi takes as it is, and echo and gin by their adapters.
//
// A key is taken from "Authorization: Bearer TOKEN" or "X-API-Key: TOKEN", by the rules of apikeyd's own API. The scope that it
// needs follows from the method: READ for GET, HEAD and OPTIONS, CREATE for POST, UPDATE for PUT and PATCH, DELETE for DELETE.
// What is no token is refused without asking anybody. Whose key it was, the handler finds by FromContext.
//
// Who cannot be told to be allowed is not: where apikeyd does not answer, nor does the handler, and the request is answered
// with 503.
//
// A Cache answers in place of the Verifier, from memory, in less than a microsecond, and yet a deleted key is dead: see Cache.
//
// The package imports the standard library, package api and package client, and nothing else.
package middleware

import (
	"context"
	"net/http"

	"github.com/apikeyd/apikeyd/api"
)

// Checker says whether a key may do a thing. *client.Verifier and *Cache are Checkers.
type Checker interface {
	// Verify answers a question. Where nobody knows the answer there is an error, and a request must not get through.
	Verify(ctx context.Context, q api.VerifyRequest) (api.Verification, error)
}

// Require returns a middleware that lets through what a key allows, and refuses everything else:
//
//	401  no key, or one that is unknown, deleted, disabled or expired; with WWW-Authenticate
//	403  the key lacks the scope, or may not be used from where the request came from
//	429  the key has used up a limit or its quota; with Retry-After, RateLimit-Policy and RateLimit
//	503  it could not be found out
//
// Each asks for itself: a request that passes two counts twice against the limits and the quota of its key.
//
// It panics where an option is none, as at the start of a program.
func Require(checker Checker, options ...Option) func(http.Handler) http.Handler {
	if checker == nil {
		panic("middleware: the checker is nil")
	}
	s := settings{respond: problem}
	for _, o := range options {
		o(&s)
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer, refusal := s.check(checker, r)
			rateLimit(w.Header(), answer)
			if refusal != nil {
				s.refuse(w, r, refusal)
				return
			}
			next.ServeHTTP(w, r.WithContext(&identified{r.Context(), answer}))
		})
	}
}

// check asks about the key of a request. Without a refusal the request may go on.
func (s *settings) check(checker Checker, r *http.Request) (api.Verification, *Refusal) {
	scope, ok := s.scopeOf(r.Method)
	if !ok {
		return api.Verification{}, &Refusal{Status: http.StatusForbidden, Detail: "no scope covers the request's method; " +
			"scopes cover GET, HEAD, OPTIONS, POST, PUT, PATCH and DELETE, written in upper case"}
	}
	token, refusal := credential(r.Header)
	if refusal != nil {
		return api.Verification{}, refusal
	}
	answer, err := checker.Verify(r.Context(), api.VerifyRequest{Key: token, Scope: scope, IP: s.address(r)})
	switch {
	case err != nil:
		return api.Verification{}, &Refusal{Status: http.StatusServiceUnavailable, Err: err,
			Detail: "the key cannot be checked just now; try again"}
	case !answer.Valid:
		return answer, refused(answer, scope)
	}
	return answer, nil
}

// scopeOf returns the scope that a request with a method needs, "" for none; false where nothing says which.
func (s *settings) scopeOf(method string) (api.Scope, bool) {
	if s.fixed {
		return s.scope, true
	}
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, "": // a request made by hand may have no method, and means GET
		return api.ScopeRead, true
	case http.MethodPost:
		return api.ScopeCreate, true
	case http.MethodPut, http.MethodPatch:
		return api.ScopeUpdate, true
	case http.MethodDelete:
		return api.ScopeDelete, true
	default:
		return "", false
	}
}

// identified is the context of a request that was let through. One value in place of context.WithValue spares an allocation.
type identified struct {
	context.Context
	key api.Verification
}

type contextKey struct{}

// Value returns the key for contextKey, and what the context around has for any other.
func (c *identified) Value(key any) any {
	if key == (contextKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// FromContext returns the key that a request was let through with; false where none of this package's middlewares has let it
// through. What it refers to is shared by requests and must not be changed.
func FromContext(ctx context.Context) (api.Verification, bool) {
	c, ok := ctx.Value(contextKey{}).(*identified)
	if !ok {
		return api.Verification{}, false
	}
	return c.key, true
}
