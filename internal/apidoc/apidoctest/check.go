package apidoctest

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	validation "github.com/pb33f/libopenapi-validator/errors"
	"github.com/pb33f/libopenapi-validator/responses"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
	"github.com/pb33f/libopenapi/orderedmap"

	"github.com/apikeyd/apikeyd/internal/apidoc"
)

// exchange is a request and its answer, with bodies that were read.
type exchange struct {
	req      *http.Request
	sent     []byte
	resp     *http.Response
	received []byte
}

// description is the document, ready to be asked.
type description struct {
	model     *v3.Document
	validator validator.Validator
	options   []config.Option
}

// load reads the document, once for all tests of a program.
var load = sync.OnceValues(func() (*description, error) {
	document, err := libopenapi.NewDocument(apidoc.Document())
	if err != nil {
		return nil, fmt.Errorf("read the API document: %w", err)
	}
	model, err := document.BuildV3Model()
	if err != nil {
		return nil, fmt.Errorf("read the API document: %w", err)
	}
	d := &description{model: &model.Model, options: []config.Option{
		config.WithFormatAssertions(),
		config.WithRejectUndeclaredRequestBody(),
		// Strict: a field that is not declared is an error, although clients are told to expect more in later versions.
		config.WithStrictMode(),
		config.WithStrictIgnorePaths(notDeclared...),
	}}
	d.validator = validator.NewValidatorFromV3Model(d.model, d.options...)
	return d, nil
})

// notDeclared is what the document does not declare, or what is looked at elsewhere.
var notDeclared = []string{
	"$.body.metadata", "$.body[*].metadata", "$.body.results[*].metadata", // the user's
	"$.body[*].before", "$.body[*].after", // as the thing that an audit entry is about
	"$.body.openapi", "$.body.info", "$.body.servers", "$.body.security", "$.body.tags", "$.body.paths",
	"$.body.components",            // the document itself; OpenAPI describes it
	"$.headers.**", "$.cookies.**", // a request may have any; those of an answer: see undescribed
}

// transportHeaders belong to HTTP itself, or protect a browser, and mean nothing to a client.
var transportHeaders = []string{"Connection", "Content-Length", "Content-Type", "Date", "Transfer-Encoding", "X-Content-Type-Options"}

// undescribed lists the headers of an answer that are not described.
func undescribed(h http.Header, described *v3.Response) (complaints []string) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		known := slices.Contains(transportHeaders, name)
		for want := range described.Headers.KeysFromOldest() {
			known = known || http.CanonicalHeaderKey(want) == name
		}
		if !known {
			complaints = append(complaints, "the header "+name+" is not described")
		}
	}
	return complaints
}

// operation is one of the document's.
type operation struct {
	method string
	*v3.Operation
}

// operations lists those of a path.
func operations(item *v3.PathItem) []operation {
	var all []operation
	for method, o := range item.GetOperations().FromOldest() {
		all = append(all, operation{strings.ToUpper(method), o})
	}
	return all
}

// answers lists every answer of every operation.
func (d *description) answers() []Answer {
	var all []Answer
	for _, item := range d.model.Paths.PathItems.FromOldest() {
		for _, o := range operations(item) {
			for code := range o.Responses.Codes.FromOldest() {
				if status, err := strconv.Atoi(code); err == nil {
					all = append(all, Answer{o.OperationId, status})
				}
			}
		}
	}
	return all
}

// find returns the description of a path.
func (d *description) find(u *url.URL) *v3.PathItem {
	segments := strings.Split(u.EscapedPath(), "/")
	for template, item := range d.model.Paths.PathItems.FromOldest() {
		want := strings.Split(template, "/")
		if slices.EqualFunc(segments, want, func(got, want string) bool {
			return got == want || strings.HasPrefix(want, "{") && got != ""
		}) {
			return item
		}
	}
	return nil
}

