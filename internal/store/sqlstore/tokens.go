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
func (t *Tx) record(ctx context.Context, id int64) error {
	return t.run.Each(ctx, ListDigests, func(row Row) error {
		var digest []byte
		if err := row.Scan(&digest); err != nil {
			return err
		}
		var c store.Change
		if copy(c.Digest[:], digest) != len(c.Digest) || len(digest) != len(c.Digest) {
			return fmt.Errorf("key %d has a digest of %d bytes, not %d", id, len(digest), len(c.Digest))
		}
		t.changes = append(t.changes, c)
		return nil
	}, id)
}
