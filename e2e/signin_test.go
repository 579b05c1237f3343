package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/internal/apptest"
)

// trustsTests has a server believe the tests about where a request came from.
var trustsTests = []string{"--trusted-proxies", "127.0.0.1"}

// from is the header of a proxy that says where a request came from: the n-th address of a network.
func from(network string, n int) string { return fmt.Sprintf("X-Forwarded-For: %s.%d", network, n) }

// trySignIn tries to sign in and returns the answer, whatever it is.
func trySignIn(t testing.TB, s *server, body string, headers ...string) answer {
	t.Helper()
	return request(t, s.management, "POST", sessionsPath, body, headers)
}

// TestSignInTellsNothing tries addresses that nobody has, that somebody has, and that somebody has who has no password:
// the answers are the same, and take the same time.
func TestSignInTellsNothing(t *testing.T) {
	t.Parallel()
	h := serveHousehold(t, nil, trustsTests...)
	h.people["root"].as(t, h.server, "POST", membersPath(ours), invitation("invited", api.RoleMember)).is(http.StatusCreated)
	accounts := []string{"nobody@example.com", "mate@example.com", "MATE@example.com", "invited@example.com"}

	var first api.Error
	for i, email := range accounts {
		a := trySignIn(t, h.server, withPassword(email, "not the password"), from("198.51.100", 1))
		p := a.refused(api.CodeUnauthenticated)
		p.RequestID = ""
		if i == 0 {
			first = p
		}
		if fmt.Sprint(p) != fmt.Sprint(first) || len(a.header["Set-Cookie"]) > 0 || a.header.Get("Content-Length") != strconv.Itoa(len(a.body)) {
			t.Errorf("%s is told from nobody: %s %v", email, a.body, a.header)
		}
	}

	// An attempt takes tens of milliseconds where a password is compared, and one where none is. What a few attempts take at least
	// is compared with a wide margin, of more of them where it does not agree: a busy machine only makes them longer.
	const attempts, rounds = 5, 4
	took := map[string]time.Duration{}
	for round := 1; ; round++ {
		for i := range attempts {
			for _, email := range accounts {
				began := time.Now()
				trySignIn(t, h.server, withPassword(email, "not the password"), from("203.0.113", round*attempts+i)).is(http.StatusUnauthorized)
				if d := time.Since(began); took[email] == 0 || d < took[email] {
					took[email] = d
				}
			}
		}
		shortest, longest := time.Hour, time.Duration(0)
		for _, d := range took {
			shortest, longest = min(shortest, d), max(longest, d)
		}
		if longest < 3*shortest {
			break
		}
		if round == rounds {
			t.Fatalf("the time of an attempt tells which accounts there are: %v", took)
		}
	}
	h.stop()
}

// TestSessionFixation has somebody sign in in a browser that another one has prepared.
func TestSessionFixation(t *testing.T) {
	t.Parallel()
	h := serveHousehold(t, nil)
	mate, guest := h.people["mate"], h.people["guest"]
	me := func(b signedIn) answer {
		return request(t, h.management, "GET", "/v1/me", "", []string{b.cookie()})
	}
	// With a session of the other's, which ends, and with a secret of the other's choice, which never was one.
	planted := signIn(t, h.management, withPassword(guest.email, guest.password()))
	chosen := signedIn{session: strings.Repeat("A", 43), device: strings.Repeat("A", 43)}
	for _, p := range []signedIn{planted, chosen} {
		cookies := "Cookie: " + sessionCookie + "=" + p.session + "; " + rememberedCookie + "=" + p.device
		b := signIn(t, h.management, withPassword(mate.email, mate.password()), cookies)
		if b.session == p.session || b.device == p.device {
			t.Error("a secret was taken over")
		}
		me(p).refused(api.CodeUnauthenticated)
		var who api.Me
		if me(b).is(http.StatusOK).into(&who); who.UserID != mate.id {
			t.Errorf("signed in as %+v", who)
		}
		// A sign-in that fails ends nothing.
		trySignIn(t, h.server, withPassword(mate.email, "not the password"), b.cookie()).refused(api.CodeUnauthenticated)
		me(b).is(http.StatusOK)

		// Signing out ends it on the server, whatever the browser does with its cookie.
		out := request(t, h.management, "DELETE", sessionsPath+"/current", "", []string{b.cookie()}).is(http.StatusNoContent)
		if text := out.header.Get("Set-Cookie"); !strings.HasPrefix(text, sessionCookie+"=;") || !strings.Contains(text, "Max-Age=0") {
			t.Errorf("Set-Cookie: %s", text)
		}
		me(b).refused(api.CodeUnauthenticated)
	}
	// Another's session cannot be ended by its id, and is not told from none.
	guest.as(t, h.server, "DELETE", fmt.Sprintf("%s/%d", sessionsPath, mate.sessionID), "").refused(api.CodeNotFound)
	me(mate.signedIn).is(http.StatusOK)
	h.stop()
}

