// Package gatewaytest is the one decision table of all ways to ask whether a request may go to an API. Each of them runs through it, so
// that none lets through what another refuses.
package gatewaytest

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/gateway"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/rules"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/token"
	"github.com/apikeyd/apikeyd/internal/usage"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// Proxy is the address of the one proxy that is trusted to say where a request came from.
const Proxy = "127.0.0.1"

// World is a few keys, rules, and what judges requests by them.
type World struct {
	Gateway *gateway.Gateway
	Checker *verify.Checker
	Client  browser.Client

	tokens map[string]string
	store  *keys
}

// New returns a World. Its log goes nowhere.
func New(t testing.TB) *World {
	t.Helper()
	set, faults := rules.New([]rules.Rule{
		{Path: "/health", Need: rules.Need{Public: true}},
		{Path: "/accounts/**", Need: rules.Need{Scope: key.Manage}},
		{Path: "/search", Methods: []string{"POST"}, Need: rules.Need{Scope: key.Read}},
		{Path: "/files/*", Methods: []string{"PROPFIND"}, Need: rules.Need{Scope: key.Read}},
	})
	if faults != nil {
		t.Fatal(faults)
	}
	w := &World{tokens: map[string]string{}, store: &keys{records: map[key.Digest]*key.Record{}},
		Client: browser.Client{Trusted: []netip.Prefix{netip.MustParsePrefix(Proxy + "/32")}}}
	limited := &key.Restrictions{Limits: []key.Limit{{Name: "default", Requests: 100, Window: time.Minute}}}
	for i, k := range []struct {
		name   string
		record key.Record
	}{
		{"reader", key.Record{Name: "Größe 5", Scopes: key.ScopesOf(key.Read)}},
		{"admin", key.Record{Name: "admin", Scopes: key.AllScopes}},
		{"disabled", key.Record{Name: "disabled", Scopes: key.AllScopes}},
		{"expired", key.Record{Name: "expired", Scopes: key.AllScopes, ExpiresAt: 1}},
		{"at home", key.Record{Name: "at home", Scopes: key.AllScopes,
			Restrictions: &key.Restrictions{AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}}},
		{"limited", key.Record{Name: "limited", Scopes: key.AllScopes, Restrictions: limited}},
		{"exhausted", key.Record{Name: "exhausted", Scopes: key.AllScopes, Restrictions: limited}},
	} {
		k.record.KeyID, k.record.OrganizationID, k.record.UserID = int64(i)+1, 432, 3
		k.record.Enabled = k.name != "disabled"
		secret := token.New(token.DefaultPrefix)
		w.store.records[secret.Digest()] = &k.record
		w.tokens[k.name] = secret.Reveal()
	}
	w.tokens["unknown"] = token.New(token.DefaultPrefix).Reveal()
	w.Checker = verify.New(verify.Options{Tokens: w.store, Usage: usage.NewRecorder(w.store, slog.New(slog.DiscardHandler)), Now: time.Now,
		Limiter: limiter{}, CacheBytes: 1 << 20, NegativeCacheBytes: 1 << 20})
	w.Gateway = gateway.New(w.Checker, set)
	return w
}

// Token returns the token of a key of the World: "reader", say. "unknown" is the token of none.
func (w *World) Token(name string) string { return w.tokens[name] }

// Away makes the database go away, for keys that nobody has asked about before.
func (w *World) Away() { w.store.away.Store(true) }

// keys is a store of a few keys.
type keys struct {
	records map[key.Digest]*key.Record
	away    atomic.Bool
}

// RecordByDigest returns a key.
func (k *keys) RecordByDigest(_ context.Context, digest key.Digest) (*key.Record, error) {
	if k.away.Load() {
		return nil, errors.Join(store.ErrUnavailable, errors.New("the database is away"))
	}
	if r, ok := k.records[digest]; ok {
		return r, nil
	}
	return nil, store.ErrNotFound
}

// Update is for the times of last use, which nobody reads.
func (k *keys) Update(context.Context, func(store.Tx) error) ([]store.Change, error) { return nil, nil }

