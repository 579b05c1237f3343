package httpapi

import (
	"bytes"
	"iter"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
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

// text reads a string of a certain form; want says which.
func (v value) text(want string) (string, bool) {
	if kind := v.raw.Kind(); kind != '"' {
		v.fault(want + ", not " + kindName(kind))
		return "", false
	}
	return v.string()
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

// object returns an object as it was sent.
func (v value) object() ([]byte, bool) {
	if v.raw.Kind() != '{' {
		v.want("a JSON object")
		return nil, false
	}
	return bytes.Clone(v.raw), true
}
