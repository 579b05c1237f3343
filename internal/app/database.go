package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/password"
	"github.com/apikeyd/apikeyd/internal/secret"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/postgres"
	"github.com/apikeyd/apikeyd/internal/store/sqlite"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// use is what a database is opened for.
type use int

const (
	serving  use = iota // by one who may change everything, which makes the schema where there is none, and may extend it
	creating            // likewise, and leaves a schema with data alone
	beside              // to write what no server has in memory
	reading
)

// openDatabase opens the database of a configuration.
func openDatabase(ctx context.Context, c *config.Config, u use, log *slog.Logger) (store.Store, error) {
	if c.Database.Postgres.Given() {
		s, err := postgres.Open(ctx, postgres.Options{DSN: c.Database.Postgres.Reveal(), Migrate: u <= creating, Expand: u == serving, Logger: log})
		if err != nil { // not a nil *Store in an interface
			return nil, err
		}
		return s, nil
	}
	s, err := sqlite.Open(ctx, sqlite.Options{Path: c.Database.Path, Migrate: u <= creating, Expand: u == serving, Beside: u == beside,
		ReadOnly: u == reading, Logger: log})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Initialise creates the database with its first user, organization and key, and no server. Where the names are no good
// it makes nothing.
func Initialise(ctx context.Context, c *config.Config, email, organization string) (made admin.Initialised, err error) {
	if err := admin.CheckInitial(email, organization); err != nil {
		return made, err
	}
	s, err := openDatabase(ctx, c, creating, nil)
	if err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return offline(c, s).Initialise(ctx, email, organization)
}

// offline returns the use cases on a database that is opened without a server.
func offline(c *config.Config, s store.Store) *admin.Service {
	return newAdmin(c, admin.Options{Store: s, Invalidator: noChecks{}, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
}

// newAdmin returns the use cases as they are configured.
func newAdmin(c *config.Config, o admin.Options) *admin.Service {
	o.TokenPrefix = c.TokenPrefix
	o.Passwords = password.NewHasher(runtime.GOMAXPROCS(0))
	o.SessionIdle, o.SessionLifetime, o.AuditRetention = c.SessionIdle, c.SessionLifetime, c.AuditRetention
	o.MatchEmail = c.OIDC.MatchEmail
	return admin.New(o)
}

// MakeLink makes a one-time link for the user with an e-mail address, while a server may be using the database.
func MakeLink(ctx context.Context, c *config.Config, email string) (link secret.Secret, err error) {
	s, err := openDatabase(ctx, c, beside, nil)
	if err != nil {
		return link, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return offline(c, s).MakeLink(ctx, admin.Caller{}, email)
}

// SignInURL returns the address of a one-time link on the server that is reached at a URL.
func SignInURL(server string, link secret.Secret) string { return server + "/sign-in/" + link.Reveal() }

// VerifyAudit looks whether the audit log is what was written, while a server may be using the database, and whether the
// entry with an id (0: none) still has the hash it had. The error is an *audit.BrokenError where it is not so.
func VerifyAudit(ctx context.Context, c *config.Config, id int64, hash string) (x audit.Extent, err error) {
	s, err := openDatabase(ctx, c, reading, nil)
	if err != nil {
		return x, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if x, err = admin.VerifyAudit(ctx, s); err != nil || id == 0 {
		return x, err
	}
	if id <= x.Pruned.ID {
		return x, fmt.Errorf("audit entry %d was deleted because of its age; expect a later one", id)
	}
	found, err := s.AuditAfter(ctx, id-1, 1)
	switch {
	case err != nil:
		return x, err
	case len(found) == 0 || found[0].ID != id:
		return x, &audit.BrokenError{ID: id, Reason: "was removed"}
	case found[0].Hash.String() != hash:
		return x, &audit.BrokenError{ID: id, Reason: "is not the one that was expected: the log was written anew"}
	}
	return x, nil
}

// noChecks is the Invalidator of a process that checks no tokens.
type noChecks struct{}

func (noChecks) Invalidate([]store.Change) {}

// Migration is one step of the schema.
type Migration = sqlstore.Migration

// Migrate brings the schema up to date and returns what it applied.
func Migrate(ctx context.Context, c *config.Config) ([]Migration, error) {
	if c.Database.Postgres.Given() {
		return postgres.Migrate(ctx, postgres.Options{DSN: c.Database.Postgres.Reveal()})
	}
	return sqlite.Migrate(ctx, sqlite.Options{Path: c.Database.Path})
}

// Migrations returns every migration and changes nothing.
func Migrations(ctx context.Context, c *config.Config) ([]Migration, error) {
	if c.Database.Postgres.Given() {
		return postgres.Migrations(ctx, postgres.Options{DSN: c.Database.Postgres.Reveal()})
	}
	return sqlite.Migrations(ctx, sqlite.Options{Path: c.Database.Path})
}

// ErrNoBackup: PostgreSQL is backed up with its own tools.
var ErrNoBackup = errors.New("backup is for SQLite; back PostgreSQL up with its own tools, such as pg_dump or pg_basebackup")

// Nodes returns the nodes that serve a database, and the number of the last change that they have to apply.
func Nodes(ctx context.Context, c *config.Config) (nodes []store.Node, last int64, err error) {
	s, err := openDatabase(ctx, c, reading, nil)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	list, ok := s.(store.Nodes)
	if !ok {
		return nil, 0, ErrOneNode
	}
	return list.List(ctx)
}

// ErrOneNode: with SQLite there is one node, and nobody keeps a list.
var ErrOneNode = errors.New("with SQLite there is one node, the process that has the file; several nodes need PostgreSQL")

// Backup writes the database to a new file, while a server may be using it.
func Backup(ctx context.Context, c *config.Config, path string) error {
	if c.Database.Postgres.Given() {
		return ErrNoBackup
	}
	s, err := sqlite.Open(ctx, sqlite.Options{Path: c.Database.Path, ReadOnly: true})
	if err != nil {
		return err
	}
	if err := s.Backup(ctx, path); err != nil {
		return errors.Join(err, s.Close())
	}
	if err := s.Close(); err != nil {
		return fmt.Errorf("the backup is good, but: %w", err)
	}
	return nil
}
