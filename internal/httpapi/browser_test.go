package httpapi

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/secret"
)

// What was sent on purpose goes before what a browser sends by itself.
func TestWhichCredentialCounts(t *testing.T) {
	k := newKit(t, func(o *Options) { o.Identities = fakeProvider{} })
	k.join("cookie@example.com", "viewer")
	k.bind("oidc", k.join("oidc@example.com", "viewer"))
	session := strings.TrimPrefix(k.session("cookie@example.com"), "Cookie: ")
	ended := k.session("cookie@example.com")
	k.as(ended, "DELETE", "/v1/sessions/current", "").ok(http.StatusNoContent)
	other := k.createWith(`["READ"]`).Token
	const foreign, access = "Bearer eyJhbGciOiJub25lIn0.e30.", "Bearer fake.oidc"
	const byKey, byCookie, byIdentity = "first@example.com", "cookie@example.com", "oidc@example.com"
	for _, c := range []struct {
		name                  string
		authorization, apiKey string
		cookie                string
		want                  string // "": 401
		challenge             string
	}{
		{"cookie", "", "", session, byCookie, ""},
		{"cookie among others", "", "", "x=y; " + session + "; z", byCookie, ""},
		{"cookie and Basic", "Basic YTpi", "", session, byCookie, ""},
		{"cookie and an empty X-API-Key", "", " ", session, byCookie, ""},
		{"key and cookie", "Bearer " + k.token, "", session, byKey, ""},
		{"X-API-Key and cookie", "", k.token, session, byKey, ""},
		{"key and the cookie of a session that has ended", "Bearer " + k.token, "", strings.TrimPrefix(ended, "Cookie: "), byKey, ""},
		{"access token and cookie", access, "", session, byIdentity, ""},
		{"access token and X-API-Key", access, k.token, session, byKey, ""},
		{"foreign bearer and X-API-Key", foreign, k.token, session, byKey, ""},
		{"access token as X-API-Key", "", "fake.oidc", session, byIdentity, ""},

		{"two keys", "Bearer " + k.token, other, session, "", refused},
		{"foreign bearer and cookie", foreign, "", session, "", refused},
		{"foreign X-API-Key and cookie", "", "something", session, "", refused},
		{"access token and a foreign X-API-Key", access, "something", session, "", refused},
		{"bad access token and cookie", "Bearer fake.bad", "", session, "", refused},
		{"bearer without a token and cookie", "Bearer", "", session, "", refused},
		{"session that has ended", "", "", strings.TrimPrefix(ended, "Cookie: "), "", refused},
		{"session that never was", "", "", browser.SessionCookie + "=" + secret.New().Reveal(), "", refused},
		{"no secret in the cookie", "", "", browser.SessionCookie + "=x", "", refused},
		{"empty cookie", "", "", browser.SessionCookie + "=", "", challenged},
		{"other cookies", "", "", strings.ReplaceAll(session, "__Host-", ""), "", challenged},
		{"the session as a bearer", "Bearer " + strings.TrimPrefix(session, browser.SessionCookie+"="), "", "", "", refused},
		{"the key in the cookie", "", "", browser.SessionCookie + "=" + k.token, "", refused},
		{"the device", "", "", browser.DeviceCookie + "=" + secret.New().Reveal(), "", challenged},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequest("GET", k.management.URL+"/v1/me", nil)
			if err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{"Authorization": c.authorization, "X-Api-Key": c.apiKey, "Cookie": c.cookie} {
				if text != "" {
					req.Header.Set(name, text)
				}
			}
			r := roundTrip(t, req)
			if got := r.header.Get("Www-Authenticate"); got != c.challenge {
				t.Errorf("WWW-Authenticate: %q, want %q", got, c.challenge)
			}
			if c.want == "" {
				r.problem(api.CodeUnauthenticated)
			} else if r.ok(http.StatusOK); !strings.Contains(r.body, `"email":"`+c.want+`"`) {
				t.Errorf("taken for %s", r.body)
			}
		})
	}
}

