package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/cli"
)

// TestSession is a key's life on the command line, against the real server.
func TestSession(t *testing.T) {
	s := apptest.Start(t, nil)
	env := map[string]string{
		"APIKEYD_SERVER": s.ManagementURL, "APIKEYD_VERIFY_SERVER": s.VerificationURL, "APIKEYD_KEY": s.First.Token.Reveal(),
	}
	run := func(stdin, want string, code int, args ...string) string {
		t.Helper()
		var out, stderr bytes.Buffer
		cmd := cli.NewKeysCommand(cli.Streams{In: strings.NewReader(stdin), Out: &out, Err: &stderr}, func(name string) (string, bool) {
			v, ok := env[name]
			return v, ok
		})
		cmd.SetArgs(args)
		err := cmd.ExecuteContext(t.Context())
		cli.PrintError(&stderr, err)
		if got := cli.ExitCode(err); got != code || !strings.Contains(stderr.String(), want) {
			t.Fatalf("%s: exit code %d, want %d, standard error:\n%s\nwant %s", args, got, code, stderr.String(), want)
		}
		return out.String()
	}
	const once = "The token is shown this once"
	contains := func(text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("no %q in:\n%s", part, text)
			}
		}
	}

	token := run("", once, 0, "create", "--name", "Backend", "--scope", "READ,CREATE", "--expires-in", "90d", "-o", "token")
	var created api.CreatedKey
	if err := json.Unmarshal([]byte(run("", once, 0, "create", "--name", "CI", "--scope", "READ", "--metadata", `{"a":1}`, "-o", "json")), &created); err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprint(created.KeyID)
	contains(run("", "", 0, "get", id), "Name          CI\n", "Metadata      {\"a\":1}\n", "Expires       never\n", "State         active\n")
	contains(run("", "", 0, "list"), "ID  NAME", "CI ", "Backend ", "READ,CREATE")
	contains(run("", "There are more than these 1", 0, "list", "--limit", "1"), "CI ")
	if out := run("", "", 0, "list", "--query", "back", "-o", "json"); strings.Contains(out, "CI") || !strings.HasPrefix(out, "[\n  {") {
		t.Errorf("list --query back: %s", out)
	}
	contains(run(token, "", 0, "verify", "-", "--scope", "CREATE"), "VALID\nID ")
	contains(run(created.Token, "", 1, "verify", "-", "--scope", "CREATE"), "INSUFFICIENT_SCOPE\nID ")
	contains(run("", "", 1, "verify", "nonsense"), "NOT_FOUND\n")

	contains(run("", "", 0, "update", id, "--name", "CI 2", "--disabled", "--metadata", `{"a":null,"b":2}`),
		"CI 2", "disabled", `{"b":2}`)
	contains(run(created.Token, "", 1, "verify", "-"), "DISABLED\n")
	run("", "", 0, "update", id, "--enabled")

	rotated := run("", once, 0, "rotate", id, "--grace", "1h", "-o", "token")
	contains(run(created.Token, "", 0, "verify", "-"), "VALID\n")
	contains(run(rotated, "", 0, "verify", "-"), "VALID\n")

	// What the server refuses, in the words of the command line.
	run("", "\n  --expires-at: ", 1, "create", "--name", "x", "--scope", "READ", "--expires-at", "2001-01-01T00:00:00Z")
	run("", "\n  --grace: ", 1, "rotate", id, "--grace", "400d")
	run("", "key 999: ", 1, "get", "999")
	env["APIKEYD_KEY"] = strings.TrimSpace(rotated)
	run("", "(insufficient_scope)", 1, "delete", id)
	env["APIKEYD_KEY"] = s.First.Token.Reveal()

	if out := run("", "key 999: ", 1, "delete", id, "999"); out != "deleted "+id+"\n" {
		t.Errorf("delete: %s", out)
	}
	contains(run(rotated, "", 1, "verify", "-"), "NOT_FOUND\n")
	env["APIKEYD_KEY"] = strings.TrimSpace(rotated)
	run("", "(unauthenticated)", 1, "list")
}
