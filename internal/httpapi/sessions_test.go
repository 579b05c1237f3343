package httpapi

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/secret"
)

func TestLifeOfASession(t *testing.T) {
	k := newKit(t, nil)
	link := fmt.Sprintf(`{"link":%q}`, k.link("first@example.com"))
	r := k.signInBy(link, "User-Agent: Browser/1.0 (test)").ok(http.StatusCreated)
	const session = `{"session_id":1,"user_id":1,"method":"link","current":true,"ip":"127.0.0.1","user_agent":"Browser/1.0 (test)",` +
		`"created_at":"TIME","last_used_at":"TIME","expires_at":"TIME"}`
	r.looks(session)
	cookies := r.header["Set-Cookie"]
	for i, want := range []string{
		`^__Host-apikeyd=[0-9A-Za-z_-]{43}; Path=/; Expires=[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT; HttpOnly; Secure; SameSite=Lax$`,
		`^__Host-apikeyd-device=[0-9A-Za-z_-]{43}; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax$`,
	} {
		if len(cookies) != 2 || !regexp.MustCompile(want).MatchString(cookies[i]) {
			t.Errorf("cookies %q, want %s", cookies, want)
		}
	}
	first := k.begun(r)

	// A link works once.
	if r := k.signInBy(link); r.problem(api.CodeUnauthenticated).Code == "" || r.header.Get("Www-Authenticate") != challenged || r.header["Set-Cookie"] != nil {
		t.Errorf("headers %v", r.header)
	}

	second := k.session("first@example.com")
	k.as(second, "GET", "/v1/sessions", "").ok(http.StatusOK).looks(
		`[{"session_id":2,"user_id":1,"method":"link","current":true,"ip":"127.0.0.1","user_agent":"Go-http-client/1.1","created_at":"TIME","last_used_at":"TIME","expires_at":"TIME"},` +
			strings.Replace(session, `"current":true`, `"current":false`, 1) + "]")

	// Another session of one's own may be ended, and nobody else's.
	k.join("other@example.com", "owner")
	other := k.session("other@example.com")
	k.as(other, "DELETE", "/v1/sessions/1", "").problem(api.CodeNotFound)
	if r := k.as(second, "DELETE", "/v1/sessions/1", "").ok(http.StatusNoContent); r.header["Set-Cookie"] != nil || r.body != "" {
		t.Errorf("ended another session with %v %q", r.header, r.body)
	}
	k.as(second, "DELETE", "/v1/sessions/1", "").problem(api.CodeNotFound)
	if r := k.as(first, "GET", "/v1/me", ""); r.problem(api.CodeUnauthenticated).Code == "" || r.header.Get("Www-Authenticate") != refused {
		t.Errorf("headers %v", r.header)
	}

	// To sign out takes the cookie away, by either name of the session.
	for path, session := range map[string]string{"/v1/sessions/current": second, "/v1/sessions/3": other} {
		r := k.as(session, "DELETE", path, "").ok(http.StatusNoContent)
		if got := fmt.Sprint(r.header["Set-Cookie"]); got != "[__Host-apikeyd=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax]" {
			t.Errorf("%s: Set-Cookie %s", path, got)
		}
		k.as(session, "GET", "/v1/me", "").problem(api.CodeUnauthenticated)
		k.as(session, "DELETE", path, "").problem(api.CodeUnauthenticated)
	}
}

func TestSessionsEnd(t *testing.T) {
	k := newKit(t, nil)
	idle := k.session("first@example.com")
	used := k.session("first@example.com")
	for range 30 { // an hour without use ends it, and a day does in any case
		k.ahead.Add(int64(50 * time.Minute))
		if k.as(used, "GET", "/v1/me", "").status != http.StatusOK {
			break
		}
	}
	if after := time.Duration(k.ahead.Load()); after < 24*time.Hour || after > 25*time.Hour {
		t.Errorf("a session that is used ends after %s", after)
	}
	k.as(idle, "GET", "/v1/me", "").problem(api.CodeUnauthenticated)
	fresh := k.session("first@example.com")
	if ids := k.ids(k.as(fresh, "GET", "/v1/sessions", "").ok(http.StatusOK), "session_id"); fmt.Sprint(ids) != "[3]" {
		t.Errorf("sessions that have ended are listed: %v", ids)
	}
	k.as(fresh, "DELETE", "/v1/sessions/1", "").problem(api.CodeNotFound)

	late := k.link("first@example.com")
	k.ahead.Add(int64(key.LinkLifetime))
	k.signInBy(fmt.Sprintf(`{"link":%q}`, late)).problem(api.CodeUnauthenticated)
}

