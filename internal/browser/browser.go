// Package browser is what a signed-in browser and the server have in common: the cookies that a session lives in, and the
// refusal of requests that another site has made it send.
//
// The names of the cookies begin with __Host-, so that a browser takes them over HTTPS (or from this machine) only, sends
// them to this host alone, and lets no other host set them (RFC 6265bis, section 4.1.3.2). Scripts do not see them.
package browser

import (
	"errors"
	"net/http"
	"time"

	"github.com/apikeyd/apikeyd/internal/secret"
)

const (
	// SessionCookie holds the secret of a session, until the browser ends or the session does.
	SessionCookie = "__Host-apikeyd"
	// DeviceCookie holds the secret of a browser that has signed in. It is no credential: it only keeps others' failed
	// attempts from locking the browser's owner out.
	DeviceCookie = "__Host-apikeyd-device"

	deviceLifetime = 400 * 24 * time.Hour // the longest that browsers keep a cookie
)

// SignedIn returns the cookies of a session that has begun and ends, at the latest, at a time.
func SignedIn(session, device secret.Secret, end time.Time) []*http.Cookie {
	return []*http.Cookie{
		cookie(SessionCookie, session.Reveal(), end),
		cookie(DeviceCookie, device.Reveal(), time.Now().Add(deviceLifetime)),
	}
}

// SignedOut returns the cookie that takes the session's away.
func SignedOut() []*http.Cookie { return []*http.Cookie{gone(SessionCookie)} }

// gone returns the cookie that takes away the one with a name.
func gone(name string) *http.Cookie {
	c := cookie(name, "", time.Unix(1, 0))
	c.MaxAge = -1
	return c
}

func cookie(name, value string, end time.Time) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", Expires: end, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
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

// ErrCrossSite: another site has made the browser send the request.
var ErrCrossSite = errors.New("the request comes from another site")

// Guard refuses requests that another site has made a browser send.
type Guard struct{ protection *http.CrossOriginProtection }

// NewGuard returns a Guard. publicURL is the address that browsers know the server by, where a proxy stands in front of it;
// "": the one that requests name.
func NewGuard(publicURL string) (*Guard, error) {
	p := http.NewCrossOriginProtection()
	if publicURL != "" {
		origin, err := originOf(publicURL)
		if err != nil {
			return nil, err
		}
		if err := p.AddTrustedOrigin(origin); err != nil {
			return nil, err
		}
	}
	return &Guard{p}, nil
}

// Check returns ErrCrossSite for a request that changes something and that another site has made a browser send. Browsers
// say so themselves (Sec-Fetch-Site, Origin); what sends neither is no browser, and has no cookies that it did not mean to
// send.
func (g *Guard) Check(r *http.Request) error {
	if g.protection.Check(r) != nil {
		return ErrCrossSite
	}
	return nil
}
