// Package storetest is the one suite that every store passes: a test for each MUST of the storage contract.
//
// What a store promises about power loss, broken disks and damaged files cannot be tested through the contract; each
// store's own package does that.
package storetest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// Run runs the suite. open returns a store that holds nothing; the suite closes it.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Keys", keyTests},
		{"List", listTests},
		{"Tokens", tokenTests},
		{"Leaks", leakTests},
		{"Quotas", quotaTests},
		{"Users", userTests},
		{"Organizations", organizationTests},
		{"Members", memberTests},
		{"MemberKeys", memberKeyTests},
		{"Sessions", sessionTests},
		{"Links", linkTests},
		{"Devices", deviceTests},
		{"Forms", formTests},
		{"Audit", auditTests},
		{"Usage", usageTests},
		{"Update", updateTests},
		{"Life", lifeTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					t.Parallel()
					test.run(t, populate(t, open(t)))
				})
			}
		})
	}
}

// test is one MUST.
type test struct {
	name string
	run  func(t *testing.T, w *world)
}

// world is a store with two organizations and two users, each a member of both.
type world struct {
	store.Store
	organization, otherOrganization int64
	user, otherUser                 int64
	digests                         byte
}

// start is when everything in a world was made.
var start = time.Date(2026, 11, 22, 18, 54, 3, int(120*time.Millisecond), time.UTC)

func newUser(email string) key.User {
	return key.User{Email: email, CreatedAt: start, UpdatedAt: start}
}

func newOrganization(name string) key.Organization {
	return key.Organization{Name: name, CreatedAt: start, UpdatedAt: start}
}

func newMember(organization, user int64, role key.Role) key.Membership {
	return key.Membership{OrganizationID: organization, UserID: user, Role: role, CreatedAt: start}
}

func newSession(user int64) key.Session {
	return key.Session{UserID: user, Method: key.ByPassword, IP: "192.0.2.7", UserAgent: "Mozilla/5.0 (X11)", CreatedAt: start,
		LastUsedAt: start, ExpiresAt: start.AddDate(0, 0, 30)}
}

func newLink(user int64) key.Link {
	return key.Link{UserID: user, CreatedAt: start, ExpiresAt: start.Add(key.LinkLifetime)}
}

