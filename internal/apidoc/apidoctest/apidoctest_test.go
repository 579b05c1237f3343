package apidoctest

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/internal/apidoc"
)

// complaints is a testing.TB that remembers what was reported.
type complaints struct {
	testing.TB
	all []string
}

func (c *complaints) Helper()                   {}
func (c *complaints) Errorf(f string, a ...any) { c.all = append(c.all, fmt.Sprintf(f, a...)) }

// canned is a server that gives one answer.
type canned struct {
	status int
	header http.Header
	body   string
}

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: c.status, Header: c.header.Clone(), Request: r,
		Body: io.NopCloser(strings.NewReader(c.body))}, nil
}

// with returns the answer with some headers changed: "Name: value" sets, "Name:" removes.
func (c canned) with(changes ...string) canned {
	c.header = c.header.Clone()
	for _, change := range changes {
		name, text, _ := strings.Cut(change, ":")
		if text = strings.TrimSpace(text); text == "" {
			c.header.Del(name)
		} else {
			c.header.Set(name, text)
		}
	}
	return c
}

func (c canned) replaced(pairs ...string) canned {
	c.body = strings.NewReplacer(pairs...).Replace(c.body)
	return c
}

const (
	secret    = "ThisIsAnExampleAndNoRealSecretOfALink000000"
	requestID = "k3v7qd2mwp5raaaaaaaaabc"
	keyJSON   = `{"key_id":17,"key_name":"Backend","key_scope":["READ"],"organization_id":432,"user_id":3,"key_hint":"ak_0Thi…NLg8",` +
		`"enabled":true,"expires_at":null,"last_used_at":null,"created_at":"2026-11-22T18:54:03.120Z",` +
		`"updated_at":"2026-11-22T18:54:03.120Z","metadata":{"team":{"name":"billing"}},` +
		`"limits":[],"quota":null,"allowed_cidrs":[]}`
)

func answer(status int, contentType, body string, headers ...string) canned {
	h := http.Header{}
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Request-Id", requestID)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Date", "Sun, 22 Nov 2026 18:54:03 GMT")
	h.Set("Content-Length", fmt.Sprint(len(body)))
	return canned{status, h, body}.with(headers...)
}

func problem(status int, code string, headers ...string) canned {
	return answer(status, "application/problem+json", fmt.Sprintf(`{"type":"about:blank","title":%q,"status":%d,"detail":"what is right",`+
		`"code":%q,"request_id":%q}`, http.StatusText(status), status, code, requestID), headers...)
}

