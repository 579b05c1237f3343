package console

import (
	"strconv"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/key"
)

// organization is the one that the reader looks at.
type organization struct {
	id      int64 // 0: none
	name    string
	role    key.Role // 0: the reader is no member
	manages bool     // its keys, members and audit log
}

// chosen returns the organization that pages are about: the one with the given id, if any, or the one that was looked at last, or the
// first of the reader's.
func (v *visit) chosen(id int64) organization {
	if id != 0 && v.looked.id == id {
		return v.looked
	}
	if id == 0 {
		id, _ = strconv.ParseInt(browser.Preferred(v.r, browser.Organization), 10, 64) // anything else is none
	}
	memberships := v.me.Memberships
	for _, m := range memberships {
		if m.OrganizationID == id {
			return memberOf(v.me, m)
		}
	}
	if len(memberships) > 0 {
		return memberOf(v.me, memberships[0])
	}
	return organization{}
}

func memberOf(me *admin.Me, m key.Membership) organization {
	return organization{m.OrganizationID, m.OrganizationName, m.Role, me.User.InstanceAdmin || m.Role >= key.Admin}
}

// lookAt makes an organization the one that pages are about, and remembers it. The error is not_found where the reader may not
// see it.
func (c *Console) lookAt(v *visit, id int64) (organization, error) {
	_, o, err := c.lookUp(v, id)
	return o, err
}

// lookUp is lookAt for who wants to know all about the organization.
func (c *Console) lookUp(v *visit, id int64) (key.Account, organization, error) {
	account, err := c.Admin.Organization(v.r.Context(), v.caller, id)
	if err != nil {
		return key.Account{}, organization{}, err
	}
	v.looked = organization{account.ID, account.Name, account.Role, v.me.User.InstanceAdmin || account.Role >= key.Admin}
	if text := strconv.FormatInt(id, 10); browser.Preferred(v.r, browser.Organization) != text {
		v.set(browser.Prefer(browser.Organization, text))
	}
	return account, v.looked, nil
}
