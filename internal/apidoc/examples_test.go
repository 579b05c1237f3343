package apidoc_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/internal/apidoc"
	"github.com/apikeyd/apikeyd/internal/apidoc/apidoctest"
	"github.com/apikeyd/apikeyd/internal/apptest"
)

// What stands in the examples for what a server hands out.
const (
	exampleToken    = "ak_0ThisIsAnExampleAndNoRealToken00000000000001ANLg8"
	exampleLink     = "ThisIsAnExampleAndNoRealSecretOfALink000000"
	exampleEmail    = "owner@example.com"
	examplePassword = "plain violet harbour mist"
)

// sendExamples sends every example of a request. What a server hands out is put in place of what an example has.
func sendExamples(t *testing.T, r *apidoctest.Recorder) {
	server, s := startTarget(t, r, nil)
	_, mailing := startTarget(t, r, &apptest.Options{Config: sendMail})
	organization := server.First.OrganizationID

	count := 0
	for _, x := range examples(t) {
		count++
		if x.operation == "reportGitHubLeaks" {
			sendFindings(t, r, x)
			continue
		}
		if x.operation == "subscribe" { // which no plain request does
			continue
		}
		if x.operation == "requestLink" {
			mailing.send(x.success, x.method, x.path, x.body)
			continue
		}
		if x.operation == "authorize" || x.operation == "introspect" {
			continue // what is sent there is no JSON: see askAsProxy
		}
		real, headers := s.ready(x, organization)
		got := s.send(x.success, x.method, real(x.path), real(x.body), headers...)
		if x.operation == "verifyKey" && !strings.Contains(got, `"code":"VALID"`) {
			t.Errorf("%s: %s", x.name, got)
		}
	}
	if count < 60 {
		t.Errorf("only %d examples", count)
	}
	sendMoreAboutKeys(s, organization)
	askAsProxy(s, organization)
	sendMoreAboutAccounts(s, organization)

	invited := mailing.send(201, "POST", fmt.Sprintf("/v1/organizations/%d/members", organization), `{"email": "mailed@example.com", "role": "viewer"}`)
	if strings.Contains(invited, "sign_in_url") {
		t.Errorf("a server that sends mail answers %s", invited)
	}
}

// ready makes what an example is about: a key, and where it speaks of them an organization, a member and a session. It
// returns what puts them in place of what stands in the example, and the headers to send it with.
func (s *target) ready(x example, organization int64) (real func(string) string, headers []string) {
	s.t.Helper()
	k := s.create(organization, `"READ","CREATE"`)
	stands := []string{"{key_id}", fmt.Sprint(k.KeyID), exampleToken, k.Token}
	if strings.Contains(x.path, "{organization_id}") {
		organization = s.organization()
		m := s.person(organization, "member")
		stands = append(stands, "{organization_id}", fmt.Sprint(organization), "{user_id}", fmt.Sprint(m.userID))
	}
	if x.operation == "createSession" || x.session {
		p := s.person(organization, "viewer")
		if strings.Contains(x.body, examplePassword) && x.name != "setPassword first" {
			p = s.withPassword(p, examplePassword)
		}
		stands = append(stands, "{session_id}", fmt.Sprint(p.sessionID), exampleEmail, p.email,
			exampleLink, s.invite(organization, s.address(), "viewer").link)
		if x.session {
			headers = p.headers
		}
	}
	return strings.NewReplacer(append(stands, "432", fmt.Sprint(organization))...).Replace, headers
}

// sendMoreAboutKeys sends what the examples leave out.
func sendMoreAboutKeys(s *target, organization int64) {
	k := s.create(organization, `"READ"`)
	path := fmt.Sprintf("/v1/api-keys/%d", k.KeyID)
	s.send(200, "PATCH", path, `{"key_name": "Merged"}`, "Content-Type: application/merge-patch+json")
	s.send(200, "PATCH", path, `{"expires_at": "2100-01-02T03:04:05.678+02:00", "metadata": null}`)
	s.send(200, "PATCH", path, `{}`)
	s.send(200, "POST", path+"/rotate", "")
	s.send(200, "GET", "/v1/me", "", "Authorization:", "X-API-Key: "+s.token)
	s.send(200, "GET", "/v1/api-keys?limit=1", "") // with a Link
	s.send(200, "POST", "/v1/verify", `{"key": "nonsense", "ip": "2001:db8::1"}`)
	s.send(200, "POST", "/v1/verify/batch", `{"requests": []}`)
	s.send(200, "GET", "/metrics", "", "Accept-Encoding: gzip")
	s.send(200, "GET", "/metrics", "", "Accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	for _, page := range []string{"/docs", "/openapi.json"} {
		s.send(304, "GET", page, "", "If-None-Match: *")
		s.send(304, "HEAD", page, "", "If-None-Match: *")
	}
	for _, path := range []string{"/v1/api-keys", path, "/v1/me", "/docs", "/openapi.json", "/livez", "/readyz", "/metrics"} {
		s.send(200, "HEAD", path, "")
	}
	if got := s.send(200, "GET", "/openapi.json", ""); got != string(apidoc.Document()) {
		s.t.Error("the server gives out another document")
	}
	checkOutcomes(s, organization)
}

