package e2e

import (
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// command is one of the program's, as its help describes it.
type command struct {
	path  string // "apikeyd keys create"
	help  string
	flags []string // "--name", "-o"
	below []string // the names of its subcommands
}

var (
	subcommands = regexp.MustCompile(`(?m)^Available Commands:\n((?:  .*\n)+)`)
	flagInHelp  = regexp.MustCompile(`(?m)^ +(?:(-\w), |    )(--[a-z-]+)\b`)
)

// commands asks the program for all its commands, by the help of each, and returns them by their path. Those that the
// library brings, help and completion, are not among them.
func commands(t *testing.T) map[string]command {
	t.Helper()
	all := map[string]command{}
	var visit func(path string)
	visit = func(path string) {
		words := strings.Fields(path)
		cmd := exec.CommandContext(t.Context(), binary, append(words[1:], "--help")...)
		cmd.Dir, cmd.Env = t.TempDir(), environment()
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil || stderr.Len() > 0 {
			t.Fatalf("%s --help: %v %s", path, err, &stderr)
		}
		c := command{path: path, help: string(out)}
		for _, found := range flagInHelp.FindAllStringSubmatch(c.help, -1) {
			c.flags = append(c.flags, found[1], found[2])
		}
		if found := subcommands.FindStringSubmatch(c.help); found != nil {
			for line := range strings.Lines(found[1]) {
				if name := strings.Fields(line)[0]; name != "help" && name != "completion" {
					c.below = append(c.below, name)
				}
			}
		}
		all[path] = c
		for _, name := range c.below {
			visit(path + " " + name)
		}
	}
	visit("apikeyd")
	return all
}

// TestHelp wants each command to teach: what it does, how it is called, an example that is right, and each flag in
// words.
func TestHelp(t *testing.T) {
	t.Parallel()
	all := commands(t)
	for _, path := range []string{"serve", "init", "migrate", "backup", "copy", "nodes", "version", "keys", "keys create", "keys list", "keys get",
		"keys update", "keys rotate", "keys delete", "keys verify", "keys report", "orgs create", "orgs list", "orgs get", "orgs update", "orgs delete",
		"members add", "members list", "members get", "members update", "members remove", "users me", "users password",
		"users sessions list", "users sessions end", "audit list", "scan", "login", "logout"} {
		if _, ok := all["apikeyd "+path]; !ok {
			t.Errorf("there is no apikeyd %s", path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(all)) {
		c := all[path]
		what, rest, ok := strings.Cut(c.help, "\nUsage:\n")
		if !ok || strings.TrimSpace(what) == "" {
			t.Errorf("%s --help does not begin with what it does:\n%s", path, c.help)
			continue
		}
		if !strings.HasPrefix(rest, "  "+path) {
			t.Errorf("%s --help does not say how it is called:\n%s", path, rest)
		}
		_, examples, _ := strings.Cut(rest, "\nExamples:\n")
		examples, _, _ = strings.Cut(examples, "\n\n"+heading(rest))
		called := 0
		for _, line := range commandLines(examples) {
			if err := line.check(all); err != nil {
				t.Errorf("%s --help has an example that is wrong: %v", path, err)
			}
			if strings.HasPrefix(line.path+" ", path+" ") {
				called++
			}
		}
		if called == 0 {
			t.Errorf("%s --help has no example of it:\n%s", path, c.help)
		}
		for line := range strings.Lines(rest) {
			if flagInHelp.MatchString(line) && len(strings.Fields(line)) < 3 {
				t.Errorf("%s --help does not say what %s is for", path, strings.TrimSpace(line))
			}
		}
	}
}

// heading returns the first heading behind the examples of a help.
func heading(help string) string {
	_, rest, _ := strings.Cut(help, "\nExamples:\n")
	return regexp.MustCompile(`(?m)^[A-Z][A-Za-z ]+:$`).FindString(rest)
}
