// Package valkeytest starts a Valkey or Redis server in a test: a real one, on a free port and in a temporary folder, that ends with
// the test.
package valkeytest

import (
	"bufio"
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

// Server is a server.
type Server struct {
	dir  string
	port int
	args []string
	cmd  *exec.Cmd
}

// Start starts a server that keeps everything in memory, with settings such as "--requirepass", "secret".
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := &Server{dir: t.TempDir(), args: settings, port: freePort(t)}
	s.Run(t)
	t.Cleanup(func() { s.Kill(t) })
	return s
}

// Run starts a server again that was ended, on the same port, and returns when it answers.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command(program(t), append([]string{"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir,
		"--save", "", "--appendonly", "no"}, s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	const patience = 10 * time.Second
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if answer, err := s.Ask("PING"); err == nil && answer != "" {
			return
		} else if time.Since(began) > patience {
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("the server does not answer: %v\n%s", err, said)
		}
	}
}

// program returns the path of a server.
func program(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"valkey-server", "redis-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no valkey-server or redis-server: install Debian's package redis-server")
	return ""
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Address returns where the server listens, "127.0.0.1:6379".
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL returns the URL of the server's first database.
func (s *Server) URL() string { return "redis://" + s.Address() }

// Ask sends a command on a connection of its own and returns what is in the first line of the answer.
func (s *Server) Ask(command ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", s.Address(), time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := fmt.Fprintf(conn, "%s\r\n", strings.Join(command, " ")); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}

// Kill ends the server at once.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // it may have ended
}

// Freeze stops the server, so that it takes connections and says nothing. Thaw lets it go on.
func (s *Server) Freeze(t testing.TB) { t.Helper(); s.signal(t, syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw(t testing.TB) { t.Helper(); s.signal(t, syscall.SIGCONT) }

func (s *Server) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}
