package admin_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/token"
)

// roleOf returns a user's role in home, zero where they are no member.
func (h *house) roleOf(user string) key.Role {
	h.t.Helper()
	m, err := h.store.Member(h.t.Context(), h.home, h.users[user])
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		h.t.Fatal(err)
	}
	return m.Role
}

// holderOf returns whose a key is, 0 where it is gone.
func (h *house) holderOf(k key.Key) int64 {
	h.t.Helper()
	now, err := h.store.Key(h.t.Context(), k.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		h.t.Fatal(err)
	}
	return now.UserID
}

func (h *house) setRole(c admin.Caller, user string, role key.Role, keys admin.Remaining) error {
	_, err := h.UpdateMember(h.t.Context(), c, h.home, h.users[user], role, keys)
	return err
}

func (h *house) removeMember(c admin.Caller, user string, keys admin.Remaining) error {
	return h.RemoveMember(h.t.Context(), c, h.home, h.users[user], keys)
}

func TestAnOrganizationKeepsAnOwner(t *testing.T) {
	h := newHouse(t)
	owner, everywhere := h.session("owner"), h.bearer("instance admin")
	expect(t, "demote one of two", h.setRole(owner, "colleague", key.Viewer, admin.NotSaid), "ok")
	entries := h.logged(func() {
		expect(t, "demote the last by themselves", h.setRole(owner, "owner", key.Admin, admin.NotSaid), key.Conflict)
		expect(t, "the last one leaves", h.removeMember(owner, "owner", admin.NotSaid), key.Conflict)
		expect(t, "demote the last by an instance admin", h.setRole(everywhere, "owner", key.Admin, admin.NotSaid), key.Conflict)
		expect(t, "remove the last by an instance admin", h.removeMember(everywhere, "owner", admin.Deleted), key.Conflict)
	})
	expectActions(t, entries, "refused: member.update", "refused: member.delete", "refused: member.update", "refused: member.delete")
	expect(t, "keep the last what they are", h.setRole(owner, "owner", key.Owner, admin.NotSaid), "ok")
	expect(t, "make another owner", h.setRole(owner, "admin", key.Owner, admin.NotSaid), "ok")
	expect(t, "then leave", h.removeMember(owner, "owner", admin.NotSaid), "ok")
	if h.roleOf("owner") != 0 || h.roleOf("admin") != key.Owner {
		t.Errorf("the owner is %q, the admin %q", h.roleOf("owner"), h.roleOf("admin"))
	}
}

// Two owners who turn each other out at the same moment: one of them stays.
func TestOneOfTwoOwnersStays(t *testing.T) {
	h := newHouse(t)
	for name, act := range map[string]func(c admin.Caller, whom string) error{
		"remove": func(c admin.Caller, whom string) error { return h.removeMember(c, whom, admin.NotSaid) },
		"demote": func(c admin.Caller, whom string) error { return h.setRole(c, whom, key.Viewer, admin.NotSaid) },
	} {
		for round := range 20 {
			for _, user := range []string{"owner", "colleague"} {
				h.change(func(tx store.Tx) error {
					if err := tx.DeleteMember(t.Context(), h.home, h.users[user]); err != nil && !errors.Is(err, store.ErrNotFound) {
						return err
					}
					return tx.InsertMember(t.Context(), key.Membership{OrganizationID: h.home, UserID: h.users[user], Role: key.Owner, CreatedAt: noon})
				})
			}
			whom := map[string]string{"owner": "colleague", "colleague": "owner"} // each the other
			if round%2 == 0 {
				whom = map[string]string{"owner": "owner", "colleague": "colleague"} // each themselves
			}
			var together sync.WaitGroup
			for who, other := range whom {
				c := h.bearer(who)
				together.Go(func() {
					switch err := act(c, other); codeOf(err) {
					case "ok", key.Conflict, key.NotFound, key.Forbidden:
					default:
						t.Errorf("%s by the %s: %v", name, who, err)
					}
				})
			}
			together.Wait()
			if owners, err := h.store.Owners(t.Context(), h.home); owners != 1 || err != nil {
				t.Fatalf("%s, round %d: %d owners, %v", name, round, owners, err)
			}
		}
	}
}

