package admin_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/secret"
)

func TestSignIn(t *testing.T) {
	h := newHouse(t)
	h.setPassword("member")
	var started admin.Started
	entries := h.logged(func() {
		var err error
		started, err = h.SignIn(t.Context(), admin.Caller{IP: "203.0.113.1", RequestID: "req"}, "  MEMBER@Example.com ", right,
			admin.Browser{UserAgent: strings.Repeat("ä", 200)})
		expect(t, "the right password", err, "ok")
	})
	want := key.Session{ID: started.ID, UserID: h.users["member"], Method: key.ByPassword, IP: "203.0.113.1",
		UserAgent: strings.Repeat("ä", 127), CreatedAt: noon, LastUsedAt: noon, ExpiresAt: noon.Add(lifetime)}
	if stored, err := h.store.Session(t.Context(), started.ID); err != nil || stored != want || started.Session != want {
		t.Errorf("the session is kept as %+v, %v, and was handed out as %+v", stored, err, started.Session)
	}
	expectActions(t, entries, "session.create")
	actor := audit.Actor{UserID: want.UserID, SessionID: want.ID}
	if e := entries[0]; e.Actor != actor || e.Target != (audit.Target{Type: audit.Session, ID: want.ID}) || string(e.After) != `{"method":"password"}` ||
		e.IP != "203.0.113.1" || e.RequestID != "req" || e.OrganizationID != 0 {
		t.Errorf("the audit log says %+v", e)
	}
	if user, err := h.store.User(t.Context(), want.UserID); err != nil || !user.SignedInAt.Equal(noon) {
		t.Errorf("signed in at %v, %v", user.SignedInAt, err)
	}
	session, err := h.Authenticate(t.Context(), started.Secret.Reveal())
	if err != nil || session != want {
		t.Errorf("the secret finds %+v, %v", session, err)
	}
}

// Nothing tells an address that nobody has from a wrong password, and neither from a user without a password.
func TestAWrongSignInTellsNothing(t *testing.T) {
	h := newHouse(t)
	h.setPassword("member")
	var answers []string
	for _, try := range []struct {
		address string
		target  int64
	}{{email("member"), h.users["member"]}, {email("viewer"), h.users["viewer"]}, {"nobody@example.com", 0}} {
		entries := h.logged(func() {
			started, err := h.SignIn(t.Context(), admin.Caller{}, try.address, wrong, admin.Browser{})
			expect(t, try.address, err, key.Unauthenticated)
			answers = append(answers, fmt.Sprint(started, err))
		})
		expectActions(t, entries, "refused: session.create")
		if entries[0].Target != (audit.Target{Type: audit.User, ID: try.target}) || entries[0].Actor != (audit.Actor{}) {
			t.Errorf("%s: the audit log says %+v", try.address, entries[0])
		}
	}
	if len(slices.Compact(answers)) != 1 {
		t.Errorf("the answers differ: %q", answers)
	}
}

// attempt tries to sign in from an address.
func (h *house) attempt(user, pass, ip string, b admin.Browser) key.Code {
	_, err := h.SignIn(h.t.Context(), admin.Caller{IP: ip}, email(user), pass, b)
	return codeOf(err)
}

