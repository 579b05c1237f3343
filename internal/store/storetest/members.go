package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

var memberTests = []test{
	{"a member is a member once, of what is there", memberConflicts},
	{"memberships come in the order of the organizations", memberships},
	{"a member comes back as it was stored", memberComesBack},
	{"members come with the highest user first, in pages", membersInPages},
	{"UpdateMember changes the role and nothing else", updateMember},
	{"DeleteMember deletes the membership and touches no keys", deleteMember},
	{"Owners counts the owners of one organization", owners},
	{"a standing is what a user is to an organization", standing},
	{"an identity is user, key and standing", identity},
	{"an identity is of one moment", identityOfOneMoment},
	{"KeyFor returns what Key and Identity do", keyFor},
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

func memberComesBack(t *testing.T, w *world) {
	admin := w.insertUser(t, "Mixed.Case@example.com")
	want := key.Membership{OrganizationID: w.organization, UserID: admin, Email: "Mixed.Case@example.com", Role: key.Admin,
		CreatedAt: start.Add(time.Hour)}
	w.update(t, func(tx store.Tx) error { return tx.InsertMember(t.Context(), want) })
	if got, err := w.Member(t.Context(), w.organization, admin); err != nil || got != want {
		t.Errorf("Member() = %+v, %v, want %+v", got, err, want)
	}
	for _, c := range [][2]int64{{w.otherOrganization, admin}, {1 << 40, admin}, {w.organization, 1 << 40}, {0, 0}} {
		_, err := w.Member(t.Context(), c[0], c[1])
		wantIs(t, fmt.Sprintf("Member(%d, %d)", c[0], c[1]), err, store.ErrNotFound)
	}
}

func membersInPages(t *testing.T, w *world) {
	o := w.insertOrganization(t, newOrganization("many"))
	var want []key.Membership // oldest first
	w.update(t, func(tx store.Tx) error {
		want = want[:0]
		for i := range 20 {
			email := fmt.Sprintf("m%d@example.com", i)
			user, err := tx.InsertUser(t.Context(), newUser(email))
			if err != nil {
				return err
			}
			m := key.Membership{OrganizationID: o.ID, UserID: user, Email: email, Role: key.Role(1 + i%4), CreatedAt: start}
			if i%4 == 3 {
				m.OrganizationID = w.organization
			} else {
				want = append(want, m)
			}
			if err := tx.InsertMember(t.Context(), m); err != nil {
				return err
			}
		}
		return nil
	})
	slices.Reverse(want)
	for _, size := range []int{1, 4, 5, 15, 100} {
		var got []key.Membership
		for before := int64(0); ; before = got[len(got)-1].UserID {
			page, err := w.Members(t.Context(), store.MemberQuery{OrganizationID: o.ID, Before: before, Limit: size})
			if err != nil || len(page) > size {
				t.Fatalf("Members() = %d of %d, %v", len(page), size, err)
			}
			got = append(got, page...)
			if len(page) < size {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("members in pages of %d = %+v, want %+v", size, got, want)
		}
	}
	// A page stays in place while members in front of it come and go.
	w.update(t, func(tx store.Tx) error { return tx.DeleteMember(t.Context(), o.ID, want[3].UserID) })
	if got, err := w.Members(t.Context(), store.MemberQuery{OrganizationID: o.ID, Before: want[3].UserID, Limit: 2}); err != nil || !slices.Equal(got, want[4:6]) {
		t.Errorf("Members() below one that is gone = %+v, %v, want %+v", got, err, want[4:6])
	}
	if got, err := w.Members(t.Context(), store.MemberQuery{OrganizationID: 1 << 40, Limit: 10}); err != nil || len(got) != 0 {
		t.Errorf("Members() of no organization = %+v, %v", got, err)
	}
	for contains, n := range map[string]int{"": 14, "M1@": 1, "m1": 7, "@EXAMPLE.": 14, "m7": 0, "%": 0, "_": 0, "\\": 0} { // m7 is elsewhere
		got, err := w.Members(t.Context(), store.MemberQuery{OrganizationID: o.ID, EmailContains: contains, Limit: 100})
		if err != nil || len(got) != n {
			t.Errorf("Members() with %q = %+v, %v, want %d", contains, got, err, n)
		}
	}
	found, err := w.Members(t.Context(), store.MemberQuery{OrganizationID: o.ID, EmailContains: "m1", Before: want[4].UserID, Limit: 2})
	if err != nil || !slices.Equal(found, want[5:7]) {
		t.Errorf("Members() with m1 below one = %+v, %v, want %+v", found, err, want[5:7])
	}
	for _, limit := range []int{0, -1} {
		if got, err := w.Members(t.Context(), store.MemberQuery{OrganizationID: o.ID, Limit: limit}); err == nil {
			t.Errorf("Members() with limit %d = %+v, want an error", limit, got)
		}
	}
}

func updateMember(t *testing.T, w *world) {
	k, _ := w.insert(t, w.key())
	for _, role := range []key.Role{key.Owner, key.Viewer, key.Viewer, key.Admin} {
		wantChanges(t, w.update(t, func(tx store.Tx) error {
			return tx.UpdateMember(t.Context(), w.organization, w.user, role)
		}))
		want := newMember(w.organization, w.user, role)
		want.Email = "ada@example.com"
		if got, err := w.Member(t.Context(), w.organization, w.user); err != nil || got != want {
			t.Errorf("Member() = %+v, %v, want %+v", got, err, want)
		}
	}
	for _, m := range [][2]int64{{w.organization, w.otherUser}, {w.otherOrganization, w.user}} {
		if got, err := w.Member(t.Context(), m[0], m[1]); err != nil || got.Role != key.Member {
			t.Errorf("Member(%d, %d) = %+v, %v, want as before", m[0], m[1], got, err)
		}
	}
	w.wantKey(t, k)
	for _, m := range [][2]int64{{w.organization, 1 << 40}, {1 << 40, w.user}} {
		_, err := w.Update(t.Context(), func(tx store.Tx) error { return tx.UpdateMember(t.Context(), m[0], m[1], key.Owner) })
		wantIs(t, fmt.Sprintf("UpdateMember(%d, %d)", m[0], m[1]), err, store.ErrNotFound)
	}
}

func deleteMember(t *testing.T, w *world) {
	k, digest := w.insert(t, w.key())
	wantChanges(t, w.update(t, func(tx store.Tx) error { return tx.DeleteMember(t.Context(), w.organization, w.user) }))
	_, err := w.Member(t.Context(), w.organization, w.user)
	wantIs(t, "Member", err, store.ErrNotFound)
	if s, err := w.Standing(t.Context(), w.user, w.organization); err != nil || s.Role != 0 || !s.OrganizationExists {
		t.Errorf("Standing() = %+v, %v", s, err)
	}
	for _, m := range [][2]int64{{w.organization, w.otherUser}, {w.otherOrganization, w.user}} {
		if _, err := w.Member(t.Context(), m[0], m[1]); err != nil {
			t.Errorf("Member(%d, %d) = %v", m[0], m[1], err)
		}
	}
	w.wantKey(t, k)
	w.mustRecord(t, digest)
	_, err = w.Update(t.Context(), func(tx store.Tx) error { return tx.DeleteMember(t.Context(), w.organization, w.user) })
	wantIs(t, "DeleteMember again", err, store.ErrNotFound)
	w.update(t, func(tx store.Tx) error {
		return tx.InsertMember(t.Context(), newMember(w.organization, w.user, key.Admin))
	})
}

func owners(t *testing.T, w *world) {
	want := func(organization int64, n int) {
		t.Helper()
		if got, err := w.Owners(t.Context(), organization); err != nil || got != n {
			t.Errorf("Owners(%d) = %d, %v, want %d", organization, got, err, n)
		}
	}
	want(w.organization, 0)
	w.update(t, func(tx store.Tx) error {
		for i, user := range []int64{w.user, w.otherUser} {
			if err := tx.UpdateMember(t.Context(), w.organization, user, key.Owner); err != nil {
				return err
			}
			if n, err := tx.Owners(t.Context(), w.organization); err != nil || n != i+1 {
				t.Errorf("Owners() inside of the transaction = %d, %v, want %d", n, err, i+1)
			}
		}
		return tx.UpdateMember(t.Context(), w.otherOrganization, w.user, key.Admin)
	})
	want(w.organization, 2)
	want(w.otherOrganization, 0)
	w.update(t, func(tx store.Tx) error { return tx.DeleteMember(t.Context(), w.organization, w.user) })
	want(w.organization, 1)
	want(1<<40, 0)
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

func identity(t *testing.T, w *world) {
	admin := newUser("root@example.com")
	admin.InstanceAdmin = true
	w.update(t, func(tx store.Tx) (err error) {
		admin.ID, err = tx.InsertUser(t.Context(), admin)
		return err
	})
	user, err := w.User(t.Context(), w.user)
	if err != nil {
		t.Fatal(err)
	}
	mine, token := w.insert(t, w.key())
	rotated := w.digest()
	w.update(t, func(tx store.Tx) error {
		return tx.ReplaceToken(t.Context(), mine.ID, rotated, "h", start.Add(time.Hour), start)
	})
	bare := w.key()
	bare.UserID, bare.ExpiresAt, bare.Metadata, bare.Enabled = w.otherUser, time.Time{}, nil, false
	foreign, foreignToken := w.insert(t, bare)

	inGrace := recordOf(mine)
	inGrace.TokenExpiresAt = key.MillisOf(start.Add(time.Hour))
	record, foreignRecord := recordOf(mine), recordOf(foreign)
	member := key.Standing{OrganizationExists: true, Role: key.Member}
	for _, c := range []struct {
		name         string
		user         key.User
		token        key.Digest
		organization int64
		key          *key.Record
		standing     key.Standing
	}{
		{"no key", user, key.Digest{}, w.organization, nil, member},
		{"the key", user, rotated, w.organization, &record, member},
		{"its old token", user, token, w.organization, &inGrace, member},
		{"a key that is somebody else's", user, foreignToken, w.organization, &foreignRecord, member},
		{"a token that no key has", user, w.digest(), w.organization, nil, member},
		{"no organization", user, rotated, 0, &record, key.Standing{}},
		{"an organization that is not there", user, rotated, 1 << 40, &record, key.Standing{}},
		{"no member", admin, key.Digest{}, w.organization, nil, key.Standing{InstanceAdmin: true, OrganizationExists: true}},
		{"nothing", admin, key.Digest{}, 0, nil, key.Standing{InstanceAdmin: true}},
	} {
		check := func(where string, got key.Identity, err error) {
			if err != nil || got.User != c.user || got.Standing != c.standing || (got.Key == nil) != (c.key == nil) ||
				c.key != nil && *got.Key != *c.key {
				t.Errorf("%s: Identity()%s = %+v (key %+v), %v, want %+v", c.name, where, got, got.Key, err, c)
			}
		}
		got, err := w.Identity(t.Context(), c.user.ID, c.token, c.organization)
		check("", got, err)
		w.update(t, func(tx store.Tx) error {
			got, err := tx.Identity(t.Context(), c.user.ID, c.token, c.organization)
			check(" inside of a transaction", got, err)
			return err
		})
	}
	for _, token := range []key.Digest{{}, rotated} {
		_, err := w.Identity(t.Context(), 1<<40, token, w.organization)
		wantIs(t, "Identity of nobody", err, store.ErrNotFound)
	}
}

// keyFor returns what Key and Identity do.
func keyFor(t *testing.T, w *world) {
	mine, token := w.insert(t, w.key())
	elsewhere := w.key()
	elsewhere.OrganizationID = w.otherOrganization
	foreign, foreignToken := w.insert(t, elsewhere)
	for _, c := range []struct {
		name         string
		user, id     int64
		token        key.Digest
		organization int64
	}{
		{"by itself", w.user, mine.ID, token, mine.OrganizationID},
		{"by another", w.user, mine.ID, foreignToken, mine.OrganizationID},
		{"of another organization", w.user, foreign.ID, token, foreign.OrganizationID},
		{"without a key", w.otherUser, mine.ID, key.Digest{}, mine.OrganizationID},
		{"a token that no key has", w.user, mine.ID, w.digest(), mine.OrganizationID},
	} {
		check := func(r store.Reader) {
			k, caller, err := r.KeyFor(t.Context(), c.id, c.user, c.token)
			wantKey, err2 := r.Key(t.Context(), c.id)
			want, err3 := r.Identity(t.Context(), c.user, c.token, c.organization)
			if err := errors.Join(err, err2, err3); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(k, wantKey) || !reflect.DeepEqual(caller, want) {
				t.Errorf("%s: %+v and %+v (key %+v), want %+v and %+v (key %+v)", c.name, k, caller, caller.Key, wantKey, want, want.Key)
			}
		}
		check(w)
		w.update(t, func(tx store.Tx) error { check(tx); return nil })
	}
	for name, ids := range map[string][2]int64{"key": {1 << 40, w.user}, "user": {mine.ID, 1 << 40}} {
		_, _, err := w.KeyFor(t.Context(), ids[0], ids[1], token)
		wantIs(t, "KeyFor where there is no such "+name, err, store.ErrNotFound)
	}
}

// identityOfOneMoment makes a user an owner in the same transaction that disables their key, and takes that back:
// nobody may see an owner with a key that is enabled.
func identityOfOneMoment(t *testing.T, w *world) {
	k, digest := w.insert(t, w.key())
	done := make(chan struct{})
	var group sync.WaitGroup
	defer func() { close(done); group.Wait() }()
	for range 2 {
		group.Go(func() {
			for {
				id, err := w.Identity(t.Context(), w.user, digest, w.organization)
				if err != nil || id.Key == nil || id.Key.Enabled == (id.Standing.Role == key.Owner) {
					t.Errorf("Identity() = %+v (key %+v), %v", id, id.Key, err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range 100 {
		role := []key.Role{key.Owner, key.Member}[i%2]
		k.Enabled = role == key.Member
		w.update(t, func(tx store.Tx) error {
			if err := tx.UpdateKey(t.Context(), k); err != nil {
				return err
			}
			return tx.UpdateMember(t.Context(), w.organization, w.user, role)
		})
	}
}
