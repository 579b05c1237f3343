package apidoctest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

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
type description struct{ *document }

// load reads the document, once for all tests of a program.
var load = sync.OnceValues(func() (*description, error) {
	d, err := newDescription(apidoc.Document())
	if err != nil {
		return nil, fmt.Errorf("read the API document: %w", err)
	}
	return d, nil
})

func newDescription(text []byte) (*description, error) {
	d, err := parse(text)
	if err != nil {
		return nil, err
	}
	c, err := newCompiler(text)
	if err != nil {
		return nil, err
	}
	for _, item := range d.Paths {
		for _, o := range item.value.operations() {
			if err := c.compile(o); err != nil {
				return nil, err
			}
		}
	}
	return &description{d}, nil
}

// answers lists every answer of every operation.
func (d *description) answers() []Answer {
	var all []Answer
	for _, item := range d.Paths {
		for _, o := range item.value.operations() {
			for _, r := range o.Responses {
				if status, err := strconv.Atoi(r.name); err == nil {
					all = append(all, Answer{o.OperationID, status})
				}
			}
		}
	}
	return all
}

// find returns the operations of the path that a request is about; none where that is not described.
func (d *description) find(u *url.URL) []*operation {
	segments := strings.Split(u.EscapedPath(), "/")
	for _, item := range d.Paths {
		want := strings.Split(item.name, "/")
		if slices.EqualFunc(segments, want, func(got, want string) bool {
			return got == want || strings.HasPrefix(want, "{") && got != ""
		}) {
			return item.value.operations()
		}
	}
	return nil
}

// check says which operations have had their answer described by the exchange, and what about it is not as described.
func (d *description) check(x exchange) (operationIDs, complaints []string) {
	all := d.find(x.req.URL)
	if len(all) == 0 {
		return nil, d.checkNowhere(x)
	}
	method := x.req.Method
	if method == http.MethodHead {
		method = http.MethodGet // which describes it (RFC 9110, section 9.3.2)
	}
	i := slices.IndexFunc(all, func(o *operation) bool { return o.method == method })
	if i < 0 {
		for _, o := range all {
			operationIDs = append(operationIDs, o.OperationID) // a 405 is the path's
		}
		return operationIDs, checkMethod(x, all)
	}
	o := all[i]
	complaints = checkAnswer(x, o)
	if x.resp.StatusCode < 300 && x.req.Method != http.MethodHead {
		for _, text := range d.checkRequest(x, o) {
			complaints = append(complaints, "the request is not one that is described: "+text)
		}
	}
	return []string{o.OperationID}, complaints
}

// checkNowhere is for a path that is not in the document. It has to be 404, described as any other.
func (d *description) checkNowhere(x exchange) []string {
	if x.resp.StatusCode != http.StatusNotFound {
		return []string{"the path is not described"}
	}
	all := d.find(&url.URL{Path: "/v1/api-keys/1"})
	if len(all) == 0 {
		return []string{"/v1/api-keys/1 is not described"}
	}
	return checkAnswer(x, all[0])
}

// checkMethod is for a path that is in the document, without this method. It has to be 405 and to allow what is.
func checkMethod(x exchange, all []*operation) []string {
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
	complaints := checkAnswer(x, all[0])
	if got := x.resp.Header.Get("Allow"); got != strings.Join(want, ", ") {
		complaints = append(complaints, fmt.Sprintf("Allow is %q, described are %q", got, want))
	}
	return complaints
}
