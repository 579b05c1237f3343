package console

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
)

// keyForm is the form of everything about a key that can be chosen: as it was typed, and with what is wrong with it.
type keyForm struct {
	name      string
	scopes    key.Scopes
	expiry    string // one of the expiries
	date      string // as browsers write it: "2026-12-31"
	limits    []limitTyped
	quota     string // requests
	period    string
	addresses string // one in a line
	metadata  string // JSON

	faults  []key.Fault
	present *key.Key // that is changed; nil: one is created
}

// limitTyped is a limit as it was typed. One without requests is none.
type limitTyped struct{ name, requests, count, unit string }

// What can be chosen of expiries, and how many days that is.
const (
	expiryKeep  = "keep" // as it is
	expiryDate  = "date"
	expiryNever = "never"
)

var expiryDays = map[string]int{"30": 30, "90": 90, "365": 365}

// dateLayout is how browsers write dates.
const dateLayout = "2006-01-02"

// unit is what windows of limits are counted in.
type unit struct {
	name   string
	length time.Duration
}

var units = []unit{{"second", time.Second}, {"minute", time.Minute}, {"hour", time.Hour}, {"day", 24 * time.Hour}}

// newKeyForm is the form of a key that has not been thought about: it may read, and not for ever.
func newKeyForm() keyForm {
	return keyForm{scopes: key.ScopesOf(key.Read), expiry: "90", limits: []limitTyped{emptyLimit}, period: key.Month.String()}
}

// emptyLimit is a row for another limit.
var emptyLimit = limitTyped{count: "1", unit: "minute"}

// formOf is the form of a key as it is.
func formOf(k key.Key) keyForm {
	f := keyForm{name: k.Name, scopes: k.Scopes, expiry: expiryKeep, period: key.Month.String(), metadata: string(k.Metadata), present: &k}
	for _, l := range k.Limits {
		u := units[0]
		for _, larger := range units {
			if l.Window%larger.length == 0 {
				u = larger
			}
		}
		f.limits = append(f.limits, limitTyped{l.Name, strconv.FormatInt(l.Requests, 10), strconv.FormatInt(int64(l.Window/u.length), 10), u.name})
	}
	if len(f.limits) == 0 {
		f.limits = []limitTyped{emptyLimit}
	}
	if k.Quota != (key.Quota{}) {
		f.quota, f.period = strconv.FormatInt(k.Quota.Requests, 10), k.Quota.Period.String()
	}
	lines := make([]string, len(k.AllowedCIDRs))
	for i, p := range k.AllowedCIDRs {
		lines[i] = p.String()
	}
	f.addresses = strings.Join(lines, "\n")
	return f
}

// readKeyForm reads what was typed.
func (v *visit) readKeyForm(present *key.Key) keyForm {
	f := keyForm{name: v.typed("key_name"), expiry: v.typed("expiry"), date: v.typed("expiry_date"), quota: strings.TrimSpace(v.typed("quota")),
		period: v.typed("quota_period"), addresses: v.typed("allowed_cidrs"), metadata: strings.TrimSpace(v.typed("metadata")), present: present}
	for _, name := range v.r.PostForm["key_scope"] {
		s, _ := key.ParseScope(name) // anything else is none
		f.scopes |= key.Scopes(s)
	}
	names, counts, kinds := v.r.PostForm["limit_name"], v.r.PostForm["limit_count"], v.r.PostForm["limit_unit"]
	for i, requests := range v.r.PostForm["limit_requests"] {
		l := limitTyped{name: at(names, i), requests: text(requests), count: at(counts, i), unit: at(kinds, i)}
		f.limits = append(f.limits, l)
	}
	f.limits = f.limits[:min(len(f.limits), key.MaxLimits+1)] // one more than there may be, so that it is said
	return f
}

// at returns the text at a place, "" where there is none.
func at(texts []string, i int) string {
	if i >= len(texts) {
		return ""
	}
	return text(texts[i])
}

// text is what somebody has typed into a field of one line.
func text(typed string) string { return strings.TrimSpace(strings.ToValidUTF8(typed, "\uFFFD")) }

// sameName reports whether somebody has typed a name. Pages show any white space as one blank, so that is as good.
func sameName(typed, name string) bool {
	return strings.Join(strings.Fields(typed), " ") == strings.Join(strings.Fields(name), " ")
}

// blame notes what is wrong with a field.
func (f *keyForm) blame(pointer, detail string) {
	f.faults = append(f.faults, key.Fault{Pointer: pointer, Detail: detail})
}

// draft returns the key that the form describes. What cannot be read is in faults afterwards.
func (f *keyForm) draft(organization int64, now time.Time) key.Draft {
	return key.Draft{Name: f.name, Scopes: f.scopes, OrganizationID: organization, Enabled: true, ExpiresAt: f.expires(now), Metadata: f.object(),
		Restrictions: f.restrictions()}
}

