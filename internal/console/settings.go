package console

import (
	"net/http"

	"github.com/apikeyd/apikeyd/internal/key"
)

// pageSettings is the template of this page.
const pageSettings = "settings"

// settingsPage is what the page of one organization says.
type settingsPage struct {
	key.Account
	MetadataText string // "": none
	Fields       []field
	URL          string
	Changes      bool   // the reader may change it
	Delete       string // address of the page to delete it; "": the reader may not
	Leave        string // address of the page to leave it; "": the reader is no member
}

// findOrganization returns the organization that the path names, and what the reader is there.
func (c *Console) findOrganization(v *visit) (key.Account, organization, error) {
	id, err := v.id("organization_id")
	if err != nil {
		return key.Account{}, organization{}, err
	}
	return c.lookUp(v, id)
}

// settings shows everything about an organization.
func (c *Console) settings(v *visit) error {
	account, o, err := c.findOrganization(v)
	if err != nil {
		return err
	}
	return c.showSettings(v, http.StatusOK, &account, o, organizationForm{name: account.Name, externalID: account.ExternalID})
}

func (c *Console) showSettings(v *visit, status int, account *key.Account, o organization, f organizationForm) error {
	f.opened, f.withExternalID = true, v.me.User.InstanceAdmin
	p := settingsPage{Account: *account, Fields: f.fields(), URL: organizationURL(o.id), Changes: o.manages, MetadataText: string(account.Metadata)}
	if v.me.User.InstanceAdmin || o.role == key.Owner {
		p.Delete = p.URL + "/delete"
	}
	if o.role != 0 {
		p.Leave = memberURL(o.id, v.me.User.ID) + "/remove"
	}
	return c.show(v, status, pageSettings, frame{Title: "Settings", Section: sectionSettings, Organization: o.id, Main: p})
}

// changeSettings changes an organization to what was typed.
func (c *Console) changeSettings(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	account, o, err := c.findOrganization(v)
	if err != nil {
		return err
	}
	f := v.readOrganizationForm()
	patch := key.OrganizationPatch{Name: &f.name}
	if v.r.PostForm.Has("external_id") {
		patch.ExternalID = &f.externalID
	}
	_, err = c.Admin.UpdateOrganization(v.r.Context(), v.caller, o.id, patch)
	if status, ok := f.blame(err); ok {
		return c.showSettings(v, status, &account, o, f)
	}
	if err != nil {
		return err
	}
	v.goTo(organizationURL(o.id), noteOrganizationChanged)
	return nil
}

func (c *Console) deleteOrganizationForm(v *visit) error {
	_, o, err := c.findOrganization(v)
	if err != nil {
		return err
	}
	return c.showDeleteOrganization(v, http.StatusOK, o, "", "")
}

func (c *Console) showDeleteOrganization(v *visit, status int, o organization, typed, wrong string) error {
	if !v.me.User.InstanceAdmin && o.role != key.Owner {
		return &key.Error{Code: key.Forbidden, Detail: "only owners of the organization may delete it"}
	}
	p := confirmPage{Question: "Delete the organization", Action: organizationURL(o.id) + "/delete", Button: "Delete it", Danger: true, Back: organizationURL(o.id),
		Says: []string{isolated(o.name) + " goes for good, with everybody's membership and all of its keys: those are refused at once, wherever they are checked.",
			"What was done in it stays in the audit log."},
		Fields: []field{{Name: "name", Label: "Type its name to delete it", Type: "text", Required: true, Value: typed, Error: wrong, Focus: true}}}
	return c.show(v, status, pageConfirm, frame{Title: "Delete an organization", Section: sectionSettings, Organization: o.id, Narrow: true, Main: p})
}

// deleteOrganization deletes an organization.
func (c *Console) deleteOrganization(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	_, o, err := c.findOrganization(v)
	if err != nil {
		return err
	}
	if typed := v.typed("name"); !sameName(typed, o.name) {
		return c.showDeleteOrganization(v, http.StatusUnprocessableEntity, o, typed, "This is not its name.")
	}
	if err := c.Admin.DeleteOrganization(v.whole(), v.caller, o.id); err != nil {
		return err
	}
	v.goTo(organizationsPath, noteOrganizationDeleted)
	return nil
}
