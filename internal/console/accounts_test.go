package console_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/config"
)

// company is a server with an organization that has a member of each role, all of them signed in: "viewer", "member", "admin",
// "owner", and "operator", who is an instance admin and the organization's first owner.
type company struct {
	*apptest.Server
	people map[string]*visitor
	ids    map[string]int64
	home   string // address of the organization's settings
}

func newCompany(t *testing.T) *company {
	t.Helper()
	s := apptest.Start(t, nil)
	made, err := s.Client().CreateOrganization(t.Context(), api.NewOrganization{OrganizationName: "Acme <b>"})
	if err != nil {
		t.Fatal(err)
	}
	c := &company{s, map[string]*visitor{"operator": signedIn(t, s.ManagementURL, linkOf(s))}, map[string]int64{"operator": s.First.UserID},
		fmt.Sprintf("/organizations/%d", made.OrganizationID)}
	for _, role := range []api.Role{api.RoleViewer, api.RoleMember, api.RoleAdmin, api.RoleOwner} {
		name := string(role)
		invited, err := s.Client().InviteMember(t.Context(), made.OrganizationID, api.NewMember{Email: name + "@acme.example", Role: role})
		if err != nil {
			t.Fatal(err)
		}
		c.ids[name] = invited.UserID
		c.people[name] = newVisitor(t, s.ManagementURL) // a password takes time, and is not needed here
		c.people[name].post(strings.TrimPrefix(invited.SignInURL, s.ManagementURL)).want(t, http.StatusOK, "/account/password")
	}
	return c
}

// memberPath returns the address of somebody's page.
func (c *company) memberPath(name string) string {
	return fmt.Sprintf("%s/members/%d", c.home, c.ids[name])
}

