package httpapi

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/token"
)

// Wherever a token, or the secret of a link or a session, is put by mistake, it is neither in the answer nor in the log.
func TestSecretsAreNowhere(t *testing.T) {
	for name, text := range map[string]string{
		"token":                              token.New("ak").Reveal(),
		"secret with a hyphen in the middle": "Ab3dEf7hIjKlMn0pQrStU-WxYz12345aBcDeFgHijKl",
		"secret with many":                   "Ab3d_f7h-jKl_n0p-rSt-vWxY_12-45aB_DeF-Hij_l",
	} {
		t.Run(name, func(t *testing.T) { putEverywhere(newKit(t, nil), text) })
	}
}

// putEverywhere puts a secret into every place of a request.
func putEverywhere(k *kit, secret string) {
	session := k.session("first@example.com")
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
		`{"organization_name":["%s"],"external_id":{"%[1]s":1},"metadata":"%[1]s","role":"%[1]s"}`,
		`{"email":"%s","role":"%[1]s"}`,
		`{"email":1,"password":["%s"],"link":{"%[1]s":"%[1]s"}}`,
		`{"limits":[{"name":"%s","%[1]s":1},"%[1]s"],"quota":{"period":"%[1]s","requests":"%[1]s","%[1]s":1},"allowed_cidrs":["%[1]s"]}`,
		`{"link":"%s"}`,
		`{"new_password":["%s"],"current_password":{"%[1]s":1}}`,
	}
	var answers []reply
	for _, form := range inJSON {
		body := fmt.Sprintf(form, secret)
		answers = append(answers,
			k.call("POST", "/v1/api-keys", body),
			k.call("PATCH", "/v1/api-keys/1", body),
			k.call("POST", "/v1/api-keys/1/rotate", body),
			k.call("POST", "/v1/organizations", body),
			k.call("PATCH", "/v1/organizations/1", body),
			k.call("POST", membersOfFirst, body),
			k.call("PATCH", membersOfFirst+"/1", body),
			k.call("POST", "/v1/sessions", body),
			k.call("POST", "/v1/sign-in-links", body),
			k.as(session, "PUT", "/v1/me/password", body),
			k.ask("POST", "/v1/verify", body),
			k.ask("POST", "/v1/verify/batch", body))
	}
	for _, path := range []string{"/%s", "/%s/x", "/v1/api-keys/%s", "/v1/api-keys/%s/rotate", "/v1/api-keys/1%s", "/v1/api-keys?%s",
		"/v1/api-keys?%s=1", "/v1/api-keys?cursor=%s", "/v1/api-keys?limit=%s&scope=%[1]s&enabled=%[1]s&organization_id=%[1]s",
		"/v1/api-keys?access_token=%s", "/v1/api-keys?%%zz%s", "/v1/me?%s",
		"/sign-in/%s", "/sign-in/%s/", "//sign-in/%s", "/sign-in/x%s?%[1]s", "/v1/sign-in-links/%s", "/v1/sessions/%s", "/v1/organizations/%s",
		"/v1/organizations/%s/members/%[1]s", "/v1/organizations?external_id=%s", "/v1/organizations?%s",
		"/v1/audit-log?action=%s&target_type=%[1]s&outcome=%[1]s&from=%[1]s&cursor=%[1]s&%[1]s=1", membersOfFirst + "/1?keys=%s"} {
		path = fmt.Sprintf(path, secret)
		answers = append(answers, k.call("GET", path, ""), k.call("PUT", path, ""), k.ask("GET", path, ""), k.as(session, "DELETE", path, ""))
	}
	for _, header := range []string{"Authorization: Bearer %s", "Authorization: Basic %s", "X-API-Key: %s", "Accept: %s", "Accept: %s/%[1]s",
		"Content-Type: %s", "Content-Type: %s/%[1]s", "Content-Encoding: %s", "X-Request-Id: %s", "If-Match: %s", "User-Agent: %s",
		"Referer: http://example.com/%s", "Cookie: key=%s",
		"Cookie: " + browser.SessionCookie + "=%s", "Cookie: " + browser.DeviceCookie + "=%s", "Origin: https://%s", "Sec-Fetch-Site: %s",
		"X-Forwarded-For: %s"} {
		header = fmt.Sprintf(header, secret)
		answers = append(answers, k.call("GET", "/v1/me", "", header), k.call("POST", "/v1/api-keys", "{}", header),
			k.ask("POST", "/v1/verify", "{}", header), k.as(header, "GET", "/v1/me", ""), k.signInBy(`{"link":"x"}`, header))
	}
	answers = append(answers, k.call(secret, "/v1/me", ""), k.call(secret, "/nothing", ""))

	for _, r := range answers {
		if r.status == http.StatusOK && strings.HasPrefix(r.body, `{"valid":false`) {
			continue // it was asked about, in the right place
		}
		nowhere(k, secret, "an answer", fmt.Sprint(r.status, r.header, r.body))
		k.logLine(r.header.Get("X-Request-Id"), "request")
	}
	nowhere(k, secret, "the log", k.log.String())
	nowhere(k, k.token, "the log", k.log.String())
	nowhere(k, secret, "the audit log", k.call("GET", "/v1/audit-log?limit=1000", "").ok(http.StatusOK).body)
	nowhere(k, secret, "the database", k.stored())
}

