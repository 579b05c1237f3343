package console

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
)

// pageNewKey is the template of this page.
const pageNewKey = "key-new"

const newKeyPath = "/keys/new"

// newKeyPage is what the page to create a key says.
type newKeyPage struct {
	Action       string
	Organization field // to be chosen where there are several
	Only         string
	Form         keyForm
	Once         string
	Back         string
}

func (c *Console) newKey(v *visit) error {
	chosen, err := c.organizationFor(v, v.r.URL.Query().Get("organization"))
	if err != nil {
		return err
	}
	return c.showNewKey(v, http.StatusOK, chosen, newKeyPage{Form: newKeyForm(), Once: newOnce()})
}

// organizationFor returns the organization whose id is given, or the one that was looked at last.
func (c *Console) organizationFor(v *visit, typed string) (organization, error) {
	if typed == "" {
		if chosen := v.chosen(0); chosen.id == 0 {
			return chosen, nil
		}
		typed = strconv.FormatInt(v.chosen(0).id, 10)
	}
	id, err := strconv.ParseInt(typed, 10, 64)
	if err != nil || id <= 0 {
		return organization{}, &key.Error{Code: key.NotFound, Detail: "there is no such organization"}
	}
	return c.lookAt(v, id)
}

// showNewKey shows the page for an organization with what is in p.
func (c *Console) showNewKey(v *visit, status int, chosen organization, p newKeyPage) error {
	p.Action, p.Back = newKeyPath, keysOf(chosen.id)
	p.Organization = field{Name: "organization_id", Label: "Organization", Type: "select", Value: strconv.FormatInt(chosen.id, 10),
		Error: p.Form.fault("/organization_id")}
	listed := false
	for _, m := range v.me.Memberships {
		p.Organization.Options = append(p.Organization.Options, option{m.OrganizationName, strconv.FormatInt(m.OrganizationID, 10)})
		listed = listed || m.OrganizationID == chosen.id
	}
	if !listed && chosen.id != 0 {
		p.Organization.Options = append(p.Organization.Options, option{chosen.name, p.Organization.Value})
	}
	if len(p.Organization.Options) == 1 && p.Organization.Error == "" {
		p.Only = chosen.name
	}
	return c.show(v, status, pageNewKey, frame{Title: "Create a key", Section: sectionKeys, Organization: chosen.id, Main: p})
}

// createKey creates a key, and shows its token.
func (c *Console) createKey(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	p := newKeyPage{Form: v.readKeyForm(nil), Once: v.r.PostForm.Get(onceField)}
	chosen, err := c.organizationFor(v, v.typed("organization_id"))
	if isCode(err, key.NotFound) && len(v.me.Memberships) > 0 { // it has gone, or the reader has left it, since the form was opened
		p.Form.blame("/organization_id", "the one that was chosen is not there any more, or not yours to see: choose where the key is to be")
		return c.showNewKey(v, http.StatusUnprocessableEntity, v.chosen(0), p)
	}
	if err != nil {
		return err
	}
	if v.typed("more") != "" {
		p.Form.limits = append(p.Form.limits, emptyLimit)
		return c.showNewKey(v, http.StatusOK, chosen, p)
	}
	draft := p.Form.draft(chosen.id, c.Now())
	made, err := c.tokens.once(v, func(caller admin.Caller) (shownToken, error) {
		if len(p.Form.faults) > 0 { // and whatever else is wrong
			more, err := c.Admin.CheckDraft(v.r.Context(), v.caller, draft)
			p.Form.faults = append(p.Form.faults, more...)
			if err == nil {
				err = &key.Error{Code: key.Invalid}
			}
			return shownToken{}, err
		}
		k, token, err := c.Admin.CreateKey(v.whole(), caller, draft)
		return shown(&k, token), err
	})
	if id, ok := doneBefore(err); ok {
		v.goTo(keyURL(id), noteCreatedBefore)
		return nil
	}
	switch rule, _ := errors.AsType[*key.Error](err); {
	case err == nil:
		return c.showToken(v, made)
	case rule == nil:
		return err
	case rule.Code == key.Invalid:
		p.Form.faults = append(p.Form.faults, rule.Faults...)
		return c.showNewKey(v, http.StatusUnprocessableEntity, chosen, p)
	case rule.Code == key.Forbidden: // the role rules out a scope
		p.Form.blame("/key_scope", rule.Detail)
		return c.showNewKey(v, http.StatusForbidden, chosen, p)
	default:
		return err
	}
}
