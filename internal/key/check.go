package key

import (
	"net/netip"
	"time"
)

// Record is what a check needs to know about a token. It is kept small, a million of them are held in memory, and
// it is never changed: goroutines share it.
//
// What every decision reads stands in front, so that it is read from as few cache lines as possible.
type Record struct {
	OrganizationID int64
	ExpiresAt      Millis // of the key
	// TokenExpiresAt is the end of a rotated token's grace, and zero for the token that the key has now.
	TokenExpiresAt Millis
	Scopes         Scopes
	Enabled        bool
	// Restrictions are nil for a key without any.
	Restrictions *Restrictions

	KeyID    int64
	UserID   int64
	Name     string
	Metadata string // a JSON object; "" is {}
}

// Millis is a time in milliseconds since 1970 in UTC; 0 is none. It takes a third of the space of a time.Time and
// has nothing for a garbage collector to follow.
type Millis int64

// MillisOf returns t as Millis; what is finer is cut off.
func MillisOf(t time.Time) Millis {
	if t.IsZero() {
		return 0
	}
	return Millis(t.UnixMilli())
}

// Time returns m as a time.Time in UTC, the zero time for none.
func (m Millis) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}

func (m Millis) passed(now Millis) bool { return m != 0 && now >= m }

// Question is what a check asks of a token.
type Question struct {
	Scope          Scope // the scope needed; zero: none
	OrganizationID int64 // the organization the key must belong to; zero: any
	// IP is where the request came from; zero: not known, which a key with an allow-list is refused for.
	IP netip.Addr
	// Uncounted: the request is not one of those that limits, quotas and usage are for. Decide does not count either.
	Uncounted bool
}

// Outcome says how a check came out. The order is that of precedence: where several hold, the first is given.
type Outcome uint8

// The outcomes.
const (
	CheckNotFound Outcome = iota // malformed, unknown, deleted, or of another organization than asked for
	CheckDisabled
	CheckExpired
	CheckInsufficientScope
	CheckIPNotAllowed
	CheckRateLimited   // as one who counts requests finds: Decide does not
	CheckQuotaExceeded // so, too
	CheckValid

	// OutcomeCount is the number of outcomes.
	OutcomeCount = iota
)

var outcomeNames = [...]string{
	CheckNotFound:          "NOT_FOUND",
	CheckDisabled:          "DISABLED",
	CheckExpired:           "EXPIRED",
	CheckInsufficientScope: "INSUFFICIENT_SCOPE",
	CheckIPNotAllowed:      "IP_NOT_ALLOWED",
	CheckRateLimited:       "RATE_LIMITED",
	CheckQuotaExceeded:     "QUOTA_EXCEEDED",
	CheckValid:             "VALID",
}

// String returns the outcome as the API names it.
func (o Outcome) String() string { return outcomeNames[o] }

// Outcomes lists them all, in order of precedence.
func Outcomes() []Outcome {
	return []Outcome{CheckNotFound, CheckDisabled, CheckExpired, CheckInsufficientScope, CheckIPNotAllowed, CheckRateLimited,
		CheckQuotaExceeded, CheckValid}
}

// Decide answers q for the token that r is about, at the time now.
func (r *Record) Decide(q Question, now Millis) Outcome {
	switch {
	case r == nil,
		r.TokenExpiresAt.passed(now),
		q.OrganizationID != 0 && q.OrganizationID != r.OrganizationID:
		return CheckNotFound
	case !r.Enabled:
		return CheckDisabled
	case r.ExpiresAt.passed(now):
		return CheckExpired
	case q.Scope != 0 && !r.Scopes.Has(q.Scope):
		return CheckInsufficientScope
	case !r.Restrictions.Allows(q.IP):
		return CheckIPNotAllowed
	default:
		return CheckValid
	}
}