// Whoever puts a cookie into somebody's browser, or knows the old one, is not signed in with them.
func TestASessionIsNotFixed(t *testing.T) {
	k := newKit(t, nil)
	k.join("evil@example.com", "viewer")
	planted := secret.New().Reveal()
	known := k.session("evil@example.com")
	for _, cookie := range []string{"Cookie: " + browser.SessionCookie + "=" + planted, known, "Cookie: " + browser.SessionCookie + "=x"} {
		r := k.signInBy(fmt.Sprintf(`{"link":%q}`, k.link("first@example.com")), cookie)
		mine := k.begun(r)
		if mine == cookie || strings.Contains(mine, planted) {
			t.Errorf("the secret that was there is taken: %s", mine)
		}
		k.as(cookie, "GET", "/v1/me", "").problem(api.CodeUnauthenticated)
		k.as(mine, "GET", "/v1/me", "").ok(http.StatusOK)
	}
}

func TestSessionsAreForPeople(t *testing.T) {
	const idToken = "fake.first"
	k := newKit(t, func(o *Options) { o.Identities = fakeProvider{} })
	k.bind("first", k.first.UserID)
	for _, credential := range []string{"Authorization: Bearer " + k.token, "X-API-Key: " + k.token, "Authorization: Bearer " + idToken} {
		for _, c := range []struct{ method, path, body string }{
			{"GET", "/v1/sessions", ""},
			{"DELETE", "/v1/sessions/current", ""},
			{"DELETE", "/v1/sessions/0", ""},
			{"DELETE", "/v1/sessions/1", ""},
			{"PUT", "/v1/me/password", `{"new_password":"a good long password"}`},
		} {
			r := k.send(k.management.URL, c.method, c.path, c.body, []string{credential})
			if r.problem(api.CodeForbidden); r.header["Set-Cookie"] != nil {
				t.Errorf("%s %s with %s sets a cookie", c.method, c.path, credential)
			}
		}
	}
}

func TestPasswords(t *testing.T) {
	k := newKit(t, nil)
	const first, second = "correct horse battery", "another staple entirely"
	byLink, other := k.session("first@example.com"), k.session("first@example.com")
	link := k.link("first@example.com")
	const path = "/v1/me/password"
	if r := k.as(byLink, "PUT", path, fmt.Sprintf(`{"new_password":%q}`, first)).ok(http.StatusNoContent); r.body != "" {
		t.Errorf("answer %q", r.body)
	}
	k.as(other, "GET", "/v1/me", "").problem(api.CodeUnauthenticated)
	k.signInBy(fmt.Sprintf(`{"link":%q}`, link)).problem(api.CodeUnauthenticated)

	r := k.signInBy(fmt.Sprintf(`{"email":" First@example.com","password":%q}`, first)).ok(http.StatusCreated)
	if !strings.Contains(r.body, `"method":"password"`) {
		t.Errorf("answer %s", r.body)
	}
	session := k.begun(r)
	checkFaults(t, k.as(session, "PUT", path, fmt.Sprintf(`{"new_password":%q}`, second)), is422, []string{"/current_password"})
	checkFaults(t, k.as(session, "PUT", path, `{"new_password":"short","current_password":"wrong"}`), is422, []string{"/new_password", "/current_password"})
	k.as(session, "PUT", path, fmt.Sprintf(`{"new_password":%q,"current_password":%q}`, second, first)).ok(http.StatusNoContent)
	k.as(byLink, "GET", "/v1/me", "").problem(api.CodeUnauthenticated)
	k.as(session, "GET", "/v1/me", "").ok(http.StatusOK)

	// Nothing tells which addresses there are.
	wrong := k.signInBy(fmt.Sprintf(`{"email":"first@example.com","password":%q}`, first))
	unknown := k.signInBy(fmt.Sprintf(`{"email":"nobody@example.com","password":%q}`, first))
	if a, b := wrong.problem(api.CodeUnauthenticated), unknown.problem(api.CodeUnauthenticated); a.Detail != b.Detail {
		t.Errorf("a wrong password: %q, an unknown address: %q", a.Detail, b.Detail)
	}
	for _, r := range []reply{wrong, unknown} {
		if r.header.Get("Www-Authenticate") != challenged || r.header["Set-Cookie"] != nil {
			t.Errorf("headers %v", r.header)
		}
	}
}