// What is as described passes, and what is not is found: a check that cannot fail would be worth nothing.
func TestRecorder(t *testing.T) {
	key := answer(200, "application/json", keyJSON)
	created := answer(201, "application/json", strings.TrimSuffix(keyJSON, "}")+
		`,"key":"ak_0ThisIsAnExampleAndNoRealToken00000000000001ANLg8"}`, "Location: /v1/api-keys/17")
	valid := answer(200, "application/json", `{"valid":true,"code":"VALID","key_id":17,"key_name":"B","key_scope":["READ"],`+
		`"organization_id":432,"user_id":3,"expires_at":"2027-11-22T18:54:03.120Z","metadata":{"a":[{"b":1}]}}`, "Cache-Control:")
	gone := answer(204, "", "", "Content-Type:", "Content-Length:")
	signedIn := answer(201, "application/json", `{"session_id":88,"user_id":3,"method":"link","current":true,"ip":"","user_agent":"",`+
		`"created_at":"2026-11-22T18:54:03.120Z","last_used_at":"2026-11-22T18:54:03.120Z","expires_at":"2026-11-22T18:54:03.120Z"}`,
		"Set-Cookie: __Host-apikeyd="+secret+"; Path=/; Expires=Mon, 30 Nov 2026 08:01:30 GMT; HttpOnly; Secure; SameSite=Lax")
	signedIn.header.Add("Set-Cookie", "__Host-apikeyd-device="+secret+"; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax")
	const link = `{"link":"` + secret + `"}`
	entries := answer(200, "application/json", `[{"audit_id":1,"occurred_at":"2026-11-22T18:54:03.120Z","actor":{"user_id":null,"key_id":null,`+
		`"session_id":null},"action":"key.update","target":{"type":"key","id":17},"organization_id":null,"ip":"","request_id":"",`+
		`"outcome":"success","before":{"enabled":true},"after":{"enabled":false},"hash":"`+strings.Repeat("0", 64)+
		`","previous_hash":"`+strings.Repeat("0", 64)+`"}]`)
	const draft = `{"key_name":"Backend","key_scope":["READ"],"organization_id":432}`
	const question = `{"key":"x"}`

	for _, c := range []struct {
		name    string
		request string // METHOD path
		body    string
		answer  canned
		want    string // part of the complaint; "": none
	}{
		{"an answer as described", "GET /v1/api-keys/17", "", key, ""},
		{"a list", "GET /v1/api-keys?limit=1", "", answer(200, "application/json", "["+keyJSON+"]",
			`Link: </v1/api-keys?cursor=AQAAAAAAAAAR&limit=1>; rel="next"`), ""},
		{"a created key", "POST /v1/api-keys", draft, created, ""},
		{"no body", "DELETE /v1/api-keys/17", "", gone, ""},
		{"a check", "POST /v1/verify", question, valid, ""},
		{"a check that finds nothing", "POST /v1/verify", question, answer(200, "application/json", `{"valid":false,"code":"NOT_FOUND"}`, "Cache-Control:"), ""},
		{"a batch", "POST /v1/verify/batch", `{"requests":[]}`, answer(200, "application/json", `{"results":[`+valid.body+`]}`, "Cache-Control:"), ""},
		{"HEAD", "HEAD /v1/api-keys/17", "", answer(200, "application/json", ""), ""},
		{"a sign-in", "anonymous POST /v1/sessions", link, signedIn, ""},
		{"a password", "signed-in PUT /v1/me/password", `{"new_password":"plain violet harbour mist"}`, gone, ""},
		{"whatever has changed", "GET /v1/audit-log", "", entries, ""},
		{"a refusal of a request that is not described", "POST /v1/api-keys?x=1", `[`, problem(400, "malformed_request"), ""},
		{"a form", "anonymous POST /introspect", "token=x", answer(200, "application/json", `{"active":false}`), ""},
		{"parameters that are no strings", "GET /v1/api-keys?enabled=true&organization_id=432", "", answer(200, "application/json", "[]"), ""},
		{"a wrong method", "PUT /v1/api-keys", "", problem(405, "method_not_allowed", "Allow: GET, HEAD, POST"), ""},
		{"a wrong path", "GET /v2", "", problem(404, "not_found"), ""},
		{"HEAD of a wrong path", "HEAD /v2", "", answer(404, "application/problem+json", ""), ""},

		{"a path that is not described", "GET /v2", "", key, "the path is not described"},
		{"a problem that is none at a wrong path", "GET /v2", "", answer(404, "text/plain", "no"), "text/plain"},
		{"a method that is not described", "PUT /v1/me", "", key, "the method is not described"},
		{"another Allow", "PUT /v1/me", "", problem(405, "method_not_allowed", "Allow: GET"), `Allow is "GET"`},
		{"a status that is not described", "GET /v1/api-keys/17", "", problem(409, "conflict"), "409"},
		{"a status that another operation has", "GET /v1/me", "", problem(404, "not_found"), "404"},
		{"a status of HEAD that is not described", "HEAD /v1/me", "", answer(404, "application/problem+json", ""), "not described"},
		{"a code that goes with another status", "GET /v1/me", "", problem(401, "not_found", `WWW-Authenticate: Bearer realm="apikeyd"`), "unauthenticated"},
		{"a media type that is not described", "GET /v1/api-keys/17", "", key.with("Content-Type: text/html"), "text/html"},
		{"a missing field", "GET /v1/api-keys/17", "", key.replaced(`"user_id":3,`, ``), "user_id"},
		{"a field that is not described", "GET /v1/api-keys/17", "", key.replaced(`"user_id":3,`, `"user_id":3,"owner":3,`), "owner"},
		{"a field too many in a list", "GET /v1/api-keys", "", answer(200, "application/json",
			"["+key.replaced(`"user_id":3,`, `"user_id":3,"owner":3,`).body+"]"), "owner"},
		{"a field too many beside those of another schema", "POST /v1/api-keys", draft, created.replaced(`"user_id":3,`, `"user_id":3,"owner":3,`), "/owner"},
		{"a field too many further down", "GET /v1/api-keys/17", "", key.replaced(`"quota":null`, `"quota":{"requests":1,"period":null,"remaining":1,"owner":3}`), "/quota/owner"},
		{"a token in an answer that has none", "GET /v1/api-keys/17", "", canned{200, key.header, created.body}, "key"},
		{"a time without milliseconds", "GET /v1/api-keys/17", "", key.replaced(`03.120Z`, `03Z`), "created_at"},
		{"a time that is none", "GET /v1/api-keys/17", "", key.replaced(`2026-11-22`, `2026-13-22`), "created_at"},
		{"a scope in lower case", "GET /v1/api-keys/17", "", key.replaced(`READ`, `read`), "key_scope"},
		{"a scope twice", "GET /v1/api-keys/17", "", key.replaced(`"READ"`, `"READ","READ"`), "key_scope"},
		{"an id of zero", "GET /v1/api-keys/17", "", key.replaced(`"key_id":17`, `"key_id":0`), "key_id"},
		{"a token of another form", "POST /v1/api-keys", draft, created.replaced("NLg8\"}", "NLg\"}"), "pattern"},
		{"a missing header", "POST /v1/api-keys", draft, created.with("Location:"), "Location"},
		{"a missing header of HEAD", "HEAD /v1/api-keys/17", "", answer(200, "application/json", "", "X-Request-Id:"), "X-Request-Id"},
		{"another value of a header", "POST /v1/api-keys", draft, created.with("Cache-Control: public"), "no-store"},
		{"a header that is not described", "GET /v1/api-keys/17", "", key.with("X-Powered-By: love"), "X-Powered-By"},
		{"a cookie", "GET /v1/api-keys/17", "", key.with("Set-Cookie: a=b"), "Set-Cookie"},
		{"a cookie of another form", "anonymous POST /v1/sessions", link, signedIn.with("Set-Cookie: a=b"), "Set-Cookie"},
		{"a cookie that scripts see", "anonymous POST /v1/sessions", link, signedIn.with("Set-Cookie: " + strings.Replace(signedIn.header.Get("Set-Cookie"), "HttpOnly; ", "", 1)), "Set-Cookie"},
		{"an action that nobody knows", "GET /v1/audit-log", "", entries.replaced("key.update", "key.borrow"), "action"},
		{"a body where none is described", "DELETE /v1/api-keys/17", "", canned{204, gone.header, "x"}, "1 bytes"},
		{"a body for HEAD", "HEAD /v1/api-keys/17", "", key, "HEAD has a body"},
		{"no JSON", "GET /v1/api-keys/17", "", key.replaced(`{"key_id"`, `{key_id`), "decoded"},
		{"more than the outcome with NOT_FOUND", "POST /v1/verify", question, valid.replaced(`true,"code":"VALID"`, `false,"code":"NOT_FOUND"`), "maxProperties"},
		{"less than everything with VALID", "POST /v1/verify", question, valid.replaced(`"user_id":3,`, ``), "minProperties"},

		{"success for a field that is not described", "POST /v1/api-keys", `{"key_name":"B","key_scope":["READ"],"organization_id":432,"owner":1}`, created, "the request"},
		{"success without a required field", "POST /v1/api-keys", `{"key_scope":["READ"],"organization_id":432}`, created, "key_name"},
		{"success for a name that is too long", "POST /v1/api-keys", strings.Replace(draft, "Backend", strings.Repeat("x", 101), 1), created, "key_name"},
		{"success without a credential", "anonymous GET /v1/api-keys/17", "", key, "the request"},
		{"success for a key where a session is wanted", "DELETE /v1/sessions/88", "", gone, "the request"},
		{"success for a session where a credential will do", "signed-in GET /v1/api-keys/17", "", key, ""},
		{"success with a link beside a password", "anonymous POST /v1/sessions", strings.Replace(link, "}", `,"email":"a@example.com","password":"x"}`, 1), signedIn, "oneOf"},
		{"success with a query parameter that is not described", "GET /v1/api-keys/17?verbose=1", "", key, "verbose"},
		{"success with a query parameter twice", "GET /v1/api-keys?limit=1&limit=2", "", answer(200, "application/json", "[]"), "2 times"},
		{"success with a boolean that is none", "GET /v1/api-keys?enabled=1", "", answer(200, "application/json", "[]"), "enabled"},
		{"success without a header that is required", "anonymous POST /v1/leaked/github", "[]", answer(200, "application/json", "[]"), "Github-Public-Key-Identifier is missing"},
		{"success without a body", "POST /v1/api-keys", "", created, "the body is missing"},
		{"success with a body where none is described", "DELETE /v1/api-keys/17", "{}", gone, "2 bytes"},
		{"success with a body of another media type", "anonymous POST /v1/sessions", "link=" + secret, signedIn, "x-www-form-urlencoded"},
		{"success with a form that has a field twice", "anonymous POST /introspect", "token=x&token=y", answer(200, "application/json", `{"active":false}`), "2 times"},
		{"success with a limit that is too high", "GET /v1/api-keys?limit=1001", "", answer(200, "application/json", "[]"), "limit"},
		{"success with a key_id that is none", "GET /v1/api-keys/x", "", key, "key_id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := &complaints{TB: t}
			r := New(found)
			send(t, r.Transport(c.answer), c.request, c.body)
			all := strings.Join(found.all, "\n")
			if c.want == "" && all != "" || !strings.Contains(all, c.want) {
				t.Errorf("complaints: %q, want one with %q", all, c.want)
			}
		})
	}
}

