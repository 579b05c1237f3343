package keyfile

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store/postgres"
)

// MakePostgres fills an empty database of PostgreSQL, whose user is a superuser, with as many keys as Make does a file.
func MakePostgres(ctx context.Context, url string, keys int64) error {
	if err := makePostgresAccounts(ctx, url, 1+others(keys)); err != nil {
		return fmt.Errorf("make accounts: %w", err)
	}
	if err := fillPostgres(ctx, url, keys); err != nil {
		return fmt.Errorf("fill the database: %w", err)
	}
	return nil
}

func makePostgresAccounts(ctx context.Context, url string, n int64) (err error) {
	s, err := postgres.Open(ctx, postgres.Options{DSN: url, Migrate: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return addAccounts(ctx, s, n)
}

func fillPostgres(ctx context.Context, url string, keys int64) (err error) {
	db, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close(ctx)) }()
	// What is filled in here refers to what is there: there is no need to look for each row.
	if _, err := db.Exec(ctx, `SET session_replication_role = replica; SET maintenance_work_mem = '512MB'`); err != nil {
		return err
	}
	indexes, err := dropIndexes(ctx, db)
	if err != nil {
		return err
	}
	if err := copyKeys(ctx, db, keys); err != nil {
		return err
	}
	if err := copyTokens(ctx, db, keys); err != nil {
		return err
	}
	for _, statement := range append(indexes, `SELECT setval(pg_get_serial_sequence('api_keys', 'key_id'), max(key_id)) FROM api_keys`, `VACUUM ANALYZE`) {
		if _, err := db.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// dropIndexes drops the indexes of the two tables that no constraint stands on, and returns the statements that make them again.
func dropIndexes(ctx context.Context, db *pgx.Conn) (make []string, err error) {
	rows, err := db.Query(ctx, `SELECT i.indexname, i.indexdef FROM pg_indexes i
		LEFT JOIN pg_constraint c ON c.conname = i.indexname
		WHERE i.schemaname = current_schema AND i.tablename IN ('api_keys', 'tokens') AND c.oid IS NULL ORDER BY i.indexname`)
	if err != nil {
		return nil, err
	}
	var name, text string
	var names []string
	_, err = pgx.ForEachRow(rows, []any{&name, &text}, func() error {
		names, make = append(names, name), append(make, text)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, err := db.Exec(ctx, `DROP INDEX `+name); err != nil {
			return nil, err
		}
	}
	return make, nil
}

func copyKeys(ctx context.Context, db *pgx.Conn, keys int64) error {
	at := made.UnixMicro()
	columns := []string{"key_id", "organization_id", "user_id", "key_name", "key_hint", "scopes", "enabled", "created_at", "updated_at"}
	return copyRows(ctx, db, "api_keys", columns, keys, func(i int64) []any {
		id := i + 1
		account := Organization(id, keys)
		return []any{id, account, account, name(id), hint(id), int64(key.AllScopes), true, at, at}
	})
}

func copyTokens(ctx context.Context, db *pgx.Conn, keys int64) error {
	ids := inOrderOfDigests(keys)
	return copyRows(ctx, db, "tokens", []string{"digest", "key_id"}, keys, func(i int64) []any {
		d := Digest(ids[i])
		return []any{d[:], ids[i]}
	})
}

func copyRows(ctx context.Context, db *pgx.Conn, table string, columns []string, n int64, row func(i int64) []any) error {
	var next int64
	copied, err := db.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		if next == n {
			return nil, nil
		}
		next++
		return row(next - 1), nil
	}))
	if err == nil && copied != n {
		err = fmt.Errorf("%d rows were copied, want %d", copied, n)
	}
	return err
}
