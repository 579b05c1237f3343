package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/gateway"
	"github.com/apikeyd/apikeyd/internal/gateway/gatewaytest"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/rules"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/usage"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// someRules are rules of each kind.
func someRules(t *testing.T) *rules.Set {
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
	return set
}

// authorizer is a kit with rules.
func authorizer(t *testing.T, change func(*Options)) *kit {
	t.Helper()
	return newKit(t, func(o *Options) {
		o.Gateway.SetRules(someRules(t))
		if change != nil {
			change(o)
		}
	})
}

// newKey makes a key with a name and scopes, and returns its token.
func (k *kit) newKey(name string, scopes ...api.Scope) api.CreatedKey {
	k.t.Helper()
	var created api.CreatedKey
	body := fmt.Sprintf(`{"key_name":%q,"key_scope":["%s"],"organization_id":1}`, name, strings.Join(names(scopes), `","`))
	k.call("POST", "/v1/api-keys", body).ok(http.StatusCreated).read(&created)
	return created
}

func TestAuthorize(t *testing.T) {
	k := authorizer(t, nil)
	reader := k.newKey("Größe €%/", api.ScopeRead)
	bearer := "Authorization: Bearer " + reader.Token
	all := "Authorization: Bearer " + k.token
	const scopeChallenge = `Bearer error="insufficient_scope", scope="%s"`
	for _, c := range []struct {
		name, method, path string
		headers            []string
		status             int
		challenge          string
	}{
		{"no key", "GET", "/x", nil, 401, `Bearer realm="api"`},
		{"another scheme", "GET", "/x", []string{"Authorization: Basic YTpi"}, 401, `Bearer realm="api"`},
		{"no key of ours", "GET", "/x", []string{"Authorization: Bearer x"}, 401, `Bearer realm="api", error="invalid_token"`},
		{"two keys", "GET", "/x", []string{bearer, "X-API-Key: " + k.token}, 401, `Bearer realm="api", error="invalid_token"`},
		{"one key, twice", "GET", "/x", []string{bearer, "X-API-Key: " + reader.Token}, 200, ""},
		{"X-API-Key", "GET", "", []string{"X-API-Key: " + reader.Token, "X-Original-URI: /x"}, 200, ""},
		{"X-API-Key beside a foreign bearer", "GET", "", []string{"Authorization: Bearer eyJ.x.y", "X-API-Key: " + reader.Token, "X-Original-URI: /x"}, 200, ""},

		{"the request's own method", "GET", "/x", []string{bearer}, 200, ""},
		{"so, with another", "POST", "/x", []string{bearer}, 403, fmt.Sprintf(scopeChallenge, "CREATE")},
		{"so, with a third", "PATCH", "/x", []string{bearer}, 403, fmt.Sprintf(scopeChallenge, "UPDATE")},
		{"forwarded method", "GET", "", []string{bearer, "X-Forwarded-Method: DELETE", "X-Forwarded-Uri: /x"}, 403, fmt.Sprintf(scopeChallenge, "DELETE")},
		{"original method", "GET", "", []string{bearer, "X-Original-Method: DELETE", "X-Original-URI: /x"}, 403, fmt.Sprintf(scopeChallenge, "DELETE")},
		{"the proxy's own method means nothing", "POST", "", []string{bearer, "X-Original-Method: GET", "X-Original-URI: /x"}, 200, ""},
		{"a method that no scope covers", "GET", "", []string{all, "X-Forwarded-Method: PROPFIND", "X-Forwarded-Uri: /x"}, 403, ""},
		{"a method in lower case", "GET", "", []string{all, "X-Forwarded-Method: get", "X-Forwarded-Uri: /x"}, 403, ""},
		{"a method that a rule covers", "GET", "", []string{bearer, "X-Forwarded-Method: PROPFIND", "X-Forwarded-Uri: /files/7"}, 200, ""},

		{"public", "GET", "", []string{"X-Forwarded-Uri: /health"}, 200, ""},
		{"public, with a query and a slash", "GET", "", []string{"X-Forwarded-Uri: /health/?x=/y"}, 200, ""},
		{"public, behind our path", "DELETE", "/health", nil, 200, ""},
		{"a rule", "GET", "", []string{bearer, "X-Forwarded-Uri: /accounts/7"}, 403, fmt.Sprintf(scopeChallenge, "MANAGE")},
		{"a rule, and the key has it", "DELETE", "/accounts", []string{all}, 200, ""},
		{"a rule for the method", "POST", "/search?q=1", []string{bearer}, 200, ""},
		{"an escaped letter", "GET", "/%61ccounts/7", []string{bearer}, 403, fmt.Sprintf(scopeChallenge, "MANAGE")},
		{"a scope in the address", "GET", "?scope=UPDATE", []string{bearer, "X-Forwarded-Uri: /health"}, 403, fmt.Sprintf(scopeChallenge, "UPDATE")},
		{"a scope that the client puts there", "DELETE", "/x?scope=READ", []string{bearer}, 403, fmt.Sprintf(scopeChallenge, "DELETE")},
		{"a scope behind our path", "GET", "/x?scope=MANAGE", []string{bearer}, 403, fmt.Sprintf(scopeChallenge, "MANAGE")},
		{"so, which the key has", "POST", "/x?a=b&scope=MANAGE", []string{all}, 200, ""},
		{"so, and a rule", "GET", "/accounts/7?scope=READ", []string{bearer}, 403, fmt.Sprintf(scopeChallenge, "MANAGE")},
		{"so, with a path of its own", "GET", "/?scope=MANAGE", []string{bearer, "X-Forwarded-Uri: /x"}, 403, fmt.Sprintf(scopeChallenge, "MANAGE")},
		{"so, beside our path", "GET", "?scope=READ", []string{bearer, "X-Forwarded-Method: DELETE", "X-Forwarded-Uri: /x?scope=READ"}, 403, fmt.Sprintf(scopeChallenge, "DELETE")},
		{"a query of the client's, which asks for nothing", "GET", "?x=y&limited=403", []string{bearer, "X-Forwarded-Uri: /x?x=y&limited=403"}, 200, ""},
		{"a scope that both put there", "GET", "?scope=MANAGE", []string{bearer, "X-Forwarded-Uri: /x?scope=MANAGE"}, 403, fmt.Sprintf(scopeChallenge, "MANAGE")},
		{"a scope, and another query of the client's", "GET", "?scope=MANAGE", []string{bearer, "X-Forwarded-Uri: /x?scope=READ"}, 403, fmt.Sprintf(scopeChallenge, "MANAGE")},
		{"no option", "GET", "?", []string{bearer, "X-Forwarded-Uri: /x?y=z"}, 200, ""},
		{"rules, and no path", "GET", "", []string{all}, 403, ""},

		{"a contradiction about the path", "GET", "", []string{bearer, "X-Forwarded-Uri: /health", "X-Original-URI: /accounts/7"}, 403, fmt.Sprintf(scopeChallenge, "MANAGE")},
		{"the other way round", "GET", "", []string{bearer, "X-Original-URI: /health", "X-Forwarded-Uri: /accounts/7"}, 403, fmt.Sprintf(scopeChallenge, "MANAGE")},
		{"and all of it is allowed", "GET", "", []string{bearer, "X-Original-URI: /health", "X-Forwarded-Uri: /x"}, 200, ""},
		{"a contradiction about the method", "GET", "", []string{bearer, "X-Forwarded-Method: GET", "X-Original-Method: POST", "X-Forwarded-Uri: /x"}, 403, fmt.Sprintf(scopeChallenge, "CREATE")},
		{"a header against our path", "GET", "/accounts/7", []string{bearer, "X-Forwarded-Uri: /health"}, 403, fmt.Sprintf(scopeChallenge, "MANAGE")},
		{"a header against the method at our path", "DELETE", "/x", []string{bearer, "X-Forwarded-Method: GET"}, 403, fmt.Sprintf(scopeChallenge, "DELETE")},

		{"dots", "GET", "", []string{all, "X-Forwarded-Uri: /health/../accounts"}, 403, ""},
		{"escaped dots", "GET", "", []string{all, "X-Forwarded-Uri: /health/%2e%2E/accounts"}, 403, ""},
		{"an escaped slash", "GET", "/x%2Fy", []string{all}, 403, ""},
		{"a wrong option", "GET", "?scope=read", []string{all}, 400, ""},
		{"an unknown option", "GET", "?x=y", []string{all}, 400, ""},
		{"two scopes", "GET", "?scope=READ&scope=DELETE", []string{all}, 400, ""},
		{"another path", "GET", "s", []string{all}, 404, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := k.in(t)
			r := k.ask(c.method, "/v1/authorize"+c.path, "", c.headers...)
			if r.status != c.status || r.header.Get("WWW-Authenticate") != c.challenge {
				t.Fatalf("answer %d, challenge %q, %s; want %d, %q", r.status, r.header.Get("WWW-Authenticate"), r.body, c.status, c.challenge)
			}
			if c.status == 404 {
				return
			}
			if c.status == 200 && r.body != "" {
				t.Errorf("body %q", r.body)
			} else if c.status != 200 && !strings.Contains(r.body, `"detail"`) {
				t.Errorf("body %q is no problem document", r.body)
			}
			if kept := r.header.Get("Cache-Control"); kept != "no-store" {
				t.Errorf("a proxy may keep the answer: Cache-Control %q", kept)
			}
			if _, scope, ok := strings.Cut(c.challenge, `scope="`); ok && !strings.Contains(r.body, "the scope "+strings.TrimSuffix(scope, `"`)+",") {
				t.Errorf("%s does not say which scope the key lacks", r.body)
			}
			want := [5]string{}
			known := c.status == 200 && !strings.Contains(c.name, "public") || strings.Contains(c.challenge, "scope")
			switch {
			case known && (len(c.headers) > 0 && c.headers[0] == all):
				want = [5]string{"1", r.header.Get("X-Apikey-Name"), "1", "1", "READ CREATE UPDATE DELETE MANAGE"}
			case known:
				want = [5]string{fmt.Sprint(reader.KeyID), "Gr%C3%B6%C3%9Fe%20%E2%82%AC%25%2F", "1", "1", "READ"}
			}
			r.identity(want)
		})
	}
}

