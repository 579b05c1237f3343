package browser

import "net/http"

// Preference is the name of a cookie that keeps what a reader of pages prefers, or has looked at. It is no credential, and what it
// holds may have been made up.
type Preference string

const (
	// Theme is how pages look: "light", "dark", or as the system does where there is none.
	Theme Preference = "__Host-apikeyd-theme"
	// User is the id of the user who has signed in last.
	User Preference = "__Host-apikeyd-user"
	// Organization is the id of the organization that was looked at last.
	Organization Preference = "__Host-apikeyd-organization"
)

// Prefer returns the cookie that keeps a preference; "" takes it away. value is of the characters that a cookie can carry.
func Prefer(p Preference, value string) *http.Cookie {
	if value == "" {
		return gone(string(p))
	}
	c := cookie(string(p), value)
	c.MaxAge = int(deviceLifetime.Seconds())
	return c
}

// Preferred returns what a browser has kept of a preference, "" for nothing.
func Preferred(r *http.Request, p Preference) string { return value(r, string(p)) }
