package admin_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/token"
)

// TestWhoMayDoWhatToAKey is the policy: each row is a caller, each column an action on a READ key.
func TestWhoMayDoWhatToAKey(t *testing.T) {
	h := newHouse(t)
	const ok, no, scope = "ok", "not_found", "insufficient_scope"
	for _, row := range []struct {
		caller string
		with   key.Scopes // of the calling key; 0: a session
		from   string     // the organization of the calling key
		target string     // whose key: own, colleague's (same organization), foreign (another one)
		read   string
		update string
		rotate string
		delete string
	}{
		// Sessions.
		{"viewer", 0, "", "own", ok, ok, ok, ok},
		{"viewer", 0, "", "colleague's", no, no, no, no},
		{"member", 0, "", "own", ok, ok, ok, ok},
		{"member", 0, "", "colleague's", no, no, no, no},
		{"member", 0, "", "foreign", no, no, no, no},
		{"admin", 0, "", "own", ok, ok, ok, ok},
		{"admin", 0, "", "colleague's", ok, ok, ok, ok},
		{"admin", 0, "", "foreign", no, no, no, no},
		{"owner", 0, "", "colleague's", ok, ok, ok, ok},
		{"owner", 0, "", "foreign", no, no, no, no},
		{"stranger", 0, "", "colleague's", no, no, no, no},
		{"instance admin", 0, "", "colleague's", ok, ok, ok, ok},
		{"instance admin", 0, "", "foreign", ok, ok, ok, ok},
		// Keys act for their user, inside their organization, within their scopes.
		{"member", key.AllScopes.Without(manage), "home", "own", ok, ok, ok, ok},
		{"member", key.AllScopes.Without(manage), "home", "colleague's", no, no, no, no},
		{"member", read, "home", "own", ok, scope, scope, scope},
		{"member", read | update, "home", "own", ok, ok, ok, scope},
		{"member", update, "home", "own", scope, ok, scope, scope}, // rotating would reveal a READ key
		{"member", remove, "home", "own", scope, scope, scope, ok},
		{"member", create, "home", "colleague's", scope, scope, scope, scope}, // not a word about what there is
		{"admin", key.AllScopes.Without(manage), "home", "colleague's", ok, ok, ok, ok},
		{"admin", key.AllScopes, "home", "colleague's", ok, ok, ok, ok},
		{"admin", key.AllScopes, "home", "foreign", no, no, no, no},
		{"owner", manage, "home", "colleague's", scope, scope, scope, scope},
		{"stranger", key.AllScopes, "other", "colleague's", no, no, no, no},
		// Keys of instance admins act everywhere when they have MANAGE.
		{"instance admin", key.AllScopes, "other", "colleague's", ok, ok, ok, ok},
		{"instance admin", read | manage, "other", "colleague's", ok, scope, scope, scope},
		{"instance admin", key.AllScopes.Without(manage), "other", "colleague's", no, no, no, no},
	} {
		name := row.caller + " by session"
		if row.with != 0 {
			name = row.caller + " by a key with " + row.with.String()
		}
		t.Run(name+" on "+row.target, func(t *testing.T) {
			caller := h.session(row.caller)
			if row.with != 0 {
				caller = h.withKey(row.caller, map[string]int64{"home": h.home, "other": h.other}[row.from], row.with)
			}
			target := func() key.Key {
				switch row.target {
				case "own":
					return h.key(h.users[row.caller], h.home, read)
				case "colleague's":
					return h.key(h.users["colleague"], h.home, read)
				default:
					return h.key(h.users["stranger"], h.other, read)
				}
			}
			check := func(action string, err error, want string) {
				if got := codeOf(err); string(got) != want {
					t.Errorf("%s: %s, want %s", action, got, want)
				}
			}
			k := target()
			_, err := h.Key(t.Context(), caller, k.ID)
			check("read", err, row.read)
			newName := "renamed"
			_, err = h.UpdateKey(t.Context(), caller, k.ID, key.Patch{Name: &newName})
			check("update", err, row.update)
			_, _, err = h.RotateKey(t.Context(), caller, k.ID, 0)
			check("rotate", err, row.rotate)
			err = h.DeleteKey(t.Context(), caller, k.ID)
			check("delete", err, row.delete)

			_, err = h.store.Key(t.Context(), k.ID)
			if gone := errors.Is(err, store.ErrNotFound); gone != (row.delete == ok) {
				t.Errorf("the key is gone: %v, though delete said %s", gone, row.delete)
			}
		})
	}
}

