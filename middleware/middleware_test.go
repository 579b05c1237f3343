package middleware_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/middleware"
)

// What each outcome of a check is answered with.
func TestOutcomes(t *testing.T) {
	const invalid, narrow = `Bearer realm="api", error="invalid_token"`, `Bearer error="insufficient_scope", scope="CREATE"`
	for _, tt := range []struct {
		code      api.VerifyCode
		status    int
		challenge string
		problem   api.Code
	}{
		{api.VerifyValid, 200, "", ""},
		{api.VerifyNotFound, 401, invalid, api.CodeUnauthenticated},
		{api.VerifyDisabled, 401, invalid, api.CodeUnauthenticated},
		{api.VerifyExpired, 401, invalid, api.CodeUnauthenticated},
		{api.VerifyInsufficientScope, 403, narrow, api.CodeInsufficientScope},
		{api.VerifyIPNotAllowed, 403, "", api.CodeForbidden},
		{api.VerifyRateLimited, 429, "", api.CodeRateLimited},
		{api.VerifyQuotaExceeded, 429, "", api.CodeRateLimited},
		{"OF_A_NEWER_SERVER", 403, "", api.CodeForbidden},
	} {
		c := valid()
		c.answer.Code, c.answer.Valid = tt.code, tt.code == api.VerifyValid
		w, reached := send(t, middleware.Require(c), request("POST", newToken()))
		if w.Code != tt.status || reached != (tt.status == 200) || w.Header().Get("WWW-Authenticate") != tt.challenge {
			t.Errorf("%s: %d, challenge %q, reached: %t", tt.code, w.Code, w.Header().Get("WWW-Authenticate"), reached)
		}
		if reached {
			continue
		}
		var doc api.Error
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || doc.Code != tt.problem || doc.Status != tt.status || doc.Detail == "" ||
			strings.Contains(w.Body.String(), "request_id") {
			t.Errorf("%s: %+v, %v", tt.code, doc, err)
		}
		if tt.challenge == narrow && !strings.Contains(doc.Detail, "the scope CREATE,") {
			t.Errorf("%q does not say which scope the key lacks", doc.Detail)
		}
	}
}

func TestWhoCannotBeAskedLetsNobodyIn(t *testing.T) {
	c := valid() // an answer beside an error is none
	c.err = errors.New("nobody is there")
	var log strings.Builder
	w, reached := send(t, middleware.Require(c, middleware.Log(slog.New(slog.NewTextHandler(&log, nil)))), request("GET", newToken()))
	if w.Code != 503 || reached || w.Header().Get("Retry-After") != "1" {
		t.Errorf("%d, reached: %t, %v", w.Code, reached, w.Header())
	}
	if !strings.Contains(log.String(), "nobody is there") || strings.Contains(w.Body.String(), "nobody is there") {
		t.Errorf("log: %s; answer: %s", &log, w.Body)
	}
}

func TestScopes(t *testing.T) {
	for _, tt := range []struct {
		method string
		scope  api.Scope
		status int
	}{
		{"GET", api.ScopeRead, 200}, {"HEAD", api.ScopeRead, 200}, {"OPTIONS", api.ScopeRead, 200},
		{"POST", api.ScopeCreate, 200}, {"PUT", api.ScopeUpdate, 200}, {"PATCH", api.ScopeUpdate, 200},
		{"DELETE", api.ScopeDelete, 200}, {"TRACE", "", 403}, {"PROPFIND", "", 403}, {"get", "", 403},
	} {
		c := valid()
		w, _ := send(t, middleware.Require(c), request(tt.method, newToken()))
		if w.Code != tt.status || tt.status == 200 && c.asked[0].Scope != tt.scope || tt.status != 200 && c.asked != nil {
			t.Errorf("%s: %d, asked %+v", tt.method, w.Code, c.asked)
		}
		for scope, option := range map[api.Scope]middleware.Option{
			api.ScopeManage: middleware.Scope(api.ScopeManage), "": middleware.AnyScope(),
		} {
			c := valid()
			if w, _ := send(t, middleware.Require(c, option), request(tt.method, newToken())); w.Code != 200 || c.asked[0].Scope != scope {
				t.Errorf("%s, scope given: %d, asked %+v", tt.method, w.Code, c.asked)
			}
		}
	}
}

