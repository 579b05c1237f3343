package apidoc_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/apikeyd/apikeyd/internal/apidoc/apidoctest"
	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/mail"
	"github.com/apikeyd/apikeyd/internal/oidc/oidctest"
)

// sendMail makes a server send mail, though nobody takes it.
func sendMail(c *config.Config) {
	c.PublicURL = "https://keys.example.com"
	c.SMTP = config.SMTP{Address: "127.0.0.1:1", From: "keys@example.com", TLS: mail.None}
}

// organization makes an organization.
func (s *target) organization() int64 {
	s.t.Helper()
	var made struct {
		OrganizationID int64 `json:"organization_id"`
	}
	s.read(&made, 201, "POST", "/v1/organizations", `{"organization_name": "Test"}`)
	return made.OrganizationID
}

// people counts those that were made, so that each has an e-mail address of their own.
var people atomic.Int64

// address returns an e-mail address that nobody has.
func (s *target) address() string { return fmt.Sprintf("person%d@example.com", people.Add(1)) }

// invited is somebody who was made a member.
type invited struct {
	userID int64
	link   string // the secret of their one-time link; "": they were users already
}

func (s *target) invite(organizationID int64, email, role string) invited {
	s.t.Helper()
	var made struct {
		UserID    int64  `json:"user_id"`
		SignInURL string `json:"sign_in_url"`
	}
	s.read(&made, 201, "POST", fmt.Sprintf("/v1/organizations/%d/members", organizationID),
		fmt.Sprintf(`{"email": %q, "role": %q}`, email, role))
	return invited{made.UserID, made.SignInURL[strings.LastIndexByte(made.SignInURL, '/')+1:]}
}

// person is a member who is signed in.
type person struct {
	email     string
	userID    int64
	sessionID int64
	headers   []string // what their browser sends in place of a key
}

// in is their headers as one, for a table.
func (p person) in() string { return strings.Join(p.headers, "\n") }

// person makes somebody new a member, and signs them in with their link.
func (s *target) person(organizationID int64, role string) person {
	s.t.Helper()
	email := s.address()
	i := s.invite(organizationID, email, role)
	return s.signIn(person{email: email, userID: i.userID}, fmt.Sprintf(`{"link": %q}`, i.link))
}

// withPassword sets the password of somebody who has signed in with a link, and signs them in with it.
func (s *target) withPassword(p person, password string) person {
	s.t.Helper()
	s.send(204, "PUT", "/v1/me/password", fmt.Sprintf(`{"new_password": %q}`, password), p.headers...)
	return s.signIn(p, fmt.Sprintf(`{"email": %q, "password": %q}`, p.email, password))
}

func (s *target) signIn(p person, body string) person {
	s.t.Helper()
	resp, text := s.exchange(201, "POST", "/v1/sessions", body)
	var session struct {
		SessionID int64 `json:"session_id"`
	}
	if err := json.Unmarshal([]byte(text), &session); err != nil {
		s.t.Fatal(err)
	}
	p.sessionID, p.headers = session.SessionID, []string{"Authorization:"}
	for _, c := range resp.Cookies() {
		if c.Name == browser.SessionCookie {
			p.headers = append(p.headers, "Cookie: "+c.Name+"="+c.Value)
		}
	}
	if len(resp.Cookies()) != 2 || len(p.headers) != 2 {
		s.t.Fatalf("cookies %v", resp.Header["Set-Cookie"])
	}
	return p
}

