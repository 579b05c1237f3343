// Package valkeytest starts a Valkey or Redis server in a test: a real one, on a free port and in a temporary folder, that ends with
// the test.
package valkeytest

import (
	"bufio"
	"errors"
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

	"github.com/apikeyd/apikeyd/internal/freeport"
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
	s, err := Launch(t.TempDir(), settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.End)
	return s
}

// Launch is Start where there is no test: in a folder, and until End.
func Launch(dir string, settings ...string) (*Server, error) {
	port, err := freeport.Find()
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, args: settings, port: port}
	return s, s.run()
}

// Run starts a server again that was ended, on the same port, and returns when it answers.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) run() error {
	path, err := program()
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.Command(path, append([]string{"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir,
		"--save", "", "--appendonly", "no"}, s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	const patience = 30 * time.Second
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		answer, err := s.Ask("PING")
		if err == nil && answer != "" {
			return nil
		}
		if time.Since(began) > patience {
			s.End()
			said, _ := os.ReadFile(log.Name())
			return fmt.Errorf("the server does not answer: %w\n%s", err, said)
		}
	}
}

// program returns the path of a server.
func program() (string, error) {
	for _, name := range []string{"valkey-server", "redis-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no valkey-server or redis-server: install Debian's package redis-server")
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

// End ends the server at once, if it has not ended.
func (s *Server) End() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// Kill is End, in the middle of a test.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.End()
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
