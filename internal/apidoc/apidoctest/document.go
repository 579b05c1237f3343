package apidoctest

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// document is what OpenAPI says around the schemas, as much of it as openapi.json uses. The package apidoc reads it as well, for a page,
// which shows what a schema says; here a schema is a place in the document, which somebody else is asked about.
type document struct {
	Security   []requirement     `json:"security"`
	Paths      ordered[pathItem] `json:"paths"`
	Components struct {
		SecuritySchemes map[string]securityScheme `json:"securitySchemes"`
		Parameters      map[string]parameter      `json:"parameters"`
		Headers         map[string]header         `json:"headers"`
		Responses       map[string]response       `json:"responses"`
	} `json:"components"`
}

// requirement names the security schemes that a caller needs together; an empty one is none.
type requirement map[string][]string

type securityScheme struct {
	Type   string `json:"type"`
	Scheme string `json:"scheme"`
	In     string `json:"in"`
	Name   string `json:"name"`
}

type pathItem struct {
	Parameters []parameter `json:"parameters"`
	Get        *operation  `json:"get"`
	Post       *operation  `json:"post"`
	Put        *operation  `json:"put"`
	Patch      *operation  `json:"patch"`
	Delete     *operation  `json:"delete"`
}

type operation struct {
	OperationID string        `json:"operationId"`
	Security    []requirement `json:"security"` // nil: the document's
	Parameters  []parameter   `json:"parameters"`
	RequestBody *struct {
		Required bool               `json:"required"`
		Content  ordered[mediaType] `json:"content"`
	} `json:"requestBody"`
	Responses ordered[response] `json:"responses"`

	method, path string
}

type parameter struct {
	Ref      string `json:"$ref"`
	Name     string `json:"name"`
	In       string `json:"in"`
	Required bool   `json:"required"`
	Schema   schema `json:"schema"`
}

type response struct {
	Ref     string             `json:"$ref"`
	Headers ordered[header]    `json:"headers"`
	Content ordered[mediaType] `json:"content"`
}

type header struct {
	Ref      string `json:"$ref"`
	Required bool   `json:"required"`
	Schema   schema `json:"schema"`
}

type mediaType struct {
	Schema schema `json:"schema"`
}

// UnmarshalJSONFrom notes where the schema stands.
func (s *schema) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	err := d.SkipValue()
	s.at = d.StackPointer()
	return err
}

// ordered is a JSON object whose members stay in the order in which they were written.
type ordered[T any] []*member[T]

type member[T any] struct {
	name  string
	value T
}

// UnmarshalJSONFrom reads an object.
func (o *ordered[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if open, err := d.ReadToken(); err != nil || open.Kind() != '{' {
		return fmt.Errorf("an object is wanted: %w", err)
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		m := &member[T]{name: name.String()}
		if err := json.UnmarshalDecode(d, &m.value); err != nil {
			return err
		}
		*o = append(*o, m)
	}
	_, err := d.ReadToken()
	return err
}

// get returns the member of that name, or nil.
func (o ordered[T]) get(name string) *T {
	for _, m := range o {
		if m.name == name {
			return &m.value
		}
	}
	return nil
}

// parse reads a document, and puts in place of each reference what it stands for.
func parse(text []byte) (*document, error) {
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	for _, item := range d.Paths {
		for _, o := range item.value.operations() {
			o.path = item.name
			o.Parameters = append(o.Parameters, item.value.Parameters...)
			if o.Security == nil {
				o.Security = d.Security
			}
			if err := d.resolve(o); err != nil {
				return nil, err
			}
		}
	}
	return &d, nil
}

func (d *document) resolve(o *operation) error {
	for i := range o.Parameters {
		if err := resolve(&o.Parameters[i], o.Parameters[i].Ref, d.Components.Parameters); err != nil {
			return err
		}
	}
	for _, r := range o.Responses {
		if err := resolve(&r.value, r.value.Ref, d.Components.Responses); err != nil {
			return err
		}
		for _, h := range r.value.Headers {
			if err := resolve(&h.value, h.value.Ref, d.Components.Headers); err != nil {
				return err
			}
		}
	}
	return nil
}

// resolve puts the component that is referred to in place of the reference.
func resolve[T any](v *T, ref string, components map[string]T) error {
	if ref == "" {
		return nil
	}
	found, ok := components[ref[strings.LastIndexByte(ref, '/')+1:]]
	if !ok {
		return fmt.Errorf("there is no %s", ref)
	}
	*v = found
	return nil
}

// operations lists those of a path.
func (p *pathItem) operations() []*operation {
	var all []*operation
	for _, c := range []struct {
		method string
		*operation
	}{{"GET", p.Get}, {"POST", p.Post}, {"PUT", p.Put}, {"PATCH", p.Patch}, {"DELETE", p.Delete}} {
		if c.operation != nil {
			c.operation.method = c.method
			all = append(all, c.operation)
		}
	}
	return all
}