func TestWhoMayCreateWhichKeys(t *testing.T) {
	h := newHouse(t)
	for _, row := range []struct {
		caller string
		with   key.Scopes // of the calling key; 0: a session
		in     string
		scopes key.Scopes
		want   string
	}{
		{"viewer", 0, "home", read, "ok"},
		{"viewer", 0, "home", read | create, "forbidden"},
		{"member", 0, "home", key.AllScopes.Without(manage), "ok"},
		{"member", 0, "home", manage, "forbidden"},
		{"admin", 0, "home", key.AllScopes, "ok"},
		{"owner", 0, "home", key.AllScopes, "ok"},
		{"owner", 0, "other", read, "invalid"},
		{"stranger", 0, "home", read, "invalid"},
		{"instance admin", 0, "home", key.AllScopes, "ok"},
		{"instance admin", 0, "other", key.AllScopes, "ok"}, // a viewer there, but an instance admin everywhere
		{"instance admin", 0, "none", read, "invalid"},
		{"member", create, "home", create, "ok"},
		{"member", create, "home", read, "insufficient_scope"},
		{"member", read, "home", read, "insufficient_scope"},
		{"owner", key.AllScopes, "home", key.AllScopes, "ok"},
		{"owner", key.AllScopes.Without(manage), "home", manage, "insufficient_scope"},
		{"owner", key.AllScopes, "other", read, "invalid"},
		{"instance admin", key.AllScopes, "home", key.AllScopes, "ok"},
		{"instance admin", create, "home", create, "invalid"}, // acts everywhere only with MANAGE
	} {
		name := row.caller + " by session"
		if row.with != 0 {
			name = row.caller + " by a key with " + row.with.String()
		}
		t.Run(name+" creates "+row.scopes.String()+" in "+row.in, func(t *testing.T) {
			organizations := map[string]int64{"home": h.home, "other": h.other, "none": 999}
			caller := h.session(row.caller)
			if row.with != 0 {
				from := h.home
				if row.caller == "instance admin" {
					from = h.other
				}
				caller = h.withKey(row.caller, from, row.with)
			}
			k, secret, err := h.CreateKey(t.Context(), caller, key.Draft{Name: " n ", Scopes: row.scopes, OrganizationID: organizations[row.in], Enabled: true})
			if got := codeOf(err); string(got) != row.want {
				t.Fatalf("%s, want %s (%v)", got, row.want, err)
			}
			if row.want != "ok" {
				var e *key.Error
				if errors.As(err, &e); row.want == "invalid" && (len(e.Faults) != 1 || e.Faults[0].Pointer != "/organization_id") {
					t.Errorf("faults = %v, want one at /organization_id", e.Faults)
				}
				if secret.Reveal() != "" || k.ID != 0 {
					t.Error("a refused create handed something out")
				}
				return
			}
			stored, err := h.store.Key(t.Context(), k.ID)
			if err != nil || stored.Name != "n" || stored.UserID != caller.UserID || stored.Scopes != row.scopes || stored.Hint != secret.Hint() || !stored.CreatedAt.Equal(noon) {
				t.Errorf("stored %+v, %v", stored, err)
			}
			if r, err := h.store.RecordByDigest(t.Context(), secret.Digest()); err != nil || r.KeyID != k.ID {
				t.Errorf("the token finds %+v, %v", r, err)
			}
		})
	}
}

