package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// RecordByDigest returns what a check needs to know about the token with this digest.
func (r Reader) RecordByDigest(ctx context.Context, digest key.Digest) (*key.Record, error) {
	var c recordColumns
	if err := r.run.One(ctx, SelectRecord, func(row Row) error { return row.Scan(c.dest()...) }, digest[:]); err != nil {
		return nil, err
	}
	return c.record()
}

// recordColumns takes RecordColumns, which are NULL where there is no key.
type recordColumns struct {
	keyID, organizationID, userID, scopes, generation sql.NullInt64
	name, metadata, restrictions                      sql.NullString
	enabled                                           sql.NullBool
	expires, tokenExpires                             moment
}

func (c *recordColumns) dest() []any {
	return []any{&c.keyID, &c.organizationID, &c.userID, &c.name, &c.metadata, &c.expires, &c.tokenExpires, &c.scopes, &c.enabled,
		&c.restrictions, &c.generation}
}

// record returns what was taken, nil where there is no key.
func (c *recordColumns) record() (*key.Record, error) {
	if !c.keyID.Valid {
		return nil, nil
	}
	restrictions, err := restrictionsOf(c.restrictions.String)
	if err != nil {
		return nil, fmt.Errorf("key %d: %w", c.keyID.Int64, err)
	}
	if restrictions != nil && restrictions.Quota != (key.Quota{}) {
		restrictions.Quota.Generation = c.generation.Int64
	}
	return &key.Record{
		KeyID: c.keyID.Int64, OrganizationID: c.organizationID.Int64, UserID: c.userID.Int64, Name: c.name.String,
		Metadata: c.metadata.String, Scopes: key.Scopes(c.scopes.Int64), Enabled: c.enabled.Bool,
		ExpiresAt: key.MillisOf(c.expires.Time()), TokenExpiresAt: key.MillisOf(c.tokenExpires.Time()),
		Restrictions: restrictions,
	}, nil
}

// Identity returns a user, one of their keys, and what they are to an organization.
func (r Reader) Identity(ctx context.Context, userID int64, token key.Digest, organizationID int64) (id key.Identity, err error) {
	if token != (key.Digest{}) {
		err = r.identity(ctx, &id, SelectIdentityAndKey, nil, token[:], userID, organizationID)
		return id, err
	}
	err = r.run.One(ctx, SelectIdentity, func(row Row) (err error) {
		id.User, err = scanUser(row, &id.Standing.OrganizationExists, &id.Standing.Role)
		return err
	}, userID, organizationID)
	id.Standing.InstanceAdmin = id.User.InstanceAdmin
	return id, err
}

// identity reads an identity with its key from the answer to a statement, and what stands behind it into rest.
func (r Reader) identity(ctx context.Context, id *key.Identity, s Statement, rest []any, args ...any) error {
	var c recordColumns
	dest := append([]any{&id.Standing.OrganizationExists, &id.Standing.Role}, append(c.dest(), rest...)...)
	err := r.run.One(ctx, s, func(row Row) (err error) {
		id.User, err = scanUser(row, dest...)
		return err
	}, args...)
	if err != nil {
		return err
	}
	id.Standing.InstanceAdmin = id.User.InstanceAdmin
	id.Key, err = c.record()
	return err
}

// ReplaceToken gives a key another token.
func (t *Tx) ReplaceToken(ctx context.Context, id int64, digest key.Digest, hint string, oldExpiresAt, now time.Time) error {
	if err := t.change(ctx, UpdateHint, id, hint, micros(now)); err != nil {
		return err
	}
	if err := t.record(ctx, id); err != nil {
		return err
	}
	end := oldExpiresAt
	if !end.After(now) { // so is a zero time
		end = now
	}
	if _, err := t.run.Exec(ctx, EndTokens, id, micros(end)); err != nil {
		return err
	}
	if _, err := t.run.Exec(ctx, DeleteEndedTokens, id, micros(now)); err != nil {
		return err
	}
	_, err := t.run.Exec(ctx, InsertToken, digest[:], id)
	return err
}

// DeleteToken deletes a token.
func (t *Tx) DeleteToken(ctx context.Context, digest key.Digest) error {
	t.changes = append(t.changes, store.Change{Digest: digest})
	return t.change(ctx, DeleteToken, digest[:])
}

// record notes that what a check knows about the tokens of a key holds no longer.
func (t *Tx) record(ctx context.Context, id int64) error { return t.recordEach(ctx, ListDigests, id) }

// recordEach is record for each token that a list gives.
func (t *Tx) recordEach(ctx context.Context, list Statement, id int64) error {
	return t.run.Each(ctx, list, func(row Row) error {
		var c store.Change
		if err := row.Scan((*hash)(&c.Digest)); err != nil {
			return err
		}
		t.changes = append(t.changes, c)
		return nil
	}, id)
}
