package keyfile

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// How many rows go into a statement and into a transaction.
const (
	statementRows   = 100
	transactionRows = 500_000
)

// fill adds so many keys to a file that has accounts alone.
func fill(ctx context.Context, path string, keys int64) (err error) {
	db, err := Open(path, "journal_mode(OFF)", "synchronous(OFF)", "cache_size(-262144)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	// Indexes are dropped and made again from their own text: sorting once is quicker than keeping order at each row.
	names, err := column(ctx, db, `SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name`)
	if err != nil {
		return err
	}
	texts, err := column(ctx, db, `SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name`)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := db.ExecContext(ctx, `DROP INDEX `+name); err != nil {
			return err
		}
	}
	if err := fillKeys(ctx, db, keys); err != nil {
		return err
	}
	if err := fillTokens(ctx, db, keys); err != nil {
		return err
	}
	// WAL is a property of the file, and the store's; it is set last, because changing it writes all.
	for _, statement := range append(texts, `PRAGMA journal_mode = WAL`) {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	if err := db.Close(); err != nil {
		return err
	}
	return syncFile(path)
}

// fillKeys adds the keys in the order of their ids.
func fillKeys(ctx context.Context, db *sql.DB, keys int64) error {
	at := made.UnixMicro()
	return insert(ctx, db, sqlstore.InsertKey, keys, func(args []any, i int64) []any {
		id := i + 1
		account := Organization(id, keys)
		return append(args, name(id), int64(key.AllScopes), account, account, hint(id), true, nil, at, at, at, nil, nil)
	})
}

// hint returns the hint of the key with this id.
func hint(keyID int64) string {
	text := Token(keyID)
	return string(text[:7]) + "…" + string(text[len(text)-4:])
}

// fillTokens adds the tokens in the order of their digests.
func fillTokens(ctx context.Context, db *sql.DB, keys int64) error {
	ids := inOrderOfDigests(keys)
	return insert(ctx, db, sqlstore.InsertToken, keys, func(args []any, i int64) []any {
		d := Digest(ids[i])
		return append(args, d[:], ids[i])
	})
}

// inOrderOfDigests returns the ids from 1 to keys in the order of the digests of their tokens.
func inOrderOfDigests(keys int64) []int64 {
	// Sorting the beginnings takes a quarter of the memory; the digests are computed again where they are needed. Two
	// that begin alike would only lie in the wrong order for a moment.
	type digest struct {
		beginning uint64
		keyID     int64
	}
	all := make([]digest, keys)
	for i := range all {
		d := Digest(int64(i + 1))
		all[i] = digest{binary.BigEndian.Uint64(d[:]), int64(i + 1)}
	}
	slices.SortFunc(all, func(a, b digest) int { return cmp.Compare(a.beginning, b.beginning) })
	ids := make([]int64, keys)
	for i := range all {
		ids[i] = all[i].keyID
	}
	return ids
}

// Digest returns the digest of the token of the key with this id.
func Digest(keyID int64) key.Digest {
	text := Token(keyID)
	return sha256.Sum256(text[:])
}

// insert runs an INSERT of the store for the rows 0 to n-1, with many rows in each statement.
func insert(ctx context.Context, db *sql.DB, s sqlstore.Statement, n int64, row func(args []any, i int64) []any) error {
	for first := int64(0); first < n; first += transactionRows {
		if err := insertSome(ctx, db, s, first, min(n, first+transactionRows), row); err != nil {
			return err
		}
	}
	return nil
}

// insertSome inserts the rows from first to before end in one transaction.
func insertSome(ctx context.Context, db *sql.DB, s sqlstore.Statement, first, end int64, row func([]any, int64) []any) (err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	one, err := tx.PrepareContext(ctx, manyRows(s.Text(), 1))
	if err != nil {
		return err
	}
	many, err := tx.PrepareContext(ctx, manyRows(s.Text(), statementRows))
	if err != nil {
		return err
	}
	var args []any
	for i := first; i < end; {
		statement, rows := many, int64(statementRows)
		if end-i < rows {
			statement, rows = one, 1
		}
		args = args[:0]
		for range rows {
			args = row(args, i)
			i++
		}
		// Without ctx, which would cost the driver a goroutine for each statement.
		if _, err := statement.Exec(args...); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return tx.Commit()
}

// manyRows returns a statement INSERT INTO … VALUES (…) with so many rows.
func manyRows(statement string, rows int) string {
	head, _, _ := strings.Cut(statement, "VALUES")
	row := "(?" + strings.Repeat(",?", strings.Count(head, ",")) + ")"
	return head + "VALUES " + row + strings.Repeat(","+row, rows-1)
}

// syncFile puts what is in a file on disk.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