func TestCredentials(t *testing.T) {
	a, b := newToken(), newToken()
	broken := a[:len(a)-1] + string('0'+(a[len(a)-1]-'0'+1)%10)
	type header struct{ name, value string }
	bearer := func(text string) header { return header{"Authorization", "Bearer " + text} }
	key := func(text string) header { return header{"X-API-Key", text} }
	for _, tt := range []struct {
		name    string
		headers []header
		want    string // the token that was asked about; "": 401
		sent    bool   // there is an error in the challenge
	}{
		{"bearer", []header{bearer(a)}, a, true},
		{"bearer in lower case", []header{{"Authorization", "bearer  " + a + " "}}, a, true},
		{"key", []header{key(a)}, a, true},
		{"the same twice", []header{bearer(a), key(a)}, a, true},
		{"two", []header{bearer(a), key(b)}, "", true},
		{"two bearers", []header{bearer(a), bearer(b)}, "", true},
		{"two keys", []header{key(a), key(b)}, "", true},
		{"a key behind somebody else's bearer", []header{bearer("eyJhbGciOiJSUzI1NiJ9.e30.c2ln"), key(a)}, a, true},
		{"a bearer before something else", []header{bearer(a), key("something else")}, a, true},
		{"another scheme, and a key", []header{{"Authorization", "Basic dTpw"}, key(a)}, a, true},
		{"nothing", nil, "", false},
		{"an empty key", []header{key("")}, "", false},
		{"another scheme", []header{{"Authorization", "Basic dTpw"}}, "", false},
		{"a scheme that begins alike", []header{{"Authorization", "Bearerly " + a}}, "", false},
		{"an empty bearer", []header{{"Authorization", "Bearer"}}, "", true},
		{"no token", []header{bearer("eyJhbGciOiJSUzI1NiJ9.e30.c2ln")}, "", true},
		{"a typing error", []header{key(broken)}, "", true},
	} {
		c := valid()
		r := httptest.NewRequest("GET", "/", nil)
		for _, h := range tt.headers {
			r.Header.Add(h.name, h.value)
		}
		w, reached := send(t, middleware.Require(c), r)
		switch {
		case tt.want != "":
			if !reached || len(c.asked) != 1 || c.asked[0].Key != tt.want {
				t.Errorf("%s: %d, asked %+v", tt.name, w.Code, c.asked)
			}
		case w.Code != 401 || reached || c.asked != nil || strings.Contains(w.Header().Get("WWW-Authenticate"), "error=") != tt.sent:
			t.Errorf("%s: %d %v, asked %+v", tt.name, w.Code, w.Header(), c.asked)
		}
		if tt.want == "" && (strings.Contains(w.Body.String(), a) || strings.Contains(w.Body.String(), b)) {
			t.Errorf("%s: the answer has a token in it", tt.name)
		}
	}
}

func TestAddress(t *testing.T) {
	trusted := middleware.TrustedProxies(netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"))
	for _, tt := range []struct {
		name, remote, want string
		forwarded          []string
		options            []middleware.Option
	}{
		{"direct", "203.0.113.9:4711", "203.0.113.9", nil, nil},
		{"direct, IPv6", "[2001:db8::1]:4711", "2001:db8::1", nil, nil},
		{"IPv4 as IPv6", "[::ffff:203.0.113.9]:4711", "203.0.113.9", nil, nil},
		{"a zone", "[fe80::1%eth0]:4711", "fe80::1", nil, nil},
		{"a unix socket", "@", "", nil, nil},
		{"nobody is trusted", "10.0.0.1:80", "10.0.0.1", []string{"203.0.113.9"}, nil},
		{"by a proxy", "10.0.0.1:80", "203.0.113.9", []string{"203.0.113.9"}, []middleware.Option{trusted}},
		{"by two", "[fd00::1]:80", "203.0.113.9", []string{"203.0.113.9, 10.0.0.2"}, []middleware.Option{trusted}},
		{"on two lines", "10.0.0.1:80", "203.0.113.9", []string{"203.0.113.9", "10.0.0.2:555"}, []middleware.Option{trusted}},
		{"IPv6 in brackets", "10.0.0.1:80", "2001:db8::1", []string{"[2001:db8::1]"}, []middleware.Option{trusted}},
		{"made up in front", "10.0.0.1:80", "203.0.113.9", []string{"127.0.0.1, 203.0.113.9"}, []middleware.Option{trusted}},
		{"made up without a proxy", "203.0.113.9:80", "203.0.113.9", []string{"127.0.0.1"}, []middleware.Option{trusted}},
		{"nonsense", "10.0.0.1:80", "10.0.0.1", []string{"127.0.0.1, nonsense"}, []middleware.Option{trusted}},
		{"a proxy that says nothing", "10.0.0.1:80", "10.0.0.1", nil, []middleware.Option{trusted}},
	} {
		c := valid()
		r := request("GET", newToken())
		r.RemoteAddr = tt.remote
		r.Header["X-Forwarded-For"] = tt.forwarded
		send(t, middleware.Require(c, tt.options...), r)
		if len(c.asked) != 1 || c.asked[0].IP != tt.want {
			t.Errorf("%s: asked %+v, want %q", tt.name, c.asked, tt.want)
		}
	}
}

func TestFromContext(t *testing.T) {
	c := valid()
	var got api.Verification
	var ok bool
	type other struct{}
	h := middleware.Require(c)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, ok = middleware.FromContext(r.Context())
		if r.Context().Value(http.ServerContextKey) != "server" || r.Context().Value(other{}) != nil {
			t.Error("the context around is not asked")
		}
	}))
	r := request("GET", newToken())
	r = r.WithContext(withServer{r.Context()})
	h.ServeHTTP(httptest.NewRecorder(), r)
	if !ok || got.KeyID != 17 || got.OrganizationID != 432 || got.UserID != 3 || got.KeyName != "k" || len(got.KeyScope) != 1 {
		t.Errorf("%+v, %t", got, ok)
	}
	if got, ok := middleware.FromContext(t.Context()); ok || got.Valid {
		t.Errorf("without a middleware: %+v, %t", got, ok)
	}
}

