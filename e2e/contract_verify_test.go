package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

// TestChecks asks about each kind of token, and what a check says in each case: where several things hold, the first in
// the contract's order.
func TestChecks(t *testing.T) {
	t.Parallel()
	w := serveWorld(t)
	deleted := w.deletedToken(t)
	for _, c := range []struct {
		name, token, rest string
		want              api.VerifyCode
	}{
		{"a good one", w.keys["member"].token, ``, api.VerifyValid},
		{"with a scope it has", w.keys["member"].token, `,"scope":"DELETE"`, api.VerifyValid},
		{"with everything that can be asked", w.keys["member"].token, `,"scope":"READ","organization_id":1,"ip":"203.0.113.9"`, api.VerifyValid},
		{"from an IPv6 address", w.keys["member"].token, `,"ip":"2001:db8::1"`, api.VerifyValid},
		{"with a scope it lacks", w.keys["member"].token, `,"scope":"MANAGE"`, api.VerifyInsufficientScope},
		{"of another organization", w.keys["member"].token, `,"organization_id":2`, api.VerifyNotFound},
		{"of an organization that does not exist", w.keys["member"].token, `,"organization_id":99`, api.VerifyNotFound},
		{"disabled", w.keys["disabled"].token, ``, api.VerifyDisabled},
		{"expired", w.keys["expired"].token, ``, api.VerifyExpired},
		{"disabled before expired", w.keys["expired and disabled"].token, ``, api.VerifyDisabled},
		{"disabled before a lacking scope", w.keys["disabled"].token, `,"scope":"MANAGE"`, api.VerifyDisabled},
		{"expired before a lacking scope", w.keys["expired"].token, `,"scope":"MANAGE"`, api.VerifyExpired},
		{"another organization before disabled", w.keys["disabled"].token, `,"organization_id":2`, api.VerifyNotFound},
		{"deleted", deleted, ``, api.VerifyNotFound},
		{"no token", "x", ``, api.VerifyNotFound},
		{"nothing", "", ``, api.VerifyNotFound},
		{"too long for a token", strings.Repeat("x", 10000), ``, api.VerifyNotFound},
		{"a space behind it", w.keys["member"].token + " ", ``, api.VerifyNotFound},
		{"a wrong checksum", w.keys["member"].token[:51] + "!", ``, api.VerifyNotFound},
	} {
		a := w.question(t, "POST", "/v1/verify", fmt.Sprintf(`{"key":%q%s}`, c.token, c.rest)).is(http.StatusOK)
		var got api.Verification
		a.into(&got)
		if got.Code != c.want || got.Valid != (c.want == api.VerifyValid) || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s, want %s", c.name, a.body, c.want)
		}
		fields := []string{"valid", "code", "key_id", "key_name", "key_scope", "organization_id", "user_id", "expires_at", "metadata"}
		if c.want == api.VerifyNotFound {
			fields = fields[:2] // nothing is given away
		}
		if names := a.fields(); !slices.Equal(names, fields) {
			t.Errorf("%s: fields %q, want %q", c.name, names, fields)
		}
		if c.want == api.VerifyValid && (got.KeyID != w.keys["member"].id || got.OrganizationID != ours || got.KeyName != "member" ||
			!slices.Equal(got.KeyScope, []api.Scope{"READ", "CREATE", "UPDATE", "DELETE"}) || string(got.Metadata) != "{}") {
			t.Errorf("%s: %s", c.name, a.body)
		}
	}
	w.stop()
}

// TestWhatIsNoQuestion gets 400, whatever is wrong with it.
func TestWhatIsNoQuestion(t *testing.T) {
	t.Parallel()
	w := serveWorld(t)
	good := w.keys["member"].token
	for _, c := range []struct {
		body   string
		places []string
	}{
		{`{}`, []string{"/key"}},
		{`{"key":null}`, []string{"/key"}},
		{`{"key":17}`, []string{"/key"}},
		{`{"key":"` + good + `","scope":"read"}`, []string{"/scope"}},
		{`{"key":"` + good + `","scope":["READ"]}`, []string{"/scope"}},
		{`{"key":"` + good + `","scope":""}`, []string{"/scope"}},
		{`{"key":"` + good + `","organization_id":0}`, []string{"/organization_id"}},
		{`{"key":"` + good + `","organization_id":"1"}`, []string{"/organization_id"}},
		{`{"key":"` + good + `","organization_id":1.0}`, []string{"/organization_id"}},
		{`{"key":"` + good + `","organization_id":9223372036854775808}`, []string{"/organization_id"}},
		{`{"key":"` + good + `","ip":"localhost"}`, []string{"/ip"}},
		{`{"key":"` + good + `","ip":"203.0.113.9:443"}`, []string{"/ip"}},
		{`{"key":"` + good + `","method":"GET"}`, []string{"/method"}},
		{`{"key":"` + good + `","key":"` + good + `"}`, []string{"/key"}},
		{`{"Key":"` + good + `"}`, []string{"/Key", "/key"}},
		{`[]`, []string{""}},
		{`"` + good + `"`, []string{""}},
		{good, nil},
		{`{"key":"` + good + `"} {}`, nil},
		{`{"key":"` + good + `"`, nil},
		{"{\"key\":\"\xff\"}", nil},
	} {
		w.question(t, "POST", "/v1/verify", c.body).refused(api.CodeMalformedRequest, c.places...)
	}
	w.question(t, "POST", "/v1/verify", "", "Content-Type: application/json").refused(api.CodeMalformedRequest)
	w.question(t, "POST", "/v1/verify?key=x", `{"key":"x"}`).refused(api.CodeMalformedRequest, "/key")
	w.question(t, "POST", "/v1/verify", "key=x", "Content-Type: application/x-www-form-urlencoded").refused(api.CodeUnsupportedMediaType)
	w.question(t, "POST", "/v1/verify", `{"key":"x"}`, "Accept: text/html").refused(api.CodeNotAcceptable)
	w.question(t, "POST", "/v1/verify", `{"key":"`+strings.Repeat("x", 64<<10)+`"}`).refused(api.CodeContentTooLarge)
	w.question(t, "GET", "/v1/api-keys", "").refused(api.CodeNotFound)
	w.stop()
}

