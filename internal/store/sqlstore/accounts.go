package sqlstore

import (
	"context"
	"database/sql"
	"strings"

	"github.com/apikeyd/apikeyd/internal/key"
)

// User returns the user with this id.
func (r Reader) User(ctx context.Context, id int64) (u key.User, err error) {
	err = r.run.One(ctx, SelectUser, func(row Row) error {
		var created, updated moment
		err := row.Scan(&u.ID, &u.Email, &u.InstanceAdmin, &created, &updated)
		u.CreatedAt, u.UpdatedAt = created.Time(), updated.Time()
		return err
	}, id)
	return u, err
}

// Organization returns the organization with this id.
func (r Reader) Organization(ctx context.Context, id int64) (o key.Organization, err error) {
	err = r.run.One(ctx, SelectOrganization, func(row Row) error {
		var created, updated moment
		var external sql.NullString
		err := row.Scan(&o.ID, &o.Name, &external, &o.Metadata, &created, &updated)
		o.ExternalID, o.CreatedAt, o.UpdatedAt = external.String, created.Time(), updated.Time()
		return err
	}, id)
	return o, err
}

// Memberships returns the organizations that a user is a member of.
func (r Reader) Memberships(ctx context.Context, userID int64) ([]key.Membership, error) {
	var members []key.Membership
	err := r.run.Each(ctx, ListMemberships, func(row Row) error {
		var m key.Membership
		var created moment
		err := row.Scan(&m.OrganizationID, &m.OrganizationName, &m.UserID, &m.Role, &created)
		m.CreatedAt = created.Time()
		members = append(members, m)
		return err
	}, userID)
	if err != nil {
		return nil, err
	}
	return members, nil
}

// Standing returns what a user is to an organization.
func (r Reader) Standing(ctx context.Context, userID, organizationID int64) (s key.Standing, err error) {
	err = r.run.One(ctx, SelectStanding, func(row Row) error {
		return row.Scan(&s.InstanceAdmin, &s.OrganizationExists, &s.Role)
	}, userID, organizationID)
	return s, err
}

// Initialised reports whether the first user has been made.
func (r Reader) Initialised(ctx context.Context) (is bool, err error) {
	err = r.run.One(ctx, SelectInitialised, func(row Row) error { return row.Scan(&is) })
	return is, err
}

// InsertUser adds a user.
func (t *Tx) InsertUser(ctx context.Context, u key.User) (int64, error) {
	// Folded here: databases do not agree on what the lower case of a text is.
	return t.run.Insert(ctx, InsertUser, u.Email, strings.ToLower(u.Email), u.InstanceAdmin, micros(u.CreatedAt),
		micros(u.UpdatedAt))
}

// InsertOrganization adds an organization.
func (t *Tx) InsertOrganization(ctx context.Context, o key.Organization) (int64, error) {
	return t.run.Insert(ctx, InsertOrganization, o.Name, text(o.ExternalID), text(o.Metadata), micros(o.CreatedAt),
		micros(o.UpdatedAt))
}

// InsertMember adds a member to an organization.
func (t *Tx) InsertMember(ctx context.Context, m key.Membership) error {
	_, err := t.run.Exec(ctx, InsertMember, m.OrganizationID, m.UserID, int64(m.Role), micros(m.CreatedAt))
	return err
}