// TestLinksWorkOnce uses a link again, and by twenty browsers at the same time: one of them gets in.
func TestLinksWorkOnce(t *testing.T) {
	t.Parallel()
	h := serveHousehold(t, nil, trustsTests...)
	root := h.people["root"]
	for round := range 10 {
		var invited api.InvitedMember
		root.as(t, h.server, "POST", membersPath(ours), invitation(fmt.Sprintf("invited%d", round), api.RoleMember)).is(http.StatusCreated).into(&invited)
		link := withLink(linkSecret(t, invited.SignInURL))
		var in atomic.Int64
		var winner atomic.Pointer[signedIn]
		var all sync.WaitGroup
		begin := make(chan struct{})
		for i := range 20 {
			all.Go(func() {
				<-begin
				a := trySignIn(t, h.server, link, from("198.51.100", i))
				if a.status == http.StatusCreated {
					in.Add(1)
					b := a.signedIn()
					winner.Store(&b)
					return
				}
				a.refused(api.CodeUnauthenticated)
			})
		}
		close(begin)
		all.Wait()
		if in.Load() != 1 {
			t.Fatalf("round %d: of 20 browsers with one link %d got in", round, in.Load())
		}
		trySignIn(t, h.server, link, from("198.51.100", round)).refused(api.CodeUnauthenticated)
		var list []api.Session
		request(t, h.management, "GET", sessionsPath, "", []string{winner.Load().cookie()}).is(http.StatusOK).into(&list)
		if len(list) != 1 || list[0].Method != api.MethodLink || list[0].UserID != invited.UserID || !list[0].Current {
			t.Errorf("round %d: sessions %+v", round, list)
		}
	}
	// What is no link is none, whatever it looks like. Who tries many of them has to wait, but for a good one.
	for _, text := range []string{"x", strings.Repeat("A", 43), strings.Repeat("A", 44), root.session, h.token, strings.Repeat("_", 42)} {
		trySignIn(t, h.server, withLink(text), from("203.0.113", 1)).refused(api.CodeUnauthenticated)
	}
	n := 0
	for n < 100 && trySignIn(t, h.server, withLink("x"), from("203.0.113", 2)).status == http.StatusUnauthorized {
		n++
	}
	if n < 20 || n > 22 {
		t.Errorf("%d made-up links were looked at", n)
	}
	trySignIn(t, h.server, withLink("x"), from("203.0.113", 2)).throttled()
	out, err := runBeside(h.server, "users", "sign-in-link", "mate@example.com")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	signIn(t, h.management, withLink(linkSecret(t, string(out))), from("203.0.113", 2))
	h.stop()
	auditIsWhole(t, h.folder)
}

