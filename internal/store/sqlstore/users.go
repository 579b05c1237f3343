package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
)

// folded is an e-mail address without its case. It is folded here: databases do not agree on what the lower case of a
// text is.
func folded(email string) string { return strings.ToLower(email) }

// scanUser reads UserColumns, and into rest what stands behind them.
func scanUser(row Row, rest ...any) (u key.User, err error) {
	var signedIn, created, updated moment
	err = row.Scan(append([]any{&u.ID, &u.Email, &u.InstanceAdmin, &signedIn, &created, &updated}, rest...)...)
	u.SignedInAt, u.CreatedAt, u.UpdatedAt = signedIn.Time(), created.Time(), updated.Time()
	return u, err
}

func (r Reader) user(ctx context.Context, s Statement, args ...any) (u key.User, err error) {
	err = r.run.One(ctx, s, func(row Row) (err error) {
		u, err = scanUser(row)
		return err
	}, args...)
	return u, err
}

// User returns the user with this id.
func (r Reader) User(ctx context.Context, id int64) (key.User, error) {
	return r.user(ctx, SelectUser, id)
}

// UserByEmail returns the user with this e-mail address.
func (r Reader) UserByEmail(ctx context.Context, email string) (key.User, error) {
	return r.user(ctx, SelectUserByEmail, folded(email))
}

// UserByIdentity returns the user that an identity is bound to.
func (r Reader) UserByIdentity(ctx context.Context, issuer, subject string) (key.User, error) {
	return r.user(ctx, SelectUserByIdentity, issuer, subject)
}

// Password returns the user's hashed password.
func (r Reader) Password(ctx context.Context, userID int64) (string, error) {
	var hashed sql.NullString
	err := r.run.One(ctx, SelectPassword, func(row Row) error { return row.Scan(&hashed) }, userID)
	return hashed.String, err
}

// Initialised reports whether the first user has been made.
func (r Reader) Initialised(ctx context.Context) (is bool, err error) {
	err = r.run.One(ctx, SelectInitialised, func(row Row) error { return row.Scan(&is) })
	return is, err
}

// InsertUser adds a user.
func (t *Tx) InsertUser(ctx context.Context, u key.User) (int64, error) {
	return t.run.Insert(ctx, InsertUser, u.Email, folded(u.Email), u.InstanceAdmin, micros(u.CreatedAt), micros(u.UpdatedAt))
}

// DeleteUser deletes a user with everything they sign in with.
func (t *Tx) DeleteUser(ctx context.Context, id int64) error {
	if _, err := t.DeleteSessions(ctx, id, 0); err != nil {
		return err
	}
	for _, s := range []Statement{DeleteLinks, DeleteDevices, DeleteIdentities} {
		if _, err := t.run.Exec(ctx, s, id); err != nil {
			return err
		}
	}
	return t.change(ctx, DeleteUser, id)
}

// SetPassword keeps a user's hashed password.
func (t *Tx) SetPassword(ctx context.Context, userID int64, hashed string, now time.Time) error {
	return t.change(ctx, UpdatePassword, userID, text(hashed), micros(now))
}

// SetSignedIn moves the time of a user's last sign-in.
func (t *Tx) SetSignedIn(ctx context.Context, userID int64, at time.Time) error {
	return t.change(ctx, UpdateSignedIn, userID, micros(at))
}

// Identities returns the identities that are bound to a user.
func (r Reader) Identities(ctx context.Context, userID int64) ([]key.Connection, error) {
	connections, err := all(ctx, r.run, ListIdentities, func(row Row) (c key.Connection, err error) {
		var created moment
		err = row.Scan(&c.Issuer, &c.Subject, &created)
		c.CreatedAt = created.Time()
		return c, err
	}, userID)
	slices.SortFunc(connections, func(a, b key.Connection) int {
		return cmp.Or(cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Subject, b.Subject))
	})
	return connections, err
}

// InsertIdentity binds an identity to a user.
func (t *Tx) InsertIdentity(ctx context.Context, issuer, subject string, userID int64, now time.Time) error {
	_, err := t.run.Exec(ctx, InsertIdentity, issuer, subject, userID, micros(now))
	return err
}

// DeleteIdentity unbinds an identity from a user.
func (t *Tx) DeleteIdentity(ctx context.Context, issuer, subject string, userID int64) error {
	return t.change(ctx, DeleteIdentity, issuer, subject, userID)
}
