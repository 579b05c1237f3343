package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

var organizationTests = []test{
	{"an organization comes back as it was stored", organizationComesBack},
	{"an external id is taken, none is not", externalIDTaken},
	{"UpdateOrganization writes what may change and nothing else", updateOrganization},
	{"an external id is taken on update, too", externalIDTakenOnUpdate},
	{"DeleteOrganization deletes members and keys and records a change for each token", deleteOrganization},
	{"the restrictions of a list of organizations hold, each and together", organizationRestrictions},
	{"pages of organizations put together are the whole list", organizationPages},
	{"a list of organizations shares no memory with the store", organizationMemory},
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

func sameOrganization(a, b key.Organization) bool {
	return a.ID == b.ID && a.Same(&b) && a.CreatedAt == b.CreatedAt && a.UpdatedAt == b.UpdatedAt
}

// wantOrganization fails where the stored organization is not want.
func (w *world) wantOrganization(t *testing.T, want key.Organization) {
	t.Helper()
	if got, err := w.Organization(t.Context(), want.ID); err != nil || !sameOrganization(got, want) {
		t.Errorf("Organization() = %+v, %v, want %+v", got, err, want)
	}
}

// insertOrganization stores an organization with nobody in it.
func (w *world) insertOrganization(t *testing.T, o key.Organization) key.Organization {
	t.Helper()
	w.update(t, func(tx store.Tx) (err error) {
		o.ID, err = tx.InsertOrganization(t.Context(), o)
		return err
	})
	return o
}

func updateOrganization(t *testing.T, w *world) {
	o := newOrganization("before")
	o.ExternalID, o.Metadata = "crm-1", []byte(`{"a":1}`)
	o = w.insertOrganization(t, o)
	bystander, err := w.Organization(t.Context(), w.organization)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []key.Organization{
		{ID: o.ID, Name: "after", ExternalID: "crm-2", Metadata: []byte(`{"b":2}`), UpdatedAt: start.Add(time.Minute)},
		{ID: o.ID, Name: "bare", UpdatedAt: start.Add(2 * time.Minute)},
		{ID: o.ID, Name: "again", ExternalID: "crm-1", UpdatedAt: start.Add(3 * time.Minute)},
	} {
		wantChanges(t, w.update(t, func(tx store.Tx) error { return tx.UpdateOrganization(t.Context(), want) }))
		want.CreatedAt = start // not written
		w.wantOrganization(t, want)
	}
	w.wantOrganization(t, bystander)
	_, err = w.Update(t.Context(), func(tx store.Tx) error {
		absent := newOrganization("absent")
		absent.ID = 1 << 40
		return tx.UpdateOrganization(t.Context(), absent)
	})
	wantIs(t, "UpdateOrganization", err, store.ErrNotFound)
}

func externalIDTakenOnUpdate(t *testing.T, w *world) {
	make := func(external string) key.Organization {
		o := newOrganization("o " + external)
		o.ExternalID = external
		return w.insertOrganization(t, o)
	}
	update := func(o key.Organization, external string) error {
		o.ExternalID = external
		_, err := w.Update(t.Context(), func(tx store.Tx) error { return tx.UpdateOrganization(t.Context(), o) })
		return err
	}
	a, b := make("a"), make("b")
	wantConflict(t, "update to another's", update(a, "b"), store.ExternalIDTaken)
	w.wantOrganization(t, a)
	for _, external := range []string{"a", "B", "", "c"} { // its own, another's in another case, none, a free one
		if err := update(a, external); err != nil {
			t.Errorf("update to %q: %v", external, err)
		}
	}
	if err := update(b, "a"); err != nil { // which nobody has any more
		t.Errorf("update to one that was given up: %v", err)
	}
}

func deleteOrganization(t *testing.T, w *world) {
	o := newOrganization("gone")
	o.ExternalID = "crm-1"
	o = w.insertOrganization(t, o)
	bystander, other := w.insert(t, w.key())
	var tokens []key.Digest
	var keys []key.Key
	for i := range 3 {
		k := w.key()
		k.OrganizationID = o.ID
		k.UserID = []int64{w.user, w.otherUser}[i%2]
		k, digest := w.insert(t, k)
		keys, tokens = append(keys, k), append(tokens, digest)
	}
	rotated := w.digest()
	w.update(t, func(tx store.Tx) error {
		for _, user := range []int64{w.user, w.otherUser} {
			if err := tx.InsertMember(t.Context(), newMember(o.ID, user, key.Owner)); err != nil {
				return err
			}
		}
		return tx.ReplaceToken(t.Context(), keys[0].ID, rotated, "h", start.Add(time.Hour), start)
	})
	tokens = append(tokens, rotated)

	changes := w.update(t, func(tx store.Tx) error {
		members, deleted, err := tx.DeleteOrganization(t.Context(), o.ID)
		if members != 2 || deleted != 3 {
			t.Errorf("DeleteOrganization() = %d members, %d keys, want 2 and 3", members, deleted)
		}
		return err
	})
	wantChanges(t, changes, tokens...)
	_, err := w.Organization(t.Context(), o.ID)
	wantIs(t, "Organization", err, store.ErrNotFound)
	for _, digest := range tokens {
		_, err := w.RecordByDigest(t.Context(), digest)
		wantIs(t, "RecordByDigest", err, store.ErrNotFound)
	}
	for _, k := range keys {
		_, err := w.Key(t.Context(), k.ID)
		wantIs(t, "Key", err, store.ErrNotFound)
	}
	_, err = w.Member(t.Context(), o.ID, w.user)
	wantIs(t, "Member", err, store.ErrNotFound)
	if s, err := w.Standing(t.Context(), w.user, o.ID); err != nil || s != (key.Standing{}) {
		t.Errorf("Standing() = %+v, %v", s, err)
	}
	if m, err := w.Memberships(t.Context(), w.user); err != nil || len(m) != 2 {
		t.Errorf("Memberships() = %+v, %v, want the two others", m, err)
	}
	w.wantKey(t, bystander)
	w.mustRecord(t, other)

	for _, id := range []int64{o.ID, 1 << 40} {
		changes, err := w.Update(t.Context(), func(tx store.Tx) error {
			_, _, err := tx.DeleteOrganization(t.Context(), id)
			return err
		})
		wantIs(t, "DeleteOrganization of what is not there", err, store.ErrNotFound)
		wantChanges(t, changes)
	}
	o = w.insertOrganization(t, o) // its external id is free again
	wantChanges(t, w.update(t, func(tx store.Tx) error {
		members, keys, err := tx.DeleteOrganization(t.Context(), o.ID)
		if members != 0 || keys != 0 {
			t.Errorf("DeleteOrganization() of an empty one = %d, %d", members, keys)
		}
		return err
	}))
}

// manyOrganizations returns all organizations there are, oldest first, and of which of them w.user is a member.
func (w *world) manyOrganizations(t *testing.T) (all []key.Organization, mine map[int64]bool) {
	t.Helper()
	mine = map[int64]bool{}
	for _, id := range []int64{w.organization, w.otherOrganization} {
		o, err := w.Organization(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		all, mine[id] = append(all, o), true
	}
	world := len(all)
	w.update(t, func(tx store.Tx) error {
		all = all[:world]
		for i := range 30 {
			o := newOrganization(fmt.Sprintf("Org %d of É", i%4))
			if i%3 == 0 {
				o.ExternalID = fmt.Sprint("crm-", i)
			}
			o.Metadata = fmt.Appendf(nil, `{"n":%d}`, i)
			id, err := tx.InsertOrganization(t.Context(), o)
			if err != nil {
				return err
			}
			o.ID = id
			all = append(all, o)
			if i%5 < 2 {
				mine[id] = true
				if err := tx.InsertMember(t.Context(), newMember(id, w.user, key.Viewer)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return all, mine
}

// describedOrganizations says in Go what a query asks for. It knows no users but w.user.
func (w *world) describedOrganizations(q store.OrganizationQuery, all []key.Organization, mine map[int64]bool) (ids []int64) {
	for _, o := range slices.Backward(all) {
		if (q.UserID == 0 || q.UserID == w.user && mine[o.ID]) &&
			strings.Contains(asciiLower(o.Name), asciiLower(q.NameContains)) &&
			(q.ExternalID == "" || o.ExternalID == q.ExternalID) &&
			(q.Before == 0 || o.ID < q.Before) && len(ids) < q.Limit {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

func organizationIDs(list []key.Organization) (ids []int64) {
	for _, o := range list {
		ids = append(ids, o.ID)
	}
	return ids
}

func organizationRestrictions(t *testing.T, w *world) {
	all, mine := w.manyOrganizations(t)
	for _, user := range []int64{0, w.user, 1 << 40} {
		for _, name := range []string{"", "org 2", "OF É", "of é", "ENGINES", "%", "none"} {
			for _, external := range []string{"", "crm-3", "crm-6", "CRM-6", "none"} {
				for _, before := range []int64{0, all[20].ID, all[8].ID, 1} {
					for _, limit := range []int{1, 3, 1000} {
						q := store.OrganizationQuery{UserID: user, NameContains: name, ExternalID: external, Before: before, Limit: limit}
						got, err := w.Organizations(t.Context(), q)
						if want := w.describedOrganizations(q, all, mine); err != nil || !slices.Equal(organizationIDs(got), want) {
							t.Fatalf("Organizations(%+v) = %v, %v, want %v", q, organizationIDs(got), err, want)
						}
					}
				}
			}
		}
	}
	for _, q := range []store.OrganizationQuery{{}, {UserID: w.user}, {ExternalID: "crm-3"}, {Limit: -1}} {
		if list, err := w.Organizations(t.Context(), q); err == nil {
			t.Errorf("Organizations(%+v) = %v, want an error: there is no limit", q, list)
		}
	}
}

func organizationPages(t *testing.T, w *world) {
	all, mine := w.manyOrganizations(t)
	for _, q := range []store.OrganizationQuery{{}, {UserID: w.user}, {NameContains: "org 1"}, {UserID: w.user, NameContains: "org 1"}} {
		for _, size := range []int{1, 4, 16, 32} {
			q.Before, q.Limit = 0, len(all)
			want := w.describedOrganizations(q, all, mine)
			var got []int64
			for q.Limit = size; ; q.Before = got[len(got)-1] {
				page, err := w.Organizations(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, organizationIDs(page)...)
				if len(page) < size {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("Organizations(%+v) in pages of %d = %v, want %v", q, size, got, want)
			}
		}
	}
}

func organizationMemory(t *testing.T, w *world) {
	all, _ := w.manyOrganizations(t)
	for _, q := range []store.OrganizationQuery{{}, {UserID: w.user}, {ExternalID: "crm-0"}} {
		q.Limit = 1000
		for range 2 { // the second time after the first answer was spoilt
			list, err := w.Organizations(t.Context(), q)
			if err != nil || len(list) == 0 {
				t.Fatalf("Organizations(%+v) = %v, %v", q, list, err)
			}
			for _, o := range list {
				i := slices.IndexFunc(all, func(other key.Organization) bool { return other.ID == o.ID })
				if !sameOrganization(o, all[i]) {
					t.Errorf("Organizations(%+v) has %+v, want %+v", q, o, all[i])
				}
				clear(o.Metadata)
			}
		}
	}
}