// askAsProxy asks about requests to an API, and about keys, as those do who stand in front of it.
func askAsProxy(s *target, organization int64) {
	k := s.create(organization, `"READ"`)
	bearer := "Authorization: Bearer " + k.Token
	s.send(200, "GET", "/v1/authorize", "", bearer)
	s.send(200, "GET", "/v1/authorize?scope=READ", "", bearer, "X-Forwarded-Method: DELETE", "X-Forwarded-Uri: /accounts/7?x=y")
	s.send(403, "GET", "/v1/authorize?limited=403", "", bearer, "X-Original-Method: DELETE", "X-Original-URI: /accounts/7?x=y")
	s.send(200, "POST", "/introspect", "token="+k.Token, form)
	s.send(200, "POST", "/introspect", "token=x", form)
	one := fmt.Sprintf("/v1/api-keys/%d", k.KeyID)
	s.send(200, "PATCH", one, `{"limits": [{"requests": 1, "window_seconds": 3600}]}`)
	s.send(200, "GET", "/v1/authorize", "", bearer)
	s.send(429, "GET", "/v1/authorize", "", bearer)
	s.send(403, "GET", "/v1/authorize?limited=403", "", bearer)
	s.send(200, "PATCH", one, `{"expires_at": "2100-01-02T03:04:05.678Z"}`)
	s.send(200, "POST", "/introspect", "token="+k.Token, form)
}

// checkOutcomes brings about every outcome of a check but NOT_FOUND and VALID, which the examples have.
func checkOutcomes(s *target, organization int64) {
	s.t.Helper()
	k := s.create(organization, `"READ"`)
	path := fmt.Sprintf("/v1/api-keys/%d", k.KeyID)
	check := func(want string) {
		s.t.Helper()
		got := s.send(200, "POST", "/v1/verify", fmt.Sprintf(`{"key": %q, "scope": "DELETE"}`, k.Token))
		if !strings.Contains(got, `"code":"`+want+`"`) {
			s.t.Errorf("%s, want %s", got, want)
		}
	}
	check("INSUFFICIENT_SCOPE")
	s.send(200, "PATCH", path, `{"allowed_cidrs": ["203.0.113.0/24"], "key_scope": ["DELETE"]}`)
	check("IP_NOT_ALLOWED")
	s.send(200, "PATCH", path, `{"enabled": false}`)
	check("DISABLED")
}

// example is a request of the document.
type example struct {
	operation, name    string
	method, path, body string
	success            int
	session            bool // it is for sessions alone
}

// parameter is one of the document.
type parameter struct {
	Ref      string `json:"$ref"`
	Name, In string
	Example  any
}

// examples reads every example of a request from the document, and makes one of every operation that has none.
func examples(t *testing.T) (all []example) {
	t.Helper()
	var document struct {
		Paths      map[string]map[string]json.RawMessage
		Components struct{ Parameters map[string]parameter }
	}
	if err := json.Unmarshal(apidoc.Document(), &document); err != nil {
		t.Fatal(err)
	}
	for path, item := range document.Paths {
		for _, method := range []string{"get", "post", "put", "patch", "delete"} {
			if item[method] == nil {
				continue
			}
			var o struct {
				OperationID string
				Parameters  []parameter
				Security    []map[string]any
				RequestBody struct {
					Content map[string]struct {
						Examples map[string]struct{ Value json.RawMessage }
					}
				}
				Responses map[string]any
			}
			if err := json.Unmarshal(item[method], &o); err != nil {
				t.Fatal(err)
			}
			x := example{operation: o.OperationID, name: o.OperationID, method: strings.ToUpper(method), path: path, success: 200}
			if len(o.Security) == 1 {
				_, x.session = o.Security[0]["session"]
			}
			for _, status := range []int{201, 202, 204} {
				if o.Responses[fmt.Sprint(status)] != nil {
					x.success = status
				}
			}
			bodies := o.RequestBody.Content["application/json"].Examples
			for name, body := range bodies {
				x.name, x.body = o.OperationID+" "+name, string(body.Value)
				all = append(all, x)
			}
			if bodies == nil {
				all = append(all, x)
			}
			for _, p := range o.Parameters {
				if p.Ref != "" {
					p = document.Components.Parameters[strings.TrimPrefix(p.Ref, "#/components/parameters/")]
				}
				if p.In == "query" && p.Example != nil {
					x.name, x.path = o.OperationID+" "+p.Name, fmt.Sprintf("%s?%s=%v", path, p.Name, p.Example)
					all = append(all, x)
				}
			}
		}
	}
	return all
}
