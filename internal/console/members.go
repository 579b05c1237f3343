package console

import (
	"net/http"
	"strconv"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
)

// pageMembers is the template of this page.
const pageMembers = "members"

const (
	membersPattern = organizationPattern + "/members"
	memberPattern  = membersPattern + "/{user_id}"
)

// memberPages are those of the members of an organization. Patterns that name a word come before those that take any.
func (c *Console) memberPages() []Page {
	return []Page{
		c.page(http.MethodGet, membersPattern, c.signedIn(c.members)),
		c.page(http.MethodGet, membersPattern+"/invite", c.signedIn(c.inviteForm)),
		c.page(http.MethodPost, membersPattern+"/invite", c.signedIn(c.invite)),
		c.page(http.MethodGet, memberPattern, c.signedIn(c.member)),
		c.page(http.MethodPost, memberPattern, c.signedIn(c.changeRole)),
		c.page(http.MethodGet, memberPattern+"/remove", c.signedIn(c.removeMemberForm)),
		c.page(http.MethodPost, memberPattern+"/remove", c.signedIn(c.removeMember)),
	}
}

// What has been done.
const (
	noteMemberAdded   note = "member-added"
	noteMemberMailed  note = "member-mailed"
	noteRoleChanged   note = "role-changed"
	noteMemberRemoved note = "member-removed"
	noteLeft          note = "left"
	noteInvitedBefore note = "invited-before"
)

var memberNotes = map[note]string{
	noteMemberAdded:   "They are a member now. They have an account already, and see the organization the next time that they look.",
	noteMemberMailed:  "They are a member now. Where they had no account yet, a link to sign in with was mailed to them.",
	noteRoleChanged:   "The role is changed. It holds from the next request on.",
	noteMemberRemoved: "They are no member any more, from the next request on.",
	noteLeft:          "You have left the organization.",
	noteInvitedBefore: "This was sent twice and done once: they are a member. Where they need a link to sign in with, it was in the first answer, or in a mail.",
}

// membersPage is what the list of members says.
type membersPage struct {
	Organization string
	Action       string // where the search is sent
	Search       field
	Filtered     bool // not all members are meant
	Members      []memberRow
	First, Next  string // addresses of other pages; "": there are none
	Invite       string // address of the page to invite somebody; "": the reader may not
	Changes      bool   // the reader may change somebody
}

// memberRow is a member in the list.
type memberRow struct {
	key.Membership
	URL  string // of the member's page; "": there is nothing to do for the reader
	Self bool
}

// membersShown is how many members one page shows.
const membersShown = 50

// members shows the list.
func (c *Console) members(v *visit) error {
	_, o, err := c.findOrganization(v)
	if err != nil {
		return err
	}
	q := v.r.URL.Query()
	wanted := admin.MemberList{OrganizationID: o.id, EmailContains: text(q.Get("q")), Limit: membersShown}
	wanted.Before, _ = strconv.ParseInt(q.Get("before"), 10, 64) // anything else is the first page
	found, more, err := c.Admin.Members(v.r.Context(), v.caller, wanted)
	if err != nil {
		return err
	}
	list := sectionMembers.path(o.id)
	p := membersPage{Organization: o.name, Changes: o.manages, Action: list, Filtered: wanted.EmailContains != "",
		Search: field{Name: "q", Label: "Search by e-mail address", Type: "search", Value: wanted.EmailContains, Class: "search"}}
	for _, m := range found {
		row := memberRow{Membership: m, Self: m.UserID == v.me.User.ID}
		if row.Self || v.mayChange(o, m.Role) {
			row.URL = memberURL(o.id, m.UserID)
		}
		p.Members = append(p.Members, row)
	}
	if wanted.Before != 0 {
		p.First = searchAddress(list, wanted.EmailContains, 0)
	}
	if more {
		p.Next = searchAddress(list, wanted.EmailContains, found[len(found)-1].UserID)
	}
	if o.manages {
		p.Invite = list + "/invite"
	}
	return c.show(v, http.StatusOK, pageMembers, frame{Title: "Members", Section: sectionMembers, Organization: o.id, Main: p})
}

// memberURL returns the address of a member's page.
func memberURL(organization, user int64) string {
	return sectionMembers.path(organization) + "/" + strconv.FormatInt(user, 10)
}

// mayChange reports whether the reader may change somebody with a role in an organization, so that pages offer it.
func (v *visit) mayChange(o organization, role key.Role) bool {
	return v.me.User.InstanceAdmin || o.manages && role <= o.role
}

// roleTexts say what a role allows.
var roleTexts = map[key.Role]string{
	key.Viewer: "sees the organization and its members, and holds keys that read",
	key.Member: "also holds keys that create, update and delete",
	key.Admin:  "also holds keys that manage, and looks after everybody's keys, members and the audit log",
	key.Owner:  "also looks after owners, and may delete the organization",
}

// roleChoice is a role that can be chosen.
type roleChoice struct {
	Name, Text string
	Checked    bool
}

// roleChoices are the roles that the reader can give in an organization.
func (v *visit) roleChoices(o organization, chosen string) (all []roleChoice) {
	for role := key.Viewer; role <= key.Owner; role++ {
		if v.mayChange(o, role) {
			all = append(all, roleChoice{role.String(), roleTexts[role], role.String() == chosen})
		}
	}
	return all
}

// wrongRole is what is said where none of them was chosen.
const wrongRole = "Choose one of these."
