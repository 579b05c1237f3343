package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

func scanOrganization(row Row) (o key.Organization, err error) {
	var created, updated moment
	var external sql.NullString
	err = row.Scan(&o.ID, &o.Name, &external, &o.Metadata, &created, &updated)
	o.ExternalID, o.CreatedAt, o.UpdatedAt = external.String, created.Time(), updated.Time()
	return o, err
}

func (r Reader) organization(ctx context.Context, s Statement, arg any) (o key.Organization, err error) {
	err = r.run.One(ctx, s, func(row Row) (err error) {
		o, err = scanOrganization(row)
		return err
	}, arg)
	return o, err
}

// Organization returns the organization with this id.
func (r Reader) Organization(ctx context.Context, id int64) (key.Organization, error) {
	return r.organization(ctx, SelectOrganization, id)
}

// Organizations returns the organizations that q describes.
func (r Reader) Organizations(ctx context.Context, q store.OrganizationQuery) ([]key.Organization, error) {
	switch {
	case q.Limit <= 0:
		return nil, errLimit
	case q.UserID != 0:
		return r.organizationsOfUser(ctx, q)
	case q.ID != 0:
		return one(q)(r.Organization(ctx, q.ID))
	case q.ExternalID != "":
		return one(q)(r.organization(ctx, SelectOrganizationByExternalID, q.ExternalID))
	}
	return all(ctx, r.run, ListOrganizations, scanOrganization, before(q.Before), lower(q.NameContains), q.Limit)
}

// one makes a page of an organization that was looked up, where q is about it.
func one(q store.OrganizationQuery) func(key.Organization, error) ([]key.Organization, error) {
	return func(o key.Organization, err error) ([]key.Organization, error) {
		switch {
		case errors.Is(err, store.ErrNotFound), err == nil && !describes(q, &o):
			return nil, nil
		case err != nil:
			return nil, err
		}
		return []key.Organization{o}, nil
	}
}

// organizationsOfUser goes through the memberships of a user. There are few of them, and one statement for both tables
// would leave it to the database in which order to read them.
func (r Reader) organizationsOfUser(ctx context.Context, q store.OrganizationQuery) ([]key.Organization, error) {
	members, err := r.Memberships(ctx, q.UserID)
	if err != nil {
		return nil, err
	}
	var found []key.Organization
	for _, m := range slices.Backward(members) {
		if len(found) == q.Limit {
			break
		}
		o, err := r.Organization(ctx, m.OrganizationID)
		switch {
		case errors.Is(err, store.ErrNotFound): // deleted a moment ago
		case err != nil:
			return nil, err
		case describes(q, &o):
			found = append(found, o)
		}
	}
	return found, nil
}

// describes reports whether q is about o, whoever its members are.
func describes(q store.OrganizationQuery, o *key.Organization) bool {
	return (q.ID == 0 || q.ID == o.ID) && o.ID < before(q.Before) && strings.Contains(lower(o.Name), lower(q.NameContains)) &&
		(q.ExternalID == "" || q.ExternalID == o.ExternalID)
}

// InsertOrganization adds an organization.
func (t *Tx) InsertOrganization(ctx context.Context, o key.Organization) (int64, error) {
	return t.run.Insert(ctx, InsertOrganization, o.Name, text(o.ExternalID), text(o.Metadata), micros(o.CreatedAt),
		micros(o.UpdatedAt))
}

// UpdateOrganization writes what can change about an organization.
func (t *Tx) UpdateOrganization(ctx context.Context, o key.Organization) error {
	return t.change(ctx, UpdateOrganization, o.ID, o.Name, text(o.ExternalID), text(o.Metadata), micros(o.UpdatedAt))
}

// DeleteOrganization deletes an organization with its members and keys.
func (t *Tx) DeleteOrganization(ctx context.Context, id int64) (members, keys int64, err error) {
	if err := t.recordEach(ctx, ListDigestsOfOrganization, id); err != nil {
		return 0, 0, err
	}
	if _, err := t.run.Exec(ctx, DeleteTokensOfOrganization, id); err != nil {
		return 0, 0, err
	}
	if keys, err = t.run.Exec(ctx, DeleteKeysOfOrganization, id); err != nil {
		return 0, 0, err
	}
	if members, err = t.run.Exec(ctx, DeleteMembersOfOrganization, id); err != nil {
		return 0, 0, err
	}
	if _, err := t.run.Exec(ctx, InsertGoneOrganization, id); err != nil {
		return 0, 0, err
	}
	return members, keys, t.change(ctx, DeleteOrganization, id)
}
