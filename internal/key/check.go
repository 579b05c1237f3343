package key

import "time"

// Record is what a check needs to know about a token. Values are shared between goroutines and never changed.
type Record struct {
	KeyID          int64
	OrganizationID int64
	UserID         int64
	Name           string
	Metadata       []byte    // a JSON object; nil is {}
	ExpiresAt      time.Time // of the key; zero: never
	// TokenExpiresAt is the end of a rotated token's grace; zero for the token that the key has now.
	TokenExpiresAt time.Time
	Scopes         Scopes
	Enabled        bool
}

// Question is what a check asks of a token.
type Question struct {
	Scope          Scope // the scope needed; zero: none
	OrganizationID int64 // the organization the key must belong to; zero: any
}

// Outcome says how a check came out. The order is that of precedence: where several hold, the first is given.
type Outcome uint8

// The outcomes.
const (
	CheckNotFound Outcome = iota // malformed, unknown, deleted, or of another organization than asked for
	CheckDisabled
	CheckExpired
	CheckInsufficientScope
	CheckValid
)

var outcomeNames = [...]string{
	CheckNotFound:          "NOT_FOUND",
	CheckDisabled:          "DISABLED",
	CheckExpired:           "EXPIRED",
	CheckInsufficientScope: "INSUFFICIENT_SCOPE",
	CheckValid:             "VALID",
}

// String returns the outcome as the API names it.
func (o Outcome) String() string { return outcomeNames[o] }

// Outcomes lists them all, in order of precedence.
func Outcomes() []Outcome {
	return []Outcome{CheckNotFound, CheckDisabled, CheckExpired, CheckInsufficientScope, CheckValid}
}

// Decide answers q for the token that r is about, at the time now.
func (r *Record) Decide(q Question, now time.Time) Outcome {
	switch {
	case r == nil,
		expired(r.TokenExpiresAt, now),
		q.OrganizationID != 0 && q.OrganizationID != r.OrganizationID:
		return CheckNotFound
	case !r.Enabled:
		return CheckDisabled
	case expired(r.ExpiresAt, now):
		return CheckExpired
	case q.Scope != 0 && !r.Scopes.Has(q.Scope):
		return CheckInsufficientScope
	default:
		return CheckValid
	}
}