// identity fails the test unless the answer has the five headers, with these values.
func (r reply) identity(want [5]string) {
	r.t.Helper()
	for i, name := range gateway.Identity {
		if got := r.header[name]; len(got) != 1 || got[0] != want[i] {
			r.t.Errorf("%s: %q, want %q", name, got, want[i])
		}
	}
}

// A client can bring some proxies to ask for another address than the one that judges. There is no yes to be had there.
func TestProxiesAreToldNothingElsewhere(t *testing.T) {
	k := authorizer(t, nil)
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		if r := k.ask("GET", path, ""); r.status != http.StatusOK {
			t.Errorf("%s: %d", path, r.status)
		}
		for _, header := range []string{"X-Forwarded-Method: DELETE", "X-Forwarded-Uri: " + path, "X-Original-Method: DELETE", "X-Original-URI: /x"} {
			k.ask("GET", path, "", header).problem(api.CodeForbidden)
		}
	}
}

func TestAuthorizeTakesEveryMethodAndBody(t *testing.T) {
	k := newKit(t, nil)
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"} {
		k.ask(method, "/v1/authorize", "no JSON", "X-API-Key: "+k.token, "Content-Type: text/plain", "Accept: image/png").ok(200)
	}
}

// brokenTokens is a store that is away.
type brokenTokens struct{}