// TestWhatEnds moves the clock to where links and sessions end, and to just before.
func TestWhatEnds(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	s := apptest.Start(t, &apptest.Options{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	pass := func(d time.Duration) { ahead.Add(int64(d)) }
	first := signIn(t, s.ManagementURL, withLink(s.First.Link.Reveal()))
	me := func(b signedIn) answer { return request(t, s.ManagementURL, "GET", "/v1/me", "", []string{b.cookie()}) }
	invite := func(name string) string {
		t.Helper()
		var invited api.InvitedMember
		request(t, s.ManagementURL, "POST", membersPath(ours), invitation(name, api.RoleMember), []string{first.cookie()}).
			is(http.StatusCreated).into(&invited)
		return withLink(linkSecret(t, invited.SignInURL))
	}
	// A link: 15 minutes. The tests take some of the time.
	early, late := invite("early"), invite("late")
	pass(14*time.Minute + 30*time.Second)
	signIn(t, s.ManagementURL, early)
	pass(30 * time.Second)
	request(t, s.ManagementURL, "POST", sessionsPath, late, nil).refused(api.CodeUnauthenticated)

	// A session: 12 hours after its last use, however often, and 7 days in all.
	idle := signIn(t, s.ManagementURL, invite("idle"))
	for range 13 {
		me(first).is(http.StatusOK)
		pass(11*time.Hour + 58*time.Minute)
	}
	me(idle).refused(api.CodeUnauthenticated)
	var list []api.Session
	request(t, s.ManagementURL, "GET", sessionsPath, "", []string{first.cookie()}).is(http.StatusOK).into(&list)
	if len(list) != 1 || !list[0].ExpiresAt.After(time.Now().Add(time.Duration(ahead.Load()))) || list[0].ExpiresAt.After(list[0].CreatedAt.Add(168*time.Hour)) {
		t.Errorf("sessions: %+v", list)
	}
	pass(13 * time.Hour) // since it was begun, 13 times 11:58 and this are more than 168 hours
	me(first).refused(api.CodeUnauthenticated)
	s.Stop()
}

// throttled wants 429 with a time to wait.
func (a answer) throttled() {
	a.t.Helper()
	a.refused(api.CodeRateLimited)
	if wait, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || wait < 1 || wait > 3600 {
		a.t.Errorf("Retry-After: %q", a.header.Get("Retry-After"))
	}
}

// TestGuessing has somebody try passwords: from one address, from many, all at once. They do not get far, the right
// password included, and the person whose account it is signs in all the same.
func TestGuessing(t *testing.T) {
	t.Parallel()
	h := serveHousehold(t, nil, trustsTests...)
	mate := h.people["mate"]
	owned := signIn(t, h.management, withPassword(mate.email, mate.password()), from("192.0.2", 1)) // their own browser
	right, wrong := withPassword(mate.email, mate.password()), withPassword(mate.email, "not the password")

	// few wants a number of guesses, or one more where the machine is so slow that another one is due meanwhile.
	few := func(what string, n, want int) {
		t.Helper()
		if n != want && n != want+1 {
			t.Errorf("%s: %d guesses, want %d", what, n, want)
		}
	}
	// All at once from one address, at an account that there is and at one that there is not: as many are compared.
	compared := func(body, address string) int {
		var n atomic.Int64
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				if a := trySignIn(t, h.server, body, address); a.status == http.StatusUnauthorized {
					n.Add(1)
				} else {
					a.throttled()
				}
			})
		}
		all.Wait()
		return int(n.Load())
	}
	few("30 at once", compared(wrong, from("198.51.100", 1)), 5)
	few("30 at once, at nobody's account", compared(withPassword("nobody@example.com", "not the password"), from("198.51.100", 2)), 5)
	trySignIn(t, h.server, right, from("198.51.100", 1)).throttled()
	// Many accounts from one address.
	n := 0
	for i := range 30 {
		a := trySignIn(t, h.server, withPassword(fmt.Sprintf("user%d@example.com", i), "not the password"), from("198.51.100", 3))
		if a.status != http.StatusUnauthorized {
			a.throttled()
			break
		}
		n++
	}
	few("from one address, at many accounts", n, 20)
	// One account from many addresses, until nothing goes any more.
	n = 5
	for i := range 100 {
		a := trySignIn(t, h.server, wrong, from("203.0.113", i))
		if a.status != http.StatusUnauthorized {
			a.throttled()
			break
		}
		n++
	}
	if n < 40 || n > 60 {
		t.Errorf("%d guesses from many addresses", n)
	}
	// Their own browser gets in, from an address from which others have guessed as well; so does a link.
	for range 3 {
		owned = signIn(t, h.management, right, owned.deviceCookie(), from("203.0.113", 1))
	}
	out, err := runBeside(h.server, "users", "sign-in-link", mate.email)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	signIn(t, h.management, withLink(linkSecret(t, string(out))), from("203.0.113", 2))
	// The cookie of a browser that has signed in to another account is of no use, nor are guesses with one's own endless.
	guest := signIn(t, h.management, withPassword(h.people["guest"].email, h.people["guest"].password()), from("192.0.2", 2))
	trySignIn(t, h.server, right, guest.deviceCookie(), from("192.0.2", 2)).throttled()
	for n = 0; n < 30; n++ {
		if a := trySignIn(t, h.server, wrong, owned.deviceCookie(), from("192.0.2", 1)); a.status != http.StatusUnauthorized {
			a.throttled()
			break
		}
	}
	few("with the cookie of a browser that has signed in before", n, 10)
	// Nobody else is touched by all that.
	signIn(t, h.management, withPassword(h.people["viewer"].email, h.people["viewer"].password()), from("192.0.2", 3))
	h.stop()
}

