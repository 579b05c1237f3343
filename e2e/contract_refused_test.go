package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

// The codes of the table of errors.
const (
	malformed       = api.CodeMalformedRequest
	unauthenticated = api.CodeUnauthenticated
	insufficient    = api.CodeInsufficientScope
	forbidden       = api.CodeForbidden
	notFound        = api.CodeNotFound
	notAllowed      = api.CodeMethodNotAllowed
	notAcceptable   = api.CodeNotAcceptable
	tooLarge        = api.CodeContentTooLarge
	unsupported     = api.CodeUnsupportedMediaType
	invalid         = api.CodeInvalid
)

const (
	keysPath  = "/v1/api-keys"
	goodDraft = `{"key_name":"x","key_scope":["READ"],"organization_id":1}`
)

// TestWhatIsRefused goes through the table of errors: every bad request gets the status and the code that the contract
// gives for it, with every fault of its body at its place, and nothing is done.
func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	w := serveWorld(t)
	member := fmt.Sprintf("%s/%d", keysPath, w.keys["member"].id)
	long := strings.Repeat("é", 101)
	deleted := w.deletedToken(t)
	for _, c := range []struct {
		name    string
		key     string // of the world; "": no credential
		method  string
		path    string
		body    string
		headers []string
		code    api.Code
		places  []string
	}{
		// 400: what cannot be understood.
		{"no JSON", "root", "POST", keysPath, "key_name=x", nil, malformed, nil},
		{"JSON that ends too early", "root", "POST", keysPath, goodDraft[:20], nil, malformed, nil},
		{"no body", "root", "POST", keysPath, "", []string{"Content-Type: application/json"}, malformed, nil},
		{"two values", "root", "POST", keysPath, goodDraft + goodDraft, nil, malformed, nil},
		{"a comma at the end", "root", "POST", keysPath, strings.Replace(goodDraft, "}", ",}", 1), nil, malformed, nil},
		{"a comment", "root", "POST", keysPath, goodDraft + "// x", nil, malformed, nil},
		{"bad UTF-8", "root", "POST", keysPath, strings.Replace(goodDraft, "x", "\xff", 1), nil, malformed, nil},
		{"half of a surrogate", "root", "POST", keysPath, strings.Replace(goodDraft, "x", `\ud800`, 1), nil, malformed, nil},
		{"a byte order mark", "root", "POST", keysPath, "\ufeff" + goodDraft, nil, malformed, nil},
		{"an unknown field", "root", "POST", keysPath, `{"name":"x",` + goodDraft[1:], nil, malformed, []string{"/name"}},
		{"a field in another case", "root", "POST", keysPath, `{"Enabled":true,` + goodDraft[1:], nil, malformed, []string{"/Enabled"}},
		{"a field of the answer", "root", "POST", keysPath, `{"key_id":9,"user_id":9,` + goodDraft[1:], nil, malformed, []string{"/key_id", "/user_id"}},
		{"a repeated field", "root", "POST", keysPath, `{"key_name":"y",` + goodDraft[1:], nil, malformed, []string{"/key_name"}},
		{"a repeated field further in", "root", "POST", keysPath, `{"metadata":{"a":{"b":1,"b":1}},` + goodDraft[1:], nil, malformed, []string{"/metadata/a/b"}},
		{"a key_id that is a word", "root", "GET", keysPath + "/first", "", nil, malformed, []string{"/key_id"}},
		{"a key_id that is too large", "root", "GET", keysPath + "/9223372036854775808", "", nil, malformed, []string{"/key_id"}},
		{"a key_id with a fraction", "root", "DELETE", keysPath + "/1.0", "", nil, malformed, []string{"/key_id"}},
		{"a bad cursor", "root", "GET", keysPath + "?cursor=2", "", nil, malformed, []string{"/cursor"}},
		{"an unknown parameter", "root", "GET", keysPath + "?page=2", "", nil, malformed, []string{"/page"}},
		{"a repeated parameter", "root", "GET", keysPath + "?limit=2&limit=2", "", nil, malformed, []string{"/limit"}},
		{"an unknown field of a patch", "root", "PATCH", member, `{"organization_id":2}`, nil, malformed, []string{"/organization_id"}},
		{"an unknown field of a rotation", "root", "POST", member + "/rotate", `{"grace":1}`, nil, malformed, []string{"/grace"}},

		// 401: no credential, or one that is no good.
		{"no credential", "", "GET", keysPath, "", nil, unauthenticated, nil},
		{"another scheme", "", "GET", keysPath, "", []string{"Authorization: Basic " + w.keys["root"].token}, unauthenticated, nil},
		{"no token", "", "GET", keysPath, "", []string{"Authorization: Bearer"}, unauthenticated, nil},
		{"what is no token", "", "GET", keysPath, "", []string{"Authorization: Bearer x"}, unauthenticated, nil},
		{"an unknown token", "", "GET", keysPath, "", []string{"Authorization: Bearer ak_0000000000000000000000000000000000000000000QNEN8O"}, unauthenticated, nil},
		{"a token with another checksum", "", "GET", keysPath, "", []string{"Authorization: Bearer " + w.keys["root"].token[:51] + "!"}, unauthenticated, nil},
		{"a token in another case", "", "GET", keysPath, "", []string{"Authorization: Bearer " + strings.ToUpper(w.keys["root"].token)}, unauthenticated, nil},
		{"a deleted key", "", "GET", keysPath, "", []string{"Authorization: Bearer " + deleted}, unauthenticated, nil},
		{"a disabled key", "disabled", "GET", keysPath, "", nil, unauthenticated, nil},
		{"an expired key", "expired", "GET", keysPath, "", nil, unauthenticated, nil},
		{"a disabled key in the other header", "", "GET", "/v1/me", "", []string{"X-API-Key: " + w.keys["disabled"].token}, unauthenticated, nil},
		{"two different tokens", "root", "GET", "/v1/me", "", []string{"X-API-Key: " + w.keys["member"].token}, unauthenticated, nil},
		{"two different bearers", "root", "GET", "/v1/me", "", []string{w.with("member")}, unauthenticated, nil},
		{"two different X-API-Keys", "", "GET", "/v1/me", "", []string{"X-API-Key: " + w.keys["root"].token, "X-API-Key: " + w.keys["member"].token}, unauthenticated, nil},
		{"a token in the query", "", "GET", "/v1/me?key=" + w.keys["root"].token, "", nil, unauthenticated, nil},

		// 403: a key that lacks the scope, a role that does not allow it.
		{"list without READ", "member, CREATE", "GET", keysPath, "", nil, insufficient, nil},
		{"look without READ, at what is there or not", "member, CREATE", "GET", keysPath + "/999", "", nil, insufficient, nil},
		{"create without CREATE", "member, READ", "POST", keysPath, goodDraft, nil, insufficient, nil},
		{"change without UPDATE", "member, READ", "PATCH", member, `{"enabled":false}`, nil, insufficient, nil},
		{"rotate without UPDATE", "member, READ", "POST", member + "/rotate", "", nil, insufficient, nil},
		{"delete without DELETE", "member, READ", "DELETE", member, "", nil, insufficient, nil},
		{"create with more than one has", "member", "POST", keysPath, strings.Replace(goodDraft, "READ", "MANAGE", 1), nil, insufficient, nil},
		{"widen beyond what one has", "member", "PATCH", member, `{"key_scope":["READ","MANAGE"]}`, nil, insufficient, nil},
		{"learn the token of a stronger key", "root without MANAGE", "POST", fmt.Sprintf("%s/%d/rotate", keysPath, w.keys["root"].id), "", nil, insufficient, nil},
		{"create beyond one's role", "demoted", "POST", keysPath, strings.Replace(goodDraft, "READ", "CREATE", 1), nil, forbidden, nil},

		// 404: what is not there, or not for the caller to see.
		{"no such path", "root", "GET", "/v1/keys", "", nil, notFound, nil},
		{"a slash at the end", "root", "GET", keysPath + "/", "", nil, notFound, nil},
		{"verify on the other listener", "root", "POST", "/v1/verify", `{"key":"x"}`, nil, notFound, nil},
		{"no such key", "root", "GET", keysPath + "/9223372036854775807", "", nil, notFound, nil},
		{"key 0", "root", "GET", keysPath + "/0", "", nil, notFound, nil},
		{"a key below 0", "root", "DELETE", keysPath + "/-1", "", nil, notFound, nil},
		{"another's key", "viewer", "GET", member, "", nil, notFound, nil},
		{"another's key to change", "demoted", "PATCH", member, `{"enabled":false}`, nil, notFound, nil},
		{"another's key to rotate", "demoted", "POST", member + "/rotate", "", nil, notFound, nil},
		{"another's key to delete", "demoted", "DELETE", member, "", nil, notFound, nil},
		{"a key of another organization", "stranger", "GET", member, "", nil, notFound, nil},
		{"an instance admin's key without MANAGE, elsewhere", "root without MANAGE", "GET", fmt.Sprintf("%s/%d", keysPath, w.keys["stranger"].id), "", nil, notFound, nil},
		{"the list of another organization", "stranger", "GET", keysPath + "?organization_id=1", "", nil, notFound, nil},

		// 405, 406, 413, 415.
		{"PUT", "root", "PUT", member, "{}", nil, notAllowed, nil},
		{"a method nobody knows", "root", "BREW", keysPath, "", nil, notAllowed, nil},
		{"only XML", "root", "GET", keysPath, "", []string{"Accept: application/xml"}, notAcceptable, nil},
		{"anything but JSON", "root", "GET", keysPath, "", []string{"Accept: */*, application/json;q=0"}, notAcceptable, nil},
		{"a body over 64 KiB", "root", "POST", keysPath, goodDraft + strings.Repeat(" ", 64<<10), nil, tooLarge, nil},
		{"a form", "root", "POST", keysPath, "key_name=x", []string{"Content-Type: application/x-www-form-urlencoded"}, unsupported, nil},
		{"text that would be JSON", "root", "POST", keysPath, goodDraft, []string{"Content-Type: text/plain"}, unsupported, nil},
		{"no type", "root", "POST", keysPath, goodDraft, []string{"Content-Type:"}, unsupported, nil},
		{"another character set", "root", "POST", keysPath, goodDraft, []string{"Content-Type: application/json; charset=utf-16"}, unsupported, nil},
		{"a compressed body", "root", "POST", keysPath, goodDraft, []string{"Content-Encoding: gzip"}, unsupported, nil},

		// 422: every fault at once, each at its place.
		{"nothing that is required", "root", "POST", keysPath, "{}", nil, invalid, []string{"/key_name", "/key_scope", "/organization_id"}},
		{"everything wrong", "root", "POST", keysPath, `{"key_name":7,"key_scope":["READ","read",5],"organization_id":"1","enabled":1,"expires_at":"tomorrow","metadata":[]}`, nil,
			invalid, []string{"/key_name", "/key_scope/1", "/key_scope/2", "/organization_id", "/enabled", "/expires_at", "/metadata"}},
		{"an empty name", "root", "POST", keysPath, strings.Replace(goodDraft, "x", ` \t `, 1), nil, invalid, []string{"/key_name"}},
		{"a name of 101 characters", "root", "POST", keysPath, strings.Replace(goodDraft, "x", long, 1), nil, invalid, []string{"/key_name"}},
		{"a name with a control character", "root", "POST", keysPath, strings.Replace(goodDraft, "x", `a\u0007b`, 1), nil, invalid, []string{"/key_name"}},
		{"no scope", "root", "POST", keysPath, strings.Replace(goodDraft, `"READ"`, "", 1), nil, invalid, []string{"/key_scope"}},
		{"null for a scope", "root", "POST", keysPath, strings.Replace(goodDraft, `["READ"]`, "null", 1), nil, invalid, []string{"/key_scope"}},
		{"an organization that does not exist", "root", "POST", keysPath, strings.Replace(goodDraft, ":1}", ":99}", 1), nil, invalid, []string{"/organization_id"}},
		{"an organization that one may not see", "member", "POST", keysPath, strings.Replace(goodDraft, ":1}", ":2}", 1), nil, invalid, []string{"/organization_id"}},
		{"organization 0", "root", "POST", keysPath, strings.Replace(goodDraft, ":1}", ":0}", 1), nil, invalid, []string{"/organization_id"}},
		{"an organization with a fraction", "root", "POST", keysPath, strings.Replace(goodDraft, ":1}", ":1.0}", 1), nil, invalid, []string{"/organization_id"}},
		{"an organization beyond 64 bits", "root", "POST", keysPath, strings.Replace(goodDraft, ":1}", ":9223372036854775808}", 1), nil, invalid, []string{"/organization_id"}},
		{"an expiry in the past", "root", "POST", keysPath, `{"expires_at":"2001-01-01T00:00:00Z",` + goodDraft[1:], nil, invalid, []string{"/expires_at"}},
		{"an expiry without a zone", "root", "POST", keysPath, `{"expires_at":"2999-01-01T00:00:00",` + goodDraft[1:], nil, invalid, []string{"/expires_at"}},
		{"metadata of more than 4 KiB", "root", "POST", keysPath, `{"metadata":{"a":"` + strings.Repeat("x", 4096) + `"},` + goodDraft[1:], nil, invalid, []string{"/metadata"}},
		{"a name that is cleared", "root", "PATCH", member, `{"key_name":null}`, nil, invalid, []string{"/key_name"}},
		{"a grace below 0", "root", "POST", member + "/rotate", `{"grace_seconds":-1}`, nil, invalid, []string{"/grace_seconds"}},
		{"a page of 0", "root", "GET", keysPath + "?limit=0", "", nil, invalid, []string{"/limit"}},
		{"a page of 1001", "root", "GET", keysPath + "?limit=1001&enabled=yes&scope=read", "", nil, invalid, []string{"/limit", "/enabled", "/scope"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := w.manage(t, c.key, c.method, c.path, c.body, c.headers...)
			p := a.refused(c.code, c.places...)
			if t.Failed() {
				return
			}
			line := w.logged(t, p.RequestID)
			if line["status"] != float64(a.status) || line["code"] != string(c.code) || line["listener"] != "management" {
				t.Errorf("the log has %v", line)
			}
			if c.code == unauthenticated {
				// Where no credential was sent, the challenge names no error.
				none := strings.HasPrefix(c.name, "no credential") || strings.HasPrefix(c.name, "another scheme") || strings.Contains(c.name, "in the query")
				if got := strings.Contains(a.header.Get("WWW-Authenticate"), "error="); got == none && c.name != "no token" {
					t.Errorf("WWW-Authenticate: %s", a.header.Get("WWW-Authenticate"))
				}
			}
		})
	}

	// None of it has done anything.
	for name, k := range w.keys {
		want := api.VerifyValid
		switch name {
		case "disabled", "expired and disabled":
			want = api.VerifyDisabled
		case "expired":
			want = api.VerifyExpired
		}
		if got, err := w.verifier().Verify(t.Context(), api.VerifyRequest{Key: k.token}); err != nil || got.Code != want {
			t.Errorf("%s: %+v, %v, want %s", name, got, err, want)
		}
	}
	var list []api.Key
	if w.manage(t, "root", "GET", keysPath+"?organization_id=1", "").is(http.StatusOK).into(&list); len(list) != len(keysOf) {
		t.Errorf("there are %d keys, %d were there in the beginning", len(list), len(keysOf)) // the first key takes the stranger's place
	}
	w.stop()
}