// What a change gives to a key must be the caller's to give.
func TestNeverAKeyStrongerThanTheCaller(t *testing.T) {
	h := newHouse(t)
	weakKey := h.key(h.users["owner"], h.home, read|update)
	weak := h.by(weakKey)
	off, on, never, later := false, true, time.Time{}, noon.Add(48*time.Hour)
	sooner := noon.Add(time.Hour)
	expiring := func() key.Key {
		k := h.key(h.users["owner"], h.home, key.AllScopes)
		at := noon.Add(24 * time.Hour)
		if _, err := h.UpdateKey(t.Context(), h.session("owner"), k.ID, key.Patch{ExpiresAt: &at}); err != nil {
			t.Fatal(err)
		}
		return k
	}
	disabled := func() key.Key {
		k := h.key(h.users["owner"], h.home, key.AllScopes)
		if _, err := h.UpdateKey(t.Context(), weak, k.ID, key.Patch{Enabled: &off}); err != nil {
			t.Fatalf("disabling takes nothing that the caller lacks: %v", err)
		}
		return k
	}
	confined := func() key.Key {
		k := h.key(h.users["owner"], h.home, key.AllScopes)
		block := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		if _, err := h.UpdateKey(t.Context(), weak, k.ID, key.Patch{AllowedCIDRs: &block}); err != nil {
			t.Fatalf("confining takes nothing that the caller lacks: %v", err)
		}
		return k
	}
	scopes := func(s key.Scopes) *key.Scopes { return &s }
	name := "renamed"
	for _, row := range []struct {
		what  string
		key   key.Key
		patch key.Patch
		want  key.Code
	}{
		{"rename a stronger key", expiring(), key.Patch{Name: &name}, "ok"},
		{"narrow a stronger key", expiring(), key.Patch{Scopes: scopes(read)}, "ok"},
		{"widen by what it has", h.key(h.users["owner"], h.home, read), key.Patch{Scopes: scopes(read | update)}, "ok"},
		{"widen by what it lacks", h.key(h.users["owner"], h.home, read), key.Patch{Scopes: scopes(read | remove)}, key.InsufficientScope},
		{"widen a stronger key by what it has", h.key(h.users["owner"], h.home, manage), key.Patch{Scopes: scopes(read | manage)}, key.InsufficientScope},
		{"widen itself", weakKey, key.Patch{Scopes: scopes(key.AllScopes)}, key.InsufficientScope},
		{"revive a stronger key", disabled(), key.Patch{Enabled: &on}, key.InsufficientScope},
		{"revive it narrowed", disabled(), key.Patch{Enabled: &on, Scopes: scopes(read)}, "ok"},
		{"lengthen a stronger key", expiring(), key.Patch{ExpiresAt: &later}, key.InsufficientScope},
		{"let it never expire", expiring(), key.Patch{ExpiresAt: &never}, key.InsufficientScope},
		{"shorten a stronger key", expiring(), key.Patch{ExpiresAt: &sooner}, "ok"},
		{"let a stronger key be used from elsewhere", confined(), key.Patch{AllowedCIDRs: &[]netip.Prefix{}}, key.InsufficientScope},
		{"let it be used from fewer addresses", confined(), key.Patch{AllowedCIDRs: &[]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}, "ok"},
		{"let one that is not stronger be used from elsewhere", confined(), key.Patch{AllowedCIDRs: &[]netip.Prefix{}, Scopes: scopes(read)}, "ok"},
		{"give a viewer more than READ", h.key(h.users["viewer"], h.home, read), key.Patch{Scopes: scopes(read | update)}, key.Forbidden},
	} {
		_, err := h.UpdateKey(t.Context(), weak, row.key.ID, row.patch)
		if got := codeOf(err); got != row.want {
			t.Errorf("%s: %s, want %s", row.what, got, row.want)
		}
	}
}

