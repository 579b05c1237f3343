package cli

import (
	"slices"
	"strings"
	"testing"
)

// TestHelp: every command explains itself, and its examples use flags that it has.
func TestHelp(t *testing.T) {
	root := NewKeysCommand(Streams{}, func(string) (string, bool) { return "", false })
	for _, cmd := range append(slices.Clone(root.Commands()), root) {
		if cmd.Short == "" || len(cmd.Long) < 100 || !strings.Contains(cmd.Example, "apikeyd keys") {
			t.Errorf("%s: explains too little", cmd.Name())
		}
		for line := range strings.SplitSeq(cmd.Long+"\n"+cmd.Example, "\n") {
			if len([]rune(line)) > 120 {
				t.Errorf("%s: too long: %s", cmd.Name(), line)
			}
		}
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			_, call, ok := strings.Cut(line, "apikeyd keys ")
			if !ok {
				continue
			}
			called, _, err := root.Find(strings.Fields(call)[:1])
			if err != nil || called == root {
				t.Errorf("%s: no such command: %s", cmd.Name(), line)
				continue
			}
			for word := range strings.FieldsSeq(call) {
				if flag, ok := strings.CutPrefix(word, "--"); ok && called.Flags().Lookup(flag) == nil {
					t.Errorf("%s: no such flag: %s", cmd.Name(), line)
				}
			}
		}
		for _, name := range []string{"server", "key"} {
			if cmd != root && cmd.Name() != "verify" && cmd.Flags().Lookup(name) == nil {
				t.Errorf("%s has no --%s", cmd.Name(), name)
			}
		}
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
