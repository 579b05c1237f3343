package limit

import (
	"strconv"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
)

// month is what a policy says of the length of one, which knows no date: the longest there is, so that who spreads a quota over it
// keeps to the quota in each.
const month = 31 * 24 * time.Hour

// AppendPolicy appends the value of the field RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10) to b: the limits and the
// quota of r, `"default";q=100;w=60, "quota";q=1000000;w=86400`. A quota that is never renewed has no window. Nothing is appended
// where r counts nothing.
func AppendPolicy(b []byte, r *key.Restrictions) []byte {
	if !r.Counted() {
		return b
	}
	begin := len(b)
	for i := range r.Limits {
		l := &r.Limits[i]
		b = appendPolicy(b, begin, l.Name, l.Requests, l.Window)
	}
	if q := r.Quota; q != (key.Quota{}) {
		b = appendPolicy(b, begin, key.QuotaName, q.Requests, nominal(q.Period))
	}
	return b
}

func appendPolicy(b []byte, begin int, name string, requests int64, window time.Duration) []byte {
	if len(b) > begin {
		b = append(b, ", "...)
	}
	b = appendName(b, name)
	b = strconv.AppendInt(append(b, ";q="...), requests, 10)
	if window > 0 {
		b = strconv.AppendInt(append(b, ";w="...), seconds(window), 10)
	}
	return b
}

// nominal is how long a period is said to be; 0: without end.
func nominal(p key.Period) time.Duration {
	switch p {
	case key.Day:
		return 24 * time.Hour
	case key.Month:
		return month
	default:
		return 0
	}
}

// AppendState appends the value of the field RateLimit to b: what is left of the limit that a is about, and in how many seconds
// all of it will be there again, `"default";r=50;t=30`. Where it never will, there is no t. Nothing is appended for the zero
// Allowance.
func AppendState(b []byte, a key.Allowance) []byte {
	if a.Requests == 0 {
		return b
	}
	b = appendName(b, a.Name)
	b = strconv.AppendInt(append(b, ";r="...), a.Remaining, 10)
	if a.Reset >= 0 {
		b = strconv.AppendInt(append(b, ";t="...), seconds(a.Reset), 10)
	}
	return b
}

// appendName appends a name as a string of a structured field (RFC 9651). What names consist of needs no escape there.
func appendName(b []byte, name string) []byte {
	return append(append(append(b, '"'), name...), '"')
}

// RetryAfter returns the value of the field Retry-After for a request that was refused: at least 1, and not so small that the
// next attempt comes too early. Where waiting is of no use, ok is false and there is no such field.
func RetryAfter(a key.Allowance) (wait int64, ok bool) {
	if a.Retry < 0 {
		return 0, false
	}
	return max(1, seconds(a.Retry)), true
}

// seconds returns d in whole seconds, rounded up.
func seconds(d time.Duration) int64 {
	whole := int64(d / time.Second)
	if d%time.Second > 0 {
		whole++
	}
	return whole
}
