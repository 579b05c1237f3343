package admin_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
)

// The policy: who may do what, as the contract has it. It is written down by hand and does not ask the code, and every
// cell is tried: each kind of caller, with each role, with each scope, on each kind of thing.
//
// Callers stand in columns. All are about the organization "home":
//
//	outsider   is no member, and the owner of another organization
//	viewer … owner  are members, and have the same role in a second organization, "elsewhere"
//	op viewer  is an instance admin, and a viewer in both
//	operator   is an instance admin, and a member of neither
//
// What they come with begins a line, after the thing it is done to:
//
//	session, token  a signed-in browser, an access token of an identity provider; people: both
//	READ … MANAGE   a key with this scope alone, of home; the outsider's and the operator's are of organizations of theirs
//	ALL             such a key with every scope
//
// A cell is ok, or how it is refused:
//
//	scope   insufficient_scope: the key lacks a scope
//	403     forbidden: the thing is seen, and the role does not allow it
//	404     not_found: it is not seen, or not there
//	fault   a field of the body names an organization that is not seen; it is told from no other that is not there
//	-       there is no such thing
//
// A key without a scope that the use case needs is refused with scope, whatever it is about: that goes without a line.
// Every refusal leaves one entry in the audit log and nothing else, every change its own entries, and what is only read none.
var policy = []useCase{
	{name: "Me", action: "user.read", needs: "", cells: `
		themselves      people                                    ok     ok     ok     ok     ok     ok     ok
		themselves      READ CREATE UPDATE DELETE MANAGE ALL      ok     ok     ok     ok     ok     ok     ok`},

	// Keys. One's own are seen wherever they are, but a key sees those of its organization alone. Admins see all.

	{name: "Keys", action: "key.list", needs: "READ", cells: `
		their own       people READ ALL                           ok     ok     ok     ok     ok     ok     ok
		home            people                                    404    ok     ok     ok     ok     ok     ok
		home            READ                                      404    ok     ok     ok     ok     ok     404
		home            ALL                                       404    ok     ok     ok     ok     ok     ok
		elsewhere       people                                    404    ok     ok     ok     ok     ok     ok
		elsewhere       READ                                      404    404    404    404    404    404    404
		elsewhere       ALL                                       404    404    404    404    404    ok     ok
		abroad          people ALL                                404    404    404    404    404    ok     ok
		abroad          READ                                      404    404    404    404    404    404    404
		nowhere         people READ ALL                           404    404    404    404    404    404    404`},
	{name: "Key", action: "key.read", needs: "READ", cells: ownAndOthersKeys("READ")},
	{name: "UpdateKey", action: "key.update", needs: "UPDATE", leaves: "key.update", cells: ownAndOthersKeys("UPDATE")},
	{name: "DeleteKey", action: "key.delete", needs: "DELETE", leaves: "key.delete", cells: ownAndOthersKeys("DELETE")},
	// The new token is told: it would give READ to a key that has only UPDATE.
	{name: "RotateKey", action: "key.rotate", needs: "UPDATE", leaves: "key.rotate", cells: `
		own             people ALL                                ok     ok     ok     ok     ok     ok     ok
		own             UPDATE                                    scope  scope  scope  scope  scope  scope  scope
		own elsewhere   people                                    -      ok     ok     ok     ok     ok     ok
		own elsewhere   UPDATE                                    -      404    404    404    404    404    404
		own elsewhere   ALL                                       -      404    404    404    404    ok     ok
		home            people ALL                                404    404    404    ok     ok     ok     ok
		home            UPDATE                                    404    404    404    scope  scope  404    404
		elsewhere       people                                    404    404    404    ok     ok     ok     ok
		elsewhere       UPDATE                                    404    404    404    404    404    404    404
		elsewhere       ALL                                       404    404    404    404    404    ok     ok
		abroad          people ALL                                404    404    404    404    404    ok     ok
		abroad          UPDATE                                    404    404    404    404    404    404    404
		nowhere         people UPDATE ALL                         404    404    404    404    404    404    404`},
	// The key that is wanted has CREATE: more than a viewer may hold, unless they are an instance admin.
	{name: "CreateKey", action: "key.create", needs: "CREATE", leaves: "key.create", cells: `
		home            people ALL                                fault  403    ok     ok     ok     ok     ok
		home            CREATE                                    fault  403    ok     ok     ok     ok     fault
		elsewhere       people                                    fault  403    ok     ok     ok     ok     ok
		elsewhere       CREATE                                    fault  fault  fault  fault  fault  fault  fault
		elsewhere       ALL                                       fault  fault  fault  fault  fault  ok     ok
		abroad          people ALL                                fault  fault  fault  fault  fault  ok     ok
		abroad          CREATE                                    fault  fault  fault  fault  fault  fault  fault
		nowhere         people CREATE ALL                         fault  fault  fault  fault  fault  fault  fault`},
	// It says what is wrong with a key that is wanted, and gives nothing.
	{name: "CheckDraft", action: "key.create", needs: "CREATE", cells: `
		home            people ALL                                fault  ok     ok     ok     ok     ok     ok
		home            CREATE                                    fault  ok     ok     ok     ok     ok     fault
		elsewhere       people                                    fault  ok     ok     ok     ok     ok     ok
		elsewhere       CREATE                                    fault  fault  fault  fault  fault  fault  fault
		elsewhere       ALL                                       fault  fault  fault  fault  fault  ok     ok
		abroad          people ALL                                fault  fault  fault  fault  fault  ok     ok
		abroad          CREATE                                    fault  fault  fault  fault  fault  fault  fault
		nowhere         people CREATE ALL                         fault  fault  fault  fault  fault  fault  fault`},

	// How keys are used. Whoever sees a key sees that of it; of an organization, members see that of the keys that they see.
	{name: "KeyUsage", action: "key.read", needs: "READ", cells: ownAndOthersKeys("READ")},
	{name: "OrganizationUsage", action: "organization.read", needs: "READ", cells: `
		home            people ALL                                404    ok     ok     ok     ok     ok     ok
		home            READ                                      404    ok     ok     ok     ok     ok     404
		elsewhere       people                                    404    ok     ok     ok     ok     ok     ok
		elsewhere       READ                                      404    404    404    404    404    404    404
		elsewhere       ALL                                       404    404    404    404    404    ok     ok
		abroad          people ALL                                404    404    404    404    404    ok     ok
		abroad          READ                                      404    404    404    404    404    404    404
		nowhere         people READ ALL                           404    404    404    404    404    404    404`},

	// Accounts. Members see theirs, admins and owners change it, and whoever acts on every organization does both anywhere.

	{name: "Organizations", action: "organization.list", needs: "READ MANAGE", cells: `
		their own       people READ MANAGE ALL                    ok     ok     ok     ok     ok     ok     ok`},
	{name: "Organization", action: "organization.read", needs: "READ MANAGE", cells: seenByMembers},
	{name: "CreateOrganization", action: "organization.create", needs: "MANAGE", leaves: "organization.create member.create", cells: `
		anew            people MANAGE ALL                         403    403    403    403    403    ok     ok`},
	{name: "UpdateOrganization", action: "organization.update", needs: "MANAGE", leaves: "organization.update",
		cells: changedByManagers + `
		home, its external_id   people MANAGE ALL                 404    403    403    403    403    ok     ok`},
	{name: "DeleteOrganization", action: "organization.delete", needs: "MANAGE", leaves: "organization.delete", cells: `
		home            people MANAGE ALL                         404    403    403    403    ok     ok     ok
		elsewhere       people                                    404    403    403    403    ok     ok     ok
		elsewhere       MANAGE ALL                                404    404    404    404    404    ok     ok
		abroad          people MANAGE ALL                         404    404    404    404    404    ok     ok
		nowhere         people MANAGE ALL                         404    404    404    404    404    404    404`},

	{name: "Members", action: "member.list", needs: "READ MANAGE", cells: seenByMembers},
	{name: "Member", action: "member.read", needs: "READ MANAGE", cells: seenByMembers + `
		themselves      people READ MANAGE ALL                    404    ok     ok     ok     ok     ok     404
		no member       people READ MANAGE ALL                    404    404    404    404    404    404    404`},
	{name: "InviteMember", action: "member.create", needs: "MANAGE", leaves: "member.create user.create user.link",
		cells: changedByManagers + `
		home, as owner  people MANAGE ALL                         404    403    403    403    ok     ok     ok`},
	{name: "UpdateMember", action: "member.update", needs: "MANAGE", leaves: "member.update key.delete*",
		cells: changedByManagers + `
		home, an owner  people MANAGE ALL                         404    403    403    403    ok     ok     ok
		home, to owner  people MANAGE ALL                         404    403    403    403    ok     ok     ok
		themselves      people MANAGE ALL                         404    403    403    ok     ok     ok     404
		no member       people MANAGE ALL                         404    404    404    404    404    404    404`},
	{name: "RemoveMember", action: "member.delete", needs: "MANAGE", leaves: "member.delete key.delete*",
		cells: changedByManagers + `
		home, an owner  people MANAGE ALL                         404    403    403    403    ok     ok     ok
		themselves      people MANAGE ALL                         404    ok     ok     ok     ok     ok     404
		no member       people MANAGE ALL                         404    404    404    404    404    404    404`},

	// What is about a person and not about an organization is for that person, in a session.

	{name: "Sessions", action: "session.list", needs: "", cells: `
		their own       session                                   ok     ok     ok     ok     ok     ok     ok
		their own       token READ CREATE UPDATE DELETE MANAGE ALL  403  403    403    403    403    403    403`},
	{name: "EndSession", action: "session.delete", needs: "", leaves: "session.delete", cells: `
		own             session                                   ok     ok     ok     ok     ok     ok     ok
		own             token READ CREATE UPDATE DELETE MANAGE ALL  403  403    403    403    403    403    403
		own, ended      session                                   404    404    404    404    404    404    404
		own, ended      token READ CREATE UPDATE DELETE MANAGE ALL  403  403    403    403    403    403    403
		a colleague's   session                                   404    404    404    404    404    404    404
		a colleague's   token READ CREATE UPDATE DELETE MANAGE ALL  403  403    403    403    403    403    403
		nowhere         session                                   404    404    404    404    404    404    404
		nowhere         token READ CREATE UPDATE DELETE MANAGE ALL  403  403    403    403    403    403    403`},
	{name: "EndOtherSessions", action: "session.delete", needs: "", leaves: "session.delete", cells: `
		their own       session                                   ok     ok     ok     ok     ok     ok     ok
		their own       token READ CREATE UPDATE DELETE MANAGE ALL  403  403    403    403    403    403    403`},
	{name: "SetPassword", action: "user.password", needs: "", leaves: "user.password", cells: `
		their own       session                                   ok     ok     ok     ok     ok     ok     ok
		their own       token READ CREATE UPDATE DELETE MANAGE ALL  403  403    403    403    403    403    403`},
	{name: "Identities", action: "user.read", needs: "", cells: `
		their own       session                                   ok     ok     ok     ok     ok     ok     ok
		their own       token READ CREATE UPDATE DELETE MANAGE ALL  403  403    403    403    403    403    403`},
	{name: "UnbindIdentity", action: "user.identity", needs: "", cells: `
		nowhere         session                                   404    404    404    404    404    404    404
		nowhere         token READ CREATE UPDATE DELETE MANAGE ALL  403  403    403    403    403    403    403`},
	{name: "BindIdentity", action: "user.identity", needs: "", leaves: "user.identity", cells: `
		their own       session                                   ok     ok     ok     ok     ok     ok     ok
		their own       token READ CREATE UPDATE DELETE MANAGE ALL  403  403    403    403    403    403    403`},

	// The nodes are for who acts on every organization.
	{name: "Cluster", action: "node.list", needs: "MANAGE", cells: `
		all of them     people MANAGE ALL                         403    403    403    403    403    ok     ok`},

	// The audit log: admins and owners read that of their organizations. The outsider is an owner somewhere, too, and so is
	// the operator by a key without MANAGE.
	{name: "AuditLog", action: "audit.read", needs: "READ", cells: `
		what they may   people ALL                                ok     403    403    ok     ok     ok     ok
		what they may   READ                                      ok     403    403    ok     ok     403    ok
		home            people ALL                                404    403    403    ok     ok     ok     ok
		home            READ                                      404    403    403    ok     ok     403    404
		elsewhere       people                                    404    403    403    ok     ok     ok     ok
		elsewhere       READ                                      404    404    404    404    404    404    404
		elsewhere       ALL                                       404    404    404    404    404    ok     ok
		abroad          people ALL                                404    404    404    404    404    ok     ok
		abroad          READ                                      404    404    404    404    404    404    404
		nowhere         people READ ALL                           404    404    404    404    404    404    404`},
}

