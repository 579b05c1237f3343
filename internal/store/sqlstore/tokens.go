package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// RecordByDigest returns what a check needs to know about the token with this digest.
func (r Reader) RecordByDigest(ctx context.Context, digest key.Digest) (*key.Record, error) {
	rec := new(key.Record)
	err := r.run.One(ctx, SelectRecord, func(row Row) error {
		var expires, tokenExpires moment
		var metadata sql.NullString
		err := row.Scan(&rec.KeyID, &rec.OrganizationID, &rec.UserID, &rec.Name, &metadata, &expires, &tokenExpires,
			&rec.Scopes, &rec.Enabled)
		rec.Metadata = metadata.String
		rec.ExpiresAt, rec.TokenExpiresAt = key.MillisOf(expires.Time()), key.MillisOf(tokenExpires.Time())
		return err
	}, digest[:])
	if err != nil {
		return nil, err
	}
	return rec, nil
}

// Identity returns a user, one of their keys, and what they are to an organization.
func (r Reader) Identity(ctx context.Context, userID int64, token key.Digest, organizationID int64) (id key.Identity, err error) {
	err = r.run.One(ctx, SelectIdentity, func(row Row) (err error) {
		id.User, err = scanUser(row, &id.Standing.OrganizationExists, &id.Standing.Role)
		id.Standing.InstanceAdmin = id.User.InstanceAdmin
		return err
	}, userID, organizationID)
	if err != nil || token == (key.Digest{}) {
		return id, err
	}
	id.Key, err = r.RecordByDigest(ctx, token)
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return id, err
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
