package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// commandLine is a call of apikeyd in a piece of shell, with the flags that it gives.
type commandLine struct {
	text  string
	path  string // "apikeyd keys create", or as far as it was understood
	flags []string
}

var (
	comment    = regexp.MustCompile(`(^|\s)#.*`)
	quoted     = regexp.MustCompile(`'[^']*'|"[^"]*"`)
	separator  = regexp.MustCompile(`&&|\|\||[|;()<>]|\$\(`)
	assignment = regexp.MustCompile(`^[A-Z_]+=`)
)

// commandLines finds the calls of apikeyd in a piece of shell. It knows as much of the shell as examples need:
// comments, quotes, lines that go on, pipes, lists, substitutions, sudo and assignments in front.
func commandLines(shell string) (found []commandLine) {
	for line := range strings.Lines(strings.ReplaceAll(shell, "\\\n", " ")) {
		line = comment.ReplaceAllString(quoted.ReplaceAllStringFunc(line, func(text string) string {
			if strings.Contains(text, "$(") {
				return text
			}
			return "QUOTED"
		}), "")
		for _, part := range separator.Split(line, -1) {
			words := strings.Fields(part)
			for len(words) > 0 && (assignment.MatchString(words[0]) || words[0] == "export") {
				words = words[1:]
			}
			if len(words) > 2 && words[0] == "sudo" && words[1] == "-u" {
				words = words[3:]
			} else if len(words) > 0 && words[0] == "sudo" {
				words = words[1:]
			}
			if len(words) > 3 && slices.Equal(words[:3], []string{"go", "run", "./cmd/apikeyd"}) {
				words = append([]string{"apikeyd"}, words[3:]...)
			}
			if len(words) < 2 || words[0] != "apikeyd" {
				continue
			}
			found = append(found, parseCommandLine(words))
		}
	}
	return found
}

// groups are the commands that have others below them.
var groups = []string{"keys", "orgs", "members", "users", "sessions", "audit", "rules"}

func parseCommandLine(words []string) commandLine {
	c := commandLine{text: strings.Join(words, " "), path: words[0] + " " + words[1]}
	rest := words[2:]
	for last := words[1]; slices.Contains(groups, last) && len(rest) > 0 && !strings.HasPrefix(rest[0], "-"); {
		last, rest = rest[0], rest[1:]
		c.path += " " + last
	}
	for _, word := range rest {
		if strings.HasPrefix(word, "-") && word != "-" {
			flag, _, _ := strings.Cut(word, "=")
			c.flags = append(c.flags, flag)
		}
	}
	return c
}

// check says why the program would not take the line.
func (c commandLine) check(all map[string]command) error {
	known, ok := all[c.path]
	if !ok {
		return fmt.Errorf("%q: there is no %s", c.text, c.path)
	}
	for _, flag := range c.flags {
		if !slices.Contains(known.flags, flag) {
			return fmt.Errorf("%q: %s has no flag %s", c.text, c.path, flag)
		}
	}
	return nil
}

func TestCommandLines(t *testing.T) {
	found := commandLines("# apikeyd comment\n" +
		"KEY=$(apikeyd init --email x --json | jq -r .key) # apikeyd not this\n" +
		"sudo -u apikeyd apikeyd keys \\\n  create --name \"an 'x' --y\" -o=token && apikeyd keys delete 17\n" +
		"apikeyd users sessions end 12 --server x\n" +
		"install -o apikeyd -g apikeyd x; go run ./cmd/apikeyd serve\n")
	var got []string
	for _, c := range found {
		got = append(got, c.path+" "+strings.Join(c.flags, " "))
	}
	want := []string{"apikeyd init --email --json", "apikeyd keys create --name -o", "apikeyd keys delete ",
		"apikeyd users sessions end --server", "apikeyd serve "}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	all := map[string]command{"apikeyd serve": {flags: []string{"--listen"}}}
	for line, good := range map[string]bool{
		"apikeyd serve --listen :1": true, "apikeyd serve --lisden :1": false, "apikeyd run": false,
	} {
		if err := commandLines(line)[0].check(all); (err == nil) != good {
			t.Errorf("%s: %v", line, err)
		}
	}
}
