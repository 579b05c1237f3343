package admin_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/token"
)

// That the organization of a new key is not seen is bad input, and a refusal.
func TestAKeyInAnOrganizationThatIsNotSeenIsRecorded(t *testing.T) {
	h := newHouse(t)
	for _, organization := range []int64{h.home, 999} {
		draft := key.Draft{Name: "n", Scopes: read, OrganizationID: organization}
		for what, try := range map[string]func(admin.Caller) error{
			"create": func(c admin.Caller) error { return errorOf2(h.CreateKey(t.Context(), c, draft)) },
			"check":  func(c admin.Caller) error { return errorOf(h.CheckDraft(t.Context(), c, draft)) },
		} {
			stranger, narrow := h.bearer("stranger"), h.withKey("stranger", h.other, read)
			entries := h.logged(func() {
				_ = try(stranger)
				expect(t, what, try(narrow), key.InsufficientScope)
			})
			expectActions(t, entries, "refused: key.create", "refused: key.create")
			if e := entries[0]; e.Code != string(key.NotFound) || e.OrganizationID != organization || e.Target != (audit.Target{Type: audit.Key}) {
				t.Errorf("%s in %d: %+v", what, organization, e)
			}
		}
	}
}

// What each change leaves: on what, in which organization, and what was different before and after.
func TestWhatTheAuditLogSaysOfEachChange(t *testing.T) {
	h := newHouse(t)
	owner, everywhere := h.session("owner"), h.session("instance admin")
	k := h.key(h.users["owner"], h.home, read)
	hint := k.Hint
	expires := noon.Add(time.Hour)
	for _, row := range []struct {
		change string
		do     func() (target int64, err error)
		want   []string // action target organization before after
	}{
		{"create a key", func() (int64, error) {
			made, tok, err := h.CreateKey(t.Context(), owner, key.Draft{Name: "n", Scopes: read | create, OrganizationID: h.home, Enabled: true, ExpiresAt: expires, Metadata: []byte(`{"a": 1}`)})
			hint = tok.Hint()
			return made.ID, err
		}, []string{`key.create key T home - {"allowed_cidrs":[],"enabled":true,"expires_at":"2026-11-22T13:00:00.000Z","key_hint":"HINT","key_name":"n","key_scope":["READ","CREATE"],"limits":[],"metadata":{"a":1},"quota":null,"user_id":OWNER}`}},
		{"change a key", func() (int64, error) {
			narrow, none := read, time.Time{}
			_, err := h.UpdateKey(t.Context(), owner, k.ID, key.Patch{Name: ptr("m"), Enabled: ptr(false), Scopes: &narrow, ExpiresAt: &none})
			return k.ID, err
		}, []string{`key.update key T home {"enabled":true,"key_name":"k"} {"enabled":false,"key_name":"m"}`}},
		{"restrict a key", func() (int64, error) {
			_, err := h.UpdateKey(t.Context(), owner, k.ID, key.Patch{Limits: &[]key.Limit{{Name: "l", Requests: 5, Window: time.Minute}},
				Quota: &key.QuotaPatch{Requests: ptr[int64](5)}, AllowedCIDRs: &[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
			return k.ID, err
		}, []string{`key.update key T home {"allowed_cidrs":[],"limits":[],"quota":null} {"allowed_cidrs":["10.0.0.0/8"],` +
			`"limits":[{"name":"l","requests":5,"window_seconds":60}],"quota":{"period":null,"requests":5}}`}},
		{"change a quota", func() (int64, error) {
			_, err := h.UpdateKey(t.Context(), owner, k.ID, key.Patch{Quota: &key.QuotaPatch{Requests: ptr[int64](7), Period: ptr(key.Month)}})
			return k.ID, err
		}, []string{`key.update key T home {"quota":{"period":null,"requests":5}} {"quota":{"period":"month","requests":7}}`}},
		{"rotate a key", func() (int64, error) {
			_, tok, err := h.RotateKey(t.Context(), owner, k.ID, time.Minute)
			hint = tok.Hint()
			return k.ID, err
		}, []string{`key.rotate key T home {"key_hint":"` + k.Hint + `"} {"grace_seconds":60,"key_hint":"HINT"}`}},
		{"delete a key", func() (int64, error) { return k.ID, h.DeleteKey(t.Context(), owner, k.ID) },
			[]string{`key.delete key T home {"allowed_cidrs":["10.0.0.0/8"],"enabled":false,"expires_at":null,"key_hint":"HINT","key_name":"m","key_scope":["READ"],"limits":[{"name":"l","requests":5,"window_seconds":60}],"metadata":{},"quota":{"period":"month","requests":7},"user_id":OWNER} -`}},

		{"create an organization", func() (int64, error) {
			made, err := h.CreateOrganization(t.Context(), everywhere, key.OrganizationDraft{Name: "n", ExternalID: "x"})
			return made.ID, err
		}, []string{`organization.create organization T T - {"external_id":"x","metadata":{},"organization_name":"n"}`, `member.create member ADMIN T - {"role":"owner"}`}},
		{"change an organization", func() (int64, error) {
			_, err := h.UpdateOrganization(t.Context(), everywhere, h.home, key.OrganizationPatch{Name: ptr("house"), ExternalID: ptr("y"), Metadata: []byte(`{"a":1}`)})
			return h.home, err
		}, []string{`organization.update organization T home {"external_id":null,"metadata":{},"organization_name":"home"} {"external_id":"y","metadata":{"a":1},"organization_name":"house"}`}},

		{"invite somebody", func() (int64, error) {
			made, err := h.InviteMember(t.Context(), owner, h.home, "new@example.com", key.Viewer)
			h.users["new"] = made.UserID
			return made.UserID, err
		}, []string{`member.create member T home - {"email":"new@example.com","role":"viewer"}`, `user.create user T home - {"email":"new@example.com"}`, `user.link user T home - -`}},
		{"change a member", func() (int64, error) { return h.users["new"], h.setRole(owner, "new", key.Member, admin.NotSaid) },
			[]string{`member.update member T home {"role":"viewer"} {"role":"member"}`}},
		{"remove a member", func() (int64, error) { return h.users["new"], h.removeMember(owner, "new", admin.NotSaid) },
			[]string{`member.delete member T home {"email":"new@example.com","role":"member"} -`, `user.delete user T home {"email":"new@example.com"} -`}},
		{"transfer a key", func() (int64, error) {
			k = h.key(h.users["member"], h.home, create)
			return k.ID, h.setRole(owner, "member", key.Viewer, admin.ToCaller)
		}, []string{`member.update member MEMBER home {"role":"member"} {"role":"viewer"}`, `key.transfer key T home {"user_id":MEMBER} {"user_id":OWNER}`}},

		{"connect an identity", func() (int64, error) { return owner.UserID, h.BindIdentity(t.Context(), owner, alice) },
			[]string{`user.identity user T - - {"issuer":"https://issuer.example","subject":"alice"}`}},
		{"disconnect it", func() (int64, error) {
			h.change(func(tx store.Tx) error {
				return tx.InsertIdentity(t.Context(), alice.Issuer, "another", owner.UserID, noon) // so that it is not the last
			})
			return owner.UserID, h.UnbindIdentity(t.Context(), owner, alice.Issuer, alice.Subject)
		}, []string{`user.identity user T - {"issuer":"https://issuer.example","subject":"alice"} -`}},
		{"set a password", func() (int64, error) { return owner.UserID, h.SetPassword(t.Context(), owner, "", right) },
			[]string{`user.password user T - - {"sessions_ended":0}`}},
		{"make a link", func() (int64, error) { h.link("owner"); return owner.UserID, nil },
			[]string{`user.link user T - - -`}},
		{"sign in", func() (int64, error) {
			started, err := h.SignInWithLink(t.Context(), admin.Caller{}, h.link("member"), admin.Browser{})
			return started.ID, err
		}, []string{`user.link user MEMBER - - -`, `session.create session T - - {"method":"link"}`}},
		{"end a session", func() (int64, error) { return owner.SessionID, h.EndSession(t.Context(), owner, owner.SessionID) },
			[]string{`session.delete session T - - -`}},

		{"delete an organization", func() (int64, error) { return h.home, h.DeleteOrganization(t.Context(), everywhere, h.home) },
			[]string{`organization.delete organization T home {"external_id":"y","keys":2,"members":5,"metadata":{"a":1},"organization_name":"house"} -`}},
	} {
		var target int64
		entries := h.logged(func() {
			var err error
			if target, err = row.do(); err != nil {
				t.Fatalf("%s: %v", row.change, err)
			}
		})
		var got []string
		for _, e := range entries {
			got = append(got, fmt.Sprint(e.Action, " ", e.Target.Type, " ", e.Target.ID, " ", e.OrganizationID, " ", text(e.Before), " ", text(e.After)))
		}
		var want []string
		for _, line := range row.want {
			line = strings.NewReplacer("HINT", hint, "OWNER", fmt.Sprint(owner.UserID), "MEMBER", fmt.Sprint(h.users["member"]),
				"ADMIN", fmt.Sprint(everywhere.UserID)).Replace(line)
			words := strings.SplitN(line, " ", 5)
			for i, word := range words[2:4] {
				switch word {
				case "T":
					words[2+i] = fmt.Sprint(target)
				case "home":
					words[2+i] = fmt.Sprint(h.home)
				case "-":
					words[2+i] = "0"
				}
			}
			want = append(want, strings.Join(words, " "))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s leaves\n%s\nwant\n%s", row.change, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// text is what stands before or after a change.
func text(object []byte) string {
	if object == nil {
		return "-"
	}
	return string(object)
}

// No secret is in the audit log, whatever is done with it, and in the database none is in clear.
func TestNoSecretIsKept(t *testing.T) {
	sent := make(mailbox, 10)
	h := newHouse(t).with(func(o *admin.Options) { o.Mailer = sent })
	h.setPassword("owner")
	owner := h.session("owner")
	var secrets []string     // to be found nowhere
	var digests []key.Digest // to be found in the database, and not in its audit log

	k, first, err := h.CreateKey(t.Context(), owner, key.Draft{Name: "n", Scopes: key.AllScopes, OrganizationID: h.home, Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := h.RotateKey(t.Context(), owner, k.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_ = errorOf(h.CreateOrganization(t.Context(), h.by(k), key.OrganizationDraft{Name: first.Reveal()}))
	_ = errorOf(h.UpdateKey(t.Context(), owner, k.ID, key.Patch{Name: ptr(second.Reveal())}))
	link, used := h.link("owner"), h.link("owner")
	started := h.signIn("owner", right, "203.0.113.1", admin.Browser{UserAgent: "x"})
	linked, err := h.SignInWithLink(t.Context(), admin.Caller{}, used, admin.Browser{})
	if err != nil {
		t.Fatal(err)
	}
	_ = errorOf(h.SignInWithLink(t.Context(), admin.Caller{}, used, admin.Browser{}))
	_ = errorOf(h.SignIn(t.Context(), admin.Caller{}, email("owner"), wrong, admin.Browser{}))
	_ = errorOf(h.SignIn(t.Context(), admin.Caller{}, wanted, wanted, admin.Browser{})) // in the wrong field
	byPassword := admin.Caller{UserID: started.UserID, SessionID: started.ID}
	_ = h.SetPassword(t.Context(), byPassword, wrong, wanted)
	if err := h.SetPassword(t.Context(), byPassword, right, wanted); err != nil {
		t.Fatal(err)
	}
	if _, err := h.InviteMember(t.Context(), owner, h.home, "new@example.com", key.Viewer); codeOf(err) != key.Unauthenticated {
		t.Fatal(err) // the session has ended with the password
	}
	if _, err := h.InviteMember(t.Context(), byPassword, h.home, "new@example.com", key.Viewer); err != nil {
		t.Fatal(err)
	}
	invitation := (<-sent).link
	kept, err := h.store.Password(t.Context(), owner.UserID)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.removeMember(byPassword, "admin", admin.ToCaller); err != nil {
		t.Fatal(err)
	}

	secrets = append(secrets, first.Reveal(), second.Reveal(), link, used, started.Secret.Reveal(), started.Device.Reveal(), linked.Secret.Reveal(),
		linked.Device.Reveal(), invitation.Reveal(), right, wrong, wanted)
	for _, tok := range []token.Token{first, second} {
		digests = append(digests, tok.Digest())
	}
	digests = append(digests, started.Secret.Digest(), started.Device.Digest(), invitation.Digest())

	entries, err := h.store.AuditAfter(t.Context(), 0, 1000)
	if err != nil || len(entries) < 15 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	log, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		log = append(log, append(e.Before, e.After...)...) // which are in base64 above
	}
	if err := h.store.Close(); err != nil { // so that all of it is in the one file
		t.Fatal(err)
	}
	file, err := os.ReadFile(h.path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(file, []byte(email("owner"))) {
		t.Error("this is not how to search the database")
	}
	for i, secret := range secrets {
		if bytes.Contains(log, []byte(secret)) || bytes.Contains(file, []byte(secret)) {
			t.Errorf("secret %d is kept", i)
		}
	}
	if bytes.Contains(log, []byte(kept)) || bytes.Contains(log, []byte(hashed)) {
		t.Error("a password as it is kept is in the audit log")
	}
	for i, digest := range digests {
		if !bytes.Contains(file, digest[:]) && i != 3 { // that of the device is forgotten with the password
			t.Errorf("digest %d is nowhere", i)
		}
		if bytes.Contains(log, []byte(hex.EncodeToString(digest[:4]))) || bytes.Contains(log, digest[:]) {
			t.Errorf("digest %d is in the audit log", i)
		}
	}
}

func TestWhoSeesWhatOfTheAuditLog(t *testing.T) {
	h := newHouse(t)
	rename := func(c admin.Caller, organization int64, name string) {
		t.Helper()
		if _, err := h.UpdateOrganization(t.Context(), c, organization, key.OrganizationPatch{Name: &name}); err != nil {
			t.Fatal(err)
		}
	}
	rename(h.bearer("owner"), h.home, "a")                                                   // 1, in home
	rename(h.bearer("stranger"), h.other, "b")                                               // 2, in other
	h.link("owner")                                                                          // 3, in none
	expect(t, "", h.DeleteOrganization(t.Context(), h.bearer("admin"), h.home), "forbidden") // 4, in home, refused
	h.set(noon.Add(time.Hour))
	rename(h.bearer("owner"), h.home, "c") // 5, in home
	h.join("admin", h.other, key.Admin)    // of both now
	calling := h.withKey("admin", h.home, read)
	hour, minute := noon.Add(time.Hour), noon.Add(time.Minute)
	for _, row := range []struct {
		name   string
		caller admin.Caller
		list   admin.AuditList
		want   []int64
	}{
		{"all of it, for an instance admin", h.bearer("instance admin"), admin.AuditList{}, []int64{5, 4, 3, 2, 1}},
		{"an organization's, for an instance admin", h.bearer("instance admin"), admin.AuditList{OrganizationID: h.other}, []int64{2}},
		{"that of one's organization", h.bearer("owner"), admin.AuditList{}, []int64{5, 4, 1}},
		{"that of one's organizations", h.bearer("admin"), admin.AuditList{}, []int64{5, 4, 2, 1}},
		{"that of one of them", h.bearer("admin"), admin.AuditList{OrganizationID: h.other}, []int64{2}},
		{"that of the key's", calling, admin.AuditList{}, []int64{5, 4, 1}},
		{"by somebody", h.bearer("admin"), admin.AuditList{ActorUserID: h.users["stranger"]}, []int64{2}},
		{"by somebody, elsewhere", h.bearer("owner"), admin.AuditList{ActorUserID: h.users["stranger"]}, nil},
		{"about something", h.bearer("owner"), admin.AuditList{TargetType: audit.Organization, TargetID: h.home}, []int64{5, 4, 1}},
		{"about something elsewhere", h.bearer("owner"), admin.AuditList{TargetType: audit.Organization, TargetID: h.other}, nil},
		{"about a user", h.bearer("owner"), admin.AuditList{TargetType: audit.User, TargetID: h.users["owner"]}, nil},
		{"an action", h.bearer("admin"), admin.AuditList{Action: "organization.delete"}, []int64{4}},
		{"a group of actions", h.bearer("instance admin"), admin.AuditList{Action: "user.*"}, []int64{3}},
		{"what was refused", h.bearer("admin"), admin.AuditList{Outcome: audit.Refused}, []int64{4}},
		{"from a time on", h.bearer("instance admin"), admin.AuditList{From: hour}, []int64{5}},
		{"before a time", h.bearer("admin"), admin.AuditList{To: minute}, []int64{4, 2, 1}},
		{"at no time", h.bearer("admin"), admin.AuditList{From: minute, To: hour}, nil},
	} {
		var got []int64
		row.list.Limit = 2
		for more := true; more; {
			page, again, err := h.AuditLog(t.Context(), row.caller, row.list)
			if err != nil || len(page) > 2 || again && len(page) < 2 {
				t.Fatalf("%s: %d entries, more %v, %v", row.name, len(page), again, err)
			}
			for _, e := range page {
				got = append(got, e.ID)
				row.list.Before = e.ID
			}
			more = again
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

// What has ended is swept away, and of the audit log what is old; what is left can be verified still.
func TestSweep(t *testing.T) {
	const kept = 48 * time.Hour
	h := newHouse(t).with(func(o *admin.Options) { o.AuditRetention = kept })
	old, others := h.session("member"), h.link("member")
	h.change(func(tx store.Tx) error {
		for range 1500 { // more than are deleted at once
			tx.Record(audit.Entry{OccurredAt: noon, Action: "key.create", Target: audit.Target{Type: audit.Key}, Outcome: audit.Success})
		}
		return nil
	})
	h.pass(idle)
	fresh := h.session("member")
	expect(t, "", errorOf(h.Key(t.Context(), fresh, 999)), key.NotFound)
	if err := h.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	sessions, err := h.store.Sessions(t.Context(), fresh.UserID, 0, 10)
	if err != nil || len(sessions) != 2 { // what was used a moment ago, at the edge, too
		t.Errorf("%v, %v", sessions, err)
	}
	h.pass(time.Millisecond)
	if err := h.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sessions, err = h.store.Sessions(t.Context(), fresh.UserID, 0, 10); err != nil || len(sessions) != 1 || sessions[0].ID != fresh.SessionID {
		t.Errorf("%v are left, %v", sessions, err)
	}
	expect(t, "a session that was swept away", errorOf(h.Me(t.Context(), old)), key.Unauthenticated)
	expect(t, "a link that was swept away", errorOf(h.SignInWithLink(t.Context(), admin.Caller{}, others, admin.Browser{})), key.Unauthenticated)

	before, err := admin.VerifyAudit(t.Context(), h.store)
	if err != nil || before.Pruned.ID != 0 {
		t.Fatalf("nothing is old yet: %+v, %v", before, err)
	}
	h.set(noon.Add(kept + time.Second))
	if err := h.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := admin.VerifyAudit(t.Context(), h.store)
	if err != nil || after.Pruned.ID != 1501 || after.Last != before.Last { // those of noon, the link among them
		t.Errorf("the audit log reaches from %d to %d, and %v", after.Pruned.ID, after.Last.ID, err)
	}
	left, err := h.store.AuditAfter(t.Context(), 0, 10)
	if err != nil || len(left) != int(after.Last.ID-after.Pruned.ID) || !left[0].OccurredAt.Equal(noon.Add(idle)) {
		t.Errorf("%+v is left, %v", left, err)
	}
	entries := h.logged(func() { h.link("member") })
	if _, err := admin.VerifyAudit(t.Context(), h.store); err != nil || entries[0].ID != after.Last.ID+1 {
		t.Errorf("what follows is entry %d, %v", entries[0].ID, err)
	}
}
