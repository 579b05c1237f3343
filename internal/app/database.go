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
	"github.com/apikeyd/apikeyd/internal/store/sqlite"
)

// Initialise creates the database with its first user, organization and key, and no server. Where the names are no good
// it makes nothing.
func Initialise(ctx context.Context, c *config.Config, email, organization string) (made admin.Initialised, err error) {
	if err := admin.CheckInitial(email, organization); err != nil {
		return made, err
	}
	s, err := sqlite.Open(ctx, sqlite.Options{Path: c.Database.Path, Migrate: true})
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
	s, err := sqlite.Open(ctx, sqlite.Options{Path: c.Database.Path, Beside: true})
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
	s, err := sqlite.Open(ctx, sqlite.Options{Path: c.Database.Path, ReadOnly: true})
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
type Migration struct {
	Number    int64
	Name      string
	AppliedAt time.Time // zero: not yet
}

// Migrate brings the schema up to date and returns what it applied.
func Migrate(ctx context.Context, c *config.Config) ([]Migration, error) {
	return migrations(sqlite.Migrate(ctx, sqlite.Options{Path: c.Database.Path}))
}

// Migrations returns every migration and changes nothing.
func Migrations(ctx context.Context, c *config.Config) ([]Migration, error) {
	return migrations(sqlite.Migrations(ctx, sqlite.Options{Path: c.Database.Path}))
}

func migrations(list []sqlite.Migration, err error) ([]Migration, error) {
	if err != nil {
		return nil, err
	}
	out := make([]Migration, len(list))
	for i, m := range list {
		out[i] = Migration(m)
	}
	return out, nil
}

// Backup writes the database to a new file, while a server may be using it.
func Backup(ctx context.Context, c *config.Config, path string) error {
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
