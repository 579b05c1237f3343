package apidoc_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/internal/apidoc"
	"github.com/apikeyd/apikeyd/internal/apidoc/apidoctest"
)

// sendExamples sends every example of a request. Ids and the token are put in place of those that an example has.
func sendExamples(t *testing.T, r *apidoctest.Recorder) {
	_, s := startTarget(t, r, nil)
	var me struct {
		Organizations []struct {
			ID int64 `json:"organization_id"`
		}
	}
	if err := json.Unmarshal([]byte(s.send(200, "GET", "/v1/me", "")), &me); err != nil || len(me.Organizations) != 1 {
		t.Fatalf("organizations %v, error %v", me, err)
	}
	organization := me.Organizations[0].ID

	count := 0
	for _, x := range examples(t) {
		k := s.create(organization, `"READ","CREATE"`)
		real := strings.NewReplacer("432", fmt.Sprint(organization), "{key_id}", fmt.Sprint(k.KeyID), x.token, k.Token).Replace
		got := s.send(x.success, x.method, real(x.path), real(x.body))
		if x.method == "POST" && x.path == "/v1/verify" && !strings.Contains(got, `"code":"VALID"`) {
			t.Errorf("%s: %s", x.name, got)
		}
		count++
	}
	if count < 18 {
		t.Errorf("only %d examples", count)
	}

	// What the examples leave out.
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
		t.Error("the server gives out another document")
	}
	checkOutcomes(s, organization)
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
	s.send(200, "PATCH", path, `{"enabled": false}`)
	check("DISABLED")
}

// example is a request of the document.
type example struct {
	name, method, path, body string
	token                    string // that of the example
	success                  int
}

// examples reads every example of a request from the document, and makes one of every operation that has none.
func examples(t *testing.T) (all []example) {
	t.Helper()
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(apidoc.Document(), &document); err != nil {
		t.Fatal(err)
	}
	for path, item := range document.Paths {
		for _, method := range []string{"get", "post", "patch", "delete"} {
			if item[method] == nil {
				continue
			}
			var o struct {
				OperationID string
				Parameters  []struct {
					Name, In string
					Example  any
				}
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
			x := example{name: o.OperationID, method: strings.ToUpper(method), path: path, success: 200,
				token: "ak_0ThisIsAnExampleAndNoRealToken00000000000001ANLg8"}
			for _, status := range []int{201, 204} {
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
				if p.In == "query" && p.Example != nil {
					x.name, x.path = o.OperationID+" "+p.Name, fmt.Sprintf("%s?%s=%v", path, p.Name, p.Example)
					all = append(all, x)
				}
			}
		}
	}
	return all
}
