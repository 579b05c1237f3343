package rules

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/internal/key"
)

func TestCleanPath(t *testing.T) {
	for target, want := range map[string]string{
		"/":                "/",
		"/?x=/../y":        "/",
		"/a":               "/a",
		"/a/":              "/a",
		"/a/b?c=%2F":       "/a/b",
		"/%61":             "/a",
		"/a%20b":           "/a b",
		"/a+b,c=d:e@f!$&'": "/a+b,c=d:e@f!$&'",
		"/gr%C3%B6%c3%9fe": "/größe",
		"/größe":           "/größe",
		"/...":             "/...",
		"/.well-known/x":   "/.well-known/x",
		"/a.b/..c":         "/a.b/..c",
		"/100%25":          "/100%",
		"/%25zz":           "/%zz",
		"/a%3Fb%23":        "/a?b#",
		"/*/**":            "/*/**",
	} {
		if got, err := CleanPath(target); got != want || err != nil {
			t.Errorf("CleanPath(%q) = %q, %v; want %q", target, got, err, want)
		}
	}
	for target, want := range map[string]error{
		"":                        errNoPath,
		"a":                       errNoPath,
		"*":                       errNoPath,
		"?x":                      errNoPath,
		"http://host/a":           errNoPath,
		"//":                      errEmpty,
		"//a":                     errEmpty,
		"/a//b":                   errEmpty,
		"/a//":                    errEmpty,
		"/.":                      errDots,
		"/..":                     errDots,
		"/a/./b":                  errDots,
		"/a/../b":                 errDots,
		"/a/..":                   errDots,
		"/a/../":                  errDots,
		"/%2e":                    errDots,
		"/%2E%2e/b":               errDots,
		"/.%2e/b":                 errDots,
		"/a%2fb":                  errSlash,
		"/a%2Fb":                  errSlash,
		"/%2f":                    errSlash,
		"/a\\b":                   errSeparator,
		"/a%5cb":                  errSeparator,
		"/a%5Cb":                  errSeparator,
		"/a;b":                    errParameter,
		"/a;/b":                   errParameter,
		"/..;/b":                  errParameter,
		"/a%3bb":                  errParameter,
		"/a#b":                    errFragment,
		"/a b":                    errControl,
		"/a\tb":                   errControl,
		"/a\x00":                  errControl,
		"/a%00":                   errControl,
		"/a%0a":                   errControl,
		"/a%0D%0Ab":               errControl,
		"/a%7f":                   errControl,
		"/a%C2%85":                errControl,
		"/a%252f":                 errTwice,
		"/a%252e%252e/":           errTwice,
		"/a%25%32%66":             errTwice,
		"/a%255c":                 errTwice,
		"/a%25252f":               errTwice,
		"/%2541":                  errTwice,
		"/a%":                     errEscape,
		"/a%2":                    errEscape,
		"/a%2?f":                  errEscape,
		"/a%zz":                   errEscape,
		"/a%u002f":                errEscape,
		"/a%-1":                   errEscape,
		"/a%C0%AFb":               errUTF8,
		"/a%c0%ae":                errUTF8,
		"/a\xff":                  errUTF8,
		"/a%FF":                   errUTF8,
		"/a/%2e%2e%2fb":           errSlash,
		"/a" + "/b/c/d/../../../": errDots,
	} {
		if got, err := CleanPath(target); got != "" || err != want {
			t.Errorf("CleanPath(%q) = %q, %v; want %v", target, got, err, want)
		}
	}
}

// Whatever is not refused says the same to whoever decodes it again, cleans it, or folds it.
func FuzzCleanPath(f *testing.F) {
	for _, s := range []string{"/a/b", "/%61%2e", "/a%25", "/%C3%B6?x", "/a/../b", "/%252f", "/x;y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		path, err := CleanPath(target)
		if err != nil {
			return
		}
		if path == "" || path[0] != '/' || path != "/" && strings.HasSuffix(path, "/") {
			t.Fatalf("%q: %q", target, path)
		}
		for segment := range strings.SplitSeq(path[1:], "/") {
			if segment == "" && path != "/" || segment == "." || segment == ".." || strings.ContainsAny(segment, "\\;\x00\r\n\x7f") {
				t.Fatalf("%q: %q", target, path)
			}
		}
		raw, _, _ := strings.Cut(target, "?")
		if strings.Count(strings.TrimSuffix(raw, "/"), "/") != strings.Count(strings.TrimSuffix(path, "/"), "/") {
			t.Fatalf("%q has other segments than %q", target, path)
		}
	})
}

