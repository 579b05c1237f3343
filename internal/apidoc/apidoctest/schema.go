package apidoctest

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// schema is one of the document's: where it stands, as a JSON pointer, and what it says.
type schema struct {
	at jsontext.Pointer
	*jsonschema.Schema
}

// compiler makes schemas ready to be asked.
type compiler struct{ *jsonschema.Compiler }

// location is where references in the document begin.
const location = "apidoc:///openapi.json"

func newCompiler(text []byte) (*compiler, error) {
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	beStrict(tree, "")
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(jsonschema.SchemeURLLoader{}) // nothing is loaded from anywhere
	c.AssertFormat()
	return &compiler{c}, c.AddResource(location, tree)
}

// compile makes every schema ready that an operation has; each must be one by the schema of JSON Schema itself.
func (c *compiler) compile(o *operation) error {
	var all []*schema
	bodies := func(content ordered[mediaType]) {
		for _, m := range content {
			all = append(all, &m.value.Schema)
		}
	}
	for i := range o.Parameters {
		all = append(all, &o.Parameters[i].Schema)
	}
	if o.RequestBody != nil {
		bodies(o.RequestBody.Content)
	}
	for _, r := range o.Responses {
		bodies(r.value.Content)
		for _, h := range r.value.Headers {
			all = append(all, &h.value.Schema)
		}
	}
	for _, s := range all {
		if s.at == "" {
			return fmt.Errorf("something of %s has no schema", o.OperationID)
		}
		var err error
		if s.Schema, err = c.Compile(location + "#" + string(s.at)); err != nil {
			return fmt.Errorf("the schema at %s of %s: %w", s.at, o.OperationID, err)
		}
	}
	return nil
}

// notDeclared are the places of schemas that leave open what is in an object.
var notDeclared = []string{
	"/components/schemas/*/properties/metadata", // the user's
	"/components/schemas/AuditEntry/properties/before",
	"/components/schemas/AuditEntry/properties/after",                          // as the thing that an audit entry is about
	"/paths/~1openapi.json/get/responses/200/content/application~1json/schema", // the document itself; OpenAPI describes it
}

// beStrict makes a field that is not declared an error, although clients are told to expect more in later versions. The keyword for it
// stands where a value is first held against a schema, as that of a body, a property or an item: what is combined there (allOf), or is
// referred to, knows but a part of the fields.
func beStrict(v any, at jsontext.Pointer) {
	object, _ := v.(map[string]any)
	for name, v := range object {
		here := at.AppendToken(name)
		if name == "schema" || name == "items" || at.LastToken() == "properties" {
			closed(v, here)
		}
		beStrict(v, here)
	}
	list, _ := v.([]any)
	for i, v := range list {
		beStrict(v, at.AppendToken(fmt.Sprint(i)))
	}
}

// closed adds the keyword to a schema, where it is one that says something of fields and is to declare them.
func closed(v any, at jsontext.Pointer) {
	isOpen := func(pattern string) bool {
		ok, err := path.Match(pattern, string(at))
		return ok && err == nil
	}
	if s, ok := v.(map[string]any); ok && !slices.ContainsFunc(notDeclared, isOpen) {
		s["unevaluatedProperties"] = false
	}
}

// complain says of a value that is called what how it is not as the schema says; nothing where it is.
func (s *schema) complain(what string, value any) []string {
	err := s.Validate(value)
	if err == nil {
		return nil
	}
	var found *jsonschema.ValidationError
	if errors.As(err, &found) {
		leaveOutEchoes(found)
	}
	return []string{what + ": " + strings.ReplaceAll(err.Error(), "false schema", "is not declared")}
}

// leaveOutEchoes takes out of an error that fields are not declared, where something else is wrong as well: a schema that fails declares
// nothing, and every field would be named.
func leaveOutEchoes(e *jsonschema.ValidationError) {
	others := slices.DeleteFunc(slices.Clone(e.Causes), func(c *jsonschema.ValidationError) bool {
		_, notDeclared := c.ErrorKind.(*kind.FalseSchema)
		return notDeclared
	})
	if len(others) > 0 {
		e.Causes = others
	}
	for _, c := range e.Causes {
		leaveOutEchoes(c)
	}
}

// value returns what the text of a parameter or header stands for: JSON where a string is not what is wanted, and the text where it is no
// JSON.
func (s *schema) value(text string) any {
	t := s.Schema
	for t.Types == nil && t.Ref != nil {
		t = t.Ref
	}
	if t.Types == nil || slices.Contains(t.Types.ToStrings(), "string") {
		return text
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return text
	}
	return v
}
