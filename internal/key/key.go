// Package key is the domain: what a key is, what a role allows, and how a check is decided.
//
// It is pure. It does no I/O and has no clock of its own, so every rule in it can be read and tested as a table;
// whoever needs the time passes it in. What stands here holds for every transport and every store.
package key

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of the fields that a caller chooses.
const (
	MaxNameLength = 100 // characters, after trimming
	// MaxGrace is how long a rotated token may at most be kept alive.
	MaxGrace = 365 * 24 * time.Hour
)

// Resolution is the finest difference between two times that is kept; what is finer is cut off. It is what the
// API shows, so that a time read back is the time that was stored.
const Resolution = time.Millisecond

// Digest is the SHA-256 of a token: what the database and the cache know it by.
type Digest [32]byte

// String returns the first bytes in hexadecimal, for error messages. A digest does not give the token away, but
// the whole of it has no place in a log.
func (d Digest) String() string { return hex.EncodeToString(d[:4]) + "…" }

// Key is what is known about a key; its token is not part of it. A zero time means none: never expires, never used.
type Key struct {
	ID             int64
	Name           string
	Scopes         Scopes
	OrganizationID int64
	UserID         int64  // whose key it is
	Hint           string // enough of the token to tell keys apart
	Enabled        bool
	ExpiresAt      time.Time
	LastUsedAt     time.Time
	CreatedAt      time.Time
	UpdatedAt      time.Time
	Metadata       []byte // a JSON object without insignificant white space; nil is {}
	Restrictions
	// QuotaUsed is how much of the quota is used in the period that QuotaStart began, as far as nodes have said.
	QuotaUsed  int64
	QuotaStart time.Time
}

// Expired reports whether the key is past its expiry.
func (k *Key) Expired(now time.Time) bool { return !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt) }

// State is whether a key is good for anything. Databases count on the numbers.
type State uint8

// The states. A key has one of them at a time.
const (
	StateActive   State = iota + 1
	StateDisabled       // whether it is past its expiry or not
	StateExpired        // enabled, and past its expiry
)

// StateList names the states, for messages.
const StateList = "active, disabled, expired"

// ParseState reads a state.
func ParseState(text string) (State, bool) {
	i := slices.Index(strings.Split(StateList, ", "), text)
	return State(i + 1), i >= 0
}

// State returns the key's state.
func (k *Key) State(now time.Time) State {
	switch {
	case !k.Enabled:
		return StateDisabled
	case k.Expired(now):
		return StateExpired
	default:
		return StateActive
	}
}

// QuotaRemaining returns how much of the quota is left in the present period, as far as nodes have said.
func (k *Key) QuotaRemaining(now time.Time) int64 {
	if k.QuotaStart.Before(k.Quota.Period.Start(now)) {
		return k.Quota.Requests
	}
	return max(k.Quota.Requests-k.QuotaUsed, 0)
}

// Same reports whether two keys are alike in everything that a patch can change.
func (k *Key) Same(other *Key) bool {
	return k.Name == other.Name && k.Scopes == other.Scopes && k.Enabled == other.Enabled &&
		k.ExpiresAt.Equal(other.ExpiresAt) && bytes.Equal(k.Metadata, other.Metadata) &&
		k.Restrictions.Same(&other.Restrictions)
}

// Draft is a key as somebody wants it, before anything about it was checked.
type Draft struct {
	Name           string
	Scopes         Scopes
	OrganizationID int64
	Enabled        bool
	ExpiresAt      time.Time // zero: never
	Metadata       []byte    // a JSON object as sent; nil is {}
	Restrictions
}

// Check returns everything that is wrong with the draft, and the draft in the form in which it is kept.
func (d Draft) Check(now time.Time) (Draft, []Fault) {
	var faults []Fault
	d.Name, faults = checkName(d.Name, faults)
	faults = checkScopes(d.Scopes, faults)
	if d.OrganizationID <= 0 {
		faults = append(faults, Fault{"/organization_id", "must be a positive integer"})
	}
	d.ExpiresAt, faults = checkExpiry(d.ExpiresAt, now, faults)
	d.Metadata, faults = checkMetadata(d.Metadata, faults)
	faults = d.Restrictions.check(faults)
	d.AllowedCIDRs = normal(d.AllowedCIDRs)
	return d, faults
}

// Patch is a change to a key, as somebody wants it. A nil field stays as it is.
type Patch struct {
	Name      *string
	Scopes    *Scopes
	Enabled   *bool
	ExpiresAt *time.Time // a zero time clears it
	Metadata  []byte     // a JSON merge patch (RFC 7396); nil: no change; null: clears all

	Limits       *[]Limit    // all of them
	Quota        *QuotaPatch // a nil field of it stays as it is, too
	AllowedCIDRs *[]netip.Prefix
}

