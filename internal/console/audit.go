package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
)

// pageAudit is the template of this page.
const pageAudit = "audit"

const (
	auditPattern   = organizationPattern + "/audit-log"
	wholeAuditPath = "/audit-log" // of all organizations, and of what is about none
)

// auditPages are those of the audit log.
func (c *Console) auditPages() []Page {
	return []Page{
		c.page(http.MethodGet, auditPattern, c.signedIn(c.auditLog)),
		c.page(http.MethodGet, auditPattern+"/{audit_id}", c.signedIn(c.auditEntry)),
		c.page(http.MethodGet, wholeAuditPath, c.signedIn(c.auditLog)),
		c.page(http.MethodGet, wholeAuditPath+"/{audit_id}", c.signedIn(c.auditEntry)),
	}
}

// auditPage is what the audit log says.
type auditPage struct {
	Organization  string // the name of the one whose log it is; "": of all that the reader may see
	Whole         string // address of the log of all; "": not for the reader
	Action, Clear string // addresses: where the filters are sent, and of the log without
	Fields        []field
	Hidden        map[string]string // filters that have no field
	Filtered      bool
	Wrong         bool // something is in a field that cannot be
	Entries       []auditRow
	First, Next   string // addresses of other pages; "": there are none
}

// auditRow is an entry in the list.
type auditRow struct {
	audit.Entry
	What, Who, Target string
	URL, TargetURL    string // "": there is no page
	Refused           bool
}

// auditShown is how many entries one page shows.
const auditShown = 50

// auditFilter is what the reader wants to see.
type auditFilter struct {
	path string
	typed
	list   admin.AuditList
	faults map[string]string
}

// typed is what stands in the fields.
type typed map[string]string

// auditFields are the names of the fields.
var auditFields = []string{"action", "actor", "outcome", "from", "to", "target_type", "target_id"}

// auditLog shows the list.
func (c *Console) auditLog(v *visit) error {
	o, err := c.auditOf(v)
	if err != nil {
		return err
	}
	f, err := c.readAuditFilter(v, o)
	if err != nil {
		return err
	}
	p := auditPage{Organization: o.name, Action: f.path, Clear: f.path, Fields: f.fields(), Filtered: len(f.typed) > 0, Wrong: len(f.faults) > 0, Hidden: f.hidden()}
	if v.me.User.InstanceAdmin && o.id != 0 {
		p.Whole = wholeAuditPath
	}
	status := http.StatusUnprocessableEntity
	if !p.Wrong {
		status = http.StatusOK
		found, more, err := c.Admin.AuditLog(v.r.Context(), v.caller, f.list)
		if err != nil {
			return err
		}
		if p.Entries, err = c.auditRows(v, o, found); err != nil {
			return err
		}
		if f.list.Before != 0 {
			p.First = f.address(0)
		}
		if more {
			p.Next = f.address(found[len(found)-1].ID)
		}
	}
	return c.show(v, status, pageAudit, frame{Title: "Audit log", Section: sectionAudit, Organization: o.id, Main: p})
}

// auditOf returns the organization that the path names; the zero one: the log of all is meant.
func (c *Console) auditOf(v *visit) (organization, error) {
	if v.r.PathValue("organization_id") == "" {
		return organization{}, nil
	}
	_, o, err := c.findOrganization(v)
	return o, err
}

// auditPath returns the address of an organization's log; 0: of all.
func auditPath(organization int64) string {
	if organization == 0 {
		return wholeAuditPath
	}
	return sectionAudit.path(organization)
}

// auditAction is the form of an action, or of a group of them.
var auditAction = regexp.MustCompile(`^[a-z]+\.([a-z_]+|\*)$`)

// readAuditFilter reads what the reader wants to see, and what is wrong with it.
func (c *Console) readAuditFilter(v *visit, o organization) (auditFilter, error) {
	q := v.r.URL.Query()
	f := auditFilter{path: auditPath(o.id), typed: typed{}, faults: map[string]string{}}
	for _, name := range auditFields {
		if value := text(q.Get(name)); value != "" {
			f.typed[name] = value
		}
	}
	f.list = admin.AuditList{OrganizationID: o.id, TargetType: f.typed["target_type"], Limit: auditShown}
	f.list.Before, _ = strconv.ParseInt(q.Get("before"), 10, 64) // anything else is the first page
	f.list.Outcome, _ = audit.ParseOutcome(f.typed["outcome"])   // anything else is both
	f.list.TargetID, _ = strconv.ParseInt(f.typed["target_id"], 10, 64)
	if action := f.typed["action"]; auditAction.MatchString(action) {
		f.list.Action = action
	}
	f.list.From = f.day("from")
	if to := f.day("to"); !to.IsZero() {
		f.list.To = to.AddDate(0, 0, 1) // the day is meant as a whole
	}
	var err error
	f.list.ActorUserID, err = c.auditActor(v, o, &f)
	return f, err
}

