package httpapi

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/admin"
)

// doors are the routes of the management listener, each with the use case that it asks: those are what the policy in
// package admin is about. A route for which nobody needs a credential says why.
//
// A key with the scopes of refused, and with them alone, must find the door shut.
var doors = []struct {
	route, useCase string
	action         string // of the use case, as a refusal is recorded
	refused        []api.Scope
	body           string
}{
	{"GET /v1/api-keys", "Keys", "key.list", allBut(api.ScopeRead), ""},
	{"POST /v1/api-keys", "CreateKey", "key.create", allBut(api.ScopeCreate), `{"key_name":"n","key_scope":["READ"],"organization_id":1}`},
	{"GET /v1/api-keys/{key_id}", "Key", "key.read", allBut(api.ScopeRead), ""},
	{"PATCH /v1/api-keys/{key_id}", "UpdateKey", "key.update", allBut(api.ScopeUpdate), `{"key_name":"n"}`},
	{"DELETE /v1/api-keys/{key_id}", "DeleteKey", "key.delete", allBut(api.ScopeDelete), ""},
	{"POST /v1/api-keys/{key_id}/rotate", "RotateKey", "key.rotate", allBut(api.ScopeUpdate), ""},

	{"GET /v1/api-keys/{key_id}/usage", "KeyUsage", "key.read", allBut(api.ScopeRead), ""},
	{"GET /v1/organizations/{organization_id}/usage", "OrganizationUsage", "organization.read", allBut(api.ScopeRead), ""},

	{"GET /v1/organizations", "Organizations", "organization.list", allBut(api.ScopeRead, api.ScopeManage), ""},
	{"POST /v1/organizations", "CreateOrganization", "organization.create", allBut(api.ScopeManage), `{"organization_name":"n"}`},
	{"GET /v1/organizations/{organization_id}", "Organization", "organization.read", allBut(api.ScopeRead, api.ScopeManage), ""},
	{"PATCH /v1/organizations/{organization_id}", "UpdateOrganization", "organization.update", allBut(api.ScopeManage), `{"organization_name":"n"}`},
	{"DELETE /v1/organizations/{organization_id}", "DeleteOrganization", "organization.delete", allBut(api.ScopeManage), ""},

	{"GET /v1/organizations/{organization_id}/members", "Members", "member.list", allBut(api.ScopeRead, api.ScopeManage), ""},
	{"POST /v1/organizations/{organization_id}/members", "InviteMember", "member.create", allBut(api.ScopeManage), `{"email":"new@example.com","role":"viewer"}`},
	{"GET /v1/organizations/{organization_id}/members/{user_id}", "Member", "member.read", allBut(api.ScopeRead, api.ScopeManage), ""},
	{"PATCH /v1/organizations/{organization_id}/members/{user_id}", "UpdateMember", "member.update", allBut(api.ScopeManage), `{"role":"viewer"}`},
	{"DELETE /v1/organizations/{organization_id}/members/{user_id}", "RemoveMember", "member.delete", allBut(api.ScopeManage), ""},

	{"GET /v1/audit-log", "AuditLog", "audit.read", allBut(api.ScopeRead), ""},

	// In a session alone: no scope is enough.
	{"GET /v1/sessions", "Sessions", "session.list", allBut(), ""},
	{"DELETE /v1/sessions/current", "EndSession", "session.delete", allBut(), ""},
	{"DELETE /v1/sessions/{session_id}", "EndSession", "session.delete", allBut(), ""},
	{"PUT /v1/me/password", "SetPassword", "user.password", allBut(), `{"new_password":"correct horse battery staple"}`},

	// Every key may ask.
	{"GET /v1/me", "Me", "", nil, ""},
}

// public are the routes for which nobody needs a credential.
var public = map[string]string{
	"POST /v1/sessions":      "SignIn SignInWithLink", // who calls proves who they are
	"POST /v1/sign-in-links": "RequestLink",           // the link goes to the user's own address
	"POST /v1/leaked":        "ReportLeak",            // whoever has a token may end it
	"POST /v1/leaked/github": "ReportLeaks",           // GitHub signs what it sends
	"GET /openapi.json":      "",                      // documentation
	"GET /docs":              "",
}