// open are the use cases that ask for no rights, because nobody has a credential yet who calls them. Each says what takes
// the place of rights.
var open = map[string]string{
	"SignIn":             "the password",
	"SignInWithLink":     "the one-time link",
	"SignInWithIdentity": "the identity provider's word",
	"UserOf":             "the identity provider's word",
	"RequestLink":        "nothing: the link goes to the user's own address",
	"MakeLink":           "the database, which whoever runs it holds",
	"ReportLeak":         "the token: whoever has it may end it",
	"ReportLeaks":        "the finder's signature",
}

// ownAndOthersKeys are the cells of what is done to a key, with a scope and without giving anything away.
func ownAndOthersKeys(scope string) string {
	return strings.ReplaceAll(`
		own             people KEY ALL                            ok     ok     ok     ok     ok     ok     ok
		own elsewhere   people                                    -      ok     ok     ok     ok     ok     ok
		own elsewhere   KEY                                       -      404    404    404    404    404    404
		own elsewhere   ALL                                       -      404    404    404    404    ok     ok
		home            people ALL                                404    404    404    ok     ok     ok     ok
		home            KEY                                       404    404    404    ok     ok     404    404
		elsewhere       people                                    404    404    404    ok     ok     ok     ok
		elsewhere       KEY                                       404    404    404    404    404    404    404
		elsewhere       ALL                                       404    404    404    404    404    ok     ok
		abroad          people ALL                                404    404    404    404    404    ok     ok
		abroad          KEY                                       404    404    404    404    404    404    404
		nowhere         people KEY ALL                            404    404    404    404    404    404    404`, "KEY", scope)
}