// A token carries the authority of its holder. Who gives it scopes, or learns it, must not rise by that.
func TestNobodyRisesByAnothersKey(t *testing.T) {
	h := newHouse(t)
	h.change(func(tx store.Tx) error {
		return tx.InsertMember(t.Context(), key.Membership{OrganizationID: h.home, UserID: h.users["instance admin"], Role: key.Member, CreatedAt: noon})
	})
	soon, later, on, off := noon.Add(time.Hour), noon.Add(2*time.Hour), true, false
	for _, row := range []struct {
		caller, holder string
		scopes         key.Scopes
		want           key.Code // of rotating, widening, enabling and lengthening
	}{
		{"admin", "member", read, "ok"},
		{"admin", "admin", read, "ok"},
		{"admin", "owner", read, "ok"}, // without MANAGE it acts as anybody's does
		{"admin", "owner", key.AllScopes, key.Forbidden},
		{"owner", "admin", key.AllScopes, "ok"},
		{"owner", "colleague", key.AllScopes, "ok"},
		{"admin", "instance admin", key.AllScopes, key.Forbidden},
		{"owner", "instance admin", manage, key.Forbidden},
		{"owner", "instance admin", read, "ok"},
		{"instance admin", "owner", key.AllScopes, "ok"},
	} {
		caller, name := h.session(row.caller), row.caller+" on a key of the "+row.holder+" with "+row.scopes.String()
		check := func(what string, err error, want key.Code) {
			t.Helper()
			if got := codeOf(err); got != want {
				t.Errorf("%s: %s: %s, want %s", name, what, got, want)
			}
		}
		k := h.key(h.users[row.holder], h.home, row.scopes)
		_, _, err := h.RotateKey(t.Context(), caller, k.ID, 0)
		check("rotate", err, row.want)
		_, err = h.UpdateKey(t.Context(), caller, k.ID, key.Patch{ExpiresAt: &soon})
		check("shorten", err, "ok")
		_, err = h.UpdateKey(t.Context(), caller, k.ID, key.Patch{ExpiresAt: &later})
		check("lengthen", err, row.want)
		_, err = h.UpdateKey(t.Context(), caller, k.ID, key.Patch{Enabled: &off})
		check("disable", err, "ok")
		_, err = h.UpdateKey(t.Context(), caller, k.ID, key.Patch{Enabled: &on})
		check("enable", err, row.want)
		check("delete", h.DeleteKey(t.Context(), caller, k.ID), "ok")
	}
	k := h.key(h.users["instance admin"], h.home, read)
	wider := read | manage
	_, err := h.UpdateKey(t.Context(), h.session("owner"), k.ID, key.Patch{Scopes: &wider})
	if codeOf(err) != key.Forbidden {
		t.Errorf("an owner gives MANAGE to a key of an instance admin: %v", err)
	}
}

// What is listed as one's own can be looked at and deleted, whether one is a member there or not.
func TestOwnKeysAreSeenWithoutMembership(t *testing.T) {
	h := newHouse(t)
	k := h.key(h.users["stranger"], h.home, read) // left over where the stranger is no member
	owner := h.session("stranger")
	page, _, err := h.Keys(t.Context(), owner, admin.KeyList{Limit: 10})
	if err != nil || len(page) != 2 || page[0].ID != k.ID {
		t.Errorf("list: %v, %v", page, err)
	}
	if _, err := h.Key(t.Context(), owner, k.ID); err != nil {
		t.Errorf("get: %v", err)
	}
	if _, _, err := h.RotateKey(t.Context(), owner, k.ID, 0); codeOf(err) != key.Forbidden {
		t.Errorf("rotate: %v; someone who is no member may hold no keys there", err)
	}
	if err := h.DeleteKey(t.Context(), owner, k.ID); err != nil {
		t.Errorf("delete: %v", err)
	}
}

