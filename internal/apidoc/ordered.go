package apidoc

import (
	"bytes"
	"encoding/json"
	"errors"
)

// ordered is a JSON object whose members stay in the order in which they were written: it is the author's.
type ordered[T any] []member[T]

type member[T any] struct {
	Name  string
	Value *T
}

// UnmarshalJSON reads an object.
func (o *ordered[T]) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return errors.Join(errors.New("an object is wanted"), err)
	}
	*o = nil
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return err
		}
		m := member[T]{Name: name.(string), Value: new(T)} // a member's name is always a string
		if err := unmarshal(raw, m.Value); err != nil {
			return err
		}
		*o = append(*o, m)
	}
	return nil
}

// get returns the member of that name, or nil.
func (o ordered[T]) get(name string) *T {
	for _, m := range o {
		if m.Name == name {
			return m.Value
		}
	}
	return nil
}
