package sqlstore

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

// History is the table that says which migrations were applied.
const History = "schema_migrations"

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
