package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/telemetry"
)

// route is one row of the table that a listener serves. The answers to a wrong path and to a wrong method, the Allow
// header and the labels of metrics and log lines follow from the table.
type route struct {
	method  string // a route for GET serves HEAD as well
	pattern string // "/v1/api-keys/{key_id}": what stands in braces matches one segment
	serve   func(*exchange) error

	public   bool     // no credential is asked for
	writes   bool     // it answers with JSON of ours, so the Accept header has a say
	consumes []string // the media types of the body; none: a body is not looked at
	empty    bool     // the body may be left out
	maxBody  int64    // bytes
	quiet    bool     // a success may go without a log line
	clients  bool     // callers may present the operator's token as the password of an OAuth client
	judges   bool     // it takes every method, and all that stands behind its path; every answer says whose the key is

	segments []string
	label    string // "GET /v1/api-keys/{key_id}"
	metrics  *telemetry.Route
	target   *telemetry.Target // of a request with this method, and this pattern as its path
}

// maxWildcards is how many a pattern has at most.
const maxWildcards = 2

// wildcards are what a path holds in the places of a pattern's.
type wildcards [maxWildcards]string

// anyMethod stands for the method in the name of a route that takes every one.
const anyMethod = "ANY"

// table holds the routes of a listener.
type table []*route

// unmatched is what metrics call the requests that no route matches.
const unmatched = "none"

func newTable(routes []route, listener string, m *telemetry.Metrics) table {
	t := make(table, len(routes))
	for i := range routes {
		t[i] = &routes[i]
		t[i].segments = strings.Split(t[i].pattern, "/")
		t[i].label = t[i].method + " " + t[i].pattern
		if t[i].judges {
			t[i].label = anyMethod + " " + t[i].pattern
		}
		t[i].metrics = m.Route(listener, t[i].label)
		t[i].target = telemetry.NewTarget(listener, t[i].method, t[i].pattern, t[i].label)
	}
	return t
}

// find returns the route of a request and what its path holds in place of the wildcards; or the problem that there is
// none. Where several match, the first in the table is taken.
//
// The path is taken as it stands: nothing is cleaned, and nobody is sent elsewhere.
func (t table) find(method string, path *url.URL) (found *route, w wildcards, err error) {
	segments := strings.Split(path.EscapedPath(), "/")
	var allowed []string
	for _, r := range t {
		texts, ok := r.match(segments)
		if !ok {
			continue
		}
		if method == r.method || method == http.MethodHead && r.method == http.MethodGet {
			return r, texts, nil
		}
		allowed = append(allowed, r.method)
		if r.method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	if allowed == nil {
		return nil, w, &problem{code: api.CodeNotFound, detail: "there is nothing at this path"}
	}
	slices.Sort(allowed)
	allow := strings.Join(slices.Compact(allowed), ", ") // /v1/sessions/current is a session's path, too
	return nil, w, &problem{code: api.CodeMethodNotAllowed, allow: allow, detail: "this path knows the methods " + allow}
}

func (r *route) match(segments []string) (w wildcards, ok bool) {
	if len(segments) != len(r.segments) {
		return w, false
	}
	n := 0
	for i, want := range r.segments {
		got, err := url.PathUnescape(segments[i])
		if err != nil {
			return w, false
		}
		switch {
		case strings.HasPrefix(want, "{") && got != "":
			w[n] = got
			n++
		case want != got:
			return w, false
		}
	}
	return w, true
}
