package apidoc

import (
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
)

// field is a row about one value: a parameter, a header or a property.
type field struct {
	Name     string
	Type     []phrase
	Required bool
	Text     []template.HTML // paragraphs
	Limits   []phrase        // each is one constraint
	Values   []value         // what it may be, where there is a list
}

// phrase is a piece of text; where it names a schema, with the place to read about it.
type phrase struct {
	Text   string
	Anchor string // "": none
	Code   bool   // it is something to be typed
}

// value is one of those that are listed.
type value struct {
	Text    string
	Meaning template.HTML
}

func schemaAnchor(name string) string { return "schema-" + name }

// fieldOf describes a value of the schema s.
func (d *document) fieldOf(name string, s *schema, required bool) (field, error) {
	f := field{Name: name, Required: required, Text: prose(s.Description)}
	var err error
	if f.Type, err = d.typeOf(s); err != nil {
		return field{}, err
	}
	f.Limits = limits(s)
	if s.Items != nil && s.Items.Ref == "" {
		f.Limits = append(f.Limits, limits(s.Items)...)
	}
	f.Values = values(s)
	return f, nil
}

// values lists an enumeration with what its values mean.
func values(s *schema) []value {
	list := make([]value, len(s.Enum))
	for i, text := range s.Enum {
		list[i] = value{text, inline(s.EnumDescriptions[text])}
	}
	return list
}

// fieldsOf describes the properties of an object, those that it has by allOf first.
func (d *document) fieldsOf(s *schema) ([]field, error) {
	s, err := d.schema(s)
	if err != nil {
		return nil, err
	}
	var fields []field
	for i := range s.AllOf {
		part, err := d.fieldsOf(&s.AllOf[i])
		if err != nil {
			return nil, err
		}
		fields = append(fields, part...)
	}
	for _, p := range s.Properties {
		f, err := d.fieldOf(p.Name, p.Value, slices.Contains(s.Required, p.Name))
		if err != nil {
			return nil, fmt.Errorf("property %s: %w", p.Name, err)
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// typeOf says what kind of value a schema wants.
func (d *document) typeOf(s *schema) ([]phrase, error) {
	switch {
	case s.Ref != "":
		if _, err := d.schema(s); err != nil {
			return nil, err
		}
		name := s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
		return []phrase{{Text: name, Anchor: schemaAnchor(name)}}, nil
	case len(s.AllOf) > 0: // a reference with a description of its own
		return d.typeOf(&s.AllOf[0])
	case len(s.Type) == 0 && len(s.AnyOf) > 0:
		var all []phrase
		for i := range s.AnyOf {
			one, err := d.typeOf(&s.AnyOf[i])
			if err != nil {
				return nil, err
			}
			if i > 0 {
				all = append(all, phrase{Text: " or "})
			}
			all = append(all, one...)
		}
		return all, nil
	case s.Items != nil:
		item, err := d.typeOf(s.Items)
		return append([]phrase{{Text: "array of "}}, item...), err
	default:
		formats := s.Format
		for _, alternative := range s.AnyOf {
			formats = strings.TrimPrefix(formats+" or "+alternative.Format, " or ")
		}
		text := strings.Join(s.Type, " or ")
		if formats != "" {
			text += " (" + formats + ")"
		}
		return []phrase{{Text: text}}, nil
	}
}

// limits puts the constraints of a schema into words.
func limits(s *schema) []phrase {
	var all []phrase
	add := func(text string) {
		if text != "" {
			all = append(all, phrase{Text: text})
		}
	}
	add(span(s.Minimum, s.Maximum, ""))
	add(span(s.MinLength, s.MaxLength, "character"))
	add(span(s.MinItems, s.MaxItems, "item"))
	if s.UniqueItems {
		add("no item twice")
	}
	if s.Pattern != "" {
		all = append(all, phrase{Text: s.Pattern, Code: true})
	}
	if s.Const != nil {
		add("always " + string(s.Const))
	}
	if s.Default != nil {
		add("default " + string(s.Default))
	}
	if s.AdditionalProperties != nil && !*s.AdditionalProperties {
		add("no other fields")
	}
	return all
}

// span puts a lower and an upper bound into words.
func span(low, high *int64, unit string) string {
	count := func(n int64) string {
		text := thousands(n)
		switch {
		case unit == "":
			return text
		case n == 1:
			return text + " " + unit
		default:
			return text + " " + unit + "s"
		}
	}
	switch {
	case low != nil && high != nil && *low == *high:
		return "exactly " + count(*low)
	case low != nil && high != nil:
		return thousands(*low) + " to " + count(*high)
	case low != nil:
		return "at least " + count(*low)
	case high != nil:
		return "at most " + count(*high)
	default:
		return ""
	}
}

// thousands writes a number with a comma in front of every three digits.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, c := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}
