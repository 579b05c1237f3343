package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/apikeyd/apikeyd/api"
)

// field says how one member of a JSON object is read into a T.
type field[T any] struct {
	name     string
	required bool
	read     func(into *T, v value)
}

// shape is what a JSON object looks like that can be read into a T. What is not in it is an error.
type shape[T any] []field[T]

// decode reads text, a whole JSON document, into a T; what text does not name stays as it is. The error says that text
// is not JSON, or holds more than one value, or invalid UTF-8. Everything else that is wrong is added to f, all of it:
// members that are repeated, at any depth, or unknown, or missing, or of the wrong type.
func decode[T any](text []byte, s shape[T], into *T, f *faults) error {
	if err := scan(text, f); err != nil {
		return err
	}
	s.read(into, value{raw: bytes.TrimSpace(text), faults: f})
	return nil
}

// read reads v into a T. The syntax of v has been checked.
func (s shape[T]) read(into *T, v value) {
	if kind := v.raw.Kind(); kind != '{' {
		v.fault("must be a JSON object, not " + kindName(kind))
		return
	}
	unknown := unknownField(s.names())
	present := make([]bool, len(s))
	for name, member := range v.members() {
		i := s.index(name)
		if i < 0 {
			v.faults.malform(member.pointer, unknown)
			continue
		}
		present[i] = true
		s[i].read(into, member)
	}
	for i := range s {
		if s[i].required && !present[i] {
			v.faults.invalid(v.pointer+"/"+s[i].name, "is required")
		}
	}
}

func (s shape[T]) index(name string) int {
	for i := range s {
		if s[i].name == name {
			return i
		}
	}
	return -1
}

func (s shape[T]) names() []string {
	names := make([]string, len(s))
	for i := range s {
		names[i] = s[i].name
	}
	return names
}

// scan checks the syntax of text, which must be exactly one JSON value, and adds each repeated member to f.
func scan(text []byte, f *faults) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return malformed("the body is empty; a JSON object is required")
	}
	if valid := bytes.ToValidUTF8(text, nil); len(valid) < len(text) {
		return malformed("the body is not valid UTF-8, " + place(text, int64(commonPrefix(text, valid))))
	}
	// The decoder would end at the first repeated member; here all of them are wanted.
	d := jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true))
	var seen []map[string]struct{} // the names of each object that is open, by depth; nil for an array
	for {
		outer, n := d.StackIndex(d.StackDepth())
		if d.StackDepth() == 0 && n == 1 {
			break
		}
		t, err := d.ReadToken()
		if err != nil {
			return syntaxError(text, d.InputOffset(), err)
		}
		switch kind := t.Kind(); {
		case kind == '{':
			seen = append(seen, make(map[string]struct{}))
		case kind == '[':
			seen = append(seen, nil)
		case kind == '}' || kind == ']':
			seen = seen[:len(seen)-1]
		case outer == '{' && n%2 == 0:
			names, name := seen[len(seen)-1], t.String()
			if _, twice := names[name]; twice && !f.full() { // a pointer may be long
				f.malform(string(d.StackPointer()), "is there more than once")
			}
			names[name] = struct{}{}
		}
	}
	if rest := bytes.TrimSpace(text[d.InputOffset():]); len(rest) > 0 {
		return malformed("there is something behind the JSON value, " + place(text, int64(len(text)-len(rest))))
	}
	return nil
}

// syntaxError says where text stops being JSON. The decoder's own message would repeat a character of the text.
func syntaxError(text []byte, offset int64, err error) error {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		offset = syntax.ByteOffset
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return malformed("the body is not valid JSON: it ends too early")
	}
	return malformed("the body is not valid JSON, " + place(text, offset))
}

func commonPrefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// place gives an offset as an editor shows it, counted from 1.
func place(text []byte, offset int64) string {
	before := text[:min(max(offset, 0), int64(len(text)))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf("at line %d, column %d", line, column)
}

func malformed(detail string) error {
	return &problem{code: api.CodeMalformedRequest, detail: detail}
}

// kindName says in words what kind of value stands where another was wanted.
func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '[':
		return "an array"
	case '{':
		return "an object"
	default:
		return "nothing"
	}
}

// arrayPointer returns the pointer to an item of an array.
func arrayPointer(array string, i int) string { return array + "/" + strconv.Itoa(i) }