// expires returns when the key is to end; the zero time: never.
func (f *keyForm) expires(now time.Time) time.Time {
	switch days, ok := expiryDays[f.expiry]; {
	case ok:
		return now.AddDate(0, 0, days)
	case f.expiry == expiryNever:
		return time.Time{}
	case f.expiry == expiryKeep && f.present != nil:
		return f.present.ExpiresAt
	case f.expiry != expiryDate:
		f.blame("/expires_at", "must be one of these")
		return time.Time{}
	}
	day, err := time.Parse(dateLayout, f.date)
	if err != nil {
		f.blame("/expires_at", "must be a date")
		return time.Time{}
	}
	return day.AddDate(0, 0, 1) // until its end
}

// object returns the metadata as JSON; nil: there is none.
func (f *keyForm) object() []byte {
	if f.metadata == "" {
		return nil
	}
	return []byte(f.metadata)
}

// restrictions returns limits, quota and addresses.
func (f *keyForm) restrictions() (r key.Restrictions) {
	for i, l := range f.limits {
		if l.requests == "" {
			continue
		}
		limit := key.Limit{Name: l.name, Requests: f.number(fmt.Sprintf("/limits/%d/requests", len(r.Limits)), l.requests)}
		if limit.Name == "" {
			limit.Name = key.DefaultLimitName
			if i > 0 {
				limit.Name = "limit-" + strconv.Itoa(i+1)
			}
		}
		count := f.number(fmt.Sprintf("/limits/%d/window_seconds", len(r.Limits)), l.count)
		for _, u := range units {
			if u.name == l.unit && count <= int64(key.MaxWindow/u.length) {
				limit.Window = time.Duration(count) * u.length
			}
		}
		r.Limits = append(r.Limits, limit)
	}
	if f.quota != "" {
		r.Quota.Requests = f.number("/quota/requests", f.quota)
		r.Quota.Period, _ = key.ParsePeriod(f.period) // anything else is for ever
	}
	r.AllowedCIDRs = f.blocks()
	return r
}

// number reads a whole number; digits may be in groups.
func (f *keyForm) number(pointer, typed string) int64 {
	n, err := strconv.ParseInt(strings.NewReplacer(" ", "", ",", "", "_", "", "'", "", "\u00a0", "", "\u202f", "").Replace(typed), 10, 64)
	if err != nil {
		f.blame(pointer, "must be a whole number")
		return 1
	}
	return n
}

// blocks reads the addresses.
func (f *keyForm) blocks() (blocks []netip.Prefix) {
	for _, line := range strings.FieldsFunc(f.addresses, func(r rune) bool { return strings.ContainsRune(" \t\r\n,;", r) }) {
		block, detail := key.ParseCIDR(line)
		if detail != "" {
			f.blame("/allowed_cidrs", fmt.Sprintf("%q %s", line, detail))
			continue
		}
		blocks = append(blocks, block)
	}
	return blocks
}

// fault returns what is wrong with a field, or with one below it where it ends in a slash; "": nothing.
func (f *keyForm) fault(pointer string) string {
	for _, fault := range f.faults {
		if fault.Pointer == pointer || strings.HasSuffix(pointer, "/") && strings.HasPrefix(fault.Pointer, pointer) {
			return sentence(fault.Detail)
		}
	}
	return ""
}

// What the template shows.

// Problem says at the top of the form that something further down is wrong; "": nothing is.
func (f keyForm) Problem() string {
	if len(f.faults) == 0 {
		return ""
	}
	return "Nothing was done: put right what is marked below, and send it again."
}

// Name is the field for the key's name.
func (f keyForm) Name() field {
	return field{Name: "key_name", Label: "Name", Type: "text", Value: f.name, Required: true, Error: f.fault("/key_name"),
		Focus: f.present == nil && f.faults == nil || f.fault("/key_name") != "", Hint: "What the key is for, so that you know it again: “Backend, production”."}
}

// scopeTexts say what the scopes allow.
var scopeTexts = map[key.Scope]string{
	key.Read:   "Look at things: GET, HEAD and OPTIONS requests",
	key.Create: "Create things: POST requests",
	key.Update: "Change things: PUT and PATCH requests",
	key.Delete: "Delete things: DELETE requests",
	key.Manage: "Manage accounts: organizations and who is a member of them. Few programs need it",
}

// choice is what can be checked.
type choice struct {
	Name, Value, Text string
	Checked           bool
	Long              bool // its name takes a line of its own
}

// Scopes are what can be chosen of them.
func (f keyForm) Scopes() (choices []choice) {
	for _, name := range key.AllScopes.Names() {
		s, _ := key.ParseScope(name)
		choices = append(choices, choice{Name: name, Value: name, Text: scopeTexts[s], Checked: f.scopes.Has(s)})
	}
	return choices
}

