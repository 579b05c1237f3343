package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
)

// backupStep is how many pages are copied between two looks at the context, some 8 MB.
const backupStep = 2048

// Backup writes a copy of the database, as it is at one moment, to a new file at path. It may run while the database is
// written to, by this process or another; what is written meanwhile is not in the copy.
//
// The copy is made under another name in the same folder, checked, put on disk, and only then gets its name: there is
// never an unfinished backup at path, whatever ends the process. It returns an error that matches
// fs.ErrExist where there is a file at path. The copy can be read and written by its owner alone, and is itself a
// database to open.
func (s *Store) Backup(ctx context.Context, path string) (err error) {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	defer func() {
		if err != nil {
			err = fmt.Errorf("backup to %s: %w", path, err)
		}
	}()

	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	unfinished, err := createBeside(path)
	if err != nil {
		return err
	}
	defer func() {
		if e := os.Remove(unfinished); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}()
	if err := s.file.copyTo(ctx, unfinished); err != nil {
		return failure(ctx, err)
	}
	if err := s.file.checkCopy(ctx, unfinished); err != nil {
		return failure(ctx, err)
	}
	if err := syncFile(unfinished); err != nil {
		return err
	}
	if err := giveName(unfinished, path); err != nil {
		return err
	}
	return syncFolder(path)
}

// createBeside creates an empty file in the folder of path that only its owner can read.
func createBeside(path string) (name string, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(filepath.Dir(abs), "."+filepath.Base(abs)+".*.unfinished") // with mode 0600
	if err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// copyTo copies the database to an empty file.
func (f *file) copyTo(ctx context.Context, path string) (err error) {
	db, err := f.connect(reading, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()

	// The copy is made inside a transaction that reads: so it sees one moment, and no write makes it begin anew.
	if _, err := conn.ExecContext(ctx, `BEGIN`); err != nil {
		return err
	}
	var tables int
	if err := conn.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return err
	}
	return conn.Raw(func(driver any) error {
		// What is left of a failed copy is removed, so the target needs no journal, and it is put on disk as a whole.
		target := dsn(path, url.Values{"_pragma": {"journal_mode(OFF)", "synchronous(OFF)"}})
		backup, err := driver.(interface {
			NewBackup(target string) (*sqlite.Backup, error)
		}).NewBackup(target)
		if err != nil {
			return err
		}
		for more := true; more && err == nil; {
			if err = ctx.Err(); err == nil {
				more, err = backup.Step(backupStep)
			}
		}
		if finish := backup.Finish(); err == nil {
			err = finish // else it says the same again
		}
		return err
	})
}

// checkCopy makes sure that a copy is whole and has a schema that this program can work on.
func (f *file) checkCopy(ctx context.Context, path string) (err error) {
	// An immutable file gets no log beside it.
	connector, err := sqlite.NewConnector(dsn(path, url.Values{"mode": {"ro"}, "immutable": {"1"}}))
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	var result string
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&result); err != nil {
		return err
	}
	if result != "ok" {
		return fmt.Errorf("the copy is damaged, and so is the database: %s", result)
	}
	return f.checkSchema(ctx, db)
}

// syncFile puts what is in a file on disk.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// giveName gives a file the name path, unless something else has it.
func giveName(unfinished, path string) error {
	// Unlike a renaming, a link never takes the place of a file.
	err := os.Link(unfinished, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// Some file systems, such as those of USB sticks, have no links.
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	return os.Rename(unfinished, path)
}
