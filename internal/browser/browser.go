// Package browser is what a signed-in browser and the server have in common: the cookies that a session lives in, the
// refusal of requests that another site has made it send, and the address that it is at.
//
// The names of the cookies begin with __Host-, so that a browser takes them over HTTPS (or from this machine) only, sends
// them to this host alone, and lets no other host set them (RFC 6265bis, section 4.1.3.2). Scripts do not see them.
package browser

import (
	"net/http"
	"time"

	"github.com/apikeyd/apikeyd/internal/secret"
)

const (
	// SessionCookie holds the secret of a session, until the session ends.
	SessionCookie = "__Host-apikeyd"
	// DeviceCookie holds the secret of a browser that has signed in. It is no credential: it only keeps others' failed
	// attempts from locking the browser's owner out.
	DeviceCookie = "__Host-apikeyd-device"

	deviceLifetime = 400 * 24 * time.Hour // the longest that browsers keep a cookie
)

// SignedIn returns the cookies of a session that has begun and ends, at the latest, at a time.
func SignedIn(session, device secret.Secret, end time.Time) []*http.Cookie {
	s, d := cookie(SessionCookie, session.Reveal()), cookie(DeviceCookie, device.Reveal())
	s.Expires, d.MaxAge = end, int(deviceLifetime.Seconds())
	return []*http.Cookie{s, d}
}

// SignedOut returns the cookie that takes the session's away.
func SignedOut() []*http.Cookie { return []*http.Cookie{gone(SessionCookie)} }

// gone returns the cookie that takes away the one with a name.
func gone(name string) *http.Cookie {
	c := cookie(name, "")
	c.MaxAge = -1 // which is sent as 0
	return c
}

func cookie(name, value string) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// Session returns the secret of the session that a request was made in, "" for none.
func Session(r *http.Request) string { return value(r, SessionCookie) }

// Device returns the secret of the browser that a request came from, "" for none.
func Device(r *http.Request) string { return value(r, DeviceCookie) }

func value(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}
