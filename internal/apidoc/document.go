package apidoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// document is as much of OpenAPI 3.1 as openapi.json uses. It is read strictly: a keyword that is not here would be
// missing from the page.
type document struct {
	OpenAPI string `json:"openapi"`
	Info    struct {
		Title       string `json:"title"`
		Version     string `json:"version"`
		Summary     string `json:"summary"`
		Description string `json:"description"`
		License     struct {
			Name       string `json:"name"`
			Identifier string `json:"identifier"`
		} `json:"license"`
	} `json:"info"`
	Servers    []server          `json:"servers"`
	Security   []requirement     `json:"security"`
	Tags       []tag             `json:"tags"`
	Paths      ordered[pathItem] `json:"paths"`
	Components struct {
		SecuritySchemes ordered[securityScheme] `json:"securitySchemes"`
		Parameters      ordered[parameter]      `json:"parameters"`
		Headers         ordered[header]         `json:"headers"`
		Responses       ordered[response]       `json:"responses"`
		Schemas         ordered[schema]         `json:"schemas"`
	} `json:"components"`
}

type server struct {
	URL         string `json:"url"`
	Description string `json:"description"`
}

type tag struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}

// requirement names the security schemes that a caller needs together; an empty one is none.
type requirement map[string][]string

type securityScheme struct {
	Type         string `json:"type"`
	Scheme       string `json:"scheme"`
	BearerFormat string `json:"bearerFormat"`
	In           string `json:"in"`
	Name         string `json:"name"`
	Description  string `json:"description"`
}

type pathItem struct {
	Servers    []server    `json:"servers"`
	Parameters []parameter `json:"parameters"`
	Get        *operation  `json:"get"`
	Post       *operation  `json:"post"`
	Put        *operation  `json:"put"`
	Patch      *operation  `json:"patch"`
	Delete     *operation  `json:"delete"`
}

type operation struct {
	OperationID string            `json:"operationId"`
	Tags        []string          `json:"tags"`
	Summary     string            `json:"summary"`
	Description string            `json:"description"`
	Security    []requirement     `json:"security"` // nil: the document's
	Parameters  []parameter       `json:"parameters"`
	RequestBody *requestBody      `json:"requestBody"`
	Responses   ordered[response] `json:"responses"`
}

type parameter struct {
	Ref         string          `json:"$ref"`
	Name        string          `json:"name"`
	In          string          `json:"in"`
	Required    bool            `json:"required"`
	Description string          `json:"description"`
	Schema      schema          `json:"schema"`
	Example     json.RawMessage `json:"example"`
}

type requestBody struct {
	Required    bool               `json:"required"`
	Description string             `json:"description"`
	Content     ordered[mediaType] `json:"content"`
}

type response struct {
	Ref         string             `json:"$ref"`
	Description string             `json:"description"`
	Headers     ordered[header]    `json:"headers"`
	Content     ordered[mediaType] `json:"content"`
}

type header struct {
	Ref         string          `json:"$ref"`
	Description string          `json:"description"`
	Required    bool            `json:"required"`
	Schema      schema          `json:"schema"`
	Example     json.RawMessage `json:"example"`
}

type mediaType struct {
	Schema   schema           `json:"schema"`
	Example  json.RawMessage  `json:"example"`
	Examples ordered[example] `json:"examples"`
}

type example struct {
	Summary string          `json:"summary"`
	Value   json.RawMessage `json:"value"`
}

// schema is as much of JSON Schema 2020-12 as openapi.json uses.
type schema struct {
	Ref                  string            `json:"$ref"`
	Description          string            `json:"description"`
	Type                 typeNames         `json:"type"`
	Format               string            `json:"format"`
	Enum                 []string          `json:"enum"`
	EnumDescriptions     map[string]string `json:"x-enumDescriptions"`
	Const                json.RawMessage   `json:"const"`
	Default              json.RawMessage   `json:"default"`
	Minimum              *int64            `json:"minimum"`
	Maximum              *int64            `json:"maximum"`
	MinLength            *int64            `json:"minLength"`
	MaxLength            *int64            `json:"maxLength"`
	Pattern              string            `json:"pattern"`
	Items                *schema           `json:"items"`
	MinItems             *int64            `json:"minItems"`
	MaxItems             *int64            `json:"maxItems"`
	UniqueItems          bool              `json:"uniqueItems"`
	Properties           ordered[schema]   `json:"properties"`
	Required             []string          `json:"required"`
	AdditionalProperties *bool             `json:"additionalProperties"`
	AllOf                []schema          `json:"allOf"`
	AnyOf                []schema          `json:"anyOf"`

	// What these say, the description of the same schema says in words.
	OneOf         json.RawMessage `json:"oneOf"`
	If            json.RawMessage `json:"if"`
	Then          json.RawMessage `json:"then"`
	Else          json.RawMessage `json:"else"`
	MaxProperties *int64          `json:"maxProperties"`
	MinProperties *int64          `json:"minProperties"`
}

// typeNames is the keyword type: one name, or several.
type typeNames []string

// UnmarshalJSON reads a string or an array of strings.
func (t *typeNames) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = typeNames{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

func parse(text []byte) (*document, error) {
	var d document
	if err := unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	return &d, nil
}

// unmarshal is json.Unmarshal, but refuses what it does not know.
func unmarshal(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// method is an operation and how it is called.
type method struct {
	name string
	*operation
}

// methods lists the operations of a path.
func (p *pathItem) methods() []method {
	var all []method
	for _, m := range []method{{"GET", p.Get}, {"POST", p.Post}, {"PUT", p.Put}, {"PATCH", p.Patch}, {"DELETE", p.Delete}} {
		if m.operation != nil {
			all = append(all, m)
		}
	}
	return all
}

// The following return what a reference stands for, and what is none as it is.

func (d *document) parameter(p *parameter) (*parameter, error) {
	return resolve(p, p.Ref, "parameters", &d.Components.Parameters)
}

func (d *document) header(h *header) (*header, error) {
	return resolve(h, h.Ref, "headers", &d.Components.Headers)
}

func (d *document) response(r *response) (*response, error) {
	return resolve(r, r.Ref, "responses", &d.Components.Responses)
}

func (d *document) schema(s *schema) (*schema, error) {
	return resolve(s, s.Ref, "schemas", &d.Components.Schemas)
}

func resolve[T any](self *T, ref, section string, components *ordered[T]) (*T, error) {
	if ref == "" {
		return self, nil
	}
	name, ok := strings.CutPrefix(ref, "#/components/"+section+"/")
	if found := components.get(name); ok && found != nil {
		return found, nil
	}
	return nil, fmt.Errorf("the OpenAPI document refers to %s, which it does not have", ref)
}
