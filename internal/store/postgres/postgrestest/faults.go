package postgrestest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Kill ends every process of the server as loss of power would.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	// The first process goes last: it would start others in place of those that die.
	s.signal(t, syscall.SIGSTOP)
	s.signal(t, syscall.SIGKILL)
	_ = s.cmd.Wait()
}

// Stop ends the server in good order, without waiting for its clients.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.end(t, syscall.SIGINT)
}

// StopAtOnce ends the server without writing down what it could recover, as pg_ctl stop -m immediate does.
func (s *Server) StopAtOnce(t testing.TB) {
	t.Helper()
	s.end(t, syscall.SIGQUIT)
}

func (s *Server) end(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
}

// Run starts a server again that was ended, and returns when it answers.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	if err := s.serve(); err != nil {
		t.Fatal(err)
	}
}

// Freeze stops every process of the server, Thaw lets them go on.
func (s *Server) Freeze(t testing.TB) { t.Helper(); s.signal(t, syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw(t testing.TB) { t.Helper(); s.signal(t, syscall.SIGCONT) }

// signal sends a signal to the first process, so that there are no new ones, and to the others.
func (s *Server) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	pid := s.cmd.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	for child := range strings.FieldsSeq(string(children)) {
		if n, err := strconv.Atoi(child); err == nil {
			_ = syscall.Kill(n, signal) // it may have ended
		}
	}
}

// Promote makes a standby a server of its own, and returns when it is one.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	s.tool(t, "pg_ctl", "promote", "-D", filepath.Join(s.dir, "data"), "-w", "-t", "30")
}

// Set changes settings of a running server that need no restart.
func (s *Server) Set(t testing.TB, name, value string) {
	t.Helper()
	execute(t, s.URL("postgres"), fmt.Sprintf(`ALTER SYSTEM SET %s = '%s'`, name, value))
	execute(t, s.URL("postgres"), `SELECT pg_reload_conf()`)
	const patience = 30 * time.Second
	for began := time.Now(); time.Since(began) < patience; time.Sleep(10 * time.Millisecond) {
		if s.setting(t, name) == value {
			return
		}
	}
	t.Fatalf("the server does not take over %s", name)
}

func (s *Server) setting(t testing.TB, name string) (value string) {
	t.Helper()
	conn, err := connect(s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), `SELECT current_setting($1)`, name).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// tool runs a program of PostgreSQL's as the user whom the server runs as.
func (s *Server) tool(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// Address returns where the server listens, "127.0.0.1:5432".
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Folder returns a folder that the server's user can read.
func (s *Server) Folder() string { return s.dir }

// Own gives a file or folder to the user whom the server runs as.
func (s *Server) Own(path string) error {
	_, err := owner(path)
	return err
}
