package console_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/app"
	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/oidc/oidctest"
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

// What is sent in a session that has ended is kept until the same user has signed in again.
func TestResume(t *testing.T) {
	s := apptest.Start(t, nil)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	v.endSession()
	p := v.do(http.MethodPost, "/keys/new", keyForm(s, "key_name", "<b>Kept"))
	p.want(t, http.StatusUnauthorized, "/keys/new", "Your session has ended, and nothing was done.")
	user, kept := fmt.Sprint(s.First.UserID), keyForm(s, "key_name", "<b>Kept").Encode()
	sign := func(user, path, kept, password string) page {
		return v.post("/sign-in", "email", "admin@example.com", "password", password, "kept_user", user, "kept_path", path, "kept", kept)
	}
	sign(user, "/keys/new", kept, "x").want(t, http.StatusUnprocessableEntity, "/sign-in", "nothing was done", `name="kept_path" value="/keys/new"`,
		`name="kept_user" value="`+user+`"`)
	p = sign(user, "/keys/new", kept, goodPassword)
	p.want(t, http.StatusOK, "/sign-in", "You are signed in again", "&lt;b&gt;Kept", `action="/keys/new"`, "admin@example.com")
	if keys := v.keyCount(t); keys != 1 {
		t.Errorf("%d keys", keys)
	}
	for _, path := range []string{"https://evil.example/", "//evil.example", "/v1/api-keys", "/sign-out", "/sign-in", "/appearance", "/resume", ""} {
		v.jar.cookies = nil
		sign(user, path, kept, goodPassword).want(t, http.StatusOK, "/keys")
	}
	for _, other := range []string{"", "0", "x", "-1", fmt.Sprint(s.First.UserID + 1)} {
		v.jar.cookies = nil
		sign(other, "/keys/new", kept, goodPassword).want(t, http.StatusOK, "/keys")
	}
	v.jar.cookies = nil
	sign(user, "/account/password", "new_password=x", goodPassword).want(t, http.StatusOK, "/keys")
	v.endSession()
	if p := v.post("/account/password", "new_password", goodPassword, "again", goodPassword); p.path != "/sign-in?note=ended" || strings.Contains(p.text, goodPassword) {
		t.Errorf("a password is kept: %s\n%s", p.path, p.text)
	}
	// Nobody knows whose it is.
	newVisitor(t, s.ManagementURL).do(http.MethodPost, "/keys/new", keyForm(s)).want(t, http.StatusOK, "/sign-in", "E-mail address")
}

// endSession has the browser come with a session that has ended.
func (v *visitor) endSession() {
	v.jar.mu.Lock()
	defer v.jar.mu.Unlock()
	v.jar.cookies[browser.SessionCookie] = strings.Repeat("x", 43)
}

// So it is where the user signs in at an identity provider, or with a link that is opened in the same browser.
func TestResumeElsewhere(t *testing.T) {
	provider := oidctest.Start(t)
	provider.AddUser("admin", "admin@example.com", true)
	var settings *config.Config
	s, base := behindProxy(t, provider, func(c *config.Config) { c.OIDC.MatchEmail, settings = true, c })
	v := signedIn(t, base, linkOf(s))
	if _, err := s.Client().InviteMember(t.Context(), s.First.OrganizationID, api.NewMember{Email: "bob@example.com", Role: api.RoleAdmin}); err != nil {
		t.Fatal(err)
	}
	link := func() string {
		t.Helper()
		secret, err := app.MakeLink(t.Context(), settings, "bob@example.com")
		if err != nil {
			t.Fatal(err)
		}
		return app.SignInURL("", secret)
	}
	send := func(name string) {
		t.Helper()
		v.endSession()
		v.do(http.MethodPost, "/keys/new", keyForm(s, "key_name", name)).want(t, http.StatusUnauthorized, "/keys/new", "sign in, and send it again")
	}
	leftAlone := func() {
		t.Helper()
		v.get("/resume").want(t, http.StatusOK, "/keys")
		if v.jar.cookies[browser.KeptCookie] != "" {
			t.Error("the form is kept by the browser")
		}
	}

	send("At the provider")
	p := v.get(v.atProvider(provider, "admin"))
	p.want(t, http.StatusOK, "/resume", "You are signed in again", "At the provider", `action="/keys/new"`)
	v.get("/resume").want(t, http.StatusOK, "/resume", "At the provider") // a reload loses nothing
	if keys := v.keyCount(t); keys != 1 {
		t.Errorf("%d keys", keys)
	}
	v.do(http.MethodPost, "/keys/new", keyForm(s, "key_name", "At the provider")).want(t, http.StatusCreated, "/keys/new")
	leftAlone()

	send("Left alone")
	v.get(v.atProvider(provider, "admin")).want(t, http.StatusOK, "/resume", "Left alone")
	v.post("/resume").want(t, http.StatusOK, "/keys")
	leftAlone()

	// Somebody else signs in with the same browser, and sees nothing of it.
	send("Not for bob")
	v.post(link()).want(t, http.StatusOK, "/account/password")
	leftAlone()
	// What they send is theirs, and a link offers it.
	id := v.get("/keys/new").first(t, formID)
	v.endSession()
	v.do(http.MethodPost, "/keys/new", keyForm(s, "key_name", "With a link", "form", id)).want(t, http.StatusUnauthorized, "/keys/new")
	v.post(link()).want(t, http.StatusOK, "/resume", "With a link", id, "Choose a password afterwards")
	v.post("/resume").want(t, http.StatusOK, "/account/password")
	leftAlone()

	// One that is longer than a cookie can be is kept for signing in with a password alone.
	v.endSession()
	var noise string
	for len(noise) < 2*browser.MaxKept {
		noise += rand.Text()
	}
	p = v.do(http.MethodPost, "/keys/new", keyForm(s, "metadata", noise))
	p.want(t, http.StatusUnauthorized, "/keys/new", "sign in here with your password, and send it again")
	if v.jar.cookies[browser.KeptCookie] != "" {
		t.Error("a cookie is longer than browsers keep it")
	}
}
