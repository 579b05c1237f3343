package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Database is where everything is kept. This version keeps it in one SQLite file.
type Database struct {
	Path string // of the file, as it was given
}

// String returns the database as it is written in a setting.
func (d Database) String() string { return sqliteScheme + d.Path }

const sqliteScheme = "sqlite:"

// scheme is what a URL or DSN begins with.
var scheme = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]{0,31}):`)

// ParseDatabase reads "sqlite:PATH". Its errors do not repeat the text: a database URL tends to hold a password.
func ParseDatabase(text string) (Database, error) {
	const right = "write sqlite:PATH, like sqlite:apikeyd.db"
	path, ok := strings.CutPrefix(text, sqliteScheme)
	if !ok {
		m := scheme.FindStringSubmatch(text)
		switch {
		case m == nil:
			return Database{}, errors.New("does not say what kind of database it is; " + right)
		case strings.EqualFold(m[1], "postgres"), strings.EqualFold(m[1], "postgresql"):
			return Database{}, errors.New("this version keeps its data in SQLite only, not in PostgreSQL; " + right)
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
