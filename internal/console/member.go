package console

import (
	"errors"
	"net/http"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
)

// The templates of these pages.
const (
	pageMember       = "member"
	pageRemoveMember = "member-remove"
)

// memberPage is what the page of one member says, and the one to remove them.
type memberPage struct {
	Problem string // what is wrong with no field; "": nothing
	key.Membership
	Self         bool
	Organization string
	URL, Back    string
	Roles        []roleChoice // none: the reader may not change it
	RoleError    string
	Remaining    remaining
	MayRemove    bool
}

// remaining are the keys that somebody could no longer create, and what may become of them.
type remaining struct {
	Keys     []key.Key // some of them
	More     string    // how many there are beside; "": none
	Transfer bool      // they can become the reader's
	Error    string    // why it cannot be done as was chosen; "": nothing was, or it can
	Chosen   string
}

// remainingShown is how many keys are named.
const remainingShown = 20

// choices are what may become of keys.
var choices = map[string]admin.Remaining{"": admin.NotSaid, "delete": admin.Deleted, "transfer": admin.ToCaller}

// findMember returns the member that the path names, and the organization.
func (c *Console) findMember(v *visit) (memberPage, organization, error) {
	_, o, err := c.findOrganization(v)
	if err != nil {
		return memberPage{}, o, err
	}
	id, err := v.id("user_id")
	if err != nil {
		return memberPage{}, o, err
	}
	m, err := c.Admin.Member(v.r.Context(), v.caller, o.id, id)
	p := memberPage{Membership: m, Self: m.UserID == v.me.User.ID, Organization: o.name, URL: memberURL(o.id, id), Back: sectionMembers.path(o.id)}
	p.Remaining.Transfer = !p.Self
	p.MayRemove = p.Self || v.mayChange(o, m.Role)
	return p, o, err
}

// member shows one member.
func (c *Console) member(v *visit) error {
	p, o, err := c.findMember(v)
	if err != nil {
		return err
	}
	return c.showMember(v, http.StatusOK, o, p.Role.String(), p)
}

func (c *Console) showMember(v *visit, status int, o organization, role string, p memberPage) error {
	if v.mayChange(o, p.Role) {
		p.Roles = v.roleChoices(o, role)
	}
	return c.show(v, status, pageMember, frame{Title: p.Email, Section: sectionMembers, Organization: o.id, Main: p})
}

// changeRole gives a member another role. Where keys are in the way, the page comes back and asks what becomes of them.
func (c *Console) changeRole(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	p, o, err := c.findMember(v)
	if err != nil {
		return err
	}
	typed := v.typed("role")
	role, known := key.ParseRole(typed)
	if !known {
		p.RoleError = wrongRole
		return c.showMember(v, http.StatusUnprocessableEntity, o, "", p)
	}
	_, err = c.Admin.UpdateMember(v.whole(), v.caller, o.id, p.UserID, role, choices[v.typed("keys")])
	if err == nil {
		v.goTo(p.Back, noteRoleChanged)
		return nil
	}
	status, err := c.explain(v, err, &p)
	if err != nil {
		return err
	}
	return c.showMember(v, status, o, typed, p)
}

func (c *Console) removeMemberForm(v *visit) error {
	p, o, err := c.findMember(v)
	if err != nil {
		return err
	}
	if !p.MayRemove {
		return &key.Error{Code: key.Forbidden, Detail: "only admins and owners of the organization remove others, and nobody those above them"}
	}
	return c.showRemoveMember(v, http.StatusOK, o, p)
}

func (c *Console) showRemoveMember(v *visit, status int, o organization, p memberPage) error {
	title := "Remove a member"
	if p.Self {
		title = "Leave the organization"
	}
	return c.show(v, status, pageRemoveMember, frame{Title: title, Section: sectionMembers, Organization: o.id, Narrow: true, Main: p})
}

// removeMember ends a membership. Where keys are in the way, the page comes back and asks what becomes of them.
func (c *Console) removeMember(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	p, o, err := c.findMember(v)
	if err != nil {
		return err
	}
	err = c.Admin.RemoveMember(v.whole(), v.caller, o.id, p.UserID, choices[v.typed("keys")])
	switch {
	case err == nil && p.Self:
		v.goTo(accountPath, noteLeft)
		return nil
	case err == nil:
		v.goTo(p.Back, noteMemberRemoved)
		return nil
	}
	status, err := c.explain(v, err, &p)
	if err != nil {
		return err
	}
	return c.showRemoveMember(v, status, o, p)
}

// explain puts into p why a change to a member was refused. What the page cannot explain is returned.
func (c *Console) explain(v *visit, err error, p *memberPage) (status int, _ error) {
	rule, _ := errors.AsType[*key.Error](err)
	p.Remaining.Chosen = v.typed("keys")
	switch {
	case rule == nil:
		return 0, err
	case rule.Code == key.KeysRemain:
		if v.r.PostForm.Has("keys") || v.r.PostForm.Has("asked") {
			p.Remaining.Error = wrongRole
		}
		return http.StatusConflict, c.nameKeys(v, rule.KeyIDs, &p.Remaining)
	case rule.Code == key.Conflict:
		p.Problem = "This is the last owner, and an organization always has one. Make somebody else an owner first."
		return http.StatusConflict, nil
	case rule.Code == key.Invalid, rule.Code == key.Forbidden && p.MayRemove:
		p.Problem = sentence(rule.Detail)
		if len(rule.Faults) > 0 {
			p.Problem = sentence(rule.Faults[0].Detail)
		}
		return http.StatusForbidden, nil
	default:
		return 0, err
	}
}

// nameKeys puts the keys with some ids into what remains.
func (c *Console) nameKeys(v *visit, ids []int64, r *remaining) error {
	for _, id := range ids[:min(len(ids), remainingShown)] {
		k, err := c.Admin.Key(v.r.Context(), v.caller, id)
		if err != nil {
			return err
		}
		r.Keys = append(r.Keys, k)
	}
	if more := len(ids) - len(r.Keys); more > 0 {
		r.More = count(int64(more))
	}
	return nil
}
