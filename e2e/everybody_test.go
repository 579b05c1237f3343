package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/oidc/oidctest"
)

// deed is something that somebody may try by way of the API.
type deed struct {
	action string // as the audit log calls it
	method string
	path   string // what stands in braces is what it is done to
	body   string
	// needs is the scope, or one of the scopes, that a calling key must have; "any": any will do; "session": neither a key
	// nor an access token will.
	needs string
	// gives is the scope that somebody gets to know a token with, which a calling key must have as well.
	gives string
	// changes: whoever may do it changes something.
	changes bool
	// outcomes are, for each thing that it may be done to, how it comes out for a viewer, a member, an admin and an owner of
	// our organization, and for root, an instance admin and owner of ours.
	outcomes string
}

// deeds is what everybody tries on everything, and what comes of it: the contract's "who may do what", by role. Things are
//
//	own     what is the caller's own, or the caller
//	same    what belongs to somebody else in our organization: a viewer's, or the organization itself
//	owner's what belongs to an owner of our organization
//	other   what belongs to the other organization, in which root alone acts
//	none    what is not there
//
// Outcomes are ok, or the status of the refusal. 422 is a refusal, too: the organization is a field of the body there, and
// one that is not seen is answered like one that is not there. bad is a body with something wrong in it, which is looked
// at once everything else is right.
var deeds = []deed{
	{action: "user.read", method: "GET", path: "/v1/me", needs: "any", outcomes: `
		own      ok   ok   ok   ok   ok`},

	// Keys: one's own, and for admins and owners the organization's.
	{action: "key.list", method: "GET", path: keysPath, needs: "READ", outcomes: `
		own      ok   ok   ok   ok   ok`},
	{action: "key.list", method: "GET", path: keysPath + "?organization_id={organization}", needs: "READ", outcomes: `
		same     ok   ok   ok   ok   ok
		other    404  404  404  404  ok
		none     404  404  404  404  404`},
	{action: "key.create", method: "POST", path: keysPath, needs: "CREATE", gives: "READ", changes: true,
		body: `{"key_name":"new","key_scope":["READ"],"organization_id":{organization}}`, outcomes: `
		same     ok   ok   ok   ok   ok
		other    422  422  422  422  ok
		none     422  422  422  422  422`},
	{action: "key.create", method: "POST", path: keysPath, needs: "CREATE", gives: "MANAGE", changes: true,
		body: `{"key_name":"new","key_scope":["MANAGE"],"organization_id":{organization}}`, outcomes: `
		same     403  403  ok   ok   ok
		other    422  422  422  422  ok`},
	{action: "key.read", method: "GET", path: keysPath + "/{key}", needs: "READ", outcomes: `
		own      ok   ok   ok   ok   ok
		same     404  404  ok   ok   ok
		other    404  404  404  404  ok
		none     404  404  404  404  404`},
	{action: "key.update", method: "PATCH", path: keysPath + "/{key}", body: `{"key_name":"changed"}`, needs: "UPDATE", changes: true, outcomes: `
		own      ok   ok   ok   ok   ok
		same     404  404  ok   ok   ok
		other    404  404  404  404  ok
		none     404  404  404  404  404`},
	{action: "key.rotate", method: "POST", path: keysPath + "/{key}/rotate", body: `{"grace_seconds":0}`, needs: "UPDATE", gives: "READ", changes: true, outcomes: `
		own      ok   ok   ok   ok   ok
		same     404  404  ok   ok   ok
		other    404  404  404  404  ok
		none     404  404  404  404  404`},
	{action: "key.delete", method: "DELETE", path: keysPath + "/{key}", needs: "DELETE", changes: true, outcomes: `
		own      ok   ok   ok   ok   ok
		same     404  404  ok   ok   ok
		other    404  404  404  404  ok
		none     404  404  404  404  404`},

	// Usage: of a key that is seen, and of an organization that one is a member of.
	{action: "key.read", method: "GET", path: keysPath + "/{key}/usage", needs: "READ", outcomes: `
		own      ok   ok   ok   ok   ok
		same     404  404  ok   ok   ok
		other    404  404  404  404  ok
		none     404  404  404  404  404`},
	{action: "organization.read", method: "GET", path: organizationsPath + "/{organization}/usage", needs: "READ", outcomes: `
		same     ok   ok   ok   ok   ok
		other    404  404  404  404  ok
		none     404  404  404  404  404`},

	// Organizations: members see theirs, admins and owners change it, owners delete it, and root makes them.
	{action: "organization.list", method: "GET", path: organizationsPath, needs: "READ or MANAGE", outcomes: `
		own      ok   ok   ok   ok   ok`},
	{action: "organization.create", method: "POST", path: organizationsPath, body: `{"organization_name":"New"}`, needs: "MANAGE", changes: true, outcomes: `
		own      403  403  403  403  ok`},
	{action: "organization.read", method: "GET", path: organizationsPath + "/{organization}", needs: "READ or MANAGE", outcomes: `
		same     ok   ok   ok   ok   ok
		other    404  404  404  404  ok
		none     404  404  404  404  404`},
	{action: "organization.update", method: "PATCH", path: organizationsPath + "/{organization}", body: `{"metadata":{"by":"{caller}"}}`, needs: "MANAGE", changes: true, outcomes: `
		same     403  403  ok   ok   ok
		other    404  404  404  404  ok
		none     404  404  404  404  404`},
	{action: "organization.update", method: "PATCH", path: organizationsPath + "/{organization}", body: `{"external_id":"{caller} {organization}"}`, needs: "MANAGE", changes: true, outcomes: `
		same     403  403  403  403  ok
		other    404  404  404  404  ok
		none     404  404  404  404  404`},
	{action: "organization.delete", method: "DELETE", path: organizationsPath + "/{organization}", needs: "MANAGE", changes: true, outcomes: `
		own      403  403  403  ok   ok
		other    404  404  404  404  ok
		none     404  404  404  404  404`},

	// Members: seen by members, changed by admins and owners up to their own role.
	{action: "member.list", method: "GET", path: organizationsPath + "/{organization}/members", needs: "READ or MANAGE", outcomes: `
		same     ok   ok   ok   ok   ok
		other    404  404  404  404  ok
		none     404  404  404  404  404`},
	{action: "member.read", method: "GET", path: organizationsPath + "/{member}", needs: "READ or MANAGE", outcomes: `
		own      ok   ok   ok   ok   ok
		same     ok   ok   ok   ok   ok
		other    404  404  404  404  ok
		none     404  404  404  404  404`},
	{action: "member.create", method: "POST", path: organizationsPath + "/{organization}/members", body: `{"email":"{new}@example.com","role":"viewer"}`, needs: "MANAGE", changes: true, outcomes: `
		same     403  403  ok   ok   ok
		other    404  404  404  404  ok
		none     404  404  404  404  404`},
	{action: "member.create", method: "POST", path: organizationsPath + "/{organization}/members", body: `{"email":"{new}@example.com","role":"owner"}`, needs: "MANAGE", changes: true, outcomes: `
		same     403  403  403  ok   ok
		other    404  404  404  404  ok`},
	{action: "member.update", method: "PATCH", path: organizationsPath + "/{member}", body: `{"role":"member"}`, needs: "MANAGE", changes: true, outcomes: `
		same     403  403  ok   ok   ok
		owner's  403  403  403  ok   ok
		other    404  404  404  404  ok
		none     404  404  404  404  404`},
	{action: "member.update", method: "PATCH", path: organizationsPath + "/{member}", body: `{"role":"owner"}`, needs: "MANAGE", changes: true, outcomes: `
		same     403  403  403  ok   ok
		other    404  404  404  404  ok`},
	{action: "member.update", method: "PATCH", path: organizationsPath + "/{member}", body: `{"role":"{role}"}`, needs: "MANAGE", outcomes: `
		own      403  403  ok   ok   ok`},
	{action: "member.delete", method: "DELETE", path: organizationsPath + "/{member}", needs: "MANAGE", changes: true, outcomes: `
		same     403  403  ok   ok   ok
		owner's  403  403  403  ok   ok
		other    404  404  404  404  ok
		none     404  404  404  404  404`},

	// What is one's own alone.
	{action: "session.list", method: "GET", path: sessionsPath, needs: "session", outcomes: `
		own      ok   ok   ok   ok   ok`},
	{action: "session.delete", method: "DELETE", path: sessionsPath + "/{session}", needs: "session", changes: true, outcomes: `
		own      ok   ok   ok   ok   ok
		same     404  404  404  404  404
		other    404  404  404  404  404
		none     404  404  404  404  404`},
	{action: "session.delete", method: "DELETE", path: sessionsPath + "/current", needs: "session", changes: true, outcomes: `
		own      ok   ok   ok   ok   ok`},
	{action: "user.password", method: "PUT", path: passwordPath, body: `{"new_password":"short"}`, needs: "session", outcomes: `
		own      bad  bad  bad  bad  bad`},

	// The audit log: admins and owners see theirs, root all.
	{action: "audit.read", method: "GET", path: auditPath, needs: "READ", outcomes: `
		own      403  403  ok   ok   ok`},
	{action: "audit.read", method: "GET", path: auditPath + "?organization_id={organization}", needs: "READ", outcomes: `
		same     403  403  ok   ok   ok
		other    404  404  404  404  ok
		none     404  404  404  404  404`},
}

