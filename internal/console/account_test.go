package console_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/browser"
)

func TestPassword(t *testing.T) {
	s := apptest.Start(t, nil)
	v := newVisitor(t, s.ManagementURL)
	v.post(linkOf(s)).want(t, http.StatusOK, "/account/password", "Choose a password")
	for _, tt := range []struct{ name, wanted, again, want string }{
		{"short", "short", "short", "Must be at least 12 characters long, not 5."},
		{"common", "passwordpassword", "passwordpassword", "guessed first"},
		{"the address", "admin@example.com", "admin@example.com", "Must not be the e-mail address."},
		{"not the same", goodPassword, goodPassword + "!", "This is not what stands above."},
		{"nothing", "", "", "Must be at least 12 characters long, not 0."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := v.post("/account/password", "new_password", tt.wanted, "again", tt.again)
			p.want(t, http.StatusUnprocessableEntity, "/account/password", tt.want, `aria-invalid="true"`)
			if strings.Contains(p.text, goodPassword) {
				t.Error("the password is repeated")
			}
		})
	}
	p := v.post("/account/password", "new_password", goodPassword, "again", goodPassword)
	p.want(t, http.StatusOK, "/keys?note=password", "Your password is set.")
	p = v.get("/account/password")
	p.want(t, http.StatusOK, "/account/password", "Change your password")
	if strings.Contains(p.text, "Current password") {
		t.Error("in a session begun with a link the current password is asked for")
	}

	v = newVisitor(t, s.ManagementURL)
	v.post("/sign-in", "email", "admin@example.com", "password", goodPassword).want(t, http.StatusOK, "/keys")
	v.get("/account/password").want(t, http.StatusOK, "/account/password", "Current password")
	const second = goodPassword + " two"
	v.post("/account/password", "current_password", "wrong", "new_password", "short", "again", "short").
		want(t, http.StatusUnprocessableEntity, "/account/password", "Must be the password that is set now.", "Must be at least 12")
	v.post("/account/password", "current_password", goodPassword, "new_password", second, "again", second).
		want(t, http.StatusOK, "/account?note=password", "Your password is set.")
	guess := func() page {
		return v.post("/account/password", "current_password", "wrong", "new_password", goodPassword, "again", goodPassword)
	}
	last := guess()
	for i := 0; i < 30 && last.status == http.StatusUnprocessableEntity; i++ {
		last = guess()
	}
	last.want(t, http.StatusTooManyRequests, "/account/password", "too many attempts")
}

func TestSessions(t *testing.T) {
	s := apptest.Start(t, nil)
	first := signedIn(t, s.ManagementURL, linkOf(s))
	second := newVisitor(t, s.ManagementURL)
	signIn := func(agent string) {
		second.jar.cookies = nil
		form := map[string][]string{"email": {"admin@example.com"}, "password": {goodPassword}}
		second.do(http.MethodPost, "/sign-in", form, "User-Agent", agent).want(t, http.StatusOK, "/keys")
	}
	signIn("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	p := first.get("/account")
	p.want(t, http.StatusOK, "/account", "Firefox on Linux", "Go-http-client", "from 127.0.0.1", "this one")

	ends := regexp.MustCompile(`action="(/account/sessions/\d+/end)"`).FindAllStringSubmatch(p.text, -1)
	if len(ends) != 2 {
		t.Fatalf("%d sessions in:\n%s", len(ends), p.text)
	}
	newest := ends[0][1]
	for range 2 { // twice does no harm
		first.post(newest).want(t, http.StatusOK, "/account?note=session", "The session has ended.")
	}
	second.post("/account/password", "new_password", goodPassword, "again", goodPassword).want(t, http.StatusOK, "/sign-in?note=ended")
	first.post("/account/sessions/999/end").want(t, http.StatusOK, "/account?note=session") // whose it is does not show
	first.post("/account/sessions/none/end").want(t, http.StatusNotFound, "/account/sessions/none/end", "no such thing")

	signIn(`<img src=x onerror=alert(1)>`)
	first.get("/account").want(t, http.StatusOK, "/account", `&lt;img src=x onerror=alert(1)&gt;`)
	for range 20 {
		signIn("curl/8")
	}
	p = first.get("/account")
	older := regexp.MustCompile(`href="(/account\?before=\d+)#`).FindStringSubmatch(p.text)
	if older == nil {
		t.Fatalf("no older sessions in:\n%s", p.text)
	}
	first.get(older[1]).want(t, http.StatusOK, older[1], "this one", "&lt;img")

	// One's own session ends like any other.
	own := regexp.MustCompile(`(?s)this one.*?action="(/account/sessions/\d+/end)"`).FindStringSubmatch(first.get(older[1]).text)
	first.post(own[1]).want(t, http.StatusOK, "/sign-in?note=signed-out", "You are signed out.")
	if first.jar.cookies[browser.SessionCookie] != "" {
		t.Error("the cookie is kept")
	}
	first.get("/account").want(t, http.StatusOK, "/sign-in")
	second.post("/sign-out").want(t, http.StatusOK, "/sign-in?note=signed-out")
	second.post("/sign-out").want(t, http.StatusOK, "/sign-in?note=signed-out")
	second.get("/sign-out").want(t, http.StatusOK, "/sign-in")
}

func TestSomebodyElsesSession(t *testing.T) {
	s := apptest.Start(t, nil)
	mine := signedIn(t, s.ManagementURL, linkOf(s))
	invited, err := s.Client().InviteMember(t.Context(), s.First.OrganizationID, api.NewMember{Email: "bob@example.com", Role: api.RoleViewer})
	if err != nil {
		t.Fatal(err)
	}
	theirs := newVisitor(t, s.ManagementURL)
	theirs.post(strings.TrimPrefix(invited.SignInURL, s.ManagementURL)).want(t, http.StatusOK, "/account/password", "Choose a password")
	theirs.get("/account").want(t, http.StatusOK, "/account", "bob@example.com", "viewer")
	for id := range 5 {
		theirs.post(fmt.Sprintf("/account/sessions/%d/end", 1+id))
	}
	mine.get("/account").want(t, http.StatusOK, "/account")
}

func TestSessionEndsByItself(t *testing.T) {
	now := time.Now()
	s := apptest.Start(t, &apptest.Options{Now: func() time.Time { return now }})
	v := signedIn(t, s.ManagementURL, linkOf(s))
	now = now.Add(12 * time.Hour)
	v.post("/account/password", "new_password", "x", "again", "x").want(t, http.StatusOK, "/sign-in?note=ended", "Your session has ended.")
}