const seenByMembers = `
		home            people MANAGE ALL                         404    ok     ok     ok     ok     ok     ok
		home            READ                                      404    ok     ok     ok     ok     ok     404
		elsewhere       people                                    404    ok     ok     ok     ok     ok     ok
		elsewhere       READ                                      404    404    404    404    404    404    404
		elsewhere       MANAGE ALL                                404    404    404    404    404    ok     ok
		abroad          people MANAGE ALL                         404    404    404    404    404    ok     ok
		abroad          READ                                      404    404    404    404    404    404    404
		nowhere         people READ MANAGE ALL                    404    404    404    404    404    404    404`

const changedByManagers = `
		home            people MANAGE ALL                         404    403    403    ok     ok     ok     ok
		elsewhere       people                                    404    403    403    ok     ok     ok     ok
		elsewhere       MANAGE ALL                                404    404    404    404    404    ok     ok
		abroad          people MANAGE ALL                         404    404    404    404    404    ok     ok
		nowhere         people MANAGE ALL                         404    404    404    404    404    404    404`

// useCase is one of the policy's.
type useCase struct {
	name   string
	action audit.Action // as refusals are recorded
	needs  string       // a calling key needs one of these scopes; "": any does
	leaves string       // the entries of a change; a star after one: for each key that is gone
	cells  string
}

