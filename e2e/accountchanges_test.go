package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

// join makes somebody new a member of an organization and returns them, signed in.
func (h *household) join(t testing.TB, name string, organization int64, role api.Role) *person {
	t.Helper()
	var invited api.InvitedMember
	h.people["root"].as(t, h.server, "POST", membersPath(organization), invitation(name, role)).is(http.StatusCreated).into(&invited)
	return &person{signedIn: signIn(t, h.management, withLink(linkSecret(t, invited.SignInURL))), name: name, email: invited.Email,
		id: invited.UserID, organization: organization, role: role}
}

// keysRemain wants the refusal that names keys, which are in the way.
func (a answer) keysRemain(keys ...api.CreatedKey) {
	a.t.Helper()
	p := a.refused(api.CodeKeysRemain)
	var want []int64
	for _, k := range keys {
		want = append(want, k.KeyID)
	}
	slices.Sort(want)
	if !slices.Equal(p.KeyIDs, want) {
		a.t.Errorf("%s: keys %v, want %v", a.what, p.KeyIDs, want)
	}
}

// TestDemotionWhileKeysAreUsed takes people's roles away while eight clients ask about each of their keys all the time:
// from the moment that the answer is there, no check that begins says that a key is good which they could no longer make.
func TestDemotionWhileKeysAreUsed(t *testing.T) {
	t.Parallel()
	h := serveHousehold(t, nil)
	admin := h.people["admin"]
	for round, c := range []struct {
		role         api.Role // before
		method, body string
	}{
		{api.RoleMember, "PATCH", `{"role":"viewer"}`}, {api.RoleAdmin, "PATCH", `{"role":"viewer"}`}, {api.RoleAdmin, "PATCH", `{"role":"member"}`},
		{api.RoleMember, "DELETE", ""}, {api.RoleAdmin, "DELETE", ""}, {api.RoleViewer, "DELETE", ""},
		{api.RoleMember, "PATCH", `{"role":"viewer"}`}, {api.RoleMember, "DELETE", ""},
	} {
		p := h.join(t, fmt.Sprintf("p%d", round), ours, c.role)
		path := memberPath(ours, p.id)
		top := p.key(t, h.server, ours, mayHold[c.role]...) // one they could no longer make
		keys := []api.CreatedKey{top}
		reading := p.key(t, h.server, ours, api.ScopeRead)
		if c.method == "DELETE" {
			keys = append(keys, reading)
		}
		attack := hammer(t, h.verification, top.Token, "")
		attack.everyoneHasAsked()

		// Nothing is done where the request does not say what becomes of them.
		admin.as(t, h.server, c.method, path, c.body).keysRemain(keys...)
		var now api.Member
		if admin.as(t, h.server, "GET", path, "").is(http.StatusOK).into(&now); now.Role != c.role {
			t.Errorf("round %d: a refused request has made them %s", round, now.Role)
		}
		if attack.everyoneHasAsked(); attack.afterwards() != "[]" {
			t.Errorf("round %d: the key is %s before it is deleted", round, attack.afterwards())
		}
		if a := admin.as(t, h.server, c.method, path+"?keys=delete", c.body); a.status >= 300 {
			t.Errorf("round %d: %d %s", round, a.status, a.body)
		}
		attack.over.Store(true)
		attack.everyoneHasAsked()
		attack.stop()
		if got := attack.afterwards(); got != "[NOT_FOUND]" {
			t.Fatalf("round %d: %s to %s %s: afterwards checks say %s", round, c.role, c.method, c.body, got)
		}
		if attack.before.Load() == 0 {
			t.Error("nobody has seen the key good")
		}
		// Their other key is what they could still make, unless they are gone; then so are they.
		want := api.VerifyValid
		if c.method == "DELETE" {
			want = api.VerifyNotFound
		}
		if a, err := h.verifier().Verify(t.Context(), api.VerifyRequest{Key: reading.Token}); err != nil || a.Code != want {
			t.Errorf("round %d: the other key: %+v, %v", round, a, err)
		}
		if a := p.as(t, h.server, "GET", organizationsPath, ""); c.method == "DELETE" && a.body != "[]\n" {
			t.Errorf("round %d: they still see %s", round, a.body)
		}
	}
	h.stop()
	auditIsWhole(t, h.folder)
}