// TestNewPassword sets passwords, right and wrong ones, and looks at what ends with the old one.
func TestNewPassword(t *testing.T) {
	t.Parallel()
	h := serveHousehold(t, nil)
	mate := h.people["mate"]
	set := func(b signedIn, current, wanted string) answer {
		t.Helper()
		body := fmt.Sprintf(`{"current_password":%q,"new_password":%q}`, current, wanted)
		return request(t, h.management, "PUT", passwordPath, body, []string{b.cookie()})
	}
	b := signIn(t, h.management, withPassword(mate.email, mate.password()))
	for wanted, why := range map[string]string{
		"short": "too short", "password1234": "among the first that are guessed", mate.email: "the address", strings.Repeat("x", 1025): "too long",
	} {
		if p := set(b, mate.password(), wanted).refused(api.CodeInvalid, "/new_password"); len(p.Errors) == 1 && strings.Contains(p.Errors[0].Detail, wanted) {
			t.Errorf("%s: it is repeated", why)
		}
	}
	set(b, "not the password", "a new password for mate").refused(api.CodeInvalid, "/current_password")
	set(b, "", "a new password for mate").refused(api.CodeInvalid, "/current_password")
	set(b, "not the password", "short").refused(api.CodeInvalid, "/current_password", "/new_password")

	others := []signedIn{mate.signedIn, signIn(t, h.management, withPassword(mate.email, mate.password()))}
	out, err := runBeside(h.server, "users", "sign-in-link", mate.email)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	set(b, mate.password(), "a new password for mate").is(http.StatusNoContent)
	request(t, h.management, "GET", "/v1/me", "", []string{b.cookie()}).is(http.StatusOK)
	for _, other := range others {
		request(t, h.management, "GET", "/v1/me", "", []string{other.cookie()}).refused(api.CodeUnauthenticated)
	}
	trySignIn(t, h.server, withLink(linkSecret(t, string(out)))).refused(api.CodeUnauthenticated)
	trySignIn(t, h.server, withPassword(mate.email, mate.password())).refused(api.CodeUnauthenticated)
	signIn(t, h.management, withPassword(mate.email, "a new password for mate"))

	// By a link no current one is needed: it was lost.
	if out, err = runBeside(h.server, "users", "sign-in-link", mate.email); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	set(signIn(t, h.management, withLink(linkSecret(t, string(out)))), "", "yet another password").is(http.StatusNoContent)
	signIn(t, h.management, withPassword(mate.email, "yet another password"))
	request(t, h.management, "GET", "/v1/me", "", []string{b.cookie()}).refused(api.CodeUnauthenticated)
	h.stop()
	auditIsWhole(t, h.folder)
}

