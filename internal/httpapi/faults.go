package httpapi

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/key"
)

const (
	// maxFaults bounds an answer: a body of 64 KiB has room for thousands of unknown fields.
	maxFaults = 1000

	maxNameShown    = 64  // bytes of a name that a sender chose
	maxPointerShown = 256 // bytes of a pointer, which a deeply nested body makes as long as itself

	// A text is suspect with this many letters and digits in a row, or with that many where there is no digit, or there are
	// hyphens and underscores among them: the body of a token has 49 letters and digits, the secret of a session or of a
	// one-time link 43 of all these, and words that are written together have fewer.
	secretRun, letterRun = 24, 40
)

// faults gathers all that is wrong with a request. What it says of a request are names and places in it, never a
// value: a token that was sent in the wrong field must not come back in an answer that somebody logs.
type faults struct {
	list []api.Fault
	// malformed: at least one of them says that the request cannot be understood, rather than that a value in it is
	// wrong.
	malformed bool
}

// malform adds a fault that keeps the request from being understood: an unknown or repeated field.
func (f *faults) malform(pointer, detail string) {
	f.malformed = true
	f.add(pointer, detail)
}

// invalid adds a fault of a value: missing, of the wrong type, out of range. Where something inside it has a fault
// already, that one says more.
func (f *faults) invalid(pointer, detail string) {
	if f.full() {
		return
	}
	inside := showPointer(pointer) + "/"
	for i := range f.list {
		if strings.HasPrefix(f.list[i].Pointer, inside) {
			return
		}
	}
	f.add(pointer, detail)
}

// rules adds what the rules of the domain say. What could not be read at all, as a body that is no object, breaks most of them,
// which goes without saying.
func (f *faults) rules(list []key.Fault) {
	unread := slices.Clone(f.list)
	for _, fault := range list {
		within := func(outer api.Fault) bool { return strings.HasPrefix(fault.Pointer, outer.Pointer+"/") }
		if !slices.ContainsFunc(unread, within) {
			f.invalid(fault.Pointer, fault.Detail)
		}
	}
}

// full reports whether no more faults are taken.
func (f *faults) full() bool { return len(f.list) == maxFaults }

// add adds a fault, one for each place.
func (f *faults) add(pointer, detail string) {
	if f.full() {
		return
	}
	pointer = showPointer(pointer)
	for i := range f.list {
		if f.list[i].Pointer == pointer {
			return
		}
	}
	f.list = append(f.list, api.Fault{Pointer: pointer, Detail: detail})
}

// err returns the error that tells the caller, nil where nothing is wrong.
func (f *faults) err() error {
	switch {
	case len(f.list) == 0:
		return nil
	case f.malformed:
		return &problem{code: api.CodeMalformedRequest, detail: "the request cannot be understood; see errors", faults: f.list}
	default:
		return &problem{code: api.CodeInvalid, detail: "the request cannot be carried out as it stands; see errors", faults: f.list}
	}
}

// showPointer returns the JSON pointer without what might be a secret, and shortened. Its names come from the sender.
func showPointer(pointer string) string {
	if len(pointer) <= maxNameShown && !mayBeSecret(pointer) {
		return pointer
	}
	var b strings.Builder
	for i, name := range strings.Split(pointer, "/") {
		if i == 0 {
			continue // a pointer begins with a slash
		}
		if b.Len() > maxPointerShown {
			b.WriteString("/…")
			break
		}
		b.WriteByte('/')
		b.WriteString(showName(name))
	}
	return b.String()
}

// showName returns a name as it may be repeated to its sender.
func showName(name string) string {
	if mayBeSecret(name) {
		return "…"
	}
	if len(name) <= maxNameShown {
		return name
	}
	end := maxNameShown
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	return strings.TrimSuffix(name[:end], "~") + "…" // a pointer's ~0 and ~1 are one character each
}

// mayBeSecret reports whether a token or another secret, or a good part of one, may stand in text.
func mayBeSecret(text string) bool {
	run, digits, all := 0, 0, 0
	for i := range len(text) {
		all++
		switch c := text[i]; {
		case '0' <= c && c <= '9':
			run++
			digits++
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z':
			run++
		case c == '-' || c == '_':
			run, digits = 0, 0
		default:
			run, digits, all = 0, 0, 0
		}
		if all >= letterRun || run >= secretRun && digits > 0 {
			return true
		}
	}
	return false
}

// unknownField says what may stand in place of a field that nobody knows.
func unknownField(known []string) string {
	if len(known) == 0 {
		return "is not known here; no field is"
	}
	return fmt.Sprintf("is not known here; the fields are %s", strings.Join(known, ", "))
}