// TestBatch asks about many at once: the answers come in the order of the questions.
func TestBatch(t *testing.T) {
	t.Parallel()
	w := serveWorld(t)
	var names []string
	var questions []string
	for len(questions) < api.MaxBatch-1 {
		for _, k := range keysOf {
			names = append(names, k.name)
			questions = append(questions, fmt.Sprintf(`{"key":%q}`, w.keys[k.name].token))
		}
	}
	questions = append(questions[:api.MaxBatch-1], `{"key":"x"}`)
	var got api.VerifyBatchResult
	a := w.question(t, "POST", "/v1/verify/batch", `{"requests":[`+strings.Join(questions, ",")+`]}`).is(http.StatusOK).into(&got)
	if len(got.Results) != api.MaxBatch || !slices.Equal(a.fields(), []string{"results"}) {
		t.Fatalf("%d answers", len(got.Results))
	}
	for i, r := range got.Results[:api.MaxBatch-1] {
		if r.KeyID != w.keys[names[i]].id {
			t.Fatalf("answer %d is about key %d, want %d", i, r.KeyID, w.keys[names[i]].id)
		}
	}
	if last := got.Results[api.MaxBatch-1]; last.Code != api.VerifyNotFound {
		t.Errorf("the last answer is %+v", last)
	}

	w.question(t, "POST", "/v1/verify/batch", `{"requests":[`+strings.Join(append(questions, questions[0]), ",")+`]}`).
		refused(api.CodeMalformedRequest, "/requests")
	w.question(t, "POST", "/v1/verify/batch", `{"requests":[]}`).is(http.StatusOK).into(&got)
	if len(got.Results) != 0 || got.Results == nil {
		t.Errorf("no questions: %+v", got)
	}
	// One that is no question spoils the batch, and its place is said.
	w.question(t, "POST", "/v1/verify/batch", `{"requests":[{"key":"x"},{"key":"x","scope":"X"},{}]}`).
		refused(api.CodeMalformedRequest, "/requests/1/scope", "/requests/2/key")
	w.question(t, "POST", "/v1/verify/batch", `{"key":"x"}`).refused(api.CodeMalformedRequest, "/key", "/requests")
	w.question(t, "POST", "/v1/verify/batch", `[]`).refused(api.CodeMalformedRequest, "")
	w.stop()
}

// TestHealth is what those ask who look after the server.
func TestHealth(t *testing.T) {
	t.Parallel()
	w := serveWorld(t)
	for _, path := range []string{"/livez", "/readyz"} {
		var status map[string]string
		w.question(t, "GET", path, "").is(http.StatusOK).into(&status)
		if status["status"] != "ok" {
			t.Errorf("%s: %v", path, status)
		}
		if head := w.question(t, "HEAD", path, "").is(http.StatusOK); head.body != "" {
			t.Errorf("HEAD %s has a body", path)
		}
	}
	w.says(t, w.keys["member"].token, "", api.VerifyValid)
	w.says(t, w.keys["disabled"].token, "", api.VerifyDisabled)
	a := w.question(t, "GET", "/metrics", "").is(http.StatusOK)
	for _, want := range []string{
		"\napikeyd_checks_total{code=\"VALID\"} 1\n", "\napikeyd_checks_total{code=\"DISABLED\"} 1\n", "\napikeyd_checks_total{code=\"EXPIRED\"} 0\n",
		"# TYPE apikeyd_http_request_duration_seconds histogram\n", "\nprocess_start_time_seconds ", "\ngo_goroutines ",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the metrics have no %q", strings.TrimSpace(want))
		}
	}
	// The document and the page of the other listener are whole.
	var document map[string]any
	if err := json.Unmarshal([]byte(w.manage(t, "", "GET", "/openapi.json", "").is(http.StatusOK).body), &document); err != nil || document["openapi"] != "3.1.0" && document["openapi"] != "3.1.1" {
		t.Errorf("openapi %v, %v", document["openapi"], err)
	}
	if page := w.manage(t, "", "GET", "/docs", "").is(http.StatusOK); !strings.Contains(page.header.Get("Content-Type"), "text/html") {
		t.Errorf("/docs: %v", page.header)
	}
	w.stop()
}