// sendMoreAboutAccounts sends what the examples leave out.
func sendMoreAboutAccounts(s *target, first int64) {
	s.t.Helper()
	organization := s.organization()
	path := fmt.Sprintf("/v1/organizations/%d", organization)
	owner := s.person(organization, "owner")

	const mergePatch = "Content-Type: application/merge-patch+json"
	s.send(200, "PATCH", path, `{"external_id": "ümlaut 7", "metadata": {"a": {"b": [1]}}}`, mergePatch)
	s.send(200, "PATCH", path, `{"metadata": null}`, owner.headers...)
	s.send(200, "PATCH", path, `{}`)
	s.send(200, "PATCH", fmt.Sprintf("%s/members/%d", path, owner.userID), `{"role": "owner"}`, mergePatch)
	s.send(201, "POST", fmt.Sprintf("/v1/organizations/%d/members", first), fmt.Sprintf(`{"email": %q, "role": "viewer"}`, owner.email))

	// What a member may no longer hold goes to whoever says so, or is deleted.
	for _, keys := range []string{"delete", "transfer"} {
		m := s.person(organization, "member")
		one := fmt.Sprintf("%s/members/%d", path, m.userID)
		s.create(organization, `"READ","CREATE"`, m.headers...)
		s.send(200, "PATCH", one+"?keys="+keys, `{"role": "viewer"}`, owner.headers...)
		s.create(organization, `"READ"`, m.headers...)
		s.send(204, "DELETE", one+"?keys="+keys, "", owner.headers...)
	}
	leaving := s.person(organization, "viewer")
	s.send(204, "DELETE", fmt.Sprintf("%s/members/%d", path, leaving.userID), "", leaving.headers...)

	// The instance admin, who made the organization, leaves it, and sees it all the same.
	s.send(204, "DELETE", fmt.Sprintf("%s/members/%d?keys=delete", path, s.userID), "")
	if got := s.send(200, "GET", path, ""); strings.Contains(got, `"role"`) {
		s.t.Errorf("somebody who is no member gets %s", got)
	}

	s.send(200, "GET", "/v1/me", "", owner.headers...)
	s.send(200, "GET", "/v1/audit-log", "", owner.headers...)
	for _, list := range []string{"/v1/organizations", path + "/members", "/v1/audit-log"} {
		s.send(200, "GET", list+"?limit=1", "") // with a Link
		s.send(200, "HEAD", list, "")
	}
	again := s.withPassword(owner, examplePassword) // a second session; the first goes on
	s.send(200, "GET", "/v1/sessions?limit=1", "", again.headers...)
	s.send(200, "HEAD", "/v1/sessions", "", again.headers...)
	resp, _ := s.exchange(204, "DELETE", fmt.Sprintf("/v1/sessions/%d", owner.sessionID), "", again.headers...)
	if got := resp.Header["Set-Cookie"]; got != nil {
		s.t.Errorf("the end of another session sets %q", got)
	}
	resp, _ = s.exchange(204, "DELETE", fmt.Sprintf("/v1/sessions/%d", again.sessionID), "", again.headers...)
	if got := resp.Header["Set-Cookie"]; len(got) != 1 {
		s.t.Errorf("the end of one's own session sets %q", got)
	}
	s.send(204, "DELETE", path, "")
	s.send(200, "GET", "/v1/audit-log?limit=1000", "") // every action, as it is recorded
}