// The routes that nobody needs to be anybody for.
var public = []string{"POST " + sessionsPath, "POST " + signInLinksPath, "POST /v1/leaked", "POST /v1/leaked/github", "GET /openapi.json", "GET /docs"}

// columns are the callers of the table.
var columns = []string{"viewer", "member", "admin", "owner", "root"}

// caller is somebody with a credential.
type caller struct {
	*person
	by     string      // "session", "access token", or the scopes of a key
	header string      // with the credential
	key    api.Key     // that calls; zero: none does
	scopes []api.Scope // of the key
}

func (c *caller) String() string { return c.name + " by " + c.by }

// TestEverybodyTriesEverything is the whole table: every role, by session, by an access token of an identity provider, and
// by keys with each scope alone, with all, and root's with all but MANAGE. Each answer must be the one that the table
// states, and the audit log must have every change and every refusal, by who it was, and nothing else; nothing that was
// refused may have been done.
func TestEverybodyTriesEverything(t *testing.T) {
	t.Parallel()
	h := serveHousehold(t, oidctest.Start(t))
	x := newExhibits(t, h)
	everyRouteIsTried(t, h)
	var tried []trial
	t.Run("together", func(t *testing.T) {
		var mu sync.Mutex
		for _, c := range h.callers(t) {
			t.Run(c.String(), func(t *testing.T) {
				t.Parallel()
				made := x.tryAll(t, c)
				mu.Lock()
				defer mu.Unlock()
				tried = append(tried, made...)
			})
		}
	})
	if len(tried) < 2000 {
		t.Errorf("only %d attempts were made", len(tried))
	}
	x.nothingElseIsDone(t)
	allIsLogged(t, h, tried)
	auditIsWhole(t, h.folder)
	h.stop()
	auditIsWhole(t, h.folder)
}

