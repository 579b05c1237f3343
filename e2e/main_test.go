// Package e2e meets apikeyd as strangers and operators do: the real binary, in a folder of its own, over real sockets,
// through the shell, and when things go wrong around it.
//
// Rooms test what they promise each other; here is tested what users were promised, and that the documents say what
// the program does. Sessions of the command line are scripts in testdata/script. Everything else is Go.
//
// Nothing is mocked, ports are chosen by the system, and no process outlives the tests. The tests wait far more than
// they compute, so more of them run at the same time than there are processors.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The build that is tested says that it is this one.
const (
	builtVersion = "1.2.3-e2e"
	builtCommit  = "0123456789abcdef0123456789abcdef01234567"
)

// binary is the path of the program that is tested. TestMain builds it once.
var binary string

// repository is the root of the source.
const repository = ".."

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if verification := os.Getenv(guardedBy); verification != "" {
		fmt.Fprintln(os.Stderr, serveGuarded(verification))
		return 1
	}
	flag.Parse()
	waitMoreThanCompute()
	if err := lookAtSources(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}

	folder, err := os.MkdirTemp("", "apikeyd-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	// Below its own folder, which is what PATH gets.
	if binary, err = build(filepath.Join(folder, "bin", "apikeyd")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go launcher()

	code := m.Run()
	for _, pid := range running(binary) {
		fmt.Fprintf(os.Stderr, "process %d was left behind\n", pid)
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill()
		}
		code = max(code, 1)
	}
	return code
}

// waitMoreThanCompute lets more tests run at once than there are processors, unless somebody has said how many.
func waitMoreThanCompute() {
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		if err := flag.Set("test.parallel", "24"); err != nil {
			panic(err)
		}
	}
}

// lookAtSources goes through what the program is built from, and what browsers do with it. The go command runs a test again
// only where something has changed that the test has looked at.
func lookAtSources() error {
	for _, room := range []string{"api", "client", "cmd", "internal", "middleware", "e2e/browser"} {
		err := filepath.WalkDir(filepath.Join(repository, room), func(_ string, _ fs.DirEntry, err error) error { return err })
		if err != nil {
			return err
		}
	}
	for _, file := range []string{"go.sum", "Makefile"} {
		if _, err := os.Stat(filepath.Join(repository, file)); err != nil {
			return err
		}
	}
	return nil
}

// build builds the program. The arguments are for the go command, beside the usual ones.
func build(path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	args = append([]string{"build", "-race=false", "-o", path,
		"-ldflags", "-s -w -X main.version=" + builtVersion + " -X main.commit=" + builtCommit}, args...)
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/apikeyd")...)
	cmd.Dir = repository
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build apikeyd: %w\n%s", err, out)
	}
	return path, nil
}