// accountRefusals are every 4xx that the document describes of accounts, but for those that take several requests.
func accountRefusals(s *target) []refusal {
	s.t.Helper()
	organization := s.organization()
	owner, viewer := s.person(organization, "owner"), s.person(organization, "viewer")
	admin := s.person(organization, "admin")
	s.send(204, "DELETE", fmt.Sprintf("/v1/organizations/%d/members/%d", organization, s.userID), "") // the owner is the last one
	holder := s.person(organization, "member")
	s.create(organization, `"CREATE"`, holder.headers...)
	s.send(201, "POST", "/v1/organizations", `{"organization_name": "Taken", "external_id": "taken"}`)
	ended := s.person(organization, "viewer")
	s.send(204, "DELETE", "/v1/sessions/current", "", ended.headers...)
	withPassword := s.withPassword(s.person(organization, "viewer"), examplePassword)

	const (
		all, unknown = "/v1/organizations", "/v1/organizations/999999"
		none         = "Authorization:"
		html, text   = "Accept: text/html", "Content-Type: text/plain"
		crossSite    = "Sec-Fetch-Site: cross-site"
	)
	one := fmt.Sprintf("%s/%d", all, organization)
	members := one + "/members"
	member := func(p person) string { return fmt.Sprintf("%s/%d", members, p.userID) }
	onlyRead := "Authorization: Bearer " + s.create(organization, `"READ"`).Token
	withoutRead := "Authorization: Bearer " + s.create(organization, `"CREATE","UPDATE","DELETE"`).Token
	const organizationDraft, memberDraft, link = `{"organization_name": "A"}`, `{"email": "a@example.com", "role": "viewer"}`, `{"email": "a@example.com"}`

	return []refusal{
		{400, "GET", all + "?page=2", "", ""},
		{401, "GET", all, "", none},
		{401, "GET", all, "", ended.in()},
		{403, "GET", all, "", withoutRead},
		{405, "PUT", all, "", ""},
		{406, "GET", all, "", html},
		{422, "GET", all + "?limit=1001&q=&external_id=", "", ""},

		{400, "POST", all, `{"organization_name": "A", "owner": 1}`, ""},
		{401, "POST", all, organizationDraft, none},
		{403, "POST", all, organizationDraft, onlyRead},
		{403, "POST", all, organizationDraft, owner.in()},
		{403, "POST", all, organizationDraft, owner.in() + "\n" + crossSite},
		{406, "POST", all, organizationDraft, html},
		{409, "POST", all, `{"organization_name": "A", "external_id": "taken"}`, ""},
		{413, "POST", all, tooLarge, ""},
		{415, "POST", all, organizationDraft, text},
		{422, "POST", all, `{"organization_name": "", "external_id": "", "metadata": []}`, ""},

		{400, "GET", all + "/x", "", ""},
		{401, "GET", one, "", none},
		{403, "GET", one, "", withoutRead},
		{404, "GET", unknown, "", ""},
		{405, "POST", one, "", ""},
		{406, "GET", one, "", html},

		{400, "PATCH", one, `{"organization_id": 1}`, ""},
		{401, "PATCH", one, `{}`, none},
		{403, "PATCH", one, `{}`, onlyRead},
		{403, "PATCH", one, `{}`, viewer.in()},
		{403, "PATCH", one, `{"external_id": "mine"}`, owner.in()},
		{404, "PATCH", unknown, `{}`, ""},
		{406, "PATCH", one, `{}`, html},
		{409, "PATCH", one, `{"external_id": "taken"}`, ""},
		{413, "PATCH", one, tooLarge, ""},
		{415, "PATCH", one, `{}`, text},
		{422, "PATCH", one, `{"organization_name": null, "external_id": 7}`, ""},

		{400, "DELETE", one + "?force=1", "", ""},
		{401, "DELETE", one, "", none},
		{403, "DELETE", one, "", onlyRead},
		{403, "DELETE", one, "", admin.in()},
		{404, "DELETE", unknown, "", ""},

		{400, "GET", members + "?q=a", "", ""},
		{401, "GET", members, "", none},
		{403, "GET", members, "", withoutRead},
		{404, "GET", unknown + "/members", "", ""},
		{405, "PUT", members, "", ""},
		{406, "GET", members, "", html},
		{422, "GET", members + "?limit=0", "", ""},

		{400, "POST", members, `{"user_id": 1}`, ""},
		{401, "POST", members, memberDraft, none},
		{403, "POST", members, memberDraft, onlyRead},
		{403, "POST", members, `{"email": "a@example.com", "role": "owner"}`, admin.in()},
		{404, "POST", unknown + "/members", memberDraft, ""},
		{406, "POST", members, memberDraft, html},
		{409, "POST", members, fmt.Sprintf(`{"email": %q, "role": "viewer"}`, viewer.email), ""},
		{413, "POST", members, tooLarge, ""},
		{415, "POST", members, memberDraft, text},
		{422, "POST", members, `{"email": "a", "role": "boss"}`, ""},

		{400, "GET", members + "/x", "", ""},
		{401, "GET", member(viewer), "", none},
		{403, "GET", member(viewer), "", withoutRead},
		{404, "GET", members + "/999999", "", ""},
		{405, "POST", member(viewer), "", ""},
		{406, "GET", member(viewer), "", html},

		{400, "PATCH", member(viewer), `{"email": "b@example.com"}`, ""},
		{401, "PATCH", member(viewer), `{"role": "member"}`, none},
		{403, "PATCH", member(viewer), `{"role": "member"}`, onlyRead},
		{403, "PATCH", member(viewer), `{"role": "owner"}`, admin.in()},
		{404, "PATCH", members + "/999999", `{"role": "member"}`, ""},
		{406, "PATCH", member(viewer), `{"role": "member"}`, html},
		{409, "PATCH", member(owner), `{"role": "admin"}`, owner.in()},
		{409, "PATCH", member(holder), `{"role": "viewer"}`, ""},
		{413, "PATCH", member(viewer), tooLarge, ""},
		{415, "PATCH", member(viewer), `{"role": "member"}`, text},
		{422, "PATCH", member(viewer) + "?keys=keep", `{}`, ""},

		{400, "DELETE", member(holder) + "?key=delete", "", ""},
		{401, "DELETE", member(holder), "", none},
		{403, "DELETE", member(holder), "", onlyRead},
		{404, "DELETE", members + "/999999", "", ""},
		{409, "DELETE", member(owner), "", owner.in()},
		{409, "DELETE", member(holder), "", owner.in()},
		{422, "DELETE", member(holder) + "?keys=keep", "", ""},
		{422, "DELETE", member(holder) + "?keys=transfer", "", holder.in()},

		{400, "POST", "/v1/sessions", `{"username": "a"}`, none},
		{401, "POST", "/v1/sessions", fmt.Sprintf(`{"email": %q, "password": "wrong"}`, withPassword.email), none},
		{401, "POST", "/v1/sessions", `{"link": "` + exampleLink + `"}`, none},
		{403, "POST", "/v1/sessions", `{"link": "` + exampleLink + `"}`, crossSite},
		{405, "PUT", "/v1/sessions", "", ""},
		{406, "POST", "/v1/sessions", `{"link": "` + exampleLink + `"}`, html},
		{413, "POST", "/v1/sessions", tooLarge, none},
		{415, "POST", "/v1/sessions", `{"link": "` + exampleLink + `"}`, text},
		{422, "POST", "/v1/sessions", `{}`, none},
		{422, "POST", "/v1/sessions", fmt.Sprintf(`{"email": "a", "link": %q}`, exampleLink), none},

		{400, "GET", "/v1/sessions?cursor=x", "", viewer.in()},
		{401, "GET", "/v1/sessions", "", ended.in()},
		{403, "GET", "/v1/sessions", "", ""},
		{406, "GET", "/v1/sessions", "", viewer.in() + "\n" + html},
		{422, "GET", "/v1/sessions?limit=0", "", viewer.in()},

		{400, "DELETE", "/v1/sessions/current?all=1", "", viewer.in()},
		{401, "DELETE", "/v1/sessions/current", "", ended.in()},
		{403, "DELETE", "/v1/sessions/current", "", ""},
		{403, "DELETE", "/v1/sessions/current", "", viewer.in() + "\n" + crossSite},
		{405, "GET", "/v1/sessions/current", "", ""},

		{400, "DELETE", "/v1/sessions/x", "", viewer.in()},
		{401, "DELETE", "/v1/sessions/1", "", none},
		{403, "DELETE", "/v1/sessions/1", "", ""},
		{404, "DELETE", fmt.Sprintf("/v1/sessions/%d", owner.sessionID), "", viewer.in()},
		{405, "GET", "/v1/sessions/1", "", ""},

		{400, "POST", "/v1/sign-in-links", `{"link": ""}`, none},
		{403, "POST", "/v1/sign-in-links", link, crossSite},
		{405, "GET", "/v1/sign-in-links", "", ""},
		{409, "POST", "/v1/sign-in-links", link, none},
		{413, "POST", "/v1/sign-in-links", tooLarge, none},
		{415, "POST", "/v1/sign-in-links", link, text},
		{422, "POST", "/v1/sign-in-links", `{"email": "a"}`, none},

		{400, "PUT", "/v1/me/password", `{"password": ""}`, viewer.in()},
		{401, "PUT", "/v1/me/password", `{"new_password": "a"}`, ended.in()},
		{403, "PUT", "/v1/me/password", `{"new_password": "a"}`, ""},
		{403, "PUT", "/v1/me/password", `{"new_password": "a"}`, viewer.in() + "\n" + crossSite},
		{405, "GET", "/v1/me/password", "", ""},
		{413, "PUT", "/v1/me/password", tooLarge, viewer.in()},
		{415, "PUT", "/v1/me/password", `{"new_password": "a"}`, viewer.in() + "\n" + text},
		{422, "PUT", "/v1/me/password", `{"new_password": "a"}`, viewer.in()},
		{422, "PUT", "/v1/me/password", `{"new_password": "another plain long one", "current_password": "wrong"}`, withPassword.in()},

		{400, "GET", "/v1/audit-log?actor=1", "", ""},
		{401, "GET", "/v1/audit-log", "", none},
		{403, "GET", "/v1/audit-log", "", withoutRead},
		{403, "GET", "/v1/audit-log", "", viewer.in()},
		{403, "GET", "/v1/audit-log?organization_id=" + fmt.Sprint(organization), "", viewer.in()},
		{404, "GET", "/v1/audit-log?organization_id=999999", "", ""},
		{405, "POST", "/v1/audit-log", "", ""},
		{406, "GET", "/v1/audit-log", "", html},
		{422, "GET", "/v1/audit-log?action=key&target_type=keys&target_id=0&outcome=ok&from=today&to=2026-13-01T00:00:00Z", "", ""},
	}
}

