package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/gateway"
	"github.com/apikeyd/apikeyd/internal/key"
)

// problem is an error of the transport, and what every other error is turned into before it is sent.
type problem struct {
	code      api.Code
	detail    string // for the caller; never a value that was sent
	faults    []api.Fault
	challenge string // for WWW-Authenticate
	allow     string // for Allow
	keyIDs    []int64
	wait      time.Duration // for Retry-After
	hangUp    bool          // the rest of the body is not worth reading
	cause     error         // for the log alone
}

// Error gives code, detail and cause.
func (p *problem) Error() string {
	s := string(p.code) + ": " + p.detail
	if p.cause != nil {
		s += ": " + p.cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (p *problem) Unwrap() error { return p.cause }

// describe turns any error into a problem. What it does not know is a fault of ours: the caller learns that there was
// one, and the log which.
func describe(err error) *problem {
	var p *problem
	var rule *key.Error
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &rule):
		p = &problem{code: api.Code(rule.Code), detail: rule.Detail, keyIDs: rule.KeyIDs, wait: rule.Wait, cause: rule.Err}
		switch rule.Code {
		case key.Unauthenticated:
			p.challenge = challengeInvalidToken
		case key.InsufficientScope:
			p.challenge = challengeScope(rule.Scopes)
		case key.Invalid:
			var f faults
			f.rules(rule.Faults)
			p.faults = f.list
		}
		return p
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &problem{code: api.CodeUnavailable, detail: "the request was given up; nothing was done, try again", cause: err}
	default:
		return &problem{code: api.CodeInternal, cause: err,
			detail: "the server made a mistake; the request id finds it in the server's log"}
	}
}

var (
	problemType = []string{"application/problem+json"}
	retryAfter  = []string{"1"} // seconds
	hangUp      = []string{"close"}
)

// fail answers with a problem document. It is the only place where an error is written.
func (x *exchange) fail(err error) {
	p := describe(err)
	x.problem = p
	if x.status != 0 {
		return // too late: the answer has begun
	}
	status := p.code.Status()
	doc := api.Error{
		Type:      "about:blank",
		Title:     http.StatusText(status),
		Status:    status,
		Detail:    p.detail,
		Code:      p.code,
		RequestID: x.id,
		Errors:    p.faults,
		KeyIDs:    p.keyIDs,
	}
	body := doc.JSON()

	h := x.Header()
	for _, name := range []string{"Location", "Link", "Etag", "Last-Modified", "Content-Encoding"} {
		h.Del(name) // of an answer that was begun and given up
	}
	if x.route.judges && h[gateway.HeaderID] == nil {
		x.sendNobody()
	}
	h["Content-Type"] = problemType
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if p.challenge != "" {
		h.Set("WWW-Authenticate", p.challenge)
	}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	switch {
	case p.wait > 0:
		h.Set("Retry-After", strconv.FormatInt(int64((p.wait+time.Second-1)/time.Second), 10))
	case p.code == api.CodeUnavailable:
		h["Retry-After"] = retryAfter
	}
	if p.hangUp {
		h["Connection"] = hangUp
	}
	x.WriteHeader(status)
	_, _ = x.Write(body) // a caller who is gone does not miss it
}

// The challenges of RFC 6750, section 3. Where no credential was sent there is no error in it.
const (
	challenge             = `Bearer realm="apikeyd"`
	challengeInvalidToken = challenge + `, error="invalid_token"`
)

func challengeScope(missing key.Scopes) string {
	return challenge + `, error="insufficient_scope", scope="` + strings.Join(missing.Names(), " ") + `"`
}
