package browser

import (
	"net/http"
	"time"
)

// KeptCookie holds what somebody has sent in a session that had ended, while they sign in again. It is no credential, and what it holds
// may have been made up.
const KeptCookie = "__Host-apikeyd-kept"

const (
	// KeptLifetime is how long somebody may take to sign in again: longer than a one-time link is good.
	KeptLifetime = 20 * time.Minute
	// MaxKept is how long a value may be. Browsers drop a cookie of more than 4096 bytes with its name and attributes.
	MaxKept = 3600
)

// Keep returns the cookie that keeps a value, of at most MaxKept of the characters that a cookie can carry.
func Keep(value string) *http.Cookie {
	c := cookie(KeptCookie, value)
	c.MaxAge = int(KeptLifetime / time.Second)
	return c
}

// DropKept returns the cookie that takes away what was kept.
func DropKept() *http.Cookie { return gone(KeptCookie) }

// Kept returns what the browser has kept, "" for nothing.
func Kept(r *http.Request) string { return value(r, KeptCookie) }
