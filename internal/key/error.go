package key

import (
	"fmt"
	"time"
)

// Code says what kind of error an Error is. The strings are those of the public API, which adds its own for faults
// of the transport.
type Code string

// The codes that rules and use cases give.
const (
	Unauthenticated   Code = "unauthenticated"    // the caller's credential is no longer good
	InsufficientScope Code = "insufficient_scope" // the calling key lacks a scope
	Forbidden         Code = "forbidden"          // the caller's role does not allow it
	NotFound          Code = "not_found"          // no such thing, or not the caller's to see
	Conflict          Code = "conflict"           // at odds with the present state
	KeysRemain        Code = "keys_remain"        // a member holds keys that the request does not say what to do with
	RateLimited       Code = "rate_limited"       // too many attempts
	Invalid           Code = "invalid"            // a field is missing, of the wrong type or out of range
	Internal          Code = "internal"           // something broke, and what became of the request is not known
	Unavailable       Code = "unavailable"        // the store cannot be reached; nothing was done
)

// Codes lists them all.
func Codes() []Code {
	return []Code{Unauthenticated, InsufficientScope, Forbidden, NotFound, Conflict, KeysRemain, RateLimited, Invalid, Internal, Unavailable}
}

// Fault is one thing that is wrong with what the caller sent.
type Fault struct {
	Pointer string // JSON pointer (RFC 6901) into the body
	Detail  string // what is right: "must be …"
}

// Error is the error of every rule and use case. Detail and Faults are for the caller and never hold a secret; Err
// is the cause, for the log alone.
type Error struct {
	Code   Code
	Detail string
	Faults []Fault
	Scopes Scopes        // with InsufficientScope: what is lacking
	KeyIDs []int64       // with KeysRemain: those keys, or the first of them
	Wait   time.Duration // with RateLimited: until another attempt may be made
	Err    error
}

// Error gives code, detail and cause.
func (e *Error) Error() string {
	s := string(e.Code)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	for _, f := range e.Faults {
		s += fmt.Sprintf("; %s %s", f.Pointer, f.Detail)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an *Error with the same code, so that errors.Is(err, &Error{Code: NotFound}) holds.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}
