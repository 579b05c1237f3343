package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/secret"
)

func TestPathsAndMethods(t *testing.T) {
	k := newKit(t, nil)
	for _, c := range []struct {
		base, method, path string
		code               api.Code
		allow              string
	}{
		{k.management.URL, "GET", "/", api.CodeNotFound, ""},
		{k.management.URL, "GET", "/v1", api.CodeNotFound, ""},
		{k.management.URL, "GET", "/v1/api-keys/", api.CodeNotFound, ""},
		{k.management.URL, "GET", "/v1//api-keys", api.CodeNotFound, ""},
		{k.management.URL, "GET", "/v1/../v1/api-keys", api.CodeNotFound, ""},
		{k.management.URL, "GET", "/V1/api-keys", api.CodeNotFound, ""},
		{k.management.URL, "GET", "/v1/api-keys/1/", api.CodeNotFound, ""},
		{k.management.URL, "POST", "/v1/api-keys/1/rotate/", api.CodeNotFound, ""},
		{k.management.URL, "POST", "/v1/verify", api.CodeNotFound, ""},
		{k.management.URL, "GET", "/livez", api.CodeNotFound, ""},
		{k.management.URL, "GET", "/metrics", api.CodeNotFound, ""},
		{k.management.URL, "PUT", "/v1/api-keys", api.CodeMethodNotAllowed, "GET, HEAD, POST"},
		{k.management.URL, "OPTIONS", "/v1/api-keys", api.CodeMethodNotAllowed, "GET, HEAD, POST"},
		{k.management.URL, "get", "/v1/api-keys", api.CodeMethodNotAllowed, "GET, HEAD, POST"},
		{k.management.URL, "POST", "/v1/api-keys/1", api.CodeMethodNotAllowed, "DELETE, GET, HEAD, PATCH"},
		{k.management.URL, "PUT", "/v1/api-keys/x", api.CodeMethodNotAllowed, "DELETE, GET, HEAD, PATCH"},
		{k.management.URL, "GET", "/v1/api-keys/1/rotate", api.CodeMethodNotAllowed, "POST"},
		{k.management.URL, "POST", "/v1/me", api.CodeMethodNotAllowed, "GET, HEAD"},
		{k.management.URL, "POST", "/docs", api.CodeMethodNotAllowed, "GET, HEAD"},
		{k.management.URL, "PUT", "/v1/organizations", api.CodeMethodNotAllowed, "GET, HEAD, POST"},
		{k.management.URL, "POST", "/v1/organizations/1", api.CodeMethodNotAllowed, "DELETE, GET, HEAD, PATCH"},
		{k.management.URL, "DELETE", "/v1/organizations/1/members", api.CodeMethodNotAllowed, "GET, HEAD, POST"},
		{k.management.URL, "PUT", "/v1/organizations/1/members/1", api.CodeMethodNotAllowed, "DELETE, GET, HEAD, PATCH"},
		{k.management.URL, "DELETE", "/v1/sessions", api.CodeMethodNotAllowed, "GET, HEAD, POST"},
		{k.management.URL, "GET", "/v1/sessions/1", api.CodeMethodNotAllowed, "DELETE"},
		{k.management.URL, "GET", "/v1/sessions/current", api.CodeMethodNotAllowed, "DELETE"},
		{k.management.URL, "GET", "/v1/sign-in-links", api.CodeMethodNotAllowed, "POST"},
		{k.management.URL, "PATCH", "/v1/me/password", api.CodeMethodNotAllowed, "PUT"},
		{k.management.URL, "DELETE", "/v1/audit-log", api.CodeMethodNotAllowed, "GET, HEAD"},
		{k.management.URL, "GET", "/v1/audit-log/1", api.CodeNotFound, ""},
		{k.management.URL, "GET", "/v1/organizations/1/members/", api.CodeNotFound, ""},
		{k.management.URL, "GET", "/v1/organizations//members", api.CodeNotFound, ""},
		{k.management.URL, "GET", "/v1/organizations/1/members/1/x", api.CodeNotFound, ""},
		{k.service.URL, "GET", "/v1/verify", api.CodeMethodNotAllowed, "POST"},
		{k.service.URL, "PUT", "/v1/verify/batch", api.CodeMethodNotAllowed, "POST"},
		{k.service.URL, "POST", "/v1/verify/", api.CodeNotFound, ""},
		{k.service.URL, "POST", "/livez", api.CodeMethodNotAllowed, "GET, HEAD"},
		{k.service.URL, "GET", "/v1/api-keys", api.CodeNotFound, ""},
	} {
		// Neither a credential nor an acceptable answer is looked for where there is nothing.
		r := k.send(c.base, c.method, c.path, "", []string{"Accept: text/html"})
		r.problem(c.code)
		if got := r.header.Get("Allow"); got != c.allow {
			t.Errorf("%s %s: Allow: %s, want %s", c.method, c.path, got, c.allow)
		}
	}
}