// callers returns everybody of the columns with each credential that they can have.
func (h *household) callers(t *testing.T) (all []*caller) {
	for _, name := range columns {
		p := h.people[name]
		all = append(all, &caller{person: p, by: "session", header: p.cookie()},
			&caller{person: p, by: "access token", header: "Authorization: Bearer " + p.token})
		sets := [][]api.Scope{mayHold[p.role]}
		if name == "root" {
			sets = append(sets, mayHold[api.RoleMember])
		}
		for _, s := range mayHold[p.role] {
			if len(mayHold[p.role]) > 1 {
				sets = append(sets, []api.Scope{s})
			}
		}
		for _, scopes := range sets {
			k := p.key(t, h.server, ours, scopes...)
			all = append(all, &caller{person: p, by: fmt.Sprint(scopes), header: "Authorization: Bearer " + k.Token, key: k.Key, scopes: scopes})
		}
	}
	return all
}

// everyRouteIsTried holds the table against what the server says of itself.
func everyRouteIsTried(t *testing.T, h *household) {
	t.Helper()
	var document struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(get(t, h.management+"/openapi.json"), &document); err != nil {
		t.Fatal(err)
	}
	names := strings.NewReplacer("{key}", "{key_id}", "{organization}", "{organization_id}", "{member}", "{organization_id}/members/{user_id}",
		"{session}", "{session_id}")
	tried := map[string]bool{}
	for _, d := range deeds {
		path, _, _ := strings.Cut(names.Replace(d.path), "?")
		tried[d.method+" "+path] = true
	}
	for path, operations := range document.Paths {
		for method := range operations {
			route := strings.ToUpper(method) + " " + path
			verification := operations["servers"] != nil // the document says where those are that are elsewhere than itself
			if method != "parameters" && !verification && !tried[route] && !slices.Contains(public, route) {
				t.Errorf("nobody tries %s", route)
			}
		}
	}
}