func TestAPastedTokenIsNotKept(t *testing.T) {
	h := newHouse(t)
	pasted := token.New("other").Reveal()
	k := h.key(h.users["owner"], h.home, read)
	name := "old: " + pasted
	limits := []key.Limit{{Name: "fine", Requests: 1, Window: time.Second}, {Name: pasted, Requests: 1, Window: time.Second}}
	_, _, err := h.CreateKey(t.Context(), h.session("owner"), key.Draft{Name: name, Scopes: read, OrganizationID: 999,
		Metadata: []byte(`{"was":"` + pasted + `"}`), Restrictions: key.Restrictions{Limits: limits}})
	var e *key.Error
	if !errors.As(err, &e) || len(e.Faults) != 4 || !strings.Contains(fmt.Sprint(e.Faults), "/limits/1/name") {
		t.Errorf("create: %v, want faults of name, metadata, the second limit and organization", err)
	}
	for what, patch := range map[string]key.Patch{
		"name":     {Name: &name},
		"metadata": {Metadata: []byte(`{"a":{"` + pasted + `":1}}`)},
		"limits":   {Limits: &limits},
	} {
		if _, err := h.UpdateKey(t.Context(), h.session("owner"), k.ID, patch); codeOf(err) != key.Invalid {
			t.Errorf("update of the %s: %v", what, err)
		}
	}
}

func TestAChangeOfNothingIsNone(t *testing.T) {
	h := newHouse(t)
	k := h.key(h.users["owner"], h.home, read)
	h.set(noon.Add(time.Hour))
	same, on := k.Name, true
	for _, patch := range []key.Patch{{}, {Name: &same, Enabled: &on, Metadata: []byte("{}")}} {
		got, err := h.UpdateKey(t.Context(), h.session("owner"), k.ID, patch)
		if err != nil || !got.UpdatedAt.Equal(noon) {
			t.Errorf("%+v: %+v, %v", patch, got, err)
		}
		// Who has made the key what it is may not be done with it: the answer promises that no check goes by what was before.
		h.expectThrown("a change of nothing", h.tokensOf(k)...)
	}
}

// A key that is deleted, disabled or past its expiry while its request is under way does nothing more.
func TestCallerIsLookedAtInTheTransaction(t *testing.T) {
	h := newHouse(t)
	name := "x"
	off := false
	for what, end := range map[string]func(int64){
		"deleted": func(id int64) {
			if err := h.DeleteKey(t.Context(), h.session("owner"), id); err != nil {
				t.Fatal(err)
			}
		},
		"rotated": func(id int64) {
			if _, _, err := h.RotateKey(t.Context(), h.session("owner"), id, 0); err != nil {
				t.Fatal(err)
			}
		},
		"rotated and past its grace": func(id int64) {
			if _, _, err := h.RotateKey(t.Context(), h.session("owner"), id, time.Second); err != nil {
				t.Fatal(err)
			}
			h.pass(time.Second)
		},
		"disabled": func(id int64) {
			if _, err := h.UpdateKey(t.Context(), h.session("owner"), id, key.Patch{Enabled: &off}); err != nil {
				t.Fatal(err)
			}
		},
		"expired": func(id int64) {
			at := h.now().Add(time.Second)
			if _, err := h.UpdateKey(t.Context(), h.session("owner"), id, key.Patch{ExpiresAt: &at}); err != nil {
				t.Fatal(err)
			}
			h.set(at)
		},
	} {
		calling := h.key(h.users["owner"], h.home, key.AllScopes)
		caller := h.by(calling)
		target := h.key(h.users["owner"], h.home, read)
		end(calling.ID)
		_, _, errCreate := h.CreateKey(t.Context(), caller, key.Draft{Name: "n", Scopes: read, OrganizationID: h.home})
		_, errUpdate := h.UpdateKey(t.Context(), caller, target.ID, key.Patch{Name: &name})
		_, _, errRotate := h.RotateKey(t.Context(), caller, target.ID, 0)
		_, errRead := h.Key(t.Context(), caller, target.ID)
		_, _, errList := h.Keys(t.Context(), caller, admin.KeyList{Limit: 10})
		_, errMe := h.Me(t.Context(), caller)
		for i, err := range []error{errCreate, errUpdate, errRotate, h.DeleteKey(t.Context(), caller, target.ID), errRead, errList, errMe} {
			if codeOf(err) != key.Unauthenticated {
				t.Errorf("%s key, action %d: %v", what, i, err)
			}
		}
	}
}

