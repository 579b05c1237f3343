package app

import (
	"context"
	"errors"

	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/store/move"
	"github.com/apikeyd/apikeyd/internal/store/postgres"
	"github.com/apikeyd/apikeyd/internal/store/sqlite"
)

// CopyProgress is how far a copy has got.
type CopyProgress = move.Progress

// CheckCopy says why there is no copying from one database to the other; nil: there is.
func CheckCopy(from, to config.Database) error {
	switch {
	case from.Postgres.Given() && to.Postgres.Given():
		return errors.New("copy goes from SQLite to PostgreSQL; from one PostgreSQL to another, use its own tools, such as pg_dump")
	case from.Postgres.Given():
		return errors.New("copy goes from SQLite to PostgreSQL, and there is no way back: one file could not keep what several nodes rely on")
	case !to.Postgres.Given():
		return errors.New("copy goes from SQLite to PostgreSQL; a copy of an SQLite file is what apikeyd backup makes")
	}
	return nil
}

// Copy takes everything from an SQLite file that no server has to an empty PostgreSQL database, and returns how many rows there
// were. Either all of them are there afterwards, each compared with the one it came from, or nothing is.
func Copy(ctx context.Context, from, to config.Database, tell func(CopyProgress)) (rows int64, err error) {
	if err := CheckCopy(from, to); err != nil {
		return 0, err
	}
	source, err := sqlite.OpenContents(ctx, from.Path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := postgres.OpenTarget(ctx, to.Postgres.Reveal())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	return move.Copy(ctx, source, target, tell)
}