// trial is one attempt, and what must have come of it.
type trial struct {
	caller    *caller
	deed      *deed
	thing     string
	want      string
	requestID string
}

func (x trial) String() string {
	return fmt.Sprintf("%s: %s %s %s (%s)", x.caller, x.deed.method, x.deed.path, x.deed.body, x.thing)
}

// tryAll has a caller try everything.
func (x *exhibits) tryAll(t *testing.T, c *caller) (tried []trial) {
	for i := range deeds {
		d := &deeds[i]
		for line := range strings.Lines(strings.TrimSpace(d.outcomes)) {
			words := strings.Fields(line)
			thing, outcomes := words[0], words[1:]
			if len(outcomes) != len(columns) {
				t.Errorf("%s %s has %d outcomes", d.action, thing, len(outcomes))
				return tried
			}
			tried = append(tried, x.try(t, c, d, thing, outcomes))
		}
	}
	return tried
}

// try makes one attempt and looks at the answer.
func (x *exhibits) try(t *testing.T, c *caller, d *deed, thing string, outcomes []string) trial {
	want, code := c.outcome(d, thing, outcomes)
	at := x.find(t, c, d, thing, want == "ok" && d.changes)
	a := request(t, x.h.management, d.method, at.fill.Replace(d.path), at.fill.Replace(d.body), []string{at.header})
	attempt := trial{at.caller, d, thing, want, a.header.Get("X-Request-Id")}
	switch want {
	case "ok":
		if a.status >= 300 {
			t.Errorf("%s: %d %s", attempt, a.status, a.body)
		}
	case "bad":
		a.refused(api.CodeInvalid, "/new_password")
	case "422":
		a.refused(api.CodeInvalid, "/organization_id")
	default:
		if a.status != code.Status() || a.header.Get("Content-Type") != "application/problem+json" || !strings.Contains(a.body, `"code":"`+string(code)+`"`) {
			t.Errorf("%s: %d %s, want %s", attempt, a.status, a.body, code)
		}
	}
	if d.action == "organization.delete" && thing == "own" && want != "ok" {
		x.h.people["root"].as(t, x.h.server, "GET", at.fill.Replace(d.path), "").is(http.StatusOK)
	}
	return attempt
}

// outcome returns what the table says, with what is true of keys and access tokens beside it, and the code of the answer
// where that is a problem.
func (c *caller) outcome(d *deed, thing string, outcomes []string) (string, api.Code) {
	column := slices.Index(columns, c.name)
	if c.name == "root" && c.scopes != nil && !slices.Contains(c.scopes, api.ScopeManage) {
		column = slices.Index(columns, "owner") // only with MANAGE they act on every organization
	}
	want := outcomes[column]
	codes := map[string]api.Code{"403": api.CodeForbidden, "404": api.CodeNotFound, "422": api.CodeInvalid}
	switch {
	case d.needs == "session" && c.by != "session":
		return "403", api.CodeForbidden
	case c.scopes == nil || d.needs == "any":
		return want, codes[want]
	case !slices.ContainsFunc(c.scopes, func(s api.Scope) bool { return strings.Contains(d.needs, string(s)) }):
		return "403", api.CodeInsufficientScope
	case d.gives != "" && !slices.Contains(c.scopes, api.Scope(d.gives)) && want != "404" && want != "422":
		return "403", api.CodeInsufficientScope
	}
	return want, codes[want]
}