// Each page is for those who may see it, and offers what they may do.
func TestRightsOfAccounts(t *testing.T) {
	c := newCompany(t)
	entry := c.people["owner"].get(c.home+"/audit-log").first(t, regexp.MustCompile(`href="([^"]+/audit-log/\d+)"`))
	const ok, no, none = http.StatusOK, http.StatusForbidden, http.StatusNotFound
	everybody := []string{"viewer", "member", "admin", "owner", "operator"}
	for _, tt := range []struct {
		path   string
		status [5]int
	}{
		{"/organizations", [5]int{ok, ok, ok, ok, ok}},
		{"/organizations/new", [5]int{no, no, no, no, ok}},
		{c.home, [5]int{ok, ok, ok, ok, ok}},
		{c.home + "/delete", [5]int{no, no, no, ok, ok}},
		{c.home + "/members", [5]int{ok, ok, ok, ok, ok}},
		{c.home + "/members/invite", [5]int{no, no, ok, ok, ok}},
		{c.memberPath("viewer") + "/remove", [5]int{ok, no, ok, ok, ok}},
		{c.memberPath("owner") + "/remove", [5]int{no, no, no, ok, ok}},
		{c.memberPath("owner"), [5]int{ok, ok, ok, ok, ok}},
		{c.home + "/members/999", [5]int{none, none, none, none, none}},
		{c.home + "/audit-log", [5]int{no, no, ok, ok, ok}},
		{entry, [5]int{no, no, ok, ok, ok}},
		{"/audit-log", [5]int{no, no, ok, ok, ok}},
		{"/audit-log/1", [5]int{no, no, none, none, ok}},
		{"/nodes", [5]int{no, no, no, no, ok}},
		{fmt.Sprintf("/organizations/%d", c.First.OrganizationID), [5]int{none, none, none, none, ok}},
		{"/organizations/999/members", [5]int{none, none, none, none, none}},
		{"/organizations/x", [5]int{none, none, none, none, none}},
	} {
		for i, name := range everybody {
			p := c.people[name].get(tt.path)
			if p.status != tt.status[i] || strings.Contains(p.text, "<b>") {
				t.Errorf("%s for the %s: %d, want %d\n%s", tt.path, name, p.status, tt.status[i], p.text)
			}
		}
	}
	for name, offers := range map[string]map[string]bool{
		"viewer":   {"/members\"": true, "/audit-log\"": false, "/members/invite\"": false, c.memberPath("viewer") + "/remove\"": true, c.memberPath("member") + "\"": false, "href=\"/nodes\"": false},
		"admin":    {"/audit-log\"": true, "/members/invite\"": true, c.memberPath("member") + "\"": true, c.memberPath("owner") + "\"": false, "href=\"/nodes\"": false},
		"owner":    {c.memberPath("owner") + "\"": true, "/audit-log\"": true},
		"operator": {"href=\"/nodes\"": true, "href=\"/organizations\"": true, c.memberPath("owner") + "\"": true},
	} {
		p := c.people[name].get(c.home + "/members")
		for text, want := range offers {
			if strings.Contains(p.text, text) != want {
				t.Errorf("%s is offered to the %s: %v", text, name, !want)
			}
		}
	}
	// The list is searched by e-mail address.
	for query, want := range map[string]int{"": 5, "?q=VIEWER@": 1, "?q=+acme.example+": 4, "?q=%25": 0, "?q=%ff": 0, "?q=acme&before=1": 0} {
		p := c.people["viewer"].get(c.home + "/members" + query)
		if n := strings.Count(p.text, `<th scope="row"`); p.status != ok || n != want || want == 0 && !strings.Contains(p.text, "Nobody here has such an address") {
			t.Errorf("%q: %d with %d members, want %d", query, p.status, n, want)
		}
	}
	// What is sent all the same is refused.
	viewer, admin := c.people["viewer"], c.people["admin"]
	viewer.post(c.home, "organization_name", "x").want(t, no, c.home)
	viewer.post(c.home+"/delete", "name", "Acme <b>").want(t, no, c.home+"/delete")
	viewer.post("/organizations/new", "organization_name", "x").want(t, no, "/organizations/new")
	viewer.post(c.home+"/members/invite", "email", "x@example.com", "role", "viewer").want(t, no, c.home+"/members/invite")
	viewer.post(c.memberPath("viewer"), "role", "owner").want(t, no, c.memberPath("viewer"))
	viewer.post(c.memberPath("member")+"/remove").want(t, no, c.memberPath("member")+"/remove")
	admin.post(c.home, "organization_name", "x", "external_id", "y").want(t, no, c.home)
	admin.post(c.home+"/members/invite", "email", "x@example.com", "role", "owner").want(t, no, c.home+"/members/invite", "a role above that")
	admin.post(c.memberPath("owner"), "role", "viewer").want(t, no, c.memberPath("owner"))
	admin.post(c.memberPath("admin"), "role", "owner").want(t, no, c.memberPath("admin"), "a role above that")
}

