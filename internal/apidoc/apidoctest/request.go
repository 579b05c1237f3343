package apidoctest

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// checkRequest holds a request against an operation.
func (d *description) checkRequest(x exchange, o *operation) []string {
	query, err := url.ParseQuery(x.req.URL.RawQuery)
	if err != nil {
		return []string{err.Error()}
	}
	var complaints []string
	for i := range o.Parameters {
		p := &o.Parameters[i]
		complaints = append(complaints, p.check(p.given(x.req, query, o.path))...)
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.ContainsFunc(o.Parameters, func(p parameter) bool { return p.In == "query" && p.Name == name }) {
			complaints = append(complaints, "the query parameter "+name+" is not described")
		}
	}
	if !d.allows(x.req, o.Security) {
		complaints = append(complaints, fmt.Sprintf("it has none of the credentials %v", o.Security))
	}
	return append(complaints, checkSent(x, o)...)
}

// given returns the values that a request has for a parameter.
func (p *parameter) given(r *http.Request, query url.Values, template string) []string {
	switch p.In {
	case "path":
		segments := strings.Split(r.URL.EscapedPath(), "/")
		for i, name := range strings.Split(template, "/") {
			if name == "{"+p.Name+"}" {
				return segments[i : i+1]
			}
		}
	case "query":
		return query[p.Name]
	case "header":
		return r.Header.Values(p.Name)
	}
	return nil // there are no cookies but credentials
}

func (p *parameter) check(values []string) []string {
	what := p.In + " parameter " + p.Name
	switch {
	case len(values) > 1:
		return []string{fmt.Sprintf("%s is given %d times", what, len(values))}
	case len(values) == 1:
		return p.Schema.complain(what, p.Schema.value(values[0]))
	case p.Required:
		return []string{what + " is missing"}
	}
	return nil
}

// allows says whether a request has what one of the requirements asks for.
func (d *description) allows(r *http.Request, requirements []requirement) bool {
	meets := func(needed requirement) bool {
		for name := range needed {
			if !d.Components.SecuritySchemes[name].isIn(r) {
				return false
			}
		}
		return true
	}
	return len(requirements) == 0 || slices.ContainsFunc(requirements, meets)
}

// isIn says whether a request has a credential of that kind.
func (s securityScheme) isIn(r *http.Request) bool {
	switch s.Type + " " + s.Scheme + s.In {
	case "http bearer", "http basic":
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		return strings.EqualFold(scheme, s.Scheme) && token != ""
	case "apiKey header":
		return r.Header.Get(s.Name) != ""
	case "apiKey cookie":
		return len(r.CookiesNamed(s.Name)) > 0
	}
	return false
}

// checkSent holds the body of a request against what is described.
func checkSent(x exchange, o *operation) []string {
	switch {
	case len(x.sent) > 0 && o.RequestBody == nil:
		return []string{fmt.Sprintf("there is a body of %d bytes, and none is described", len(x.sent))}
	case len(x.sent) > 0:
		return checkBody(o.RequestBody.Content, x.req.Header.Get("Content-Type"), x.sent)
	case o.RequestBody != nil && o.RequestBody.Required:
		return []string{"the body is missing"}
	}
	return nil
}
