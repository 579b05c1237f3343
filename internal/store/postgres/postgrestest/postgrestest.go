// Package postgrestest starts a PostgreSQL server for tests, and makes databases in it.
//
// The server is the one that Debian's packages install; .ci/prepare does that. APIKEYD_TEST_POSTGRES_BIN names the folder of another
// one's programs. APIKEYD_TEST_POSTGRES names a server that runs, by a URL whose user may create databases. Where there is none of
// them, tests fail: one that did not run says nothing.
package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/apikeyd/apikeyd/internal/freeport"
)

const (
	// variable names a server that is there already.
	variable = "APIKEYD_TEST_POSTGRES"
	// programsVariable names the folder of the programs that servers are started from.
	programsVariable = "APIKEYD_TEST_POSTGRES_BIN"
)

// Server is a PostgreSQL server of the tests' own.
type Server struct {
	dir, bin   string
	port       int
	args       []string
	credential *syscall.Credential
	cmd        *exec.Cmd
	log        *os.File
}

// shared is the server that tests use that do nothing to it.
var shared struct {
	once sync.Once
	url  string
	err  error
	stop func()
}

// Main runs the tests of a package and stops the shared server behind them: func TestMain(m *testing.M) { postgrestest.Main(m) }.
func Main(m *testing.M) { Exit(m.Run()) }

// Exit stops the shared server and ends the process: for those who run the tests of a package in another way.
func Exit(code int) {
	if shared.stop != nil {
		shared.stop()
	}
	os.Exit(code)
}

var databases atomic.Int64

// NewDatabase makes an empty database on the shared server, and returns its URL. It is dropped at the end of the test.
func NewDatabase(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() {
		if shared.url = os.Getenv(variable); shared.url != "" {
			return
		}
		var s *Server
		// Nobody pulls its plug: it need not wait for the disk.
		if s, shared.err = Launch("fsync=off", "full_page_writes=off", "max_locks_per_transaction=256"); shared.err == nil {
			shared.url, shared.stop = s.URL("postgres"), s.Discard
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return createDatabase(t, shared.url)
}

// Start starts a server for one test, which may do to it what it wants. Settings are written as in "fsync=off".
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := Launch(settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Discard)
	return s
}

// NewDatabase makes an empty database, and returns its URL.
func (s *Server) NewDatabase(t testing.TB) string {
	t.Helper()
	return createDatabase(t, s.URL("postgres"))
}

func createDatabase(t testing.TB, server string) string {
	t.Helper()
	name := fmt.Sprintf("apikeyd_test_%d_%d", os.Getpid(), databases.Add(1))
	execute(t, server, `CREATE DATABASE `+name)
	t.Cleanup(func() {
		// A server that the test has stopped needs no cleaning.
		if conn, err := connect(server); err == nil {
			_, _ = conn.Exec(context.Background(), `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`)
			_ = conn.Close(context.Background())
		}
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// Limited returns the URL of a database as somebody who may create schemas there, and nothing else.
func Limited(t testing.TB, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	role := "limited_" + name
	execute(t, database, `CREATE ROLE `+role+` LOGIN PASSWORD 'x'`)
	t.Cleanup(func() {
		execute(t, database, `DROP OWNED BY `+role+` CASCADE`)
		execute(t, database, `DROP ROLE `+role)
	})
	execute(t, database, `GRANT CREATE ON DATABASE `+name+` TO `+role)
	u.User = url.UserPassword(role, "x")
	return u.String()
}

func execute(t testing.TB, server, statement string) {
	t.Helper()
	conn, err := connect(server)
	if err == nil {
		_, err = conn.Exec(context.Background(), statement)
		err = errors.Join(err, conn.Close(context.Background()))
	}
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func connect(server string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return pgx.Connect(ctx, server)
}

// URL returns the address of a database on the server.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.port, database)
}

// binaries returns the folder of the PostgreSQL that is asked for, or else of the newest that is installed.
func binaries() (string, error) {
	if folder := os.Getenv(programsVariable); folder != "" {
		if !filepath.IsAbs(folder) {
			return "", fmt.Errorf("%s: %s is no absolute path", programsVariable, folder)
		}
		if _, err := os.Stat(filepath.Join(folder, "postgres")); err != nil {
			return "", fmt.Errorf("%s: %w", programsVariable, err)
		}
		return folder, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		if path, err := exec.LookPath("postgres"); err == nil {
			return filepath.Dir(path), nil
		}
		return "", fmt.Errorf("there is no PostgreSQL server: install Debian's package postgresql, or set %s to the URL of one", variable)
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return n
	}
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	return filepath.Dir(found[0]), nil
}

// Launch makes a cluster in a folder of its own and serves it on a free port, for whoever is no test and calls Discard at the end.
// PostgreSQL refuses to run as root, so root lends it the user that Debian's package makes.
func Launch(settings ...string) (_ *Server, err error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "apikeyd-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir}
	defer func() {
		if err != nil {
			s.Discard()
		}
	}()
	credential, err := owner(dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	initdb.Dir = dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if s.port, err = freeport.Find(); err != nil {
		return nil, err
	}
	if s.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		return nil, err
	}
	s.args = []string{"-D", data, "-p", strconv.Itoa(s.port), "-k", dir}
	for _, setting := range append([]string{"listen_addresses=127.0.0.1", "max_connections=200", "shared_buffers=64MB"}, settings...) {
		s.args = append(s.args, "-c", setting)
	}
	s.bin, s.credential = bin, credential
	return s, s.serve()
}

// serve starts the server's program, and waits until it answers.
func (s *Server) serve() error {
	s.cmd = exec.Command(filepath.Join(s.bin, "postgres"), s.args...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential, Setpgid: true, Pdeathsig: syscall.SIGQUIT}
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, s.log, s.log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	return s.await()
}

// await waits until the server answers.
func (s *Server) await() error {
	const patience = 30 * time.Second
	var err error
	for began := time.Now(); time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		var conn *pgx.Conn
		if conn, err = connect(s.URL("postgres")); err == nil {
			return conn.Close(context.Background())
		}
	}
	log, _ := os.ReadFile(s.log.Name())
	return fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, log)
}

// Discard ends the server and removes what it has written.
func (s *Server) Discard() {
	if s.cmd != nil && s.cmd.Process != nil && s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Signal(syscall.SIGCONT)
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // at once, and with its children
		_ = s.cmd.Wait()
	}
	if s.log != nil {
		_ = s.log.Close()
	}
	_ = os.RemoveAll(s.dir)
}

// owner returns as whom the server is to run, and gives the folder to that user; nil is the present one.
func owner(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, uid, gid)
}

// Execute runs statements in a database as the superuser.
func (s *Server) Execute(t testing.TB, database, statements string) {
	t.Helper()
	execute(t, s.URL(database), statements)
}
