package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/secret"
)

func TestAppearance(t *testing.T) {
	s := apptest.Start(t, nil)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	v.post("/appearance", "theme", "dark", "to", "/keys?q=x").want(t, http.StatusOK, "/keys?q=x", `data-theme="dark"`)
	v.post("/appearance", "theme", "light", "to", "/account").want(t, http.StatusOK, "/account", `data-theme="light"`)
	for _, theme := range []string{"", `"><script>`} {
		if p := v.post("/appearance", "theme", theme); p.path != "/keys" || strings.Contains(p.text, "data-theme") {
			t.Errorf("%q: %s\n%s", theme, p.path, p.text)
		}
	}
	v.get("/keys?note=password&q=x").want(t, http.StatusOK, "/keys?note=password&q=x", "Your password is set.", `name="to" value="/keys?q=x"`)
	v.jar.cookies[string(browser.Theme)] = "none"
	if p := v.get("/keys"); strings.Contains(p.text, "data-theme") {
		t.Error(p.text)
	}
}

// Nobody is sent to another site.
func TestNowhereElse(t *testing.T) {
	s := apptest.Start(t, nil)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	for _, to := range []string{"", "//evil.example", `/\evil.example`, "https://evil.example", "evil", "/\t/evil.example", "/\n", "/sign-in/" + secret.New().Reveal()} {
		v.post("/appearance", "to", to).want(t, http.StatusOK, "/keys")
		v.get("/sign-in?"+url.Values{"to": {to}}.Encode()).want(t, http.StatusOK, "/keys")
	}
	other := newVisitor(t, s.ManagementURL)
	p := other.get("/keys?q=first")
	p.want(t, http.StatusOK, "/sign-in?to=%2Fkeys%3Fq%3Dfirst", `name="to" value="/keys?q=first"`)
	other.post("/sign-in", "email", "admin@example.com", "password", "x", "to", "/keys?q=first").want(t, http.StatusUnprocessableEntity, "/sign-in", `value="/keys?q=first"`)
	other.post("/sign-in", "email", "admin@example.com", "password", goodPassword, "to", "/keys?q=first").want(t, http.StatusOK, "/keys?q=first", "First key")
}

// What is sent in a session that has ended is kept until somebody has signed in again.
func TestResume(t *testing.T) {
	s := apptest.Start(t, nil)
	signedIn(t, s.ManagementURL, linkOf(s))
	v := newVisitor(t, s.ManagementURL)
	p := v.do(http.MethodPost, "/keys/new", keyForm(s, "key_name", "<b>Kept"))
	p.want(t, http.StatusUnauthorized, "/keys/new", "Your session has ended, and nothing was done.")
	kept := keyForm(s, "key_name", "<b>Kept").Encode()
	sign := func(path, kept, password string) page {
		return v.post("/sign-in", "email", "admin@example.com", "password", password, "kept_path", path, "kept", kept)
	}
	sign("/keys/new", kept, "x").want(t, http.StatusUnprocessableEntity, "/sign-in", "nothing was done", `name="kept_path" value="/keys/new"`)
	p = sign("/keys/new", kept, goodPassword)
	p.want(t, http.StatusOK, "/sign-in", "You are signed in again", "&lt;b&gt;Kept", `action="/keys/new"`, "admin@example.com")
	if keys := v.keyCount(t); keys != 1 {
		t.Errorf("%d keys", keys)
	}
	for _, path := range []string{"https://evil.example/", "//evil.example", "/v1/api-keys", "/sign-out", "/sign-in", "/appearance", ""} {
		v.jar.cookies = nil
		sign(path, kept, goodPassword).want(t, http.StatusOK, "/keys")
	}
	v.jar.cookies = nil
	sign("/account/password", "new_password=x", goodPassword).want(t, http.StatusOK, "/keys")
	v.jar.cookies = nil
	if p := v.post("/account/password", "new_password", goodPassword, "again", goodPassword); p.path != "/sign-in?to=%2F" && p.path != "/sign-in" || strings.Contains(p.text, goodPassword) {
		t.Errorf("a password is kept: %s\n%s", p.path, p.text)
	}
}