func TestWhatIsJudgedFirst(t *testing.T) {
	k := newKit(t, nil)
	large := `{"x":"` + strings.Repeat("x", maxBody) + `"}`
	const nobody, html, form, path = "Authorization:", "Accept: text/html", "Content-Type: text/plain", "/v1/api-keys"
	k.call("PUT", path, large, nobody, html, form).problem(api.CodeMethodNotAllowed)
	k.call("POST", path, large, nobody, html, form).problem(api.CodeUnauthenticated)
	k.call("POST", path, large, html, form).problem(api.CodeNotAcceptable)
	k.call("POST", path, large, form).problem(api.CodeUnsupportedMediaType)
	k.call("POST", path, large).problem(api.CodeContentTooLarge)
	k.call("POST", path, large[:100]).problem(api.CodeMalformedRequest)
	k.call("PATCH", path+"/99", `{"enabled":1}`).problem(api.CodeInvalid)
	k.call("PATCH", path+"/99", `{"enabled":true}`).problem(api.CodeNotFound)

	// To sign in, no credential is judged, but where the request comes from is, before what it says.
	const signIn, elsewhere = "/v1/sessions", "Sec-Fetch-Site: cross-site"
	k.call("POST", signIn, large, "Authorization: Bearer nonsense", html, form, elsewhere).problem(api.CodeNotAcceptable)
	k.call("POST", signIn, large, nobody, form, elsewhere).problem(api.CodeUnsupportedMediaType)
	k.call("POST", signIn, "{", nobody, elsewhere).problem(api.CodeForbidden)
	k.call("POST", signIn, "{", nobody).problem(api.CodeMalformedRequest)
	session := k.session("first@example.com")
	k.as(session, "PUT", "/v1/me/password", "{", html, form, elsewhere).problem(api.CodeForbidden)
	for path, with := range map[string][]string{"/v1/organizations": nil, membersOfFirst: nil, "/v1/sessions": {session}, "/v1/audit-log": nil} {
		k.call("GET", path, "", append(with, html)...).problem(api.CodeNotAcceptable)
	}

	// An answer without a body has no type to rule out.
	k.create(valid)
	k.call("DELETE", path+"/2", "", html).ok(http.StatusNoContent)
}

func TestBodiesThatNeedNoType(t *testing.T) {
	k := newKit(t, nil)
	const path = "/v1/api-keys/1/rotate"
	var key api.CreatedKey
	k.call("POST", path, "", "Content-Type: application/x-www-form-urlencoded").ok(http.StatusOK).read(&key) // curl -d ''
	k.token = key.Token
	k.chunked(path, "", "").ok(http.StatusOK).read(&key)
	k.token = key.Token
	k.call("POST", path, "{}", "Content-Type:").problem(api.CodeUnsupportedMediaType)
	k.chunked(path, "{}", "").problem(api.CodeUnsupportedMediaType)
	k.call("POST", "/v1/api-keys", "", "Content-Type:").problem(api.CodeMalformedRequest)
}