func (brokenTokens) RecordByDigest(context.Context, key.Digest) (*key.Record, error) {
	return nil, errors.Join(store.ErrUnavailable, errors.New("gone"))
}

func TestAuthorizeFailsClosed(t *testing.T) {
	k := newKit(t, func(o *Options) {
		o.Gateway = gateway.New(verify.New(verify.Options{Tokens: brokenTokens{}, Now: o.Now, CacheBytes: 1 << 20, NegativeCacheBytes: 1 << 20}), nil)
	})
	r := k.ask("GET", "/v1/authorize", "", "X-API-Key: "+k.token)
	r.problem(api.CodeUnavailable)
	r.identity([5]string{})
}

func TestAuthorizeWantsTheVerifyToken(t *testing.T) {
	const secret = "correct-horse-battery-staple-0123456789"
	k := newKit(t, func(o *Options) { o.VerifyToken = func(presented string) bool { return presented == secret } })
	for _, headers := range [][]string{
		{"X-API-Key: " + k.token},
		{"X-API-Key: " + k.token, "Authorization: Bearer " + secret}, // is where a client's key belongs
		{"X-API-Key: " + k.token, "X-Apikeyd-Verify-Token: x"},
	} {
		r := k.ask("GET", "/v1/authorize", "", headers...)
		r.problem(api.CodeUnauthenticated)
		r.identity([5]string{})
	}
	k.ask("GET", "/v1/authorize", "", "Authorization: Bearer "+k.token, "X-Apikeyd-Verify-Token: "+secret).ok(200)
	k.ask("POST", "/v1/verify", `{"key":"x"}`, "X-Apikeyd-Verify-Token: "+secret).ok(200)
}

