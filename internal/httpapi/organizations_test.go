package httpapi

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

func TestLifeOfAnOrganization(t *testing.T) {
	k := newKit(t, nil)
	const path, other = "/v1/organizations", `{"organization_name":"Other"}`
	r := k.call("POST", path, `{"organization_name":"  Rocket \u00e9 \"& co\" <Ltd> ","external_id":"cus_1 ","metadata":{ "plan" : "pro","n":1e300}}`)
	r.ok(http.StatusCreated).looks(`{"organization_id":2,"organization_name":"Rocket é \"& co\" <Ltd>","external_id":"cus_1 ",` +
		`"metadata":{"plan":"pro","n":1e300},"created_at":"TIME","updated_at":"TIME","role":"owner"}`)
	const one = path + "/2"
	if got := r.header.Get("Location"); got != one {
		t.Errorf("Location %q", got)
	}
	if got := k.call("GET", one, "").ok(http.StatusOK); got.body != r.body {
		t.Errorf("got %s, created %s", got.body, r.body)
	}
	k.call("POST", path, `{"organization_name":"Least","external_id":null}`).ok(http.StatusCreated).
		looks(`{"organization_id":3,"organization_name":"Least","external_id":null,"metadata":{},"created_at":"TIME","updated_at":"TIME","role":"owner"}`)

	// The external id is unique, and finds the organization.
	k.call("POST", path, `{"organization_name":"x","external_id":"cus_1 "}`).problem(api.CodeConflict)
	k.call("PATCH", path+"/3", `{"external_id":"cus_1 "}`).problem(api.CodeConflict)
	if got := k.call("GET", path+"?external_id=cus_1%20", "").ok(http.StatusOK); got.body != "["+r.body[:len(r.body)-1]+"]\n" {
		t.Errorf("found %s", got.body)
	}
	k.call("GET", path+"?external_id=cus_1", "").ok(http.StatusOK).looks("[]")

	// A merge patch.
	const merge = "Content-Type: application/merge-patch+json"
	k.call("PATCH", one, `{"organization_name":" new ","external_id":null,"metadata":{"n":null,"x":[1]}}`, merge).ok(http.StatusOK).
		looks(`{"organization_id":2,"organization_name":"new","external_id":null,"metadata":{"plan":"pro","x":[1]},` +
			`"created_at":"TIME","updated_at":"TIME","role":"owner"}`)
	changed := k.call("PATCH", one, `{"metadata":null}`).ok(http.StatusOK)
	if same := k.call("PATCH", one, `{}`).ok(http.StatusOK); same.body != changed.body {
		t.Errorf("an empty patch made %s of %s", same.body, changed.body)
	}

	// Its keys end with it.
	held := k.create(`{"key_name":"a","key_scope":["READ"],"organization_id":2}`)
	if r := k.call("DELETE", one, "").ok(http.StatusNoContent); r.body != "" || r.header.Get("Content-Type") != "" {
		t.Errorf("deleted with %q, headers %v", r.body, r.header)
	}
	if got := k.verifies(held.Token); got != api.VerifyNotFound {
		t.Errorf("a key of a deleted organization is %s", got)
	}
	for _, method := range []string{"GET", "DELETE"} {
		k.call(method, one, "").problem(api.CodeNotFound)
	}
	k.call("PATCH", one, other).problem(api.CodeNotFound)
	k.call("GET", one+"/members", "").problem(api.CodeNotFound)
}

// What a caller may not see does not exist; what they see and may not do is forbidden, and a key needs its scope first.
func TestWhoMayDoWhatToOrganizations(t *testing.T) {
	k := newKit(t, nil)
	k.call("POST", "/v1/organizations", `{"organization_name":"foreign"}`).ok(http.StatusCreated)
	callers := map[string]string{"instance admin": k.session("first@example.com")}
	for _, role := range []string{"viewer", "member", "admin", "owner"} {
		k.join(role+"@example.com", role)
		callers[role] = k.session(role + "@example.com")
	}
	key := func(session, scopes string) string {
		var created api.CreatedKey
		k.as(session, "POST", "/v1/api-keys", fmt.Sprintf(`{"key_name":"a","key_scope":%s,"organization_id":1}`, scopes)).
			ok(http.StatusCreated).read(&created)
		return "X-API-Key: " + created.Token
	}
	callers["owner's READ"] = key(callers["owner"], `["READ"]`)
	callers["owner's MANAGE"] = key(callers["owner"], `["MANAGE"]`)
	callers["admin's UPDATE"] = key(callers["admin"], `["UPDATE"]`)
	callers["first key"] = "X-API-Key: " + k.token
	const home, foreign, all = "/v1/organizations/1", "/v1/organizations/2", "/v1/organizations"
	const renamed, withID = `{"organization_name":"new"}`, `{"external_id":"x"}`
	for _, c := range []struct {
		caller, method, path, body string
		want                       api.Code // "": it is done
	}{
		{"viewer", "GET", home, "", ""},
		{"viewer", "GET", foreign, "", api.CodeNotFound},
		{"viewer", "PATCH", home, renamed, api.CodeForbidden},
		{"viewer", "PATCH", foreign, renamed, api.CodeNotFound},
		{"member", "DELETE", home, "", api.CodeForbidden},
		{"member", "DELETE", foreign, "", api.CodeNotFound},
		{"admin", "PATCH", home, renamed, ""},
		{"admin", "PATCH", home, withID, api.CodeForbidden},
		{"admin", "DELETE", home, "", api.CodeForbidden},
		{"owner", "PATCH", home, withID, api.CodeForbidden},
		{"owner", "GET", foreign, "", api.CodeNotFound},
		{"owner", "POST", all, renamed, api.CodeForbidden},
		{"instance admin", "GET", foreign, "", ""},
		{"instance admin", "PATCH", home, withID, ""},

		{"owner's READ", "GET", home, "", ""},
		{"owner's READ", "GET", all, "", ""},
		{"owner's READ", "GET", foreign, "", api.CodeNotFound},
		{"owner's READ", "PATCH", home, renamed, api.CodeInsufficientScope},
		{"owner's READ", "DELETE", foreign, "", api.CodeInsufficientScope},
		{"owner's MANAGE", "GET", home, "", ""},
		{"owner's MANAGE", "PATCH", home, renamed, ""},
		{"owner's MANAGE", "POST", all, renamed, api.CodeForbidden},
		{"admin's UPDATE", "GET", home, "", api.CodeInsufficientScope},
		{"admin's UPDATE", "PATCH", home, renamed, api.CodeInsufficientScope},
		{"first key", "PATCH", foreign, withID, api.CodeConflict},
		{"first key", "DELETE", foreign, "", ""},
	} {
		t.Run(c.caller+" "+c.method+" "+c.path+c.body, func(t *testing.T) {
			r := k.in(t).as(callers[c.caller], c.method, c.path, c.body)
			switch {
			case c.want != "":
				r.problem(c.want)
			case r.status >= 300:
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}

	// The role is there where the caller is a member.
	k.as(callers["viewer"], "GET", all, "").ok(http.StatusOK).looks(`[{"organization_id":1,"organization_name":"new","external_id":"x",` +
		`"metadata":{},"created_at":"TIME","updated_at":"TIME","role":"viewer"}]`)
	k.as(callers["owner"], "DELETE", home+"/members/1?keys=transfer", "").ok(http.StatusNoContent)
	k.as(callers["instance admin"], "GET", home, "").ok(http.StatusOK).looks(`{"organization_id":1,"organization_name":"new","external_id":"x",` +
		`"metadata":{},"created_at":"TIME","updated_at":"TIME"}`)
}
