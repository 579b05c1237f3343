// Package keyfile makes database files with a known number of keys, quickly, and keeps them between runs.
//
// A file of ten million keys would take ten minutes through the store. Here its tables are filled in the order in which
// they lie in the file, several rows a statement and without waiting for the disk, and indexes are made at the
// end. Accounts, and the schema itself, come from the store, so what is filled is what the product makes.
//
// The tokens of the keys follow from their ids: see Token.
package keyfile

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlite"
)

// The keys of a file have the ids from 1 on. One in ten belongs to the large organization, the others to organizations
// of a thousand keys each. So the keys of an organization do not lie side by side, as they do not where many customers
// create keys all the time.
const (
	// Large is the id of the large organization, and of its owner, whose keys they all are.
	Large = 1

	share    = 10   // one key in so many is the large organization's
	ordinary = 1000 // keys of any other organization, about
)

// OfLarge returns the id of the n-th key of the large organization, counted from 1.
func OfLarge(n int64) int64 { return n * share }

// Organization returns the id of the organization that a key of a file of so many keys belongs to. It is the id of the
// key's user, too.
func Organization(keyID, keys int64) int64 {
	if keyID%share == 0 {
		return Large
	}
	return Large + 1 + keyID%others(keys)
}

// others returns how many organizations there are beside the large one.
func others(keys int64) int64 { return max(1, (keys-keys/share)/ordinary) }

// name returns the name of a key.
func name(keyID int64) string { return fmt.Sprintf("Backend key %08d", keyID) }

// made is when all keys were made and last used. The time of last use is there so that it can be moved without moving
// anything else.
var made = time.Date(2026, 11, 22, 18, 54, 3, 0, time.UTC)

// Kept returns the path of a file of so many keys in the folder dir, and makes it where there is none for the schema of
// this program. Files for other schemas are removed. progress is told what takes long.
func Kept(ctx context.Context, dir string, keys int64, progress func(format string, args ...any)) (string, error) {
	version, err := schemaVersion(ctx)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, fmt.Sprintf("keys-%d-%s.db", keys, version))
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	old, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("keys-%d-*", keys)))
	if err != nil {
		return "", err
	}
	for _, f := range old {
		if err := os.Remove(f); err != nil {
			return "", err
		}
	}
	progress("making a file of %d keys in %s", keys, dir)
	began := time.Now()
	work, err := os.MkdirTemp(dir, "unfinished-")
	if err != nil {
		return "", err
	}
	unfinished := filepath.Join(work, "keys.db")
	err = Make(ctx, unfinished, keys)
	if err == nil {
		err = os.Rename(unfinished, path)
	}
	if err := errors.Join(err, os.RemoveAll(work)); err != nil {
		return "", err
	}
	progress("made in %v", time.Since(began).Round(time.Second))
	return path, nil
}

// Make makes a database file with so many keys.
func Make(ctx context.Context, path string, keys int64) error {
	if err := makeAccounts(ctx, path, 1+others(keys)); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	if err := fill(ctx, path, keys); err != nil {
		return fmt.Errorf("fill %s: %w", path, err)
	}
	return nil
}

// makeAccounts makes the schema, and so many users, each the owner of an organization.
func makeAccounts(ctx context.Context, path string, n int64) (err error) {
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path, Migrate: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(), os.Remove(path+".lock")) }()
	return addAccounts(ctx, s, n)
}

// addAccounts adds so many users, each the owner of an organization, to an empty store.
func addAccounts(ctx context.Context, s store.Store, n int64) error {
	_, err := s.Update(ctx, func(tx store.Tx) error {
		for i := range n {
			user, err := tx.InsertUser(ctx, key.User{Email: fmt.Sprintf("%d@example.com", i+1), CreatedAt: made, UpdatedAt: made})
			if err != nil {
				return err
			}
			organization, err := tx.InsertOrganization(ctx, key.Organization{Name: fmt.Sprintf("Organization %d", i+1),
				CreatedAt: made, UpdatedAt: made})
			if err != nil {
				return err
			}
			if user != i+1 || organization != i+1 {
				return fmt.Errorf("user %d and organization %d, want both %d", user, organization, i+1)
			}
			err = tx.InsertMember(ctx, key.Membership{OrganizationID: organization, UserID: user, Role: key.Owner, CreatedAt: made})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// schemaVersion returns a name for the schema of this program and for what this package makes of it.
func schemaVersion(ctx context.Context) (version string, err error) {
	dir, err := os.MkdirTemp("", "apikeyd-bench-schema-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "empty.db")
	if err := makeAccounts(ctx, path, 0); err != nil {
		return "", err
	}
	db, err := Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	statements, err := column(ctx, db, `SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name`)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	const contents = 1 // to be raised when this package fills the tables differently
	fmt.Fprintln(h, contents, seed)
	for _, s := range statements {
		io.WriteString(h, s+"\n")
	}
	return hex.EncodeToString(h.Sum(nil)[:6]), nil
}

// column returns the texts that a query answers with.
func column(ctx context.Context, db *sql.DB, query string) (texts []string, err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, rows.Err()
}
