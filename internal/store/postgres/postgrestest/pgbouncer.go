package postgrestest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/freeport"
)

// PgBouncer starts a pooler before the server, with a pool_mode, and returns the URL of a database by way of it. It ends with
// the test.
func (s *Server) PgBouncer(t testing.TB, mode, database string, settings ...string) string {
	t.Helper()
	program, err := pgbouncer()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "apikeyd-pgbouncer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	credential, err := owner(dir)
	if err != nil {
		t.Fatal(err)
	}
	port, err := freeport.Find()
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("[databases]\n* = host=127.0.0.1 port=%d user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\n"+
		"unix_socket_dir =\nauth_type = any\npool_mode = %s\nmax_client_conn = 200\n", s.port, port, mode)
	for _, setting := range settings {
		config += setting + "\n"
	}
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Pdeathsig: syscall.SIGKILL}
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	url := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", port, database)
	const patience = 30 * time.Second
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		conn, err := connect(url)
		if err == nil {
			_ = conn.Close(t.Context())
			return url
		}
		if time.Since(began) > patience {
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("PgBouncer does not answer: %v\n%s", err, said)
		}
	}
}

func pgbouncer() (string, error) {
	const debian = "/usr/sbin/pgbouncer"
	if _, err := os.Stat(debian); !errors.Is(err, fs.ErrNotExist) {
		return debian, err
	}
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		return "", fmt.Errorf("there is no PgBouncer: install Debian's package pgbouncer: %w", err)
	}
	return path, nil
}
