package httpapi

import (
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apikeyd/apikeyd/internal/key"
)

// input is what a request brings beside its credential, and what is wrong with it.
type input struct {
	x      *exchange
	query  url.Values
	read   []string // the parameters that somebody has asked for
	faults faults
}

func newInput(x *exchange) (*input, error) {
	in := &input{x: x}
	if x.r.URL.RawQuery != "" {
		var err error
		if in.query, err = url.ParseQuery(x.r.URL.RawQuery); err != nil {
			return nil, malformed("the query string is not well-formed") // the error would repeat a part of it
		}
	}
	return in, nil
}

// body reads the body of a request into a T; what is wrong with its fields is among the faults.
func body[T any](in *input, s shape[T], into *T) error {
	text := in.x.body
	if in.x.route.empty && len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	return decode(text, s, into, &in.faults)
}

// pathID reads the id that stands in the path. Ids below 1 are well-formed, and belong to nothing.
func (in *input) pathID() int64 { return in.pathIDs()[0] }

// pathIDs reads the ids that stand in the path, in their order.
func (in *input) pathIDs() (ids [maxWildcards]int64) {
	n := 0
	for _, segment := range in.x.route.segments {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			ids[n] = in.id("/"+strings.TrimSuffix(name, "}"), in.x.wildcards[n])
			n++
		}
	}
	return ids
}

func (in *input) id(pointer, text string) int64 {
	id, ok := canonicalInt(text)
	if !ok {
		in.faults.malform(pointer, "must be an integer of at most 64 bits in the path, in decimal digits")
	}
	return id
}

// canonicalInt reads an integer in its one spelling: no plus sign, no leading zeros.
func canonicalInt(text string) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && strconv.FormatInt(n, 10) == text
}

// parameter returns a query parameter, and whether it is there. One that is there more than once is a fault.
func (in *input) parameter(name string) (string, bool) {
	in.read = append(in.read, name)
	switch values := in.query[name]; len(values) {
	case 0:
		return "", false
	case 1:
		return values[0], true
	default:
		in.faults.malform("/"+name, "is there more than once")
		return "", false
	}
}

// refuseUnreadParameters adds a fault for each query parameter that nobody has asked for.
func (in *input) refuseUnreadParameters() {
	for _, name := range slices.Sorted(maps.Keys(in.query)) {
		if !slices.Contains(in.read, name) {
			detail := "is not a query parameter here; there are none"
			if len(in.read) > 0 {
				detail = "is not a query parameter here; there are " + strings.Join(in.read, ", ")
			}
			in.faults.malform("/"+escapePointer(name), detail)
		}
	}
}

func escapePointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(strings.ToValidUTF8(name, "\uFFFD"))
}

// textParameter reads a part of a text or the whole, which cannot be longer than the text may be, in characters. It returns ""
// where the parameter is not there.
func (in *input) textParameter(name string, longest int) string {
	text, ok := in.parameter(name)
	if !ok {
		return ""
	}
	switch n := utf8.RuneCountInString(text); {
	case n < 1 || n > longest:
		in.faults.invalid("/"+name, fmt.Sprintf("must have 1 to %d characters", longest))
	case !utf8.ValidString(text):
		in.faults.invalid("/"+name, "must be valid UTF-8")
	case strings.ContainsRune(text, 0):
		in.faults.invalid("/"+name, "must not hold the character U+0000")
	}
	return text
}

// enumParameter reads one of some names, and returns "" where the parameter is not there.
func (in *input) enumParameter(name string, known ...string) string {
	text, ok := in.parameter(name)
	if ok && !slices.Contains(known, text) {
		in.faults.invalid("/"+name, "must be one of "+strings.Join(known, ", "))
	}
	return text
}

// timeParameter reads an RFC 3339 time, and returns zero where the parameter is not there.
func (in *input) timeParameter(name string) time.Time {
	text, ok := in.parameter(name)
	if !ok {
		return time.Time{}
	}
	t, ok := parseTime(text)
	if !ok || t.IsZero() { // the use case would take it for none
		in.faults.invalid("/"+name, wantTime)
	}
	return t
}

// integerParameter reads an integer from lowest to highest, or returns preset.
func (in *input) integerParameter(name string, lowest, highest, preset int64) int64 {
	text, ok := in.parameter(name)
	if !ok {
		return preset
	}
	n, ok := canonicalInt(text)
	if !ok || n < lowest || n > highest {
		in.faults.invalid("/"+name, fmt.Sprintf("must be an integer from %d to %d", lowest, highest))
	}
	return n
}

// boolParameter returns nil where the parameter is not there.
func (in *input) boolParameter(name string) *bool {
	text, ok := in.parameter(name)
	if !ok {
		return nil
	}
	b := text == "true"
	if !b && text != "false" {
		in.faults.invalid("/"+name, "must be true or false")
	}
	return &b
}

// scopeParameter returns zero where the parameter is not there.
func (in *input) scopeParameter(name string) key.Scope {
	text, ok := in.parameter(name)
	if !ok {
		return 0
	}
	scope, ok := key.ParseScope(text)
	if !ok {
		in.faults.invalid("/"+name, "must be one of "+key.ScopeList)
	}
	return scope
}

// stateParameter returns zero where the parameter is not there.
func (in *input) stateParameter(name string) key.State {
	text, ok := in.parameter(name)
	if !ok {
		return 0
	}
	state, ok := key.ParseState(text)
	if !ok {
		in.faults.invalid("/"+name, "must be one of "+key.StateList)
	}
	return state
}