// check says which operations have had their answer described by the exchange, and what about it is not as described.
func (d *description) check(x exchange) (operationIDs, complaints []string) {
	item := d.find(x.req.URL)
	if item == nil {
		return nil, d.checkNowhere(x)
	}
	method := x.req.Method
	if method == http.MethodHead {
		method = http.MethodGet // which describes it (RFC 9110, section 9.3.2)
	}
	all := operations(item)
	i := slices.IndexFunc(all, func(o operation) bool { return o.method == method })
	if i < 0 {
		for _, o := range all {
			operationIDs = append(operationIDs, o.OperationId) // a 405 is the path's
		}
		return operationIDs, d.checkMethod(x, all)
	}
	o := all[i]
	operationIDs = []string{o.OperationId}
	if x.req.Method == http.MethodHead {
		return operationIDs, d.checkHead(x, o)
	}
	complaints = d.checkAnswer(x, x.req, o)
	if x.resp.StatusCode < 300 {
		_, errs := d.validator.ValidateHttpRequest(withBody(x.req, x.sent))
		for _, text := range explain(errs) {
			complaints = append(complaints, "the request is not one that is described: "+text)
		}
	}
	return operationIDs, complaints
}

// checkNowhere is for a path that is not in the document. It has to be 404, described as any other.
func (d *description) checkNowhere(x exchange) []string {
	if x.resp.StatusCode != http.StatusNotFound {
		return []string{"the path is not described"}
	}
	return d.checkAs(x, http.MethodGet, "/v1/api-keys/1")
}

// checkMethod is for a path that is in the document, without this method. It has to be 405 and to allow what is.
func (d *description) checkMethod(x exchange, all []operation) []string {
	if x.resp.StatusCode != http.StatusMethodNotAllowed {
		return []string{"the method is not described"}
	}
	var want []string
	for _, o := range all {
		want = append(want, o.method)
		if o.method == http.MethodGet {
			want = append(want, http.MethodHead)
		}
	}
	slices.Sort(want)
	complaints := d.checkAs(x, all[0].method, x.req.URL.EscapedPath())
	if got := x.resp.Header.Get("Allow"); got != strings.Join(want, ", ") {
		complaints = append(complaints, fmt.Sprintf("Allow is %q, described are %q", got, want))
	}
	return complaints
}

// checkAs checks the answer as if it belonged to another request.
func (d *description) checkAs(x exchange, method, path string) []string {
	r, err := http.NewRequest(method, path, nil)
	if err != nil {
		return []string{err.Error()}
	}
	item := d.find(r.URL)
	if item == nil {
		return []string{path + " is not described"}
	}
	for _, o := range operations(item) {
		if o.method == method {
			if x.req.Method == http.MethodHead {
				return d.checkHead(x, o)
			}
			return d.checkAnswer(x, r, o)
		}
	}
	return []string{method + " " + path + " is not described"}
}

// checkAnswer checks status, headers and body. r is the request that the answer is described for.
func (d *description) checkAnswer(x exchange, r *http.Request, o operation) []string {
	resp := *x.resp
	resp.Body = io.NopCloser(bytes.NewReader(x.received))
	_, errs := d.validator.ValidateHttpResponse(withBody(r, nil), &resp)
	complaints := explain(errs)
	described := o.Responses.Codes.GetOrZero(strconv.Itoa(x.resp.StatusCode))
	if described == nil {
		return complaints // that is what they say
	}
	if orderedmap.Len(described.Content) == 0 && len(x.received) > 0 {
		complaints = append(complaints, fmt.Sprintf("there is a body of %d bytes, and none is described", len(x.received)))
	}
	return append(complaints, undescribed(x.resp.Header, described)...)
}

// checkHead checks status and headers, and that there is no body.
func (d *description) checkHead(x exchange, o operation) []string {
	if len(x.received) > 0 {
		return []string{fmt.Sprintf("HEAD has a body of %d bytes", len(x.received))}
	}
	code := strconv.Itoa(x.resp.StatusCode)
	described := o.Responses.Codes.GetOrZero(code)
	if described == nil {
		return []string{"the status is not described"}
	}
	_, errs := responses.ValidateResponseHeaders(x.req, x.resp, described.Headers, x.req.URL.Path, code, d.options...)
	return append(explain(errs), undescribed(x.resp.Header, described)...)
}

// withBody returns a copy of a request with a body that can be read.
func withBody(r *http.Request, body []byte) *http.Request {
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	if len(body) == 0 {
		r.Body = http.NoBody
	}
	return r
}

// explain puts what the validator found into words.
func explain(errs []*validation.ValidationError) []string {
	var all []string
	for _, e := range errs {
		text := e.Message + ": " + e.Reason
		for _, s := range e.SchemaValidationErrors {
			text += fmt.Sprintf("; at /%s: %s", strings.Join(s.InstancePath, "/"), s.Reason)
		}
		all = append(all, text)
	}
	return all
}
