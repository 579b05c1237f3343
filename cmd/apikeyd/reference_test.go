package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/config"
)

var update = flag.Bool("update", false, "write the generated pages instead of comparing them")

// TestReferencePages holds the pages that are generated from the program against the program. To write them:
//
//	go test ./cmd/apikeyd -run TestReferencePages -update
func TestReferencePages(t *testing.T) {
	for path, want := range map[string]string{
		"docs/reference/settings.md":     settingsPage(),
		"docs/reference/command-line.md": commandLinePage(t),
		"docs/reference/metrics.md":      metricsPage(t),
		"deploy/apikeyd.toml":            config.Example(),
	} {
		file := filepath.Join("..", "..", filepath.FromSlash(path))
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Error(err)
			}
			continue
		}
		if got, err := os.ReadFile(file); err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, []byte(want)) {
			t.Errorf("%s is not what the program says; run: go test ./cmd/apikeyd -run TestReferencePages -update", path)
		}
	}
}

const generated = "<!-- Generated from the program; see TestReferencePages in cmd/apikeyd. -->\n\n"

func settingsPage() string {
	return "# Settings\n\n" + generated +
		"Flags win over environment variables, those over the file that `--config` names, that over the default. A bad value or\n" +
		"an unknown key stops the start, with its place and the reason. [`deploy/apikeyd.toml`](../../deploy/apikeyd.toml) is a file\n" +
		"to begin with.\n\n" + config.Reference()
}

func commandLinePage(t *testing.T) string {
	var b strings.Builder
	b.WriteString("# Command line\n\n" + generated +
		"Exit codes: 0; 1 it failed; 2 wrong usage, a bad setting included; 3 scan has found something. Results go to standard output, notes and errors to\n" +
		"standard error.\n")
	p := program{stdin: os.Stdin, stdout: io.Discard, stderr: io.Discard}
	writeCommand(t, &b, p.rootCommand())
	return b.String()
}

func writeCommand(t *testing.T, b *strings.Builder, cmd *cobra.Command) {
	if !cmd.HasParent() || cmd.IsAvailableCommand() {
		if cmd.Short == "" || cmd.Long == "" && cmd.HasParent() && cmd.Name() != "version" || cmd.Example == "" {
			t.Errorf("%s lacks a description or an example", cmd.CommandPath())
		}
		cmd.InitDefaultHelpFlag()
		description := cmd.Long
		if description == "" {
			description = cmd.Short + "."
		}
		fmt.Fprintf(b, "\n## %s\n\n%s\n\n```sh\n%s\n```\n", cmd.CommandPath(), description, unindent(cmd.Example))
		if cmd.Name() == "serve" {
			b.WriteString("\nFlags: [settings](settings.md).\n")
		} else if flags := cmd.NonInheritedFlags().FlagUsagesWrapped(helpColumns); cmd.HasParent() && flags != "" {
			fmt.Fprintf(b, "\n```\n%s```\n", flags)
		}
	}
	for _, sub := range cmd.Commands() {
		if sub.Name() != "completion" && sub.Name() != "help" { // cobra's own
			writeCommand(t, b, sub)
		}
	}
}

func unindent(example string) string {
	lines := strings.Split(strings.Trim(example, "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, "  ")
	}
	return strings.Join(lines, "\n")
}

func metricsPage(t *testing.T) string {
	s := apptest.Start(t, &apptest.Options{Config: func(c *config.Config) { c.Database = newDatabase(t) }})
	first, err := http.Get(s.VerificationURL + "/livez") // requests are counted once there was one
	if err != nil {
		t.Fatal(err)
	}
	first.Body.Close()
	answer, err := http.Get(s.VerificationURL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	help, kind := map[string]string{}, map[string]string{}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		switch word := strings.SplitN(lines.Text(), " ", 4); {
		case len(word) == 4 && word[1] == "HELP":
			help[word[2]] = word[3]
		case len(word) == 4 && word[1] == "TYPE":
			kind[word[2]] = word[3]
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range help {
		if strings.HasPrefix(name, "apikeyd_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString("# Metrics\n\n" + generated +
		"At `/metrics` on the verification listener, for Prometheus. Beside these there are those of the Go runtime (`go_…`) and\n" +
		"of the process (`process_…`). No label has a value that a caller could choose. Those of leases and\n" +
		"changes are there with PostgreSQL alone.\n\n| metric | kind | what it tells |\n|---|---|---|\n")
	for _, name := range names {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, kind[name], strings.ReplaceAll(help[name], "|", `\|`))
	}
	return b.String()
}
