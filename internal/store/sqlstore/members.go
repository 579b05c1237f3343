package sqlstore

import (
	"context"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// Memberships returns the organizations that a user is a member of.
func (r Reader) Memberships(ctx context.Context, userID int64) ([]key.Membership, error) {
	return all(ctx, r.run, ListMemberships, func(row Row) (m key.Membership, err error) {
		var created moment
		err = row.Scan(&m.OrganizationID, &m.OrganizationName, &m.UserID, &m.Role, &created)
		m.CreatedAt = created.Time()
		return m, err
	}, userID)
}

// Standing returns what a user is to an organization.
func (r Reader) Standing(ctx context.Context, userID, organizationID int64) (key.Standing, error) {
	id, err := r.Identity(ctx, userID, key.Digest{}, organizationID)
	return id.Standing, err
}

func scanMember(row Row) (m key.Membership, err error) {
	var created moment
	err = row.Scan(&m.OrganizationID, &m.UserID, &m.Email, &m.Role, &created)
	m.CreatedAt = created.Time()
	return m, err
}

// Member returns a user's place in an organization.
func (r Reader) Member(ctx context.Context, organizationID, userID int64) (m key.Membership, err error) {
	err = r.run.One(ctx, SelectMember, func(row Row) (err error) {
		m, err = scanMember(row)
		return err
	}, organizationID, userID)
	return m, err
}

// Members returns the members of an organization that q describes.
func (r Reader) Members(ctx context.Context, q store.MemberQuery) ([]key.Membership, error) {
	return page(ctx, r.run, ListMembers, q.Limit, scanMember, q.OrganizationID, before(q.Before), q.Limit, folded(q.EmailContains))
}

// Owners returns how many owners an organization has.
func (r Reader) Owners(ctx context.Context, organizationID int64) (n int, err error) {
	err = r.run.One(ctx, CountOwners, func(row Row) error { return row.Scan(&n) }, organizationID)
	return n, err
}

// InsertMember adds a member to an organization.
func (t *Tx) InsertMember(ctx context.Context, m key.Membership) error {
	_, err := t.run.Exec(ctx, InsertMember, m.OrganizationID, m.UserID, int64(m.Role), micros(m.CreatedAt))
	return err
}

// UpdateMember changes a member's role.
func (t *Tx) UpdateMember(ctx context.Context, organizationID, userID int64, role key.Role) error {
	return t.change(ctx, UpdateMember, organizationID, userID, int64(role))
}

// DeleteMember deletes a membership.
func (t *Tx) DeleteMember(ctx context.Context, organizationID, userID int64) error {
	return t.change(ctx, DeleteMember, organizationID, userID)
}
