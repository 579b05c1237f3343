package middleware

import (
	"net/http"
	"strconv"

	"github.com/apikeyd/apikeyd/api"
)

// rateLimit tells the client what is left to its key (draft-ietf-httpapi-ratelimit-headers-10), where that is counted.
func rateLimit(h http.Header, a api.Verification) {
	l := a.RateLimit
	if l == nil {
		return
	}
	name, policy := `"`+l.Name+`"`, l.Policy
	if l.Name == "" {
		name, policy = unnamed(a)
	}
	state := name + ";r=" + strconv.FormatInt(l.Remaining, 10)
	if l.ResetSeconds != nil {
		state += ";t=" + strconv.FormatInt(*l.ResetSeconds, 10)
	}
	h.Set("RateLimit-Policy", policy)
	h.Set("RateLimit", state)
	if a.Valid || l.ResetSeconds == nil {
		return // where it never helps to wait, nothing says how long
	}
	h.Set("Retry-After", strconv.FormatInt(retryAfter(a.Code, *l), 10))
}

// unnamed returns what a limit is called that an older apikeyd does not name, and the policy as far as it is known then.
func unnamed(a api.Verification) (name, policy string) {
	name = `"default"`
	if a.Code == api.VerifyQuotaExceeded {
		name = `"quota"`
	}
	return name, name + ";q=" + strconv.FormatInt(a.RateLimit.Limit, 10)
}

// retryAfter returns how many seconds a refused client has to wait. Requests of a limit come back one by one, those of a quota all at
// once.
func retryAfter(code api.VerifyCode, l api.RateLimit) int64 {
	wait := *l.ResetSeconds
	if code == api.VerifyRateLimited && l.Limit > 0 {
		wait = (wait + l.Limit - 1) / l.Limit
	}
	return max(1, wait)
}