func TestGuessingIsHopeless(t *testing.T) {
	everybody := []string{"viewer", "member", "admin", "owner", "colleague"}
	prepared := func(t *testing.T) *house {
		h := newHouse(t)
		for _, name := range everybody {
			h.setPassword(name)
		}
		return h
	}
	guess := func(h *house, n int, user, ip string) {
		h.t.Helper()
		for i := range n {
			if got := h.attempt(user, wrong, ip, admin.Browser{}); got != key.Unauthenticated {
				h.t.Fatalf("guess %d of %s from %s: %s", i, user, ip, got)
			}
		}
	}
	const from = "203.0.113.1"

	t.Run("at one account from one address", func(t *testing.T) {
		h := prepared(t)
		guess(h, 5, "member", from)
		_, err := h.SignIn(t.Context(), admin.Caller{IP: from}, strings.ToUpper(email("member")), right, admin.Browser{})
		expect(t, "the right password, after too many", err, key.RateLimited)
		if e, _ := errors.AsType[*key.Error](err); e.Wait != time.Minute {
			t.Errorf("wait %v", e.Wait)
		}
		if got := h.attempt("member", right, "203.0.113.2", admin.Browser{}); got != "ok" {
			t.Errorf("from another address: %s", got)
		}
		if got := h.attempt("viewer", right, from, admin.Browser{}); got != "ok" {
			t.Errorf("another account from there: %s", got)
		}
		h.pass(time.Minute)
		if got := h.attempt("member", right, from, admin.Browser{}); got != "ok" {
			t.Errorf("a minute later: %s", got)
		}
	})
	t.Run("at many accounts from one address", func(t *testing.T) {
		h := prepared(t)
		for _, name := range everybody[:4] {
			guess(h, 5, name, "2001:db8::"+fmt.Sprint(len(name))) // all in one /64
		}
		if got := h.attempt("colleague", right, "2001:db8::99", admin.Browser{}); got != key.RateLimited {
			t.Errorf("one more: %s", got)
		}
		if got := h.attempt("colleague", right, from, admin.Browser{}); got != "ok" {
			t.Errorf("from another address: %s", got)
		}
	})
	t.Run("at one account from many addresses, which locks nobody out", func(t *testing.T) {
		h := prepared(t)
		known := h.enter("member")
		for i := range 50 {
			guess(h, 1, "member", fmt.Sprintf("198.51.100.%d", i))
		}
		if got := h.attempt("member", wrong, "198.51.100.200", admin.Browser{}); got != key.RateLimited {
			t.Errorf("one more: %s", got)
		}
		mine := admin.Browser{Device: known.Device.Reveal()}
		if got := h.attempt("member", right, "192.0.2.1", mine); got != "ok" {
			t.Errorf("a browser that has signed in before: %s", got)
		}
		others := admin.Browser{Device: h.enter("viewer").Device.Reveal()}
		if got := h.attempt("member", right, "192.0.2.1", others); got != key.RateLimited {
			t.Errorf("a browser that has signed in as somebody else: %s", got)
		}
		if got := codeOf(errorOf(h.SignInWithLink(t.Context(), admin.Caller{}, h.link("member"), admin.Browser{}))); got != "ok" {
			t.Errorf("a one-time link: %s", got)
		}
	})
	t.Run("in a browser that has signed in before", func(t *testing.T) {
		h := prepared(t)
		mine := admin.Browser{Device: h.enter("member").Device.Reveal()}
		for range 10 {
			if got := h.attempt("member", wrong, from, mine); got != key.Unauthenticated {
				t.Fatal(got)
			}
		}
		if got := h.attempt("member", right, from, mine); got != key.RateLimited {
			t.Errorf("one more: %s", got)
		}
	})
	t.Run("and who knows the password does not guess", func(t *testing.T) {
		h := prepared(t)
		for range 6 {
			h.signIn("member", right, from, admin.Browser{})
		}
	})
}

// enter signs a user in with a one-time link.
func (h *house) enter(user string) admin.Started {
	h.t.Helper()
	started, err := h.SignInWithLink(h.t.Context(), admin.Caller{}, h.link(user), admin.Browser{})
	if err != nil {
		h.t.Fatal(err)
	}
	return started
}

