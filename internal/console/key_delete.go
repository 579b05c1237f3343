package console

import (
	"net/http"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
)

// inUse is how long ago a key may have been used to be taken for one that is missed.
const inUse = 24 * time.Hour

func (c *Console) deleteKeyForm(v *visit) error {
	k, o, err := c.findKey(v)
	if err != nil {
		return err
	}
	return c.showDeleteKey(v, http.StatusOK, &k, o, "", "")
}

func (c *Console) showDeleteKey(v *visit, status int, k *key.Key, o organization, typed, wrong string) error {
	p := confirmPage{Question: "Delete the key", Action: keyURL(k.ID) + "/delete", Button: "Delete it", Danger: true, Back: keyURL(k.ID),
		Says: []string{isolated(k.Name) + " (" + k.Hint + ") is dead at once, wherever it is checked, and for good. If you may want it back, disable it instead."}}
	if c.isInUse(k) {
		p.Says = append(p.Says, "It was last used "+ago(c.Now(), k.LastUsedAt)+": whatever uses it will stop working.")
		p.Fields = []field{{Name: "name", Label: "Type its name to delete it all the same", Type: "text", Required: true, Value: typed, Error: wrong, Focus: true}}
	}
	return c.show(v, status, pageConfirm, frame{Title: "Delete a key", Section: sectionKeys, Organization: o.id, Narrow: true, Main: p})
}

func (c *Console) isInUse(k *key.Key) bool {
	return !k.LastUsedAt.IsZero() && c.Now().Sub(k.LastUsedAt) < inUse
}

// deleteKey deletes a key.
func (c *Console) deleteKey(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	k, o, err := c.findKey(v)
	if err != nil {
		return err
	}
	if typed := v.typed("name"); c.isInUse(&k) && !sameName(typed, k.Name) {
		return c.showDeleteKey(v, http.StatusUnprocessableEntity, &k, o, typed, "This is not its name.")
	}
	if err := c.Admin.DeleteKey(v.r.Context(), v.caller, k.ID); err != nil {
		return err
	}
	v.goTo(keysOf(o.id), noteDeleted)
	return nil
}