// nowhere fails the test where a good part of a secret, which is bad enough, is in text.
func nowhere(k *kit, secret, where, text string) {
	k.t.Helper()
	if at := strings.Index(text, secret[3:min(27, len(secret))]); at >= 0 {
		k.t.Errorf("the secret %s is in %s: %q", secret, where, text[max(0, at-100):min(len(text), at+100)])
	}
}

// stored returns all that is in the files of the database.
func (k *kit) stored() string {
	k.t.Helper()
	var all []byte
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(k.database + suffix)
		if err != nil {
			k.t.Fatal(err)
		}
		all = append(all, b...)
	}
	if !strings.Contains(string(all), "first@example.com") {
		k.t.Fatalf("%d bytes, and not what was stored", len(all))
	}
	return string(all)
}

// Where secrets belong they are used, and go nowhere else.
func TestTheSecretsOfAccountsAreNowhere(t *testing.T) {
	const first, second, guess = "correct horse battery", "another staple entirely", "a guess that is wrong"
	k := newKit(t, nil)
	var answers []reply
	secrets := []string{first, second, guess, k.token, k.first.Link.Reveal()}
	do := func(r reply) reply { answers = append(answers, r); return r }
	signIn := func(body string, headers ...string) string {
		t.Helper()
		r := k.signInBy(body, headers...).ok(http.StatusCreated)
		secrets = append(secrets, r.cookie(browser.SessionCookie), r.cookie(browser.DeviceCookie))
		cookies := k.begun(r) + "; " + browser.DeviceCookie + "=" + r.cookie(browser.DeviceCookie)
		r.header = nil // where they belong
		do(r)
		return cookies
	}
	byPassword := func(password string) string {
		return fmt.Sprintf(`{"email":"first@example.com","password":%q}`, password)
	}

	session := signIn(fmt.Sprintf(`{"link":%q}`, k.first.Link.Reveal()), "User-Agent: "+k.token)
	do(k.as(session, "PUT", "/v1/me/password", fmt.Sprintf(`{"new_password":%q}`, first)).ok(http.StatusNoContent))
	session = signIn(byPassword(first), session)
	do(k.signInBy(byPassword(guess), session).ok(http.StatusUnauthorized))
	do(k.as(session, "PUT", "/v1/me/password", fmt.Sprintf(`{"new_password":"short","current_password":%q}`, guess)).ok(http.StatusUnprocessableEntity))
	do(k.as(session, "PUT", "/v1/me/password", fmt.Sprintf(`{"new_password":%q,"current_password":%q}`, second, first)).ok(http.StatusNoContent))
	do(k.signInBy(fmt.Sprintf(`{"link":%q}`, k.first.Link.Reveal()), "User-Agent: "+k.first.Link.Reveal()).ok(http.StatusUnauthorized))
	var invited api.InvitedMember
	k.as(session, "POST", membersOfFirst, `{"email":"new@example.com","role":"viewer"}`).ok(http.StatusCreated).read(&invited)
	link := invited.SignInURL[strings.LastIndex(invited.SignInURL, "/")+1:]
	secrets = append(secrets, link)
	theirs := signIn(fmt.Sprintf(`{"link":%q}`, link))
	for _, path := range []string{"/v1/sessions", "/v1/me", "/v1/audit-log", "/v1/organizations", membersOfFirst} {
		do(k.as(session, "GET", path, "").ok(http.StatusOK))
	}
	do(k.as(theirs, "PATCH", "/v1/organizations/1", `{"organization_name":"x"}`).ok(http.StatusForbidden))
	do(k.as(theirs, "DELETE", "/v1/sessions/current", "").ok(http.StatusNoContent))
	do(k.as(theirs, "GET", "/v1/me", "").ok(http.StatusUnauthorized))

	for _, secret := range secrets {
		for _, r := range answers {
			nowhere(k, secret, "an answer", fmt.Sprint(r.status, r.header, r.body))
			if r.header != nil {
				k.logLine(r.header.Get("X-Request-Id"), "request")
			}
		}
		nowhere(k, secret, "the log", k.log.String())
		nowhere(k, secret, "the database", k.stored())
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