// deletedToken makes a key and deletes it.
func (w *world) deletedToken(t *testing.T) string {
	t.Helper()
	var k api.CreatedKey
	w.manage(t, "root", "POST", keysPath, goodDraft).is(http.StatusCreated).into(&k)
	w.manage(t, "root", "DELETE", fmt.Sprintf("%s/%d", keysPath, k.KeyID), "").is(http.StatusNoContent)
	return k.Token
}

// TestAllow names the methods of each path in the answer to a wrong one.
func TestAllow(t *testing.T) {
	t.Parallel()
	w := serveWorld(t)
	for path, want := range map[string]string{
		keysPath:                  "GET, HEAD, POST",
		keysPath + "/1":           "DELETE, GET, HEAD, PATCH",
		keysPath + "/1/rotate":    "POST",
		organizationsPath:         "GET, HEAD, POST",
		organizationsPath + "/1":  "DELETE, GET, HEAD, PATCH",
		membersPath(1):            "GET, HEAD, POST",
		memberPath(1, 1):          "DELETE, GET, HEAD, PATCH",
		sessionsPath:              "GET, HEAD, POST",
		sessionsPath + "/1":       "DELETE",
		sessionsPath + "/current": "DELETE",
		signInLinksPath:           "POST",
		passwordPath:              "PUT",
		auditPath:                 "GET, HEAD",
		"/v1/me":                  "GET, HEAD",
		"/openapi.json":           "GET, HEAD",
		"/docs":                   "GET, HEAD",
	} {
		a := w.manage(t, "", "TRACE", path, "")
		a.refused(notAllowed)
		if got := a.header.Get("Allow"); got != want {
			t.Errorf("%s: Allow: %s, want %s", path, got, want)
		}
	}
	for path, want := range map[string]string{"/v1/verify": "POST", "/v1/verify/batch": "POST", "/livez": "GET, HEAD", "/readyz": "GET, HEAD", "/metrics": "GET, HEAD"} {
		a := w.question(t, "PATCH", path, "")
		a.refused(notAllowed)
		if got := a.header.Get("Allow"); got != want {
			t.Errorf("%s: Allow: %s, want %s", path, got, want)
		}
	}
	w.stop()
}