// TestKeysAreTransferred hands the keys of who goes to who sends them away: they go on, as the other's.
func TestKeysAreTransferred(t *testing.T) {
	t.Parallel()
	h := serveHousehold(t, nil)
	owner, admin := h.people["owner"], h.people["admin"]
	p := h.join(t, "leaver", ours, api.RoleAdmin)
	k := p.key(t, h.server, ours, api.ScopeRead, api.ScopeCreate)
	manages := p.key(t, h.server, ours, api.ScopeRead, api.ScopeManage)
	path := memberPath(ours, p.id) + "?keys="
	attack := hammer(t, h.verification, k.Token, "")
	attack.everyoneHasAsked()
	attack.over.Store(true)
	owner.as(t, h.server, "DELETE", path+"transfer", "").is(http.StatusNoContent)
	attack.everyoneHasAsked()
	attack.stop()
	if got := attack.afterwards(); got != "[VALID]" {
		t.Errorf("while it changed hands, checks said %s", got)
	}
	if a, err := h.verifier().Verify(t.Context(), api.VerifyRequest{Key: k.Token}); err != nil || !a.Valid || a.UserID != owner.id {
		t.Errorf("%+v, %v", a, err)
	}
	// A key that manages accounts would rise with its holder, and who leaves knows its token.
	if a, err := h.verifier().Verify(t.Context(), api.VerifyRequest{Key: manages.Token}); err != nil || a.Code != api.VerifyDisabled || a.UserID != owner.id {
		t.Errorf("%+v, %v", a, err)
	}
	request(t, h.management, "GET", "/v1/me", "", []string{"Authorization: Bearer " + manages.Token}).refused(api.CodeUnauthenticated)
	// Nobody gets a key by it that is stronger than the one they call with.
	q := h.join(t, "second", ours, api.RoleAdmin)
	strong := q.key(t, h.server, ours, api.ScopeRead, api.ScopeManage)
	weak := admin.key(t, h.server, ours, api.ScopeManage)
	path = memberPath(ours, q.id) + "?keys="
	bearer := []string{"Authorization: Bearer " + weak.Token}
	request(t, h.management, "DELETE", path+"transfer", "", bearer).refused(api.CodeInsufficientScope)
	request(t, h.management, "DELETE", path+"both", "", bearer).refused(api.CodeInvalid, "/keys")
	request(t, h.management, "DELETE", path+"delete", "", bearer).is(http.StatusNoContent)
	if a, err := h.verifier().Verify(t.Context(), api.VerifyRequest{Key: strong.Token}); err != nil || a.Code != api.VerifyNotFound {
		t.Errorf("%+v, %v", a, err)
	}
	h.stop()
	auditIsWhole(t, h.folder)
}