// exhibits are the things that everything is tried on.
type exhibits struct {
	h    *household
	made atomic.Int64
	// shared are those of attempts that change nothing, and must be as they were in the end.
	shared map[string]string // what stands in braces, by that and the thing: "key same"
	before map[string]string // what root sees of them, by path
}

// place is what an attempt is made on, and by whom.
type place struct {
	*caller
	fill *strings.Replacer
}

const missing = "999999"

func newExhibits(t *testing.T, h *household) *exhibits {
	t.Helper()
	x := &exhibits{h: h, before: map[string]string{}, shared: map[string]string{
		"organization same": "1", "organization other": "2", "organization none": missing,
		"key none": missing, "member none": "1/members/" + missing, "session none": missing,
	}}
	for thing, name := range map[string]string{"same": "mate", "owner's": "keeper", "other": "guest"} {
		p := h.people[name]
		k := p.key(t, h.server, p.organization, api.ScopeRead)
		x.shared["key "+thing] = fmt.Sprint(k.KeyID)
		x.shared["member "+thing] = fmt.Sprintf("%d/members/%d", p.organization, p.id)
		x.shared["session "+thing] = fmt.Sprint(p.sessionID)
		for _, path := range []string{keysPath + "/" + x.shared["key "+thing], organizationsPath + "/" + x.shared["member "+thing]} {
			x.before[path] = h.people["root"].as(t, h.server, "GET", path, "").is(http.StatusOK).body
		}
	}
	return x
}

// find returns what a caller makes an attempt on: a thing of its own where the attempt changes it, for each.
func (x *exhibits) find(t *testing.T, c *caller, d *deed, thing string, fresh bool) place {
	t.Helper()
	n := x.made.Add(1)
	fill := map[string]string{"{caller}": c.String(), "{role}": string(c.role), "{new}": fmt.Sprintf("new%d", n)}
	for _, what := range []string{"organization", "key", "member", "session"} {
		if strings.Contains(d.path+d.body, "{"+what+"}") {
			fill["{"+what+"}"] = x.shared[what+" "+thing]
		}
	}
	root := x.h.people["root"]
	switch {
	case strings.Contains(d.path, "{key}") && (fresh || thing == "own"):
		p := map[string]*person{"own": c.person, "same": x.h.people["mate"], "other": x.h.people["guest"]}[thing]
		fill["{key}"] = fmt.Sprint(p.key(t, x.h.server, p.organization, api.ScopeRead).KeyID)
	case strings.Contains(d.path, "{member}") && thing == "own":
		fill["{member}"] = fmt.Sprintf("%d/members/%d", c.organization, c.id)
	case strings.Contains(d.path, "{member}") && fresh:
		organization := map[string]int64{"same": ours, "owner's": ours, "other": other}[thing]
		role := map[string]api.Role{"same": api.RoleViewer, "owner's": api.RoleOwner, "other": api.RoleViewer}[thing]
		var invited api.InvitedMember
		root.as(t, x.h.server, "POST", membersPath(organization), invitation(fmt.Sprintf("fresh%d", n), role)).is(http.StatusCreated).into(&invited)
		fill["{member}"] = fmt.Sprintf("%d/members/%d", organization, invited.UserID)
	case d.action == "organization.delete" && (thing == "own" || fresh):
		return x.organizationOf(t, c, thing)
	case d.action == "session.delete" && thing == "own" && c.by == "session":
		// Another session of theirs; the one that is asked about is the one that calls.
		again := signIn(t, x.h.management, withPassword(c.email, c.password()), c.deviceCookie())
		var list []api.Session
		request(t, x.h.management, "GET", sessionsPath, "", []string{again.cookie()}).is(http.StatusOK).into(&list)
		fill["{session}"] = fmt.Sprint(list[0].SessionID)
		if strings.HasSuffix(d.path, "/current") {
			calling := *c
			calling.header = again.cookie()
			c = &calling
		}
	case strings.Contains(d.path, "{session}") && thing == "own":
		fill["{session}"] = fmt.Sprint(c.sessionID)
	}
	var pairs []string
	for name, value := range fill {
		pairs = append(pairs, name, value)
	}
	return place{c, strings.NewReplacer(pairs...)}
}

