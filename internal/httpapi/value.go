package httpapi

import (
	"bytes"
	"fmt"
	"iter"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/apikeyd/apikeyd/internal/key"
)

// value is one JSON value of a body whose syntax was checked. Its readers return false, and add a fault, where it is
// not what they read.
type value struct {
	raw     jsontext.Value // as sent, without white space around it
	pointer string
	faults  *faults
}

func (v value) fault(detail string) { v.faults.invalid(v.pointer, detail) }

// want adds the fault that v is no such thing.
func (v value) want(what string) {
	v.fault("must be " + what + ", not " + kindName(v.raw.Kind()))
}

func (v value) null() bool { return v.raw.Kind() == 'n' }

// members goes through the members of an object, items through those of an array. Both rely on the check of the
// syntax.
func (v value) members() iter.Seq2[string, value] {
	return func(yield func(string, value) bool) {
		d := v.open()
		for d.PeekKind() == '"' {
			name, err := d.ReadToken()
			if err != nil {
				return
			}
			text := name.String()
			raw, err := d.ReadValue()
			if err != nil || !yield(text, v.inner(string(jsontext.Pointer(v.pointer).AppendToken(text)), raw)) {
				return
			}
		}
	}
}

func (v value) items() iter.Seq2[int, value] {
	return func(yield func(int, value) bool) {
		d := v.open()
		for i := 0; d.PeekKind() != ']'; i++ {
			raw, err := d.ReadValue()
			if err != nil || !yield(i, v.inner(arrayPointer(v.pointer, i), raw)) {
				return
			}
		}
	}
}

func (v value) open() *jsontext.Decoder {
	d := jsontext.NewDecoder(bytes.NewBuffer(v.raw), jsontext.AllowDuplicateNames(true))
	_, _ = d.ReadToken() // the bracket
	return d
}

func (v value) inner(pointer string, raw jsontext.Value) value {
	return value{raw: raw, pointer: pointer, faults: v.faults}
}

func (v value) string() (string, bool) {
	if v.raw.Kind() != '"' {
		v.want("a string")
		return "", false
	}
	text, err := jsontext.AppendUnquote(nil, v.raw)
	if err != nil {
		v.want("a string")
		return "", false
	}
	return string(text), true
}

func (v value) bool() (b, ok bool) {
	switch v.raw.Kind() {
	case 't':
		return true, true
	case 'f':
		return false, true
	default:
		v.want("true or false")
		return false, false
	}
}

// integer reads an integer from lowest to highest. It must be written as one: 432.0 and 1e3 are not.
func (v value) integer(lowest, highest int64) (int64, bool) {
	what := "an integer from " + strconv.FormatInt(lowest, 10) + " to " + strconv.FormatInt(highest, 10)
	if lowest == 1 && highest == math.MaxInt64 {
		what = "a positive integer of at most 64 bits"
	}
	if v.raw.Kind() != '0' {
		v.want(what)
		return 0, false
	}
	n, err := strconv.ParseInt(string(v.raw), 10, 64)
	if err != nil || n < lowest || n > highest {
		v.fault("must be " + what + ", written without fraction and exponent")
		return 0, false
	}
	return n, true
}

// id reads an id: a positive int64.
func (v value) id() (int64, bool) { return v.integer(1, math.MaxInt64) }

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
	if v.raw.Kind() != '"' {
		v.fault(wantTime + ", not " + kindName(v.raw.Kind()))
		return t, false
	}
	text, ok := v.string()
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
	if v.raw.Kind() != '"' {
		v.fault(want + ", not " + kindName(v.raw.Kind()))
		return 0, false
	}
	text, ok := v.string()
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

// object returns an object as it was sent.
func (v value) object() ([]byte, bool) {
	if v.raw.Kind() != '{' {
		v.want("a JSON object")
		return nil, false
	}
	return bytes.Clone(v.raw), true
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
	if v.raw.Kind() != '"' {
		v.fault(want + ", not " + kindName(v.raw.Kind()))
		return 0, false
	}
	text, ok := v.string()
	if !ok {
		return 0, false
	}
	role, ok := key.ParseRole(text)
	if !ok {
		v.fault(want)
	}
	return role, ok
}

// address reads an IP address; nobody needs it yet.
func (v value) address() {
	const want = "must be an IPv4 or IPv6 address without a zone, like \"203.0.113.9\""
	if v.raw.Kind() != '"' {
		v.fault(want + ", not " + kindName(v.raw.Kind()))
	} else if s, ok := v.string(); ok && !isAddress(s) {
		v.fault(want)
	}
}
