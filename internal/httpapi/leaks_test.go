package httpapi

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/token"
)

// A report ends a token before it is answered, and the answer does not tell whether it was one.
func TestReportALeak(t *testing.T) {
	k := newKit(t, nil)
	var leaked api.CreatedKey
	k.call("POST", "/v1/api-keys", `{"key_name":"n","key_scope":["READ"],"organization_id":1}`).ok(http.StatusCreated).read(&leaked)
	check := func(want string) {
		t.Helper()
		if r := k.ask("POST", "/v1/verify", fmt.Sprintf(`{"key":%q}`, leaked.Token)); !strings.Contains(r.body, `"code":"`+want+`"`) {
			t.Errorf("the check says %s, want %s", r.body, want)
		}
	}
	check("VALID") // it is cached from now on
	var answers []reply
	for _, text := range []string{"\t" + leaked.Token + " \n", leaked.Token, token.New("ak").Reveal(), "nonsense", "", strings.Repeat("x", 1<<10)} {
		r := k.send(k.management.URL, "POST", "/v1/leaked", fmt.Sprintf(`{"key":%q}`, text), nil).ok(http.StatusAccepted)
		check("NOT_FOUND")
		for _, changing := range []string{"Date", "X-Request-Id"} {
			if r.header.Get(changing) == "" {
				t.Errorf("no header %s", changing)
			}
			r.header.Del(changing)
		}
		answers = append(answers, r)
	}
	for _, r := range answers {
		if r.body != "" || !reflect.DeepEqual(r.header, answers[0].header) {
			t.Errorf("%v %q, and the first was answered %v", r.header, r.body, answers[0].header)
		}
	}
	var log []api.AuditEntry
	k.call("GET", "/v1/audit-log?action=key.leaked", "").ok(http.StatusOK).read(&log)
	if len(log) != 1 || log[0].Actor != (api.AuditActor{}) || *log[0].Target.ID != leaked.KeyID || log[0].IP != "127.0.0.1" {
		t.Errorf("the audit log says %+v", log)
	}
	k.call("GET", fmt.Sprintf("/v1/api-keys/%d", leaked.KeyID), "").ok(http.StatusOK)
	if err := k.flush(); err != nil {
		t.Fatal(err)
	}
	if token.Within([]byte(k.log.String())) {
		t.Error("a token is in the log")
	}
}

func TestReportsThatAreNone(t *testing.T) {
	k := newKit(t, nil)
	report := func(body string, headers ...string) reply {
		return k.send(k.management.URL, "POST", "/v1/leaked", body, headers)
	}
	secret := token.New("ak").Reveal()
	report(`{}`).problem(api.CodeInvalid)
	report(`{"key":1}`).problem(api.CodeInvalid)
	report(`{"key":null}`).problem(api.CodeInvalid)
	report(`["` + secret + `"]`).problem(api.CodeInvalid)
	report(``).problem(api.CodeMalformedRequest)
	for _, body := range []string{`{"key":"` + secret + `","url":"x"}`, `{"key":"` + secret + `","key":"x"}`, `{"` + secret + `":1}`, secret} {
		if r := report(body); strings.Contains(r.body, secret) {
			t.Errorf("the token is in %s", r.body)
		} else {
			r.problem(api.CodeMalformedRequest)
		}
	}
	report(`{"key":"x"}`, "Content-Type: text/plain").problem(api.CodeUnsupportedMediaType)
	report(`{"key":"` + strings.Repeat("x", 64<<10) + `"}`).problem(api.CodeContentTooLarge)
	k.send(k.management.URL, "GET", "/v1/leaked", "", nil).problem(api.CodeMethodNotAllowed)
	k.send(k.service.URL, "POST", "/v1/leaked", `{"key":"x"}`, nil).problem(api.CodeNotFound) // it is for the internet, and not for services
}

// signedBy is a GitHub whose signature is the SHA-256 of the body.
type signedBy string

func (id signedBy) Verify(_ context.Context, identifier, signature string, body []byte) error {
	if identifier != string(id) || signature != fmt.Sprintf("%x", sha256.Sum256(body)) {
		return &key.Error{Code: key.Forbidden, Detail: "not signed"}
	}
	return nil
}

