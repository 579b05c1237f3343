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
// one transaction, and one process at a time migrates. It returns store.ErrSchema where the schema is a newer one that this
// program cannot work on.
func Migrate(ctx context.Context, opts Options) (applied []sqlstore.Migration, err error) {
	err = looked(ctx, opts, func(d *dsn, s schema) error {
		if s.version >= newest() {
			return sqlstore.Compatible(newest(), s.version, s.oldest)
		}
		applied, err = migrate(ctx, d, opts.Logger)
		return err
	})
	return applied, err
}

// Migrations returns the migrations that this program knows and those that the database has, in the order of their
// numbers. It changes nothing.
func Migrations(ctx context.Context, opts Options) (list []sqlstore.Migration, err error) {
	err = looked(ctx, opts, func(_ *dsn, s schema) error {
		list = s.migrations
		return nil
	})
	return list, err
}

// looked does something with a database that was looked at.
func looked(ctx context.Context, opts Options, do func(*dsn, schema) error) error {
	d, err := parseDSN(opts.DSN)
	if err != nil {
		return err
	}
	conn, _, err := d.meet(ctx)
	if err != nil {
		return explain(err)
	}
	defer hangUp(conn)
	s, err := inspect(ctx, conn)
	if err == nil {
		err = do(d, s)
	}
	if err != nil {
		return explain(err)
	}
	return nil
}

// migrateWhere creates the schema where the database holds no data. Where expand says so, it also brings one up to date that holds
// some, if programs that work on it now will go on doing so.
func migrateWhere(ctx context.Context, conn *pgx.Conn, d *dsn, expand bool, log *slog.Logger) error {
	s, err := inspect(ctx, conn)
	if err != nil || s.version >= newest() || s.users && !(expand && sqlstore.MayExpand(newest(), s.version)) {
		return err
	}
	_, err = migrate(ctx, d, log)
	return err
}

// While a migration waits for a lock, whoever asks for the table after it waits as well, checks among them. So it does not wait
// for long, and tries again later.
const (
	migrationLockTimeout = 250 * time.Millisecond
	migrationTries       = 60
	migrationPause       = time.Second
)

func migrate(ctx context.Context, d *dsn, log *slog.Logger) (applied []sqlstore.Migration, err error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	db := stdlib.OpenDB(*d.connections(setting{"lock_timeout", milliseconds(migrationLockTimeout)}))
	defer func() { err = errors.Join(err, db.Close()) }()
	// One process at a time. The lock is asked for each second; it is the server's to free where its holder is gone.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, err
	}
	steps, err := goose.NewProvider(goose.DialectPostgres, db, embedded(), goose.WithTableName(sqlstore.History),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()), goose.WithSessionLocker(locker))
	if err != nil {
		return nil, failure(err)
	}
	for try := 1; ; try++ {
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
		if code := sqlstate(err); code != lockNotAvailable && code != deadlockDetected || try == migrationTries {
			return applied, failure(err)
		}
		select {
		case <-ctx.Done():
			return applied, sqlstore.GaveUp(ctx)
		case <-time.After(migrationPause):
		}
	}
}

// schema is what a database says about its migrations.
type schema struct {
	migrations []sqlstore.Migration // the known ones and those that were applied
	version    int64                // the number of the last one that was applied; 0: none
	oldest     int64                // whose programs can work on it; read where the version is newer than this program
	users      bool                 // there is a user, and so data
}

// inspect reads what a database says about its migrations, and refuses a schema that belongs to another program.
func inspect(ctx context.Context, conn *pgx.Conn) (s schema, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	s.migrations = slices.Clone(known)
	var name *string
	var tables, history, users bool
	err = conn.QueryRow(ctx, `
		WITH ours AS (SELECT c.oid, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm', 'f'))
		SELECT current_schema(), EXISTS (SELECT 1 FROM ours),
			EXISTS (SELECT 1 FROM ours JOIN pg_attribute a ON a.attrelid = ours.oid WHERE ours.relname = $1 AND a.attname = 'version_id'),
			EXISTS (SELECT 1 FROM ours WHERE relname = 'users')`, sqlstore.History).Scan(&name, &tables, &history, &users)
	switch {
	case err != nil:
		return s, failure(err)
	case name == nil:
		return s, errors.New("there is no schema to use: create the one that search_path names, or leave search_path out")
	case !tables:
		return s, nil
	case !history:
		return s, errForeign
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
	if err == nil {
		s.oldest, err = oldestFor(ctx, conn, s.version)
	}
	return s, failure(err)
}

// oldestFor returns the oldest version of the schema whose programs can work on a database that has a version.
func oldestFor(ctx context.Context, conn *pgx.Conn, version int64) (oldest int64, err error) {
	if version <= newest() {
		return 0, nil // this program knows
	}
	err = conn.QueryRow(ctx, sqlstore.SelectOldest).Scan(&oldest)
	return oldest, err
}

// errForeign is why a schema is not touched that holds what apikeyd did not make.
var errForeign = errors.New("its schema belongs to another program: there are tables, but " + sqlstore.History +
	" is not apikeyd's; give apikeyd a database or a schema (search_path) of its own")

// schemaVersion returns the number of the last migration that was applied, 0 where none was.
func schemaVersion(ctx context.Context, conn *pgx.Conn) (version int64, err error) {
	err = conn.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM `+sqlstore.History+` WHERE is_applied`).Scan(&version)
	switch sqlstate(err) {
	case undefinedTable:
		return 0, nil
	case undefinedColumn:
		return 0, fmt.Errorf("%w unknown: %w", store.ErrSchema, errForeign)
	}
	return version, failure(err)
}

// checkSchema returns store.ErrSchema where the schema is not one that this program can work on.
func checkSchema(ctx context.Context, conn *pgx.Conn) error {
	version, err := schemaVersion(ctx, conn)
	if err != nil {
		return err
	}
	oldest, err := oldestFor(ctx, conn, version)
	if err != nil {
		return failure(err)
	}
	return sqlstore.Compatible(newest(), version, oldest)
}
