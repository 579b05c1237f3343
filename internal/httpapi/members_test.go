package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

const membersOfFirst = "/v1/organizations/1/members"

func TestLifeOfAMember(t *testing.T) {
	k := newKit(t, nil)
	r := k.call("POST", membersOfFirst, `{"email":" New@Example.com ","role":"viewer"}`).ok(http.StatusCreated).
		looks(`{"user_id":2,"email":"New@Example.com","role":"viewer","created_at":"TIME","sign_in_url":"https://keys.example/sign-in/…"}`)
	const one = membersOfFirst + "/2"
	if got := r.header.Get("Location"); got != one {
		t.Errorf("Location %q", got)
	}
	const member = `{"user_id":2,"email":"New@Example.com","role":"viewer","created_at":"TIME"}`
	k.call("GET", one, "").ok(http.StatusOK).looks(member)
	k.call("GET", membersOfFirst, "").ok(http.StatusOK).
		looks("[" + member + `,{"user_id":1,"email":"first@example.com","role":"owner","created_at":"TIME"}]`)

	// The link in the answer signs the new person in.
	var invited api.InvitedMember
	r.read(&invited)
	link := strings.TrimPrefix(invited.SignInURL, "https://keys.example/sign-in/")
	session := k.begun(k.signInBy(fmt.Sprintf(`{"link":%q}`, link)))
	k.as(session, "GET", "/v1/me", "").ok(http.StatusOK).looks(`{"user_id":2,"email":"New@Example.com","instance_admin":false,` +
		`"organizations":[{"organization_id":1,"organization_name":"Example Ltd","role":"viewer"}],"key":null}`)

	// Nobody is a member twice, whatever the case of the address; who is a user already gets no link.
	k.call("POST", membersOfFirst, `{"email":"new@example.COM","role":"admin"}`).problem(api.CodeConflict)
	k.call("POST", "/v1/organizations", `{"organization_name":"Other"}`).ok(http.StatusCreated)
	r = k.call("POST", "/v1/organizations/2/members", `{"email":"new@example.COM","role":"member"}`).ok(http.StatusCreated).
		looks(`{"user_id":2,"email":"New@Example.com","role":"member","created_at":"TIME"}`)
	if got := r.header.Get("Location"); got != "/v1/organizations/2/members/2" {
		t.Errorf("Location %q", got)
	}

	k.call("PATCH", one, `{"role":"admin"}`).ok(http.StatusOK).looks(`{"user_id":2,"email":"New@Example.com","role":"admin","created_at":"TIME"}`)
	k.call("PATCH", one, `{"role":"admin"}`, "Content-Type: application/merge-patch+json").ok(http.StatusOK)
	if r := k.call("DELETE", one, "").ok(http.StatusNoContent); r.body != "" || r.header.Get("Content-Type") != "" {
		t.Errorf("removed with %q, headers %v", r.body, r.header)
	}
	k.call("GET", one, "").problem(api.CodeNotFound)
	k.call("DELETE", one, "").problem(api.CodeNotFound)
	k.call("PATCH", one, `{"role":"member"}`).problem(api.CodeNotFound)
	k.as(session, "GET", "/v1/organizations/1", "").problem(api.CodeNotFound)
	k.as(session, "GET", "/v1/organizations/2", "").ok(http.StatusOK)
}

func TestWhatBecomesOfTheKeysOfMembers(t *testing.T) {
	k := newKit(t, nil)
	id := k.join("admin@example.com", "admin")
	one := fmt.Sprintf("%s/%d", membersOfFirst, id)
	session := k.session("admin@example.com")
	hold := func(scopes string) api.CreatedKey {
		var held api.CreatedKey
		k.as(session, "POST", "/v1/api-keys", fmt.Sprintf(`{"key_name":"a","key_scope":%s,"organization_id":1}`, scopes)).ok(http.StatusCreated).read(&held)
		return held
	}
	reading, managing, both := hold(`["READ"]`), hold(`["MANAGE"]`), hold(`["READ","CREATE","MANAGE"]`)
	alive := func(want bool, keys ...api.CreatedKey) {
		t.Helper()
		for _, held := range keys {
			if got := k.verifies(held.Token); (got == api.VerifyValid) != want {
				t.Errorf("key %d is %s", held.KeyID, got)
			}
		}
	}
	remain := func(r reply, want ...api.CreatedKey) {
		t.Helper()
		ids := make([]int64, len(want))
		for i := range want {
			ids[i] = want[i].KeyID
		}
		if p := r.problem(api.CodeKeysRemain); !slices.Equal(p.KeyIDs, ids) || !strings.Contains(r.body, `"key_ids":[`) {
			t.Errorf("keys %v, want %v: %s", p.KeyIDs, ids, r.body)
		}
	}

	remain(k.call("PATCH", one, `{"role":"member"}`), managing, both)
	remain(k.call("DELETE", one, ""), reading, managing, both)
	alive(true, reading, managing, both)

	k.call("PATCH", one+"?keys=delete", `{"role":"member"}`).ok(http.StatusOK)
	alive(true, reading)
	alive(false, managing, both)

	creating := hold(`["CREATE"]`)
	checkFaults(t, k.as(session, "DELETE", one+"?keys=transfer", ""), is422, []string{"/keys"})
	k.call("DELETE", one+"?keys=transfer", "").ok(http.StatusNoContent)
	alive(true, reading, creating)
	var now api.Key
	if k.call("GET", fmt.Sprintf("/v1/api-keys/%d", creating.KeyID), "").read(&now); now.UserID != k.first.UserID {
		t.Errorf("transferred to user %d", now.UserID)
	}
}

