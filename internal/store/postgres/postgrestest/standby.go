package postgrestest

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/apikeyd/apikeyd/internal/freeport"
)

// Standby starts a server that replicates s.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "apikeyd-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	standby := &Server{dir: dir, bin: s.bin}
	t.Cleanup(standby.Discard)
	if standby.credential, err = owner(dir); err != nil {
		t.Fatal(err)
	}
	if standby.port, err = freeport.Find(); err != nil {
		t.Fatal(err)
	}
	if standby.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	version, err := strconv.Atoi(s.setting(t, "server_version_num"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.copy(t.Context(), version, data); err != nil {
		t.Fatalf("copying the server's files: %v", err)
	}
	if err := copyOwned(filepath.Join(data, "standby.signal"), strings.NewReader("")); err != nil {
		t.Fatal(err)
	}
	standby.args = []string{"-D", data, "-p", strconv.Itoa(standby.port), "-k", dir, "-c", "listen_addresses=127.0.0.1",
		"-c", "max_connections=200", "-c", "shared_buffers=64MB",
		"-c", fmt.Sprintf("primary_conninfo=host=127.0.0.1 port=%d user=postgres", s.port)}
	standby.Run(t)
	return standby
}

// copy has the running server send all its files, and writes them into a new folder. It is what pg_basebackup does, a program that
// not every installation has, and that knows no server newer than itself.
func (s *Server) copy(ctx context.Context, version int, folder string) (err error) {
	conn, err := pgconn.Connect(ctx, s.URL("postgres")+"&replication=yes")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	files, sent := io.Pipe()
	unpacked := make(chan error, 1)
	go func() {
		err := unpack(files, folder)
		files.CloseWithError(err)
		unpacked <- err
	}()
	err = receive(ctx, conn, version, sent)
	_ = sent.CloseWithError(err)
	return errors.Join(err, <-unpacked)
}

// receive asks for the server's files, and passes on the archive that they come in.
func receive(ctx context.Context, conn *pgconn.PgConn, version int, archive io.Writer) error {
	// Since version 15 each message of the copy begins with a letter that says what it is: 'd' is a part of the archive.
	const firstWithLetters = 15_0000
	command, letters := "BASE_BACKUP (TARGET 'client', CHECKPOINT 'fast', WAL)", true
	if version < firstWithLetters {
		command, letters = "BASE_BACKUP FAST WAL", false
	}
	conn.Frontend().Send(&pgproto3.Query{String: command})
	if err := conn.Frontend().Flush(); err != nil {
		return err
	}
	for {
		m, err := conn.ReceiveMessage(ctx)
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			return pgconn.ErrorResponseToPgError(m)
		case *pgproto3.ReadyForQuery:
			return nil
		case *pgproto3.CopyData:
			part := m.Data
			if letters {
				if part[0] != 'd' {
					continue
				}
				part = part[1:]
			}
			if _, err := archive.Write(part); err != nil {
				return err
			}
		}
	}
}

// unpack writes an archive's files into a new folder, for the user whom the server runs as.
func unpack(archive io.Reader, folder string) error {
	if err := makeOwned(folder); err != nil {
		return err
	}
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if err == io.EOF {
			_, err = io.Copy(io.Discard, archive)
			return err
		}
		if err != nil {
			return err
		}
		path := filepath.Join(folder, h.Name)
		if h.FileInfo().IsDir() {
			err = makeOwned(path)
		} else {
			err = copyOwned(path, r)
		}
		if err != nil {
			return err
		}
	}
}

func makeOwned(folder string) error {
	// The archive may bring a folder after a file that lies in it.
	err := os.MkdirAll(folder, 0o700)
	if err == nil {
		_, err = owner(folder)
	}
	return err
}

func copyOwned(path string, content io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	err = errors.Join(err, f.Close())
	if err == nil {
		_, err = owner(path)
	}
	return err
}
