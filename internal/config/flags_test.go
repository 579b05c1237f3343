package config

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestFlagUsages(t *testing.T) {
	fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	fs.Bool("help", false, "help for serve")
	AddFlags(fs)
	out := FlagUsages(fs, 100)
	last := -1
	for _, want := range []string{"General:", "--config FILE", "--database DSN", "(default sqlite:apikeyd.db)", "Several nodes:", "(default 2s)", "Management API:",
		"--listen ADDRESS", "Verification listener:", "Keys and caches:", "Signing in:", "OpenID Connect:", "Mail:", "Audit log:", "Logging:", "text on a terminal, else json)",
		"Shutting down:", "Other:", "--help"} {
		i := strings.Index(out, want)
		if i <= last {
			t.Errorf("%q is not where it should be in:\n%s", want, out)
		}
		last = i
	}
	for line := range strings.Lines(out) {
		if len(line) > 101 {
			t.Errorf("line of %d characters: %s", len(line), line)
		}
	}

	few := pflag.NewFlagSet("backup", pflag.ContinueOnError)
	AddFlags(few, "database")
	if got := FlagUsages(few, 0); !strings.HasPrefix(got, "General:\n      --database DSN") || strings.Count(got, "--") != 1 {
		t.Errorf("usages = %s", got)
	}
}

func TestTableIsSound(t *testing.T) {
	seen := map[string]bool{}
	heads := map[group]bool{}
	for _, g := range groups() {
		if heads[g] {
			t.Errorf("the settings of %q do not stand together", g)
		}
		heads[g] = true
	}
	for i := range settings {
		s := &settings[i]
		if seen[s.name] {
			t.Errorf("%s is there twice", s.name)
		}
		seen[s.name] = true
		if s.help == "" || strings.HasSuffix(s.help, ".") || strings.Contains(s.help, "`") {
			t.Errorf("%s: help is %q", s.name, s.help)
		}
		if (s.kind == boolean) != (s.placeholder == "") {
			t.Errorf("%s: placeholder is %q", s.name, s.placeholder)
		}
		if s.preset == "" && s.sample == "" && !s.noFile {
			t.Errorf("%s has neither default nor sample", s.name)
		}
	}
	if got := lookup("verify-listen").env(); got != "APIKEYD_VERIFY_LISTEN" {
		t.Errorf("env = %s", got)
	}
}
