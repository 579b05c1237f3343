package api

// NewSession is the body of POST /v1/sessions: an e-mail address and a password, or the secret of a one-time link.
type NewSession struct {
	Email    string `json:"email,omitempty"`
	Password string `json:"password,omitempty"`
	Link     string `json:"link,omitempty"` // the last part of a sign_in_url
}

// SessionMethod is how a session was begun.
type SessionMethod string

// The methods.
const (
	MethodPassword SessionMethod = "password" // e-mail address and password
	MethodLink     SessionMethod = "link"     // a one-time link
	MethodOIDC     SessionMethod = "oidc"     // OpenID Connect
)

// Session is a sign-in of the caller's. Its secret is in the cookie that POST /v1/sessions sets, and nowhere else.
type Session struct {
	SessionID  int64         `json:"session_id"`
	UserID     int64         `json:"user_id"`
	Method     SessionMethod `json:"method"`
	Current    bool          `json:"current"` // the session that the request was made in
	IP         string        `json:"ip"`      // where it was begun; "": not known
	UserAgent  string        `json:"user_agent"`
	CreatedAt  Time          `json:"created_at"`
	LastUsedAt Time          `json:"last_used_at"` // at most a minute behind
	ExpiresAt  Time          `json:"expires_at"`   // unless it is used before
}

// NewPassword is the body of PUT /v1/me/password.
type NewPassword struct {
	NewPassword string `json:"new_password"` // at least 12 characters, and none of the most common passwords
	// CurrentPassword is not asked for in a session that began with a link, nor where there is no password yet.
	CurrentPassword string `json:"current_password,omitempty"`
}

// LinkRequest is the body of POST /v1/sign-in-links: mail a one-time link to this address, if a user has it.
type LinkRequest struct {
	Email string `json:"email"`
}