// QuotaPatch is a change to a quota.
type QuotaPatch struct {
	None     bool // there is to be none, whatever the others say
	Requests *int64
	Period   *Period
}

// Check returns everything that is wrong with the patch whatever key it is applied to.
func (p Patch) Check(now time.Time) []Fault {
	k := Key{Restrictions: Restrictions{Quota: Quota{Requests: 1}}} // what is changed in part must be there
	_, faults := p.apply(k, now)
	return faults
}

// Apply returns k changed as the patch wants it, or everything that is wrong with the patch.
func (p Patch) Apply(k Key, now time.Time) (Key, []Fault) { return p.apply(k, now) }

func (p Patch) apply(k Key, now time.Time) (Key, []Fault) {
	var faults []Fault
	if p.Name != nil {
		k.Name, faults = checkName(*p.Name, faults)
	}
	if p.Scopes != nil {
		k.Scopes = *p.Scopes
		faults = checkScopes(k.Scopes, faults)
	}
	if p.Enabled != nil {
		k.Enabled = *p.Enabled
	}
	if p.ExpiresAt != nil {
		k.ExpiresAt, faults = checkExpiry(*p.ExpiresAt, now, faults)
	}
	if p.Metadata != nil {
		k.Metadata, faults = patchMetadata(k.Metadata, p.Metadata, faults)
	}
	k.Restrictions, faults = p.restrict(k.Restrictions, faults)
	k.UpdatedAt = now
	return k, faults
}

func (p Patch) restrict(r Restrictions, faults []Fault) (Restrictions, []Fault) {
	if p.Limits != nil {
		r.Limits = slices.Clone(*p.Limits)
	}
	if p.AllowedCIDRs != nil {
		r.AllowedCIDRs = normal(*p.AllowedCIDRs)
	}
	if q := p.Quota; q != nil && q.None {
		r.Quota = Quota{}
	} else if q != nil {
		if q.Requests != nil {
			r.Quota.Requests = *q.Requests
		}
		if q.Period != nil {
			r.Quota.Period = *q.Period
		}
		if r.Quota == (Quota{}) { // {} where there was none
			return r, append(r.check(faults), Fault{"/quota/requests", "is required"})
		}
	}
	return r, r.check(faults)
}

func checkName(name string, faults []Fault) (string, []Fault) {
	name = strings.TrimFunc(name, unicode.IsSpace)
	if detail := CheckName(name); detail != "" {
		faults = append(faults, Fault{"/key_name", detail})
	}
	return name, faults
}

// CheckName says what is wrong with the name of a key or an organization, "" where nothing is. White space around the
// name is to be trimmed before.
func CheckName(name string) string {
	switch n := utf8.RuneCountInString(name); {
	case n == 0:
		return "must not be empty"
	case n > MaxNameLength:
		return fmt.Sprintf("must be at most %d characters long, not %d", MaxNameLength, n)
	}
	for _, r := range name {
		if !printable(r) {
			return fmt.Sprintf("must hold printable characters only, not %U", r)
		}
	}
	return ""
}

// printable reports whether r may stand in a name: whatever can be seen, spaces of any width, and the joiners that
// scripts and emoji are written with. Controls, line breaks, the overrides of text direction, which make a name
// look like another, and code points without a meaning may not.
func printable(r rune) bool {
	const zeroWidthNonJoiner, zeroWidthJoiner = '\u200c', '\u200d'
	return unicode.IsPrint(r) || unicode.Is(unicode.Zs, r) || r == zeroWidthNonJoiner || r == zeroWidthJoiner
}

func checkScopes(set Scopes, faults []Fault) []Fault {
	if set == 0 || set&^AllScopes != 0 {
		return append(faults, Fault{"/key_scope", "must hold at least one of " + ScopeList})
	}
	return faults
}

// maxExpiry is the last moment that RFC 3339 can express.
var maxExpiry = time.Date(9999, 12, 31, 23, 59, 59, int(time.Second-Resolution), time.UTC)

func checkExpiry(at, now time.Time, faults []Fault) (time.Time, []Fault) {
	if at.IsZero() {
		return time.Time{}, faults
	}
	at = at.UTC().Truncate(Resolution)
	if !at.After(now) {
		return at, append(faults, Fault{"/expires_at", "must be in the future"})
	}
	if at.After(maxExpiry) {
		return at, append(faults, Fault{"/expires_at", "must be no later than the year 9999"})
	}
	return at, faults
}
