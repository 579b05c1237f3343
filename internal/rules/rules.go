// Package rules says what a request to the API behind us needs: a scope, or nothing at all.
//
// Rules are an ordered list, of which the first that matches decides; where none does, the scope follows from the method. They are
// matched against the path as CleanPath returns it: decoded, without query, and without a slash at its end. A path that can be read in
// two ways is refused before any rule is looked at, because whoever serves it may read it the other way.
//
// The package is text and comparison. Who sent the request, and with which key, is for others.
package rules

import (
	"strings"

	"github.com/apikeyd/apikeyd/internal/key"
)

// Rule says what the requests that it matches need.
type Rule struct {
	// Path is a pattern: "/accounts/*/invoices/**". A segment "*" stands for any one segment, and "**" at the end for any number of
	// them, none included. Everything else stands for itself, decoded.
	Path string
	// Methods are those that the rule is about; none: any that is written as methods are. GET is about HEAD as well.
	Methods []string
	Need    Need
	Place   string // where it stands: "apikeyd.toml:14"; "": not known
}

// Need is what a request needs. The zero Need is nothing that there is: the request must be refused.
type Need struct {
	Scope  key.Scope
	Public bool // no key at all
	// ByMethod, of a rule: what requests need where there is no rule. Match never returns it.
	ByMethod bool
}

// ByMethod returns the scope that covers a method; false for a method that none covers.
func ByMethod(method string) (key.Scope, bool) {
	switch method {
	case "GET", "HEAD", "OPTIONS":
		return key.Read, true
	case "POST":
		return key.Create, true
	case "PUT", "PATCH":
		return key.Update, true
	case "DELETE":
		return key.Delete, true
	default:
		return 0, false
	}
}

// Set is an ordered list of rules. It is never changed. The zero Set and a nil *Set have none.
type Set struct {
	rules    []Rule
	patterns []pattern
}

// Len returns how many rules there are.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.rules)
}

// Rule returns one of the rules, as it was given to New.
func (s *Set) Rule(i int) Rule { return s.rules[i] }

// Default is what Match returns for the number of a rule where none matches.
const Default = -1

// Match returns what a request needs, and the number of the rule that says so, counted from 0, or Default. path is as CleanPath
// returns it. It allocates nothing.
func (s *Set) Match(method, path string) (need Need, rule int) {
	rule = s.first(method, path, same)
	return s.need(method, rule), rule
}

// Mistakable reports whether the request would need something else if upper and lower case were the same in paths, which they are to
// some APIs: "/Accounts" slips by a rule about "/accounts", and gets there. Where there are rules about both, they are told apart.
// It allocates nothing.
func (s *Set) Mistakable(method, path string) bool {
	alike := s.first(method, path, strings.EqualFold)
	if alike == Default || s.patterns[alike].matches(path, same) {
		return false // the same rule decides either way
	}
	need, rule := s.Match(method, path)
	if rule != Default && strings.EqualFold(s.rules[rule].Path, s.rules[alike].Path) {
		return false
	}
	return need != s.need(method, alike)
}

// first returns the number of the first rule that matches, where segments are compared with equal.
func (s *Set) first(method, path string, equal func(a, b string) bool) int {
	if s != nil {
		for i := range s.patterns {
			if s.rules[i].covers(method) && s.patterns[i].matches(path, equal) {
				return i
			}
		}
	}
	return Default
}

// need returns what is needed where a rule decides.
func (s *Set) need(method string, rule int) Need {
	if rule != Default && !s.rules[rule].Need.ByMethod {
		return s.rules[rule].Need
	}
	scope, _ := ByMethod(method)
	return Need{Scope: scope}
}

func same(a, b string) bool { return a == b }

// covers reports whether the rule is about a method. None is about "delete": there are APIs that take it for DELETE, which another
// rule may be about.
func (r *Rule) covers(method string) bool {
	if len(r.Methods) == 0 {
		return isMethod(method)
	}
	for _, m := range r.Methods {
		if m == method || m == "GET" && method == "HEAD" {
			return true
		}
	}
	return false
}

const (
	oneSegment  = "*"
	anySegments = "**"
)

// pattern is a path that was taken apart.
type pattern struct {
	segments []string // oneSegment: any one
	open     bool     // any number may follow
}

func newPattern(path string) pattern {
	var p pattern
	if path == "/" {
		return p
	}
	p.segments = strings.Split(path[1:], "/")
	if last := len(p.segments) - 1; p.segments[last] == anySegments {
		p.segments, p.open = p.segments[:last], true
	}
	return p
}

// matches reports whether the pattern is about a path, where segments are compared with equal.
func (p *pattern) matches(path string, equal func(a, b string) bool) bool {
	if path == "/" {
		path = ""
	}
	for _, want := range p.segments {
		if path == "" {
			return false
		}
		var got string
		if got, path = cutSegment(path); want != oneSegment && !equal(want, got) {
			return false
		}
	}
	return path == "" || p.open
}

// includes reports whether p matches every path that other matches.
func (p *pattern) includes(other *pattern) bool {
	if len(p.segments) > len(other.segments) ||
		!p.open && (other.open || len(p.segments) < len(other.segments)) {
		return false
	}
	for i, want := range p.segments {
		if want != oneSegment && want != other.segments[i] {
			return false
		}
	}
	return true
}

// shadow returns the number of an earlier rule because of which rule i is never asked about a method, or about any ("").
func (s *Set) shadow(i int, method string) (by int, ok bool) {
	for by = range i {
		r := &s.rules[by]
		if s.patterns[by].includes(&s.patterns[i]) && (len(r.Methods) == 0 || method != "" && r.covers(method)) {
			return by, true
		}
	}
	return 0, false
}
