package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/oidc/oidctest"
)

// household is a server with two organizations and everybody in them who can be, all made through the API: what a world
// is to keys, it is to accounts. The first organization is ours, the second the other.
type household struct {
	*server
	t      testing.TB
	people map[string]*person
}

// person is a user who has signed in.
type person struct {
	signedIn
	name, email  string
	id           int64
	sessionID    int64
	organization int64
	role         api.Role
	token        string // of an identity provider; "": none
}

// password is what the person has chosen.
func (p *person) password() string { return "the password of " + p.name }

// dwellers are the people of a household beside the first one, root, who is an instance admin and an owner of ours.
var dwellers = []struct {
	name         string
	organization int64
	role         api.Role
}{
	{"owner", ours, api.RoleOwner}, {"admin", ours, api.RoleAdmin}, {"member", ours, api.RoleMember}, {"viewer", ours, api.RoleViewer},
	{"keeper", ours, api.RoleOwner}, {"mate", ours, api.RoleViewer}, // those in ours whom things happen to
	{"stranger", other, api.RoleOwner}, {"guest", other, api.RoleViewer},
}

// serveHousehold makes a household in a new folder. Where there is an identity provider, it knows everybody.
func serveHousehold(t testing.TB, provider *oidctest.Provider, args ...string) *household {
	t.Helper()
	if provider != nil {
		args = append(args, providerFlags(t, provider)...)
	}
	folder := t.TempDir()
	made := initialise(t, folder, "root@example.com", "Ours")
	h := &household{server: serve(t, folder, args...), t: t, people: map[string]*person{}}
	h.token = made.Key
	root := h.settle("root", ours, api.RoleOwner, "root@example.com", linkSecret(t, made.SignInURL))
	root.as(t, h.server, "POST", organizationsPath, `{"organization_name":"Other","external_id":"other"}`).is(http.StatusCreated)
	for _, d := range dwellers {
		var invited api.InvitedMember
		root.as(t, h.server, "POST", membersPath(d.organization), invitation(d.name, d.role)).is(http.StatusCreated).into(&invited)
		h.settle(d.name, d.organization, d.role, invited.Email, linkSecret(t, invited.SignInURL))
	}
	if provider != nil {
		for _, p := range h.people {
			p.identify(t, h.server, provider)
		}
	}
	return h
}

// initialised is what init prints.
type initialised struct {
	Key       string `json:"key"`
	SignInURL string `json:"sign_in_url"`
}

// initialise runs init in a folder.
func initialise(t testing.TB, folder, email, organization string) (made initialised) {
	t.Helper()
	p := launch(t, folder, nil, binary, "init", "--email", email, "--organization", organization, "--json")
	if code := p.wait(); code != 0 {
		t.Fatalf("init exits with %d: %s", code, p.stderr)
	}
	if err := json.Unmarshal(p.stdout.bytes(), &made); err != nil {
		t.Fatal(err)
	}
	return made
}

// providerFlags returns the flags of a server that believes an identity provider, e-mail addresses as well.
func providerFlags(t testing.TB, provider *oidctest.Provider) []string {
	t.Helper()
	file := t.TempDir() + "/client-secret"
	write(t, file, []byte(oidctest.ClientSecret+"\n"))
	return []string{"--oidc-issuer", provider.Issuer(), "--oidc-client-id", oidctest.ClientID, "--oidc-client-secret-file", file,
		"--oidc-match-email", "--public-url", "https://keys.example.com"}
}

func membersPath(organizationID int64) string {
	return fmt.Sprintf("%s/%d/members", organizationsPath, organizationID)
}

func memberPath(organizationID, userID int64) string {
	return fmt.Sprintf("%s/%d", membersPath(organizationID), userID)
}

func invitation(name string, role api.Role) string {
	return fmt.Sprintf(`{"email":"%s@example.com","role":%q}`, name, role)
}

// settle signs a person in for the first time, and sets their password.
func (h *household) settle(name string, organization int64, role api.Role, email, link string) *person {
	h.t.Helper()
	a := request(h.t, h.management, "POST", sessionsPath, withLink(link), nil).is(http.StatusCreated)
	var s api.Session
	a.into(&s)
	p := &person{signedIn: a.signedIn(), name: name, email: email, id: s.UserID, sessionID: s.SessionID, organization: organization, role: role}
	p.as(h.t, h.server, "PUT", passwordPath, fmt.Sprintf(`{"new_password":%q}`, p.password())).is(http.StatusNoContent)
	h.people[name] = p
	return p
}

// as sends a request in the person's session.
func (p *person) as(t testing.TB, s *server, method, path, body string) answer {
	t.Helper()
	return request(t, s.management, method, path, body, []string{p.cookie()})
}

// identify makes the person known to an identity provider, and has the server bind them by their verified address.
func (p *person) identify(t testing.TB, s *server, provider *oidctest.Provider) {
	t.Helper()
	provider.AddUser(p.name, p.email, true)
	request(t, s.management, "GET", "/v1/me", "", []string{"Authorization: Bearer " + provider.IDToken(t, p.name)}).is(http.StatusOK)
	p.token = provider.AccessToken(t, p.name)
}

// key makes a key of the person's in an organization and returns it.
func (p *person) key(t testing.TB, s *server, organization int64, scopes ...api.Scope) api.CreatedKey {
	t.Helper()
	names := make([]string, len(scopes))
	for i, scope := range scopes {
		names[i] = fmt.Sprintf("%q", scope)
	}
	var k api.CreatedKey
	p.as(t, s, "POST", keysPath, fmt.Sprintf(`{"key_name":"of %s","key_scope":[%s],"organization_id":%d}`, p.name,
		strings.Join(names, ","), organization)).is(http.StatusCreated).into(&k)
	return k
}

// mayHold are the scopes that a key of somebody with a role may have.
var mayHold = map[api.Role][]api.Scope{
	api.RoleViewer: {api.ScopeRead},
	api.RoleMember: {api.ScopeRead, api.ScopeCreate, api.ScopeUpdate, api.ScopeDelete},
	api.RoleAdmin:  {api.ScopeRead, api.ScopeCreate, api.ScopeUpdate, api.ScopeDelete, api.ScopeManage},
	api.RoleOwner:  {api.ScopeRead, api.ScopeCreate, api.ScopeUpdate, api.ScopeDelete, api.ScopeManage},
}

// auditLog returns the whole audit log, oldest first, as root sees it.
func (h *household) auditLog(t testing.TB) (all []api.AuditEntry) {
	t.Helper()
	for next := auditPath + "?limit=1000"; next != ""; {
		a := h.people["root"].as(t, h.server, "GET", next, "").is(http.StatusOK)
		var page []api.AuditEntry
		a.into(&page)
		all = append(all, page...)
		next = nextPage(t, a)
	}
	slices.Reverse(all)
	return all
}

// verifyAudit runs audit verify in a folder, and returns its exit code and all that it prints.
func verifyAudit(t testing.TB, folder string, args ...string) (code int, printed string) {
	t.Helper()
	p := launch(t, folder, nil, binary, append([]string{"audit", "verify"}, args...)...)
	code = p.wait()
	return code, p.stdout.String() + p.stderr.String()
}

// auditIsWhole fails the test unless audit verify finds the log in a folder whole.
func auditIsWhole(t testing.TB, folder string) {
	t.Helper()
	if code, printed := verifyAudit(t, folder); code != 0 || !strings.Contains(printed, "the audit log is what was written: ") {
		t.Errorf("audit verify exits with %d: %s", code, printed)
	}
}