// restricted is a store whose keys are all held to something.
type restricted struct {
	store.Tokens
	restrictions *key.Restrictions
}

func (r restricted) RecordByDigest(ctx context.Context, digest key.Digest) (*key.Record, error) {
	record, err := r.Tokens.RecordByDigest(ctx, digest)
	if err == nil {
		record.Restrictions = r.restrictions
	}
	return record, err
}

// hold has requests judged as if each key of the kit's were held to something.
func hold(k *kit, o *Options, restrictions *key.Restrictions, l verify.Limiter) {
	o.Gateway = gateway.New(verify.New(verify.Options{Tokens: restricted{k.store, restrictions}, Usage: usage.NewRecorder(k.store, o.Log),
		Now: o.Now, Limiter: l, CacheBytes: 1 << 20, NegativeCacheBytes: 1 << 20}), nil)
}

func TestAuthorizeTellsOfLimits(t *testing.T) {
	restrictions := &key.Restrictions{Limits: []key.Limit{{Name: "default", Requests: 100, Window: time.Minute}}}
	l := new(limiter)
	k := newKit(t, nil)
	hold(k, &k.options, restrictions, l)
	service := httptest.NewServer(NewVerification(k.options))
	t.Cleanup(service.Close)
	const policy = `"default";q=100;w=60`
	for _, c := range []struct {
		outcome      key.Outcome
		allowance    key.Allowance
		query        string
		status       int
		state, retry string
	}{
		{key.CheckValid, key.Allowance{Name: "default", Requests: 100, Remaining: 50, Reset: 30 * time.Second}, "", 200, `"default";r=50;t=30`, ""},
		{key.CheckRateLimited, key.Allowance{Name: "default", Requests: 100, Reset: time.Minute, Retry: 1500 * time.Millisecond}, "", 429, `"default";r=0;t=60`, "2"},
		{key.CheckRateLimited, key.Allowance{Name: "default", Requests: 100, Reset: time.Minute, Retry: 1}, "?limited=403", 403, `"default";r=0;t=60`, "1"},
		{key.CheckRateLimited, key.Allowance{Name: "default", Requests: 100, Reset: time.Minute, Retry: 1}, "/x?limited=403", 403, `"default";r=0;t=60`, "1"},
		{key.CheckQuotaExceeded, key.Allowance{Name: "quota", Requests: 5, Reset: -1, Retry: -1}, "", 429, `"quota";r=0`, ""},
	} {
		l.outcome, l.allowance = c.outcome, c.allowance
		r := k.send(service.URL, "GET", "/v1/authorize"+c.query, "", []string{"X-API-Key: " + k.token}).ok(c.status)
		got := [3]string{r.header.Get("RateLimit-Policy"), r.header.Get("RateLimit"), r.header.Get("Retry-After")}
		if got != [3]string{policy, c.state, c.retry} {
			t.Errorf("%s%s: headers %q", c.outcome, c.query, got)
		}
		r.identity([5]string{"1", r.header.Get("X-Apikey-Name"), "1", "1", "READ CREATE UPDATE DELETE MANAGE"})
		switch c.status {
		case 403:
			r.problem(api.CodeForbidden)
		case 429:
			r.problem(api.CodeRateLimited)
		}
	}
	k.send(service.URL, "GET", "/v1/authorize?limited=403", "", []string{"X-API-Key: " + k.token, "X-Forwarded-Uri: /x?limited=403"}).ok(403)
	if l.taken != 6 {
		t.Errorf("counted %d times", l.taken)
	}
	l.outcome = key.CheckValid
	k.send(service.URL, "GET", "/v1/authorize", "", []string{"X-API-Key: " + k.token, "X-Forwarded-Uri: /x", "X-Original-URI: /y"}).ok(200)
	k.send(service.URL, "GET", "/v1/authorize", "", []string{"X-API-Key: " + k.token, "X-Forwarded-Uri: /x", "X-Original-URI: /y/../x"}).ok(403)
	if l.taken != 7 {
		t.Errorf("two requests, of which one was refused, are counted as %d", l.taken-6)
	}
}

