package rules

import (
	"fmt"
	"strings"
)

// Fault is something that is wrong with a rule.
type Fault struct {
	Rule   int    // its number, counted from 0
	Member string // "path", "methods"; "": the rule as a whole
	Detail string // what is wrong, and what is right
}

// New returns the rules as a Set, or all that is wrong with them.
func New(all []Rule) (*Set, []Fault) {
	s := &Set{rules: all, patterns: make([]pattern, len(all))}
	var faults []Fault
	for i := range all {
		faults = append(faults, all[i].check(i)...)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	for i := range all {
		s.patterns[i] = newPattern(all[i].Path)
	}
	for i := range all {
		if detail := s.unreachable(i); detail != "" {
			faults = append(faults, Fault{Rule: i, Detail: detail})
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return s, nil
}

func (r *Rule) check(i int) (faults []Fault) {
	if detail := checkPattern(r.Path); detail != "" {
		faults = append(faults, Fault{i, "path", detail})
	}
	seen := map[string]bool{}
	for _, m := range r.Methods {
		switch {
		case !isMethod(m):
			faults = append(faults, Fault{i, "methods", fmt.Sprintf("%.40q is no method; methods are written like GET, in upper case", m)})
		case seen[m]:
			faults = append(faults, Fault{i, "methods", fmt.Sprintf("%q is there twice", m)})
		case r.Need.ByMethod:
			if _, known := ByMethod(m); !known {
				faults = append(faults, Fault{i, "methods", fmt.Sprintf("no scope covers %.40q by itself; give the rule a scope", m)})
			}
		}
		seen[m] = true
	}
	return faults
}

// checkPattern returns what is wrong with the pattern of a path; "": nothing.
func checkPattern(path string) string {
	const right = `write it like "/accounts/*/invoices/**"`
	if path == "" {
		return "is missing; " + right
	}
	if strings.ContainsAny(path, "%?") {
		return `holds a % or a ?; a pattern is decoded text and has no query; ` + right
	}
	plain, err := CleanPath(strings.ReplaceAll(path, " ", "%20"))
	switch {
	case err != nil:
		return err.Error() + ", and such paths are refused before any rule is looked at; " + right
	case plain != path:
		return "ends with a slash, which means nothing: paths are matched without it; " + right
	}
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		switch {
		case s == anySegments && i < len(segments)-1:
			return "has a ** before its end; ** stands for all that follows"
		case strings.Contains(s, "*") && s != oneSegment && s != anySegments:
			return "has a * within a segment; * stands for a whole one"
		}
	}
	return ""
}

// isMethod reports whether m is the name of a method as methods are named: upper-case letters, with hyphens in some.
func isMethod(m string) bool {
	const maxMethod = 40
	if m == "" || len(m) > maxMethod || m[0] == '-' || m[len(m)-1] == '-' {
		return false
	}
	for i := range len(m) {
		if c := m[i]; (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return true
}

// unreachable says why rule i can never be the first to match; "": it can.
func (s *Set) unreachable(i int) string {
	methods := s.rules[i].Methods
	if len(methods) == 0 {
		methods = []string{""}
	}
	first := -1
	for _, m := range methods {
		by, ok := s.shadow(i, m)
		if !ok {
			return ""
		}
		first = max(first, by)
	}
	return fmt.Sprintf("is never reached: rule %d, %q, matches first; put this one in front of it, or take it away", first+1, s.rules[first].Path)
}
