package key

import "time"

// Method is how a user has signed in. The values are stored and must not change.
type Method uint8

// The methods.
const (
	ByPassword Method = iota + 1
	ByLink            // a one-time link
	ByOIDC            // OpenID Connect
)

var methodNames = [...]string{ByPassword: "password", ByLink: "link", ByOIDC: "oidc"}

// String returns the method as the API names it, and "" for what is none.
func (m Method) String() string {
	if int(m) >= len(methodNames) {
		return ""
	}
	return methodNames[m]
}

// MaxUserAgentLength bounds what is kept of the name that a browser gives itself, in bytes.
const MaxUserAgentLength = 255

// Session is a sign-in. Its secret is known to the browser alone; the store knows its digest.
type Session struct {
	ID         int64
	UserID     int64
	Method     Method
	IP         string // where it was begun; "": not known
	UserAgent  string // what the browser called itself, shortened
	CreatedAt  time.Time
	LastUsedAt time.Time
	ExpiresAt  time.Time // the latest; without use it ends before
}

// Ends returns when the session ends if it is not used any more; idle is how long it lives without use.
func (s *Session) Ends(idle time.Duration) time.Time {
	if end := s.LastUsedAt.Add(idle); end.Before(s.ExpiresAt) {
		return end
	}
	return s.ExpiresAt
}

// LinkLifetime is how long a one-time link is good.
const LinkLifetime = 15 * time.Minute

// Link is a one-time link to sign in with. Its secret is known to whoever was given it; the store knows its digest.
type Link struct {
	UserID    int64
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Connection is an identity of an OpenID Connect provider's that a user signs in with.
type Connection struct {
	Issuer, Subject string
	CreatedAt       time.Time
}
