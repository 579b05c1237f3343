package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
	"modernc.org/sqlite"

	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// file is the database file, checked and locked.
type file struct {
	path    string // as it was given, for messages
	real    string // absolute, without symbolic links: two names of one file must not get two locks
	lock    *flock.Flock
	log     *slog.Logger
	pragmas []string
	busy    string // how long a lock of the database is waited for, in milliseconds

	migrations fs.FS
	known      []Migration
}

// openFile checks that there can be a database at the path, locks it unless it is opened for reading only, and
// creates it where it should.
func openFile(opts Options) (_ *file, err error) {
	f := &file{path: opts.Path, log: opts.Logger, pragmas: opts.pragmas, migrations: opts.migrations, busy: "5000"}
	if opts.Beside { // SQLite knows no queue: a busy server may take the lock again and again
		f.busy = "30000"
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	if f.migrations == nil {
		f.migrations = embedded()
	}
	if f.known, err = sqlstore.KnownMigrations(f.migrations); err != nil {
		return nil, err
	}
	if f.path == "" {
		return nil, errors.New("the path of the database is empty; it must name a file")
	}
	defer func() {
		if err != nil {
			err = f.explain(errors.Join(err, f.close()))
		}
	}()
	if (opts.ReadOnly || opts.Beside) && opts.Migrate {
		return nil, errors.New("opened without its lock, so that it cannot create a schema")
	}
	exists, err := f.resolve()
	if err != nil {
		return nil, err
	}
	if !exists && !opts.Migrate {
		return nil, fs.ErrNotExist
	}
	if opts.ReadOnly || opts.Beside {
		return f, nil
	}
	if err := f.takeLock(); err != nil {
		return nil, err
	}
	if !exists {
		if err := f.create(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// minSize is the size of the smallest database. SQLite takes what is shorter for an empty one and writes over it. What
// is in the file only SQLite may look at: where a process closes a file, it loses all its locks on it.
const minSize = 512

// resolve finds out what is at the path. It reports whether there is a file, and leaves where that is in f.real.
func (f *file) resolve() (exists bool, err error) {
	abs, err := filepath.Abs(f.path)
	if err != nil {
		return false, err
	}
	f.real, err = filepath.EvalSymlinks(abs)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(abs); err == nil {
			return false, errors.New("is a symbolic link to a file that does not exist")
		}
		folder, err := filepath.EvalSymlinks(filepath.Dir(abs))
		if errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("there is no folder %s; it must be created first", filepath.Dir(abs))
		}
		f.real = filepath.Join(folder, filepath.Base(abs))
		return false, err
	}
	if err != nil {
		return false, err
	}
	switch info, err := os.Stat(f.real); {
	case err != nil:
		return false, err
	case info.IsDir():
		return false, fmt.Errorf("is a folder; must be a file, such as %s", filepath.Join(f.path, "apikeyd.db"))
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("is no regular file (%s)", info.Mode())
	case links(info) > 1:
		// The lock, and the log that SQLite keeps beside the file, belong to the name: under another one, a second
		// process would neither be kept out nor see what this one writes.
		return false, errors.New("has several names (hard links); it must have one")
	case info.Size() != 0 && info.Size() < minSize:
		return false, fmt.Errorf("is no SQLite database: it has %d bytes", info.Size())
	}
	return true, nil
}

// takeLock makes this process the only one that may change the file, until it closes it or ends.
func (f *file) takeLock() error {
	f.lock = flock.New(f.real+".lock", flock.SetPermissions(0o600))
	locked, err := f.lock.TryLock()
	if err != nil {
		return fmt.Errorf("cannot take the lock beside it, its folder must be writable: %w", err)
	}
	if !locked {
		return errors.New("another apikeyd serves it; only one process may change it")
	}
	return nil
}

// create makes an empty file that nobody else can read. SQLite gives the same permissions to the files beside it.
func (f *file) create() error {
	db, err := os.OpenFile(f.real, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // made by whoever had the lock before
	}
	if err != nil {
		return err
	}
	return errors.Join(db.Close(), syncFolder(f.real))
}

// explain says which file err is about, and what is right where SQLite only says what is wrong.
func (f *file) explain(err error) error {
	switch primary(err) {
	case notADatabase:
		err = fmt.Errorf("is no SQLite database: %w", err)
	case readOnly, cannotOpen:
		err = fmt.Errorf("it and its folder must be readable and writable: %w", err)
	}
	return fmt.Errorf("database %s: %w", f.path, err)
}

// syncFolder makes sure that a file's name is on disk.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func (f *file) close() error {
	if f.lock == nil {
		return nil
	}
	return f.lock.Unlock() // the file stays: removing it would let two processes lock two files of one name
}

// mode says what a connection is for.
type mode int

const (
	reading mode = iota
	writing
)

// connect returns a pool of at most n connections. All that they need is in their DSN, so that one that is opened
// later has it too.
func (f *file) connect(m mode, n int) (*sql.DB, error) {
	pragmas := []string{"synchronous(FULL)", "foreign_keys(ON)", "temp_store(MEMORY)"}
	query := url.Values{"mode": {"rw"}, "_busy_timeout": {f.busy}, "_defensive": {"1"}, "_dqs": {"0"}, "_error_rc": {"1"}}
	switch m {
	case reading:
		query.Set("_query_only", "1")
		// Small: whenever something was written it begins anew, and what it lacks the operating system has in memory.
		pragmas = append(pragmas, "cache_size(-2048)")
	case writing:
		query.Set("_txlock", "immediate")
		// The log goes back to 64 MiB when it grew beyond that, under a long backup for instance.
		pragmas = append(pragmas, "cache_size(-8192)", "journal_mode(WAL)", "journal_size_limit(67108864)")
	}
	query["_pragma"] = append(pragmas, f.pragmas...)
	connector, err := sqlite.NewConnector(dsn(f.real, query))
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// dsn returns the URI of a database file.
func dsn(path string, query url.Values) string {
	uri := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: query.Encode()}
	return uri.String()
}
