package middleware

import (
	"log/slog"
	"net/http"
	"strconv"

	"github.com/apikeyd/apikeyd/api"
)

// Refusal is why a request is not let through.
type Refusal struct {
	// Status is the HTTP status code: 401, 403, 429 or 503.
	Status int
	// Code says how the check came out; "" where apikeyd was not asked, or did not answer.
	Code api.VerifyCode
	// Detail says in words what is wrong. It may be shown to the client.
	Detail string
	// Err is why apikeyd did not answer, with Status 503. It is for the log.
	Err error

	challenge string // for WWW-Authenticate
}

// The challenges of RFC 6750, section 3. Where no key was sent there is no error in it.
const (
	challenge        = `Bearer realm="api"`
	challengeBadKey  = challenge + `, error="invalid_token"`
	challengeNoScope = `Bearer error="insufficient_scope"`
)

func noKey() *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, challenge: challenge,
		Detail: "send a key as Authorization: Bearer or as X-API-Key"}
}

func badKey(detail string) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, challenge: challengeBadKey, Detail: detail}
}

// refused says what becomes of a request whose key was found not to be good enough. A code that is not known yet is
// one more reason to refuse.
func refused(answer api.Verification, scope api.Scope) *Refusal {
	r := &Refusal{Code: answer.Code}
	switch answer.Code {
	case api.VerifyNotFound, api.VerifyDisabled, api.VerifyExpired:
		r.Status, r.challenge = http.StatusUnauthorized, challengeBadKey
		r.Detail = "the key is unknown, deleted, disabled or expired"
	case api.VerifyInsufficientScope:
		r.Status, r.challenge = http.StatusForbidden, challengeNoScope+`, scope="`+string(scope)+`"`
		r.Detail = "the key lacks the scope " + string(scope) + ", which the request needs"
	case api.VerifyIPNotAllowed:
		r.Status, r.Detail = http.StatusForbidden, "the key may not be used from this address"
	case api.VerifyRateLimited:
		r.Status, r.Detail = http.StatusTooManyRequests, "the key has made as many requests as it may; try again later"
	case api.VerifyQuotaExceeded:
		r.Status, r.Detail = http.StatusTooManyRequests, "the quota of the key is used up"
	default:
		r.Status, r.Detail = http.StatusForbidden, "the key is refused"
	}
	return r
}

// refuse answers a request that is not let through.
func (s *settings) refuse(w http.ResponseWriter, r *http.Request, why *Refusal) {
	if why.Err != nil && s.log != nil {
		s.log.LogAttrs(r.Context(), slog.LevelError, "a key could not be checked", slog.Any("error", why.Err))
	}
	h := w.Header()
	if why.challenge != "" {
		h.Set("WWW-Authenticate", why.challenge)
	}
	if why.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	s.respond(w, r, why)
}

// problem answers with a problem document.
func problem(w http.ResponseWriter, _ *http.Request, why *Refusal) {
	code := api.CodeForStatus(why.Status)
	if why.Code == api.VerifyInsufficientScope {
		code = api.CodeInsufficientScope
	}
	doc := api.Error{Type: "about:blank", Title: http.StatusText(why.Status), Status: why.Status, Detail: why.Detail, Code: code}
	body := doc.JSON()
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(why.Status)
	_, _ = w.Write(body) // a caller who is gone does not miss it
}