// perform does a use case for a caller to something.
func (w *world) perform(ctx context.Context, name string, c admin.Caller, on string) error {
	in, manner, _ := strings.Cut(on, ", ")
	switch name {
	case "Me":
		_, err := w.Me(ctx, c)
		return err
	case "Keys":
		_, _, err := w.Keys(ctx, c, admin.KeyList{OrganizationID: w.organizations[in], Limit: 10})
		return err
	case "Key":
		_, err := w.Key(ctx, c, w.keyFor(c, on))
		return err
	case "UpdateKey":
		_, err := w.UpdateKey(ctx, c, w.keyFor(c, on), key.Patch{Name: ptr("renamed")})
		return err
	case "DeleteKey":
		return w.DeleteKey(ctx, c, w.keyFor(c, on))
	case "RotateKey":
		_, _, err := w.RotateKey(ctx, c, w.keyFor(c, on), 0)
		return err
	case "CreateKey":
		_, _, err := w.CreateKey(ctx, c, key.Draft{Name: "new", Scopes: create, OrganizationID: w.organizations[in], Enabled: true})
		return err
	case "CheckDraft":
		faults, err := w.CheckDraft(ctx, c, key.Draft{Name: "new", Scopes: create, OrganizationID: w.organizations[in], Enabled: true})
		if len(faults) > 0 {
			return &key.Error{Code: key.Invalid, Faults: faults}
		}
		return err

	case "KeyUsage":
		_, err := w.KeyUsage(ctx, c, w.keyFor(c, on), admin.UsageRange{})
		return err
	case "OrganizationUsage":
		_, err := w.OrganizationUsage(ctx, c, w.organizations[in], admin.UsageRange{})
		return err

	case "Organizations":
		_, _, err := w.Organizations(ctx, c, admin.OrganizationList{Limit: 10})
		return err
	case "Organization":
		_, err := w.Organization(ctx, c, w.organizations[in])
		return err
	case "CreateOrganization":
		_, err := w.CreateOrganization(ctx, c, key.OrganizationDraft{Name: "new"})
		return err
	case "UpdateOrganization":
		patch := key.OrganizationPatch{Name: ptr("renamed")}
		if manner != "" {
			patch = key.OrganizationPatch{ExternalID: ptr("changed")}
		}
		_, err := w.UpdateOrganization(ctx, c, w.organizations[in], patch)
		return err
	case "DeleteOrganization":
		return w.DeleteOrganization(ctx, c, w.organizations[in])

	case "Members":
		_, _, err := w.Members(ctx, c, admin.MemberList{OrganizationID: w.organizations[in], Limit: 10})
		return err
	case "Member":
		organization, user := w.memberFor(c, on)
		_, err := w.Member(ctx, c, organization, user)
		return err
	case "InviteMember":
		role := key.Viewer
		if manner != "" {
			role = key.Owner
		}
		_, err := w.InviteMember(ctx, c, w.organizations[in], "new@example.com", role)
		return err
	case "UpdateMember":
		role := key.Member
		if manner == "to owner" {
			role = key.Owner
		}
		organization, user := w.memberFor(c, on)
		_, err := w.UpdateMember(ctx, c, organization, user, role, admin.Deleted)
		return err
	case "RemoveMember":
		organization, user := w.memberFor(c, on)
		return w.RemoveMember(ctx, c, organization, user, admin.Deleted)

	case "Sessions":
		_, _, err := w.Sessions(ctx, c, 0, 10)
		return err
	case "EndSession":
		return w.EndSession(ctx, c, w.sessionFor(c, on))
	case "EndOtherSessions":
		return w.EndOtherSessions(ctx, c)
	case "Cluster":
		_, err := w.Cluster(ctx, c)
		return err
	case "SetPassword":
		return w.SetPassword(ctx, c, "", "correct horse battery staple")
	case "Identities":
		_, err := w.Identities(ctx, c)
		return err
	case "UnbindIdentity":
		return w.UnbindIdentity(ctx, c, "https://issuer.example", "nobody's")
	case "BindIdentity":
		return w.BindIdentity(ctx, c, admin.Identity{Issuer: "https://issuer.example", Subject: "new"})

	case "AuditLog":
		_, _, err := w.AuditLog(ctx, c, admin.AuditList{OrganizationID: w.organizations[in], Limit: 10})
		return err
	}
	return fmt.Errorf("nobody knows how to do %s", name)
}

