package httpapi

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/limit"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// outcomeText holds how the answer to a check begins, for each outcome.
var outcomeText = func() (texts [key.OutcomeCount]string) {
	for _, o := range key.Outcomes() {
		texts[o] = `{"valid":` + strconv.FormatBool(o == key.CheckValid) + `,"code":"` + o.String() + `"`
	}
	return texts
}()

// scopesText holds each set of scopes as JSON.
var scopesText = func() (texts [key.AllScopes + 1]string) {
	for set := range key.AllScopes + 1 {
		text := "["
		for i, name := range set.Names() {
			if i > 0 {
				text += ","
			}
			text += `"` + name + `"`
		}
		texts[set] = text + "]"
	}
	return texts
}()

// appendVerification appends the answer to a check as JSON: an api.Verification, written by hand because it is written
// so often. Without a record it is the outcome alone.
func appendVerification(b []byte, d verify.Decision) []byte {
	b = append(b, outcomeText[d.Outcome]...)
	r := d.Record
	if r == nil {
		return append(b, '}')
	}
	b = append(b, `,"key_id":`...)
	b = strconv.AppendInt(b, r.KeyID, 10)
	b = append(b, `,"key_name":`...)
	b = appendString(b, r.Name)
	b = append(b, `,"key_scope":`...)
	b = append(b, scopesText[r.Scopes&key.AllScopes]...)
	b = append(b, `,"organization_id":`...)
	b = strconv.AppendInt(b, r.OrganizationID, 10)
	b = append(b, `,"user_id":`...)
	b = strconv.AppendInt(b, r.UserID, 10)
	b = append(b, `,"expires_at":`...)
	if r.ExpiresAt == 0 {
		b = append(b, "null"...)
	} else {
		b = append(b, '"')
		b = r.ExpiresAt.Time().AppendFormat(b, api.TimeLayout)
		b = append(b, '"')
	}
	b = append(b, `,"metadata":`...)
	if r.Metadata == "" {
		b = append(b, "{}"...)
	} else {
		b = append(b, r.Metadata...)
	}
	if d.Allowance.Requests != 0 {
		b = appendRateLimit(b, &d.Allowance, r.Restrictions)
	}
	return append(b, '}')
}

// appendRateLimit appends what is left to a key of its limits.
func appendRateLimit(b []byte, a *key.Allowance, r *key.Restrictions) []byte {
	b = append(b, `,"ratelimit":{"limit":`...)
	b = strconv.AppendInt(b, a.Requests, 10)
	b = append(b, `,"remaining":`...)
	b = strconv.AppendInt(b, a.Remaining, 10)
	b = append(b, `,"reset_seconds":`...)
	if a.Reset < 0 {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendInt(b, int64((a.Reset+time.Second-1)/time.Second), 10)
	}
	b = append(b, `,"name":"`...)
	b = append(b, a.Name...) // of letters, digits, '_', '-' and '.'
	b = append(b, `","policy":`...)
	var room [policyRoom]byte
	b, _ = jsontext.AppendQuote(b, limit.AppendPolicy(room[:0], r)) // it is ASCII
	return append(b, '}')
}

// policyRoom is how long the policies of most keys are, at most.
const policyRoom = 128

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			b, _ = jsontext.AppendQuote(b, s) // what is no UTF-8 becomes U+FFFD
			return b
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