// TestLeaving has everybody leave, whatever their role, but for the last owner, and for who calls with a key without
// MANAGE.
func TestLeaving(t *testing.T) {
	t.Parallel()
	h := serveHousehold(t, nil)
	for _, role := range []api.Role{api.RoleViewer, api.RoleMember, api.RoleAdmin, api.RoleOwner} {
		p := h.join(t, "leaving-"+string(role), ours, role)
		path := memberPath(ours, p.id)
		p.as(t, h.server, "DELETE", path, "").is(http.StatusNoContent)
		p.as(t, h.server, "GET", path, "").refused(api.CodeNotFound)
		p.as(t, h.server, "GET", "/v1/me", "").is(http.StatusOK)

		again := h.rejoin(t, p, ours, role)
		k := again.key(t, h.server, ours, api.ScopeRead)
		again.as(t, h.server, "DELETE", path, "").keysRemain(k)
		again.as(t, h.server, "DELETE", path+"?keys=transfer", "").refused(api.CodeInvalid, "/keys")
		request(t, h.management, "DELETE", path+"?keys=delete", "", []string{"Authorization: Bearer " + k.Token}).refused(api.CodeInsufficientScope)
		again.as(t, h.server, "DELETE", path+"?keys=delete", "").is(http.StatusNoContent)
		if a, err := h.verifier().Verify(t.Context(), api.VerifyRequest{Key: k.Token}); err != nil || a.Code != api.VerifyNotFound {
			t.Errorf("%+v, %v", a, err)
		}
	}
	// Of the other organization the stranger is the only owner.
	stranger, root := h.people["stranger"], h.people["root"]
	last := memberPath(other, stranger.id)
	root.as(t, h.server, "DELETE", memberPath(other, root.id), "").is(http.StatusNoContent) // who made it was an owner, too
	stranger.as(t, h.server, "DELETE", last+"?keys=delete", "").refused(api.CodeConflict)
	stranger.as(t, h.server, "PATCH", last+"?keys=delete", `{"role":"admin"}`).refused(api.CodeConflict)
	root.as(t, h.server, "DELETE", last+"?keys=delete", "").refused(api.CodeConflict)
	stranger.as(t, h.server, "PATCH", memberPath(other, h.people["guest"].id), `{"role":"owner"}`).is(http.StatusOK)
	stranger.as(t, h.server, "DELETE", last, "").is(http.StatusNoContent)

	// Who was invited and never came is forgotten when they are removed, and may be invited anew.
	for range 2 {
		var invited api.InvitedMember
		root.as(t, h.server, "POST", membersPath(ours), invitation("late", api.RoleViewer)).is(http.StatusCreated).into(&invited)
		if invited.SignInURL == "" {
			t.Error("there is no link for who is new")
		}
		root.as(t, h.server, "POST", membersPath(ours), invitation("late", api.RoleViewer)).refused(api.CodeConflict)
		root.as(t, h.server, "DELETE", memberPath(ours, invited.UserID), "").is(http.StatusNoContent)
		trySignIn(t, h.server, withLink(linkSecret(t, invited.SignInURL))).refused(api.CodeUnauthenticated)
	}
	h.stop()
	auditIsWhole(t, h.folder)
}

// rejoin makes somebody a member who is a user already, and gets no link for that.
func (h *household) rejoin(t testing.TB, p *person, organization int64, role api.Role) *person {
	t.Helper()
	var invited api.InvitedMember
	h.people["root"].as(t, h.server, "POST", membersPath(organization), invitation(p.name, role)).is(http.StatusCreated).into(&invited)
	if invited.SignInURL != "" || invited.UserID != p.id {
		t.Errorf("invited again: %+v", invited.Member)
	}
	return p
}

// TestOrganizationDeletedWhileItsKeysAreUsed deletes organizations while eight clients ask about one of their keys.
func TestOrganizationDeletedWhileItsKeysAreUsed(t *testing.T) {
	t.Parallel()
	h := serveHousehold(t, nil)
	root := h.people["root"]
	for round := range 16 {
		var o api.Organization
		root.as(t, h.server, "POST", organizationsPath, fmt.Sprintf(`{"organization_name":"Short","external_id":"short %d"}`, round)).
			is(http.StatusCreated).into(&o)
		p := h.join(t, fmt.Sprintf("short%d", round), o.OrganizationID, api.RoleMember)
		keys := []api.CreatedKey{p.key(t, h.server, o.OrganizationID, api.ScopeRead), root.key(t, h.server, o.OrganizationID, api.ScopeRead)}
		attack := hammer(t, h.verification, keys[round%2].Token, "")
		if round%4 < 2 {
			attack.everyoneHasAsked()
		}
		path := fmt.Sprintf("%s/%d", organizationsPath, o.OrganizationID)
		root.as(t, h.server, "DELETE", path, "").is(http.StatusNoContent)
		attack.over.Store(true)
		attack.everyoneHasAsked()
		attack.stop()
		if got := attack.afterwards(); got != "[NOT_FOUND]" {
			t.Fatalf("round %d: when the organization is deleted checks say %s", round, got)
		}
		for _, k := range keys {
			request(t, h.management, "GET", "/v1/me", "", []string{"Authorization: Bearer " + k.Token}).refused(api.CodeUnauthenticated)
			root.as(t, h.server, "GET", fmt.Sprintf("%s/%d", keysPath, k.KeyID), "").refused(api.CodeNotFound)
		}
		root.as(t, h.server, "GET", path, "").refused(api.CodeNotFound)
		p.as(t, h.server, "GET", path+"/members", "").refused(api.CodeNotFound)
	}
	h.stop()
	auditIsWhole(t, h.folder)
}
