package admin_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/token"
)

func TestAnOrganizationIsMade(t *testing.T) {
	h := newHouse(t)
	everywhere := h.session("instance admin")
	made, err := h.CreateOrganization(t.Context(), everywhere, key.OrganizationDraft{Name: " Acme ", ExternalID: "cust-1", Metadata: []byte(`{ "a": 1 }`)})
	want := key.Account{Role: key.Owner, Organization: key.Organization{ID: made.ID, Name: "Acme", ExternalID: "cust-1", Metadata: []byte(`{"a":1}`), CreatedAt: noon, UpdatedAt: noon}}
	if err != nil || made.Name != want.Name || made.ExternalID != want.ExternalID || string(made.Metadata) != string(want.Metadata) || made.Role != key.Owner {
		t.Errorf("made %+v, %v", made, err)
	}
	found, err := h.Organization(t.Context(), everywhere, made.ID)
	if err != nil || found.Role != key.Owner || !found.Same(&want.Organization) || !found.CreatedAt.Equal(noon) {
		t.Errorf("found %+v, %v", found, err)
	}
	members, err := h.store.Members(t.Context(), store.MemberQuery{OrganizationID: made.ID, Limit: 10})
	if err != nil || len(members) != 1 || members[0].UserID != everywhere.UserID || members[0].Role != key.Owner {
		t.Errorf("its members are %+v, %v", members, err)
	}

	// By a key of another organization's, as a company's backend does it; and then a key for it.
	backend := h.withKey("instance admin", h.other, key.AllScopes)
	made, err = h.CreateOrganization(t.Context(), backend, key.OrganizationDraft{Name: "Another", ExternalID: "cust-2"})
	expect(t, "by a key", err, "ok")
	expect(t, "a key in it", errorOf2(h.CreateKey(t.Context(), backend, key.Draft{Name: "n", Scopes: read, OrganizationID: made.ID, Enabled: true})), "ok")

	pasted := token.New("ak").Reveal()
	for _, bad := range []struct {
		draft  key.OrganizationDraft
		faults string
	}{
		{key.OrganizationDraft{}, "/organization_name"},
		{key.OrganizationDraft{Name: strings.Repeat("x", 101), ExternalID: strings.Repeat("x", 256), Metadata: []byte("[]")}, "/organization_name /external_id /metadata"},
		{key.OrganizationDraft{Name: pasted, ExternalID: pasted, Metadata: []byte(`{"a":"` + pasted + `"}`)}, "/organization_name /external_id /metadata"},
	} {
		_, err := h.CreateOrganization(t.Context(), everywhere, bad.draft)
		if got := strings.Join(faultsOf(err), " "); codeOf(err) != key.Invalid || got != bad.faults {
			t.Errorf("faults %q, want %q (%v)", got, bad.faults, err)
		}
	}
}

// errorOf2 returns the error of three results.
func errorOf2[T, U any](_ T, _ U, err error) error { return err }

func TestAnExternalIDIsOneOrganizations(t *testing.T) {
	h := newHouse(t)
	everywhere := h.session("instance admin")
	create := func(name, id string) error {
		return errorOf(h.CreateOrganization(t.Context(), everywhere, key.OrganizationDraft{Name: name, ExternalID: id}))
	}
	set := func(c admin.Caller, organization int64, id string) error {
		return errorOf(h.UpdateOrganization(t.Context(), c, organization, key.OrganizationPatch{ExternalID: &id}))
	}
	expect(t, "the first", create("a", "x"), "ok")
	entries := h.logged(func() { expect(t, "another with it", create("b", "x"), key.Conflict) })
	expectActions(t, entries, "refused: organization.create")
	expect(t, "in another case", create("c", "X"), "ok")
	expect(t, "none", create("d", ""), "ok")
	expect(t, "none once more", create("e", ""), "ok")
	expect(t, "change to it", set(everywhere, h.home, "x"), key.Conflict)
	expect(t, "change to one that is free", set(everywhere, h.home, "y"), "ok")
	expect(t, "free it", set(everywhere, h.home, ""), "ok")
	expect(t, "and give it to another", set(everywhere, h.other, "y"), "ok")
	// An owner learns nothing about which there are: one that is taken, one that is free, and their own are all the same.
	for _, id := range []string{"x", "free", ""} {
		expect(t, "by an owner: "+id, set(h.session("owner"), h.home, id), key.Forbidden)
	}
	if found, _, err := h.Organizations(t.Context(), h.session("owner"), admin.OrganizationList{ExternalID: "y", Limit: 10}); err != nil || len(found) != 0 {
		t.Errorf("an owner of another organization finds %v, %v", found, err)
	}
	if found, _, err := h.Organizations(t.Context(), everywhere, admin.OrganizationList{ExternalID: "y", Limit: 10}); err != nil || len(found) != 1 || found[0].ID != h.other {
		t.Errorf("an instance admin finds %v, %v", found, err)
	}
}

