package api

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Code names what went wrong. It is the field "code" of a problem document, and what a program should switch on:
// titles and details are for people and may be reworded.
type Code string

const (
	// CodeMalformedRequest: not JSON, a repeated or unknown field, a bad cursor, an id that is no integer.
	CodeMalformedRequest Code = "malformed_request"
	// CodeUnauthenticated: no credential, or one that is unknown, deleted, disabled or expired.
	CodeUnauthenticated Code = "unauthenticated"
	// CodeInsufficientScope: the calling key lacks a scope.
	CodeInsufficientScope Code = "insufficient_scope"
	// CodeForbidden: the user's role does not allow it.
	CodeForbidden Code = "forbidden"
	// CodeNotFound: no such thing, or not the caller's to see.
	CodeNotFound Code = "not_found"
	// CodeMethodNotAllowed: the path exists, the method does not; see the Allow header.
	CodeMethodNotAllowed Code = "method_not_allowed"
	// CodeNotAcceptable: the Accept header rules out every type this answer could have.
	CodeNotAcceptable Code = "not_acceptable"
	// CodeConflict: the request is at odds with the present state.
	CodeConflict Code = "conflict"
	// CodeKeysRemain: the member holds keys that the request does not say what to do with; see Error.KeyIDs.
	CodeKeysRemain Code = "keys_remain"
	// CodeContentTooLarge: the body is over the limit.
	CodeContentTooLarge Code = "content_too_large"
	// CodeUnsupportedMediaType: the body is not declared as JSON.
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	// CodeInvalid: well-formed, but a field is missing, of the wrong type or out of range.
	CodeInvalid Code = "invalid"
	// CodeRateLimited: too many requests; see the Retry-After header.
	CodeRateLimited Code = "rate_limited"
	// CodeInternal: a fault of the server; the request id finds it in the log.
	CodeInternal Code = "internal"
	// CodeUnavailable: the database cannot be reached; nothing was done, so the request may be sent again.
	CodeUnavailable Code = "unavailable"
)

// statuses is the one table between codes and HTTP status codes.
var statuses = []struct {
	code   Code
	status int
}{
	{CodeMalformedRequest, 400},
	{CodeUnauthenticated, 401},
	{CodeForbidden, 403},
	{CodeInsufficientScope, 403},
	{CodeNotFound, 404},
	{CodeMethodNotAllowed, 405},
	{CodeNotAcceptable, 406},
	{CodeConflict, 409},
	{CodeKeysRemain, 409},
	{CodeContentTooLarge, 413},
	{CodeUnsupportedMediaType, 415},
	{CodeInvalid, 422},
	{CodeRateLimited, 429},
	{CodeInternal, 500},
	{CodeUnavailable, 503},
}

// Codes returns every code, in the order of their statuses.
func Codes() []Code {
	codes := make([]Code, len(statuses))
	for i, s := range statuses {
		codes[i] = s.code
	}
	return codes
}

// Status returns the HTTP status code that goes with c, and 500 for a code that is not in the table.
func (c Code) Status() int {
	for _, s := range statuses {
		if s.code == c {
			return s.status
		}
	}
	return 500
}

// CodeForStatus returns the code that best describes a bare HTTP status, for answers that carry no problem
// document (a proxy's, say). It returns "" where no code has that status.
func CodeForStatus(status int) Code {
	for _, s := range statuses {
		if s.status == status {
			return s.code
		}
	}
	return ""
}

// Error is a problem document (RFC 9457), and the error that the Go client returns for one.
//
// Compare with errors.Is against the sentinels below, which match by code alone:
//
//	if errors.Is(err, api.ErrNotFound) { … }
type Error struct {
	Type      string  `json:"type"`                 // always "about:blank": Code is what tells problems apart
	Title     string  `json:"title"`                // the status in words
	Status    int     `json:"status"`               // the HTTP status code
	Detail    string  `json:"detail"`               // what was wrong and what is right
	Code      Code    `json:"code"`                 // what to switch on
	RequestID string  `json:"request_id,omitempty"` // the same id is in the server's log; a document of package middleware has none
	Errors    []Fault `json:"errors,omitempty"`
	KeyIDs    []int64 `json:"key_ids,omitempty"` // with CodeKeysRemain: those keys, the first 1000 of them
}

// Fault is one thing that is wrong with a request.
type Fault struct {
	// Pointer is a JSON pointer (RFC 6901) into the body: "/key_scope/1". For a query parameter it is the
	// parameter's name behind a slash: "/limit".
	Pointer string `json:"pointer"`
	// Detail says what was wrong and what is right.
	Detail string `json:"detail"`
}

// Sentinels for errors.Is, one for each code.
var (
	ErrMalformedRequest     = &Error{Code: CodeMalformedRequest}
	ErrUnauthenticated      = &Error{Code: CodeUnauthenticated}
	ErrInsufficientScope    = &Error{Code: CodeInsufficientScope}
	ErrForbidden            = &Error{Code: CodeForbidden}
	ErrNotFound             = &Error{Code: CodeNotFound}
	ErrMethodNotAllowed     = &Error{Code: CodeMethodNotAllowed}
	ErrNotAcceptable        = &Error{Code: CodeNotAcceptable}
	ErrConflict             = &Error{Code: CodeConflict}
	ErrKeysRemain           = &Error{Code: CodeKeysRemain}
	ErrContentTooLarge      = &Error{Code: CodeContentTooLarge}
	ErrUnsupportedMediaType = &Error{Code: CodeUnsupportedMediaType}
	ErrInvalid              = &Error{Code: CodeInvalid}
	ErrRateLimited          = &Error{Code: CodeRateLimited}
	ErrInternal             = &Error{Code: CodeInternal}
	ErrUnavailable          = &Error{Code: CodeUnavailable}
)

// Error gives the detail, each fault, and the request id, on one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Code))
	if e.Detail != "" {
		b.WriteString(": ")
		b.WriteString(e.Detail)
	}
	for i, f := range e.Errors {
		if i == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s %s", f.Pointer, f.Detail)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", e.RequestID)
	}
	return b.String()
}

// Is reports whether target is an *Error with the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// JSON returns the problem document.
func (e *Error) JSON() []byte {
	b, err := json.Marshal(e)
	if err != nil { // strings and integers always marshal
		panic(err)
	}
	return b
}
