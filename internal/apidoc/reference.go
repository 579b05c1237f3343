package apidoc

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/apikeyd/apikeyd/api"
)

// managementURL stands in examples for the management API, whose server in the document is "/": wherever the
// document came from.
const managementURL = "http://localhost:8080"

// reference is what the page shows.
type reference struct {
	Title, Version, Summary string
	OpenAPI                 string
	License                 string
	ManagementURL           string
	Intro                   []template.HTML
	Servers                 []listener
	Schemes                 []scheme
	Groups                  []group
	Problems                []problem
	Schemas                 []schemaEntry
	Style                   template.CSS
}

// listener is one of the two places where the server listens.
type listener struct {
	URL  string
	Text template.HTML
}

// scheme is a way to authenticate.
type scheme struct {
	Anchor string
	Header string // as it is sent
	Text   template.HTML
}

// group is the operations with one tag.
type group struct {
	Name       string
	Anchor     string
	Text       []template.HTML
	Operations []operationEntry
}

type operationEntry struct {
	Anchor     string
	Method     string
	Path       string
	URL        string // of the listener
	Summary    string
	Text       []template.HTML
	Credential []phrase // any of them will do
	Parameters []field
	Body       *bodyEntry
	Requests   []sample
	Answers    []answerEntry
	Samples    []sample
}

type bodyEntry struct {
	Types  []string
	Text   []template.HTML
	Schema []phrase
	Fields []field
}

// sample is an example with its title.
type sample struct {
	Title string
	Text  template.HTML
}

type answerEntry struct {
	Status  string
	Title   string
	Text    template.HTML
	Codes   []string
	Types   []string
	Schema  []phrase
	Headers []field
}

func (a answerEntry) Failed() bool { return a.Status >= "400" }

// problem is a row of the table of errors.
type problem struct {
	Code    string
	Status  int
	Title   string
	Meaning template.HTML
}

type schemaEntry struct {
	Name   string
	Anchor string
	Text   []template.HTML
	Type   []phrase
	Limits []phrase
	Values []value
	Fields []field
}

// newReference makes the page's contents from the document.
func newReference(d *document) (*reference, error) {
	ref := &reference{
		Title:         d.Info.Title,
		Version:       d.Info.Version,
		Summary:       d.Info.Summary,
		OpenAPI:       d.OpenAPI,
		License:       d.Info.License.Name,
		ManagementURL: managementURL,
		Intro:         prose(d.Info.Description),
	}
	for _, s := range d.servers() {
		ref.Servers = append(ref.Servers, listener{addressOf(s), inline(s.Description)})
	}
	for _, s := range d.Components.SecuritySchemes {
		ref.Schemes = append(ref.Schemes, scheme{"auth-" + s.Name, s.Value.header(s.Value.placeholder()), inline(s.Value.Description)})
	}
	for _, t := range d.Tags {
		g := group{Name: t.Name, Anchor: "tag-" + strings.ReplaceAll(strings.ToLower(t.Name), " ", "-"), Text: prose(t.Description)}
		for _, p := range d.Paths {
			for _, m := range p.Value.methods() {
				if !slices.Contains(m.Tags, t.Name) {
					continue
				}
				entry, err := d.operationEntry(p.Name, p.Value, m)
				if err != nil {
					return nil, fmt.Errorf("%s %s: %w", m.name, p.Name, err)
				}
				g.Operations = append(g.Operations, entry)
			}
		}
		ref.Groups = append(ref.Groups, g)
	}
	var err error
	if ref.Problems, err = d.problems(); err != nil {
		return nil, err
	}
	for _, s := range d.Components.Schemas {
		entry, err := d.schemaEntry(s.Name, s.Value)
		if err != nil {
			return nil, fmt.Errorf("schema %s: %w", s.Name, err)
		}
		ref.Schemas = append(ref.Schemas, entry)
	}
	return ref, nil
}