func TestAnOrganizationIsChanged(t *testing.T) {
	h := newHouse(t)
	owner := h.session("owner")
	h.set(noon.Add(time.Hour))
	updated, err := h.UpdateOrganization(t.Context(), owner, h.home, key.OrganizationPatch{Name: ptr("Renamed"), Metadata: []byte(`{"a":1}`)})
	if err != nil || updated.Name != "Renamed" || string(updated.Metadata) != `{"a":1}` || updated.Role != key.Owner || !updated.UpdatedAt.Equal(h.now()) {
		t.Errorf("updated %+v, %v", updated, err)
	}
	h.set(noon.Add(2 * time.Hour))
	entries := h.logged(func() {
		again, err := h.UpdateOrganization(t.Context(), owner, h.home, key.OrganizationPatch{Name: ptr(" Renamed "), Metadata: []byte(`{"a":1}`)})
		if err != nil || !again.UpdatedAt.Equal(noon.Add(time.Hour)) {
			t.Errorf("a change of nothing: %+v, %v", again, err)
		}
	})
	expectActions(t, entries)
	expect(t, "a bad name", errorOf(h.UpdateOrganization(t.Context(), owner, h.home, key.OrganizationPatch{Name: ptr("")})), key.Invalid)
	expect(t, "a token for a name", errorOf(h.UpdateOrganization(t.Context(), owner, h.home, key.OrganizationPatch{Name: ptr(token.New("ak").Reveal())})), key.Invalid)
}

// When the answer comes, every token of the organization is thrown out, and nothing else.
func TestADeletedOrganizationIsGone(t *testing.T) {
	h := newHouse(t)
	owner := h.session("owner")
	first := h.key(h.users["owner"], h.home, read)
	_, second, err := h.RotateKey(t.Context(), owner, first.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	members := h.key(h.users["member"], h.home, key.AllScopes)
	h.thrown.take()
	calling := h.by(members)
	entries := h.logged(func() { expect(t, "delete", h.DeleteOrganization(t.Context(), owner, h.home), "ok") })
	expectActions(t, entries, "organization.delete")
	h.expectThrown("deleting an organization", append(h.tokensOf(first, members), second)...)

	expect(t, "a key of it", errorOf(h.Me(t.Context(), calling)), key.Unauthenticated)
	expect(t, "it", errorOf(h.Organization(t.Context(), owner, h.home)), key.NotFound)
	expect(t, "it, for an instance admin", errorOf(h.Organization(t.Context(), h.session("instance admin"), h.home)), key.NotFound)
	expect(t, "delete it again", h.DeleteOrganization(t.Context(), owner, h.home), key.NotFound)
	if me, err := h.Me(t.Context(), owner); err != nil || len(me.Memberships) != 0 {
		t.Errorf("its owner is %+v, %v", me, err)
	}
	if k, err := h.store.Key(t.Context(), h.foreign.ID); err != nil || k.OrganizationID != h.other {
		t.Errorf("a key of another organization is %+v, %v", k, err)
	}
	if _, err := h.store.Standing(t.Context(), h.users["stranger"], h.other); err != nil {
		t.Error(err)
	}
}

func TestOrganizationsAreListed(t *testing.T) {
	h := newHouse(t)
	third := h.organization("third")
	h.join("owner", third, key.Viewer)
	list := func(c admin.Caller, l admin.OrganizationList) (ids []int64, roles []key.Role) {
		t.Helper()
		for more := true; more; {
			var page []key.Account
			var err error
			l.Limit = 1
			if page, more, err = h.Organizations(t.Context(), c, l); err != nil {
				t.Fatal(err)
			}
			for _, o := range page {
				ids, roles = append(ids, o.ID), append(roles, o.Role)
				l.Before = o.ID
			}
		}
		return ids, roles
	}
	for _, row := range []struct {
		name   string
		caller admin.Caller
		list   admin.OrganizationList
		want   []int64
		roles  []key.Role
	}{
		{"one's own", h.session("owner"), admin.OrganizationList{}, []int64{third, h.home}, []key.Role{key.Viewer, key.Owner}},
		{"by a part of the name", h.session("owner"), admin.OrganizationList{NameContains: "OM"}, []int64{h.home}, []key.Role{key.Owner}},
		{"that of the key", h.withKey("owner", h.home, read), admin.OrganizationList{}, []int64{h.home}, []key.Role{key.Owner}},
		{"that of another key", h.withKey("owner", third, read), admin.OrganizationList{}, []int64{third}, []key.Role{key.Viewer}},
		{"all, for an instance admin", h.session("instance admin"), admin.OrganizationList{}, []int64{third, h.other, h.home}, []key.Role{0, key.Viewer, 0}},
		{"all, for a key of theirs that has MANAGE", h.withKey("instance admin", h.other, manage), admin.OrganizationList{}, []int64{third, h.other, h.home}, []key.Role{0, key.Viewer, 0}},
		{"that of one without", h.withKey("instance admin", h.other, read), admin.OrganizationList{}, []int64{h.other}, []key.Role{key.Viewer}},
	} {
		if ids, roles := list(row.caller, row.list); !slices.Equal(ids, row.want) || !slices.Equal(roles, row.roles) {
			t.Errorf("%s: %v as %v, want %v as %v", row.name, ids, roles, row.want, row.roles)
		}
	}
}

// Who acts on every organization is above a role, and the last owner is still one.
func TestAnOrganizationsOwnerIsNotItsLast(t *testing.T) {
	h := newHouse(t)
	made, err := h.CreateOrganization(t.Context(), h.session("instance admin"), key.OrganizationDraft{Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	leave := func() error {
		return h.RemoveMember(t.Context(), h.session("instance admin"), made.ID, h.users["instance admin"], admin.NotSaid)
	}
	expect(t, "leave it without an owner", leave(), key.Conflict)
	invited, err := h.InviteMember(t.Context(), h.session("instance admin"), made.ID, email("owner"), key.Owner)
	expect(t, "hand it over", err, "ok")
	expect(t, "leave it", leave(), "ok")
	if m, err := h.store.Member(t.Context(), made.ID, invited.UserID); err != nil || m.Role != key.Owner {
		t.Errorf("its owner is %+v, %v", m, err)
	}
	if _, err := h.store.Member(t.Context(), made.ID, h.users["instance admin"]); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the instance admin is there still: %v", err)
	}
}