func ptr[T any](v T) *T { return &v }

// TestOneDoor tries every cell of the policy.
func TestOneDoor(t *testing.T) {
	template := buildWorld(t)
	cells := 0
	for _, u := range policy {
		table := u.table(t)
		cells += len(table)
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			w := template.copy(t)
			for _, cell := range table {
				w.try(t, u, cell)
			}
		})
	}
	t.Logf("%d cells", cells)
}

// TestEveryUseCaseIsInThePolicy fails for a use case that nobody has decided about.
func TestEveryUseCaseIsInThePolicy(t *testing.T) {
	stated := map[string]int{}
	for name := range open {
		stated[name]++
	}
	for _, u := range policy {
		stated[u.name]++
	}
	for method := range reflect.TypeFor[*admin.Service]().Methods() {
		takesCaller := slices.ContainsFunc(slices.Collect(method.Type.Ins()), func(in reflect.Type) bool {
			return in == reflect.TypeFor[admin.Caller]()
		})
		if takesCaller && stated[method.Name] != 1 {
			t.Errorf("%s is %d times in the policy", method.Name, stated[method.Name])
		}
		if takesCaller {
			delete(stated, method.Name)
		}
	}
	for name := range stated {
		t.Errorf("the policy is about %s, which is no use case", name)
	}
}

