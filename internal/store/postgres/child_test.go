package postgres

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// children are what the test binary does when it is started again by a test, as a node of its own. Each gets the address of a
// database, and tells its parent what it did on standard output, one line each.
var children = map[string]func(dsn string, tell func(format string, args ...any)) error{}

const childVariable = "APIKEYD_POSTGRES_TEST_CHILD"

// child is a running process.
type child struct {
	*exec.Cmd
	lines *bufio.Scanner
	stdin io.Writer
}

// startChild starts the test binary again to do what is called name.
func startChild(t *testing.T, name, dsn string) *child {
	t.Helper()
	if children[name] == nil {
		t.Fatalf("no child is called %q", name)
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), executable, dsn)
	cmd.Env = append(os.Environ(), childVariable+"="+name)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &child{cmd, bufio.NewScanner(out), in}
}

// tell sends a line, for a child that waits for one.
func (c *child) tell(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(c.stdin, "\n"); err != nil {
		t.Fatal(err)
	}
}

// line returns the next line, and "" where there is none.
func (c *child) line() string {
	if c.lines.Scan() {
		return c.lines.Text()
	}
	return ""
}

func (c *child) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := c.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// wait waits for a process that must end well, and returns the lines it had still told.
func (c *child) wait(t *testing.T) (rest []string) {
	t.Helper()
	for c.lines.Scan() {
		rest = append(rest, c.lines.Text())
	}
	if err := c.Wait(); err != nil {
		t.Errorf("child: %v: %q", err, rest)
	}
	return rest
}
