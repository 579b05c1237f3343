package middleware

import (
	"crypto/sha256"
	"sync/atomic"

	"github.com/apikeyd/apikeyd/api"
)

// digest is the SHA-256 of a token.
type digest = [sha256.Size]byte

// entry is what is known of one token. But for visited, slot and uses it never changes.
type entry struct {
	digest  digest
	visited atomic.Bool // since the table last looked for something to drop
	slot    int         // where it stands in its table; with the table's lock

	found          bool // there is such a key; otherwise the rest is zero
	enabled        bool
	ask            bool // apikeyd has to be asked about each request
	scopes         scopes
	expires        int64 // milliseconds since 1970; 0: never
	tokenExpires   int64 // likewise, the token alone
	organizationID int64
	answer         api.Verification // when it is valid

	uses [outcomes]atomic.Int64 // that apikeyd was not told of
}

// outcome is how a check came out that was decided here.
type outcome int

// The outcomes, in order of precedence, but for notFound, which counts for no key.
const (
	disabled outcome = iota
	expired
	insufficientScope
	valid
	outcomes         // how many there are
	notFound outcome = -1
)

var codes = [outcomes]api.VerifyCode{api.VerifyDisabled, api.VerifyExpired, api.VerifyInsufficientScope, api.VerifyValid}

// newEntry returns the entry of a token; k is nil where it belongs to no key.
func newEntry(d digest, k *api.KnownKey) *entry {
	e := &entry{digest: d}
	if k == nil {
		return e
	}
	e.found, e.enabled, e.ask, e.organizationID = true, k.Enabled, k.Ask, k.OrganizationID
	e.expires, e.tokenExpires = millis(k.ExpiresAt), millis(k.TokenExpiresAt)
	for _, name := range k.KeyScope {
		s, _ := scopeBit(name) // one that is not known allows nothing that can be asked for
		e.scopes |= s
	}
	e.answer = api.Verification{Valid: true, Code: api.VerifyValid, KeyID: k.KeyID, KeyName: k.KeyName, KeyScope: k.KeyScope,
		OrganizationID: k.OrganizationID, UserID: k.UserID, ExpiresAt: k.ExpiresAt, Metadata: k.Metadata}
	if e.answer.Metadata == nil {
		e.answer.Metadata = []byte("{}")
	}
	return e
}

// decide answers a question as apikeyd would: the first that holds is given.
func (e *entry) decide(organizationID int64, need scopes, now int64) (outcome, api.Verification) {
	var o outcome
	switch {
	case !e.found, passed(e.tokenExpires, now), organizationID != 0 && organizationID != e.organizationID:
		return notFound, api.Verification{Code: api.VerifyNotFound}
	case !e.enabled:
		o = disabled
	case passed(e.expires, now):
		o = expired
	case need&^e.scopes != 0:
		o = insufficientScope
	default:
		return valid, e.answer
	}
	answer := e.answer
	answer.Valid, answer.Code = false, codes[o]
	return o, answer
}

func millis(t *api.Time) int64 {
	if t == nil {
		return 0
	}
	return t.UnixMilli()
}

func passed(end, now int64) bool { return end != 0 && now >= end }

// scopes is a set.
type scopes uint8

// scopeBit returns the set with one scope, the empty one for "", and false for what is no scope.
func scopeBit(s api.Scope) (scopes, bool) {
	switch s {
	case "":
		return 0, true
	case api.ScopeRead:
		return 1, true
	case api.ScopeCreate:
		return 2, true
	case api.ScopeUpdate:
		return 4, true
	case api.ScopeDelete:
		return 8, true
	case api.ScopeManage:
		return 16, true
	default:
		return 0, false
	}
}
