package middleware

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/apikeyd/apikeyd/api"
)

// Option changes what Require asks for, and how it refuses.
type Option func(*settings)

type settings struct {
	fixed   bool // scope says which is needed, whatever the method
	scope   api.Scope
	trusted []netip.Prefix
	respond func(http.ResponseWriter, *http.Request, *Refusal)
	log     *slog.Logger // nil: nobody is told
}

// Scope asks for a scope, whatever the method of the request: middleware.Scope(api.ScopeManage).
func Scope(scope api.Scope) Option {
	switch scope {
	case api.ScopeRead, api.ScopeCreate, api.ScopeUpdate, api.ScopeDelete, api.ScopeManage:
	default:
		panic(fmt.Sprintf("middleware: there is no scope %q", scope))
	}
	return func(s *settings) { s.scope, s.fixed = scope, true }
}

// AnyScope lets any key through that is good, with the scopes that it has. Whoever uses it looks at the scopes of the key
// in FromContext.
func AnyScope() Option {
	return func(s *settings) { s.scope, s.fixed = "", true }
}

// TrustedProxies are the proxies in front whose X-Forwarded-For is believed: each adds the address it was called from at its
// end. Without it, or where the request comes from somebody else, it is net/http's RemoteAddr that a key's list of allowed
// addresses is held against.
func TrustedProxies(proxies ...netip.Prefix) Option {
	for _, p := range proxies {
		if !p.IsValid() {
			panic("middleware: a trusted proxy is no block of addresses")
		}
		if p.Addr().Is4In6() { // requests come from IPv4 addresses, whichever socket they come by
			panic("middleware: a trusted proxy is an IPv4 block in IPv6 notation; write it like 10.0.0.0/8")
		}
	}
	return func(s *settings) { s.trusted = proxies }
}

// Respond answers what is refused in the API's own way. The headers of the refusal are set when respond is called; it adds its
// own, and writes status and body.
//
// Without it the body is a problem document (RFC 9457), as apikeyd's own: api.Error.
func Respond(respond func(w http.ResponseWriter, r *http.Request, why *Refusal)) Option {
	if respond == nil {
		panic("middleware: Respond without a function")
	}
	return func(s *settings) { s.respond = respond }
}

// Log has a line for each request that was refused because nobody could say whether its key is good.
func Log(log *slog.Logger) Option {
	return func(s *settings) { s.log = log }
}
