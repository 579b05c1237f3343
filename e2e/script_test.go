package e2e

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the sessions in testdata/script. Beside the usual commands of testscript they have
//
//	exits CODE PROGRAM ARG...   runs a program that must exit with this code
//	serve ARG...                starts a server and waits until it is ready; stdout is what it has printed
//	halt                        sends it SIGTERM; it must exit with 0. stdout and stderr are all that it has written
//	crash                       sends it SIGKILL
//	capture NAME REGEXP         sets a variable to what the group in REGEXP matches in stdout
//	certificates                writes ca.pem, and NAME.pem and NAME.key of server, client and stranger
//
// serve takes ports of the system's choice, unless it is told otherwise, and sets APIKEYD_SERVER and
// APIKEYD_VERIFY_SERVER to its addresses, port and verify_port to their ports, and APIKEYD_KEY to the first key where it
// has printed one.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Setup:               setUpScript,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		// A server that starts where it should have refused to is ended then. Scripts wait for their turn among all other tests.
		Deadline: time.Now().Add(10 * time.Minute),
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "serve": serveInScript, "halt": halt, "crash": crash, "capture": capture, "certificates": certificates,
		},
	})
}

// script is what the commands of a script share.
type script struct {
	t      testing.TB
	server *server // nil: none runs
}

func setUpScript(env *testscript.Env) error {
	env.Values[script{}] = &script{t: env.T().(testing.TB)}
	for _, entry := range append(environment(), anyPort...) {
		name, value, _ := strings.Cut(entry, "=")
		env.Setenv(name, value)
	}
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("goversion", runtime.Version())
	return nil
}

func session(ts *testscript.TestScript) *script { return ts.Value(script{}).(*script) }

// usage ends the script where a command is not used as it should be.
func usage(ts *testscript.TestScript, ok bool, text string) {
	if !ok {
		ts.Fatalf("usage: %s", text)
	}
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) >= 2, "exits CODE PROGRAM ARG...")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	code := 0
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		code = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("%s exits with %d, not %d", args[1], code, want)
	}
}

func serveInScript(ts *testscript.TestScript, neg bool, args []string) {
	s := session(ts)
	usage(ts, !neg && s.server == nil, "serve ARG..., once at a time")
	var env []string
	for _, name := range []string{
		"APIKEYD_LISTEN", "APIKEYD_VERIFY_LISTEN", "APIKEYD_CONFIG", "APIKEYD_DATABASE", "APIKEYD_LOG_FORMAT",
	} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	p := launch(s.t, ts.MkAbs("."), env, binary, append([]string{"serve"}, args...)...)
	s.server = await(s.t, p, ts.MkAbs("."))

	ts.Setenv("APIKEYD_SERVER", s.server.management)
	ts.Setenv("APIKEYD_VERIFY_SERVER", s.server.verification)
	ts.Setenv("port", s.server.management[strings.LastIndexByte(s.server.management, ':')+1:])
	ts.Setenv("verify_port", s.server.verification[strings.LastIndexByte(s.server.verification, ':')+1:])
	if s.server.token != "" {
		ts.Setenv("APIKEYD_KEY", s.server.token)
	}
	_, err := ts.Stdout().Write(p.stdout.bytes())
	ts.Check(err)
}

func halt(ts *testscript.TestScript, neg bool, args []string) {
	s := session(ts)
	usage(ts, !neg && len(args) == 0 && s.server != nil, "halt, after serve")
	s.server.stop()
	_, err := ts.Stdout().Write(s.server.stdout.bytes())
	ts.Check(err)
	_, err = ts.Stderr().Write(s.server.stderr.bytes())
	ts.Check(err)
	s.server = nil
}

func crash(ts *testscript.TestScript, neg bool, args []string) {
	s := session(ts)
	usage(ts, !neg && len(args) == 0 && s.server != nil, "crash, after serve")
	s.server.kill()
	s.server = nil
}

func capture(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "capture NAME REGEXP")
	re, err := regexp.Compile(`(?m)` + args[1])
	ts.Check(err)
	found := re.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("there is no %s, or no group in it", args[1])
	}
	ts.Setenv(args[0], found[1])
}

func certificates(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 0, "certificates")
	for name, content := range makeCertificates(session(ts).t) {
		ts.Check(os.WriteFile(ts.MkAbs(name), content, 0o600))
	}
}
