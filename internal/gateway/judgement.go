package gateway

import (
	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/key"
)

// Verdict is how a request was judged.
type Verdict uint8

// The verdicts.
const (
	undecidedYet      Verdict = iota
	Allowed                   // the key may do that
	Public                    // everybody may, so that nobody looked at a key
	NoKey                     // none was sent
	BadKey                    // one that is unknown, deleted, disabled or expired; or several
	InsufficientScope         // the key lacks the scope
	WrongAddress              // the key may not be used from there
	UnknownMethod             // no scope covers the method, and no rule names one
	Ambiguous                 // others may take the request for another one
	Limited                   // the key has made as many requests as it may
	Undecided                 // the key could not be checked
)

// codes say how each verdict that refuses is answered.
var codes = [...]api.Code{
	NoKey:             api.CodeUnauthenticated,
	BadKey:            api.CodeUnauthenticated,
	InsufficientScope: api.CodeInsufficientScope,
	WrongAddress:      api.CodeForbidden,
	UnknownMethod:     api.CodeForbidden,
	Ambiguous:         api.CodeForbidden,
	Limited:           api.CodeRateLimited,
	Undecided:         api.CodeUnavailable,
	undecidedYet:      api.CodeUnavailable,
}

// Judgement says whether a request may go to the API, and why not. The zero Judgement refuses.
type Judgement struct {
	Verdict   Verdict
	Detail    string        // why it may not, for whoever called the API
	Need      key.Scope     // what the request needs, where a key was checked
	Outcome   key.Outcome   // of the check, where Checked
	Checked   bool          // a key was looked at
	Allowance key.Allowance // what is left to a key that is limited
	Err       error         // with Undecided: why, for the log

	record *key.Record // with Checked, but for CheckNotFound
}

// Allowed reports whether the request may go to the API.
func (j *Judgement) Allowed() bool { return j.Verdict == Allowed || j.Verdict == Public }

// Code returns the code of the problem document that refuses the request, which has the status of the answer.
func (j *Judgement) Code() api.Code { return codes[j.Verdict] }

// Challenge returns the value of WWW-Authenticate (RFC 6750, section 3), "" for none.
func (j *Judgement) Challenge() string {
	switch j.Verdict {
	case NoKey:
		return `Bearer realm="api"`
	case BadKey:
		return `Bearer realm="api", error="invalid_token"`
	case InsufficientScope:
		return `Bearer error="insufficient_scope", scope="` + j.Need.String() + `"`
	default:
		return ""
	}
}

// KeyID returns the key that was found; 0: none was.
func (j *Judgement) KeyID() int64 {
	if j.record == nil {
		return 0
	}
	return j.record.KeyID
}

// known returns the record of the key where the caller has shown that it is theirs and that it is good, or nil.
func (j *Judgement) known() *key.Record {
	if j.Verdict == BadKey {
		return nil
	}
	return j.record
}
