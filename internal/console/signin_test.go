package console_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/secret"
)

func TestFirstSignIn(t *testing.T) {
	s := apptest.Start(t, nil)
	v := newVisitor(t, s.ManagementURL)
	v.get("/").want(t, http.StatusOK, "/sign-in", "Sign in", `href="/docs"`)
	v.get("/account").want(t, http.StatusOK, "/sign-in")

	link := linkOf(s)
	for range 3 { // looking uses nothing up, and tells nothing
		if p := v.get(link); strings.Contains(p.text, "admin@example.com") || strings.Contains(p.text, link) {
			t.Errorf("the page of a link tells too much:\n%s", p.text)
		}
		v.do(http.MethodHead, link, nil)
	}
	v.post(link).want(t, http.StatusOK, "/account/password", "Choose a password", "admin@example.com")
	v.get("/account").want(t, http.StatusOK, "/account", "admin@example.com", "Instance admin", "Example", "owner")
	v.get("/").want(t, http.StatusOK, "/keys", "First key")
	v.get("/sign-in").want(t, http.StatusOK, "/keys")

	newVisitor(t, s.ManagementURL).post(link).want(t, http.StatusGone, link, "no longer good", "apikeyd users sign-in-link")
	v.post(link).want(t, http.StatusGone, link, "Your browser is signed in here")
	v.get("/account").want(t, http.StatusOK, "/account") // and stays so

	// A link that nobody has made looks like one that was used, to the last byte.
	made, never := newVisitor(t, s.ManagementURL), "/sign-in/"+secret.New().Reveal()
	if a, b := made.get(link), made.get(never); a.text != b.text {
		t.Errorf("a link that is used and one that never was differ:\n%s\n%s", a.text, b.text)
	}
	if a, b := made.post(link), made.post(never); a.text != b.text || a.status != b.status {
		t.Errorf("a link that is used and one that never was differ:\n%s\n%s", a.text, b.text)
	}

	s.Stop()
	if log := s.Log.String(); strings.Contains(log, s.First.Link.Reveal()) || !strings.Contains(log, "/sign-in/{secret}") {
		t.Error("the link is in the log, or its page is not")
	}
}

func TestLinkEnds(t *testing.T) {
	now := time.Now()
	s := apptest.Start(t, &apptest.Options{Now: func() time.Time { return now }})
	now = now.Add(15 * time.Minute)
	newVisitor(t, s.ManagementURL).post(linkOf(s)).want(t, http.StatusGone, linkOf(s), "no longer good")
}

func TestSignInWithPassword(t *testing.T) {
	s := apptest.Start(t, nil)
	signedIn(t, s.ManagementURL, linkOf(s))
	v := newVisitor(t, s.ManagementURL)
	for _, tt := range []struct{ name, email, password, want string }{
		{"no address", " ", "x", "Type your e-mail address."},
		{"no password", "admin@example.com", "", "Type your password."},
		{"wrong password", "admin@example.com", goodPassword + "!", "E-mail address or password is wrong."},
		{"nobody's address", "nobody@example.com", goodPassword, "E-mail address or password is wrong."},
		{"no text", "admin@example.com\xff", goodPassword, "E-mail address or password is wrong."},
		{"markup", `"><script>alert(1)</script>`, goodPassword, "E-mail address or password is wrong."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := v.post("/sign-in", "email", tt.email, "password", tt.password)
			p.want(t, http.StatusUnprocessableEntity, "/sign-in", tt.want)
			if strings.Contains(p.text, goodPassword) || strings.Contains(p.text, "<script>") {
				t.Errorf("the page repeats what it must not:\n%s", p.text)
			}
			if tt.email == "admin@example.com" && !strings.Contains(p.text, `value="admin@example.com"`) {
				t.Errorf("the address is not kept:\n%s", p.text)
			}
		})
	}
	v.post("/sign-in", "email", " Admin@Example.COM ", "password", goodPassword).want(t, http.StatusOK, "/keys")

	before := v.jar.cookies[browser.SessionCookie]
	v.post("/sign-in", "email", "admin@example.com", "password", goodPassword).want(t, http.StatusOK, "/keys")
	if v.jar.cookies[browser.SessionCookie] == before {
		t.Error("signing in again keeps the session's secret")
	}
	old := newVisitor(t, s.ManagementURL)
	old.jar.cookies = map[string]string{browser.SessionCookie: before}
	old.get("/account").want(t, http.StatusOK, "/sign-in?note=ended")
	if len(old.jar.cookies) != 0 {
		t.Error("the cookie of a session that has ended is kept")
	}
}