// elsewhere are the use cases that no route of this package is for.
var elsewhere = map[string]string{
	"CheckDraft":         "beside CreateKey, where a body has other faults",
	"UserOf":             "whose an access token is",
	"SignInWithIdentity": "pages of the identity provider's way",
	"BindIdentity":       "the same",
	"MakeLink":           "the command line of the server",
	"Cluster":            "a page of the console, and the command line of the server",
	"EndOtherSessions":   "a page of the console",
	"Identities":         "a page of the console",
	"UnbindIdentity":     "the same",
}

// allBut returns every scope but some.
func allBut(some ...api.Scope) []api.Scope {
	all := []api.Scope{api.ScopeRead, api.ScopeCreate, api.ScopeUpdate, api.ScopeDelete, api.ScopeManage}
	return slices.DeleteFunc(all, func(s api.Scope) bool { return slices.Contains(some, s) })
}

// Each route leads to a use case that the policy is about, and each use case is behind a door.
func TestEveryRouteLeadsToTheDoor(t *testing.T) {
	k := newKit(t, nil)
	stated, asked := map[string]bool{}, map[string]bool{}
	for _, d := range doors {
		if stated[d.route] {
			t.Errorf("%s is stated twice", d.route)
		}
		stated[d.route], asked[d.useCase] = true, true
	}
	for route, useCases := range public {
		stated[route] = true
		for _, name := range strings.Fields(useCases) {
			asked[name] = true
		}
	}
	for _, r := range k.management.Config.Handler.(*server).routes {
		if _, open := public[r.label]; !stated[r.label] || open != r.public {
			t.Errorf("%s, public: %t: nobody has decided who may call it", r.label, r.public)
		}
		delete(stated, r.label)
	}
	for route := range stated {
		t.Errorf("%s is no route", route)
	}

	for name := range elsewhere {
		if asked[name] {
			t.Errorf("%s is here and elsewhere", name)
		}
		asked[name] = true
	}
	for method := range reflect.TypeFor[*admin.Service]().Methods() {
		takesCaller := slices.ContainsFunc(slices.Collect(method.Type.Ins()), func(in reflect.Type) bool {
			return in == reflect.TypeFor[admin.Caller]()
		})
		if takesCaller && !asked[method.Name] {
			t.Errorf("no route asks %s", method.Name)
		}
		if takesCaller {
			delete(asked, method.Name)
		}
	}
	for name := range asked {
		t.Errorf("%s is no use case", name)
	}
}

// The door that a route says it leads to is the one that it leads to: it is shut for whoever lacks the scope, it says so in the
// audit log, and without a credential nobody gets as far.
func TestTheDoorIsWhereTheRouteSays(t *testing.T) {
	k := newKit(t, nil)
	for _, d := range doors {
		t.Run(d.route, func(t *testing.T) {
			k := k.in(t)
			method, pattern, _ := strings.Cut(d.route, " ")
			path := strings.NewReplacer("{key_id}", "1", "{organization_id}", "1", "{user_id}", "1", "{session_id}", "1").Replace(pattern)
			k.call(method, path, d.body, "Authorization:").problem(api.CodeUnauthenticated)
			if d.refused == nil {
				return
			}
			var key api.CreatedKey
			scopes := `"` + strings.Join(names(d.refused), `","`) + `"`
			k.call("POST", "/v1/api-keys", fmt.Sprintf(`{"key_name":"n","key_scope":[%s],"organization_id":1}`, scopes)).ok(http.StatusCreated).read(&key)
			want := api.CodeInsufficientScope
			if len(d.refused) == len(allBut()) {
				want = api.CodeForbidden
			}
			k.call(method, path, d.body, "Authorization: Bearer "+key.Token).problem(want)

			var log []api.AuditEntry
			k.call("GET", fmt.Sprintf("/v1/audit-log?actor_key_id=%d", key.KeyID), "").ok(http.StatusOK).read(&log)
			if len(log) != 1 || log[0].Action != d.action || log[0].Outcome != api.AuditRefused || log[0].Code != want {
				t.Errorf("the audit log says %+v, want one refusal of %s", log, d.action)
			}
		})
	}
}

func names(scopes []api.Scope) (names []string) {
	for _, s := range scopes {
		names = append(names, string(s))
	}
	return names
}