func TestASessionEnds(t *testing.T) {
	h := newHouse(t)
	begin := func() string { return h.enter("member").Secret.Reveal() }
	alive := func(what, text string, want key.Code) {
		t.Helper()
		expect(t, what, errorOf(h.Authenticate(t.Context(), text)), want)
	}

	unused, used := begin(), begin()
	h.set(noon.Add(idle - time.Millisecond))
	alive("just before it was unused for too long", used, "ok")
	h.set(noon.Add(idle))
	alive("unused for too long", unused, key.Unauthenticated)
	alive("used meanwhile", used, "ok")
	for h.now().Before(noon.Add(lifetime - time.Hour)) {
		h.pass(time.Hour)
		alive("used each hour", used, "ok")
	}
	h.set(noon.Add(lifetime - time.Millisecond))
	alive("at the end of its life", used, "ok")
	h.set(noon.Add(lifetime))
	alive("used until its end", used, key.Unauthenticated)

	for _, text := range []string{"", "x", secret.New().Reveal(), strings.Repeat("A", secret.Length)} {
		alive(text, text, key.Unauthenticated)
	}
}

// A session in use is written once a minute, and not with each request.
func TestASessionIsTouchedOnceAMinute(t *testing.T) {
	h := newHouse(t)
	started := h.enter("member")
	for _, row := range []struct{ at, written time.Duration }{
		{0, 0}, {59 * time.Second, 0}, {time.Minute, time.Minute}, {119 * time.Second, time.Minute}, {2 * time.Minute, 2 * time.Minute},
		{time.Hour, time.Hour},
	} {
		h.set(noon.Add(row.at))
		returned, err := h.Authenticate(t.Context(), started.Secret.Reveal())
		stored, failed := h.store.Session(t.Context(), started.ID)
		if want := noon.Add(row.written); err != nil || failed != nil || !returned.LastUsedAt.Equal(want) || !stored.LastUsedAt.Equal(want) {
			t.Errorf("after %v: %v in the answer, %v in the store, want %v (%v, %v)", row.at, returned.LastUsedAt, stored.LastUsedAt, want, err, failed)
		}
	}
}

// Whoever has put a session into somebody's browser, to be in it when they sign in, is left with nothing.
func TestTheOldSessionEndsWithASignIn(t *testing.T) {
	h := newHouse(t)
	h.setPassword("member")
	planted := h.enter("member")
	browser := admin.Caller{SessionID: planted.ID}

	expect(t, "a wrong password", errorOf(h.SignIn(t.Context(), browser, email("member"), wrong, admin.Browser{})), key.Unauthenticated)
	expect(t, "the session, after a sign-in that failed", errorOf(h.Authenticate(t.Context(), planted.Secret.Reveal())), "ok")

	fresh, err := h.SignIn(t.Context(), browser, email("member"), right, admin.Browser{Device: planted.Device.Reveal()})
	expect(t, "sign in", err, "ok")
	if fresh.ID == planted.ID || fresh.Secret == planted.Secret || fresh.Device == planted.Device {
		t.Error("a secret was used again")
	}
	expect(t, "the session that was planted", errorOf(h.Authenticate(t.Context(), planted.Secret.Reveal())), key.Unauthenticated)
	expect(t, "the new one", errorOf(h.Authenticate(t.Context(), fresh.Secret.Reveal())), "ok")

	// The session of somebody else, in whose browser one signs in, ends as well.
	others := h.session("viewer")
	expect(t, "sign in", errorOf(h.SignInWithLink(t.Context(), others, h.link("member"), admin.Browser{})), "ok")
	expect(t, "the session that was there", errorOf(h.Me(t.Context(), others)), key.Unauthenticated)
}

