// Package apidoctest holds real requests and answers against the OpenAPI document, so that the document stays true.
//
//	r := apidoctest.New(t)
//	c := &http.Client{Transport: r.Transport(nil)}
//
// Whatever goes through the transport is looked at, and the test fails where the server did what the document does
// not say: a path, a method, a status, a header, a media type, a field or a value that is not described, one that is
// described as always there and is missing, or success for a request that the document does not allow. What it cannot
// see is a rule that JSON Schema cannot express; the document states those in words.
//
// A refused request may be anything at all: tests send bad ones on purpose. Only the answer has to be as described.
package apidoctest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
)

// Recorder checks exchanges and remembers what it has seen. It is safe for concurrent use.
type Recorder struct {
	t testing.TB

	doc *description

	mu   sync.Mutex
	seen map[Answer]bool
	said map[string]bool // the details of problem documents
}

// Answer is one that the document describes.
type Answer struct {
	OperationID string
	Status      int
}

// String returns "createKey 201".
func (a Answer) String() string { return fmt.Sprintf("%s %d", a.OperationID, a.Status) }

// New returns a Recorder that reports to t.
func New(t testing.TB) *Recorder {
	t.Helper()
	doc, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return &Recorder{t: t, doc: doc, seen: map[Answer]bool{}, said: map[string]bool{}}
}

// Transport returns a RoundTripper that sends requests through base and checks each exchange; a nil base is
// http.DefaultTransport.
func (r *Recorder) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{r, base}
}

// Unseen returns the answers that the document describes and no exchange has had, in the document's order.
func (r *Recorder) Unseen() []Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(r.doc.answers(), func(a Answer) bool { return r.seen[a] })
}

// Unsaid returns the details in the document's examples of problems that no problem document has had.
func (r *Recorder) Unsaid() ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, err := exampleDetails()
	return slices.DeleteFunc(all, func(detail string) bool { return r.said[detail] }), err
}

type transport struct {
	recorder *Recorder
	base     http.RoundTripper
}

// RoundTrip sends the request, and reads both bodies whole.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var sent []byte
	if req.Body != nil {
		var err error
		if sent, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		if err := req.Body.Close(); err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(bytes.NewReader(sent))
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusSwitchingProtocols { // what follows is no body
		t.recorder.record(exchange{req, sent, resp, nil})
		return resp, nil
	}
	received, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if err := resp.Body.Close(); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(received))
	t.recorder.record(exchange{req, sent, resp, received})
	return resp, nil
}

func (r *Recorder) record(x exchange) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, detail := range x.details() {
		r.said[detail] = true
	}
	operationIDs, complaints := r.doc.check(x)
	for _, id := range operationIDs {
		r.seen[Answer{id, x.resp.StatusCode}] = true
	}
	for _, complaint := range complaints {
		r.t.Errorf("%s %s answered %d, which is not as the API document says: %s",
			x.req.Method, x.req.URL.Path, x.resp.StatusCode, complaint)
	}
}
