package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/token"
)

// Wherever a token is put by mistake, it is neither in the answer nor in the log.
func TestTheTokenIsNowhere(t *testing.T) {
	k := newKit(t, nil)
	secret := token.New("ak").Reveal()
	inJSON := []string{
		`{"%s":1}`,
		`{"%s":1,"%[1]s":2}`,
		`{"key":"%s"}`,
		`{"key_name":["%s"]}`,
		`{"key_scope":["%s"],"expires_at":"%[1]s","organization_id":"%[1]s","enabled":"%[1]s","metadata":"%[1]s"}`,
		`{"metadata":{"%s":1,"%[1]s":1}}`,
		`{"metadata":{"x%sx":{"a":1,"a":1}}}`,
		`{"grace_seconds":"%s"}`,
		`"%s"`,
		`%s`,
		`{"key_name":"%s`,
		`{"key":"x","scope":"%s","ip":"%[1]s","organization_id":"%[1]s"}`,
		`{"requests":[{"%s":1},"%[1]s",{"key":"x","scope":"%[1]s"}]}`,
		`{"requests":{"%s":1}}`,
	}
	var answers []reply
	for _, form := range inJSON {
		body := fmt.Sprintf(form, secret)
		answers = append(answers,
			k.call("POST", "/v1/api-keys", body),
			k.call("PATCH", "/v1/api-keys/1", body),
			k.call("POST", "/v1/api-keys/1/rotate", body),
			k.ask("POST", "/v1/verify", body),
			k.ask("POST", "/v1/verify/batch", body))
	}
	for _, path := range []string{"/%s", "/%s/x", "/v1/api-keys/%s", "/v1/api-keys/%s/rotate", "/v1/api-keys/1%s", "/v1/api-keys?%s",
		"/v1/api-keys?%s=1", "/v1/api-keys?cursor=%s", "/v1/api-keys?limit=%s&scope=%[1]s&enabled=%[1]s&organization_id=%[1]s",
		"/v1/api-keys?access_token=%s", "/v1/api-keys?%%zz%s", "/v1/me?%s"} {
		path = fmt.Sprintf(path, secret)
		answers = append(answers, k.call("GET", path, ""), k.call("PUT", path, ""), k.ask("GET", path, ""))
	}
	for _, header := range []string{"Authorization: Bearer %s", "Authorization: Basic %s", "X-API-Key: %s", "Accept: %s", "Accept: %s/%[1]s",
		"Content-Type: %s", "Content-Type: %s/%[1]s", "Content-Encoding: %s", "X-Request-Id: %s", "If-Match: %s", "User-Agent: %s",
		"Referer: http://example.com/%s", "Cookie: key=%s"} {
		header = fmt.Sprintf(header, secret)
		answers = append(answers, k.call("GET", "/v1/me", "", header), k.call("POST", "/v1/api-keys", "{}", header),
			k.ask("POST", "/v1/verify", "{}", header))
	}
	answers = append(answers, k.call(secret, "/v1/me", ""), k.call(secret, "/nothing", ""))

	bodies := secret[3:27] // a good part of it is bad enough
	for _, r := range answers {
		if r.status == http.StatusOK && strings.HasPrefix(r.body, `{"valid":false`) {
			continue // it was asked about, in the right place
		}
		if strings.Contains(r.body, bodies) || strings.Contains(fmt.Sprint(r.header), bodies) {
			t.Errorf("the token is in an answer: %d %v %s", r.status, r.header, r.body)
		}
	}
	for _, r := range answers {
		k.logLine(r.header.Get("X-Request-Id"), "request")
	}
	if log := k.log.String(); strings.Contains(log, bodies) || strings.Contains(log, k.token[3:27]) {
		t.Errorf("the token is in the log: %s", log)
	}
}

func TestNamesAreShownShort(t *testing.T) {
	k := newKit(t, nil)
	for name, want := range map[string]string{
		strings.Repeat("ab ", 100):         "/" + strings.Repeat("ab ", 21) + "a…",
		strings.Repeat("é", 100):           "/" + strings.Repeat("é", 32) + "…",
		"x" + strings.Repeat("é", 100):     "/x" + strings.Repeat("é", 31) + "…",
		strings.Repeat("~", 100):           "/" + strings.Repeat("~0", 32) + "…",
		"x" + strings.Repeat("~", 100):     "/x" + strings.Repeat("~0", 31) + "…",
		"organizationDisplayNameForHumans": "/organizationDisplayNameForHumans",
		"0123456789abcdefghijABCDEFGHIJ":   "/…",
		"a_" + strings.Repeat("Z", 40):     "/…",
	} {
		p := k.call("POST", "/v1/api-keys", fmt.Sprintf(`{%q:1}`, name)).problem(api.CodeMalformedRequest)
		if p.Errors[0].Pointer != want {
			t.Errorf("%q is shown as %q, want %q", name, p.Errors[0].Pointer, want)
		}
	}
	deep := `{"metadata":` + strings.Repeat(`{"abc":`, 300) + `{"x":1,"x":2}` + strings.Repeat("}", 300) + "}"
	p := k.call("PATCH", "/v1/api-keys/1", deep).problem(api.CodeMalformedRequest)
	if got := p.Errors[0].Pointer; len(got) > 300 || !strings.HasPrefix(got, "/metadata/abc/abc") || !strings.HasSuffix(got, "/…") {
		t.Errorf("a deep place is shown as %q", got)
	}
	var many strings.Builder
	many.WriteString("{")
	for i := range 3000 {
		fmt.Fprintf(&many, `"x%d":1,`, i)
	}
	many.WriteString(`"key_name":1}`)
	if p := k.call("PATCH", "/v1/api-keys/1", many.String()).problem(api.CodeMalformedRequest); len(p.Errors) != maxFaults {
		t.Errorf("%d faults", len(p.Errors))
	}
}

func TestSyntaxErrorsSayWhere(t *testing.T) {
	k := newKit(t, nil)
	for body, want := range map[string]string{
		"{\n \"key_name\": \"é\", oops}": "at line 2, column 19",
		"{}\n\n  {}":                     "at line 3, column 3",
		"{\"a\":\"é\xff\"}":              "at line 1, column 8",
		"[1,\n2,\n3}":                    "at line 3, column 2",
		"":                               "empty",
		`{"key_name":"a"`:                "ends too early",
	} {
		p := k.call("PATCH", "/v1/api-keys/1", body, "Content-Type: application/json").problem(api.CodeMalformedRequest)
		if !strings.Contains(p.Detail, want) {
			t.Errorf("%q: %q, want %q", body, p.Detail, want)
		}
	}
}
