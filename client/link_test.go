package client

import (
	"net/http"
	"strings"
	"testing"
)

func TestNextCursor(t *testing.T) {
	for _, row := range []struct {
		why   string
		links []string
		want  string
		err   bool
	}{
		{"none", nil, "", false},
		{"empty", []string{" "}, "", false},
		{"as the server writes it", []string{`</v1/api-keys?cursor=abc>; rel="next"`}, "abc", false},
		{"without quotes", []string{`</k?cursor=abc>;rel=next`}, "abc", false},
		{"any case", []string{`</k?cursor=abc>; REL="Next"`}, "abc", false},
		{"one of several types", []string{`</k?cursor=abc>; rel="last next"`}, "abc", false},
		{"the second link", []string{`</k?cursor=a>; rel="prev", </k?cursor=b>; rel="next"`}, "b", false},
		{"the second header", []string{`</k?cursor=a>; rel="prev"`, `</k?cursor=b>; rel="next"`}, "b", false},
		{"a comma and a semicolon in quotes", []string{`</k?cursor=a>; title="x, <y>; rel=next"; rel=prev, </k?cursor=b>; rel=next`}, "b", false},
		{"an escaped quote", []string{`</k?cursor=a>; title="\"; rel=next"; rel="prev"`}, "", false},
		{"a comma in the target", []string{`</k?cursor=a,b>; rel="next"`}, "a,b", false},
		{"a parameter without value", []string{`</k?cursor=a>; crossorigin; rel="next"`}, "a", false},
		{"the first rel counts", []string{`</k?cursor=a>; rel=prev; rel=next`}, "", false},
		{"an escaped cursor", []string{`</k?cursor=a%3D%26b>; rel="next"`}, "a=&b", false},
		{"an empty target", []string{`<>; rel="next"`}, "", true},
		{"no angle bracket", []string{`/k?cursor=a; rel="next"`}, "", true},
		{"an open bracket", []string{`</k?cursor=a; rel="next"`}, "", true},
		{"an open quote", []string{`</k?cursor=a>; rel="next`}, "", true},
		{"no semicolon", []string{`</k?cursor=a> rel="next"`}, "", true},
		{"an empty cursor", []string{`</k?cursor=>; rel="next"`}, "", true},
		{"a bad escape", []string{`</k?cursor=%zz>; rel="next"`}, "", true},
		{"a bad URL", []string{"<http://[>; rel=next"}, "", true},
	} {
		got, err := nextCursor(http.Header{"Link": row.links})
		if got != row.want || (err != nil) != row.err {
			t.Errorf("%s: %q, %v", row.why, got, err)
		}
	}
}

// FuzzNextCursor: whatever a server sends, reading it ends, and it is either understood or refused.
func FuzzNextCursor(f *testing.F) {
	f.Add(`</v1/api-keys?cursor=abc>; rel="next"`)
	f.Add(`<a>; title="\"; x", <b?cursor=1>; rel="next"`)
	f.Add(`,,<>,<`)
	f.Fuzz(func(t *testing.T, link string) {
		cursor, err := nextCursor(http.Header{"Link": {link}})
		if err != nil && cursor != "" {
			t.Errorf("both a cursor %q and an error %v", cursor, err)
		}
		if cursor != "" && !strings.Contains(strings.ToLower(link), "next") {
			t.Errorf("a next page out of %q", link)
		}
	})
}