func mustNew(t *testing.T, all ...Rule) *Set {
	t.Helper()
	set, faults := New(all)
	if faults != nil {
		t.Fatal(faults)
	}
	return set
}

func TestMatch(t *testing.T) {
	public, manage, read := Need{Public: true}, Need{Scope: key.Manage}, Need{Scope: key.Read}
	set := mustNew(t,
		Rule{Path: "/", Need: public},
		Rule{Path: "/health", Methods: []string{"GET"}, Need: public},
		Rule{Path: "/accounts/*/invoices", Need: read},
		Rule{Path: "/accounts/self/**", Need: Need{ByMethod: true}},
		Rule{Path: "/accounts/**", Need: manage},
		Rule{Path: "/search", Methods: []string{"POST", "QUERY"}, Need: read},
		Rule{Path: "/größe x", Need: manage},
	)
	for _, c := range []struct {
		method, path string
		need         Need
		rule         int
	}{
		{"GET", "/", public, 0},
		{"BREW", "/", public, 0},
		{"get", "/", Need{}, Default},
		{"Delete", "/accounts/7", Need{}, Default},
		{"DELETE_", "/accounts/7", Need{}, Default},
		{"", "/accounts/7", Need{}, Default},
		{"GET", "/health", public, 1},
		{"HEAD", "/health", public, 1},
		{"OPTIONS", "/health", read, Default},
		{"POST", "/health", Need{Scope: key.Create}, Default},
		{"GET", "/health/x", read, Default},
		{"GET", "/Health", read, Default},
		{"DELETE", "/accounts/7/invoices", read, 2},
		{"DELETE", "/accounts/7/invoices/1", manage, 4},
		{"DELETE", "/accounts/self", Need{Scope: key.Delete}, 3},
		{"PUT", "/accounts/self/a/b", Need{Scope: key.Update}, 3},
		{"BREW", "/accounts/self", Need{}, 3},
		{"GET", "/accounts/selfish", manage, 4},
		{"GET", "/accounts", manage, 4},
		{"GET", "/accountsx", read, Default},
		{"POST", "/search", read, 5},
		{"QUERY", "/search", read, 5},
		{"PATCH", "/search", Need{Scope: key.Update}, Default},
		{"query", "/search", Need{}, Default},
		{"get", "/x", Need{}, Default},
		{"", "/x", Need{}, Default},
		{"GET", "/größe x", manage, 6},
	} {
		if need, rule := set.Match(c.method, c.path); need != c.need || rule != c.rule {
			t.Errorf("%s %s: %+v by rule %d, want %+v by %d", c.method, c.path, need, rule, c.need, c.rule)
		}
	}
	if need, rule := (*Set)(nil).Match("DELETE", "/x"); need != (Need{Scope: key.Delete}) || rule != Default {
		t.Errorf("without rules: %+v by %d", need, rule)
	}
	if n := testing.AllocsPerRun(100, func() { set.Match("GET", "/accounts/7/invoices/9") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What slips by a rule because of upper and lower case is told from what it does not matter for.
func TestMistakable(t *testing.T) {
	public, manage, read := Need{Public: true}, Need{Scope: key.Manage}, Need{Scope: key.Read}
	set := mustNew(t,
		Rule{Path: "/health", Methods: []string{"GET"}, Need: public},
		Rule{Path: "/files/README", Need: read},
		Rule{Path: "/files/readme", Need: manage},
		Rule{Path: "/files/*", Need: read},
		Rule{Path: "/users/me", Methods: []string{"GET"}, Need: Need{ByMethod: true}},
		Rule{Path: "/users/**", Need: manage},
	)
	for _, c := range []struct {
		method, path string
		want         bool
	}{
		{"GET", "/health", false},
		{"GET", "/Health", true},
		{"POST", "/Health", false},
		{"GET", "/", false},
		{"DELETE", "/Users", true},
		{"DELETE", "/uSERS/7", true},
		{"DELETE", "/u\u017fers/7", true}, // which is folded to an s
		{"DELETE", "/users/ME", false},
		{"GET", "/users/me", false},
		{"GET", "/users/Me", true},
		{"DELETE", "/files/README", false},
		{"DELETE", "/files/readme", false},
		{"GET", "/files/Readme", false},
		{"PUT", "/files/A", false},
		{"PUT", "/Files/A", true},
		{"GET", "/Files/A", false},
		{"GET", "/other", false},
	} {
		if got := set.Mistakable(c.method, c.path); got != c.want {
			t.Errorf("%s %s: %t", c.method, c.path, got)
		}
	}
	if (*Set)(nil).Mistakable("GET", "/Health") {
		t.Error("without rules there is nothing to mistake")
	}
	if n := testing.AllocsPerRun(100, func() { set.Mistakable("DELETE", "/uSERS/7") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestFaults(t *testing.T) {
	read := Need{Scope: key.Read}
	for _, c := range []struct {
		rules []Rule
		want  string // rule, member and a part of the detail; "": none
	}{
		{[]Rule{{Need: read}}, "0 path is missing"},
		{[]Rule{{Path: "a", Need: read}}, "0 path does not begin with a slash"},
		{[]Rule{{Path: "/a/", Need: read}}, "0 path ends with a slash"},
		{[]Rule{{Path: "/a//b", Need: read}}, "0 path holds an empty segment"},
		{[]Rule{{Path: "/../b", Need: read}}, "0 path holds \".\" or \"..\" as a segment"},
		{[]Rule{{Path: "/a%20b", Need: read}}, "0 path holds a %"},
		{[]Rule{{Path: "/a?b", Need: read}}, "0 path holds a % or a ?"},
		{[]Rule{{Path: "/a;b", Need: read}}, "0 path holds a semicolon"},
		{[]Rule{{Path: "/a/**/b", Need: read}}, "0 path has a ** before its end"},
		{[]Rule{{Path: "/a*", Need: read}}, "0 path has a * within"},
		{[]Rule{{Path: "/a/***", Need: read}}, "0 path has a * within"},
		{[]Rule{{Path: "/a b", Need: read}, {Path: "/*/*", Need: read}, {Path: "/**", Need: read}}, ""},
		{[]Rule{{Path: "/a", Methods: []string{"get"}, Need: read}}, `0 methods "get" is no method`},
		{[]Rule{{Path: "/a", Methods: []string{""}, Need: read}}, `0 methods "" is no method`},
		{[]Rule{{Path: "/a", Methods: []string{"M-SEARCH", "GET", "GET"}, Need: read}}, `0 methods "GET" is there twice`},
		{[]Rule{{Path: "/a", Methods: []string{"BREW"}, Need: Need{ByMethod: true}}}, `0 methods no scope covers "BREW"`},
		{[]Rule{{Path: "/**", Need: read}, {Path: "/a", Need: read}}, `1  is never reached: rule 1, "/**"`},
		{[]Rule{{Path: "/a/**", Need: read}, {Path: "/a", Need: read}}, `1  is never reached: rule 1`},
		{[]Rule{{Path: "/a/*", Need: read}, {Path: "/a/b", Methods: []string{"GET"}, Need: read}}, `1  is never reached`},
		{[]Rule{{Path: "/a", Methods: []string{"GET"}, Need: read}, {Path: "/a", Methods: []string{"HEAD"}, Need: read}}, `1  is never reached`},
		{[]Rule{{Path: "/a", Methods: []string{"GET"}, Need: read}, {Path: "/*", Methods: []string{"PUT"}, Need: read},
			{Path: "/a", Methods: []string{"PUT", "GET"}, Need: read}}, `2  is never reached: rule 2, "/*"`},
		{[]Rule{{Path: "/a", Methods: []string{"GET"}, Need: read}, {Path: "/a", Need: read}}, ""},
		{[]Rule{{Path: "/a", Methods: []string{"HEAD"}, Need: read}, {Path: "/a", Methods: []string{"GET"}, Need: read}}, ""},
		{[]Rule{{Path: "/a", Need: read}, {Path: "/a/**", Need: read}, {Path: "/**", Need: read}}, ""},
		{[]Rule{{Path: "/*", Need: read}, {Path: "/*/b", Need: read}, {Path: "/a/*", Need: read}, {Path: "/a/**", Need: read}}, ""},
	} {
		set, faults := New(c.rules)
		if c.want == "" {
			if set == nil || faults != nil {
				t.Errorf("%+v: %v", c.rules, faults)
			}
			continue
		}
		if set != nil || len(faults) != 1 || !strings.HasPrefix(fmt.Sprintf("%d %s %s", faults[0].Rule, faults[0].Member, faults[0].Detail), c.want) {
			t.Errorf("%+v: %+v, want %s", c.rules, faults, c.want)
		}
	}
}
