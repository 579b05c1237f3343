package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Database is where everything is kept: in one SQLite file, or in PostgreSQL.
type Database struct {
	Path     string // of the SQLite file, as it was given; "": PostgreSQL
	Postgres Secret // the URL, which may hold a password
}

// String returns the database as it is written in a setting, without a password.
func (d Database) String() string {
	if d.Postgres.Given() {
		if u, err := url.Parse(d.Postgres.Reveal()); err == nil {
			return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
		}
		return "postgres:"
	}
	return sqliteScheme + d.Path
}

const sqliteScheme = "sqlite:"

// scheme is what a URL or DSN begins with.
var scheme = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]{0,31}):`)

// ParseDatabase reads "sqlite:PATH" or "postgres://…". Its errors do not repeat the text: a database URL tends to hold a
// password.
func ParseDatabase(text string) (Database, error) {
	const right = "write sqlite:PATH, like sqlite:apikeyd.db, or postgres://USER@HOST:PORT/NAME"
	path, ok := strings.CutPrefix(text, sqliteScheme)
	if !ok {
		m := scheme.FindStringSubmatch(text)
		switch {
		case m == nil:
			return Database{}, errors.New("does not say what kind of database it is; " + right)
		case m[1] == "postgres", m[1] == "postgresql":
			return parsePostgres(text)
		}
		return Database{}, fmt.Errorf("%s: is no database that apikeyd knows; %s", m[1], right)
	}
	switch {
	case path == "":
		return Database{}, errors.New("names no file; " + right)
	case strings.HasPrefix(path, "//"):
		return Database{}, errors.New("a path begins right behind sqlite:, with one slash or none; write " +
			"sqlite:apikeyd.db or sqlite:/var/lib/apikeyd/apikeyd.db")
	case strings.HasPrefix(path, ":memory:"):
		return Database{}, errors.New("a database in memory would forget every key at the end; " + right)
	case strings.HasPrefix(path, "file:"):
		return Database{}, errors.New("is no place for SQLite's own options; " + right)
	case strings.HasSuffix(path, "/"):
		return Database{}, errors.New("names a folder; " + right)
	case strings.ContainsRune(path, 0):
		return Database{}, errors.New("holds a zero byte, which no file name has")
	}
	return Database{Path: path}, nil
}

// parsePostgres looks only whether there is a URL; the rest of it is for the driver.
func parsePostgres(text string) (Database, error) {
	const right = "write postgres://USER@HOST:PORT/NAME"
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Opaque != "":
		return Database{}, errors.New("is no URL; " + right)
	case u.Fragment != "":
		return Database{}, errors.New("has a fragment, which no database has; a # in a password is written %23")
	case strings.Trim(u.Path, "/") == "":
		return Database{}, errors.New("names no database; " + right)
	}
	return Database{Postgres: Secret{text}}, nil
}
