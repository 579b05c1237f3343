package postgrestest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Addr returns where the server listens, as HOST:PORT.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Execute runs a statement as the superuser.
func (s *Server) Execute(t testing.TB, statement string) {
	t.Helper()
	execute(t, s.URL("postgres"), statement)
}

// Crash ends the server at once, as pg_ctl stop -m immediate does. It recovers at the next start.
func (s *Server) Crash(t testing.TB) {
	t.Helper()
	s.Signal(t, syscall.SIGQUIT)
	_ = s.cmd.Wait() // it does not exit with 0
}

// Restart starts a server that has crashed, where it was, and waits until it answers.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	again := exec.Command(s.cmd.Path, s.cmd.Args[1:]...)
	again.SysProcAttr, again.Dir, again.Stdout, again.Stderr = s.cmd.SysProcAttr, s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr
	s.cmd = again
	if err := errors.Join(s.cmd.Start(), s.await()); err != nil {
		t.Fatal(err)
	}
}

// Freeze stops the server and all its processes in the middle of everything. At the end of the test they go on.
func (s *Server) Freeze(t testing.TB) {
	t.Helper()
	t.Cleanup(func() { s.Thaw(t) })
	s.Signal(t, syscall.SIGSTOP) // first, so that it makes no further ones
	s.signalChildren(syscall.SIGSTOP)
}

// Thaw lets a frozen server go on. One that is not frozen stays as it is.
func (s *Server) Thaw(t testing.TB) {
	t.Helper()
	s.signalChildren(syscall.SIGCONT)
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

// signalChildren sends a signal to the processes that the server has made. Each of them is in a group of its own.
func (s *Server) signalChildren(signal syscall.Signal) {
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		stat, err := os.ReadFile(path)
		if err != nil { // it has ended
			continue
		}
		// Behind the name, which is in brackets and may hold anything: state and parent.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(s.cmd.Process.Pid) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				_ = syscall.Kill(pid, signal)
			}
		}
	}
}

// Standby makes a copy of the server that follows it, and has the server wait for the copy at each commit.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "apikeyd-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	standby := &Server{dir: dir}
	t.Cleanup(standby.kill)
	credential, err := owner(dir)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	copying := exec.Command(filepath.Join(filepath.Dir(s.cmd.Path), "pg_basebackup"), "-D", data, "-d", s.URL("postgres"), "-R", "-X", "stream",
		"-c", "fast", "--no-sync")
	copying.SysProcAttr, copying.Dir = &syscall.SysProcAttr{Credential: credential}, dir
	if out, err := copying.CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v\n%s", err, out)
	}
	if standby.port, err = freePort(); err != nil {
		t.Fatal(err)
	}
	if standby.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	standby.cmd = exec.Command(s.cmd.Path, "-D", data, "-p", strconv.Itoa(standby.port), "-k", dir, "-c", "listen_addresses=127.0.0.1",
		"-c", "max_connections=200", "-c", "shared_buffers=64MB")
	standby.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Setpgid: true, Pdeathsig: syscall.SIGQUIT}
	standby.cmd.Dir, standby.cmd.Stdout, standby.cmd.Stderr = dir, standby.log, standby.log
	if err := errors.Join(standby.cmd.Start(), standby.await()); err != nil {
		t.Fatal(err)
	}
	s.Execute(t, `ALTER SYSTEM SET synchronous_standby_names = '*'`)
	s.Execute(t, `SELECT pg_reload_conf()`)
	return standby
}

// Promote makes a standby a server of its own, and waits until it is one.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	promote := exec.Command(filepath.Join(filepath.Dir(s.cmd.Path), "pg_ctl"), "promote", "-w", "-D", filepath.Join(s.dir, "data"))
	promote.SysProcAttr, promote.Dir = &syscall.SysProcAttr{Credential: s.cmd.SysProcAttr.Credential}, s.dir
	if out, err := promote.CombinedOutput(); err != nil {
		t.Fatalf("pg_ctl promote: %v\n%s", err, out)
	}
}

// ExecuteIn runs statements in a database as the superuser.
func (s *Server) ExecuteIn(t testing.TB, database, statements string) {
	t.Helper()
	execute(t, s.URL(database), statements)
}
