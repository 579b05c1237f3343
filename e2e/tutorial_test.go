package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

// The two commands of the README, word for word.
const (
	startCommand = "go run ./cmd/apikeyd serve"
	testCommand  = "make test"
)

// TestReadme runs the first command of the README as it is written, and sees that the second one is there to be run.
func TestReadme(t *testing.T) {
	t.Parallel()
	needCurl(t)
	blocks := read(t, "README.md").shell()
	if len(blocks) < 2 || strings.TrimSpace(blocks[0]) != startCommand || strings.TrimSpace(blocks[1]) != testCommand {
		t.Fatalf("the README does not begin with %q and %q: %q", startCommand, testCommand, blocks)
	}
	folder := t.TempDir()
	p := launchCommand(t, func(cmd *exec.Cmd) {
		cmd.Dir = repository
		// Nothing of it may end up here or need ports that are taken, and the packages are built already.
		cmd.Env = append(cmd.Env, append(anyPort, "APIKEYD_DATABASE=sqlite:"+filepath.Join(folder, "apikeyd.db"), "CGO_ENABLED=0")...)
		cmd.SysProcAttr.Setpgid = true // as a shell does
	}, "sh", "-c", "exec "+startCommand)
	group := -p.cmd.Process.Pid
	t.Cleanup(func() { _ = syscall.Kill(group, syscall.SIGKILL) }) // what is gone already does not mind

	s := await(t, p, folder)
	pasteQuickstart(t, s, nil)
	// Ctrl-C reaches the go command and the server, which drains.
	if err := syscall.Kill(group, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	s.wait() // with the go command's own idea of an exit code
	if !strings.Contains(s.stderr.String(), `"msg":"shutting down"`) {
		t.Errorf("after Ctrl-C:\n%s", s.stderr)
	}
	if err := syscall.Kill(group, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("something is left of it: %v", err)
	}
}

// TestTutorial does what the tutorial says, in its order, with its own commands. Where the tutorial writes ak_…, the
// reader fills in a token: first the key that was printed, then the one that the last command has printed. Two things
// are different: the ports, and that apikeyd is in the PATH already, where the tutorial builds it.
func TestTutorial(t *testing.T) {
	t.Parallel()
	needCurl(t)
	s := serve(t, t.TempDir())
	tutorial := reader{t: t, server: s, key: s.token, token: s.token}
	var codes []api.VerifyCode
	fences := read(t, "docs/tutorial.md").fences()
	began := false
	for i, f := range fences {
		switch {
		case f.language != "sh":
		case strings.TrimSpace(f.text) == startCommand:
			began = true
		case strings.HasPrefix(f.text, "export APIKEYD_KEY=ak_…"):
			if !strings.Contains(f.text, "go build -o bin/ ./cmd/apikeyd && PATH=\"$PWD/bin:$PATH\"\n") {
				t.Errorf("how is apikeyd to be called? %s", f.text)
			}
		default:
			out := tutorial.run(f.text)
			var answer api.Verification
			if strings.Contains(f.text, "/v1/verify") {
				last := out[strings.LastIndexByte(strings.TrimSpace(out), '\n')+1:]
				if err := json.Unmarshal([]byte(last), &answer); err != nil {
					t.Errorf("%s%v: %s", f.text, err, out)
				}
				codes = append(codes, answer.Code)
			}
			if i+1 < len(fences) && fences[i+1].language == "json" {
				sameButTimes(t, out, fences[i+1].text)
			}
			if answer.Code == api.VerifyValid {
				tutorial.vary(f.text)
			}
		}
	}
	if want := []api.VerifyCode{api.VerifyValid, api.VerifyNotFound}; !began || !slices.Equal(codes, want) {
		t.Errorf("began: %t; the checks came out as %v, want %v", began, codes, want)
	}
	if list := tutorial.run("apikeyd keys list"); strings.Contains(list, "\n2 ") || !strings.Contains(list, "\n1 ") {
		t.Errorf("the keys in the end:\n%s", list)
	}
	s.stop()
}

// howTos are the pages that are followed from the first command to the last.
var howTos = []string{"restrict-a-key", "serve-your-customers", "manage-members", "read-the-audit-log"}

// TestHowTos does what these pages say, in their order, with their own commands, on a server that has just been started.
// Where an answer is shown, it is the one that comes.
func TestHowTos(t *testing.T) {
	t.Parallel()
	needCurl(t)
	for _, name := range howTos {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, t.TempDir())
			r := reader{t: t, server: s, key: s.token, token: s.token, curls: true}
			fences := read(t, "docs/how-to/"+name+".md").fences()
			blocks := 0
			for i, f := range fences {
				if f.language != "sh" {
					continue
				}
				blocks++
				out := r.run(f.text)
				if i+1 < len(fences) && fences[i+1].language == "json" {
					sameButTimes(t, out, fences[i+1].text)
				}
				if strings.Contains(out, `"type":"about:blank"`) {
					t.Errorf("%s\n%s", f.text, out)
				}
				if strings.Contains(f.text, "curl -sS -i -X DELETE") && !strings.HasPrefix(out, "HTTP/1.1 204 ") {
					t.Errorf("%s\n%s", f.text, out)
				}
			}
			if blocks < 5 {
				t.Errorf("only %d blocks were run", blocks)
			}
			s.stop()
			auditIsWhole(t, s.folder)
		})
	}
}