func TestSessionsAreListedAndEnded(t *testing.T) {
	h := newHouse(t)
	h.session("viewer")
	h.set(noon.Add(-idle))
	for range 3 {
		h.session("member") // have ended
	}
	h.set(noon)
	var want []int64
	for range 5 {
		want = append(want, h.session("member").SessionID)
	}
	slices.Reverse(want)
	c := admin.Caller{UserID: h.users["member"], SessionID: want[0]}
	var got []int64
	for before, more := int64(0), true; more; {
		var page []key.Session
		var err error
		if page, more, err = h.Sessions(t.Context(), c, before, 2); err != nil {
			t.Fatal(err)
		}
		for _, s := range page {
			got = append(got, s.ID)
		}
		before = got[len(got)-1]
	}
	if !slices.Equal(got, want) {
		t.Errorf("the sessions are %v, want %v", got, want)
	}

	expect(t, "somebody else's", errorOf(h.Me(t.Context(), admin.Caller{UserID: h.users["viewer"], SessionID: want[0]})), key.Unauthenticated)
	entries := h.logged(func() { expect(t, "end another", h.EndSession(t.Context(), c, want[1]), "ok") })
	expectActions(t, entries, "session.delete")
	expect(t, "end it again", h.EndSession(t.Context(), c, want[1]), key.NotFound)
	expect(t, "it", errorOf(h.Me(t.Context(), admin.Caller{UserID: c.UserID, SessionID: want[1]})), key.Unauthenticated)
	expect(t, "end one's own", h.EndSession(t.Context(), c, c.SessionID), "ok")
	expect(t, "end one more in it", h.EndSession(t.Context(), c, want[2]), key.Unauthenticated)
}

var alice = admin.Identity{Issuer: "https://issuer.example", Subject: "alice", Email: "Member@example.com", EmailVerified: true}

// Whoever has got hold of a session must not be able to come back for good by it.
func TestAnIdentityIsConnectedSoonAfterSigningIn(t *testing.T) {
	h := newHouse(t)
	c := h.session("member")
	h.pass(15*time.Minute + time.Millisecond)
	expect(t, "connect later", h.BindIdentity(t.Context(), c, alice), key.Forbidden)
	expect(t, "connect at once", h.BindIdentity(t.Context(), h.session("member"), alice), "ok")
}

func TestAnIdentityIsDisconnected(t *testing.T) {
	h := newHouse(t)
	c, other := h.session("member"), h.session("viewer")
	second := admin.Identity{Issuer: "https://another.example", Subject: "alice"}
	for _, id := range []admin.Identity{alice, second} {
		expect(t, "connect", h.BindIdentity(t.Context(), c, id), "ok")
	}
	want := []key.Connection{{Issuer: second.Issuer, Subject: "alice", CreatedAt: noon}, {Issuer: alice.Issuer, Subject: "alice", CreatedAt: noon}}
	if found, err := h.Identities(t.Context(), c); err != nil || !slices.Equal(found, want) {
		t.Errorf("Identities() = %v, %v, want %v", found, err, want)
	}
	if found, err := h.Identities(t.Context(), other); err != nil || len(found) != 0 {
		t.Errorf("somebody else's are %v, %v", found, err)
	}
	unbind := func(c admin.Caller, id admin.Identity) error {
		return h.UnbindIdentity(t.Context(), c, id.Issuer, id.Subject)
	}
	expect(t, "somebody else's", unbind(other, alice), key.NotFound)
	expect(t, "one of two", unbind(c, alice), "ok")
	expect(t, "one that is gone", unbind(c, alice), key.NotFound)
	expect(t, "sign in with it", errorOf(h.SignInWithIdentity(t.Context(), admin.Caller{}, alice, admin.Browser{})), key.Unauthenticated)
	expect(t, "the last one without a password", unbind(c, second), key.Conflict)
	expect(t, "sign in with the last", errorOf(h.SignInWithIdentity(t.Context(), admin.Caller{}, second, admin.Browser{})), "ok")
	expect(t, "choose a password", h.SetPassword(t.Context(), c, "", right), "ok")
	expect(t, "the last one", unbind(c, second), "ok")
}

