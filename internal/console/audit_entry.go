package console

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
)

// pageAuditEntry is the template of this page.
const pageAuditEntry = "audit-entry"

// auditEntryPage is what the page of one entry says.
type auditEntryPage struct {
	auditRow
	Back        string // of the log
	Same        string // address of what else was done to the same thing; "": it is about no one thing
	First       bool   // there is none before it
	Fields      []auditField
	Came, Went  bool   // it says what came to be, or what it was before it went
	In          string // name of the organization; "": none
	InURL       string
	ActorKeyURL string // "": no key called
	WhoID       string // who it was, where another name is shown; likewise TargetID
	TargetID    string
}

// auditField is what an entry says of one member of the thing that it is about.
type auditField struct {
	Name          string
	Before, After string // "": nothing was said
	Changed       bool
}

// auditEntry shows one entry.
func (c *Console) auditEntry(v *visit) error {
	o, err := c.auditOf(v)
	if err != nil {
		return err
	}
	id, err := v.id("audit_id")
	if err != nil {
		return err
	}
	found, _, err := c.Admin.AuditLog(v.r.Context(), v.caller, admin.AuditList{OrganizationID: o.id, Before: id + 1, Limit: 1})
	switch {
	case err != nil:
		return err
	case len(found) == 0 || found[0].ID != id:
		return &key.Error{Code: key.NotFound, Detail: "there is no such entry, or it is older than entries are kept"}
	}
	rows, err := c.auditRows(v, o, found)
	if err != nil {
		return err
	}
	e := rows[0]
	p := auditEntryPage{auditRow: e, Back: auditPath(o.id), First: e.PreviousHash == audit.Hash{}, Fields: auditFieldsOf(&e.Entry),
		Came: e.Before == nil && e.After != nil, Went: e.Before != nil && e.After == nil}
	if e.Entry.Target.ID != 0 {
		p.Same = p.Back + "?target_type=" + e.Entry.Target.Type + "&target_id=" + strconv.FormatInt(e.Entry.Target.ID, 10)
	}
	if e.OrganizationID != 0 {
		p.In, p.InURL = "organization "+strconv.FormatInt(e.OrganizationID, 10), organizationURL(e.OrganizationID)
		if o.id != 0 {
			p.In = o.name
		}
	}
	if name := userName(e.Actor.UserID); e.Actor.UserID != 0 && e.Who != name {
		p.WhoID = name
	}
	if name := userName(e.Entry.Target.ID); isUser(&e.Entry) && e.Target != name {
		p.TargetID = name
	}
	if e.Actor.KeyID != 0 {
		p.ActorKeyURL = keyURL(e.Actor.KeyID)
	}
	return c.show(v, http.StatusOK, pageAuditEntry, frame{Title: "Audit log, entry " + strconv.FormatInt(id, 10), Section: sectionAudit, Organization: o.id, Main: p})
}

// auditFieldsOf returns what an entry says of the thing that it is about, member by member.
func auditFieldsOf(e *audit.Entry) []auditField {
	var before, after map[string]json.RawMessage
	_ = json.Unmarshal(e.Before, &before) // what is no object has no members
	_ = json.Unmarshal(e.After, &after)
	names := map[string]bool{}
	for _, object := range []map[string]json.RawMessage{before, after} {
		for name := range object {
			names[name] = true
		}
	}
	var all []auditField
	for _, name := range slices.Sorted(maps.Keys(names)) {
		all = append(all, auditField{Name: name, Before: indented(before[name]), After: indented(after[name]),
			Changed: before != nil && after != nil && !bytes.Equal(before[name], after[name])})
	}
	return all
}

// indented is a JSON value for people. A text stands as it is, without its quotes.
func indented(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil && text != "" && string(value) != "null" {
		return text
	}
	var out bytes.Buffer
	if json.Indent(&out, value, "", "  ") != nil {
		return string(value)
	}
	return out.String()
}