// chunked sends a body whose length is not announced.
func (k *kit) chunked(path, body, contentType string) reply {
	k.t.Helper()
	req, err := http.NewRequest("POST", k.management.URL+path, io.MultiReader(strings.NewReader(body)))
	if err != nil {
		k.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+k.token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return roundTrip(k.t, req)
}

func TestSizeOfBodies(t *testing.T) {
	k := newKit(t, nil)
	fits := valid + strings.Repeat(" ", maxBody-len(valid))
	for _, c := range []struct {
		body string
		ok   bool
	}{{fits, true}, {fits + " ", false}, {fits + fits, false}} {
		announced, chunked := k.call("POST", "/v1/api-keys", c.body), k.chunked("/v1/api-keys", c.body, "application/json")
		for _, r := range []reply{announced, chunked} {
			if c.ok {
				r.ok(http.StatusCreated)
			} else if p := r.problem(api.CodeContentTooLarge); !strings.Contains(p.Detail, "64 KiB") {
				t.Errorf("detail %q", p.Detail)
			}
		}
	}
	question := fmt.Sprintf(`{"requests":[{"key":%q}]}`, k.token)
	k.ask("POST", "/v1/verify/batch", question+strings.Repeat(" ", maxBatchBody-len(question))).ok(http.StatusOK)
	k.ask("POST", "/v1/verify/batch", question+strings.Repeat(" ", maxBatchBody-len(question)+1)).problem(api.CodeContentTooLarge)
}

// A client that announces a body and goes away, or sends a broken one, does no harm.
func TestBrokenBodies(t *testing.T) {
	k := newKit(t, nil)
	head := "POST /v1/api-keys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + k.token + "\r\nContent-Type: application/json\r\n"
	for _, rest := range []string{"Content-Length: 100\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\nzz\r\n"} {
		conn, err := net.Dial("tcp", k.management.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, head+rest)
		conn.(*net.TCPConn).CloseWrite()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		reply{t, resp.StatusCode, resp.Header, string(b)}.problem(api.CodeMalformedRequest)
		conn.Close()
	}
}

func TestWithoutTheStore(t *testing.T) {
	k := newKit(t, nil)
	uncached := k.createWith(`["READ"]`)
	k.call("GET", "/v1/me", "").ok(http.StatusOK)
	session := k.session("first@example.com")
	k.store.Close()
	answers := map[string]reply{
		"use case":             k.call("GET", "/v1/me", ""),
		"change":               k.call("POST", "/v1/api-keys", valid),
		"credential":           k.call("GET", "/v1/me", "", "Authorization: Bearer "+uncached.Token),
		"check":                k.ask("POST", "/v1/verify", fmt.Sprintf(`{"key":%q}`, uncached.Token)),
		"organizations":        k.call("GET", "/v1/organizations", ""),
		"members":              k.call("POST", membersOfFirst, `{"email":"x@example.com","role":"viewer"}`),
		"audit log":            k.call("GET", "/v1/audit-log", ""),
		"session":              k.as(session, "GET", "/v1/me", ""),
		"link":                 k.signInBy(fmt.Sprintf(`{"link":%q}`, secret.New().Reveal())),
		"password":             k.signInBy(`{"email":"first@example.com","password":"x"}`),
		"one check of a batch": k.ask("POST", "/v1/verify/batch", fmt.Sprintf(`{"requests":[{"key":%q},{"key":%q}]}`, k.token, uncached.Token)),
		"readyz":               k.ask("GET", "/readyz", ""),
	}
	for name, r := range answers {
		p := r.problem(api.CodeUnavailable)
		if r.header.Get("Retry-After") != "1" || strings.Contains(r.body, "closed") {
			t.Errorf("%s: Retry-After %q, %s", name, r.header.Get("Retry-After"), r.body)
		}
		if !strings.Contains(k.logLine(p.RequestID, "request failed"), "closed") {
			t.Errorf("%s: the cause is not in the log", name)
		}
	}
	// What is cached is answered all the same, and the process is alive.
	if got := k.verifies(k.token); got != api.VerifyValid {
		t.Errorf("a cached key is %s", got)
	}
	k.ask("GET", "/livez", "").ok(http.StatusOK)
}

func TestReadiness(t *testing.T) {
	var ready error
	k := newKit(t, func(o *Options) { o.Ready = func(context.Context) error { return ready } })
	k.ask("GET", "/readyz?verbose", "", "Accept: text/plain").ok(http.StatusOK)
	for _, c := range []struct {
		err    error
		detail string
	}{
		{ErrDraining, "the server is shutting down"},
		{&NotReady{Reason: "the schema is newer", Err: errors.New("private")}, "the schema is newer"},
		{errors.New("dial postgres://user:private@db"), "the server is not ready; its log says why"},
	} {
		ready = c.err
		if p := k.ask("GET", "/readyz", "").problem(api.CodeUnavailable); p.Detail != c.detail {
			t.Errorf("%v: %q", c.err, p.Detail)
		}
	}
	k.ask("GET", "/livez", "").ok(http.StatusOK)
}

// serveAlone serves one handler on a server of ours and returns its answer to GET /.
func (k *kit) serveAlone(o Options, h http.HandlerFunc, ctx context.Context) (r reply, aborted bool) {
	k.t.Helper()
	s := newServer(o, "test", []route{{method: "GET", pattern: "/", serve: foreign(h)}}, nil)
	w := &recorder{header: http.Header{}}
	req, err := http.NewRequestWithContext(ctx, "GET", "/", nil)
	if err != nil {
		k.t.Fatal(err)
	}
	func() {
		defer func() { aborted = recover() == http.ErrAbortHandler }()
		s.ServeHTTP(w, req)
	}()
	return reply{k.t, w.status, w.header, w.body.String()}, aborted
}

// recorder is a http.ResponseWriter that knows what was sent.
type recorder struct {
	header http.Header
	status int
	body   strings.Builder
}

func (w *recorder) Header() http.Header { return w.header }
func (w *recorder) WriteHeader(s int)   { w.status = s }
func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = 200
	}
	return w.body.Write(b)
}