// limiter has made up its mind about each key.
type limiter struct{}

// Take lets the key "limited" through, and "exhausted" not.
func (limiter) Take(_ context.Context, keyID int64, _ *key.Restrictions, _ time.Time) (key.Outcome, key.Allowance, error) {
	const exhausted = 7
	if keyID == exhausted {
		return key.CheckRateLimited, key.Allowance{Name: "default", Requests: 100, Reset: time.Minute, Retry: 1500 * time.Millisecond}, nil
	}
	return key.CheckValid, key.Allowance{Name: "default", Requests: 100, Remaining: 50, Reset: 30 * time.Second}, nil
}

// Case is one row of the table: a request, and what must become of it.
type Case struct {
	Name           string
	Method, Target string
	// Bearer and APIKey name keys of the World, sent in these headers; "" sends none, and what names none is sent as it is.
	Bearer, APIKey string
	ForwardedFor   string // by Proxy

	Status    int
	Challenge string // WWW-Authenticate
	Identity  [gateway.IdentityCount]string
	Policy    string
	State     string
	Retry     string
}

// Cases is the table.
func Cases() []Case {
	const invalid, none = `Bearer realm="api", error="invalid_token"`, `Bearer realm="api"`
	lacks := func(scope string) string { return `Bearer error="insufficient_scope", scope="` + scope + `"` }
	reader := [gateway.IdentityCount]string{"1", "Gr%C3%B6%C3%9Fe%205", "432", "3", "READ"}
	admin := [gateway.IdentityCount]string{"2", "admin", "432", "3", "READ CREATE UPDATE DELETE MANAGE"}
	as := func(id, name string) (who [gateway.IdentityCount]string) {
		who = admin
		who[0], who[1] = id, name
		return who
	}
	const policy = `"default";q=100;w=60`
	return []Case{
		{Name: "no key", Method: "GET", Target: "/x", Status: 401, Challenge: none},
		{Name: "none of ours", Method: "GET", Target: "/x", Bearer: "eyJ.x.y", Status: 401, Challenge: invalid},
		{Name: "unknown", Method: "GET", Target: "/x", Bearer: "unknown", Status: 401, Challenge: invalid},
		{Name: "disabled", Method: "GET", Target: "/x", Bearer: "disabled", Status: 401, Challenge: invalid},
		{Name: "expired", Method: "GET", Target: "/x", Bearer: "expired", Status: 401, Challenge: invalid},
		{Name: "two keys", Method: "GET", Target: "/x", Bearer: "reader", APIKey: "admin", Status: 401, Challenge: invalid},
		{Name: "one key, twice", Method: "GET", Target: "/x", Bearer: "reader", APIKey: "reader", Status: 200, Identity: reader},
		{Name: "a key beside a foreign bearer", Method: "GET", Target: "/x", Bearer: "eyJ.x.y", APIKey: "reader", Status: 200, Identity: reader},

		{Name: "read", Method: "GET", Target: "/x?y=%2F..", Bearer: "reader", Status: 200, Identity: reader},
		{Name: "head", Method: "HEAD", Target: "/x", Bearer: "reader", Status: 200, Identity: reader},
		{Name: "options", Method: "OPTIONS", Target: "/x", APIKey: "reader", Status: 200, Identity: reader},
		{Name: "create", Method: "POST", Target: "/x", Bearer: "reader", Status: 403, Challenge: lacks("CREATE"), Identity: reader},
		{Name: "replace", Method: "PUT", Target: "/x", Bearer: "reader", Status: 403, Challenge: lacks("UPDATE"), Identity: reader},
		{Name: "change", Method: "PATCH", Target: "/x", Bearer: "reader", Status: 403, Challenge: lacks("UPDATE"), Identity: reader},
		{Name: "delete", Method: "DELETE", Target: "/x", Bearer: "reader", Status: 403, Challenge: lacks("DELETE"), Identity: reader},
		{Name: "delete, by who may", Method: "DELETE", Target: "/x", Bearer: "admin", Status: 200, Identity: admin},
		{Name: "a method that no scope covers", Method: "PROPFIND", Target: "/x", Bearer: "admin", Status: 403},

		{Name: "public", Method: "DELETE", Target: "/health/?x", Status: 200},
		{Name: "public, with a bad key", Method: "GET", Target: "/health", Bearer: "unknown", Status: 200},
		{Name: "not quite public", Method: "GET", Target: "/health/x", Status: 401, Challenge: none},
		{Name: "a rule", Method: "GET", Target: "/accounts/7", Bearer: "reader", Status: 403, Challenge: lacks("MANAGE"), Identity: reader},
		{Name: "a rule, escaped", Method: "GET", Target: "/%61ccounts", Bearer: "reader", Status: 403, Challenge: lacks("MANAGE"), Identity: reader},
		{Name: "a rule, and the scope", Method: "GET", Target: "/accounts/7", Bearer: "admin", Status: 200, Identity: admin},
		{Name: "a rule for a method", Method: "POST", Target: "/search", Bearer: "reader", Status: 200, Identity: reader},
		{Name: "a rule for an unusual method", Method: "PROPFIND", Target: "/files/7", Bearer: "reader", Status: 200, Identity: reader},
		{Name: "a method in lower case, which no rule is about", Method: "delete", Target: "/accounts/7", Bearer: "admin", Status: 403},
		{Name: "a rule in upper case", Method: "GET", Target: "/ACCOUNTS/7", Bearer: "admin", Status: 403},
		{Name: "public in upper case", Method: "GET", Target: "/Health", Bearer: "admin", Status: 403},

		{Name: "dots", Method: "GET", Target: "/health/../accounts", Bearer: "admin", Status: 403},
		{Name: "escaped dots", Method: "GET", Target: "/health/%2e%2E/accounts", Bearer: "admin", Status: 403},
		{Name: "an escaped slash", Method: "GET", Target: "/health%2f..%2Faccounts", Bearer: "admin", Status: 403},
		{Name: "a backslash", Method: "GET", Target: `/health\..\accounts`, Bearer: "admin", Status: 403},
		{Name: "two slashes", Method: "GET", Target: "//accounts/7", Bearer: "admin", Status: 403},
		{Name: "a parameter", Method: "GET", Target: "/accounts;x=y/7", Bearer: "admin", Status: 403},
		{Name: "escaped twice", Method: "GET", Target: "/%2561ccounts", Bearer: "admin", Status: 403},
		{Name: "NUL", Method: "GET", Target: "/accounts%00", Bearer: "admin", Status: 403},
		{Name: "a whole address", Method: "GET", Target: "http://api.example/health", Status: 403},

		{Name: "from the right address", Method: "GET", Target: "/x", Bearer: "at home", ForwardedFor: "203.0.113.9", Status: 200, Identity: as("5", "at%20home")},
		{Name: "from another", Method: "GET", Target: "/x", Bearer: "at home", ForwardedFor: "198.51.100.7", Status: 403, Identity: as("5", "at%20home")},
		{Name: "from another that says it is the right one", Method: "GET", Target: "/x", Bearer: "at home", ForwardedFor: "203.0.113.9, 198.51.100.7", Status: 403,
			Identity: as("5", "at%20home")},
		{Name: "from nowhere", Method: "GET", Target: "/x", Bearer: "at home", Status: 403, Identity: as("5", "at%20home")},

		{Name: "limited", Method: "GET", Target: "/x", Bearer: "limited", Status: 200, Identity: as("6", "limited"), Policy: policy, State: `"default";r=50;t=30`},
		{Name: "exhausted", Method: "GET", Target: "/x", Bearer: "exhausted", Status: 429, Identity: as("7", "exhausted"), Policy: policy, State: `"default";r=0;t=60`, Retry: "2"},
	}
}

// Sent returns what a case sends as a credential: the token of the key that has this name, or the name itself.
func (w *World) Sent(name string) string {
	if secret, ok := w.tokens[name]; ok {
		return secret
	}
	return name
}
