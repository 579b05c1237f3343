package console_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/oidc/oidctest"
)

// atProvider goes to the provider to sign in, and returns where that sends the browser back to.
func (v *visitor) atProvider(p *oidctest.Provider, subject string) (callback string) {
	v.t.Helper()
	return v.answer(p, v.get("/sign-in/oidc"), subject)
}

// answer goes where a page sends the browser: to the provider, which sends it back.
func (v *visitor) answer(provider *oidctest.Provider, p page, subject string) (callback string) {
	v.t.Helper()
	to := p.header.Get("Location")
	if p.status != http.StatusSeeOther || !strings.HasPrefix(to, provider.Issuer()) {
		v.t.Fatalf("got %d, to %s:\n%s", p.status, to, p.text)
	}
	return provider.SignIn(v.t, nil, to, subject).String()
}

// connect goes to the provider to connect an identity.
func (v *visitor) connect(provider *oidctest.Provider, subject string) (callback string) {
	v.t.Helper()
	p := v.post("/account/oidc")
	p.want(v.t, http.StatusOK, "/account/oidc", "You are being sent to")
	found := regexp.MustCompile(`<a class="button" href="([^"]+)"`).FindStringSubmatch(p.text)
	if found == nil || !strings.Contains(p.text, `http-equiv="refresh" content="0; url=`) {
		v.t.Fatalf("nobody is sent anywhere:\n%s", p.text)
	}
	return provider.SignIn(v.t, nil, html.UnescapeString(found[1]), subject).String()
}

func TestIdentityProvider(t *testing.T) {
	provider := oidctest.Start(t)
	provider.AddUser("alice", "alice@example.com", true)
	provider.AddUser("admin", "admin@example.com", true)
	s, base := behindProxy(t, provider, nil)
	v := newVisitor(t, base)
	v.get("/sign-in").want(t, http.StatusOK, "/sign-in", "Sign in with <bdi>127.0.0.1</bdi>")

	callback := v.atProvider(provider, "admin") // whose address is the first user's, which is not enough
	path := strings.TrimPrefix(callback, base)
	v.get(callback).want(t, http.StatusForbidden, path, "nobody here is connected with that")
	if v.jar.cookies[browser.PendingCookie] != "" {
		t.Error("the cookie is kept after its use")
	}
	v.get(callback).want(t, http.StatusBadRequest, path, "is under way in this browser")

	v = signedIn(t, base, linkOf(s))
	v.get(v.connect(provider, "alice")).want(t, http.StatusOK, "/account?note=connected", "You can now sign in this way")
	v.get("/account/oidc").want(t, http.StatusOK, "/account")
	callback = v.connect(provider, "alice")
	v.get(callback).want(t, http.StatusConflict, strings.TrimPrefix(callback, base), "connected with a user already", "Your account")

	other := newVisitor(t, base)
	other.get(other.atProvider(provider, "alice")).want(t, http.StatusOK, "/keys", "admin@example.com")
	p := other.get("/account")
	p.want(t, http.StatusOK, "/account", "an identity provider", `title="`+provider.Issuer()+`"`, "Disconnect")
	subject := p.first(t, regexp.MustCompile(`name="subject" value="([^"]+)"`))
	other.post("/account/identities/disconnect", "issuer", provider.Issuer(), "subject", subject).
		want(t, http.StatusOK, "/account?note=disconnected", "You cannot sign in this way any more")
	other.post("/account/identities/disconnect", "issuer", provider.Issuer(), "subject", subject).want(t, http.StatusOK, "/account?note=disconnected")
	if p := other.get("/account"); strings.Contains(p.text, "Disconnect") {
		t.Errorf("the identity is still there:\n%s", p.text)
	}
	callback = other.atProvider(provider, "alice")
	other.get(callback).want(t, http.StatusForbidden, strings.TrimPrefix(callback, base), "nobody here is connected with that")

	s.Stop()
	if log := s.Log.String(); strings.Contains(log, "code=") || strings.Contains(log, "state=") {
		t.Error("what the provider has sent is in the log")
	}
}

