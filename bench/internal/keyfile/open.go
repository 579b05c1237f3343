package keyfile

import (
	"database/sql"
	"net/url"
	"path/filepath"

	"modernc.org/sqlite"
)

// Open opens a database file, which must be there, with the driver alone: one connection, and these pragmas, such as
// "synchronous(FULL)". A transaction takes the lock for writing when it begins.
func Open(path string, pragmas ...string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	query := url.Values{"mode": {"rw"}, "_busy_timeout": {"5000"}, "_txlock": {"immediate"}, "_pragma": pragmas}
	uri := url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: query.Encode()}
	connector, err := sqlite.NewConnector(uri.String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	return db, nil
}
