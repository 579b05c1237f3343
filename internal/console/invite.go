package console

import (
	"errors"
	"net/http"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/secret"
)

// The templates of these pages.
const (
	pageInvite  = "invite"
	pageInvited = "invited"
)

// invitePage is what the page to invite somebody says.
type invitePage struct {
	Problem      string // what is wrong with no field; "": nothing
	Organization string
	Email        field
	Roles        []roleChoice
	RoleError    string
	Mail         bool // the link is mailed
	Once         string
	Action, Back string
}

// invitation is somebody who was invited.
type invitation struct {
	email string
	role  key.Role
	link  secret.Secret // zero: they have an account, or it was mailed
}

// invitedPage is what the page says that shows a one-time link.
type invitedPage struct{ Email, Role, Link, Organization, Back string }

func (c *Console) inviteForm(v *visit) error {
	_, o, err := c.findOrganization(v)
	if err != nil {
		return err
	}
	if !o.manages {
		return &key.Error{Code: key.Forbidden, Detail: "only admins and owners of the organization invite others"}
	}
	return c.showInvite(v, http.StatusOK, o, key.Viewer.String(), invitePage{Email: field{Focus: true}, Once: newOnce()})
}

// showInvite shows the page with what is in p.
func (c *Console) showInvite(v *visit, status int, o organization, role string, p invitePage) error {
	p.Organization, p.Roles, p.Mail, p.Back = o.name, v.roleChoices(o, role), c.Mail, sectionMembers.path(o.id)
	p.Action = p.Back + "/invite"
	p.Email.Name, p.Email.Label, p.Email.Type, p.Email.Required = "email", "E-mail address", "email", true
	return c.show(v, status, pageInvite, frame{Title: "Invite somebody", Section: sectionMembers, Organization: o.id, Narrow: true, Main: p})
}

// invite makes somebody a member, and shows the link for their first sign-in where they need one and no mail is sent.
func (c *Console) invite(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	_, o, err := c.findOrganization(v)
	if err != nil {
		return err
	}
	typed := v.typed("role")
	p := invitePage{Email: field{Value: v.typed("email")}, Once: v.r.PostForm.Get(onceField)}
	role, known := key.ParseRole(typed)
	if !known {
		p.RoleError = wrongRole
		return c.showInvite(v, http.StatusUnprocessableEntity, o, "", p)
	}
	made, err := c.invited.once(v, func(caller admin.Caller) (invitation, error) {
		i, err := c.Admin.InviteMember(v.whole(), caller, o.id, p.Email.Value, role)
		return invitation{i.Email, i.Role, i.Link}, err
	})
	if _, ok := doneBefore(err); ok {
		v.goTo(sectionMembers.path(o.id), noteInvitedBefore)
		return nil
	}
	switch rule, _ := errors.AsType[*key.Error](err); {
	case err == nil:
		return c.showInvited(v, o, made)
	case rule == nil:
		return err
	case rule.Code == key.Invalid && len(rule.Faults) > 0:
		p.Email.Error, p.Email.Focus = sentence(rule.Faults[0].Detail), true
		return c.showInvite(v, http.StatusUnprocessableEntity, o, typed, p)
	case rule.Code == key.Conflict:
		p.Email.Error, p.Email.Focus = "Somebody with this address is a member already. Change their role in the list.", true
		return c.showInvite(v, http.StatusConflict, o, typed, p)
	case rule.Code == key.Forbidden && o.manages: // the role is above the reader's own
		p.RoleError = sentence(rule.Detail)
		return c.showInvite(v, http.StatusForbidden, o, typed, p)
	default:
		return err
	}
}

// showInvited shows the link, which is the answer to the form itself: it is kept nowhere.
func (c *Console) showInvited(v *visit, o organization, i invitation) error {
	list := sectionMembers.path(o.id)
	switch {
	case !i.link.IsZero():
		p := invitedPage{Email: i.email, Role: i.role.String(), Link: c.SignInURL(i.link), Organization: o.name, Back: list}
		return c.show(v, http.StatusCreated, pageInvited, frame{Title: "Invited", Section: sectionMembers, Organization: o.id, Main: p})
	case c.Mail:
		v.goTo(list, noteMemberMailed)
	default:
		v.goTo(list, noteMemberAdded)
	}
	return nil
}