// What a browser may bring back that it should not.
func TestForeignCallbacks(t *testing.T) {
	provider := oidctest.Start(t)
	provider.AddUser("alice", "alice@example.com", true)
	s, base := behindProxy(t, provider, nil)
	v := signedIn(t, base, linkOf(s))

	t.Run("another browser's", func(t *testing.T) {
		callback := newVisitor(t, base).atProvider(provider, "alice")
		v.get(callback).want(t, http.StatusBadRequest, strings.TrimPrefix(callback, base))
		v.atProvider(provider, "alice") // one of its own is under way
		v.get(callback).want(t, http.StatusForbidden, strings.TrimPrefix(callback, base), "has not confirmed who you are")
	})
	t.Run("the user said no", func(t *testing.T) {
		callback, err := url.Parse(v.atProvider(provider, "alice"))
		if err != nil {
			t.Fatal(err)
		}
		query := callback.Query()
		query.Del("code")
		query.Set("error", "access_denied")
		v.get("/sign-in/oidc/callback?"+query.Encode()).want(t, http.StatusForbidden, "/sign-in/oidc/callback?"+query.Encode(), "has not confirmed")
	})
	t.Run("connected in a session that has ended", func(t *testing.T) {
		callback := v.connect(provider, "alice")
		v.jar.cookies[browser.SessionCookie] = ""
		v.get(callback).want(t, http.StatusForbidden, strings.TrimPrefix(callback, base), "Nothing was connected")
	})
	t.Run("connected in another session", func(t *testing.T) {
		v.post("/sign-in", "email", "admin@example.com", "password", goodPassword).want(t, http.StatusOK, "/keys")
		callback := v.connect(provider, "alice")
		v.post("/sign-out")
		v.post("/sign-in", "email", "admin@example.com", "password", goodPassword).want(t, http.StatusOK, "/keys")
		v.get(callback).want(t, http.StatusForbidden, strings.TrimPrefix(callback, base), "Nothing was connected")
	})
	t.Run("made-up cookies", func(t *testing.T) {
		for _, value := range []string{"x", ".", "0.", "0.x.y.z", "x." + strings.Repeat("a", 43), "-1.a.b.c"} {
			stranger := newVisitor(t, base)
			stranger.jar.cookies = map[string]string{browser.PendingCookie: value}
			if p := stranger.get("/sign-in/oidc/callback?code=x&state=y"); p.status != http.StatusBadRequest && p.status != http.StatusForbidden {
				t.Errorf("%q: %d", value, p.status)
			}
		}
	})
}

func TestProviderAway(t *testing.T) {
	provider := oidctest.Start(t)
	provider.AddUser("alice", "alice@example.com", true)
	s, base := behindProxy(t, provider, nil)
	v := signedIn(t, base, linkOf(s))
	away := newVisitor(t, base)

	callback := away.atProvider(provider, "alice")
	connecting := v.connect(provider, "alice")
	provider.Stop()
	away.get(callback).want(t, http.StatusServiceUnavailable, strings.TrimPrefix(callback, base), "cannot be reached just now", "Password")
	v.get(connecting).want(t, http.StatusServiceUnavailable, strings.TrimPrefix(connecting, base), "cannot be reached just now", "Your account")

	// One that was never there.
	_, base = behindProxy(t, provider, nil)
	newVisitor(t, base).get("/sign-in/oidc").want(t, http.StatusServiceUnavailable, "/sign-in/oidc", "cannot be reached just now")
}

func TestMatchEmail(t *testing.T) {
	provider := oidctest.Start(t)
	provider.AddUser("admin", "Admin@example.com", true)
	provider.AddUser("impostor", "admin@example.com", false)
	_, base := behindProxy(t, provider, func(c *config.Config) { c.OIDC.MatchEmail = true })
	v := newVisitor(t, base)
	callback := v.atProvider(provider, "impostor")
	v.get(callback).want(t, http.StatusForbidden, strings.TrimPrefix(callback, base))
	p := v.get(v.atProvider(provider, "admin"))
	p.want(t, http.StatusOK, "/keys", "admin@example.com")
}

func TestNoProvider(t *testing.T) {
	s := apptest.Start(t, nil)
	v := newVisitor(t, s.ManagementURL)
	for _, path := range []string{"/sign-in/oidc/callback", "/account/oidc"} {
		if p := v.get(path); p.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, p.status)
		}
	}
	if p := v.get("/sign-in"); strings.Contains(p.text, "/sign-in/oidc") {
		t.Error("a provider is offered where there is none")
	}
}