func send(t *testing.T, transport http.RoundTripper, request, body string) string {
	t.Helper()
	request, anonymous := strings.CutPrefix(request, "anonymous ")
	request, signedIn := strings.CutPrefix(request, "signed-in ")
	method, path, _ := strings.Cut(request, " ")
	r, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:1"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Body = io.NopCloser(strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if !strings.ContainsAny(body, "[{") {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	}
	switch {
	case signedIn:
		r.Header.Set("Cookie", "__Host-apikeyd="+secret)
	case !anonymous:
		r.Header.Set("Authorization", "Bearer x")
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	received, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(received)
}

func TestRecorderHandsBodiesOn(t *testing.T) {
	var sent string
	r := New(t)
	got := send(t, r.Transport(roundTripper(func(req *http.Request) (*http.Response, error) {
		b, err := io.ReadAll(req.Body)
		sent = string(b)
		if err != nil {
			return nil, err
		}
		return problem(400, "malformed_request").RoundTrip(req)
	})), "POST /v1/api-keys", "{}")
	if want := problem(400, "malformed_request").body; sent != "{}" || got != want {
		t.Errorf("sent %q, received %q", sent, got)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestUnseen(t *testing.T) {
	r := New(t)
	before := len(r.Unseen())
	if before < 100 {
		t.Fatalf("only %d answers are described", before)
	}
	send(t, r.Transport(problem(405, "method_not_allowed", "Allow: DELETE, GET, HEAD, PATCH")), "POST /v1/api-keys/17", "")
	send(t, r.Transport(answer(200, "application/json", keyJSON)), "GET /v1/api-keys/17", "")
	if after := len(r.Unseen()); after != before-4 { // three methods of the path, and one success
		t.Errorf("%d answers unseen of %d", after, before)
	}
	if first := r.Unseen()[0].String(); first != "listKeys 200" {
		t.Errorf("first is %s", first)
	}
}

// What the examples of problems say is what servers say.
func TestUnsaid(t *testing.T) {
	r := New(t)
	const first, second = "must be one of READ, CREATE, UPDATE, DELETE, MANAGE", "the body must be at most 64 KiB long"
	before, err := r.Unsaid()
	if err != nil || !slices.Contains(before, first) || !slices.Contains(before, second) {
		t.Fatalf("unsaid: %q, error %v", before, err)
	}
	faulty := problem(422, "invalid").replaced(`"detail"`, `"errors":[{"pointer":"/key_scope","detail":"`+first+`"}],"detail"`)
	send(t, r.Transport(faulty), "POST /v1/api-keys", "{}")
	send(t, r.Transport(problem(413, "content_too_large").replaced("what is right", second)), "POST /v1/api-keys", "{}")
	after, err := r.Unsaid()
	if err != nil || slices.Contains(after, first) || slices.Contains(after, second) || len(after) == 0 {
		t.Errorf("unsaid: %q, error %v", after, err)
	}
}

// A document that is none is refused: what is not understood would be held against nothing.
func TestBrokenDocuments(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"a schema that is none":             {`"type": "integer"`, `"type": "int"`, "schema at"},
		"a pattern that is none":            {`"pattern": "^`, `"pattern": "(^`, "schema at"},
		"no schema":                         {`"schema": {"type": "boolean"}`, `"x-schema": {"type": "boolean"}`, "has no schema"},
		"a schema that is not there":        {`"#/components/schemas/Scope"`, `"#/components/schemas/Skope"`, "Skope"},
		"a schema of another document":      {`"#/components/schemas/Scope"`, `"other.json#/Scope"`, "other.json"},
		"a parameter that is not there":     {`"#/components/parameters/Limit"`, `"#/components/parameters/None"`, "parameters/None"},
		"a response that is not there":      {`"#/components/responses/Invalid"`, `"#/components/responses/None"`, "responses/None"},
		"a header that is not there":        {`"#/components/headers/Location"`, `"#/components/headers/None"`, "headers/None"},
		"something else where an object is": {`"headers": {`, `"headers": [], "x-headers": {`, "an object is wanted"},
	} {
		t.Run(name, func(t *testing.T) {
			broken := strings.ReplaceAll(string(apidoc.Document()), c.old, c.new)
			if _, err := newDescription([]byte(broken)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}