// day returns the beginning of the day in a field; zero: there is none.
func (f *auditFilter) day(name string) time.Time {
	if f.typed[name] == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.DateOnly, f.typed[name])
	if err != nil {
		f.faults[name] = "Must be a date."
	}
	return t
}

// auditActor returns the id of the user whose deeds are wanted: what was typed is their e-mail address, or the id itself.
func (c *Console) auditActor(v *visit, o organization, f *auditFilter) (int64, error) {
	wanted := f.typed["actor"]
	id, err := strconv.ParseInt(wanted, 10, 64)
	switch {
	case wanted == "", err == nil && id > 0:
		return id, nil
	case strings.EqualFold(wanted, v.me.User.Email):
		return v.me.User.ID, nil
	}
	f.faults["actor"] = "Nobody here has this address. Those who have left are found by their user id."
	if o.id == 0 {
		f.faults["actor"] = "Must be a user id."
		return 0, nil
	}
	list := admin.MemberList{OrganizationID: o.id, EmailContains: wanted, Limit: membersAtOnce}
	for more := true; more; {
		var found []key.Membership
		if found, more, err = c.Admin.Members(v.r.Context(), v.caller, list); err != nil {
			return 0, err
		}
		for _, m := range found {
			if strings.EqualFold(m.Email, wanted) {
				delete(f.faults, "actor")
				return m.UserID, nil
			}
			list.Before = m.UserID
		}
	}
	return 0, nil
}

// membersAtOnce is the most that a use case returns.
const membersAtOnce = 1000

// address returns where the filter is in force, from a place on.
func (f *auditFilter) address(before int64) string {
	q := url.Values{}
	for name, value := range f.typed {
		q.Set(name, value)
	}
	if before != 0 {
		q.Set("before", strconv.FormatInt(before, 10))
	}
	return f.path + "?" + q.Encode()
}

// hidden are the filters that come with a link and have no field.
func (f *auditFilter) hidden() map[string]string {
	all := map[string]string{}
	if id := f.typed["target_id"]; id != "" {
		all["target_id"] = id
	}
	return all
}

// fields are those to choose with what is shown.
func (f *auditFilter) fields() []field {
	actions := []option{{"Anything", ""}}
	listed := f.typed["action"] == ""
	for _, group := range auditGroups {
		actions = append(actions, group)
		listed = listed || group.Value == f.typed["action"]
	}
	if !listed {
		actions = append(actions, option{f.typed["action"], f.typed["action"]})
	}
	target := "Of any kind"
	if id := f.typed["target_id"]; id != "" {
		target = "Anything " + id
	}
	targets := []option{{target, ""}}
	for _, kind := range audit.Types() {
		name := kind
		if id := f.typed["target_id"]; id != "" && kind == f.typed["target_type"] {
			name += " " + id
		}
		targets = append(targets, option{name, kind})
	}
	return []field{
		{Name: "action", Label: "What", Type: "select", Value: f.typed["action"], Options: actions},
		{Name: "actor", Label: "Who", Type: "text", Value: f.typed["actor"], Error: f.faults["actor"], Class: "search", Example: "address or user id"},
		{Name: "target_type", Label: "To what", Type: "select", Value: f.typed["target_type"], Options: targets},
		{Name: "outcome", Label: "How it came out", Type: "select", Value: f.typed["outcome"], Options: []option{{"Either way", ""}, {"Done", "success"}, {"Refused", "refused"}}},
		{Name: "from", Label: "From, in UTC", Type: "date", Value: f.typed["from"], Error: f.faults["from"]},
		{Name: "to", Label: "To, in UTC", Type: "date", Value: f.typed["to"], Error: f.faults["to"]},
	}
}

// auditGroups are the groups of actions.
var auditGroups = []option{{"Keys", "key.*"}, {"Organizations", "organization.*"}, {"Members", "member.*"}, {"Users and their links", "user.*"},
	{"Sessions", "session.*"}, {"The audit log", "audit.*"}, {"Nodes", "node.*"}}

// deeds are actions in words.
var deeds = map[audit.Action]string{
	"key.create": "Key created", "key.update": "Key changed", "key.rotate": "Key rotated", "key.delete": "Key deleted", "key.transfer": "Key handed over",
	"key.leaked": "Key reported as leaked", "key.list": "Keys listed", "key.read": "Key looked at", "key.usage": "Usage of a key looked at",
	"organization.create": "Organization opened", "organization.update": "Organization changed", "organization.delete": "Organization deleted",
	"organization.list": "Organizations listed", "organization.read": "Organization looked at", "organization.usage": "Usage looked at",
	"member.create": "Member invited", "member.update": "Role changed", "member.delete": "Member removed", "member.list": "Members listed", "member.read": "Member looked at",
	"user.create": "User created", "user.delete": "User forgotten", "user.link": "Sign-in link made", "user.password": "Password set",
	"user.identity": "Identities changed", "user.read": "Own account looked at",
	"session.create": "Signed in", "session.delete": "Session ended", "session.list": "Sessions listed",
	"audit.read": "Audit log read", "node.list": "Nodes looked at",
}