// provokeLimits makes more attempts than a server takes.
func provokeLimits(t *testing.T, r *apidoctest.Recorder) {
	server, s := startTarget(t, r, &apptest.Options{Config: sendMail})
	// The first user's link is the only one at hand where links are mailed.
	p := s.signIn(person{email: "admin@example.com", userID: server.First.UserID}, fmt.Sprintf(`{"link": %q}`, server.First.Link.Reveal()))
	p = s.withPassword(p, examplePassword)
	const enough = 100 // attempts
	for _, c := range []struct {
		method, path, body string
		before             int // the status of those that are not too many
	}{
		{"POST", "/v1/sessions", `{"email": "nobody@example.com", "password": "wrong"}`, 401},
		{"POST", "/v1/sessions", `{"link": "` + exampleLink + `"}`, 401},
		{"PUT", "/v1/me/password", `{"new_password": "another plain long one", "current_password": "wrong"}`, 422},
		{"POST", "/v1/sign-in-links", `{"email": "nobody@example.com"}`, 202},
	} {
		status, attempts := c.before, 0
		for ; status == c.before && attempts < enough; attempts++ {
			resp, _ := s.exchange(0, c.method, c.path, c.body, p.headers...)
			status = resp.StatusCode
		}
		if status != 429 || attempts < 2 {
			t.Errorf("%s %s %s: %d after %d attempts", c.method, c.path, c.body, status, attempts)
		}
	}
}