// Whatever a key may do, its user may do without it.
func TestNoKeyMayMoreThanItsUser(t *testing.T) {
	for _, u := range policy {
		person := map[[2]string]string{}
		table := u.table(t)
		for _, c := range table {
			if c.with == "session" {
				person[[2]string{c.on, c.caller}] = c.want
			}
		}
		for _, c := range table {
			if c.want == "ok" && person[[2]string{c.on, c.caller}] != "ok" {
				t.Errorf("%v, and by session %s", c, person[[2]string{c.on, c.caller}])
			}
		}
	}
}

// callers are the columns.
var callers = []string{"outsider", "viewer", "member", "admin", "owner", "op viewer", "operator"}

// scopes are the keys of a caller.
var scopes = map[string]key.Scopes{"READ": read, "CREATE": create, "UPDATE": update, "DELETE": remove, "MANAGE": manage, "ALL": key.AllScopes}

// cell is one of the policy's.
type cell struct{ use, on, with, caller, want string }

func (c cell) String() string {
	return fmt.Sprintf("%s on %q by the %s with %s: %s", c.use, c.on, c.caller, c.with, c.want)
}

// table returns the cells of a use case, and fails the test unless each stands there once.
func (u useCase) table(t *testing.T) (table []cell) {
	t.Helper()
	var things []string
	stated := map[cell]bool{}
	state := func(on, with string, wants []string) {
		for i, want := range wants {
			c := cell{use: u.name, on: on, with: with, caller: callers[i]}
			if stated[c] {
				t.Fatalf("%v is stated twice", c)
			}
			stated[c] = true
			c.want = want
			if want != "-" {
				table = append(table, c)
			}
		}
	}
	for line := range strings.Lines(strings.TrimSpace(u.cells)) {
		on, rest, _ := strings.Cut(strings.TrimSpace(line), "  ")
		words := strings.Fields(rest)
		if len(words) <= len(callers) {
			t.Fatalf("%s: %q", u.name, line)
		}
		if !slices.Contains(things, on) {
			things = append(things, on)
		}
		with, wants := words[:len(words)-len(callers)], words[len(words)-len(callers):]
		for _, kind := range with {
			if kind == "people" {
				state(on, "session", wants)
				kind = "token"
			}
			state(on, kind, wants)
		}
	}
	for _, on := range things {
		for name, set := range scopes {
			if u.needs != "" && set != key.AllScopes && !strings.Contains(u.needs, name) {
				state(on, name, strings.Fields(strings.Repeat("scope ", len(callers))))
			}
		}
	}
	if all := len(things) * len(callers) * (len(scopes) + 2); len(stated) != all {
		t.Fatalf("%s states %d of %d cells", u.name, len(stated), all)
	}
	// Whoever is not who they were any more learns nothing, and does nothing.
	for _, with := range []string{"an ended session", "a deleted key"} {
		state(things[0], with, strings.Fields(strings.Repeat("401 ", len(callers))))
	}
	return table
}

// codes are the errors of the cells; the second is that of the entry in the audit log.
var codes = map[string][2]key.Code{
	"ok":    {"ok", ""},
	"scope": {key.InsufficientScope, key.InsufficientScope},
	"401":   {key.Unauthenticated, key.Unauthenticated},
	"403":   {key.Forbidden, key.Forbidden},
	"404":   {key.NotFound, key.NotFound},
	"fault": {key.Invalid, key.NotFound},
}

// world is what the policy speaks of, in a database that says what is written to it.
type world struct {
	*house
	organizations map[string]int64
	keys          map[string]key.Key // "viewer READ", "viewer own", "viewer own elsewhere", "home"
	sessions      map[string]int64   // "viewer", "viewer own", "viewer own, ended"
	raw           *sql.DB
	last          int64 // the entry of the audit log that was looked at
}