// organizationOf returns a new organization to be deleted: one that the caller has the same role in as in ours, or has
// nothing to do with. A key that calls is one of that organization.
func (x *exhibits) organizationOf(t *testing.T, c *caller, thing string) place {
	t.Helper()
	root := x.h.people["root"]
	var o api.Organization
	root.as(t, x.h.server, "POST", organizationsPath, `{"organization_name":"To be deleted"}`).is(http.StatusCreated).into(&o)
	fill := strings.NewReplacer("{organization}", fmt.Sprint(o.OrganizationID))
	if thing == "other" {
		return place{c, fill}
	}
	if c.name != "root" {
		root.as(t, x.h.server, "POST", membersPath(o.OrganizationID), fmt.Sprintf(`{"email":%q,"role":%q}`, c.email, c.role)).is(http.StatusCreated)
	}
	if c.scopes == nil {
		return place{c, fill}
	}
	k := c.person.key(t, x.h.server, o.OrganizationID, c.scopes...)
	return place{&caller{person: c.person, by: c.by, header: "Authorization: Bearer " + k.Token, key: k.Key, scopes: c.scopes}, fill}
}

// nothingElseIsDone looks at what attempts that were to be refused were made on.
func (x *exhibits) nothingElseIsDone(t *testing.T) {
	t.Helper()
	for path, before := range x.before {
		if now := x.h.people["root"].as(t, x.h.server, "GET", path, "").is(http.StatusOK).body; now != before {
			t.Errorf("%s was %s and is %s", path, before, now)
		}
	}
	for id, name := range map[int64]string{ours: "Ours", other: "Other"} {
		var o api.Organization
		x.h.people["root"].as(t, x.h.server, "GET", fmt.Sprintf("%s/%d", organizationsPath, id), "").is(http.StatusOK).into(&o)
		by := string(o.Metadata)
		byManager := strings.Contains(by, `"root by `) || id == ours && (strings.Contains(by, `"admin by `) || strings.Contains(by, `"owner by `))
		if o.OrganizationName != name || o.ExternalID == nil || !strings.HasPrefix(*o.ExternalID, "root by ") || !byManager {
			t.Errorf("organization %+v %s", o, o.Metadata)
		}
	}
	for _, name := range []string{"mate", "keeper", "guest", "stranger"} {
		x.h.people[name].as(t, x.h.server, "GET", "/v1/me", "").is(http.StatusOK)
	}
}

// allIsLogged holds the audit log against what was tried.
func allIsLogged(t *testing.T, h *household, tried []trial) {
	t.Helper()
	entries := map[string][]api.AuditEntry{} // by request
	for i, e := range h.auditLog(t) {
		if e.AuditID != int64(i)+1 {
			t.Fatalf("audit entry %d is number %d", e.AuditID, i+1)
		}
		entries[e.RequestID] = append(entries[e.RequestID], e)
	}
	for _, attempt := range tried {
		found := entries[attempt.requestID]
		switch {
		case attempt.want == "ok" && !attempt.deed.changes, attempt.want == "bad":
			if len(found) > 0 {
				t.Errorf("%s: the log has %+v", attempt, found)
			}
		case attempt.want == "ok":
			if len(found) == 0 || !attempt.isLogged(found[0], api.AuditSuccess) {
				t.Errorf("%s: the log has %+v", attempt, found)
			}
		default:
			if len(found) != 1 || !attempt.isLogged(found[0], api.AuditRefused) || found[0].Code == "" {
				t.Errorf("%s: the log has %+v", attempt, found)
			}
		}
	}
}

// isLogged reports whether an entry says who it was, by which credential, and what.
func (x trial) isLogged(e api.AuditEntry, outcome api.AuditOutcome) bool {
	c := x.caller
	return e.Action == x.deed.action && e.Outcome == outcome && e.IP == "127.0.0.1" &&
		e.Actor.UserID != nil && *e.Actor.UserID == c.id &&
		(e.Actor.KeyID != nil) == (c.key.KeyID != 0) && (e.Actor.KeyID == nil || *e.Actor.KeyID == c.key.KeyID) &&
		(e.Actor.SessionID != nil) == (c.by == "session")
}