// A key with an allow-list calls from the addresses on it alone, and what has changed about that since the request came in counts.
func TestWhereAKeyCallsFrom(t *testing.T) {
	h := newHouse(t)
	calling := h.key(h.users["owner"], h.home, key.AllScopes)
	target := h.key(h.users["owner"], h.home, read)
	blocks := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	if _, err := h.UpdateKey(t.Context(), h.session("owner"), calling.ID, key.Patch{AllowedCIDRs: &blocks}); err != nil {
		t.Fatal(err)
	}
	for ip, want := range map[string]key.Code{
		"203.0.113.9": "ok", "2001:db8::1": "ok", "::ffff:203.0.113.9": "ok",
		"203.0.114.9": key.Forbidden, "2001:db9::1": key.Forbidden, "": key.Forbidden,
	} {
		caller := h.by(calling)
		caller.IP = ip
		_, errRead := h.Key(t.Context(), caller, target.ID)
		_, _, errCreate := h.CreateKey(t.Context(), caller, key.Draft{Name: "n", Scopes: read, OrganizationID: h.home})
		_, errMe := h.Me(t.Context(), caller)
		for i, err := range []error{errRead, errCreate, errMe} {
			if codeOf(err) != want {
				t.Errorf("from %q, action %d: %v, want %s", ip, i, err, want)
			}
		}
	}
	caller := h.by(calling)
	caller.IP = "203.0.114.9"
	entries := h.logged(func() { expect(t, "delete", h.DeleteKey(t.Context(), caller, target.ID), key.Forbidden) })
	expectActions(t, entries, "refused: key.delete")
}

// Limits and a quota are not for requests to the management API.
func TestAKeyThatIsUsedUpStillManages(t *testing.T) {
	h := newHouse(t)
	calling := h.key(h.users["owner"], h.home, read)
	patch := key.Patch{Quota: &key.QuotaPatch{Requests: ptr[int64](1)}, Limits: &[]key.Limit{{Name: "a", Requests: 1, Window: time.Hour}}}
	if _, err := h.UpdateKey(t.Context(), h.session("owner"), calling.ID, patch); err != nil {
		t.Fatal(err)
	}
	if _, err := h.store.TakeQuota(t.Context(), store.QuotaTake{KeyID: calling.ID, Quota: key.Quota{Requests: 1, Generation: 1}, Want: 1}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if k, err := h.Key(t.Context(), h.by(calling), calling.ID); err != nil || k.QuotaUsed != 1 {
			t.Errorf("%+v, %v", k, err)
		}
	}
}

