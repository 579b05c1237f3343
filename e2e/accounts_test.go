package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	sessionsPath      = "/v1/sessions"
	organizationsPath = "/v1/organizations"
	auditPath         = "/v1/audit-log"
	passwordPath      = "/v1/me/password"
	signInLinksPath   = "/v1/sign-in-links"
)

// The cookies of a browser that somebody has signed in with.
const (
	sessionCookie    = "__Host-apikeyd"
	rememberedCookie = "__Host-apikeyd-device" // stays when the session has ended
)

// linkText is what the address of a one-time link looks like, with its secret.
var linkText = regexp.MustCompile(`https?://\S+/sign-in/([0-9A-Za-z_-]{43})\b`)

// linkSecret returns the secret of the one-time link that is in a text.
func linkSecret(t testing.TB, text string) string {
	t.Helper()
	found := linkText.FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("there is no one-time link in %q", text)
	}
	return found[1]
}

// signedIn is a browser in which somebody has signed in.
type signedIn struct {
	session, device string // the secrets in its cookies
}

// cookie is the header that the browser sends its session with.
func (b signedIn) cookie() string { return "Cookie: " + sessionCookie + "=" + b.session }

// deviceCookie is the header that it still sends when the session has ended.
func (b signedIn) deviceCookie() string { return "Cookie: " + rememberedCookie + "=" + b.device }

// withPassword is the body that signs in with a password, withLink that with the secret of a one-time link.
func withPassword(email, password string) string {
	return fmt.Sprintf(`{"email":%q,"password":%q}`, email, password)
}

func withLink(secret string) string { return fmt.Sprintf(`{"link":%q}`, secret) }

// signIn begins a session at a server.
func signIn(t testing.TB, server, body string, headers ...string) signedIn {
	t.Helper()
	return request(t, server, "POST", sessionsPath, body, headers).is(http.StatusCreated).signedIn()
}

// signedIn returns the browser that got the answer, whose cookies must be such that only it has them.
func (a answer) signedIn() signedIn {
	a.t.Helper()
	var b signedIn
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		switch c.Name {
		case sessionCookie:
			b.session = c.Value
		case rememberedCookie:
			b.device = c.Value
		default:
			a.t.Errorf("%s: a cookie %s", a.what, c.Name)
		}
		if !c.HttpOnly || !c.Secure || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode ||
			c.MaxAge <= 0 && c.Expires.Before(time.Now()) {
			a.t.Errorf("%s: cookie %s", a.what, strings.Replace(c.String(), c.Value, "…", 1))
		}
	}
	if len(b.session) != 43 || len(b.device) != 43 {
		a.t.Fatalf("%s: cookies of %d and %d characters", a.what, len(b.session), len(b.device))
	}
	return b
}
