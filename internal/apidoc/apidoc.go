// Package apidoc describes the HTTP API of both listeners: to programs as an OpenAPI 3.1 document, and to people as
// a reference page made from it.
//
// The document, openapi.json, is written by hand, because a description that a program derives from types says what
// the types say and no more: not when a status is given, nor what to do then. What keeps it true is apidoctest, which
// holds real requests and answers against it. The page is rendered once, when the server starts. It needs no script,
// loads nothing from anywhere and says nothing that the document does not.
//
// The package knows none of the handlers, and whoever mounts it decides about methods and credentials.
package apidoc

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
)

//go:embed openapi.json
var openapi []byte

// Document returns the OpenAPI 3.1 document, as JSON. The caller may change the copy.
func Document() []byte { return append([]byte(nil), openapi...) }

// OpenAPI returns the handler of GET and HEAD for the OpenAPI document.
func OpenAPI() http.Handler { return newFile("application/json", openapi) }

// Page returns the handler of GET and HEAD for the reference page. It panics where the embedded document cannot be
// rendered, which the tests rule out.
func Page() http.Handler {
	body, err := render(openapi)
	if err != nil {
		panic(err)
	}
	f := newFile("text/html; charset=utf-8", body)
	f.header.Set("Content-Security-Policy", contentSecurityPolicy())
	return f
}

// file is an answer that never changes while the server runs.
type file struct {
	body   []byte
	etag   string
	header http.Header
}

func newFile(contentType string, body []byte) *file {
	sum := sha256.Sum256(body)
	f := &file{body: body, etag: `"` + hex.EncodeToString(sum[:16]) + `"`, header: http.Header{}}
	f.header.Set("Content-Type", contentType)
	f.header.Set("ETag", f.etag)
	// Another version of the server may stand at the same address tomorrow: keep it, but ask.
	f.header.Set("Cache-Control", "no-cache")
	f.header.Set("X-Content-Type-Options", "nosniff")
	return f
}

// ServeHTTP answers with the file, or with 304 where the caller has it. It is not http.ServeContent, which would
// also answer ranges and conditions that nobody needs here and the document would have to describe.
func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	for name, values := range f.header {
		h[name] = values
	}
	if f.isNamedIn(r.Header.Values("If-None-Match")) {
		h.Del("Content-Type") // it and the policy are about a body (RFC 9110, section 15.4.5)
		h.Del("Content-Security-Policy")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(f.body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(f.body) // a caller who is gone does not miss it
	}
}

// isNamedIn reports whether If-None-Match names this file (RFC 9110, section 13.1.2). The comparison is the weak one:
// a proxy that compresses makes tags weak.
func (f *file) isNamedIn(conditions []string) bool {
	for _, line := range conditions {
		for tag := range strings.SplitSeq(line, ",") {
			tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
			if tag == f.etag || tag == "*" {
				return true
			}
		}
	}
	return false
}
