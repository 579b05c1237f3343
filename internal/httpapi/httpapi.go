// Package httpapi is JSON over HTTP: the management API and the verification listener, over admin and verify.
//
// Handlers are thin. A table says which routes there are; one adapter takes a request apart, calls a use case and
// writes what it returns; one function writes every error, as a problem document (RFC 9457). Nothing about who may
// do what is decided here: a handler finds out who calls, and hands that to the use case.
//
// A request is judged in a fixed order, and the first that fails is answered: path and method (404, 405), credential
// (401, and 403 where another site sends a cookie), Accept (406), Content-Type (415), size (413), and then the body as a
// whole. What is wrong with a body is answered all at once: 400 where a part of it cannot be understood, 422 where every
// part can.
//
// An answer to bad input names places and never repeats values, because a value may be a token in the wrong place.
//
// The package serves no connections and knows no store: time-outs, TLS and addresses are for whoever builds the
// http.Server.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/gateway"
	"github.com/apikeyd/apikeyd/internal/secret"
	"github.com/apikeyd/apikeyd/internal/telemetry"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// Options are what the two handlers are made of. Where nothing else is said, a field is required.
type Options struct {
	Checker    *verify.Checker
	RequestIDs *telemetry.RequestIDs
	Requests   *telemetry.RequestLog // a line for each request
	Metrics    *telemetry.Metrics    // counts and times each request; GET /metrics of the verification listener
	Log        *slog.Logger          // why a request failed, where that is the server's fault
	Client     browser.Client        // finds out where a request came from

	// For the management API alone.

	Admin *admin.Service
	Now   func() time.Time
	Guard *browser.Guard
	// Identities are the tokens of an OpenID Connect provider; nil: there is none.
	Identities IdentityProvider
	// GitHub are the signatures of GitHub's secret scanning; nil: it is not listened to.
	GitHub GitHubSignatures
	// SignInURL returns the address that a one-time link's secret is handed out in.
	SignInURL func(link secret.Secret) string
	// Pages are what browsers are shown, by another package; they are logged, counted and guarded against panics here.
	Pages   []Page
	Nowhere http.Handler // what browsers are shown where none of them is; nil: an error as programs read it
	OpenAPI http.Handler // GET /openapi.json; nil: there is none
	Docs    http.Handler // GET /docs; nil: there is none

	// For the verification listener alone.

	// Subscriptions are those of programs that check keys for themselves.
	Subscriptions Subscriptions
	// Ready says why the server cannot answer requests now: a *NotReady for a reason that may be shown. nil: it can.
	Ready func(context.Context) error
	// Gateway judges requests to the API behind us.
	Gateway *gateway.Gateway
	// VerifyToken compares a bearer token that a caller presented with those of the operator, in constant time. nil: no
	// caller needs one. /livez and /readyz never do.
	VerifyToken func(presented string) bool
	// LogChecks asks for a log line for each check that is answered; those that fail have one in any case.
	LogChecks bool
}

// NewManagement returns the management API and its documentation.
func NewManagement(o Options) http.Handler {
	keys := &keys{admin: o.Admin, now: o.Now}
	routes := keys.routes()
	routes = append(routes, organizations{admin: o.Admin}.routes()...)
	routes = append(routes, members{admin: o.Admin, signInURL: o.SignInURL}.routes()...)
	routes = append(routes, sessions{admin: o.Admin, guard: o.Guard}.routes()...)
	routes = append(routes, uses{admin: o.Admin}.routes()...)
	routes = append(routes, leaks{admin: o.Admin, github: o.GitHub}.routes()...)
	routes = append(routes, auditLog{admin: o.Admin}.routes()...)
	routes = append(routes, me{admin: o.Admin}.routes()...)
	for _, p := range o.Pages {
		routes = append(routes, route{method: p.Method, pattern: p.Pattern, public: true, serve: foreign(p.Handler)})
	}
	routes = append(routes, documentation("/openapi.json", o.OpenAPI)...)
	routes = append(routes, documentation("/docs", o.Docs)...)
	a := &authenticator{checker: o.Checker, admin: o.Admin, identities: o.Identities, guard: o.Guard}
	s := newServer(o, "management", routes, a.authenticate)
	s.client, s.nowhere = &o.Client, o.Nowhere
	return s
}

// NewVerification returns the handler of the verification listener: /v1/verify, /v1/authorize, /introspect, and what those
// need who look after the server.
func NewVerification(o Options) http.Handler {
	routes := checks{checker: o.Checker, metrics: o.Metrics}.routes()
	routes = append(routes, subscriptions{all: o.Subscriptions}.routes()...)
	routes = append(routes, authorization{gateway: o.Gateway, client: o.Client, metrics: o.Metrics}.routes()...)
	routes = append(routes, introspection{checker: o.Checker, metrics: o.Metrics}.routes()...)
	routes = append(routes, health{ready: o.Ready, metrics: o.Metrics.Handler(o.Log)}.routes()...)
	var authenticate func(*exchange) error
	if o.VerifyToken != nil {
		authenticate = authenticateService(o.VerifyToken)
	}
	return newServer(o, "verify", routes, authenticate)
}

// Page is a route that another package serves. It asks for credentials itself, and finds the request's id in the header
// X-Request-Id of its answer.
type Page struct {
	Method  string // GET stands for HEAD, too
	Pattern string // "/sign-in/{secret}": what stands in braces matches one segment
	Handler http.Handler
}

// documentation is a page that anybody may see.
func documentation(path string, page http.Handler) []route {
	if page == nil {
		return nil
	}
	return []route{{method: http.MethodGet, pattern: path, public: true, serve: foreign(page)}}
}

// foreign lets a handler that knows nothing of this package serve a route.
func foreign(h http.Handler) func(*exchange) error {
	return func(x *exchange) error {
		h.ServeHTTP(x, x.r)
		return nil
	}
}