func buildWorld(t *testing.T) *world {
	t.Helper()
	w := &world{house: openHouse(t, filepath.Join(t.TempDir(), "world.db")), organizations: map[string]int64{"nowhere": 999},
		keys: map[string]key.Key{}, sessions: map[string]int64{"nowhere": 999}}
	for _, name := range []string{"home", "elsewhere", "abroad", "outside", "office"} {
		w.organizations[name] = w.organization(name)
	}
	for _, u := range []struct {
		name string
		role key.Role
		in   []string
	}{
		{"outsider", key.Owner, []string{"outside"}},
		{"viewer", key.Viewer, []string{"home", "elsewhere"}},
		{"member", key.Member, []string{"home", "elsewhere"}},
		{"admin", key.Admin, []string{"home", "elsewhere"}},
		{"owner", key.Owner, []string{"home", "elsewhere"}},
		{"op viewer", key.Viewer, []string{"home", "elsewhere"}},
		{"operator", key.Owner, []string{"office"}},
		{"colleague", key.Owner, []string{"home", "elsewhere"}},
		{"newcomer", key.Viewer, []string{"home", "elsewhere", "abroad"}},
		{"local", key.Owner, []string{"abroad"}},
		{"nobody", 0, nil},
	} {
		w.user(u.name, strings.HasPrefix(u.name, "op"))
		for _, in := range u.in {
			w.join(u.name, w.organizations[in], u.role)
		}
		if !slices.Contains(callers, u.name) {
			continue
		}
		id, base := w.users[u.name], w.organizations[u.in[0]]
		for name, set := range scopes {
			w.keys[u.name+" "+name] = w.key(id, base, set)
		}
		w.keys[u.name+" own"] = w.key(id, base, read)
		w.keys[u.name+" own elsewhere"] = w.key(id, w.organizations["elsewhere"], read)
		w.sessions[u.name] = w.session(u.name).SessionID
		w.sessions[u.name+" own"] = w.session(u.name).SessionID
		w.set(noon.Add(-lifetime))
		w.sessions[u.name+" own, ended"] = w.session(u.name).SessionID
		w.set(noon)
	}
	w.sessions["a colleague's"] = w.session("colleague").SessionID
	for in, who := range map[string]string{"home": "colleague", "elsewhere": "colleague", "abroad": "local"} {
		w.keys[in] = w.key(w.users[who], w.organizations[in], read)
	}
	w.watch()
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	return w
}

// tables are those of the database, save the audit log.
var tables = []string{"users", "organizations", "members", "api_keys", "tokens", "sessions", "sign_in_links", "devices", "identities"}

// watch has the database note in a table what is done to the others, and keep a copy of each.
func (w *world) watch() {
	w.t.Helper()
	raw := w.open()
	defer raw.Close()
	statements := []string{`CREATE TABLE touched (what TEXT NOT NULL)`}
	for _, table := range append(tables, "sqlite_sequence") {
		statements = append(statements, fmt.Sprintf(`CREATE TABLE pristine_%s AS SELECT * FROM %[1]s`, table))
	}
	for _, table := range tables {
		for _, done := range []string{"INSERT", "UPDATE", "DELETE"} {
			statements = append(statements, fmt.Sprintf(`CREATE TRIGGER watch_%s_%s AFTER %[2]s ON %[1]s
				BEGIN INSERT INTO touched VALUES ('%[2]s %[1]s'); END`, table, done))
		}
	}
	w.execute(raw, statements)
}

