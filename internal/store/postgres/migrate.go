package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

//go:embed migrations/*.sql
var files embed.FS

// embedded returns the migrations of this program.
func embedded() fs.FS {
	dir, err := fs.Sub(files, "migrations")
	if err != nil { // the name is right
		panic(err)
	}
	return dir
}

// known are the migrations of this program.
var known = func() []sqlstore.Migration {
	list, err := sqlstore.KnownMigrations(embedded())
	if err != nil { // the names are right
		panic(err)
	}
	return list
}()

// newest returns the number of the last migration that this program knows.
func newest() int64 { return known[len(known)-1].Number }

// Migrate brings the schema up to date and returns the migrations that were applied, none where it was. Each is
// one transaction, and one process at a time migrates. It returns store.ErrSchema where the schema is newer than this
// program knows.
func Migrate(ctx context.Context, opts Options) ([]sqlstore.Migration, error) {
	config, err := parseDSN(opts.DSN)
	if err != nil {
		return nil, err
	}
	s, err := inspect(ctx, config.ConnConfig)
	if err != nil {
		return nil, explain(err)
	}
	if s.version >= newest() {
		err = checkVersion(s.version)
	} else {
		var applied []sqlstore.Migration
		if applied, err = migrate(ctx, config.ConnConfig, opts.Logger); err == nil {
			return applied, nil
		}
	}
	if err != nil {
		return nil, explain(err)
	}
	return nil, nil
}

// Migrations returns the migrations that this program knows and those that the database has, in the order of their
// numbers. It changes nothing.
func Migrations(ctx context.Context, opts Options) ([]sqlstore.Migration, error) {
	config, err := parseDSN(opts.DSN)
	if err != nil {
		return nil, err
	}
	s, err := inspect(ctx, config.ConnConfig)
	if err != nil {
		return nil, explain(err)
	}
	return s.migrations, nil
}

// migrateEmpty creates the schema where the database holds no data.
func migrateEmpty(ctx context.Context, config *pgx.ConnConfig, log *slog.Logger) error {
	s, err := inspect(ctx, config)
	if err != nil || s.version >= newest() || s.users {
		return err
	}
	_, err = migrate(ctx, config, log)
	return err
}

func migrate(ctx context.Context, config *pgx.ConnConfig, log *slog.Logger) (applied []sqlstore.Migration, err error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, err
	}
	steps, err := goose.NewProvider(goose.DialectPostgres, db, embedded(), goose.WithTableName(sqlstore.History),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()), goose.WithSessionLocker(locker))
	if err != nil {
		return nil, failure(err)
	}
	results, err := steps.Up(ctx)
	if partial, ok := errors.AsType[*goose.PartialError](err); ok {
		results = partial.Applied
	}
	for _, r := range results {
		m, err := sqlstore.ParseMigration(r.Source.Path)
		if err != nil {
			return applied, err
		}
		m.AppliedAt = time.Now().UTC()
		applied = append(applied, m)
		log.Info("schema migrated", "number", m.Number, "name", m.Name, "duration", r.Duration)
	}
	return applied, failure(err)
}

// schema is what a database says about its migrations.
type schema struct {
	migrations []sqlstore.Migration // the known ones and those that were applied
	version    int64                // the number of the last one that was applied; 0: none
	users      bool                 // there is a user, and so data
}

// inspect reads what a database says about its migrations, and refuses a schema that belongs to another program.
func inspect(ctx context.Context, config *pgx.ConnConfig) (s schema, err error) {
	s.migrations = slices.Clone(known)
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return s, failure(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var history, users bool
	var tables int
	err = conn.QueryRow(ctx, `SELECT to_regclass('`+sqlstore.History+`') IS NOT NULL, to_regclass('users') IS NOT NULL,
		(SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema())`).Scan(&history, &users, &tables)
	switch {
	case err != nil:
		return s, failure(err)
	case tables == 0:
		return s, nil
	case !history:
		return s, fmt.Errorf("belongs to another program: its schema has tables, but no %s; give apikeyd a database or a "+
			"schema (search_path) of its own", sqlstore.History)
	}
	rows, err := conn.Query(ctx, `SELECT version_id, tstamp FROM `+sqlstore.History+` WHERE is_applied AND version_id > 0 ORDER BY version_id`)
	if err != nil {
		return s, failure(err)
	}
	var number int64
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&number, &at}, func() error {
		s.version = number
		i := slices.IndexFunc(s.migrations, func(m sqlstore.Migration) bool { return m.Number == number })
		if i < 0 {
			s.migrations = append(s.migrations, sqlstore.Migration{Number: number})
			i = len(s.migrations) - 1
		}
		s.migrations[i].AppliedAt = at.UTC()
		return nil
	})
	if err == nil && users {
		err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM users)`).Scan(&s.users)
	}
	return s, failure(err)
}

// checkSchema returns store.ErrSchema where the schema is not the one that this program knows.
func checkSchema(ctx context.Context, q querier) error {
	var version int64
	err := q.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM `+sqlstore.History+` WHERE is_applied`).Scan(&version)
	if sqlstate(err) == undefinedTable {
		version, err = 0, nil
	}
	if err != nil {
		return failure(err)
	}
	return checkVersion(version)
}

const undefinedTable = "42P01"

func checkVersion(version int64) error {
	switch newest := newest(); {
	case version < newest:
		return fmt.Errorf("%w %d is older than %d, which this program needs: run apikeyd migrate",
			store.ErrSchema, version, newest)
	case version > newest:
		return fmt.Errorf("%w %d is newer than %d, the newest that this program knows: run a newer apikeyd",
			store.ErrSchema, version, newest)
	}
	return nil
}