// reportTooMuch reports more leaks than one address may, all at once: each answer takes its time.
func reportTooMuch(t *testing.T, r *apidoctest.Recorder) {
	_, s := startTarget(t, r, nil)
	var all sync.WaitGroup
	var refused atomic.Int64
	for range 110 {
		all.Go(func() {
			resp, err := s.http.Post(s.management+"/v1/leaked", "application/json", strings.NewReader(`{"key": "x"}`))
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			if resp.StatusCode == 429 {
				refused.Add(1)
			}
		})
	}
	all.Wait()
	if n := refused.Load(); n == 0 || n > 10 {
		t.Errorf("%d of 110 were refused", n)
	}
}

// askWithAccessToken calls with tokens of an identity provider.
func askWithAccessToken(t *testing.T, r *apidoctest.Recorder) {
	provider := oidctest.Start(t)
	provider.AddUser("admin", "admin@example.com", true)
	o := &apptest.Options{Config: func(c *config.Config) {
		c.PublicURL = "https://keys.example.com"
		c.OIDC = config.OIDC{Issuer: provider.Issuer(), ClientID: oidctest.ClientID, MatchEmail: true}
	}}
	_, s := startTarget(t, r, o)
	bearer := "Authorization: Bearer " + provider.IDToken(t, "admin")
	if got := s.send(200, "GET", "/v1/me", "", bearer); !strings.Contains(got, `"key":null`) {
		t.Errorf("who came with an access token is %s", got)
	}
	s.send(200, "GET", "/v1/organizations", "", bearer)
	s.send(201, "POST", "/v1/organizations", `{"organization_name": "Test"}`, bearer)
	s.send(403, "GET", "/v1/sessions", "", bearer)
	s.send(200, "GET", "/v1/audit-log", "", bearer)
	s.send(401, "GET", "/v1/me", "", bearer+"x")

	provider.Stop()
	_, s = startTarget(t, r, o)
	s.send(503, "GET", "/v1/me", "", bearer)
}