func TestListsShowWhatTheCallerMaySee(t *testing.T) {
	h := newHouse(t)
	own := h.key(h.users["owner"], h.home, read)
	members := h.key(h.users["member"], h.home, read)
	for _, row := range []struct {
		name         string
		caller       admin.Caller
		organization int64
		want         []int64 // of the three keys above; newest first
		code         key.Code
	}{
		{"own keys", h.session("owner"), 0, []int64{own.ID}, "ok"},
		{"a member's own", h.session("member"), 0, []int64{members.ID}, "ok"},
		{"the organization's, for its owner", h.session("owner"), h.home, []int64{members.ID, own.ID}, "ok"},
		{"the organization's, for a member", h.session("member"), h.home, []int64{members.ID}, "ok"},
		{"the organization's, for a stranger", h.session("stranger"), h.home, nil, key.NotFound},
		{"one that is not there", h.session("owner"), 999, nil, key.NotFound},
		{"the organization's, for an instance admin", h.session("instance admin"), h.home, []int64{members.ID, own.ID}, "ok"},
		{"another one, for an instance admin", h.session("instance admin"), h.other, []int64{h.foreign.ID}, "ok"},
	} {
		page, more, err := h.Keys(t.Context(), row.caller, admin.KeyList{OrganizationID: row.organization, Limit: 100})
		if codeOf(err) != row.code || more {
			t.Errorf("%s: %v, more %v", row.name, err, more)
		}
		var got []int64
		for _, k := range page {
			got = append(got, k.ID)
		}
		if len(got) != len(row.want) || len(got) > 0 && (got[0] != row.want[0] || got[len(got)-1] != row.want[len(row.want)-1]) {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}

	t.Run("by key, only its own organization", func(t *testing.T) {
		h.change(func(tx store.Tx) error {
			return tx.InsertMember(t.Context(), key.Membership{OrganizationID: h.other, UserID: h.users["owner"], Role: key.Owner, CreatedAt: noon})
		})
		elsewhere := h.key(h.users["owner"], h.other, read)
		caller := h.withKey("owner", h.home, read)
		page, _, err := h.Keys(t.Context(), caller, admin.KeyList{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range page {
			if k.ID == elsewhere.ID {
				t.Error("a key lists keys of another organization of its user")
			}
		}
		if _, _, err := h.Keys(t.Context(), caller, admin.KeyList{OrganizationID: h.other, Limit: 100}); codeOf(err) != key.NotFound {
			t.Errorf("another organization: %v", err)
		}
		if _, err := h.Key(t.Context(), caller, elsewhere.ID); codeOf(err) != key.NotFound {
			t.Errorf("a key of another organization: %v", err)
		}
	})
}

func TestChangesThrowTokensOut(t *testing.T) {
	h := newHouse(t)
	owner := h.session("owner")
	k, first, err := h.CreateKey(t.Context(), owner, key.Draft{Name: "n", Scopes: read, OrganizationID: h.home, Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := h.thrown.take(); len(got) != 0 {
		t.Errorf("creating a key throws out %v; nobody can have asked for its token before", got)
	}
	_, second, err := h.RotateKey(t.Context(), owner, k.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	h.expectThrown("rotate", first)
	name := "m"
	if _, err := h.UpdateKey(t.Context(), owner, k.ID, key.Patch{Name: &name}); err != nil {
		t.Fatal(err)
	}
	h.expectThrown("update", first, second)
	if err := h.DeleteKey(t.Context(), owner, k.ID); err != nil {
		t.Fatal(err)
	}
	h.expectThrown("delete", first, second)
	if err := h.DeleteKey(t.Context(), owner, k.ID); codeOf(err) != key.NotFound {
		t.Errorf("deleting again: %v", err)
	}
	h.expectThrown("a delete that failed")
}

func TestRotate(t *testing.T) {
	h := newHouse(t)
	owner := h.session("owner")
	k, first, err := h.CreateKey(t.Context(), owner, key.Draft{Name: "n", Scopes: read, OrganizationID: h.home, Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, grace := range []time.Duration{-1, key.MaxGrace + 1} {
		if _, _, err := h.RotateKey(t.Context(), owner, k.ID, grace); codeOf(err) != key.Invalid {
			t.Errorf("grace %v: %v", grace, err)
		}
	}
	h.set(noon.Add(time.Minute))
	rotated, second, err := h.RotateKey(t.Context(), owner, k.ID, time.Hour)
	if err != nil || rotated.ID != k.ID || rotated.Hint != second.Hint() || !rotated.UpdatedAt.Equal(h.now()) || !rotated.CreatedAt.Equal(noon) {
		t.Fatalf("rotated %+v, %v", rotated, err)
	}
	old, err := h.store.RecordByDigest(t.Context(), first.Digest())
	if err != nil || old.TokenExpiresAt != key.MillisOf(h.now().Add(time.Hour)) {
		t.Errorf("the old token: %+v, %v", old, err)
	}
	if _, _, err := h.RotateKey(t.Context(), owner, k.ID, 0); err != nil {
		t.Fatal(err)
	}
	for i, tok := range []token.Token{first, second} {
		if _, err := h.store.RecordByDigest(t.Context(), tok.Digest()); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("token %d after a rotation without grace: %v", i+1, err)
		}
	}
}

func TestClosedStoreIsUnavailable(t *testing.T) {
	h := newHouse(t)
	owner := h.session("owner")
	h.store.Close()
	_, err := h.Key(t.Context(), owner, 1)
	expect(t, "read", err, key.Unavailable)
	expect(t, "change", h.DeleteKey(t.Context(), owner, 1), key.Unavailable)
}
