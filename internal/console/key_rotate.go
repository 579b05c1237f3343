package console

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
)

// graces are how long the old token of a key that is rotated may stay good.
var graces = []time.Duration{0, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour}

// usualGrace is what is chosen unless somebody chooses otherwise: long enough to bring a program its new token.
const usualGrace = 24 * time.Hour

func (c *Console) rotateKeyForm(v *visit) error {
	k, o, err := c.findKey(v)
	if err != nil {
		return err
	}
	return c.showRotateKey(v, http.StatusOK, &k, o, "", newOnce())
}

func (c *Console) showRotateKey(v *visit, status int, k *key.Key, o organization, problem, once string) error {
	grace := field{Name: "grace_seconds", Label: "The old one stays good for", Type: "select", Value: strconv.Itoa(seconds(usualGrace)),
		Hint: "Choose “no time at all” where somebody else may have got hold of it."}
	for _, g := range graces {
		name := windowText(g)
		if g == 0 {
			name = "no time at all"
		}
		grace.Options = append(grace.Options, option{name, strconv.Itoa(seconds(g))})
	}
	p := confirmPage{Question: "Rotate the key", Problem: problem, Action: keyURL(k.ID) + "/rotate", Button: "Rotate it", Back: keyURL(k.ID), Once: once,
		Says:   []string{isolated(k.Name) + " gets a new secret, which is shown once. Its name, scopes and limits stay as they are."},
		Fields: []field{grace}}
	return c.show(v, status, pageConfirm, frame{Title: "Rotate a key", Section: sectionKeys, Organization: o.id, Narrow: true, Main: p})
}

// rotateKey gives a key a new token, and shows it.
func (c *Console) rotateKey(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	k, o, err := c.findKey(v)
	if err != nil {
		return err
	}
	given, err := strconv.ParseInt(v.typed("grace_seconds"), 10, 64)
	if err != nil || given < 0 || given > int64(key.MaxGrace/time.Second) {
		return c.showRotateKey(v, http.StatusUnprocessableEntity, &k, o, "Choose how long the old one stays good.", v.r.PostForm.Get(onceField))
	}
	grace := time.Duration(given) * time.Second
	made, err := c.tokens.once(v, func(caller admin.Caller) (shownToken, error) {
		k, token, err := c.Admin.RotateKey(v.whole(), caller, k.ID, grace)
		s := shown(&k, token)
		s.rotated, s.grace = true, grace
		return s, err
	})
	if id, ok := doneBefore(err); ok {
		v.goTo(keyURL(id), noteRotatedBefore)
		return nil
	}
	if rule, ok := errors.AsType[*key.Error](err); ok && rule.Code == key.Forbidden {
		return c.showRotateKey(v, http.StatusForbidden, &k, o, sentence(rule.Detail), v.r.PostForm.Get(onceField))
	}
	if err != nil {
		return err
	}
	return c.showToken(v, made)
}