// reader is somebody who follows a document.
type reader struct {
	t      *testing.T
	server *server
	key    string // that they call with
	token  string // that they have seen last
	curls  bool   // they take tokens from what curl prints, too
}

// run pastes a block of shell and returns what it prints.
func (r *reader) run(block string) string {
	r.t.Helper()
	if strings.HasPrefix(block, "export APIKEYD_KEY=ak_…") {
		r.key = r.token
	}
	text := strings.NewReplacer(
		"http://127.0.0.1:8080", r.server.management,
		"http://127.0.0.1:8081", r.server.verification,
		"ak_…", r.token,
	).Replace(block)
	cmd := exec.CommandContext(r.t.Context(), "sh", "-e", "-c", text)
	cmd.Dir = r.server.folder
	cmd.Env = append(environment(), "APIKEYD_KEY="+r.key, "APIKEYD_SERVER="+r.server.management,
		"APIKEYD_VERIFY_SERVER="+r.server.verification)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("%s\n%v\n%s%s", text, err, out, &stderr)
	}
	if found := tokenText.FindAllString(string(out), -1); found != nil && (r.curls || strings.Contains(block, "apikeyd ")) {
		r.token = found[len(found)-1]
	}
	return string(out)
}

// vary does what the tutorial says in words: to ask for another scope, and to change a character of the token.
func (r *reader) vary(check string) {
	r.t.Helper()
	out := r.run(strings.Replace(check, `"CREATE"`, `"DELETE"`, 1))
	if !strings.Contains(out, `"valid":false,"code":"INSUFFICIENT_SCOPE"`) {
		r.t.Errorf("asked for DELETE: %s", out)
	}
	if out := r.run(strings.Replace(check, "ak_…", "ak_…x", 1)); !strings.Contains(out, "NOT_FOUND") {
		r.t.Errorf("with another character: %s", out)
	}
}

// sameButTimes compares two JSON values; any time is as good as any other.
func sameButTimes(t *testing.T, got, want string) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal([]byte(got), &a); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatalf("%v: %s", err, want)
	}
	if a, b = withoutTimes(a), withoutTimes(b); fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("got %s\nthe document has %s", got, want)
	}
}

// withoutTimes puts one time into the place of all others.
func withoutTimes(value any) any {
	switch v := value.(type) {
	case []any:
		for i := range v {
			v[i] = withoutTimes(v[i])
		}
	case map[string]any:
		for name := range v {
			if _, is := v[name].(string); is && strings.HasSuffix(name, "_at") {
				v[name] = "a time"
			} else {
				v[name] = withoutTimes(v[name])
			}
		}
	}
	return value
}

// TestSampleSettings starts a server with the sample configuration file as it is.
func TestSampleSettings(t *testing.T) {
	t.Parallel()
	path := filepath.Join(repository, "deploy", "apikeyd.toml")
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, t.TempDir(), "--config", absolute).stop()
}
