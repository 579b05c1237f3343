package httpapi

import (
	"net/http"
	"testing"
)

func TestAccept(t *testing.T) {
	for _, c := range []struct {
		accept []string
		want   bool
	}{
		{nil, true},
		{[]string{""}, true},
		{[]string{"*/*"}, true},
		{[]string{"application/json"}, true},
		{[]string{"APPLICATION/JSON"}, true},
		{[]string{"application/*"}, true},
		{[]string{"application/json; charset=utf-8"}, true},
		{[]string{"application/json;q=0.001"}, true},
		{[]string{"text/html, application/json;q=0.1"}, true},
		{[]string{"text/html", "application/json"}, true},
		{[]string{"text/html, */*;q=0.1"}, true},
		{[]string{"text/html, image/gif, *; q=.2, */*; q=.2"}, true}, // Java's
		{[]string{"*/*;q=0, application/json"}, true},
		{[]string{"application/*;q=0, application/json"}, true},
		{[]string{"application/json, application/json;q=0"}, true},

		{[]string{"text/html"}, false},
		{[]string{"text/*"}, false},
		{[]string{"application/xml"}, false},
		{[]string{"application/jsonp"}, false},
		{[]string{"application/problem+json"}, false},
		{[]string{"application/json;charset=utf-16"}, false},
		{[]string{"application/json;version=2"}, false},
		{[]string{"application/json;q=0"}, false},
		{[]string{"application/json;q=0, */*"}, false},
		{[]string{"application/*;q=0, */*"}, false},
		{[]string{"application/json;q=0.0", "*/*;q=1"}, false},
		{[]string{"application/json;q=2"}, false},
		{[]string{"application/json;q=NaN"}, false},
		{[]string{"*/*;q=-1"}, false},
		{[]string{"json"}, false},
		{[]string{"/"}, false},
		{[]string{"*"}, false},
		{[]string{",,"}, false},
	} {
		if got := acceptsJSON(http.Header{"Accept": c.accept}); got != c.want {
			t.Errorf("%q: %t", c.accept, got)
		}
	}
}

func TestContentType(t *testing.T) {
	both := []string{typeJSON, typeMergePatch}
	for _, c := range []struct {
		header   http.Header
		consumes []string
		want     bool
	}{
		{http.Header{"Content-Type": {"application/json"}}, both, true},
		{http.Header{"Content-Type": {"Application/JSON"}}, both, true},
		{http.Header{"Content-Type": {"application/json; charset=utf-8"}}, both, true},
		{http.Header{"Content-Type": {`application/json;charset="UTF-8"`}}, both, true},
		{http.Header{"Content-Type": {"application/merge-patch+json"}}, both, true},
		{http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"identity"}}, both, true},

		{http.Header{}, both, false},
		{http.Header{"Content-Type": {""}}, both, false},
		{http.Header{"Content-Type": {"application/merge-patch+json"}}, both[:1], false},
		{http.Header{"Content-Type": {"text/plain"}}, both, false},
		{http.Header{"Content-Type": {"text/json"}}, both, false},
		{http.Header{"Content-Type": {"application/json; charset=iso-8859-1"}}, both, false},
		{http.Header{"Content-Type": {"application/json; charset=utf-16"}}, both, false},
		{http.Header{"Content-Type": {"application/json; version=1"}}, both, false},
		{http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, both, false},
		{http.Header{"Content-Type": {"application/json, text/plain"}}, both, false},
		{http.Header{"Content-Type": {"application/json", "application/json"}}, both, false},
		{http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, both, false},
		{http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}, both, false},
		{http.Header{"Content-Type": {"*/*"}}, both, false},
	} {
		if err := checkContentType(c.header, c.consumes); (err == nil) != c.want {
			t.Errorf("%v for %v: %v", c.header, c.consumes, err)
		}
	}
}
