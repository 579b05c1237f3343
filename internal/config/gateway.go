package config

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/pflag"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/rules"
)

// rulesKey is what the one thing in the file is called that is no setting: an array of tables, one for each rule.
const rulesKey = "rules"

// Limits of the rules in a file.
const (
	maxRules    = 500
	maxRuleKeys = 4096 // keys, tables and elements of arrays in all of them
)

// The values of a rule's scope beside the five scopes.
const (
	scopePublic   = "public"
	scopeByMethod = "method"
)

const ruleExample = `write [[rules]], and below it path = "/accounts/**" and scope = "READ"`

// LoadRules reads the rules alone from a configuration file that was read before. The error is an *Error: something is wrong with a
// rule, or there is something in the file that Load would not know either, or nothing at all.
func LoadRules(file string) (*rules.Set, error) {
	fs := pflag.NewFlagSet(rulesKey, pflag.ContinueOnError)
	AddFlags(fs, configFlag)
	if err := fs.Set(configFlag, file); err != nil {
		return nil, err
	}
	c, _, err := Load(Source{Flags: fs, Rules: true, Again: true})
	if err != nil {
		return nil, err
	}
	return c.Rules, nil
}

// wantsRules reports whether the command at hand reads the rules.
func (l *loader) wantsRules() bool { return l.src.Rules || l.wanted(lookup("verify-listen")) }

// readRules takes the rules from the file at path. lines are those that rules begin on.
func (l *loader) readRules(path string, value any, lines []int) {
	if len(lines) == 0 || !l.wantsRules() {
		return
	}
	place := func(i int) string { return fmt.Sprintf("%s:%d", path, lines[min(i, len(lines)-1)]) } // an array on one line has but one
	tables, ok := value.([]any)
	if !ok {
		l.problem(place(0)+": "+rulesKey, "is no list of rules; "+ruleExample)
		return
	}
	if len(tables) > maxRules {
		l.problem(path, fmt.Sprintf("holds %d rules; %d at most", len(tables), maxRules))
		return
	}
	before := len(l.problems)
	all := make([]rules.Rule, len(tables))
	for i, t := range tables {
		all[i].Place = place(i)
		l.readRule(&all[i], t)
	}
	if len(l.problems) > before {
		return
	}
	set, faults := rules.New(all)
	for _, f := range faults {
		l.problem(rulePlace(&all[f.Rule], f.Member), f.Detail)
	}
	l.config.Rules = set
}

func rulePlace(r *rules.Rule, member string) string {
	place := r.Place + ": " + rulesKey
	if member != "" {
		place += "." + printable(member)
	}
	return place
}

// readRule reads one rule, a table of the file.
func (l *loader) readRule(r *rules.Rule, value any) {
	table, ok := value.(map[string]any)
	if !ok {
		l.problem(rulePlace(r, ""), "is "+tomlType(value)+" and no rule; "+ruleExample)
		return
	}
	for _, member := range slices.Sorted(maps.Keys(table)) {
		detail := ""
		switch member {
		case "path":
			detail = readText(&r.Path, table[member])
		case "methods":
			detail = readTexts(&r.Methods, table[member])
		case "scope":
			detail = readNeed(&r.Need, table[member])
		default:
			detail = "no member of a rule has this name; there are path, methods and scope"
		}
		if detail != "" {
			l.problem(rulePlace(r, member), detail)
		}
	}
	if _, ok := table["scope"]; !ok {
		l.problem(rulePlace(r, "scope"), "is missing; "+needs)
	}
}

func readText(into *string, value any) (detail string) {
	text, ok := value.(string)
	if !ok {
		return "is " + tomlType(value) + "; write a string in quotes"
	}
	*into = text
	return ""
}

func readTexts(into *[]string, value any) (detail string) {
	const right = `write a list of strings like ["GET", "POST"], or leave it out for every method`
	list, ok := value.([]any)
	if !ok {
		return "is " + tomlType(value) + "; " + right
	}
	if len(list) == 0 {
		return "is empty, so that the rule is about nothing; " + right
	}
	*into = make([]string, len(list))
	for i, element := range list {
		if readText(&(*into)[i], element) != "" {
			return "holds " + tomlType(element) + "; " + right
		}
	}
	return ""
}

// needs says what a rule's scope may be.
const needs = "write one of " + key.ScopeList + `, or "` + scopePublic + `" for no key at all, or "` + scopeByMethod +
	`" for what the request's method needs`

func readNeed(into *rules.Need, value any) (detail string) {
	var name string
	if detail := readText(&name, value); detail != "" {
		return detail
	}
	scope, known := key.ParseScope(name)
	switch {
	case known:
		into.Scope = scope
	case name == scopePublic:
		into.Public = true
	case name == scopeByMethod:
		into.ByMethod = true
	default:
		return quote(name) + " is none; " + needs
	}
	return ""
}