// deed says what was done; an action that has no words yet is called by its name.
func deed(a audit.Action) string {
	if words, ok := deeds[a]; ok {
		return words
	}
	return string(a)
}

// auditRows returns entries as the list shows them, in the log of an organization or (zero) of all.
func (c *Console) auditRows(v *visit, o organization, entries []audit.Entry) ([]auditRow, error) {
	people, err := c.newPeople(v, o, entries)
	if err != nil {
		return nil, err
	}
	rows := make([]auditRow, len(entries))
	for i, e := range entries {
		row := auditRow{Entry: e, What: deed(e.Action), URL: auditPath(o.id) + "/" + strconv.FormatInt(e.ID, 10), Refused: e.Outcome == audit.Refused,
			Who: people.actor(&e)}
		row.Target, row.TargetURL = people.target(&e)
		rows[i] = row
	}
	return rows, nil
}

// people finds out who is meant by ids in the entries of one page.
type people struct {
	c      *Console
	v      *visit
	within organization
	known  map[int64]string  // e-mail addresses
	asked  map[[2]int64]bool // organizations and users
	there  map[int64]bool    // organizations, whether they are still there
}

// newPeople learns what the entries themselves say, and whoever is still where they did something: who has left is known by that, and who
// has signed in, which is about no organization.
func (c *Console) newPeople(v *visit, within organization, entries []audit.Entry) (*people, error) {
	p := &people{c, v, within, map[int64]string{v.me.User.ID: v.me.User.Email}, map[[2]int64]bool{}, map[int64]bool{}}
	for i := range entries {
		e := &entries[i]
		users := []int64{e.Actor.UserID}
		if isUser(e) {
			users = append(users, e.Target.ID)
			p.learn(e)
		}
		for _, user := range users {
			if err := p.ask(e.OrganizationID, user); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// isUser reports whether an entry is about a user.
func isUser(e *audit.Entry) bool {
	return e.Target.ID != 0 && (e.Target.Type == audit.Member || e.Target.Type == audit.User)
}

// learn takes the e-mail address from an entry that has it.
func (p *people) learn(e *audit.Entry) {
	for _, object := range [][]byte{e.Before, e.After} {
		var said struct{ Email string }
		if json.Unmarshal(object, &said) == nil && said.Email != "" {
			p.known[e.Target.ID] = said.Email
		}
	}
}

// actor says who did it.
func (p *people) actor(e *audit.Entry) string {
	switch {
	case e.Actor.UserID != 0:
		return p.email(e.Actor.UserID)
	case e.RequestID == "":
		return "a command on the server"
	default:
		return "somebody who is not signed in"
	}
}

// target says what it was done to, and where that has a page.
func (p *people) target(e *audit.Entry) (name, url string) {
	id := e.Target.ID
	if id == 0 {
		return "", ""
	}
	name = e.Target.Type + " " + strconv.FormatInt(id, 10)
	switch e.Target.Type {
	case audit.Key:
		return name, keyURL(id)
	case audit.Organization:
		return name, organizationURL(id)
	case audit.Member, audit.User:
		return p.email(id), ""
	default:
		return name, ""
	}
}

// email returns what a user is known by.
func (p *people) email(user int64) string {
	if known, ok := p.known[user]; ok {
		return known
	}
	return userName(user)
}

// ask looks up a user in an organization, once.
func (p *people) ask(organization, user int64) error {
	if p.within.id != 0 {
		organization = p.within.id
	}
	at := [2]int64{organization, user}
	if _, known := p.known[user]; known || p.asked[at] || user == 0 || organization == 0 {
		return nil
	}
	p.asked[at] = true
	there, err := p.isThere(organization)
	if err != nil || !there {
		return err
	}
	email, err := p.c.emailOf(p.v, organization, user)
	if err == nil && email != userName(user) {
		p.known[user] = email
	}
	return err
}

// isThere reports whether an organization has not been deleted since. To ask for it alone would be in the audit log where it has.
func (p *people) isThere(id int64) (bool, error) {
	if id == p.within.id && id != 0 {
		return true, nil
	}
	if known, ok := p.there[id]; ok {
		return known, nil
	}
	found, _, err := p.c.Admin.Organizations(p.v.r.Context(), p.v.caller, admin.OrganizationList{Before: id + 1, Limit: 1})
	p.there[id] = len(found) == 1 && found[0].ID == id
	return p.there[id], err
}
