package sqlstore

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/apikeyd/apikeyd/internal/store"
)

// History is the table that says which migrations were applied.
const History = "schema_migrations"

// Oldest is the oldest version of the schema whose programs can work on that of this program. It is what the table
// schema_compatibility says behind the last migration: one that breaks what programs of before rely on raises both.
const Oldest = 6

// SelectOldest reads it from a database whose schema is not older than that.
const SelectOldest = `SELECT oldest FROM schema_compatibility WHERE one = 1`

// Migration is one step of the schema. Numbers and names are the same for every database.
type Migration struct {
	Number    int64
	Name      string    // "" for one that this program does not know
	AppliedAt time.Time // zero: not yet
}

// KnownMigrations lists the migrations in dir, in the order of their numbers.
func KnownMigrations(dir fs.FS) ([]Migration, error) {
	names, err := fs.Glob(dir, "*.sql") // sorted
	if err != nil {
		return nil, err
	}
	var known []Migration
	for _, name := range names {
		m, err := ParseMigration(name)
		if err != nil {
			return nil, err
		}
		known = append(known, m)
	}
	return known, nil
}

// ParseMigration returns the migration that a file such as "00001_accounts_and_keys.sql" holds.
func ParseMigration(name string) (Migration, error) {
	number, err := goose.NumericComponent(name)
	if err != nil {
		return Migration{}, fmt.Errorf("migration %s: %w", name, err)
	}
	_, label, _ := strings.Cut(strings.TrimSuffix(path.Base(name), ".sql"), "_")
	return Migration{Number: number, Name: label}, nil
}

// Compatible returns store.ErrSchema where a program that knows the schema up to a version, newest, cannot work on a database.
// That is the case where the database has an older one, and where it has a newer one that programs need to know which is
// newer than this, as the database says: oldest.
func Compatible(newest, version, oldest int64) error {
	if version > newest && oldest <= newest {
		return nil
	}
	return Same(newest, version)
}

// Same returns store.ErrSchema where a database does not have the schema that a program knows.
func Same(newest, version int64) error {
	switch {
	case version < newest:
		return fmt.Errorf("%w %d is older than %d, which this program needs: run apikeyd migrate",
			store.ErrSchema, version, newest)
	case version > newest:
		return fmt.Errorf("%w %d is newer than %d, the newest that this program knows, and not made for it: run a newer apikeyd, "+
			"or restore a backup of before", store.ErrSchema, version, newest)
	}
	return nil
}

// MayExpand reports whether a database that holds data may be brought from a version to that of this program without being asked:
// where programs that work on it now will do so afterwards. newest is the version that this program knows.
func MayExpand(newest, version int64) bool { return version < newest && version >= Oldest }