func (w *world) open() *sql.DB {
	w.t.Helper()
	raw, err := sql.Open("sqlite", w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	raw.SetMaxOpenConns(1) // so that what is set once is set for all
	return raw
}

func (w *world) execute(raw *sql.DB, statements []string) {
	w.t.Helper()
	for _, s := range statements {
		if _, err := raw.ExecContext(w.t.Context(), s); err != nil {
			w.t.Fatalf("%s: %v", s, err)
		}
	}
}

// copy returns the same world in a database of its own.
func (w *world) copy(t *testing.T) *world {
	t.Helper()
	content, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	other := *w
	other.house = openHouse(t, path)
	other.users, other.tokens = w.users, w.tokens
	other.raw = other.open()
	other.execute(other.raw, []string{`PRAGMA foreign_keys = OFF`, `PRAGMA synchronous = OFF`})
	t.Cleanup(func() { other.raw.Close() })
	return &other
}

// restore makes tables again what they were.
func (w *world) restore(touched map[string]int) {
	w.t.Helper()
	changed := map[string]bool{"sqlite_sequence": true}
	for what := range touched {
		_, table, _ := strings.Cut(what, " ")
		changed[table] = true
	}
	statements := []string{`BEGIN IMMEDIATE`}
	for table := range changed {
		statements = append(statements, `DELETE FROM `+table, fmt.Sprintf(`INSERT INTO %s SELECT * FROM pristine_%[1]s`, table))
	}
	w.execute(w.raw, []string{strings.Join(append(statements, `DELETE FROM touched`, `COMMIT`), ";")})
}

// touched returns what was done to which table since the last restore.
func (w *world) touched() map[string]int {
	w.t.Helper()
	rows, err := w.raw.QueryContext(w.t.Context(), `SELECT what, count(*) FROM touched GROUP BY what`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	touched := map[string]int{}
	for rows.Next() {
		var what string
		var n int
		if err := rows.Scan(&what, &n); err != nil {
			w.t.Fatal(err)
		}
		touched[what] = n
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return touched
}

// entries returns what was written to the audit log since it was last looked at.
func (w *world) entries() []audit.Entry {
	w.t.Helper()
	entries, err := w.store.AuditAfter(w.t.Context(), w.last, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	if n := len(entries); n > 0 {
		w.last = entries[n-1].ID
	}
	return entries
}

// caller returns somebody who comes with something.
func (w *world) caller(name, with string) admin.Caller {
	switch with {
	case "session":
		return admin.Caller{UserID: w.users[name], SessionID: w.sessions[name]}
	case "an ended session":
		return admin.Caller{UserID: w.users[name], SessionID: w.sessions[name+" own, ended"]}
	case "token":
		return w.bearer(name)
	case "a deleted key":
		return admin.Caller{UserID: w.users[name], KeyID: 999, Token: key.Digest{1}}
	default:
		return w.by(w.keys[name+" "+with])
	}
}

// nameOf returns the column of a caller.
func (w *world) nameOf(c admin.Caller) string {
	for _, name := range callers {
		if w.users[name] == c.UserID {
			return name
		}
	}
	return ""
}

// keyFor returns the id of the key that the policy speaks of.
func (w *world) keyFor(c admin.Caller, on string) int64 {
	if strings.HasPrefix(on, "own") {
		on = w.nameOf(c) + " " + on
	}
	if k, ok := w.keys[on]; ok {
		return k.ID
	}
	return 999
}

// sessionFor returns the id of the session that the policy speaks of.
func (w *world) sessionFor(c admin.Caller, on string) int64 {
	if strings.HasPrefix(on, "own") {
		on = w.nameOf(c) + " " + on
	}
	return w.sessions[on]
}

// memberFor returns the member that the policy speaks of: where nothing is said of them, somebody who is a viewer.
func (w *world) memberFor(c admin.Caller, on string) (organization, user int64) {
	switch on {
	case "themselves":
		return w.organizations["home"], c.UserID
	case "no member":
		return w.organizations["home"], w.users["nobody"]
	case "home, an owner":
		return w.organizations["home"], w.users["colleague"]
	default:
		in, _, _ := strings.Cut(on, ", ")
		return w.organizations[in], w.users["newcomer"]
	}
}

// try does what a cell says and compares what comes of it.
func (w *world) try(t *testing.T, u useCase, on cell) {
	t.Helper()
	c := w.caller(on.caller, on.with)
	err := w.perform(t.Context(), u.name, c, on.on)
	want := codes[on.want]
	if got := codeOf(err); got != want[0] {
		t.Errorf("%v: %s (%v)", on, got, err)
	}
	entries, touched := w.entries(), w.touched()
	if err == nil && u.leaves != "" {
		if len(touched) == 0 {
			t.Errorf("%v: nothing was changed", on)
		}
		expectActions(t, entries, left(u.leaves, touched["DELETE api_keys"])...)
		w.restore(touched)
	} else if len(touched) > 0 {
		t.Errorf("%v: it changed %v", on, touched)
		w.restore(touched)
	}
	for _, e := range entries {
		if e.Actor != (audit.Actor{UserID: c.UserID, KeyID: c.KeyID, SessionID: c.SessionID}) {
			t.Errorf("%v: it was not %+v", on, e.Actor)
		}
	}
	switch {
	case want[1] == "" && u.leaves == "" && len(entries) != 0:
		t.Errorf("%v: a look leaves %q", on, actions(entries))
	case want[1] != "" && (len(entries) != 1 || entries[0].Outcome != audit.Refused || entries[0].Action != u.action || entries[0].Code != string(want[1])):
		t.Errorf("%v: the audit log says %q, want one refusal of %s because of %s", on, actions(entries), u.action, want[1])
	}
}

// left returns the entries that a change leaves where it has deleted a number of keys.
func left(leaves string, keys int) (names []string) {
	for _, name := range strings.Fields(leaves) {
		if repeated, ok := strings.CutSuffix(name, "*"); ok {
			names = append(names, slices.Repeat([]string{repeated}, keys)...)
		} else {
			names = append(names, name)
		}
	}
	return names
}
