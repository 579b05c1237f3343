package sqlite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	sqlite3 "modernc.org/sqlite/lib"
)

func TestAFileWithTwoNamesIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	s, err := Open(t.Context(), Options{Path: path, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "b.db")
	if err := os.Link(path, other); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, other} {
		if _, err := Open(t.Context(), Options{Path: name}); err == nil || !strings.Contains(err.Error(), "several names") {
			t.Errorf("open %s: %v", filepath.Base(name), err)
		}
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), Options{Path: path}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Only where the disk has taken all and not confirmed it, the outcome of a commit is not known.
func TestOutcomeUnknown(t *testing.T) {
	for code, want := range map[int]bool{
		sqlite3.SQLITE_IOERR_FSYNC:     true,
		sqlite3.SQLITE_IOERR_DIR_FSYNC: true,
		sqlite3.SQLITE_IOERR_WRITE:     false,
		sqlite3.SQLITE_FULL:            false,
		sqlite3.SQLITE_BUSY:            false,
		0:                              false,
	} {
		if got := outcomeUnknown(code); got != want {
			t.Errorf("code %d: %v, want %v", code, got, want)
		}
	}
}
