package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/pressly/goose/v3"

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

// Migration is one step of the schema.
type Migration = sqlstore.Migration

// Migrate brings the schema up to date and returns the migrations that were applied, none where it was. Each is
// one transaction: an interrupted Migrate left some of them undone and none half done, and the next one goes on.
//
// It returns store.ErrSchema where the schema is a newer one that this program cannot work on.
func Migrate(ctx context.Context, opts Options) (applied []Migration, err error) {
	opts.ReadOnly = false
	f, err := openFile(opts)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()

	state, err := f.inspect(ctx)
	if err != nil {
		return nil, f.explain(err)
	}
	if state.version < f.newest() {
		applied, err = f.migrate(ctx)
	} else {
		err = sqlstore.Compatible(f.newest(), state.version, state.oldest)
	}
	if err != nil {
		return applied, f.explain(err)
	}
	return applied, nil
}

// Migrations returns the migrations that this program knows and those that the database has, in the order of their
// numbers. It changes nothing and needs no lock.
func Migrations(ctx context.Context, opts Options) ([]Migration, error) {
	opts.ReadOnly, opts.Migrate = true, false
	f, err := openFile(opts)
	if err != nil {
		return nil, err
	}
	state, err := f.inspect(ctx)
	if err != nil {
		return nil, f.explain(err)
	}
	return state.migrations, nil
}

// migrateWhere creates the schema where the database holds no data: it is empty, or was left unfinished by
// somebody who was about to create it. Where expand says so, it also brings one up to date that holds some, if the programs that
// work on it now can go on doing so.
func (f *file) migrateWhere(ctx context.Context, expand bool) error {
	state, err := f.inspect(ctx)
	if err != nil {
		return err
	}
	if state.version >= f.newest() || state.users && !(expand && sqlstore.MayExpand(f.newest(), state.version)) {
		return nil
	}
	_, err = f.migrate(ctx)
	return err
}

// migrate applies what was not applied yet.
func (f *file) migrate(ctx context.Context) (applied []Migration, err error) {
	db, err := f.connect(writing, 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	steps, err := goose.NewProvider(goose.DialectSQLite3, db, f.migrations,
		goose.WithTableName(sqlstore.History), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return nil, err
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
		f.log.Info("schema migrated", "database", f.path, "number", m.Number, "name", m.Name, "duration", r.Duration)
	}
	if err != nil {
		return applied, failure(ctx, err)
	}
	return applied, nil
}

// newest returns the number of the last migration that this program knows.
func (f *file) newest() int64 { return f.known[len(f.known)-1].Number }

// checkSchema returns store.ErrSchema where the schema of a database is not one that this program can work on.
func (f *file) checkSchema(ctx context.Context, db *sql.DB) error {
	version, err := schemaVersion(ctx, db)
	if err != nil {
		return err
	}
	oldest, err := f.oldestFor(ctx, db, version)
	if err != nil {
		return err
	}
	return sqlstore.Compatible(f.newest(), version, oldest)
}

// oldestFor returns the oldest version of the schema whose programs can work on a database that has a version.
func (f *file) oldestFor(ctx context.Context, db *sql.DB, version int64) (oldest int64, err error) {
	if version <= f.newest() {
		return 0, nil // this program knows
	}
	err = db.QueryRowContext(ctx, sqlstore.SelectOldest).Scan(&oldest)
	return oldest, err
}

// schemaVersion returns the number of the last migration that was applied, 0 where none was.
func schemaVersion(ctx context.Context, db *sql.DB) (version int64, err error) {
	var tables int
	err = db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE name = '`+sqlstore.History+`'`).Scan(&tables)
	if err == nil && tables != 0 {
		err = db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM `+sqlstore.History+` WHERE is_applied`).Scan(&version)
	}
	return version, err
}

// schema is what a database says about its migrations.
type schema struct {
	migrations []Migration // the known ones and those that were applied
	version    int64       // the number of the last one that was applied; 0: none
	oldest     int64       // whose programs can work on it; read where the version is newer than this program
	users      bool        // there is a user, and so data
}

// inspect reads what a database says about its migrations, and refuses the database of another program.
func (f *file) inspect(ctx context.Context) (s schema, err error) {
	s.migrations = slices.Clone(f.known)
	db, err := f.connect(reading, 1)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tables := map[string]bool{}
	err = list(ctx, db, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`,
		func(rows *sql.Rows) error {
			var name string
			err := rows.Scan(&name)
			tables[name] = true
			return err
		})
	switch {
	case err != nil:
		return s, err
	case len(tables) == 0:
		return s, nil
	case !tables[sqlstore.History]:
		return s, fmt.Errorf("belongs to another program: it has tables, but no %s", sqlstore.History)
	}

	err = list(ctx, db, `SELECT version_id, tstamp FROM `+sqlstore.History+` WHERE is_applied AND version_id > 0 ORDER BY version_id`,
		func(rows *sql.Rows) error {
			var number int64
			var at time.Time
			if err := rows.Scan(&number, &at); err != nil {
				return err
			}
			s.version = number
			for i := range s.migrations {
				if s.migrations[i].Number == number {
					s.migrations[i].AppliedAt = at.UTC()
					return nil
				}
			}
			s.migrations = append(s.migrations, Migration{Number: number, AppliedAt: at.UTC()})
			return nil
		})
	if err != nil {
		return s, err
	}
	if tables["users"] {
		err = db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM users)`).Scan(&s.users)
	}
	if err == nil {
		s.oldest, err = f.oldestFor(ctx, db, s.version)
	}
	return s, err
}

// list gives every row of an answer to scan.
func list(ctx context.Context, db *sql.DB, query string, scan func(*sql.Rows) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
