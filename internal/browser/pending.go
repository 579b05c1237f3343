package browser

import (
	"net/http"
	"time"
)

// PendingCookie holds what a browser must bring along when an identity provider sends it back: the secrets of one sign-in
// there, for that one time.
const PendingCookie = "__Host-apikeyd-oidc"

// PendingLifetime is how long somebody may take to sign in at an identity provider.
const PendingLifetime = 10 * time.Minute

// BeginPending returns the cookie of a sign-in that begins at an identity provider. value is what Pending gives back, of the
// characters that a cookie can carry.
func BeginPending(value string) *http.Cookie {
	c := cookie(PendingCookie, value)
	c.MaxAge = int(PendingLifetime / time.Second)
	return c
}

// EndPending returns the cookie that takes that of a pending sign-in away.
func EndPending() *http.Cookie { return gone(PendingCookie) }

// Pending returns what the browser was given when its sign-in at the identity provider began, "" for nothing.
func Pending(r *http.Request) string { return value(r, PendingCookie) }
