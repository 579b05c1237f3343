package httpapi

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/telemetry"
	"github.com/apikeyd/apikeyd/internal/verify"
)

const (
	introspectPath = "/introspect"
	typeForm       = "application/x-www-form-urlencoded"
)

// introspection answers gateways that know no API keys, but OAuth's token introspection (RFC 7662).
type introspection struct {
	checker *verify.Checker
	metrics *telemetry.Metrics
}

func (h introspection) routes() []route {
	return []route{{method: http.MethodPost, pattern: introspectPath, writes: true, quiet: true, clients: true,
		consumes: []string{typeForm}, maxBody: maxBody, serve: h.serve}}
}

// serve looks at the key and counts nothing: what follows may be one request or many. A key with an allow-list of addresses is
// not active here, because nobody says where it is used.
func (h introspection) serve(x *exchange) error {
	if err := refuseQuery(x); err != nil {
		return err
	}
	text, err := formToken(x.body)
	if err != nil {
		return err
	}
	d, err := h.checker.Check(x.r.Context(), []byte(text), key.Question{Uncounted: true})
	if err != nil {
		return undecided(err)
	}
	h.metrics.Check(d.Outcome)
	x.code = d.Outcome.String()
	if d.Record != nil {
		x.keyID = d.Record.KeyID
	}
	x.answer = append(appendIntrospection(x.answer[:0], d), '\n')
	x.Header()["Cache-Control"] = noStore
	return x.sendVerification()
}

// formToken returns the token in a body. What else is in it has no meaning here (RFC 6749, section 3.2).
func formToken(body []byte) (string, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return "", &problem{code: api.CodeMalformedRequest, detail: "the body must be " + typeForm}
	}
	if tokens := form["token"]; len(tokens) == 1 {
		return tokens[0], nil
	}
	return "", &problem{code: api.CodeMalformedRequest, detail: "the body must hold token=…, once"}
}

// appendIntrospection appends the answer as JSON. Of a token that is not good it says nothing else (RFC 7662, section 2.2).
func appendIntrospection(b []byte, d verify.Decision) []byte {
	if d.Outcome != key.CheckValid {
		return append(b, `{"active":false}`...)
	}
	r := d.Record
	b = append(b, `{"active":true,"scope":"`...)
	for i, name := range (r.Scopes & key.AllScopes).Names() {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, name...)
	}
	b = append(b, `","client_id":"`...)
	b = strconv.AppendInt(b, r.KeyID, 10)
	b = append(b, `","sub":"`...)
	b = strconv.AppendInt(b, r.UserID, 10)
	b = append(b, '"')
	if end := expiry(r); end != 0 {
		b = append(b, `,"exp":`...)
		b = strconv.AppendInt(b, int64(end)/1000, 10)
	}
	return append(b, '}')
}

// expiry returns when a token ceases to be good: with its key, or sooner where it has been rotated. 0: never.
func expiry(r *key.Record) key.Millis {
	if r.ExpiresAt == 0 || r.TokenExpiresAt != 0 && r.TokenExpiresAt < r.ExpiresAt {
		return r.TokenExpiresAt
	}
	return r.ExpiresAt
}