// ScopesError says what is wrong with the scopes.
func (f keyForm) ScopesError() string { return f.fault("/key_scope") }

// Expiries are what can be chosen of them, but for the date.
func (f keyForm) Expiries() (choices []choice) {
	all := []choice{{Name: "30 days", Value: "30"}, {Name: "90 days", Value: "90"}, {Name: "1 year", Value: "365"}, {Name: "Never", Value: expiryNever}}
	if f.present != nil {
		keep := choice{Name: "As it is: never", Value: expiryKeep, Long: true}
		if at := f.present.ExpiresAt; !at.IsZero() {
			keep.Name = "As it is: " + when(at)
		}
		all = append([]choice{keep}, all...)
	}
	for _, c := range all {
		c.Checked = c.Value == f.expiry
		choices = append(choices, c)
	}
	return choices
}

// AtDate reports whether the key is to end on a date.
func (f keyForm) AtDate() bool { return f.expiry == expiryDate }

// Date is the date that was typed.
func (f keyForm) Date() string { return f.date }

// ExpiryError says what is wrong with the expiry.
func (f keyForm) ExpiryError() string { return f.fault("/expires_at") }

// limitRow is a limit with its fields.
type limitRow struct {
	Number int
	Fields []field
	Error  string // ""; nothing is wrong
}

// ErrorID is where it is said what is wrong.
func (r limitRow) ErrorID() string { return "limit-" + strconv.Itoa(r.Number) + "-error" }

// Limits are the limits, and room for another one.
func (f keyForm) Limits() (rows []limitRow) {
	unitNames := make([]option, len(units))
	for i, u := range units {
		unitNames[i] = option{u.name + "s", u.name}
	}
	kept := 0 // as faults count
	for i, l := range f.limits {
		row := limitRow{Number: i + 1}
		id := func(name string) string { return name + "-" + strconv.Itoa(row.Number) }
		pointer := fmt.Sprintf("/limits/%d/", kept)
		blamed := func(member string) string {
			if l.requests == "" || f.fault(pointer+member) == "" {
				return ""
			}
			return row.ErrorID()
		}
		if l.requests != "" {
			row.Error = f.fault(pointer)
			kept++
		}
		row.Fields = []field{
			{Name: "limit_requests", Key: id("limit_requests"), Label: "Requests", Type: "text", Mode: "numeric", Value: l.requests, Blamed: blamed("requests")},
			{Name: "limit_count", Key: id("limit_count"), Label: "in", Type: "text", Mode: "numeric", Value: l.count, Class: "short", Blamed: blamed("window_seconds")},
			{Name: "limit_unit", Key: id("limit_unit"), Label: "Unit", Type: "select", Value: l.unit, Options: unitNames},
			{Name: "limit_name", Key: id("limit_name"), Label: "Called", Type: "text", Value: l.name, Blamed: blamed("name")},
		}
		rows = append(rows, row)
	}
	return rows
}

// LimitsError says what is wrong with all limits together.
func (f keyForm) LimitsError() string { return f.fault("/limits") }

// MoreLimits reports whether there may be another limit.
func (f keyForm) MoreLimits() bool { return len(f.limits) < key.MaxLimits }

// Quota are the fields of the quota.
func (f keyForm) Quota() []field {
	return []field{
		{Name: "quota", Label: "Requests", Type: "text", Mode: "numeric", Value: f.quota, Error: f.fault("/quota/requests")},
		{Name: "quota_period", Label: "in each", Type: "select", Value: f.period, Options: []option{{"month", "month"}, {"day", "day"}, {"lifetime of the key", ""}}},
	}
}

// Addresses is the field of those that the key may be used from.
func (f keyForm) Addresses() field {
	return field{Name: "allowed_cidrs", Label: "Addresses", Type: "textarea", Rows: 3, Value: f.addresses, Error: f.fault("/allowed_cidrs"),
		Hint: "One in a line, such as 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32. From anywhere else the key is refused. Empty: from anywhere."}
}

// Metadata is the field of what programs keep with a key.
func (f keyForm) Metadata() field {
	return field{Name: "metadata", Label: "Metadata", Type: "textarea", Rows: 3, Value: f.metadata, Error: f.fault("/metadata"),
		Hint: `A JSON object that your services get with every check, such as {"plan": "pro"}.`}
}

// Restricted reports whether limits, a quota or addresses are given, or wrong, so that they are to be seen at once.
func (f keyForm) Restricted() bool {
	for _, l := range f.limits {
		if l.requests != "" || l == (limitTyped{}) {
			return true
		}
	}
	return len(f.limits) > 1 || f.quota != "" || f.addresses != "" || f.fault("/limits") != "" || f.fault("/allowed_cidrs") != ""
}

// Described reports whether there is metadata.
func (f keyForm) Described() bool { return f.metadata != "" || f.fault("/metadata") != "" }