func TestPanics(t *testing.T) {
	var options Options
	k := newKit(t, func(o *Options) { options = *o })
	r, aborted := k.serveAlone(options, func(http.ResponseWriter, *http.Request) { panic("the reason") }, t.Context())
	p := r.problem(api.CodeInternal)
	if aborted || strings.Contains(r.body, "the reason") {
		t.Errorf("aborted %t, answer %s", aborted, r.body)
	}
	line := k.logLine(p.RequestID, "panic")
	if !strings.Contains(line, "the reason") || !strings.Contains(line, "TestPanics") {
		t.Errorf("log line %q", line)
	}
	if line := k.logLine(p.RequestID, "request"); !strings.Contains(line, `"level":"ERROR"`) || !strings.Contains(line, `"status":500`) {
		t.Errorf("log line %q", line)
	}

	// Half an answer must not look like a whole one.
	r, aborted = k.serveAlone(options, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "half"); panic("x") }, t.Context())
	if !aborted || r.body != "half" {
		t.Errorf("aborted %t, answer %s", aborted, r.body)
	}
	_, aborted = k.serveAlone(options, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, t.Context())
	if !aborted {
		t.Error("ErrAbortHandler did not pass")
	}
}

func TestErrorsThatNobodyForesaw(t *testing.T) {
	k := newKit(t, nil)
	for _, c := range []struct {
		err  error
		code api.Code
	}{
		{errors.New("secret"), api.CodeInternal},
		{fmt.Errorf("wrapped: %w", &key.Error{Code: key.Conflict, Detail: "taken", Err: errors.New("secret")}), api.CodeConflict},
		{fmt.Errorf("secret: %w", context.DeadlineExceeded), api.CodeUnavailable},
		{&key.Error{Code: "no such code", Detail: "x"}, "no such code"},
	} {
		w := &recorder{header: http.Header{}}
		x := &exchange{w: w, r: new(http.Request), route: new(route), id: "id"}
		x.fail(c.err)
		if w.status != c.code.Status() || strings.Contains(w.body.String(), "secret") || !strings.Contains(w.body.String(), string(c.code)) {
			t.Errorf("%v: %d %s", c.err, w.status, w.body.String())
		}
	}
	k.ask("GET", "/livez", "").ok(http.StatusOK)
}

