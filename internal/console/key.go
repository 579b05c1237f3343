package console

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
)

// pageKey is the template of this page.
const pageKey = "key"

const keyPattern = "/keys/{key_id}"

// keyPage is what the page of one key says.
type keyPage struct {
	key.Key
	State        keyState
	Organization string
	Owner        string
	URL          string // of this page
	Back         string // of the list
	Limits       []string
	QuotaText    string // "": none
	Chart        chart
	Audited      bool // the reader may see what was done to it
	Trail        []trailRow
	TrailURL     string
}

// trailRow is something that was done to a key.
type trailRow struct {
	audit.Entry
	What, Who string
	Changed   string // what is different since
}

// trailShown is how much of its audit trail a key's page shows.
const trailShown = 10

// key shows everything about a key.
func (c *Console) key(v *visit) error {
	k, o, err := c.findKey(v)
	if err != nil {
		return err
	}
	p := keyPage{Key: k, State: stateOf(&k, c.Now()), Organization: o.name, URL: keyURL(k.ID), Back: keysOf(o.id), Audited: o.manages}
	if p.Owner, err = c.emailOf(v, o.id, k.UserID); err != nil {
		return err
	}
	for _, l := range k.Limits {
		p.Limits = append(p.Limits, l.Name+": "+count(l.Requests)+" in "+windowText(l.Window))
	}
	p.QuotaText = quotaText(&k, c.Now())
	used, err := c.Admin.KeyUsage(v.r.Context(), v.caller, k.ID, v.usageRange())
	if err != nil {
		return err
	}
	p.Chart = newChart(used, p.URL)
	if o.manages {
		p.TrailURL = sectionAudit.path(o.id) + "?target_type=key&target_id=" + strconv.FormatInt(k.ID, 10)
		if p.Trail, err = c.trail(v, &k); err != nil {
			return err
		}
	}
	return c.show(v, http.StatusOK, pageKey, frame{Title: k.Name, Section: sectionKeys, Organization: o.id, Main: p})
}

// findKey returns the key that the path names, and its organization.
func (c *Console) findKey(v *visit) (key.Key, organization, error) {
	id, err := v.id("key_id")
	if err != nil {
		return key.Key{}, organization{}, err
	}
	k, err := c.Admin.Key(v.r.Context(), v.caller, id)
	if err != nil {
		return key.Key{}, organization{}, err
	}
	for _, m := range v.me.Memberships {
		if m.OrganizationID == k.OrganizationID {
			v.looked = memberOf(v.me, m)
			return k, v.looked, nil
		}
	}
	if v.me.User.InstanceAdmin {
		o, err := c.lookAt(v, k.OrganizationID)
		return k, o, err
	}
	// Theirs still, though they are no member any more.
	return k, organization{name: "organization " + strconv.FormatInt(k.OrganizationID, 10)}, nil
}

// trail returns what was done to a key, newest first.
func (c *Console) trail(v *visit, k *key.Key) ([]trailRow, error) {
	entries, _, err := c.Admin.AuditLog(v.r.Context(), v.caller, admin.AuditList{OrganizationID: k.OrganizationID, TargetType: audit.Key,
		TargetID: k.ID, Limit: trailShown})
	if err != nil {
		return nil, err
	}
	rows, known := make([]trailRow, len(entries)), map[int64]string{}
	for i, e := range entries {
		who, ok := known[e.Actor.UserID]
		if !ok {
			if who, err = c.emailOf(v, k.OrganizationID, e.Actor.UserID); err != nil {
				return nil, err
			}
			known[e.Actor.UserID] = who
		}
		rows[i] = trailRow{Entry: e, What: actionText(e), Who: who, Changed: strings.Join(changedFields(e), ", ")}
	}
	return rows, nil
}

// actionTexts say what was done to a key, on its own page.
var actionTexts = map[audit.Action]string{"key.create": "Created", "key.update": "Changed", "key.rotate": "Rotated", "key.delete": "Deleted",
	"key.read": "Looked at"}

// actionText says what an entry is about.
func actionText(e audit.Entry) string {
	text, ok := actionTexts[e.Action]
	if !ok {
		text = string(e.Action)
	}
	if e.Outcome == audit.Refused {
		return text + ": refused"
	}
	return text
}

// windowText is a window of time in words: "1 minute", "90 seconds".
func windowText(d time.Duration) string {
	u := units[0]
	for _, larger := range units {
		if d%larger.length == 0 {
			u = larger
		}
	}
	n := int64(d / u.length)
	if n == 1 {
		return "1 " + u.name
	}
	return count(n) + " " + u.name + "s"
}

// quotaText says what a key's quota is, and how much of it is used; "": there is none.
func quotaText(k *key.Key, now time.Time) string {
	if k.Quota == (key.Quota{}) {
		return ""
	}
	text := count(k.Quota.Requests-k.QuotaRemaining(now)) + " of " + count(k.Quota.Requests) + " used"
	switch k.Quota.Period {
	case key.Day:
		return text + " today"
	case key.Month:
		return text + " this month"
	default:
		return text
	}
}

// count is a number for people: 1234567 is "1,234,567".
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// toKey sends the browser to the page of the key that the path names.
func toKey(v *visit) error {
	id, err := v.id("key_id")
	if err != nil {
		return err
	}
	v.goTo(keyURL(id), "")
	return nil
}

// setKeyState enables or disables a key.
func (c *Console) setKeyState(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	id, err := v.id("key_id")
	if err != nil {
		return err
	}
	enabled, done := v.typed("enabled") == "true", noteDisabled
	if enabled {
		done = noteEnabled
	}
	if _, err := c.Admin.UpdateKey(v.r.Context(), v.caller, id, key.Patch{Enabled: &enabled}); err != nil {
		return err
	}
	v.goTo(keyURL(id), done)
	return nil
}
