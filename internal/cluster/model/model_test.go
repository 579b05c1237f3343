package model

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	source = "protocol.pml"
	limit  = 5 * time.Minute // of one run, on a machine that is busy with others
)

func TestPromiseHolds(t *testing.T) {
	for _, c := range []struct {
		name    string
		options []string
	}{
		{"one node answers from memory, and both make changes", nil},
		{"both nodes answer from memory, and one makes a change", []string{"WRITERS=1", "CACHERS=2", "CHANGES=1", "LEASE=1"}},
		{"the database loses changes", []string{"WRITERS=1", "FAILOVER"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if trace := check(t, whole, c.options...); trace != "" {
				t.Errorf("the promise is broken after these steps:\n%s", trace)
			}
		})
	}
}

// Without a rule, the promise does not hold, and the checker finds that out. Otherwise it would prove nothing.
func TestEveryRuleIsNeeded(t *testing.T) {
	for _, c := range []struct {
		broken  string
		options []string
	}{
		{"a lease is granted to a node that does not apply what the renewal brings", []string{"MUTATE_GRANT_BEHIND", "WRITERS=1"}},
		{"a lease counts from the answer", []string{"MUTATE_LEASE_FROM_ANSWER", "WRITERS=1"}},
		{"a change does not wait for those who have not acknowledged", []string{"MUTATE_NO_WAIT", "WRITERS=1"}},
		{"a change waits for a lease without a margin", []string{"MUTATE_NO_MARGIN", "WRITERS=1"}},
		{"a look-up is cached although its key has changed meanwhile", []string{"MUTATE_CACHE_DETACHED", "WRITERS=1"}},
		{"checks without a lease share a look-up", []string{"MUTATE_SHARE_WITHOUT_LEASE", "WRITERS=1"}},
		{"a look-up outlives that everything is forgotten", []string{"MUTATE_USE_LOST_TERM", "WRITERS=1"}},
		{"a node forgets before it joins, and not when it has", []string{"MUTATE_FORGET_BEFORE_JOIN", "WRITERS=1"}},
		{"a node says that a change is applied, and then applies it", []string{"MUTATE_SAY_APPLIED_FIRST", "WRITERS=1"}},
		{"a node's row goes while it holds a lease", []string{"MUTATE_ROW_GOES_FIRST", "WRITERS=1"}},
		{"a node is expelled that was renewed", []string{"MUTATE_EXPEL_THE_RENEWED", "WRITERS=1"}},
		{"a change that finds nothing left to do is answered at once", []string{"MUTATE_REPEAT_AT_ONCE"}},
		{"a node takes no notice of another history of the database", []string{"MUTATE_IGNORE_HISTORY", "WRITERS=1", "FAILOVER"}},
	} {
		t.Run(c.broken, func(t *testing.T) {
			t.Parallel()
			if check(t, part, c.options...) == "" {
				t.Error("the checker does not notice")
			}
		})
	}
}

// What docs/consistency.md says is not promised is not kept. Where it is one day, the document should say so.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		beyond  string
		options []string
	}{
		{"nodes agree while a change is under way", []string{"BEYOND_PROMISE", "WRITERS=1"}},
		{"a database that falls back may forget who holds leases", []string{"BEYOND_LOST_NODES", "FAILOVER", "WRITERS=1"}},
	} {
		t.Run(c.beyond, func(t *testing.T) {
			t.Parallel()
			if check(t, part, c.options...) == "" {
				t.Error("this holds: promise it")
			}
		})
	}
}

var verdict = regexp.MustCompile(`(?m)^State-vector .*, errors: (\d+)$`)

// How much the compiler may do: where the search ends early, it takes less time than the compiler would to make it faster.
const (
	whole = "-O1"
	part  = "-O0"
)

// check goes through everything that can happen in the model with these options. It returns how the promise is broken,
// by the shortest way there is, and nothing where it is kept.
func check(t *testing.T, optimize string, options ...string) (trace string) {
	t.Helper()
	for _, program := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v: the model is checked with spin and gcc, which .ci/prepare installs", err)
		}
	}
	dir := t.TempDir()
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, source), text, 0o600); err != nil {
		t.Fatal(err)
	}
	var defines []string
	for _, o := range options {
		defines = append(defines, "-D"+o)
	}
	run(t, dir, "spin", append(defines, "-a", source)...)
	// Breadth first, so that the first counterexample is the shortest. It stores every state whole: nothing is left out.
	run(t, dir, "gcc", optimize, "-w", "-DBFS", "-DSAFETY", "-DNOREDUCE", "-DMEMLIM=4000", "-o", "pan", "pan.c")
	out := run(t, dir, "./pan", "-w22")
	found := verdict.FindStringSubmatch(out)
	switch {
	case found == nil || strings.Contains(out, "Search not completed") && found[1] == "0":
		t.Fatalf("the search did not come to an end:\n%s", out)
	case found[1] != "0":
		return steps(text, run(t, dir, "spin", append(defines, "-t", "-p", source)...))
	}
	return ""
}

// run runs a program in dir and returns what it has printed.
func run(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

var step = regexp.MustCompile(`(?m)^ *(\d+):\tproc +(\d+) \((\w+):1\) ` + regexp.QuoteMeta(source) + `:(\d+) `)

// steps makes a counterexample as spin prints it readable: for each step, who does it and the first line of the model that
// it goes through.
func steps(text []byte, printed string) string {
	lines := strings.Split(string(text), "\n")
	var b strings.Builder
	last := ""
	for _, m := range step.FindAllStringSubmatch(printed, -1) {
		number, process, name := m[1], m[2], m[3]
		line, err := strconv.Atoi(m[4])
		if number == last || err != nil || line > len(lines) {
			continue
		}
		last = number
		b.WriteString(number + "\t" + name + " " + process + "\t" + strings.TrimSpace(lines[line-1]) + "\n")
	}
	return b.String()
}