func TestTooManyAttempts(t *testing.T) {
	s := apptest.Start(t, nil)
	v := newVisitor(t, s.ManagementURL)
	for range 5 {
		v.post("/sign-in", "email", "admin@example.com", "password", "x").want(t, http.StatusUnprocessableEntity, "/sign-in")
	}
	p := v.post("/sign-in", "email", "admin@example.com", "password", "x")
	p.want(t, http.StatusTooManyRequests, "/sign-in", "too many attempts", `value="admin@example.com"`)
	if p.header.Get("Retry-After") == "" {
		t.Error("Retry-After is missing")
	}
	for range 30 {
		if p = v.post("/sign-in/" + secret.New().Reveal()); p.status != http.StatusGone {
			break
		}
	}
	p.want(t, http.StatusTooManyRequests, p.path, "no longer good")
	v.post(linkOf(s)).want(t, http.StatusOK, "/account/password") // a good one nobody can take away
}

func TestMailedLink(t *testing.T) {
	s := apptest.Start(t, nil)
	v := newVisitor(t, s.ManagementURL)
	if p := v.get("/sign-in"); strings.Contains(p.text, "Mail me a link") {
		t.Error("a link is offered where no mail is sent")
	}
	v.post("/sign-in/link", "email", "admin@example.com").want(t, http.StatusConflict, "/sign-in/link", "sends no mail")

	s = apptest.Start(t, &apptest.Options{Config: func(c *config.Config) {
		c.SMTP = config.SMTP{Address: "127.0.0.1:9", From: "keys@example.com", TLS: "none"} // nobody listens there
	}})
	v = newVisitor(t, s.ManagementURL)
	v.get("/sign-in").want(t, http.StatusOK, "/sign-in", "Mail me a link")
	v.get("/sign-in/link").want(t, http.StatusOK, "/sign-in")
	v.post("/sign-in/link", "email", "nobody").want(t, http.StatusUnprocessableEntity, "/sign-in/link", `value="nobody"`, "Must be an e-mail address")
	known := v.post("/sign-in/link", "email", "admin@example.com")
	known.want(t, http.StatusOK, "/sign-in?note=link", "is on its way")
	if unknown := v.post("/sign-in/link", "email", "nobody@example.com"); unknown.text != known.text {
		t.Error("whether somebody has the address shows")
	}
	for range 30 {
		if p := v.post("/sign-in/link", "email", "admin@example.com"); p.status == http.StatusTooManyRequests {
			p.want(t, http.StatusTooManyRequests, "/sign-in/link", "Too many links")
			return
		}
	}
	t.Error("links can be asked for without end")
}

// Where a browser would drop the cookie, a page says so before a link is used up for nothing.
func TestUnencrypted(t *testing.T) {
	const warning = "Your browser will not keep you signed in here."
	plain := apptest.Start(t, nil)
	public := apptest.Start(t, &apptest.Options{Config: func(c *config.Config) { c.PublicURL = "https://keys.example.com" }})
	for _, tt := range []struct {
		name   string
		server *apptest.Server
		host   string
		proto  string
		want   bool
	}{
		{"address of this machine", plain, "127.0.0.1:8080", "", false},
		{"address of this machine, version 6", plain, "[::1]:8080", "", false},
		{"localhost", plain, "localhost:8080", "", false},
		{"another host", plain, "keys.example.com", "", true},
		{"another host, with a port", plain, "keys.example.com:8080", "http", true},
		{"address of another machine", plain, "192.0.2.1", "", true},
		{"behind a proxy that ends TLS", plain, "keys.example.com", "https", false},
		{"the operator says so", public, "keys.example.com", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, path := range []string{"/sign-in", "/sign-in/" + secret.New().Reveal()} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.server.ManagementURL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = tt.host
				r.Header.Set("X-Forwarded-Proto", tt.proto)
				if got := strings.Contains(textOf(t, r), warning); got != tt.want {
					t.Errorf("%s: warning %v, want %v", path, got, tt.want)
				}
			}
		})
	}
}

func textOf(t *testing.T, r *http.Request) string {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(answer.Body); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestBadForms(t *testing.T) {
	s := apptest.Start(t, nil)
	v := newVisitor(t, s.ManagementURL)
	v.do(http.MethodPost, "/sign-in", url.Values{"email": {strings.Repeat("a", 64<<10)}}).want(t, http.StatusRequestEntityTooLarge, "/sign-in", "too much")
	v.do(http.MethodPost, "/sign-in", url.Values{}, "Content-Type", "application/json").want(t, http.StatusUnsupportedMediaType, "/sign-in", "no form")
	v.do(http.MethodPost, "/sign-in", nil).want(t, http.StatusUnsupportedMediaType, "/sign-in", "no form")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.ManagementURL+"/sign-in", strings.NewReader("email=%zz"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if text := textOf(t, r); !strings.Contains(text, "could not be read") {
		t.Error(text)
	}
	for i := range 2 {
		if p := v.post("/sign-in", "email", strings.Repeat("é", 5000), "password", fmt.Sprint(i)); p.status != http.StatusUnprocessableEntity {
			t.Errorf("a long address: %d", p.status)
		}
	}
}
