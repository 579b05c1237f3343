package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

func TestAuditLog(t *testing.T) {
	k := newKit(t, nil)
	session := k.session("first@example.com")
	k.as(session, "PATCH", "/v1/organizations/1", `{"organization_name":"Renamed","external_id":"cus_1"}`).ok(http.StatusOK)
	weak := k.createWith(`["READ"]`)
	weakly := "Authorization: Bearer " + weak.Token
	r := k.call("DELETE", "/v1/api-keys/1", "", weakly)
	r.problem(api.CodeInsufficientScope)

	const path = "/v1/audit-log"
	entry := func(r reply) api.AuditEntry {
		t.Helper()
		var entries []api.AuditEntry
		if r.ok(http.StatusOK).read(&entries); len(entries) != 1 {
			t.Fatalf("%d entries: %s", len(entries), r.body)
		}
		return entries[0]
	}
	got := k.call("GET", path+"?action=organization.update", "").looks(`[{"audit_id":8,"occurred_at":"TIME","actor":{"user_id":1,"key_id":null,` +
		`"session_id":1},"action":"organization.update","target":{"type":"organization","id":1},"organization_id":1,"ip":"127.0.0.1",` +
		`"request_id":"…","outcome":"success","before":{"external_id":null,"organization_name":"Example Ltd"},` +
		`"after":{"external_id":"cus_1","organization_name":"Renamed"},"hash":"…","previous_hash":"…"}]`)
	changed := entry(got)
	refusedEntry := entry(k.call("GET", path+"?outcome=refused&target_type=key&target_id=1", "").looks(`[{"audit_id":10,"occurred_at":"TIME","actor":` +
		fmt.Sprintf(`{"user_id":1,"key_id":%d,"session_id":null}`, weak.KeyID) + `,"action":"key.delete","target":{"type":"key","id":1},"organization_id":1,` +
		`"ip":"127.0.0.1","request_id":"` + r.header.Get("X-Request-Id") + `","outcome":"refused","code":"insufficient_scope","before":null,"after":null,` +
		`"hash":"…","previous_hash":"…"}]`))
	made := entry(k.call("GET", path+"?target_type=key&target_id="+fmt.Sprint(weak.KeyID), ""))
	if refusedEntry.PreviousHash != made.Hash || made.PreviousHash != changed.Hash || len(made.Hash) != 64 {
		t.Errorf("the chain is broken: %+v, %+v, %+v", changed, made, refusedEntry)
	}
	// The first entry follows nothing.
	all := k.call("GET", path, "").ok(http.StatusOK)
	if !strings.Contains(all.body, `"audit_id":1,`) || !strings.Contains(all.body, `"previous_hash":"`+strings.Repeat("0", 64)+`"}]`) {
		t.Errorf("the log is %s", all.body)
	}

	at := changed.OccurredAt.Format("2006-01-02T15:04:05.000Z")
	before := changed.OccurredAt.Add(-time.Millisecond).Format("2006-01-02T15:04:05.000Z")
	for _, c := range []struct {
		query string
		holds bool // the entry of the change is among what is found
	}{
		{"", true},
		{"?action=organization.*", true},
		{"?action=organi.*", false},
		{"?action=key.*", false},
		{"?action=organization.update_", false},
		{"?actor_user_id=1", true},
		{"?actor_user_id=2", false},
		{"?actor_key_id=1", false},
		{"?organization_id=1", true},
		{"?target_type=organization", true},
		{"?target_type=member", false},
		{"?target_type=organization&target_id=2", false},
		{"?outcome=success", true},
		{"?outcome=refused", false},
		{"?from=" + at, true},
		{"?to=" + at, false},
		{"?to=" + before, false},
		{"?from=" + before + "&to=2999-01-01T00:00:00%2B02:00", true},
		{"?from=2999-01-01T00:00:00Z", false},
	} {
		if got := slices.Contains(k.ids(k.call("GET", path+c.query, "").ok(http.StatusOK), "audit_id"), changed.AuditID); got != c.holds {
			t.Errorf("%s holds the change: %t", c.query, got)
		}
	}
}

func TestWhoMayReadTheAuditLog(t *testing.T) {
	k := newKit(t, nil)
	k.call("POST", "/v1/organizations", `{"organization_name":"foreign"}`).ok(http.StatusCreated)
	callers := map[string]string{"instance admin": k.session("first@example.com"), "first key": "X-API-Key: " + k.token,
		"key without READ": "X-API-Key: " + k.createWith(`["MANAGE"]`).Token, "first's READ": "X-API-Key: " + k.createWith(`["READ"]`).Token}
	for _, role := range []string{"member", "admin"} {
		k.join(role+"@example.com", role)
		callers[role] = k.session(role + "@example.com")
	}
	const path, home, foreign = "/v1/audit-log", "?organization_id=1", "?organization_id=2"
	for _, c := range []struct {
		caller, query string
		want          api.Code // "": it is shown
	}{
		{"instance admin", "", ""},
		{"instance admin", home, ""},
		{"instance admin", foreign, ""},
		{"instance admin", "?organization_id=99", api.CodeNotFound},
		{"first key", "", ""},
		{"first key", foreign, ""},
		{"first's READ", "", ""},
		{"first's READ", home, ""},
		{"first's READ", foreign, api.CodeNotFound},
		{"key without READ", "", api.CodeInsufficientScope},
		{"key without READ", "?organization_id=99", api.CodeInsufficientScope},
		{"admin", "", ""},
		{"admin", home, ""},
		{"admin", foreign, api.CodeNotFound},
		{"member", "", api.CodeForbidden},
		{"member", home, api.CodeForbidden},
		{"member", foreign, api.CodeNotFound},
	} {
		r := k.as(callers[c.caller], "GET", path+c.query, "")
		if c.want != "" {
			r.problem(c.want)
			continue
		}
		var entries []api.AuditEntry
		r.ok(http.StatusOK).read(&entries)
		for _, e := range entries {
			everything := c.query == "" && (c.caller == "instance admin" || c.caller == "first key")
			if want := c.query == foreign; !everything && (e.OrganizationID == nil || (*e.OrganizationID == 2) != want) {
				t.Errorf("%s %s sees %+v", c.caller, c.query, e)
			}
		}
		if len(entries) == 0 {
			t.Errorf("%s %s sees nothing", c.caller, c.query)
		}
	}
}
