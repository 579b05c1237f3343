package cli

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestHelp: every command explains itself, and its examples use commands and flags that there are.
func TestHelp(t *testing.T) {
	root := &cobra.Command{Use: "apikeyd"}
	for _, name := range slices.Sorted(maps.Keys(trees)) {
		root.AddCommand(trees[name](&session{}))
	}
	// These work on the server; they are not of this package.
	elsewhere := regexp.MustCompile(`^users sign-in-link\b`)
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Short == "" || len(cmd.Long) < 100 || !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s: explains too little", cmd.CommandPath())
		}
		for line := range strings.SplitSeq(cmd.Long+"\n"+cmd.Example, "\n") {
			if len([]rune(line)) > 120 {
				t.Errorf("%s: too long: %s", cmd.CommandPath(), line)
			}
		}
		for _, call := range append(calls(cmd.Example), calls(cmd.Long)...) {
			if !elsewhere.MatchString(call) {
				checkCall(t, root, cmd, call)
			}
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	for _, cmd := range root.Commands() {
		visit(cmd)
	}
	got := (terminal{}).run(t)
	if got.code != 0 || !strings.Contains(got.out, "Available Commands:") || got.stderr != "" {
		t.Errorf("keys alone: %+v", got)
	}
	got = (terminal{}).run(t, "create", "--help")
	if got.code != 0 || !strings.Contains(got.out, "see a flag in ps") {
		t.Errorf("the help does not warn of --key: %+v", got)
	}
}

// calls returns the calls of apikeyd within a text, without its name.
func calls(text string) (calls []string) {
	for _, found := range regexp.MustCompile(`apikeyd ([a-z].*)`).FindAllStringSubmatch(text, -1) {
		call, _, _ := strings.Cut(found[1], `"`)
		calls = append(calls, call)
	}
	return calls
}

// checkCall checks that a command which another one's help mentions is there, with its flags.
func checkCall(t *testing.T, root, mentioned *cobra.Command, call string) {
	t.Helper()
	called, _, err := root.Find(strings.Fields(call))
	if err != nil || called == root || called.HasSubCommands() && called.Name() != strings.Fields(call)[len(strings.Fields(call))-1] {
		t.Errorf("%s: no such command: %s", mentioned.CommandPath(), call)
		return
	}
	for word := range strings.FieldsSeq(call) {
		if flag, ok := strings.CutPrefix(word, "--"); ok && called.Flags().Lookup(flag) == nil {
			t.Errorf("%s: no such flag: %s", mentioned.CommandPath(), call)
		}
	}
}

// TestWhoActs: every command that talks to the management API can be told where it is, and as whom to act: by a key, or,
// where only a session will do, by signing in before.
func TestWhoActs(t *testing.T) {
	inSession := []string{"users password", "users sessions list", "users sessions end"}
	neither := []string{"keys verify", "logout"}
	nobody := []string{"keys report"} // to hold the token is enough
	for name, tree := range trees {
		var visit func(*cobra.Command)
		visit = func(cmd *cobra.Command) {
			path := cmd.CommandPath()
			server, key := cmd.Flags().Lookup("server") != nil, cmd.Flags().Lookup("key") != nil
			wantServer := !cmd.HasSubCommands() && !slices.Contains(neither, path)
			if server != wantServer || key != (wantServer && !slices.Contains(inSession, path) && !slices.Contains(nobody, path)) {
				t.Errorf("%s: --server %t, --key %t", path, server, key)
			}
			for _, sub := range cmd.Commands() {
				visit(sub)
			}
		}
		cmd := tree(&session{})
		visit(cmd)
		if cmd.Name() != name {
			t.Errorf("%s is called %s", name, cmd.Name())
		}
	}
}

func TestCompletion(t *testing.T) {
	for args, want := range map[string]string{
		"create|--scope|":  "READ\nCREATE\nUPDATE\nDELETE\nMANAGE\n:4\n",
		"create|--output|": "table\njson\ntoken\n:4\n",
		"list|--output|":   "table\njson\n:4\n",
		"get|":             ":4\n",
	} {
		got := (terminal{}).run(t, append([]string{"__complete"}, strings.Split(args, "|")...)...)
		equal(t, args, got.out, want)
	}
}