func TestWhoMayDoWhatToMembers(t *testing.T) {
	k := newKit(t, nil)
	k.call("POST", "/v1/organizations", `{"organization_name":"foreign"}`).ok(http.StatusCreated)
	paths, callers := map[string]string{}, map[string]string{"instance admin": k.session("first@example.com")}
	for _, name := range []string{"viewer", "member", "admin", "owner", "other admin", "leaver"} {
		role := strings.TrimPrefix(name, "other ")
		if name == "leaver" {
			role = "viewer"
		}
		email := strings.ReplaceAll(name, " ", ".") + "@example.com"
		paths[name] = fmt.Sprintf("%s/%d", membersOfFirst, k.join(email, role))
		callers[name] = k.session(email)
	}
	for caller, scope := range map[string]string{"owner": "READ", "leaver": "READ"} {
		var created api.CreatedKey
		k.as(callers[caller], "POST", "/v1/api-keys", fmt.Sprintf(`{"key_name":"a","key_scope":[%q],"organization_id":1}`, scope)).
			ok(http.StatusCreated).read(&created)
		callers[caller+"'s "+scope] = "X-API-Key: " + created.Token
	}
	const foreign, nobody = "/v1/organizations/2/members", membersOfFirst + "/99"
	invite := func(role string) string { return fmt.Sprintf(`{"email":"x@example.com","role":%q}`, role) }
	const asMember, asOwner = `{"role":"member"}`, `{"role":"owner"}`
	for _, c := range []struct {
		caller, method, path, body string
		want                       api.Code // "": it is done
	}{
		{"viewer", "GET", membersOfFirst, "", ""},
		{"viewer", "GET", paths["owner"], "", ""},
		{"viewer", "GET", nobody, "", api.CodeNotFound},
		{"viewer", "GET", foreign, "", api.CodeNotFound},
		{"viewer", "GET", foreign + "/1", "", api.CodeNotFound},
		{"viewer", "POST", membersOfFirst, invite("viewer"), api.CodeForbidden},
		{"viewer", "POST", foreign, invite("viewer"), api.CodeNotFound},
		{"member", "PATCH", paths["viewer"], asMember, api.CodeForbidden},
		{"member", "PATCH", paths["member"], asOwner, api.CodeForbidden},
		{"member", "DELETE", paths["viewer"], "", api.CodeForbidden},
		{"member", "DELETE", nobody, "", api.CodeNotFound},
		{"member", "DELETE", foreign + "/1", "", api.CodeNotFound},
		{"admin", "POST", membersOfFirst, invite("owner"), api.CodeForbidden},
		{"admin", "PATCH", paths["viewer"], asOwner, api.CodeForbidden},
		{"admin", "PATCH", paths["owner"], asMember, api.CodeForbidden},
		{"admin", "DELETE", paths["owner"], "", api.CodeForbidden},
		{"admin", "PATCH", paths["other admin"], asMember, ""},
		{"admin", "PATCH", paths["viewer"], asMember, ""},
		{"admin", "DELETE", paths["viewer"], "", ""},
		{"owner's READ", "GET", membersOfFirst, "", ""},
		{"owner's READ", "POST", membersOfFirst, invite("viewer"), api.CodeInsufficientScope},
		{"owner's READ", "DELETE", nobody, "", api.CodeInsufficientScope},
		{"leaver's READ", "DELETE", paths["leaver"] + "?keys=delete", "", api.CodeInsufficientScope},
		{"leaver", "DELETE", paths["leaver"] + "?keys=delete", "", ""},
		{"instance admin", "GET", foreign, "", ""},
		{"instance admin", "PATCH", foreign + "/1", asMember, api.CodeConflict}, // the last owner
		{"instance admin", "DELETE", foreign + "/1", "", api.CodeConflict},
		{"owner", "DELETE", membersOfFirst + "/1", "", ""}, // an instance admin's keys go on: they may hold any anywhere
		{"owner", "DELETE", paths["owner"] + "?keys=delete", "", api.CodeConflict},
		{"instance admin", "POST", membersOfFirst, invite("owner"), ""},
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
}