// servers lists the document's servers and those of its paths, each once.
func (d *document) servers() []server {
	all := slices.Clone(d.Servers)
	for _, p := range d.Paths {
		for _, s := range p.Value.Servers {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

func addressOf(s server) string {
	if s.URL == "/" {
		return managementURL
	}
	return s.URL
}

// header returns how a credential is sent.
func (s *securityScheme) header(credential string) string {
	switch {
	case s.Type == "http":
		return "Authorization: Bearer " + credential
	case s.In == "cookie":
		return "Cookie: " + s.Name + "=" + credential
	default:
		return s.Name + ": " + credential
	}
}

// placeholder stands for a credential where the scheme is described.
func (s *securityScheme) placeholder() string {
	switch {
	case s.BearerFormat != "":
		return s.BearerFormat
	case s.In == "cookie":
		return "SECRET"
	default:
		return "TOKEN"
	}
}

// label is how an operation calls what it asks for.
func (s *securityScheme) label() string {
	switch {
	case s.BearerFormat != "":
		return s.Scheme + " " + s.BearerFormat
	case s.Type == "http":
		return s.Scheme + " token"
	case s.In == "cookie":
		return s.Name + " cookie"
	default:
		return s.Name
	}
}

// variable is where the examples take a credential from.
func (s *securityScheme) variable() string {
	if s.In == "cookie" {
		return "$APIKEYD_SESSION"
	}
	return "$APIKEYD_KEY"
}

func (d *document) operationEntry(path string, item *pathItem, m method) (operationEntry, error) {
	servers := item.Servers
	if servers == nil {
		servers = d.Servers
	}
	if len(servers) == 0 {
		return operationEntry{}, errors.New("there is no server")
	}
	e := operationEntry{
		Anchor:  m.OperationID,
		Method:  m.name,
		Path:    path,
		URL:     addressOf(servers[0]),
		Summary: m.Summary,
		Text:    prose(m.Description),
	}
	security := m.Security
	if security == nil {
		security = d.Security
	}
	var err error
	if e.Credential, err = d.credentials(security); err != nil {
		return e, err
	}
	var parameters []*parameter
	for _, list := range [][]parameter{item.Parameters, m.operation.Parameters} {
		for i := range list {
			p, err := d.parameter(&list[i])
			if err != nil {
				return e, err
			}
			f, err := d.fieldOf(p.Name, &p.Schema, p.Required)
			if err != nil {
				return e, fmt.Errorf("parameter %s: %w", p.Name, err)
			}
			f.Text = prose(p.Description)
			e.Parameters = append(e.Parameters, f)
			parameters = append(parameters, p)
		}
	}
	if m.RequestBody != nil {
		if e.Body, err = d.bodyEntry(m.RequestBody); err != nil {
			return e, err
		}
	}
	for _, r := range m.Responses {
		a, samples, err := d.answerEntry(r.Name, r.Value)
		if err != nil {
			return e, fmt.Errorf("answer %s: %w", r.Name, err)
		}
		e.Answers = append(e.Answers, a)
		if !a.Failed() {
			e.Samples = append(e.Samples, samples...)
		}
	}
	e.Requests, err = e.requests(m, parameters, d.exampleCredential(security))
	return e, err
}

// credentials says what a caller has to bring.
func (d *document) credentials(security []requirement) ([]phrase, error) {
	var all []phrase
	if len(security) == 0 || slices.ContainsFunc(security, func(r requirement) bool { return len(r) == 0 }) {
		all = append(all, phrase{Text: "none"})
	}
	for _, r := range security {
		for name := range r {
			s := d.Components.SecuritySchemes.get(name)
			if s == nil {
				return nil, fmt.Errorf("there is no security scheme %s", name)
			}
			all = append(all, phrase{Text: s.label(), Anchor: "auth-" + name})
		}
	}
	return all, nil
}

func (d *document) bodyEntry(b *requestBody) (*bodyEntry, error) {
	entry := &bodyEntry{Text: prose(b.Description)}
	for _, m := range b.Content {
		entry.Types = append(entry.Types, m.Name)
	}
	if len(b.Content) == 0 {
		return nil, errors.New("the body has no content")
	}
	s := &b.Content[0].Value.Schema
	var err error
	if entry.Schema, err = d.typeOf(s); err != nil {
		return nil, err
	}
	entry.Fields, err = d.fieldsOf(s)
	return entry, err
}

func (d *document) answerEntry(status string, r *response) (a answerEntry, samples []sample, err error) {
	if r, err = d.response(r); err != nil {
		return a, nil, err
	}
	number, err := strconv.Atoi(status)
	if err != nil {
		return a, nil, err
	}
	a = answerEntry{Status: status, Title: http.StatusText(number), Text: inline(r.Description)}
	for _, m := range r.Headers {
		h, err := d.header(m.Value)
		if err != nil {
			return a, nil, err
		}
		f, err := d.fieldOf(m.Name, &h.Schema, h.Required)
		if err != nil {
			return a, nil, err
		}
		f.Text = prose(h.Description)
		a.Headers = append(a.Headers, f)
	}
	for i, m := range r.Content {
		a.Types = append(a.Types, m.Name)
		if i > 0 {
			continue // the same in another form
		}
		if a.Schema, err = d.typeOf(&m.Value.Schema); err != nil {
			return a, nil, err
		}
		a.Codes = codesOf(&m.Value.Schema)
		for _, x := range m.Value.Examples {
			text, err := layOut(x.Value.Value, "", coloured)
			if err != nil {
				return a, nil, err
			}
			samples = append(samples, sample{status + " " + a.Title + ": " + x.Value.Summary, template.HTML(text)})
		}
	}
	return a, samples, nil
}

// codesOf returns the codes that a problem document may have in an answer.
func codesOf(s *schema) []string {
	var codes []string
	for i := range s.AllOf {
		if code := s.AllOf[i].Properties.get("code"); code != nil {
			codes = append(codes, code.Enum...)
			if code.Const != nil {
				codes = append(codes, strings.Trim(string(code.Const), `"`))
			}
		}
	}
	return codes
}

// exampleCredential returns the header with the credential that the examples of an operation send, "" for none.
func (d *document) exampleCredential(security []requirement) string {
	if len(security) == 0 {
		return ""
	}
	for name := range security[0] {
		s := d.Components.SecuritySchemes.get(name)
		return s.header(s.variable())
	}
	return ""
}

// requests gives a curl command for each example of a request; without any, one that sends nothing.
func (e *operationEntry) requests(m method, parameters []*parameter, credential string) ([]sample, error) {
	path, err := pathOf(e.Path, parameters)
	if err != nil {
		return nil, err
	}
	query, err := queryOf(parameters)
	if err != nil {
		return nil, err
	}
	command := curlCommand{method: e.Method, address: e.URL + path}
	if credential != "" {
		command.headers = append(command.headers, credential)
	}
	var samples []sample
	add := func(title string, c curlCommand) error {
		text, err := c.text()
		samples = append(samples, sample{title, template.HTML(template.HTMLEscapeString(text))})
		return err
	}
	if m.RequestBody == nil {
		err = add(e.Summary, command)
		if query != "" && err == nil {
			command.address += query
			err = add("With every parameter", command)
		}
		return samples, err
	}
	content := m.RequestBody.Content[0]
	command.headers = append(slices.Clip(command.headers), "Content-Type: "+content.Name)
	for _, x := range content.Value.Examples {
		command.body = x.Value.Value
		if err := add(x.Value.Summary, command); err != nil {
			return nil, err
		}
	}
	return samples, nil
}

// problems makes the table of errors out of the document's list of codes.
func (d *document) problems() ([]problem, error) {
	codes := d.Components.Schemas.get("ProblemCode")
	if codes == nil {
		return nil, errors.New("the OpenAPI document has no schema ProblemCode")
	}
	var all []problem
	for _, code := range codes.Enum {
		status := api.Code(code).Status()
		all = append(all, problem{code, status, http.StatusText(status), inline(codes.EnumDescriptions[code])})
	}
	return all, nil
}

func (d *document) schemaEntry(name string, s *schema) (schemaEntry, error) {
	entry := schemaEntry{Name: name, Anchor: schemaAnchor(name), Text: prose(s.Description), Limits: limits(s), Values: values(s)}
	var err error
	if entry.Fields, err = d.fieldsOf(s); err != nil {
		return entry, err
	}
	if len(entry.Fields) == 0 {
		entry.Type, err = d.typeOf(s)
	}
	return entry, err
}
