package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
)

// pageChangeKey is the template of this page.
const pageChangeKey = "key-change"

// changeKeyPage is what the page to change a key says.
type changeKeyPage struct {
	Name, Back string
	Form       keyForm
}

func (c *Console) changeKeyForm(v *visit) error {
	k, o, err := c.findKey(v)
	if err != nil {
		return err
	}
	return c.showChangeKey(v, http.StatusOK, o, formOf(k))
}

func (c *Console) showChangeKey(v *visit, status int, o organization, f keyForm) error {
	p := changeKeyPage{Name: f.present.Name, Back: keyURL(f.present.ID), Form: f}
	return c.show(v, status, pageChangeKey, frame{Title: "Change a key", Section: sectionKeys, Organization: o.id, Main: p})
}

// changeKey changes a key to what was typed.
func (c *Console) changeKey(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	k, o, err := c.findKey(v)
	if err != nil {
		return err
	}
	f := v.readKeyForm(&k)
	if v.typed("more") != "" {
		f.limits = append(f.limits, emptyLimit)
		return c.showChangeKey(v, http.StatusOK, o, f)
	}
	now := c.Now()
	patch := f.patch(&k, now)
	if len(f.faults) > 0 { // and whatever else is wrong
		f.faults = append(f.faults, patch.Check(now)...)
		return c.showChangeKey(v, http.StatusUnprocessableEntity, o, f)
	}
	_, err = c.Admin.UpdateKey(v.r.Context(), v.caller, k.ID, patch)
	switch rule, _ := errors.AsType[*key.Error](err); {
	case err == nil:
		v.goTo(keyURL(k.ID), noteChanged)
		return nil
	case rule == nil:
		return err
	case rule.Code == key.Invalid:
		f.faults = rule.Faults
		return c.showChangeKey(v, http.StatusUnprocessableEntity, o, f)
	case rule.Code == key.Forbidden: // the role of whose key it is rules out a scope
		f.blame("/key_scope", rule.Detail)
		return c.showChangeKey(v, http.StatusForbidden, o, f)
	default:
		return err
	}
}

// patch returns the change from a key as it is to what the form says. What is the same stays out, so that it does not undo what
// somebody else changes meanwhile. What cannot be read is in faults afterwards.
func (f *keyForm) patch(k *key.Key, now time.Time) key.Patch {
	draft := f.draft(k.OrganizationID, now)
	var p key.Patch
	if text(draft.Name) != k.Name {
		p.Name = &draft.Name
	}
	if draft.Scopes != k.Scopes {
		p.Scopes = &draft.Scopes
	}
	if f.expiry != expiryKeep {
		p.ExpiresAt = &draft.ExpiresAt
	}
	if !slices.Equal(draft.Limits, k.Limits) {
		p.Limits = &draft.Limits
	}
	if !slices.Equal(draft.AllowedCIDRs, k.AllowedCIDRs) {
		p.AllowedCIDRs = &draft.AllowedCIDRs
	}
	if draft.Quota != k.Quota {
		p.Quota = &key.QuotaPatch{None: draft.Quota == key.Quota{}, Requests: &draft.Quota.Requests, Period: &draft.Quota.Period}
	}
	var err error
	if p.Metadata, err = mergePatch(k.Metadata, draft.Metadata); err != nil {
		f.blame("/metadata", "must be a JSON object")
	}
	return p
}

// mergePatch returns the JSON merge patch (RFC 7396) that makes one object of another; nil: they are the same. A nil object is {}.
func mergePatch(from, to []byte) ([]byte, error) {
	var old, new map[string]json.RawMessage
	if err := unmarshalObject(from, &old); err != nil {
		return nil, err
	}
	if err := unmarshalObject(to, &new); err != nil {
		return nil, err
	}
	patch := map[string]json.RawMessage{}
	for name := range old {
		if _, stays := new[name]; !stays {
			patch[name] = json.RawMessage("null")
		}
	}
	for name, value := range new {
		change, err := mergeValue(old[name], value)
		if err != nil {
			return nil, err
		}
		if change != nil {
			patch[name] = change
		}
	}
	if len(patch) == 0 {
		return nil, nil
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // it is measured as it is
	err := enc.Encode(patch)
	return bytes.TrimSpace(out.Bytes()), err
}

// mergeValue returns what stands in a merge patch for a member that changes from one value to another; nil: nothing. Objects that
// are in both are merged, others replaced.
func mergeValue(from, to json.RawMessage) (json.RawMessage, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, to); err != nil {
		return nil, err
	}
	to = compact.Bytes()
	switch {
	case bytes.Equal(from, to):
		return nil, nil
	case from != nil && from[0] == '{' && to[0] == '{':
		return mergePatch(from, to)
	default:
		return to, nil
	}
}

// unmarshalObject reads a JSON object; nil is an empty one.
func unmarshalObject(text []byte, into *map[string]json.RawMessage) error {
	if text == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return err
	}
	if *into == nil { // null
		return errors.New("no object")
	}
	return nil
}
