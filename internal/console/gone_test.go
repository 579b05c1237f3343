package console_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/apptest"
)

// Somebody who goes to an address where nothing is sees a page, and a program an error that it can read.
func TestNowhere(t *testing.T) {
	s := apptest.Start(t, nil)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	stranger := newVisitor(t, s.ManagementURL)
	const page = "text/html,application/xhtml+xml,*/*;q=0.8"
	for _, path := range []string{"/nothing", "/keys/1/nothing", "/account/sessions/end-others", "//", "/%00"} {
		v.do(http.MethodGet, path, nil, "Accept", page).want(t, http.StatusNotFound, path, "No page has this address.", `href="/keys"`, "Your menu")
		stranger.do(http.MethodGet, path, nil, "Accept", page).want(t, http.StatusNotFound, path, "No page has this address.", `href="/"`)
	}
	for _, tt := range []struct {
		method, path, accept string
		status               int
	}{
		{http.MethodGet, "/nothing", "*/*", http.StatusNotFound},
		{http.MethodGet, "/v1/nothing", page, http.StatusNotFound},
		{http.MethodPost, "/nothing", page, http.StatusNotFound},
		{http.MethodGet, "/account/sessions/end-others", "application/json", http.StatusMethodNotAllowed},
	} {
		p := v.do(tt.method, tt.path, nil, "Accept", tt.accept)
		if got := p.header.Get("Content-Type"); p.status != tt.status || got != "application/problem+json" {
			t.Errorf("%s %s for %s: %d, %s", tt.method, tt.path, tt.accept, p.status, got)
		}
	}
}

// What is gone says so, and where to go on.
func TestGone(t *testing.T) {
	s := apptest.Start(t, nil)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	v.get("/keys/999").want(t, http.StatusNotFound, "/keys/999", "It was deleted, or it belongs to an organization", `href="/keys">Go to the keys`)
}

// An organization is deleted while somebody fills in the form of a key in it: what they have typed is kept.
func TestOrganizationGoesDuringForm(t *testing.T) {
	s := apptest.Start(t, nil)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	other, err := s.Client().CreateOrganization(t.Context(), api.NewOrganization{OrganizationName: "Other"})
	if err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprint(other.OrganizationID)
	v.get("/keys/new?organization="+id).want(t, http.StatusOK, "/keys/new?organization="+id)
	if err := s.Client().DeleteOrganization(t.Context(), other.OrganizationID); err != nil {
		t.Fatal(err)
	}
	p := v.do(http.MethodPost, "/keys/new", keyForm(s, "organization_id", id, "key_name", "Typed at length"))
	p.want(t, http.StatusUnprocessableEntity, "/keys/new", `value="Typed at length"`, "is not there any more", `id="organization_id"`, `aria-describedby="organization_id-error"`)
	if strings.Contains(p.text, "Other") {
		t.Error("the organization is still there")
	}
}

// What is wrong with a limit is said of the field that it is about, and at the top of the form that there is something.
func TestLimitIsMarked(t *testing.T) {
	s := apptest.Start(t, nil)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	p := v.do(http.MethodPost, "/keys/new", keyForm(s, "limit_requests", "5|many", "limit_count", "1|1", "limit_unit", "minute|minute", "limit_name", "|"))
	p.want(t, http.StatusUnprocessableEntity, "/keys/new", "<h1>Create a key</h1>\n<p class=\"problem\" role=\"alert\">Nothing was done", `value="many"`, `aria-invalid="true" aria-describedby="limit-2-error"`, `id="limit-2-error"`)
	if n := strings.Count(p.text, "aria-invalid"); n != 1 {
		t.Errorf("%d fields are marked", n)
	}
}

// What somebody has begun in one tab is not done by who has signed in in another.
func TestFormOfSomebodyElse(t *testing.T) {
	c := newCompany(t)
	v := c.people["owner"]
	as := regexp.MustCompile(`name="as" value="(\d+)"`)
	forms := []string{"/keys/new", c.home, c.home + "/delete", c.home + "/members/invite", c.memberPath("viewer"), c.memberPath("viewer") + "/remove", "/account/password"}
	for _, path := range forms {
		if got, want := v.get(path).first(t, as), fmt.Sprint(c.ids["owner"]); got != want {
			t.Errorf("%s is of user %s, want %s", path, got, want)
		}
	}
	v.jar.cookies = c.people["operator"].jar.cookies // who has signed in in another tab
	for _, path := range forms {
		v.post(path, "as", fmt.Sprint(c.ids["owner"]), "name", "Acme <b>", "role", "admin", "email", "new@acme.example").want(t, http.StatusConflict, path,
			"You are somebody else by now", "admin@example.com")
	}
	v.post(c.memberPath("viewer"), "as", fmt.Sprint(c.ids["operator"]), "role", "member").want(t, http.StatusOK, c.home+"/members?note=role-changed")
}

// Somebody who is a member of nothing learns why there is nothing to do, and whom to ask.
func TestNoOrganization(t *testing.T) {
	c := newCompany(t)
	v := c.people["viewer"]
	v.get("/keys").want(t, http.StatusOK, "/keys", "Create the first key")
	v.post(c.memberPath("viewer")+"/remove").want(t, http.StatusOK, "/account?note=left")
	p := v.get("/keys")
	p.want(t, http.StatusOK, "/keys", "you are a member of none")
	if strings.Contains(p.text, "Create the first key") || strings.Contains(p.text, "curl") {
		t.Error("a key is offered")
	}
}

// A name is typed as it is seen: white space within it is one blank on a page, whatever it is.
func TestNameAsItIsSeen(t *testing.T) {
	s := apptest.Start(t, nil)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	made, err := s.Client().CreateOrganization(t.Context(), api.NewOrganization{OrganizationName: "Two  blanks\u00a0and one"})
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/organizations/%d/delete", made.OrganizationID)
	for _, typed := range []string{"", "Two blanks", "Twoblanks and one"} {
		v.post(path, "name", typed).want(t, http.StatusUnprocessableEntity, path, "This is not its name.")
	}
	v.post(path, "name", " Two blanks and one").want(t, http.StatusOK, "/organizations?note=organization-deleted")
}