func TestAuthorizeSaysWhereARequestMayComeFrom(t *testing.T) {
	k := newKit(t, nil)
	restrictions := &key.Restrictions{AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}
	for _, c := range []struct {
		trusted, forwarded string
		status             int
	}{
		{"127.0.0.1/32", "203.0.113.9", 200},
		{"127.0.0.1/32", "198.51.100.7", 403},
		{"127.0.0.1/32", "203.0.113.9, 198.51.100.7", 403},
		{"10.0.0.0/8", "203.0.113.9", 403},
	} {
		hold(k, &k.options, restrictions, nil)
		k.options.Client = browser.Client{Trusted: []netip.Prefix{netip.MustParsePrefix(c.trusted)}}
		service := httptest.NewServer(NewVerification(k.options))
		r := k.send(service.URL, "GET", "/v1/authorize", "", []string{"X-API-Key: " + k.token, "X-Forwarded-For: " + c.forwarded}).ok(c.status)
		service.Close()
		if c.status == 403 {
			r.problem(api.CodeForbidden)
		}
	}
}

// The decisions are those of every other way to ask.
func TestAuthorizeDecidesAsAllDo(t *testing.T) {
	w := gatewaytest.New(t)
	k := newKit(t, func(o *Options) { o.Gateway, o.Client = w.Gateway, w.Client })
	for _, c := range gatewaytest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			headers := []string{"X-Forwarded-Method: " + c.Method, "X-Forwarded-Uri: " + c.Target}
			for prefix, text := range map[string]string{"Authorization: Bearer ": w.Sent(c.Bearer), "X-API-Key: ": w.Sent(c.APIKey), "X-Forwarded-For: ": c.ForwardedFor} {
				if text != "" {
					headers = append(headers, prefix+text)
				}
			}
			r := k.in(t).ask("GET", "/v1/authorize", "", headers...).ok(c.Status)
			r.identity(c.Identity)
			for name, want := range map[string]string{"WWW-Authenticate": c.Challenge, "RateLimit-Policy": c.Policy, "RateLimit": c.State, "Retry-After": c.Retry} {
				if got := r.header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}
