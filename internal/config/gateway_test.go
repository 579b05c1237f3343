package config

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/rules"
)

func TestRules(t *testing.T) {
	c, _, err := load(t, `listen = ":1"
[[rules]]
path = "/health"
scope = "public"

[[rules]]
path = "/accounts/*"
methods = ["GET", "PUT"]
scope = "MANAGE"

[[rules]] # all the rest
path = "/**"
scope = "method"
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []rules.Rule{
		{Path: "/health", Need: rules.Need{Public: true}, Place: "apikeyd.toml:2"},
		{Path: "/accounts/*", Methods: []string{"GET", "PUT"}, Need: rules.Need{Scope: key.Manage}, Place: "apikeyd.toml:6"},
		{Path: "/**", Need: rules.Need{ByMethod: true}, Place: "apikeyd.toml:11"},
	}
	var got []rules.Rule
	for i := range c.Rules.Len() {
		got = append(got, c.Rules.Rule(i))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBadRules(t *testing.T) {
	const right = `; write [[rules]], and below it path = "/accounts/**" and scope = "READ"`
	for _, c := range []struct {
		file string
		want []string
	}{
		{"rules = 'x'", []string{"apikeyd.toml:1: rules: is no list of rules" + right}},
		{"[rules]\npath = '/x'", []string{"apikeyd.toml:1: rules: is no list of rules" + right}},
		{"rules.path = '/x'", []string{"apikeyd.toml:1: rules: is no list of rules" + right}},
		{"rules = ['x']", []string{"apikeyd.toml:1: rules: is a string and no rule" + right}},
		{"[[rules]]\n", []string{"apikeyd.toml:1: rules.scope: is missing; " + needs}},
		{"\n[[rules]]\npath = 7\nmethods = 'GET'\nscope = 'read'\npfad = ''\n", []string{
			`apikeyd.toml:2: rules.methods: is a string; write a list of strings like ["GET", "POST"], or leave it out for every method`,
			"apikeyd.toml:2: rules.path: is an integer; write a string in quotes",
			"apikeyd.toml:2: rules.pfad: no member of a rule has this name; there are path, methods and scope",
			`apikeyd.toml:2: rules.scope: "read" is none; ` + needs}},
		{"[[rules]]\nmethods = []\nscope = ''\n", []string{
			`apikeyd.toml:1: rules.methods: is empty, so that the rule is about nothing; write a list of strings like ["GET", "POST"], or leave it out for every method`,
			`apikeyd.toml:1: rules.scope: "" is none; ` + needs}},
		{"[[rules]]\nscope = 'READ'\n", []string{`apikeyd.toml:1: rules.path: is missing; write it like "/accounts/*/invoices/**"`}},
		{"[[rules]]\npath='/x/**'\nscope='READ'\n[[rules]]\npath='/x/y'\nscope='public'\n", []string{
			`apikeyd.toml:4: rules: is never reached: rule 1, "/x/**", matches first; put this one in front of it, or take it away`}},
		{"[[rules]]\npath='/x'\nscope='READ'\n[rules.more]\n", []string{
			"apikeyd.toml:1: rules.more: no member of a rule has this name; there are path, methods and scope"}},
		{strings.Repeat("[[rules]]\n", 501), []string{"apikeyd.toml: holds 501 rules; 500 at most"}},
		{strings.Repeat("[[rules]]\n", 6000), []string{"apikeyd.toml: holds rules of 6000 keys and elements; 4096 at most"}},
	} {
		_, _, err := load(t, c.file, nil)
		if diff := cmp.Diff(c.want, problems(t, err)); diff != "" {
			t.Errorf("%.60q: %s", c.file, diff)
		}
	}
}

// A command that reads the database alone does not stumble over a rule.
func TestRulesAreForThoseWhoWantThem(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "x.toml", "[[rules]]\npath = '/x'\nscope = 'nothing'\n")
	fs := pflag.NewFlagSet("migrate", pflag.ContinueOnError)
	AddFlags(fs, "config", "database")
	if err := fs.Parse([]string{"--config", "x.toml"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(source(fs, nil)); err != nil {
		t.Error(err)
	}
	if _, err := LoadRules("x.toml"); err == nil {
		t.Error("a bad rule is read")
	}
	write(t, "x.toml", "listen = 'nonsense, which is not read again'\n[[rules]]\npath = '/x'\nscope = 'READ'\n")
	if set, err := LoadRules("x.toml"); err != nil || set.Len() != 1 {
		t.Error(set, err)
	}
	write(t, "x.toml", "lsten = ':1'\n")
	if _, err := LoadRules("x.toml"); err == nil {
		t.Error("a file with an unknown key is read")
	}
	// An editor that empties the file before it writes must not take all rules away.
	write(t, "x.toml", " \n")
	if _, err := LoadRules("x.toml"); err == nil || !strings.Contains(err.Error(), "x.toml: is empty") {
		t.Errorf("an empty file: %v", err)
	}
	write(t, "x.toml", "# no rules\n")
	if set, err := LoadRules("x.toml"); err != nil || set.Len() != 0 {
		t.Error(set, err)
	}
	if err := os.Remove("x.toml"); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadRules("x.toml"); err == nil {
		t.Error("no file is read")
	}
}

// The largest file with rules is read in no time.
func TestManyRules(t *testing.T) {
	var b strings.Builder
	for i := range 500 {
		fmt.Fprintf(&b, "[[rules]]\npath = '/a%d/*/**'\nmethods = ['GET', 'PUT']\nscope = 'READ'\n", i)
	}
	if c, _, err := load(t, b.String(), nil); err != nil || c.Rules.Len() != 500 {
		t.Error(err)
	}
}