func TestTooManyAttempts(t *testing.T) {
	k := newKit(t, nil)
	const guess = `{"email":"first@example.com","password":"guess"}`
	for i := 0; ; i++ {
		r := k.signInBy(guess)
		if r.status == http.StatusUnauthorized && i < 50 {
			continue
		}
		r.problem(api.CodeRateLimited)
		if wait := r.header.Get("Retry-After"); !regexp.MustCompile(`^[1-9]\d{0,2}$`).MatchString(wait) {
			t.Errorf("Retry-After: %q", wait)
		}
		break
	}
	// A one-time link is no guess.
	k.session("first@example.com")
}

// mailbox is an admin.Mailer that keeps what it is given.
type mailbox chan string

func (m mailbox) SendSignInLink(email string, link secret.Secret, _ string) {
	m <- email + " " + link.Reveal()
}

func (m mailbox) SendLeak(string, admin.LeakNotice) {}

func TestLinksAreMailed(t *testing.T) {
	mails := make(mailbox, 100)
	k := newKitOf(t, func(o *admin.Options) { o.Mailer = mails }, nil)
	go k.admin.Run(t.Context())
	ask := func(body string, headers ...string) reply {
		return k.send(k.management.URL, "POST", "/v1/sign-in-links", body, headers)
	}
	unknown := ask(`{"email":"nobody@example.com"}`).ok(http.StatusAccepted)
	known := ask(`{"email":" First@example.com "}`, "Authorization: Bearer nonsense").ok(http.StatusAccepted) // nobody asks who it is
	for _, r := range []reply{unknown, known} {
		if r.body != "" || r.header.Get("Content-Type") != "" || r.header["Set-Cookie"] != nil {
			t.Errorf("answer %q with %v", r.body, r.header)
		}
	}
	email, link, _ := strings.Cut(<-mails, " ") // the first mail is for the one that is known
	if email != "first@example.com" {
		t.Errorf("mailed to %s", email)
	}
	k.begun(k.signInBy(fmt.Sprintf(`{"link":%q}`, link)))

	// Who is invited gets a mail, too, and their link is in no answer.
	k.call("POST", membersOfFirst, `{"email":"new@example.com","role":"viewer"}`).ok(http.StatusCreated).
		looks(`{"user_id":2,"email":"new@example.com","role":"viewer","created_at":"TIME"}`)
	if mail := <-mails; !strings.HasPrefix(mail, "new@example.com ") {
		t.Errorf("mailed %s", mail)
	}

	for i := 0; ; i++ {
		r := ask(`{"email":"nobody@example.com"}`)
		if r.status == http.StatusAccepted && i < 100 {
			continue
		}
		r.problem(api.CodeRateLimited)
		if r.header.Get("Retry-After") == "" {
			t.Errorf("headers %v", r.header)
		}
		break
	}
}

func TestLinksAreNotMailedWithoutAServer(t *testing.T) {
	k := newKit(t, nil)
	k.send(k.management.URL, "POST", "/v1/sign-in-links", `{"email":"first@example.com"}`, nil).problem(api.CodeConflict)
}
