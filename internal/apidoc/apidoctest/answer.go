package apidoctest

import (
	"bytes"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// transportHeaders belong to HTTP itself, or protect a browser, and mean nothing to a client.
var transportHeaders = []string{"Connection", "Content-Length", "Content-Type", "Date", "Transfer-Encoding", "X-Content-Type-Options"}

// checkAnswer holds status, headers and body against an operation.
func checkAnswer(x exchange, o *operation) []string {
	described := o.Responses.get(strconv.Itoa(x.resp.StatusCode))
	if described == nil {
		return []string{fmt.Sprintf("the status %d is not described", x.resp.StatusCode)}
	}
	complaints := checkHeaders(x.resp.Header, described.Headers)
	switch {
	case x.req.Method == http.MethodHead && len(x.received) > 0:
		complaints = append(complaints, fmt.Sprintf("HEAD has a body of %d bytes", len(x.received)))
	case x.req.Method == http.MethodHead:
	case len(described.Content) > 0:
		complaints = append(complaints, checkBody(described.Content, x.resp.Header.Get("Content-Type"), x.received)...)
	case len(x.received) > 0:
		complaints = append(complaints, fmt.Sprintf("there is a body of %d bytes, and none is described", len(x.received)))
	}
	return complaints
}

// checkHeaders holds the headers of an answer against those that are described. Where one is there several times, each has to be right.
func checkHeaders(h http.Header, described ordered[header]) []string {
	var complaints []string
	known := slices.Clone(transportHeaders)
	for _, want := range described {
		known = append(known, http.CanonicalHeaderKey(want.name))
		values := h.Values(want.name)
		if len(values) == 0 && want.value.Required {
			complaints = append(complaints, "the header "+want.name+" is missing")
		}
		for _, text := range values {
			complaints = append(complaints, want.value.Schema.complain("the header "+want.name, want.value.Schema.value(text))...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if !slices.Contains(known, name) {
			complaints = append(complaints, "the header "+name+" is not described")
		}
	}
	return complaints
}

// checkBody holds a body, of a request or an answer, against what is described for its media type.
func checkBody(content ordered[mediaType], contentType string, body []byte) []string {
	name, _, err := mime.ParseMediaType(contentType)
	described := content.get(name)
	if err != nil || described == nil {
		return []string{fmt.Sprintf("the media type %q is not described", contentType)}
	}
	value, err := decode(name, body)
	if err != nil {
		return []string{"the body cannot be decoded: " + err.Error()}
	}
	return described.Schema.complain("the body", value)
}

// decode reads a body: JSON, a form, the fields of which are strings, or text.
func decode(mediaType string, body []byte) (any, error) {
	switch {
	case strings.HasSuffix(mediaType, "json"):
		return jsonschema.UnmarshalJSON(bytes.NewReader(body))
	case mediaType == "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		fields := map[string]any{}
		for name, values := range form {
			if len(values) > 1 {
				return nil, fmt.Errorf("%s is there %d times", name, len(values))
			}
			fields[name] = values[0]
		}
		return fields, err
	}
	return string(body), nil
}
