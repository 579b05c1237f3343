package apidoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"strings"
)

// lineWidth is how long a line of an example may be before its value is broken into several.
const lineWidth = 60

// paint puts a piece of JSON on the page: kind is 'k' for a member's name, 's' for a string, 'n' for a number or a
// literal, and 0 for the rest.
type paint func(b *strings.Builder, kind byte, text string)

// plain writes JSON as it is.
func plain(b *strings.Builder, _ byte, text string) { b.WriteString(text) }

// coloured writes JSON as HTML in which each kind can have a colour.
func coloured(b *strings.Builder, kind byte, text string) {
	text = template.HTMLEscapeString(text)
	if kind == 0 {
		b.WriteString(text)
		return
	}
	fmt.Fprintf(b, `<span class=%c>%s</span>`, kind, text)
}

// layOut writes a JSON value for people to read: members in the order of the author, what fits on one line on one.
// Every line but the first begins with the indent.
func layOut(raw json.RawMessage, indent string, write paint) (string, error) {
	if !json.Valid(raw) {
		return "", fmt.Errorf("not JSON: %.40s", raw)
	}
	var b strings.Builder
	err := writeJSON(&b, raw, indent, write)
	return b.String(), err
}

func writeJSON(b *strings.Builder, raw json.RawMessage, indent string, write paint) error {
	raw = bytes.TrimSpace(raw)
	var open, shut string
	var members ordered[json.RawMessage]
	switch raw[0] {
	case '{':
		open, shut = "{", "}"
		if err := members.UnmarshalJSON(raw); err != nil {
			return err
		}
	case '[':
		open, shut = "[", "]"
		var items []json.RawMessage
		if err := json.Unmarshal(raw, &items); err != nil {
			return err
		}
		for i := range items {
			members = append(members, member[json.RawMessage]{Value: &items[i]})
		}
	case '"':
		write(b, 's', string(raw))
		return nil
	default:
		write(b, 'n', string(raw))
		return nil
	}

	first, between, last := "", ", ", ""
	inner := indent
	if len(indent)+oneLine(raw) > lineWidth {
		inner += "  "
		first, between, last = "\n"+inner, ",\n"+inner, "\n"+indent
	}
	write(b, 0, open+first)
	for i, m := range members {
		if i > 0 {
			write(b, 0, between)
		}
		if open == "{" {
			name, err := json.Marshal(m.Name)
			if err != nil {
				return err
			}
			write(b, 'k', string(name))
			write(b, 0, ": ")
		}
		if err := writeJSON(b, *m.Value, inner, write); err != nil {
			return err
		}
	}
	write(b, 0, last+shut)
	return nil
}

// oneLine returns about how long a value is on one line.
func oneLine(raw json.RawMessage) int {
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return lineWidth + 1
	}
	return compact.Len() + bytes.Count(compact.Bytes(), []byte(`,`)) + bytes.Count(compact.Bytes(), []byte(`":`))
}
