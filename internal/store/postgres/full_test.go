package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
)

// TestServerDiskFull fills a small file system that holds the tables, and then makes room.
func TestServerDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	server := postgrestest.Start(t)
	folder, err := os.MkdirTemp("", "apikeyd-full-") // the server's user has to reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(folder, "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=32m"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil { // the server has it open still
			t.Errorf("unmount: %v", err)
		}
	})
	ballast := filepath.Join(disk, "ballast")
	space := filepath.Join(disk, "space")
	if err := errors.Join(os.WriteFile(ballast, make([]byte, 10<<20), 0o600), os.Mkdir(space, 0o700), os.Chmod(disk, 0o755), server.Own(space)); err != nil {
		t.Fatal(err)
	}
	admin := plain(t, server.URL("postgres"))
	execute(t, admin, fmt.Sprintf(`CREATE TABLESPACE small LOCATION '%s'`, space))
	execute(t, admin, `CREATE DATABASE small TABLESPACE small`)
	u, err := url.Parse(server.URL("small"))
	if err != nil {
		t.Fatal(err)
	}
	s := openFilled(t, u.String(), 1)
	n := 1
	for ; ; n++ {
		err := addKeys(t.Context(), s, n*1000, 500)
		if errors.Is(err, store.ErrUnavailable) && sqlstate(err) == "53100" {
			break
		}
		if err != nil {
			t.Fatalf("Update() on a full disk = %v, want ErrUnavailable, because full", err)
		}
		if n > 1000 {
			t.Fatal("32 MB are not enough to fill 32 MB")
		}
	}
	if _, err := s.RecordByDigest(t.Context(), digestOf(0)); err != nil {
		t.Errorf("RecordByDigest() on a full disk = %v", err)
	}
	if _, err := s.RecordByDigest(t.Context(), digestOf(int64(n*1000))); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("RecordByDigest() of what failed = %v", err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("Ready() on a full disk = %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := addKeys(t.Context(), s, n*1000, 500); err != nil {
		t.Errorf("Update() with room again = %v", err)
	}
	checkChain(t, s)
}