// TestOtherSites has a page of another site make the browser send requests.
func TestOtherSites(t *testing.T) {
	t.Parallel()
	h := serveHousehold(t, nil)
	root := h.people["root"]
	for _, c := range []struct {
		name    string
		headers []string
		refused bool
	}{
		{"another site", []string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}, true},
		{"another host of the site", []string{"Sec-Fetch-Site: same-site"}, true},
		{"an old browser, another origin", []string{"Origin: https://evil.example"}, true},
		{"a page without an origin", []string{"Origin: null"}, true},
		{"our own page", []string{"Sec-Fetch-Site: same-origin", "Origin: " + h.management}, false},
		{"typed by the person", []string{"Sec-Fetch-Site: none"}, false},
		{"no browser", nil, false},
	} {
		with := func(credential string) []string { return append([]string{credential}, c.headers...) }
		attempts := map[string]answer{
			"create":  request(t, h.management, "POST", keysPath, goodDraft, with(root.cookie())),
			"change":  request(t, h.management, "PATCH", organizationsPath+"/1", `{"metadata":{}}`, with(root.cookie())),
			"sign in": request(t, h.management, "POST", sessionsPath, withPassword(root.email, root.password()), c.headers),
		}
		for what, a := range attempts {
			switch {
			case c.refused && (a.status != http.StatusForbidden || len(a.header["Set-Cookie"]) > 0), !c.refused && a.status >= 300:
				t.Errorf("%s: %s: %d %s", c.name, what, a.status, a.body)
			}
		}
		// What a browser does not send by itself may come from anywhere; and looking is no harm, since the page cannot read it.
		request(t, h.management, "POST", keysPath, goodDraft, with("Authorization: Bearer "+h.token)).is(http.StatusCreated)
		a := request(t, h.management, "GET", "/v1/me", "", with(root.cookie())).is(http.StatusOK)
		if a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: it can be read", c.name)
		}
	}
	// A form of another site can send no JSON.
	request(t, h.management, "POST", sessionsPath, "email=x", []string{"Content-Type: application/x-www-form-urlencoded"}).refused(api.CodeUnsupportedMediaType)
	h.stop()
}

// TestClientInASession does with the Go client what a person does.
func TestClientInASession(t *testing.T) {
	t.Parallel()
	h := serveHousehold(t, nil)
	anonymous, err := client.New(h.management)
	if err != nil {
		t.Fatal(err)
	}
	session, secret, err := anonymous.SignIn(t.Context(), h.people["admin"].email, h.people["admin"].password())
	if err != nil || session.Method != api.MethodPassword || !session.Current {
		t.Fatalf("%+v, %v", session, err)
	}
	c, err := client.New(h.management, client.WithSession(secret))
	if err != nil {
		t.Fatal(err)
	}
	me, err := c.Me(t.Context())
	if err != nil || me.Key != nil || me.UserID != session.UserID {
		t.Errorf("%+v, %v", me, err)
	}
	n := 0
	for s, err := range c.AllSessions(t.Context(), client.PageOptions{Limit: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; s.Current != (s.SessionID == session.SessionID) || s.IP != "127.0.0.1" {
			t.Errorf("session %+v", s)
		}
	}
	if n != 2 {
		t.Errorf("%d sessions", n)
	}
	if err := c.SignOut(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.Me(t.Context()); err == nil {
		t.Error("signed out, and still there")
	}
	h.stop()
}
