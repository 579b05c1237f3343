package httpapi

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/internal/apidoc"
)

// The routes of each listener are those that the OpenAPI document describes for it, no more and no less, with the same
// credentials and media types.
func TestRoutesAreThoseOfTheDocument(t *testing.T) {
	type operation struct {
		Security    *[]map[string][]string
		RequestBody *struct {
			Required bool
			Content  map[string]any
		}
	}
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(apidoc.Document(), &document); err != nil {
		t.Fatal(err)
	}
	described := map[string]operation{} // by listener, method and path
	for path, item := range document.Paths {
		listener := "management"
		if item["servers"] != nil { // the others are where the document comes from
			listener = "verification"
		}
		for method, raw := range item {
			if method == "servers" || method == "parameters" {
				continue
			}
			var o operation
			if err := json.Unmarshal(raw, &o); err != nil {
				t.Fatal(err)
			}
			described[listener+" "+strings.ToUpper(method)+" "+path] = o
		}
	}

	k := newKit(t, nil)
	for listener, server := range map[string]*server{
		"management":   k.management.Config.Handler.(*server),
		"verification": k.service.Config.Handler.(*server),
	} {
		for _, r := range server.routes {
			name := listener + " " + r.method + " " + r.pattern
			o, ok := described[name]
			if !ok {
				t.Errorf("%s is not in the document", name)
				continue
			}
			delete(described, name)
			if public := o.Security != nil && len(*o.Security) == 0; public != r.public {
				t.Errorf("%s: public in the document: %t, here: %t", name, public, r.public)
			}
			var types []string
			if o.RequestBody != nil {
				for name := range o.RequestBody.Content {
					types = append(types, name)
				}
				if o.RequestBody.Required == r.empty {
					t.Errorf("%s: the body is required in the document: %t, may be left out here: %t", name, o.RequestBody.Required, r.empty)
				}
			}
			slices.Sort(types)
			if want := slices.Sorted(slices.Values(r.consumes)); !slices.Equal(types, want) {
				t.Errorf("%s takes %q in the document, %q here", name, types, want)
			}
		}
	}
	for name := range described {
		t.Errorf("%s is in the document, and there is no such route", name)
	}
}
