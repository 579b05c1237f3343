package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/cli"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/token"
)

// runScan runs the command and returns what it prints, and its exit code.
func runScan(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	in := filepath.Join(t.TempDir(), "stdin")
	if err := os.WriteFile(in, []byte(stdin), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out, errs bytes.Buffer
	p := program{stdin: f, stdout: &out, stderr: &errs}
	root := p.rootCommand()
	root.SetArgs(append([]string{"scan"}, args...))
	err = root.ExecuteContext(t.Context())
	cli.PrintError(&errs, err)
	if text := out.String() + errs.String(); token.Within([]byte(text)) {
		t.Errorf("a token is printed: %s", text)
	}
	return out.String(), errs.String(), cli.ExitCode(err)
}

func TestScan(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a.env")
	secret, other := token.New("ak"), token.New("other")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(wantOut, wantErr string, wantCode int, stdin string, args ...string) {
		t.Helper()
		stdout, stderr, code := runScan(t, stdin, args...)
		if stdout != wantOut || stderr != wantErr || code != wantCode {
			t.Errorf("scan %q: exit code %d, want %d\n%s%swant\n%s%s", args, code, wantCode, stdout, stderr, wantOut, wantErr)
		}
	}
	expect("", "", 0, "", folder)
	expect("[]\n", "", 0, "", folder, "-o", "json")
	write("a.env", "\nKEY="+secret.Reveal()+"\n"+other.Reveal())
	expect(path+":2:5: "+secret.Hint()+"\n"+path+":3:1: "+other.Hint()+"\n", "", 3, "", folder)
	expect(path+":2:5: "+secret.Hint()+"\n", "", 3, "", folder, "--prefix", "ak", "--prefix", "none")
	expect("-:1:2: "+secret.Hint()+"\n", "", 3, "x"+secret.Reveal(), "-")
	expect("[\n  {\"path\":\"-\",\"line\":1,\"column\":1,\"key_hint\":\""+secret.Hint()+"\"}\n]\n", "", 3, secret.Reveal(), "-", "-o", "json")

	// What is left out is told once for each reason.
	links := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		if err := os.Symlink(path, filepath.Join(links, name)); err != nil {
			t.Fatal(err)
		}
	}
	expect("", "apikeyd: "+filepath.Join(links, "a")+" is a symbolic link, which is not followed; so it is with 2 more\n", 0, "", links)

	// What cannot be read is told, and is not "nothing was found"; a find is one all the same.
	none := filepath.Join(folder, secret.Reveal())
	expect("", "apikeyd: "+filepath.Join(folder, secret.Hint())+": no such file or directory\n", 1, "", none)
	expect(path+":2:5: "+secret.Hint()+"\n"+path+":3:1: "+other.Hint()+"\n",
		"apikeyd: "+filepath.Join(folder, secret.Hint())+": no such file or directory\n", 3, "", none, folder)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(secret.Reveal()+"\x1b[31m", "")
	expect(filepath.Join(folder, secret.Hint())+`\x1b[31m: `+secret.Hint()+" (in the name)\n", "", 3, "", folder)

	for _, args := range [][]string{{}, {folder, "-o", "xml"}, {folder, "--prefix", "NO"}, {folder, "--nothing"}, {folder, "--verify", "--verify-server", "::"}} {
		if stdout, stderr, code := runScan(t, "", args...); code != 2 || stdout != "" || stderr == "" {
			t.Errorf("scan %q: exit code %d, %s%s", args, code, stdout, stderr)
		}
	}
}

// With --verify each token is asked about once, and the line says what the server does.
func TestScanVerify(t *testing.T) {
	s := apptest.Start(t, &apptest.Options{Config: func(c *config.Config) { c.Database = newDatabase(t) }})
	c := s.Client()
	create := func() api.CreatedKey {
		k, err := c.CreateKey(t.Context(), api.NewKey{KeyName: "k", KeyScope: []api.Scope{api.ScopeRead}, OrganizationID: s.First.OrganizationID})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	good, off := create(), create()
	if _, err := c.UpdateKey(t.Context(), off.KeyID, api.KeyPatch{Enabled: new(false)}); err != nil {
		t.Fatal(err)
	}
	input := strings.Join([]string{good.Token, off.Token, token.New("ak").Reveal()}, "\n") + "\n"
	input = strings.Repeat(input, 400) // more than one batch
	stdout, stderr, code := runScan(t, input, "-", "--verify", "--verify-server", s.VerificationURL)
	if code != 3 || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if len(lines) != 1200 {
		t.Fatalf("%d lines", len(lines))
	}
	for i, line := range lines {
		if want := []string{" VALID", " DISABLED", " NOT_FOUND"}[i%3]; !strings.HasSuffix(line, want) {
			t.Errorf("line %d is %s, want%s", i+1, line, want)
		}
	}
	stdout, _, code = runScan(t, good.Token, "-", "-o", "json", "--verify", "--verify-server", s.VerificationURL)
	var found []map[string]any
	if err := json.Unmarshal([]byte(stdout), &found); err != nil || code != 3 || len(found) != 1 || found[0]["code"] != "VALID" {
		t.Errorf("exit code %d, %s, %v", code, stdout, err)
	}

	// A report ends it; then the server that is gone cannot be asked.
	if err := c.ReportLeak(t.Context(), good.Token); err != nil {
		t.Fatal(err)
	}
	if stdout, _, _ := runScan(t, good.Token, "-", "--verify", "--verify-server", s.VerificationURL); !strings.HasSuffix(stdout, "NOT_FOUND\n") {
		t.Errorf("after the report: %s", stdout)
	}
	s.Stop()
	// A find is one whether anybody can say more of it or not.
	stdout, stderr, code = runScan(t, good.Token, "-", "--verify", "--verify-server", s.VerificationURL)
	if code != 3 || stdout != "-:1:1: "+good.KeyHint+"\n" || !strings.Contains(stderr, "cannot reach") || strings.Count(stderr, "\n") != 2 {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	many := strings.Repeat(good.Token+"\n", api.MaxBatch+1)
	stdout, stderr, code = runScan(t, many, "-", "-o", "json", "--verify", "--verify-server", s.VerificationURL)
	if all := []foundJSON{}; json.Unmarshal([]byte(stdout), &all) != nil || len(all) != api.MaxBatch+1 || code != 3 || strings.Count(stderr, "cannot reach") != 1 {
		t.Errorf("exit code %d, %d finds, %s", code, len(all), stderr)
	}
}

// Whoever interrupts a scan is told so, and not that nothing was found.
func TestScanInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := program{stdin: os.Stdin, stdout: new(bytes.Buffer), stderr: new(bytes.Buffer)}
	root := p.rootCommand()
	root.SetArgs([]string{"scan", t.TempDir()})
	if err := root.ExecuteContext(ctx); !errors.Is(err, context.Canceled) || cli.ExitCode(err) != 1 {
		t.Errorf("%v", err)
	}
}