// Every code of the domain is one of the API's, and every code of the API is given by somebody.
func TestCodes(t *testing.T) {
	codes := api.Codes()
	given := map[api.Code]string{
		api.CodeMalformedRequest:     "a body or an address that cannot be understood",
		api.CodeMethodNotAllowed:     "the table of routes",
		api.CodeNotAcceptable:        "Accept",
		api.CodeContentTooLarge:      "the bound on bodies",
		api.CodeUnsupportedMediaType: "Content-Type",
		api.CodeInternal:             "any error that nobody foresaw",
	}
	for _, code := range key.Codes() {
		if !slices.Contains(codes, api.Code(code)) {
			t.Errorf("%s is no code of the API", code)
		}
		given[api.Code(code)] = "the domain"
	}
	for _, code := range codes {
		if given[code] == "" {
			t.Errorf("nobody gives %s", code)
		}
	}
	if len(given) != len(codes) {
		t.Errorf("%d codes are given, the API has %d", len(given), len(codes))
	}
}

func TestCallersWhoAreGone(t *testing.T) {
	var options Options
	k := newKit(t, func(o *Options) { options = *o })
	ctx, cancel := context.WithCancel(t.Context())
	var id string
	s := newServer(options, "test", []route{{method: "GET", pattern: "/", serve: func(x *exchange) error {
		id = x.id
		cancel()
		return fmt.Errorf("wait for the writer: %w", ctx.Err())
	}}}, nil)
	req, _ := http.NewRequestWithContext(ctx, "GET", "/", nil)
	s.ServeHTTP(&recorder{header: http.Header{}}, req)
	line := k.logLine(id, "request")
	if !strings.Contains(line, `"level":"DEBUG"`) || !strings.Contains(line, `"status":499`) || k.logLine(id, "request failed") != "" {
		t.Errorf("log line %q", line)
	}
}

func TestOneLineForEachRequest(t *testing.T) {
	var options Options
	k := newKit(t, func(o *Options) { options = *o })
	r := k.call("GET", "/v1/api-keys/99?x="+k.token, "")
	line := k.logLine(r.header.Get("X-Request-Id"), "request")
	for _, want := range []string{`"level":"INFO"`, `"listener":"management"`, `"method":"GET"`, `"path":"/v1/api-keys/99"`,
		`"route":"GET /v1/api-keys/{key_id}"`, `"status":400`, fmt.Sprintf(`"bytes":%d`, len(r.body)), `"key_id":1`,
		`"code":"malformed_request"`, `"remote":"127.0.0.1:`} {
		if !strings.Contains(line, want) {
			t.Errorf("no %s in %s", want, line)
		}
	}
	r = k.ask("POST", "/v1/verify", fmt.Sprintf(`{"key":%q,"organization_id":1}`, k.token))
	line = k.logLine(r.header.Get("X-Request-Id"), "request")
	for _, want := range []string{`"listener":"verify"`, `"route":"POST /v1/verify"`, `"status":200`, `"key_id":1`, `"code":"VALID"`} {
		if !strings.Contains(line, want) {
			t.Errorf("no %s in %s", want, line)
		}
	}
	r = k.call("GET", "/nothing", "")
	if line = k.logLine(r.header.Get("X-Request-Id"), "request"); strings.Contains(line, "route") || !strings.Contains(line, `"status":404`) {
		t.Errorf("log line %s", line)
	}

	// Without log-checks, successful checks go without a line, and nothing else does.
	options.LogChecks = false
	quiet := NewVerification(options)
	for _, c := range []struct {
		method, path, body string
		logged             bool
	}{
		{"POST", "/v1/verify", `{"key":""}`, false},
		{"POST", "/v1/verify/batch", `{"requests":[]}`, false},
		{"POST", "/v1/verify", `{}`, true},
		{"GET", "/readyz", "", true},
		{"GET", "/nothing", "", true},
	} {
		w := &recorder{header: http.Header{}}
		req, _ := http.NewRequest(c.method, c.path, strings.NewReader(c.body))
		req.Header.Set("Content-Type", "application/json")
		quiet.ServeHTTP(w, req)
		if line := k.logged(w.header.Get("X-Request-Id"), "request"); (line != "") != c.logged {
			t.Errorf("%s %s %s: log line %q", c.method, c.path, c.body, line)
		}
	}
}