func populate(t *testing.T, s store.Store) *world {
	t.Helper()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	w := &world{Store: s}
	w.update(t, func(tx store.Tx) error {
		for _, u := range []struct {
			email string
			id    *int64
		}{{"ada@example.com", &w.user}, {"grace@example.com", &w.otherUser}} {
			id, err := tx.InsertUser(t.Context(), newUser(u.email))
			if err != nil {
				return err
			}
			*u.id = id
		}
		for _, o := range []struct {
			name string
			id   *int64
		}{{"Analytical Engines", &w.organization}, {"Compilers", &w.otherOrganization}} {
			id, err := tx.InsertOrganization(t.Context(), newOrganization(o.name))
			if err != nil {
				return err
			}
			*o.id = id
			for _, user := range []int64{w.user, w.otherUser} {
				if err := tx.InsertMember(t.Context(), newMember(id, user, key.Member)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return w
}

// update runs fn in a transaction that must succeed, and returns its changes.
func (w *world) update(t *testing.T, fn func(store.Tx) error) []store.Change {
	t.Helper()
	changes, err := w.Update(t.Context(), fn)
	if err != nil {
		t.Fatalf("Update() = %v", err)
	}
	return changes
}

// digest returns a digest that no token of this world has yet.
func (w *world) digest() key.Digest {
	w.digests++
	return key.Digest{0xd1, 0x9e, 31: w.digests}
}

// key returns a key with everything set, as it would be created.
func (w *world) key() key.Key {
	return key.Key{
		Name: "Backend API Key", Scopes: key.ScopesOf(key.Read, key.Create), OrganizationID: w.organization,
		UserID: w.user, Hint: "ak_7Gx2…9fQ2", Enabled: true, ExpiresAt: start.AddDate(1, 0, 0), CreatedAt: start,
		UpdatedAt: start, Metadata: []byte(`{"team":"core"}`),
	}
}

// insertUser stores a user who is no member of anything.
func (w *world) insertUser(t *testing.T, email string) (id int64) {
	t.Helper()
	w.update(t, func(tx store.Tx) (err error) {
		id, err = tx.InsertUser(t.Context(), newUser(email))
		return err
	})
	return id
}

// insert stores a key with a new token.
func (w *world) insert(t *testing.T, k key.Key) (key.Key, key.Digest) {
	t.Helper()
	digest := w.digest()
	w.update(t, func(tx store.Tx) (err error) {
		k.ID, err = tx.InsertKey(t.Context(), k, digest)
		return err
	})
	return k, digest
}

// mustGet returns the key as it is stored now.
func (w *world) mustGet(t *testing.T, id int64) key.Key {
	t.Helper()
	k, err := w.Key(t.Context(), id)
	if err != nil {
		t.Fatalf("Key(%d) = %v", id, err)
	}
	return k
}

// wantKey fails where the stored key is not want.
func (w *world) wantKey(t *testing.T, want key.Key) {
	t.Helper()
	sameKey(t, w.mustGet(t, want.ID), want)
}

func sameKey(t *testing.T, got, want key.Key) {
	t.Helper()
	if string(got.Metadata) != string(want.Metadata) {
		t.Errorf("metadata of key %d = %s, want %s", want.ID, got.Metadata, want.Metadata)
	}
	for _, at := range []struct {
		name      string
		got, want *time.Time
	}{
		{"ExpiresAt", &got.ExpiresAt, &want.ExpiresAt}, {"LastUsedAt", &got.LastUsedAt, &want.LastUsedAt},
		{"CreatedAt", &got.CreatedAt, &want.CreatedAt}, {"UpdatedAt", &got.UpdatedAt, &want.UpdatedAt},
	} {
		if !at.got.Truncate(key.Resolution).Equal(at.want.Truncate(key.Resolution)) {
			t.Errorf("%s of key %d = %v, want %v", at.name, want.ID, *at.got, *at.want)
		}
		if at.got.Location() != time.UTC {
			t.Errorf("%s of key %d is in %v, want UTC", at.name, want.ID, at.got.Location())
		}
		*at.got, *at.want = time.Time{}, time.Time{}
	}
	got.Metadata, want.Metadata = nil, nil
	if got.ID != want.ID || got.Name != want.Name || got.Scopes != want.Scopes || got.Hint != want.Hint ||
		got.OrganizationID != want.OrganizationID || got.UserID != want.UserID || got.Enabled != want.Enabled ||
		!got.Restrictions.Same(&want.Restrictions) {
		t.Errorf("key = %+v, want %+v", got, want)
	}
}

// wantIs fails where err does not match target.
func wantIs(t *testing.T, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: error %v, want %v", what, err, target)
	}
}

// wantConflict fails where err is no conflict with constraint, or matches something else as well.
func wantConflict(t *testing.T, what string, err error, constraint store.Constraint) {
	t.Helper()
	conflict, ok := errors.AsType[*store.ConflictError](err)
	if !ok || conflict.Constraint != constraint || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrNotFound) {
		t.Errorf("%s: error %v, want a conflict with %s", what, err, constraint)
	}
}

// wantChanges fails where the changes are not about exactly these digests.
func wantChanges(t *testing.T, got []store.Change, want ...key.Digest) {
	t.Helper()
	list := func(digests []key.Digest) string {
		var names []string
		for _, d := range digests {
			names = append(names, string(d[:]))
		}
		slices.Sort(names)
		return strings.Join(names, "")
	}
	digests := make([]key.Digest, len(got))
	for i, c := range got {
		digests[i] = c.Digest
	}
	if list(digests) != list(want) {
		t.Errorf("changes = %v, want %v", digests, want)
	}
}
