package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen soon. It is long because a machine may be busy, and nobody
// waits so long unless something is wrong.
const patience = time.Minute

// process is a program that runs beside the test. It is dead when the test ends, whatever happens.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdout printed
	stderr *output
	exited chan struct{} // closed when it has ended and all that it wrote is there
}

// launch starts a program in a folder. Its environment is env and what every program needs.
func launch(t testing.TB, folder string, env []string, name string, args ...string) *process {
	t.Helper()
	return launchCommand(t, func(cmd *exec.Cmd) {
		cmd.Dir = folder
		cmd.Env = append(cmd.Env, env...)
	}, name, args...)
}

// launchCommand is launch for those who want to change more about the command.
func launchCommand(t testing.TB, change func(*exec.Cmd), name string, args ...string) *process {
	t.Helper()
	stdout, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	p := &process{t: t, cmd: exec.Command(name, args...), stdout: printed{t, stdout.Name()}, stderr: newOutput(),
		exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = stdout, p.stderr
	p.cmd.Env = environment()
	p.cmd.WaitDelay = patience // where somebody else holds its output
	dieWithTest(p.cmd)
	change(p.cmd)
	if err := start(p.cmd); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // its outcome is in ProcessState
	}()
	t.Cleanup(p.kill)
	return p
}

// environment is what every program is given: nothing of apikeyd's, and the program that is tested in the PATH.
func environment() []string {
	env := []string{"PATH=" + filepath.Dir(binary) + string(os.PathListSeparator) + os.Getenv("PATH"), "LC_ALL=C"}
	for _, name := range []string{"HOME", "TMPDIR", "GOCACHE", "GOMODCACHE", "GOPATH", "GOFLAGS", "GOPROXY", "GOCOVERDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// launches are commands that wait to be started.
var launches = make(chan func())

// launcher starts all programs from one thread that lives as long as the tests: to the system, it is a thread whose
// death a program is to follow.
func launcher() {
	runtime.LockOSThread()
	for l := range launches {
		l()
	}
}

func start(cmd *exec.Cmd) error {
	started := make(chan error)
	launches <- func() { started <- cmd.Start() }
	return <-started
}

// signal sends a signal.
func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("%s: send %v: %v", p.cmd.Path, s, err)
	}
}

// kill ends the process as "kill -9" does, and returns when it is gone. One that is gone already stays so.
func (p *process) kill() {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("kill %s: %v", p.cmd.Path, err)
	}
	<-p.exited
}

// wait waits for the end and returns the exit code, -1 where a signal was the reason.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience + 2*time.Second):
		p.t.Fatalf("%s does not end; it has written:\n%s", p.cmd.Path, p.stderr)
		return 0
	}
}

// running reports whether the process has not ended yet.
func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// printed is what a process writes to standard output. It goes straight into a file, so that whoever has seen a later
// line on standard error finds all of it.
type printed struct {
	t    testing.TB
	path string
}

// String returns what was written so far.
func (p printed) String() string { return string(p.bytes()) }

func (p printed) bytes() []byte {
	p.t.Helper()
	b, err := os.ReadFile(p.path)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// output gathers what a process writes, and lets a test wait for it.
type output struct {
	mu      sync.Mutex
	data    []byte
	changed chan struct{} // closed with the next write
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

// Write adds b.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.data = append(o.data, b...)
	close(o.changed)
	o.changed = make(chan struct{})
	return len(b), nil
}

// String returns what was written so far.
func (o *output) String() string { return string(o.bytes()) }

func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.data)
}

// await waits until there is something in what was written. It returns false where ctx ends first.
func (o *output) await(ctx context.Context, found func(written []byte) bool) bool {
	for {
		o.mu.Lock()
		ok, changed := found(o.data), o.changed
		o.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