func TestAnIdentityIsConnectedInASession(t *testing.T) {
	h := newHouse(t)
	entries := h.logged(func() {
		expect(t, "before", errorOf(h.SignInWithIdentity(t.Context(), admin.Caller{}, alice, admin.Browser{})), key.Unauthenticated)
		expect(t, "a token, before", errorOf(h.UserOf(t.Context(), admin.Caller{}, alice)), key.Unauthenticated)
		expect(t, "connect", h.BindIdentity(t.Context(), h.session("member"), alice), "ok")
	})
	expectActions(t, entries, "refused: session.create", "user.identity")
	if e := entries[1]; string(e.After) != `{"issuer":"https://issuer.example","subject":"alice"}` || e.Target.ID != h.users["member"] {
		t.Errorf("the audit log says %+v", e)
	}
	started, err := h.SignInWithIdentity(t.Context(), admin.Caller{}, alice, admin.Browser{})
	if err != nil || started.UserID != h.users["member"] || started.Method != key.ByOIDC {
		t.Errorf("the session is %+v, %v", started.Session, err)
	}
	expect(t, "the session", errorOf(h.Authenticate(t.Context(), started.Secret.Reveal())), "ok")
	if user, err := h.UserOf(t.Context(), admin.Caller{}, alice); user != h.users["member"] || err != nil {
		t.Errorf("a token is that of user %d, %v", user, err)
	}
	expect(t, "connect it with somebody else", h.BindIdentity(t.Context(), h.session("viewer"), alice), key.Conflict)
	elsewhere := alice
	elsewhere.Issuer = "https://other.example"
	expect(t, "the same subject of another provider", errorOf(h.UserOf(t.Context(), admin.Caller{}, elsewhere)), key.Unauthenticated)
}

func TestAnIdentityIsMatchedByAVerifiedAddressWhereTheOperatorWantsIt(t *testing.T) {
	h := newHouse(t)
	unverified, nobody, nameless, alike := alice, alice, alice, alice
	unverified.EmailVerified = false
	nobody.Email = "nobody@example.com"
	nameless.Email = ""
	alike.Email = "vİewer@example.com" // whose lower case is that of the viewer's
	matching := h.with(func(o *admin.Options) { o.MatchEmail = true })
	for what, try := range map[string]func() (int64, error){
		"unless wanted":              func() (int64, error) { return h.UserOf(t.Context(), admin.Caller{}, alice) },
		"unless verified":            func() (int64, error) { return matching.UserOf(t.Context(), admin.Caller{}, unverified) },
		"unless somebody has it":     func() (int64, error) { return matching.UserOf(t.Context(), admin.Caller{}, nobody) },
		"unless it is the same":      func() (int64, error) { return matching.UserOf(t.Context(), admin.Caller{}, alike) },
		"unless there is an address": func() (int64, error) { return matching.UserOf(t.Context(), admin.Caller{}, nameless) },
	} {
		entries := h.logged(func() {
			if user, err := try(); user != 0 || codeOf(err) != key.Unauthenticated {
				t.Errorf("%s: user %d, %v", what, user, err)
			}
		})
		expectActions(t, entries) // whoever has a token of the provider's can send it without end
	}
	entries := h.logged(func() {
		expect(t, "sign in", errorOf(matching.SignInWithIdentity(t.Context(), admin.Caller{}, nobody, admin.Browser{})), key.Unauthenticated)
	})
	expectActions(t, entries, "refused: session.create")

	// A page sends several requests at once with the first token of somebody's.
	entries = h.logged(func() {
		var together sync.WaitGroup
		for range 8 {
			together.Go(func() {
				if user, err := matching.UserOf(t.Context(), admin.Caller{}, alice); user != h.users["member"] || err != nil {
					t.Errorf("user %d, %v", user, err)
				}
			})
		}
		together.Wait()
	})
	expectActions(t, entries, "user.identity")
	if e := entries[0]; e.Actor.UserID != h.users["member"] || e.Target != (audit.Target{Type: audit.User, ID: h.users["member"]}) {
		t.Errorf("the audit log says %+v", e)
	}

	// From then on the subject counts, and not the address.
	moved := alice
	moved.Email = email("viewer")
	if user, err := matching.UserOf(t.Context(), admin.Caller{}, moved); user != h.users["member"] || err != nil {
		t.Errorf("with another address: user %d, %v", user, err)
	}
}