// Another site cannot use the cookie, nor sign somebody in or have mails sent. Keys are no cookies: whoever sends one means to.
func TestOtherSites(t *testing.T) {
	k := newKit(t, nil)
	session := k.session("first@example.com")
	for _, c := range []struct {
		name    string
		headers []string
		refused bool
	}{
		{"no browser", nil, false},
		{"this site", []string{"Sec-Fetch-Site: same-origin", "Origin: " + k.management.URL}, false},
		{"this site, by an old browser", []string{"Origin: " + k.management.URL}, false},
		{"the public address", []string{"Sec-Fetch-Site: cross-site", "Origin: https://keys.example"}, false},
		{"another site", []string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}, true},
		{"a neighbour", []string{"Sec-Fetch-Site: same-site", "Origin: https://www.keys.example"}, true},
		{"another site, by an old browser", []string{"Origin: https://evil.example"}, true},
		{"an opaque origin", []string{"Sec-Fetch-Site: cross-site", "Origin: null"}, true},
		{"an opaque origin, by an old browser", []string{"Origin: null"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := k.in(t)
			judge := func(what string, r reply) {
				t.Helper()
				switch {
				case c.refused:
					if r.problem(api.CodeForbidden); r.header["Set-Cookie"] != nil {
						t.Errorf("%s: headers %v", what, r.header)
					}
				case r.status >= 300 && r.status != http.StatusConflict:
					t.Errorf("%s: %d %s", what, r.status, r.body)
				}
			}
			with := func(credential string) []string { return append([]string{credential}, c.headers...) }
			judge("a key is made", k.send(k.management.URL, "POST", "/v1/api-keys", valid, with(session)))
			judge("a key is changed", k.send(k.management.URL, "PATCH", "/v1/api-keys/1", `{}`, with(session)))
			judge("another session is ended", k.send(k.management.URL, "DELETE", "/v1/sessions/"+k.another(), "", with(session)))
			judge("somebody is signed in", k.signInBy(fmt.Sprintf(`{"link":%q}`, k.link("first@example.com")), c.headers...))
			judge("a mail is asked for", k.send(k.management.URL, "POST", "/v1/sign-in-links", `{"email":"first@example.com"}`, c.headers))
			if c.refused {
				k.send(k.management.URL, "PUT", "/v1/me/password", `{"new_password":"correct horse battery"}`, with(session)).problem(api.CodeForbidden)
			}

			// Looking changes nothing, and another site cannot read the answer.
			k.send(k.management.URL, "GET", "/v1/me", "", with(session)).ok(http.StatusOK)
			k.call("POST", "/v1/api-keys", valid, c.headers...).ok(http.StatusCreated)
			k.call("POST", "/v1/api-keys", valid, append(c.headers, session)...).ok(http.StatusCreated)
		})
	}
	if r := k.as(session, "GET", "/v1/me", "", "Origin: https://evil.example"); r.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("another site may read the answer: %v", r.header)
	}
}

// another begins one more session of the first user's and returns its id.
func (k *kit) another() string {
	k.t.Helper()
	var s api.Session
	k.signInBy(fmt.Sprintf(`{"link":%q}`, k.link("first@example.com"))).ok(http.StatusCreated).read(&s)
	return fmt.Sprint(s.SessionID)
}

// The address of a session and of an audit entry is the client's, where a trusted proxy tells it.
func TestAddressesBehindProxies(t *testing.T) {
	for _, c := range []struct {
		trusted []netip.Prefix
		want    string
	}{
		{nil, "127.0.0.1"},
		{[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "203.0.113.9"},
	} {
		k := newKit(t, func(o *Options) { o.Client = browser.Client{Trusted: c.trusted} })
		var s api.Session
		k.signInBy(fmt.Sprintf(`{"link":%q}`, k.link("first@example.com")), "X-Forwarded-For: 1.1.1.1, 203.0.113.9").ok(http.StatusCreated).read(&s)
		var entries []api.AuditEntry
		if k.call("GET", "/v1/audit-log?action=session.create", "").ok(http.StatusOK).read(&entries); s.IP != c.want || entries[0].IP != c.want {
			t.Errorf("session of %s, entry of %s, want %s", s.IP, entries[0].IP, c.want)
		}
	}
}
