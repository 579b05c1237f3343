package console_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/oidc/oidctest"
	"github.com/apikeyd/apikeyd/internal/secret"
)

func TestHeaders(t *testing.T) {
	s := apptest.Start(t, nil)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	stranger := newVisitor(t, s.ManagementURL)
	for _, p := range []page{
		stranger.get("/"), stranger.get("/sign-in"), stranger.get(linkOf(s)), stranger.post(linkOf(s)), stranger.post("/sign-in"), v.get("/account"), v.get("/keys"),
		v.get("/keys/new"), v.post("/keys/new"), v.get("/keys/1"), v.get("/keys/1/change"), v.get("/keys/1/rotate"), v.get("/keys/1/delete"),
		v.do(http.MethodPost, "/keys/new", keyForm(s)), v.post("/keys/1/rotate", "grace_seconds", "60"), stranger.post("/keys/new", "key_name", "x"),
		v.post("/account/password"), v.post("/account/sessions/x/end"), v.get("/organizations"), v.get("/organizations/new"), v.get("/organizations/1"),
		v.get("/organizations/1/members"), v.get("/organizations/1/members/1"), v.get("/organizations/1/members/1/remove"), v.get("/organizations/1/audit-log"),
		v.post("/organizations/1/members/invite", "email", "new@example.com", "role", "viewer"), v.get("/audit-log/1"), v.get("/nodes"), stranger.do(http.MethodPost, "/sign-in", nil, "Sec-Fetch-Site", "cross-site"),
	} {
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " +
				"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			"X-Frame-Options":        "DENY",
			"X-Content-Type-Options": "nosniff",
			"Referrer-Policy":        "no-referrer",
			"Cache-Control":          "no-store",
			"Content-Type":           "text/html; charset=utf-8",
		} {
			if got := p.header.Get(name); got != want {
				t.Errorf("%s: %s is %q", p.path, name, got)
			}
		}
		if p.header.Get("X-Request-Id") == "" {
			t.Errorf("%s has no request id", p.path)
		}
		for _, forbidden := range []string{"<script>", "style=", "onclick", `="http://`, `="https://`} {
			if strings.Contains(p.text, forbidden) {
				t.Errorf("%s holds %s", p.path, forbidden)
			}
		}
	}
}

// What changes something is not done for another site, whoever is signed in.
func TestCrossSite(t *testing.T) {
	provider := oidctest.Start(t)
	s, base := behindProxy(t, provider, nil)
	v := signedIn(t, base, linkOf(s))
	for _, path := range []string{"/sign-in", "/sign-in/link", "/sign-in/" + secret.New().Reveal(), "/sign-out", "/account/password", "/account/oidc",
		"/account/sessions/1/end", "/keys/new", "/keys/1/change", "/keys/1/state", "/keys/1/rotate", "/keys/1/delete", "/appearance",
		"/account/sessions/end-others", "/organizations/new", "/organizations/1", "/organizations/1/delete",
		"/organizations/1/members/invite", "/organizations/1/members/1", "/organizations/1/members/1/remove"} {
		for name, headers := range map[string][]string{
			"cross-site":    {"Sec-Fetch-Site", "cross-site"},
			"same site":     {"Sec-Fetch-Site", "same-site"},
			"foreign":       {"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
			"without a way": {"Sec-Fetch-Site", "", "Origin", "null"},
		} {
			p := v.do(http.MethodPost, path, map[string][]string{"new_password": {goodPassword}, "again": {goodPassword},
				"enabled": {"false"}, "grace_seconds": {"0"}, "theme": {"dark"}}, headers...)
			if p.status != http.StatusForbidden || !strings.Contains(p.text, "This was not sent from here") {
				t.Errorf("%s, %s: %d\n%s", path, name, p.status, p.text)
			}
		}
	}
	v.get("/account").want(t, http.StatusOK, "/account")
	v.get("/keys").want(t, http.StatusOK, "/keys", "First key", "active")
}

func TestSignedInPagesAskToSignIn(t *testing.T) {
	provider := oidctest.Start(t)
	_, base := behindProxy(t, provider, nil)
	for _, path := range []string{"/account/password", "/account/oidc", "/account/sessions/1/end", "/keys/new", "/keys/1/change", "/keys/1/state", "/keys/1/rotate",
		"/keys/1/delete", "/account/sessions/end-others", "/organizations/new", "/organizations/1", "/organizations/1/delete",
		"/organizations/1/members/invite", "/organizations/1/members/1", "/organizations/1/members/1/remove"} {
		v := newVisitor(t, base)
		v.post(path).want(t, http.StatusOK, "/sign-in")
		v.jar.cookies = map[string]string{browser.SessionCookie: secret.New().Reveal()}
		v.post(path).want(t, http.StatusOK, "/sign-in?note=ended", "Your session has ended")
		if v.jar.cookies[browser.SessionCookie] != "" {
			t.Error("the cookie of a session that has ended is kept")
		}
	}
}

func TestAssets(t *testing.T) {
	s := apptest.Start(t, nil)
	v := newVisitor(t, s.ManagementURL)
	found := regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`).FindAllStringSubmatch(v.get("/sign-in").text, -1)
	if len(found) != 3 {
		t.Fatalf("a page loads %q", found)
	}
	for _, f := range found {
		p := v.get(f[1])
		if p.status != http.StatusOK || p.header.Get("Cache-Control") != "public, max-age=31536000, immutable" || len(p.text) > 50<<10 {
			t.Errorf("%s: %d, %v", f[1], p.status, p.header)
		}
		path, _, _ := strings.Cut(f[1], "?")
		if p := v.get(path + "?of-another-version"); p.status != http.StatusOK || p.header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %d, %v", path, p.status, p.header)
		}
		if p := v.do(http.MethodHead, path, nil); p.status != http.StatusOK || p.text != "" {
			t.Errorf("HEAD %s: %d, %q", path, p.status, p.text)
		}
	}
}

func TestHostileNames(t *testing.T) {
	s := apptest.Start(t, nil)
	for _, name := range []string{`<script>alert(1)</script>`, `"><b onmouseover=alert(1)>`, `{{.}}`} {
		if _, err := s.Client().CreateOrganization(t.Context(), api.NewOrganization{OrganizationName: name}); err != nil {
			t.Fatal(err)
		}
	}
	p := signedIn(t, s.ManagementURL, linkOf(s)).get("/account")
	p.want(t, http.StatusOK, "/account", "&lt;script&gt;alert(1)&lt;/script&gt;", "{{.}}")
	if strings.Contains(p.text, "<script>") || strings.Contains(p.text, "<b ") {
		t.Error(p.text)
	}
	// What an address says is not shown, unless it is one of ours.
	v := newVisitor(t, s.ManagementURL)
	if p := v.get("/sign-in?note=%3Cscript%3E"); strings.Contains(p.text, "%3Cscript") || strings.Contains(p.text, "<script>") || strings.Contains(p.text, "role=\"status\"") {
		t.Error(p.text)
	}
}