func TestOrganizations(t *testing.T) {
	s := apptest.Start(t, nil)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	v.post("/organizations/new", "organization_name", " ").want(t, http.StatusUnprocessableEntity, "/organizations/new", "Must not be empty.")
	v.post("/organizations/new", "organization_name", "New", "external_id", "a\x07").want(t, http.StatusUnprocessableEntity, "/organizations/new", "printable", `value="New"`)
	id := v.get("/organizations/new").first(t, formID)
	p := v.post("/organizations/new", "organization_name", "New <b>", "external_id", "customer-7", "form", id)
	at, _, _ := strings.Cut(p.path, "?")
	p.want(t, http.StatusOK, at+"?note=organization-opened", "you are its owner", "New &lt;b&gt;", "customer-7")
	v.post("/organizations/new", "organization_name", "New <b>", "external_id", "customer-8", "form", id).want(t, http.StatusOK, at+"?note=organization-opened")
	v.post("/organizations/new", "organization_name", "Other", "external_id", "customer-7").want(t, http.StatusConflict, "/organizations/new", "Another organization has this one.")

	v.post(at, "organization_name", "", "external_id", "").want(t, http.StatusUnprocessableEntity, at, "Must not be empty.")
	v.post(at, "organization_name", "Renamed", "external_id", "").want(t, http.StatusOK, at+"?note=organization-changed", "Renamed", "is changed")
	v.post(at+"/delete", "name", "renamed").want(t, http.StatusUnprocessableEntity, at+"/delete", "This is not its name.")
	v.post(at+"/delete", "name", "Renamed").want(t, http.StatusOK, "/organizations?note=organization-deleted", "its keys are dead")
	v.get(at).want(t, http.StatusNotFound, at)

	for i := range 51 {
		if _, err := s.Client().CreateOrganization(t.Context(), api.NewOrganization{OrganizationName: fmt.Sprintf("Batch %02d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	rows := func(p page) int { return strings.Count(p.text, `<th scope="row"`) }
	p = v.get("/organizations")
	if n := rows(p); n != 50 {
		t.Errorf("%d on the first page", n)
	}
	if last := v.get(p.first(t, regexp.MustCompile(`href="([^"]+)" rel="next"`))); rows(last) != 2 || !strings.Contains(last.text, "First page") {
		t.Errorf("%d on the last page", rows(last))
	}
	if n := rows(v.get("/organizations?q=batch+1")); n != 10 {
		t.Errorf("%d found", n)
	}
	v.get("/organizations?q=nothing").want(t, http.StatusOK, "/organizations?q=nothing", "No organization is called that")
}

func TestInvite(t *testing.T) {
	c := newCompany(t)
	v, at := c.people["owner"], c.home+"/members/invite"
	v.get(at).want(t, http.StatusOK, at, `value="viewer" checked`)
	v.post(at, "email", "<b>", "role", "viewer").want(t, http.StatusUnprocessableEntity, at, "Must be an e-mail address", "&lt;b&gt;")
	v.post(at, "email", "new@example.com", "role", "king").want(t, http.StatusUnprocessableEntity, at, "Choose one of these.", `value="new@example.com"`)
	v.post(at, "email", "VIEWER@acme.example", "role", "viewer").want(t, http.StatusConflict, at, "is a member already")
	link := regexp.MustCompile(`<code id="link">` + regexp.QuoteMeta(c.ManagementURL) + `(/sign-in/[^<]+)</code>`)
	id := v.get(at).first(t, formID)
	p := v.post(at, "email", "new@example.com", "role", "member", "form", id)
	p.want(t, http.StatusCreated, at, "new@example.com", "It is shown once")
	first := p.first(t, link)
	if again := v.post(at, "email", "new@example.com", "role", "member", "form", id).first(t, link); again != first {
		t.Error("one form has made two links")
	}
	newcomer := newVisitor(t, c.ManagementURL)
	newcomer.post(first).want(t, http.StatusOK, "/account/password", "Choose a password")
	newcomer.get(c.home+"/members").want(t, http.StatusOK, c.home+"/members", "new@example.com")
	// Somebody who is known elsewhere gets no link.
	if _, err := c.Client().InviteMember(t.Context(), c.First.OrganizationID, api.NewMember{Email: "known@example.com", Role: api.RoleViewer}); err != nil {
		t.Fatal(err)
	}
	v.post(at, "email", "known@example.com", "role", "viewer").want(t, http.StatusOK, c.home+"/members?note=member-added", "known@example.com", "They have an account already")
	c.Stop()
	if strings.Contains(c.Log.String(), strings.TrimPrefix(first, "/sign-in/")) {
		t.Error("the link is in the log")
	}
}

// Where links are mailed, nobody else sees one.
func TestInviteByMail(t *testing.T) {
	s := apptest.Start(t, &apptest.Options{Config: func(c *config.Config) {
		c.PublicURL = "https://keys.example.com"
		c.SMTP = config.SMTP{Address: "127.0.0.1:9", From: "keys@example.com", TLS: "none"} // nobody listens there
	}})
	v := newVisitor(t, s.ManagementURL)
	v.post(linkOf(s)).want(t, http.StatusOK, "/account/password")
	members := fmt.Sprintf("/organizations/%d/members", s.First.OrganizationID)
	v.get(members+"/invite").want(t, http.StatusOK, members+"/invite", "a link to sign in with is mailed")
	p := v.post(members+"/invite", "email", "new@example.com", "role", "viewer")
	p.want(t, http.StatusOK, members+"?note=member-mailed", "was mailed to them", "new@example.com")
	if strings.Contains(p.text, "keys.example.com/sign-in") {
		t.Error(p.text)
	}
}

// Keys that somebody could no longer create are named, and go where the reader says.
func TestMembersKeys(t *testing.T) {
	c := newCompany(t)
	owner, member := c.people["owner"], c.people["member"]
	id := strings.TrimPrefix(c.home, "/organizations/")
	create := func(v *visitor, name, scopes string) string {
		return v.do(http.MethodPost, "/keys/new", keyForm(c.Server, "organization_id", id, "key_name", name, "key_scope", scopes)).
			first(t, regexp.MustCompile(`href="(/keys/\d+)" data-kept`))
	}
	reads, creates := create(member, "Reads", "READ"), create(member, "Creates <b>", "CREATE")
	at := c.memberPath("member")
	owner.post(at, "role", "").want(t, http.StatusUnprocessableEntity, at, "Choose one of these.")
	p := owner.post(at, "role", "viewer")
	p.want(t, http.StatusConflict, at, "keys are in the way", creates, "Creates &lt;b&gt;", `value="viewer" checked`, "Make them mine")
	if strings.Contains(p.text, reads+`"`) || strings.Contains(p.text, "<b>") {
		t.Errorf("a key is named that may stay:\n%s", p.text)
	}
	owner.post(at, "role", "viewer", "asked", "keys").want(t, http.StatusConflict, at, `id="keys-error"`)
	owner.post(at, "role", "viewer", "keys", "transfer").want(t, http.StatusOK, c.home+"/members?note=role-changed")
	member.get(creates).want(t, http.StatusNotFound, creates)
	owner.get(creates).want(t, http.StatusOK, creates, "owner@acme.example")

	// Who leaves can take nothing along.
	p = member.post(at + "/remove")
	p.want(t, http.StatusConflict, at+"/remove", "keys are in the way", reads)
	if strings.Contains(p.text, "Make them mine") {
		t.Error("keys are transferred to who leaves")
	}
	member.post(at+"/remove", "keys", "transfer").want(t, http.StatusForbidden, at+"/remove", "Must be delete")
	member.post(at+"/remove", "keys", "delete").want(t, http.StatusOK, "/account?note=left", "You have left")
	member.get(c.home+"/members").want(t, http.StatusNotFound, c.home+"/members")
	owner.get(reads).want(t, http.StatusNotFound, reads)

	// One owner stays.
	operator := c.people["operator"]
	at = c.memberPath("operator")
	owner.post(c.memberPath("admin")+"/remove").want(t, http.StatusOK, c.home+"/members?note=member-removed")
	operator.post(c.memberPath("owner"), "role", "member", "keys", "delete").want(t, http.StatusOK, c.home+"/members?note=role-changed")
	operator.post(at+"/remove").want(t, http.StatusConflict, at+"/remove", "This is the last owner")
	operator.post(at, "role", "viewer").want(t, http.StatusConflict, at, "This is the last owner")
}

func TestAuditLog(t *testing.T) {
	c := newCompany(t)
	v, at := c.people["owner"], c.home+"/audit-log"
	v.post(c.home, "organization_name", "<i>Renamed")
	p := v.get(at)
	p.want(t, http.StatusOK, at, "Organization changed", "Member invited", "viewer@acme.example", "Organization opened", "admin@example.com")
	rows := func(query string) int { return strings.Count(v.get(at+query).text, `<th scope="row"`) }
	for query, want := range map[string]int{
		"": 15, "?action=organization.*": 2, "?action=member.create": 5, "?action=x": 15, "?actor=owner@acme.example": 1, "?actor=OWNER%40acme.example&action=key.*": 0,
		fmt.Sprintf("?actor=%d", c.ids["owner"]): 1, "?outcome=refused": 0, "?outcome=success&target_type=organization": 2, "?from=2001-01-01": 15,
		"?to=2001-01-01": 0, "?from=2999-01-01": 0, "?target_type=organization&target_id=" + strings.TrimPrefix(c.home, "/organizations/"): 2, "?before=x": 15,
	} {
		if got := rows(query); want != got {
			t.Errorf("%q shows %d entries, want %d", query, got, want)
		}
	}
	v.get(at+"?actor=nobody@example.com&from=x").want(t, http.StatusUnprocessableEntity, at+"?actor=nobody@example.com&from=x", "Nobody here has this address", "Must be a date.",
		`value="nobody@example.com"`)

	entry := p.first(t, regexp.MustCompile(`href="([^"]+/audit-log/\d+)">Organization changed`))
	v.get(entry).want(t, http.StatusOK, entry, "<del>Acme &lt;b&gt;</del>", "<ins>&lt;i&gt;Renamed</ins>", "organization_name", "Hash of the entry before", "owner@acme.example", "done")
	v.get(at+"/999999").want(t, http.StatusNotFound, at+"/999999")
	// An entry about another organization, or about none, is not there.
	v.get(at+"/1").want(t, http.StatusNotFound, at+"/1")

	// The log of all knows what is about no organization, and those that are gone.
	operator := c.people["operator"]
	operator.get("/audit-log").want(t, http.StatusOK, "/audit-log", "Signed in", "owner@acme.example")
	operator.get("/audit-log?actor=owner@acme.example").want(t, http.StatusUnprocessableEntity, "/audit-log?actor=owner@acme.example", "Must be a user id.")
	operator.get("/audit-log/1").want(t, http.StatusOK, "/audit-log/1", "none: this is the first")
	operator.post(c.home+"/delete", "name", "<i>Renamed").want(t, http.StatusOK, "/organizations?note=organization-deleted")
	p = operator.get("/audit-log")
	p.want(t, http.StatusOK, "/audit-log", "Organization deleted", "owner@acme.example") // whom other entries name
	if strings.Contains(p.text, "<i>") {
		t.Error(p.text)
	}
	// To look is not to be refused.
	operator.get("/audit-log?outcome=refused&action=member.*").want(t, http.StatusOK, "/audit-log?outcome=refused&action=member.*", "Nothing like that is in the log")
}

func TestNodes(t *testing.T) {
	s := apptest.Start(t, nil)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	v.get("/nodes").want(t, http.StatusOK, "/nodes", "There is one node")
}

func TestEndOtherSessions(t *testing.T) {
	s := apptest.Start(t, nil)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	if p := v.get("/account"); strings.Contains(p.text, "End all others") {
		t.Error("there are no others")
	}
	others := []*visitor{newVisitor(t, s.ManagementURL), newVisitor(t, s.ManagementURL)}
	for _, o := range others {
		o.post("/sign-in", "email", "admin@example.com", "password", goodPassword).want(t, http.StatusOK, "/keys")
	}
	v.get("/account").want(t, http.StatusOK, "/account", "End all others")
	v.post("/account/sessions/end-others").want(t, http.StatusOK, "/account?note=sessions", "All your other sessions have ended.")
	for _, o := range others {
		o.get("/account").want(t, http.StatusOK, "/sign-in?note=ended")
	}
}