func TestRespond(t *testing.T) {
	c := valid()
	c.answer = api.Verification{Code: api.VerifyDisabled}
	w, reached := send(t, middleware.Require(c, middleware.Respond(func(w http.ResponseWriter, _ *http.Request, why *middleware.Refusal) {
		w.Header().Set("Content-Type", "text/plain")
		http.Error(w, "no: "+string(why.Code), why.Status)
	})), request("GET", newToken()))
	if w.Code != 401 || reached || w.Body.String() != "no: DISABLED\n" || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
	}
}

func TestMistakesOfAProgramPanic(t *testing.T) {
	for name, f := range map[string]func(){
		"no checker":          func() { middleware.Require(nil) },
		"no scope":            func() { middleware.Scope("WRITE") },
		"no response":         func() { middleware.Respond(nil) },
		"no block":            func() { middleware.TrustedProxies(netip.Prefix{}) },
		"no address is in it": func() { middleware.TrustedProxies(netip.MustParsePrefix("::ffff:10.0.0.0/104")) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestRateLimitHeaders(t *testing.T) {
	in := func(seconds int64) *int64 { return &seconds }
	for _, tt := range []struct {
		name                 string
		code                 api.VerifyCode
		limit                *api.RateLimit
		policy, state, retry string
	}{
		{"a key without limits", api.VerifyValid, nil, "", "", ""},
		{"named", api.VerifyValid, &api.RateLimit{Limit: 100, Remaining: 50, ResetSeconds: in(30), Name: "minute", Policy: `"minute";q=100;w=60, "quota";q=9`},
			`"minute";q=100;w=60, "quota";q=9`, `"minute";r=50;t=30`, ""},
		{"allowed", api.VerifyValid, &api.RateLimit{Limit: 100, Remaining: 50, ResetSeconds: in(30)}, `"default";q=100`, `"default";r=50;t=30`, ""},
		{"limited", api.VerifyRateLimited, &api.RateLimit{Limit: 100, ResetSeconds: in(60)}, `"default";q=100`, `"default";r=0;t=60`, "1"},
		{"limited for long", api.VerifyRateLimited, &api.RateLimit{Limit: 7, ResetSeconds: in(60)}, `"default";q=7`, `"default";r=0;t=60`, "9"},
		{"used up", api.VerifyQuotaExceeded, &api.RateLimit{Limit: 9, ResetSeconds: in(3600)}, `"quota";q=9`, `"quota";r=0;t=3600`, "3600"},
		{"used up, at the end of the day", api.VerifyQuotaExceeded, &api.RateLimit{Limit: 9, ResetSeconds: in(0)}, `"quota";q=9`, `"quota";r=0;t=0`, "1"},
		{"used up for ever", api.VerifyQuotaExceeded, &api.RateLimit{Limit: 9}, `"quota";q=9`, `"quota";r=0`, ""},
	} {
		c := valid()
		c.answer.Code, c.answer.Valid, c.answer.RateLimit = tt.code, tt.code == api.VerifyValid, tt.limit
		w, _ := send(t, middleware.Require(c), request("GET", newToken()))
		h := w.Header()
		if h.Get("RateLimit-Policy") != tt.policy || h.Get("RateLimit") != tt.state || h.Get("Retry-After") != tt.retry {
			t.Errorf("%s: %v", tt.name, h)
		}
	}
}
