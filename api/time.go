package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// TimeLayout is how times are written: RFC 3339 in UTC with milliseconds.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// Time is a time.Time that is written to JSON as in TimeLayout, and read from any RFC 3339 spelling.
type Time struct{ time.Time }

// MarshalJSON writes t in UTC with milliseconds; what is finer is cut off.
func (t Time) MarshalJSON() ([]byte, error) {
	if y := t.UTC().Year(); y < 0 || y > 9999 {
		return nil, fmt.Errorf("year %d cannot be written in RFC 3339", y)
	}
	return []byte(`"` + t.UTC().Format(TimeLayout) + `"`), nil
}

// UnmarshalJSON reads an RFC 3339 time.
func (t *Time) UnmarshalJSON(b []byte) error { return t.Time.UnmarshalJSON(b) }

// Nullable is a field of a merge patch: left out (the zero value), null, or a value.
type Nullable[T any] struct {
	set   bool
	value *T
}

// Null is the patch that clears a field.
func Null[T any]() Nullable[T] { return Nullable[T]{set: true} }

// Value is the patch that sets a field to v.
func Value[T any](v T) Nullable[T] { return Nullable[T]{set: true, value: &v} }

// IsZero reports whether the field is left out.
func (n Nullable[T]) IsZero() bool { return !n.set }

// MarshalJSON writes the value, or null.
func (n Nullable[T]) MarshalJSON() ([]byte, error) { return json.Marshal(n.value) }

// UnmarshalJSON reads a value or null; a field that is left out is never read, and stays zero.
func (n *Nullable[T]) UnmarshalJSON(b []byte) error {
	*n = Nullable[T]{set: true}
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	n.value = new(T)
	return json.Unmarshal(b, n.value)
}