// logLine returns the line with this request id and message, "" where there is none. It waits for the end of the request,
// which is logged when the answer is sent already.
func (k *kit) logLine(id, message string) string {
	k.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); k.logged(id, "request") == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			k.t.Fatalf("request %q has no line in the log", id)
		}
	}
	return k.logged(id, message)
}

// logged is logLine for a request that has ended.
func (k *kit) logged(id, message string) string {
	k.t.Helper()
	if err := k.flush(); err != nil {
		k.t.Fatal(err)
	}
	for line := range strings.Lines(k.log.String()) {
		if strings.Contains(line, `"request_id":"`+id+`"`) && strings.Contains(line, `"msg":"`+message+`"`) {
			return line
		}
	}
	return ""
}

func TestMetricsCountRequestsByRoute(t *testing.T) {
	k := newKit(t, nil)
	question := fmt.Sprintf(`{"key":%q}`, k.token)
	for _, r := range []reply{
		k.call("GET", "/v1/api-keys/99", ""),
		k.call("GET", "/"+k.token, ""),
		k.ask("POST", "/v1/verify", question),
		k.ask("POST", "/v1/verify", "{}"),
		k.ask("POST", "/v1/verify/batch", `{"requests":[{"key":""},`+question+`]}`),
	} {
		k.logLine(r.header.Get("X-Request-Id"), "request") // it is counted before that
	}
	got := k.ask("GET", "/metrics", "").ok(http.StatusOK).body
	for _, want := range []string{
		`apikeyd_http_requests_total{listener="management",route="GET /v1/api-keys/{key_id}",status="404"} 1`,
		`apikeyd_http_requests_total{listener="management",route="none",status="404"} 1`,
		`apikeyd_http_requests_total{listener="verify",route="POST /v1/verify",status="200"} 1`,
		`apikeyd_http_requests_total{listener="verify",route="POST /v1/verify",status="400"} 1`,
		`apikeyd_checks_total{code="VALID"} 2`,
		`apikeyd_checks_total{code="NOT_FOUND"} 1`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}

// TestDate looks at the time of an answer, which is put into words once in a second: what is being sent keeps its own.
func TestDate(t *testing.T) {
	var x exchange
	var before []string
	for _, c := range []struct{ began, want string }{
		{"2026-11-26T04:05:06.9Z", "Thu, 26 Nov 2026 04:05:06 GMT"},
		{"2026-11-26T04:05:06.99Z", "Thu, 26 Nov 2026 04:05:06 GMT"},
		{"2026-11-26T05:05:07+01:00", "Thu, 26 Nov 2026 04:05:07 GMT"},
		{"2026-11-26T04:05:06Z", "Thu, 26 Nov 2026 04:05:06 GMT"},
	} {
		w := httptest.NewRecorder()
		began, err := time.Parse(time.RFC3339, c.began)
		if err != nil {
			t.Fatal(err)
		}
		x.w, x.began = w, began
		x.setDate()
		x.reset()
		if got := w.Header().Get("Date"); got != c.want {
			t.Errorf("at %s: %q, want %q", c.began, got, c.want)
		}
		if before != nil && before[0] != "Thu, 26 Nov 2026 04:05:06 GMT" {
			t.Errorf("at %s an answer before has become one of %q", c.began, before[0])
		}
		if before == nil {
			before = w.Header()["Date"]
		}
	}
}
