package console

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
)

// pageOrganizations is the template of this page.
const pageOrganizations = "organizations"

const (
	newOrganizationPath = organizationsPath + "/new"
	organizationPattern = organizationsPath + "/{organization_id}"
)

// organizationPages are those of organizations. Patterns that name a word come before those that take any.
func (c *Console) organizationPages() []Page {
	return []Page{
		c.page(http.MethodGet, organizationsPath, c.signedIn(c.organizations)),
		c.page(http.MethodGet, newOrganizationPath, c.signedIn(c.newOrganization)),
		c.page(http.MethodPost, newOrganizationPath, c.signedIn(c.createOrganization)),
		c.page(http.MethodGet, organizationPattern, c.signedIn(c.settings)),
		c.page(http.MethodPost, organizationPattern, c.signedIn(c.changeSettings)),
		c.page(http.MethodGet, organizationPattern+"/delete", c.signedIn(c.deleteOrganizationForm)),
		c.page(http.MethodPost, organizationPattern+"/delete", c.signedIn(c.deleteOrganization)),
	}
}

// What has been done.
const (
	noteOrganizationOpened  note = "organization-opened"
	noteOrganizationChanged note = "organization-changed"
	noteOrganizationDeleted note = "organization-deleted"
)

var organizationNotes = map[note]string{
	noteOrganizationOpened:  "The organization is there, and you are its owner.",
	noteOrganizationChanged: "The organization is changed.",
	noteOrganizationDeleted: "The organization is deleted, and its keys are dead.",
}

// organizationsPage is what the list of organizations says.
type organizationsPage struct {
	All           bool // everybody's, and not the reader's alone
	Search        field
	Filtered      bool
	Organizations []organizationRow
	First, Next   string // addresses of other pages; "": there are none
	New           string // address of the page to open one; "": the reader may not
	AuditLog      string // address of the audit log of all; "": not for the reader
}

// organizationRow is an organization in the list.
type organizationRow struct {
	key.Account
	URL, Keys, Members string
}

// organizationsShown is how many organizations one page shows.
const organizationsShown = 50

// organizations shows the list.
func (c *Console) organizations(v *visit) error {
	q := v.r.URL.Query()
	list := admin.OrganizationList{NameContains: strings.ToValidUTF8(strings.TrimSpace(q.Get("q")), "\uFFFD"), Limit: organizationsShown}
	list.Before, _ = strconv.ParseInt(q.Get("before"), 10, 64) // anything else is the first page
	found, more, err := c.Admin.Organizations(v.r.Context(), v.caller, list)
	if err != nil {
		return err
	}
	p := organizationsPage{All: v.me.User.InstanceAdmin, Filtered: list.NameContains != "",
		Search: field{Name: "q", Label: "Search by name", Type: "search", Value: list.NameContains, Class: "search"}}
	for _, o := range found {
		p.Organizations = append(p.Organizations, organizationRow{o, organizationURL(o.ID), keysOf(o.ID), sectionMembers.path(o.ID)})
	}
	if list.Before != 0 {
		p.First = searchAddress(organizationsPath, list.NameContains, 0)
	}
	if more {
		p.Next = searchAddress(organizationsPath, list.NameContains, found[len(found)-1].ID)
	}
	if v.me.User.InstanceAdmin {
		p.New, p.AuditLog = newOrganizationPath, wholeAuditPath
	}
	return c.show(v, http.StatusOK, pageOrganizations, frame{Title: "Organizations", Section: sectionOrganizations, Main: p})
}

// searchAddress returns the address of a list that is searched for a text, "" for all of it, from what is below an id on, 0 for its
// beginning.
func searchAddress(list, wanted string, before int64) string {
	at := url.Values{}
	if wanted != "" {
		at.Set("q", wanted)
	}
	if before != 0 {
		at.Set("before", strconv.FormatInt(before, 10))
	}
	if len(at) == 0 {
		return list
	}
	return list + "?" + at.Encode()
}

// organizationURL returns the address of an organization's settings.
func organizationURL(id int64) string { return organizationsPath + "/" + strconv.FormatInt(id, 10) }

// organizationForm is what somebody types about an organization, with what is wrong with it.
type organizationForm struct {
	name, externalID       string
	nameError, idError     string
	withExternalID, opened bool
}

func (v *visit) readOrganizationForm() organizationForm {
	return organizationForm{name: v.typed("organization_name"), externalID: v.typed("external_id")}
}

// blame puts what a use case says beside the fields that it is about, and reports whether it was about them.
func (f *organizationForm) blame(err error) (status int, ok bool) {
	rule, _ := errors.AsType[*key.Error](err)
	switch {
	case rule == nil:
		return 0, false
	case rule.Code == key.Invalid:
		for _, fault := range rule.Faults {
			if fault.Pointer == "/external_id" {
				f.idError = sentence(fault.Detail)
			} else {
				f.nameError = sentence(fault.Detail)
			}
		}
		return http.StatusUnprocessableEntity, true
	case rule.Code == key.Conflict:
		f.idError = "Another organization has this one."
		return http.StatusConflict, true
	default:
		return 0, false
	}
}

// fields are those of the form.
func (f *organizationForm) fields() []field {
	all := []field{{Name: "organization_name", Label: "Name", Type: "text", Required: true, Value: f.name, Error: f.nameError,
		Focus: f.nameError != "" || !f.opened && f.idError == ""}}
	if f.withExternalID {
		all = append(all, field{Name: "external_id", Label: "External id", Type: "text", Optional: true, Value: f.externalID, Error: f.idError,
			Focus: f.idError != "" && f.nameError == "", Hint: "What your own system knows this customer by. Your services get it with each check."})
	}
	return all
}

func (c *Console) newOrganization(v *visit) error {
	if !v.me.User.InstanceAdmin {
		return &key.Error{Code: key.Forbidden, Detail: "only instance admins open organizations"}
	}
	return c.showNewOrganization(v, http.StatusOK, organizationForm{}, newOnce())
}

func (c *Console) showNewOrganization(v *visit, status int, f organizationForm, once string) error {
	f.withExternalID = true
	p := confirmPage{Question: "Open an organization", Action: newOrganizationPath, Fields: f.fields(), Button: "Open it", Back: organizationsPath, Once: once,
		Says: []string{"An organization has keys and members of its own. You are its first owner, and can invite others."}}
	return c.show(v, status, pageConfirm, frame{Title: "Open an organization", Section: sectionOrganizations, Narrow: true, Main: p})
}

// createOrganization opens an organization.
func (c *Console) createOrganization(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	f := v.readOrganizationForm()
	o, err := c.Admin.CreateOrganization(v.whole(), v.once(), key.OrganizationDraft{Name: f.name, ExternalID: f.externalID})
	if id, ok := doneBefore(err); ok {
		o.ID, err = id, nil // which is what the first answer leads to, too
	}
	if status, ok := f.blame(err); ok {
		return c.showNewOrganization(v, status, f, v.r.PostForm.Get(onceField))
	}
	if err != nil {
		return err
	}
	v.goTo(organizationURL(o.ID), noteOrganizationOpened)
	return nil
}
