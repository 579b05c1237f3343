package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

var accountTests = []test{
	{"a user comes back as it was stored", userComesBack},
	{"an e-mail address is taken without regard to case", emailTaken},
	{"an organization comes back as it was stored", organizationComesBack},
	{"an external id is taken, none is not", externalIDTaken},
	{"a member is a member once, of what is there", memberConflicts},
	{"memberships come in the order of the organizations", memberships},
	{"a standing is what a user is to an organization", standing},
	{"Initialised says whether there is a user", initialised},
}

func userComesBack(t *testing.T, w *world) {
	for _, want := range []key.User{
		{Email: "Mixed.Case+tag@Example.COM", InstanceAdmin: true, CreatedAt: start, UpdatedAt: start.AddDate(0, 0, 1)},
		{Email: "jörg@exämple.de", CreatedAt: start, UpdatedAt: start},
	} {
		w.update(t, func(tx store.Tx) (err error) {
			want.ID, err = tx.InsertUser(t.Context(), want)
			return err
		})
		if got, err := w.User(t.Context(), want.ID); err != nil || got != want {
			t.Errorf("User() = %+v, %v, want %+v", got, err, want)
		}
	}
	for _, id := range []int64{0, -1, 1 << 40} {
		_, err := w.User(t.Context(), id)
		wantIs(t, fmt.Sprintf("User(%d)", id), err, store.ErrNotFound)
	}
}

func emailTaken(t *testing.T, w *world) {
	insert := func(email string) error {
		_, err := w.Update(t.Context(), func(tx store.Tx) error {
			_, err := tx.InsertUser(t.Context(), newUser(email))
			return err
		})
		return err
	}
	for _, email := range []string{"ada@example.com", "ADA@example.com", "ada@EXAMPLE.com"} {
		wantConflict(t, email, insert(email), store.EmailTaken)
	}
	if err := insert("é@example.com"); err != nil {
		t.Error(err)
	}
	wantConflict(t, "É@example.com", insert("É@example.com"), store.EmailTaken)
	if err := insert("ada@example.co"); err != nil {
		t.Error(err)
	}
}

func organizationComesBack(t *testing.T, w *world) {
	for _, want := range []key.Organization{
		{Name: "Ünïcode 𝕬", ExternalID: "crm-17", Metadata: []byte(`{"plan":"x"}`), CreatedAt: start,
			UpdatedAt: start.AddDate(0, 1, 0)},
		{Name: "bare", CreatedAt: start, UpdatedAt: start},
	} {
		w.update(t, func(tx store.Tx) (err error) {
			want.ID, err = tx.InsertOrganization(t.Context(), want)
			return err
		})
		got, err := w.Organization(t.Context(), want.ID)
		if err != nil || got.ID != want.ID || got.Name != want.Name || got.ExternalID != want.ExternalID ||
			string(got.Metadata) != string(want.Metadata) || got.CreatedAt != want.CreatedAt || got.UpdatedAt != want.UpdatedAt {
			t.Errorf("Organization() = %+v, %v, want %+v", got, err, want)
		}
	}
	for _, id := range []int64{0, -1, 1 << 40} {
		_, err := w.Organization(t.Context(), id)
		wantIs(t, fmt.Sprintf("Organization(%d)", id), err, store.ErrNotFound)
	}
}

func externalIDTaken(t *testing.T, w *world) {
	insert := func(external string) error {
		_, err := w.Update(t.Context(), func(tx store.Tx) error {
			o := newOrganization("o")
			o.ExternalID = external
			_, err := tx.InsertOrganization(t.Context(), o)
			return err
		})
		return err
	}
	for _, external := range []string{"", "", "a", "A", "b"} { // an id of somebody else's system: its case counts
		if err := insert(external); err != nil {
			t.Errorf("external id %q: %v", external, err)
		}
	}
	wantConflict(t, "a again", insert("a"), store.ExternalIDTaken)
}

func memberConflicts(t *testing.T, w *world) {
	for _, c := range []struct {
		organization, user int64
		want               store.Constraint
	}{
		{w.organization, w.user, store.MemberExists},
		{1 << 40, w.user, store.NoReference},
		{w.organization, 1 << 40, store.NoReference},
	} {
		_, err := w.Update(t.Context(), func(tx store.Tx) error {
			return tx.InsertMember(t.Context(), newMember(c.organization, c.user, key.Owner))
		})
		wantConflict(t, fmt.Sprintf("InsertMember(%d, %d)", c.organization, c.user), err, c.want)
	}
}

func memberships(t *testing.T, w *world) {
	var user int64
	var want []key.Membership
	w.update(t, func(tx store.Tx) (err error) {
		want = nil
		if user, err = tx.InsertUser(t.Context(), newUser("m@example.com")); err != nil {
			return err
		}
		for i := range 5 {
			name := fmt.Sprintf("Organization %d", 9-i)
			id, err := tx.InsertOrganization(t.Context(), newOrganization(name))
			if err != nil {
				return err
			}
			want = append(want, key.Membership{OrganizationID: id, OrganizationName: name, UserID: user,
				Role: key.Role(1 + i%4), CreatedAt: start})
		}
		for _, m := range slices.Backward(want) {
			if err := tx.InsertMember(t.Context(), m); err != nil {
				return err
			}
		}
		return nil
	})
	if got, err := w.Memberships(t.Context(), user); err != nil || !slices.Equal(got, want) {
		t.Errorf("Memberships() = %+v, %v, want %+v", got, err, want)
	}
	if got, err := w.Memberships(t.Context(), 1<<40); err != nil || len(got) != 0 {
		t.Errorf("Memberships() of nobody = %+v, %v", got, err)
	}
}

func standing(t *testing.T, w *world) {
	var admin int64
	w.update(t, func(tx store.Tx) (err error) {
		root := newUser("root@example.com")
		root.InstanceAdmin = true
		if admin, err = tx.InsertUser(t.Context(), root); err != nil {
			return err
		}
		return tx.InsertMember(t.Context(), newMember(w.organization, admin, key.Owner))
	})
	const nowhere = 1 << 40
	for _, c := range []struct {
		user, organization int64
		want               key.Standing
	}{
		{w.user, w.organization, key.Standing{OrganizationExists: true, Role: key.Member}},
		{w.user, nowhere, key.Standing{}},
		{w.user, 0, key.Standing{}},
		{admin, w.organization, key.Standing{InstanceAdmin: true, OrganizationExists: true, Role: key.Owner}},
		{admin, w.otherOrganization, key.Standing{InstanceAdmin: true, OrganizationExists: true}},
		{admin, nowhere, key.Standing{InstanceAdmin: true}},
		// Once more: a statement that is run again must not remember what it was asked before.
		{w.user, w.organization, key.Standing{OrganizationExists: true, Role: key.Member}},
	} {
		got, err := w.Standing(t.Context(), c.user, c.organization)
		if err != nil || got != c.want {
			t.Errorf("Standing(%d, %d) = %+v, %v, want %+v", c.user, c.organization, got, err, c.want)
		}
	}
	_, err := w.Standing(t.Context(), nowhere, w.organization)
	wantIs(t, "Standing of nobody", err, store.ErrNotFound)
}

func initialised(t *testing.T, w *world) {
	if is, err := w.Initialised(t.Context()); err != nil || !is {
		t.Errorf("Initialised() = %v, %v, want true", is, err)
	}
}
