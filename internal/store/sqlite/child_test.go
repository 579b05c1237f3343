package sqlite

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// children are what the test binary does when it is started again by a test, to be killed or to be somebody else. Each
// gets the path of a database, and tells its parent what it did on standard output, one line each.
var children = map[string]func(path string, tell func(format string, args ...any)) error{}

const childVariable = "APIKEYD_SQLITE_TEST_CHILD"

func TestMain(m *testing.M) {
	name := os.Getenv(childVariable)
	if name == "" {
		goleak.VerifyTestMain(m) // a closed store leaves no goroutine
		return
	}
	err := children[name](os.Args[1], func(format string, args ...any) { fmt.Printf(format+"\n", args...) })
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child is a running process.
type child struct {
	*exec.Cmd
	lines *bufio.Scanner
}

// startChild starts the test binary again to do what is called name.
func startChild(t *testing.T, name, path string, change ...func(*exec.Cmd)) *child {
	t.Helper()
	if children[name] == nil {
		t.Fatalf("no child is called %q", name)
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), executable, path)
	cmd.Env = append(os.Environ(), childVariable+"="+name)
	cmd.Stderr = os.Stderr
	for _, c := range change {
		c(cmd)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &child{cmd, bufio.NewScanner(out)}
}

// line returns the next line, and "" where there is none.
func (c *child) line() string {
	if c.lines.Scan() {
		return c.lines.Text()
	}
	return ""
}

// kill ends the process as power loss would end it, and returns the lines it had still told.
func (c *child) kill(t *testing.T) (rest []string) {
	t.Helper()
	if err := c.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for c.lines.Scan() {
		rest = append(rest, c.lines.Text())
	}
	c.Wait()
	return rest
}

// wait waits for a process that must end well.
func (c *child) wait(t *testing.T) {
	t.Helper()
	for c.lines.Scan() {
		t.Log(c.lines.Text())
	}
	if err := c.Wait(); err != nil {
		t.Errorf("child: %v", err)
	}
}