func TestGitHubReports(t *testing.T) {
	k := newKit(t, func(o *Options) { o.GitHub = signedBy("octo") })
	send := func(body string, headers ...string) reply {
		return k.send(k.management.URL, "POST", "/v1/leaked/github", body, append([]string{"Github-Public-Key-Identifier: octo",
			fmt.Sprintf("Github-Public-Key-Signature: %x", sha256.Sum256([]byte(body)))}, headers...))
	}
	var leaked api.CreatedKey
	k.call("POST", "/v1/api-keys", `{"key_name":"n","key_scope":["READ"],"organization_id":1}`).ok(http.StatusCreated).read(&leaked)
	unknown := token.New("ak").Reveal()
	body := fmt.Sprintf(" [ {\"token\":%q,\"type\":\"our_type\",\"url\":\"https://github.com/a/b\",\"source\":\"commit\",\"new\":[1]},\n"+
		`{"token":%q,"type":"our_type","url":"","source":"npm"},{"token":"some_token"}]`, leaked.Token, unknown)

	send(body, "Github-Public-Key-Signature: 00").problem(api.CodeForbidden)
	send(body, "Github-Public-Key-Signature:").problem(api.CodeForbidden)
	send(body, "Github-Public-Key-Identifier: other").problem(api.CodeForbidden)
	send(`{`, "Github-Public-Key-Identifier: other").problem(api.CodeForbidden) // what is not signed is not looked at
	if r := k.ask("POST", "/v1/verify", fmt.Sprintf(`{"key":%q}`, leaked.Token)); !strings.Contains(r.body, `"VALID"`) {
		t.Fatalf("the check says %s", r.body)
	}

	hash := func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
	var labels []api.LeakLabel
	r := send(body).ok(http.StatusOK)
	r.read(&labels)
	if want := []api.LeakLabel{
		{TokenHash: hash(leaked.Token), TokenType: "our_type", Label: "true_positive"},
		{TokenHash: hash(unknown), TokenType: "our_type", Label: "false_positive"},
		{TokenHash: hash("some_token"), Label: "false_positive"},
	}; !reflect.DeepEqual(labels, want) {
		t.Errorf("labels %+v, want %+v", labels, want)
	}
	if strings.Contains(r.body, leaked.Token) {
		t.Errorf("the token is in %s", r.body)
	}
	if r := k.ask("POST", "/v1/verify", fmt.Sprintf(`{"key":%q}`, leaked.Token)); !strings.Contains(r.body, `"NOT_FOUND"`) {
		t.Errorf("the check says %s", r.body)
	}
	var log []api.AuditEntry
	k.call("GET", "/v1/audit-log?action=key.leaked", "").ok(http.StatusOK).read(&log)
	if len(log) != 1 || !strings.Contains(string(log[0].After), `"https://github.com/a/b"`) || !strings.Contains(string(log[0].After), `"commit"`) {
		t.Errorf("the audit log says %+v", log)
	}

	// Delivered again, and found in another place: it was a token of ours.
	for _, place := range []string{"https://github.com/a/b", "https://github.com/fork/b"} {
		send(strings.ReplaceAll(body, "https://github.com/a/b", place)).ok(http.StatusOK).read(&labels)
		if labels[0].Label != "true_positive" || labels[1].Label != "false_positive" || labels[2].Label != "false_positive" {
			t.Errorf("the second time the labels are %+v", labels)
		}
	}
	k.call("GET", "/v1/audit-log?action=key.leaked", "").ok(http.StatusOK).read(&log)
	if len(log) != 3 || !strings.Contains(string(log[0].After), `"https://github.com/fork/b"`) || *log[0].Target.ID != leaked.KeyID {
		t.Errorf("the audit log says %+v", log)
	}

	if r := send(`[]`).ok(http.StatusOK); r.body != "[]\n" {
		t.Errorf("no finds are answered %q", r.body)
	}
	for _, bad := range []string{`{}`, `[`, `[{"token":1}]`, `[[]]`, `[{"token":"` + leaked.Token + `"`, `[{"token":"a","token":"b"}]`, `"x"`, `[] []`} {
		if r := send(bad); strings.Contains(r.body, leaked.Token) {
			t.Errorf("the token is in %s", r.body)
		} else {
			r.problem(api.CodeMalformedRequest)
		}
	}
	send(`[{"token":"` + strings.Repeat("x", 1<<20) + `"}]`).problem(api.CodeContentTooLarge)
	if err := k.flush(); err != nil {
		t.Fatal(err)
	}
	if token.Within([]byte(k.log.String())) {
		t.Error("a token is in the log")
	}
}

// A server that does not know GitHub's keys has no such route.
func TestGitHubIsNotListenedTo(t *testing.T) {
	k := newKit(t, func(o *Options) { o.GitHub = nil })
	k.send(k.management.URL, "POST", "/v1/leaked/github", `[]`, nil).problem(api.CodeNotFound)
	k.send(k.management.URL, "GET", "/v1/leaked/github", "", nil).problem(api.CodeNotFound)
}