func TestWhatBecomesOfTheKeysOfWhoIsDemoted(t *testing.T) {
	h := newHouse(t)
	owner := h.session("owner")
	readers := h.key(h.users["admin"], h.home, read|create)
	managers, both := h.key(h.users["admin"], h.home, manage), h.key(h.users["admin"], h.home, key.AllScopes)
	_, second, err := h.RotateKey(t.Context(), owner, both.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	off := false
	if _, err := h.UpdateKey(t.Context(), owner, managers.ID, key.Patch{Enabled: &off}); err != nil { // it counts all the same
		t.Fatal(err)
	}
	h.join("admin", h.other, key.Admin)
	elsewhere := h.key(h.users["admin"], h.other, manage)
	colleagues := h.key(h.users["colleague"], h.home, manage)
	h.thrown.take()

	entries := h.logged(func() {
		err := h.setRole(owner, "admin", key.Member, admin.NotSaid)
		expect(t, "without a word about keys", err, key.KeysRemain)
		if e, _ := errors.AsType[*key.Error](err); !slices.Equal(e.KeyIDs, []int64{managers.ID, both.ID}) {
			t.Errorf("the keys that remain are %v", e.KeyIDs)
		}
	})
	expectActions(t, entries, "refused: member.update")
	h.expectThrown("a refusal")
	if h.roleOf("admin") != key.Admin || h.holderOf(both) != h.users["admin"] {
		t.Error("it was half done")
	}

	h.pass(time.Minute)
	entries = h.logged(func() { expect(t, "transfer", h.setRole(owner, "admin", key.Member, admin.ToCaller), "ok") })
	expectActions(t, entries, "member.update", "key.transfer", "key.transfer")
	h.expectThrown("a transfer", append(h.tokensOf(managers, both), second)...)
	for k, want := range map[*key.Key]string{&readers: "admin", &managers: "owner", &both: "owner", &elsewhere: "admin", &colleagues: "colleague"} {
		if h.holderOf(*k) != h.users[want] {
			t.Errorf("key %d with %v is that of user %d, want the %s", k.ID, k.Scopes, h.holderOf(*k), want)
		}
	}
	if k, err := h.store.Key(t.Context(), both.ID); err != nil || k.Scopes != key.AllScopes || !k.UpdatedAt.Equal(h.now()) {
		t.Errorf("the key is %+v, %v", k, err)
	}

	entries = h.logged(func() {
		err := h.setRole(owner, "admin", key.Viewer, admin.NotSaid)
		expect(t, "further down", err, key.KeysRemain)
		if e, _ := errors.AsType[*key.Error](err); !slices.Equal(e.KeyIDs, []int64{readers.ID}) {
			t.Errorf("the keys that remain are %v", e.KeyIDs)
		}
		expect(t, "delete", h.setRole(owner, "admin", key.Viewer, admin.Deleted), "ok")
	})
	expectActions(t, entries, "refused: member.update", "member.update", "key.delete")
	h.expectThrown("a demotion", h.tokensOf(readers)...)
	if h.holderOf(readers) != 0 || h.holderOf(elsewhere) != h.users["admin"] {
		t.Error("the wrong keys are gone")
	}
	expect(t, "no more keys, no more words", h.setRole(owner, "admin", key.Member, admin.NotSaid), "ok")
}

// A key that manages accounts acts with its holder's authority, and whoever is removed still knows the token.
func TestNobodyRisesByATransfer(t *testing.T) {
	for caller, want := range map[string]bool{"owner": true, "instance admin": false} {
		h := newHouse(t)
		reader, manager := h.key(h.users["colleague"], h.home, read), h.key(h.users["colleague"], h.home, key.AllScopes)
		expect(t, caller, h.removeMember(h.session(caller), "colleague", admin.ToCaller), "ok")
		for k, enabled := range map[int64]bool{reader.ID: true, manager.ID: want} {
			if got, err := h.store.Key(t.Context(), k); err != nil || got.Enabled != enabled || got.UserID != h.users[caller] {
				t.Errorf("transferred to the %s, key %d is %+v, %v; want enabled %t", caller, k, got, err, enabled)
			}
		}
	}
	h := newHouse(t)
	manager := h.key(h.users["admin"], h.home, manage)
	expect(t, "owner", h.removeMember(h.session("owner"), "admin", admin.ToCaller), "ok")
	if got, err := h.store.Key(t.Context(), manager.ID); err != nil || got.Enabled {
		t.Errorf("an admin's key that an owner has taken over is %+v, %v; want it disabled", got, err)
	}
}

// Whoever is removed keeps no key at all.
func TestWhatBecomesOfTheKeysOfWhoIsRemoved(t *testing.T) {
	h := newHouse(t)
	owner := h.session("owner")
	first, second := h.key(h.users["member"], h.home, read), h.key(h.users["member"], h.home, create|update)
	err := h.removeMember(owner, "member", admin.NotSaid)
	expect(t, "without a word about keys", err, key.KeysRemain)
	if e, _ := errors.AsType[*key.Error](err); !slices.Equal(e.KeyIDs, []int64{first.ID, second.ID}) {
		t.Errorf("the keys that remain are %v", e.KeyIDs)
	}
	caller := h.by(first)
	h.thrown.take()
	entries := h.logged(func() { expect(t, "delete", h.removeMember(owner, "member", admin.Deleted), "ok") })
	expectActions(t, entries, "member.delete", "key.delete", "key.delete")
	h.expectThrown("a removal", h.tokensOf(first, second)...)
	expect(t, "a key that is dead", errorOf(h.Me(t.Context(), caller)), key.Unauthenticated)

	// The last that a demoted calling key does is to demote.
	own := h.withKey("admin", h.home, manage)
	expect(t, "by the key that goes with it", h.setRole(own, "admin", key.Member, admin.Deleted), "ok")
	expect(t, "by it again", h.setRole(own, "viewer", key.Member, admin.NotSaid), key.Unauthenticated)
}

func TestATransferGivesTheCallerNothingNew(t *testing.T) {
	h := newHouse(t)
	h.key(h.users["viewer"], h.home, read)
	h.key(h.users["admin"], h.home, key.AllScopes)
	for _, row := range []struct {
		caller admin.Caller
		whose  string
		want   key.Code
	}{
		{h.withKey("owner", h.home, manage), "viewer", key.InsufficientScope}, // READ, which it lacks
		{h.withKey("owner", h.home, manage|read), "admin", key.InsufficientScope},
		{h.withKey("owner", h.home, manage|read), "viewer", "ok"},
		{h.withKey("owner", h.home, key.AllScopes), "admin", "ok"},
	} {
		held, err := h.store.Keys(t.Context(), store.KeyQuery{UserID: h.users[row.whose], Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, row.whose, h.removeMember(row.caller, row.whose, admin.ToCaller), row.want)
		for _, k := range held {
			if want := row.want == "ok"; (h.holderOf(k) == row.caller.UserID) != want || (h.roleOf(row.whose) == 0) != want {
				t.Errorf("%s: the key is that of user %d, and the role %q", row.whose, h.holderOf(k), h.roleOf(row.whose))
			}
		}
	}
}

func TestSomebodyLeaves(t *testing.T) {
	h := newHouse(t)
	for _, name := range []string{"viewer", "member", "admin", "colleague"} {
		c := h.session(name)
		k := h.key(c.UserID, h.home, read)
		expect(t, name+" with a key", h.removeMember(c, name, admin.NotSaid), key.KeysRemain)
		err := h.removeMember(c, name, admin.ToCaller)
		if got := faultsOf(err); codeOf(err) != key.Invalid || !slices.Equal(got, []string{"/keys"}) {
			t.Errorf("%s, with a transfer to themselves: %q, %v", name, got, err)
		}
		expect(t, name+" without it", h.removeMember(c, name, admin.Deleted), "ok")
		if h.holderOf(k) != 0 || h.roleOf(name) != 0 {
			t.Errorf("%s is still there", name)
		}
		expect(t, name+" again", h.removeMember(c, name, admin.NotSaid), key.NotFound)
		expect(t, name+" is somebody still", errorOf(h.Me(t.Context(), c)), "ok")
	}
}

// An instance admin may hold any key anywhere, so there is none that they could then no longer create.
func TestKeysOfInstanceAdminsStayTheirs(t *testing.T) {
	h := newHouse(t)
	h.join("instance admin", h.home, key.Admin)
	k := h.key(h.users["instance admin"], h.home, key.AllScopes)
	expect(t, "demote", h.setRole(h.session("owner"), "instance admin", key.Viewer, admin.NotSaid), "ok")
	expect(t, "remove", h.removeMember(h.session("owner"), "instance admin", admin.Deleted), "ok")
	if h.holderOf(k) != h.users["instance admin"] {
		t.Errorf("the key is that of user %d", h.holderOf(k))
	}
}

func TestMoreKeysThanARefusalNames(t *testing.T) {
	h := newHouse(t)
	const n = 1100
	h.change(func(tx store.Tx) error {
		for range n {
			secret := token.New("ak")
			k := key.Key{Name: "k", Scopes: read, OrganizationID: h.home, UserID: h.users["member"], Hint: secret.Hint(), CreatedAt: noon, UpdatedAt: noon}
			if _, err := tx.InsertKey(t.Context(), k, secret.Digest()); err != nil {
				return err
			}
		}
		return nil
	})
	err := h.removeMember(h.session("owner"), "member", admin.NotSaid)
	if e, ok := errors.AsType[*key.Error](err); !ok || e.Code != key.KeysRemain || len(e.KeyIDs) != 1000 {
		t.Errorf("remove: %v", err)
	}
	h.thrown.take()
	entries := h.logged(func() {
		expect(t, "remove", h.removeMember(h.session("owner"), "member", admin.ToCaller), "ok")
	})
	if got := len(h.thrown.take()); got != n || len(entries) != 1000 { // as many as logged reads
		t.Errorf("%d tokens were thrown out, %d entries", got, len(entries))
	}
	left, err := h.store.Keys(t.Context(), store.KeyQuery{UserID: h.users["member"], Limit: 1})
	if err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestInvite(t *testing.T) {
	h := newHouse(t)
	invite := func(address string, role key.Role) (admin.Invited, error) {
		return h.InviteMember(t.Context(), h.session("admin"), h.home, address, role)
	}
	entries := h.logged(func() {
		invited, err := invite(" New@example.com ", key.Member)
		if err != nil || invited.Email != "New@example.com" || invited.Role != key.Member || invited.Link.IsZero() {
			t.Fatalf("invited %+v, %v", invited, err)
		}
		started, err := h.SignInWithLink(t.Context(), admin.Caller{}, invited.Link.Reveal(), admin.Browser{})
		if err != nil || started.UserID != invited.UserID {
			t.Errorf("the link signs in user %d, %v", started.UserID, err)
		}
	})
	expectActions(t, entries, "member.create", "user.create", "user.link", "session.create")

	entries = h.logged(func() {
		known, err := invite("STRANGER@example.com", key.Viewer)
		if err != nil || known.UserID != h.users["stranger"] || known.Email != email("stranger") || !known.Link.IsZero() {
			t.Errorf("somebody who is known: %+v, %v", known, err)
		}
	})
	expectActions(t, entries, "member.create")

	expect(t, "a member", errorOf(invite("new@EXAMPLE.com", key.Viewer)), key.Conflict)
	for _, bad := range []string{"", "x", "A <a@example.com>", token.New("ak").Reveal() + "@example.com"} {
		err := errorOf(invite(bad, key.Viewer))
		if got := faultsOf(err); codeOf(err) != key.Invalid || !slices.Equal(got, []string{"/email"}) {
			t.Errorf("%q: %q, %v", bad, got, err)
		}
	}
}

func TestAnInvitationIsMailed(t *testing.T) {
	sent := make(mailbox, 1)
	h := newHouse(t).with(func(o *admin.Options) { o.Mailer = sent })
	invited, err := h.InviteMember(t.Context(), h.session("owner"), h.home, "new@example.com", key.Viewer)
	if err != nil || !invited.Link.IsZero() {
		t.Fatalf("invited %+v, %v", invited, err)
	}
	if m := <-sent; m.email != "new@example.com" || m.organization != "home" || codeOf(errorOf(h.SignInWithLink(t.Context(), admin.Caller{}, m.link.Reveal(), admin.Browser{}))) != "ok" {
		t.Errorf("sent to %q for %q", m.email, m.organization)
	}
	if _, err := h.InviteMember(t.Context(), h.session("owner"), h.home, email("stranger"), key.Viewer); err != nil {
		t.Error(err)
	}
	select {
	case m := <-sent:
		t.Errorf("a link was sent to %q, who is known", m.email)
	default:
	}
}

// Nobody is left who would know what a user is for who was invited and never came.
func TestWhoNeverCameIsForgotten(t *testing.T) {
	h := newHouse(t)
	owner := h.session("owner")
	invite := func() admin.Invited {
		t.Helper()
		invited, err := h.InviteMember(t.Context(), owner, h.home, "new@example.com", key.Viewer)
		if err != nil || invited.Link.IsZero() {
			t.Fatalf("invited %+v, %v", invited, err)
		}
		return invited
	}
	withdraw := func(who admin.Invited) {
		t.Helper()
		expect(t, "withdraw", h.RemoveMember(t.Context(), owner, h.home, who.UserID, admin.NotSaid), "ok")
	}
	exists := func(what string, who admin.Invited, want bool) {
		t.Helper()
		_, err := h.store.User(t.Context(), who.UserID)
		if got := err == nil; got != want {
			t.Errorf("%s: there is such a user: %v (%v)", what, got, err)
		}
	}

	first := invite()
	entries := h.logged(func() { withdraw(first) })
	expectActions(t, entries, "member.delete", "user.delete")
	exists("withdrawn", first, false)
	expect(t, "the link", errorOf(h.SignInWithLink(t.Context(), admin.Caller{}, first.Link.Reveal(), admin.Browser{})), key.Unauthenticated)

	second := invite()
	if second.UserID == first.UserID {
		t.Error("a user's id was given again")
	}
	h.change(func(tx store.Tx) error {
		return tx.InsertMember(t.Context(), key.Membership{OrganizationID: h.other, UserID: second.UserID, Role: key.Viewer, CreatedAt: noon})
	})
	withdraw(second)
	exists("who is expected elsewhere", second, true)
	h.change(func(tx store.Tx) error { return tx.DeleteMember(t.Context(), h.other, second.UserID) })

	h.change(func(tx store.Tx) error {
		return tx.InsertMember(t.Context(), key.Membership{OrganizationID: h.home, UserID: second.UserID, Role: key.Viewer, CreatedAt: noon})
	})
	expect(t, "sign in", errorOf(h.SignInWithLink(t.Context(), admin.Caller{}, second.Link.Reveal(), admin.Browser{})), "ok")
	withdraw(second)
	exists("who has come", second, true)
}

// Who is demoted while a key of theirs is made is left without it, or not demoted.
func TestADemotionMissesNoKey(t *testing.T) {
	h := newHouse(t)
	for round := range 20 {
		h.change(func(tx store.Tx) error { return tx.UpdateMember(t.Context(), h.home, h.users["admin"], key.Admin) })
		var together sync.WaitGroup
		together.Go(func() {
			_, _, err := h.CreateKey(t.Context(), h.bearer("admin"), key.Draft{Name: "n", Scopes: manage, OrganizationID: h.home, Enabled: true})
			if code := codeOf(err); code != "ok" && code != key.Forbidden {
				t.Error(err)
			}
		})
		together.Go(func() {
			if err := h.setRole(h.bearer("owner"), "admin", key.Member, admin.Deleted); err != nil {
				t.Error(err)
			}
		})
		together.Wait()
		held, err := h.store.Keys(t.Context(), store.KeyQuery{UserID: h.users["admin"], Scopes: manage, Limit: 1})
		if err != nil || len(held) != 0 {
			t.Fatalf("round %d: a member holds %v, %v", round, held, err)
		}
	}
}

// Whoever looks for members where there is none is in the log of that organization.
func TestALookForNoMemberIsRecordedWhereItWas(t *testing.T) {
	h := newHouse(t)
	entries := h.logged(func() {
		expect(t, "get", errorOf(h.Member(t.Context(), h.session("admin"), h.home, h.users["stranger"])), key.NotFound)
		expect(t, "remove", h.removeMember(h.session("admin"), "stranger", admin.NotSaid), key.NotFound)
	})
	expectActions(t, entries, "refused: member.read", "refused: member.delete")
	for _, e := range entries {
		if e.OrganizationID != h.home || e.Target.ID != h.users["stranger"] {
			t.Errorf("the audit log says %+v", e)
		}
	}
}

func TestMembersAreListed(t *testing.T) {
	h := newHouse(t)
	var want, got []string
	for _, name := range []string{"colleague", "owner", "admin", "member", "viewer"} {
		want = append(want, fmt.Sprint(email(name), " ", h.roleOf(name)))
	}
	viewer := h.session("viewer")
	for before, more := int64(0), true; more; {
		var page []key.Membership
		var err error
		if page, more, err = h.Members(t.Context(), viewer, admin.MemberList{OrganizationID: h.home, Before: before, Limit: 2}); err != nil {
			t.Fatal(err)
		}
		for _, m := range page {
			got = append(got, fmt.Sprint(m.Email, " ", m.Role))
		}
		before = page[len(page)-1].UserID
	}
	if !slices.Equal(got, want) {
		t.Errorf("the members are %q, want %q", got, want)
	}
}
