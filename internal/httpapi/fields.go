package httpapi

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
)

// This file reads the values that mean something to the domain; value.go reads those of JSON.

// rfc3339 is the form of a time. The standard library takes a few that are none: an hour of one digit, a comma, a zone
// of a day and more (https://go.dev/issue/54580).
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

const wantTime = "must be a time as in RFC 3339, like \"2027-01-31T12:00:00Z\""

func parseTime(text string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || !rfc3339.MatchString(text) {
		return time.Time{}, false
	}
	return t, true
}

// expiry reads an RFC 3339 time at which something ends.
func (v value) expiry() (t time.Time, ok bool) {
	text, ok := v.text(wantTime)
	if !ok {
		return t, false
	}
	if t, ok = parseTime(text); !ok {
		v.fault(wantTime)
		return t, false
	}
	if t.IsZero() { // the domain would take it for none
		v.fault("must be in the future")
		return t, false
	}
	return t, true
}

func (v value) scope() (key.Scope, bool) {
	const want = "must be one of " + key.ScopeList
	text, ok := v.text(want)
	if !ok {
		return 0, false
	}
	s, ok := key.ParseScope(text)
	if !ok {
		detail := want
		if _, known := key.ParseScope(strings.ToUpper(text)); known {
			detail += ", in upper case"
		}
		v.fault(detail)
	}
	return s, ok
}

// scopes reads an array of scopes; what is wrong with an item is said of the item.
func (v value) scopes() (set key.Scopes, ok bool) {
	if v.raw.Kind() != '[' {
		v.fault(fmt.Sprintf("must be an array of %s, not %s", key.ScopeList, kindName(v.raw.Kind())))
		return 0, false
	}
	ok = true
	for _, item := range v.items() {
		s, good := item.scope()
		set |= key.ScopesOf(s)
		ok = ok && good
	}
	return set, ok
}

// externalID reads an id of somebody else's system; the empty text is none.
func (v value) externalID() (string, bool) {
	text, ok := v.string()
	if ok && text == "" {
		v.fault("must not be empty; null is none")
		return "", false
	}
	return text, ok
}

// email reads an e-mail address.
func (v value) email() (string, bool) {
	text, ok := v.string()
	if !ok {
		return "", false
	}
	text = strings.TrimSpace(text)
	if detail := key.CheckEmail(text); detail != "" {
		v.fault(detail)
		return "", false
	}
	return text, true
}

// metadataPatch reads a patch of metadata: an object, or null to clear all. nil is neither.
func (v value) metadataPatch() []byte {
	if v.null() {
		return []byte("null")
	}
	object, _ := v.object()
	return object
}

// role reads a role's name.
func (v value) role() (key.Role, bool) {
	const want = "must be one of " + key.RoleList
	text, ok := v.text(want)
	if !ok {
		return 0, false
	}
	role, ok := key.ParseRole(text)
	if !ok {
		v.fault(want)
	}
	return role, ok
}

// address reads an IP address.
func (v value) address() (netip.Addr, bool) {
	const want = "must be an IPv4 or IPv6 address without a zone, like \"203.0.113.9\""
	text, ok := v.text(want)
	if !ok {
		return netip.Addr{}, false
	}
	a, ok := parseAddress(text)
	if !ok {
		v.fault(want)
	}
	return a, ok
}
