package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// keyColumns takes KeyColumns.
type keyColumns struct {
	key                                         key.Key
	expires, used, created, updated, quotaStart moment
	restrictions                                sql.NullString
	quotaUsed                                   sql.NullInt64
}

func (c *keyColumns) dest() []any {
	k := &c.key
	return []any{&k.ID, &k.Name, &k.Scopes, &k.OrganizationID, &k.UserID, &k.Hint, &k.Enabled, &c.expires, &c.used, &c.created, &c.updated,
		&k.Metadata, &c.restrictions, &c.quotaUsed, &c.quotaStart}
}

// get returns what was taken.
func (c *keyColumns) get() (key.Key, error) {
	k := c.key
	k.ExpiresAt, k.LastUsedAt = c.expires.Time(), c.used.Time()
	k.CreatedAt, k.UpdatedAt = c.created.Time(), c.updated.Time()
	k.QuotaUsed, k.QuotaStart = c.quotaUsed.Int64, c.quotaStart.Time()
	if r, err := restrictionsOf(c.restrictions.String); err != nil {
		return k, fmt.Errorf("key %d: %w", k.ID, err)
	} else if r != nil {
		k.Restrictions = *r
	}
	return k, nil
}

func scanKey(row Row) (key.Key, error) {
	var c keyColumns
	if err := row.Scan(c.dest()...); err != nil {
		return key.Key{}, err
	}
	return c.get()
}

// KeyFor returns a key, and who wants something of it.
func (r Reader) KeyFor(ctx context.Context, id, userID int64, token key.Digest) (k key.Key, caller key.Identity, err error) {
	var c keyColumns
	if err = r.identity(ctx, &caller, SelectKeyFor, c.dest(), token[:], userID, id); err == nil {
		k, err = c.get()
	}
	return k, caller, err
}

// Key returns the key with this id.
func (r Reader) Key(ctx context.Context, id int64) (k key.Key, err error) {
	err = r.run.One(ctx, SelectKey, func(row Row) (err error) {
		k, err = scanKey(row)
		return err
	}, id)
	return k, err
}

// Keys returns the keys that q describes.
func (r Reader) Keys(ctx context.Context, q store.KeyQuery) ([]key.Key, error) {
	if n := utf8.RuneCountInString(q.NameContains); n > key.MaxNameLength || strings.ContainsRune(q.NameContains, 0) {
		return nil, nil // no name holds that, and not every database takes it
	}
	list := ListKeys
	switch {
	case q.OrganizationID != 0 && q.UserID != 0:
		list = ListKeysOfMember
	case q.OrganizationID != 0:
		list = ListKeysOfOrganization
	case q.UserID != 0:
		list = ListKeysOfUser
	}
	var enabled any
	if q.Enabled != nil {
		enabled = *q.Enabled
	}
	args := []any{q.OrganizationID, q.UserID, before(q.Before), lower(q.NameContains), enabled, int64(q.Scopes), q.Limit,
		int64(q.State), q.Now.UnixMicro()}
	if q.Order != key.NewestFirst {
		args[2] = q.After.ID
	}
	switch q.Order {
	case key.ByName:
		name, _, _ := strings.Cut(lower(q.After.Name), "\x00") // which no name holds, and not every database takes
		args = append(args, name)
	case key.ByExpiry, key.ByLastUse:
		rank := q.After.Rank
		if q.After == (key.Place{}) {
			rank = math.MinInt64
		}
		args = append(args, rank)
	}
	return page(ctx, r.run, OrderedKeys(list, q.Order), q.Limit, scanKey, args...)
}

// lower folds the case of ASCII letters alone, as the contract wants it and as every database can do it.
func lower(s string) string {
	folded := []byte(s)
	for i, c := range folded {
		if 'A' <= c && c <= 'Z' {
			folded[i] = c + 'a' - 'A'
		}
	}
	return string(folded)
}

// InsertKey adds a key with its token.
func (t *Tx) InsertKey(ctx context.Context, k key.Key, digest key.Digest) (int64, error) {
	return t.run.Insert(ctx, InsertKey, k.Name, int64(k.Scopes), k.OrganizationID, k.UserID, k.Hint, k.Enabled,
		micros(k.ExpiresAt), micros(k.LastUsedAt), micros(k.CreatedAt), micros(k.UpdatedAt), text(k.Metadata),
		text(restrictionsText(&k.Restrictions)), digest[:])
}

// UpdateKey writes what can change about a key.
func (t *Tx) UpdateKey(ctx context.Context, k key.Key) error {
	if err := t.raiseQuota(ctx, k.ID, k.Quota); err != nil {
		return err
	}
	err := t.change(ctx, UpdateKey, k.ID, k.Name, int64(k.Scopes), k.UserID, k.Enabled, micros(k.ExpiresAt),
		text(k.Metadata), text(restrictionsText(&k.Restrictions)), micros(k.UpdatedAt))
	if err != nil {
		return err
	}
	return t.record(ctx, k.ID)
}

// DeleteKey deletes a key and its tokens.
func (t *Tx) DeleteKey(ctx context.Context, id int64) error {
	if err := t.recordEach(ctx, DeleteTokens, id); err != nil {
		return err
	}
	if _, err := t.run.Exec(ctx, InsertGoneKey, id); err != nil {
		return err
	}
	return t.change(ctx, DeleteKey, id)
}

// Recall records a Change for each token of a key.
func (t *Tx) Recall(ctx context.Context, id int64) error { return t.record(ctx, id) }

// DeleteKeysOf deletes the keys of a member that have one of the scopes.
func (t *Tx) DeleteKeysOf(ctx context.Context, organizationID, userID int64, scopes key.Scopes) ([]int64, error) {
	return t.keysOf(ctx, organizationID, userID, scopes, func(id int64) error { return t.DeleteKey(ctx, id) })
}

// TransferKeysOf gives the keys of a member that have one of the scopes to another user.
func (t *Tx) TransferKeysOf(ctx context.Context, organizationID, userID int64, scopes key.Scopes, to int64, now time.Time) ([]int64, error) {
	return t.keysOf(ctx, organizationID, userID, scopes, func(id int64) error {
		if err := t.change(ctx, UpdateOwner, id, to, micros(now)); err != nil {
			return err
		}
		return t.record(ctx, id)
	})
}

// keysOf does something to each key of a member that has one of the scopes, and returns their ids.
func (t *Tx) keysOf(ctx context.Context, organizationID, userID int64, scopes key.Scopes, do func(id int64) error) ([]int64, error) {
	ids, err := all(ctx, t.run, ListKeyIDsOfMember, func(row Row) (id int64, err error) {
		err = row.Scan(&id)
		return id, err
	}, organizationID, userID, int64(scopes))
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := do(id); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// SetLastUsed moves the time of last use of each key forward.
func (t *Tx) SetLastUsed(ctx context.Context, uses []store.Use) error {
	var rows [][]any
	for _, u := range uses {
		if !u.At.IsZero() {
			rows = append(rows, []any{u.KeyID, micros(u.At)})
		}
	}
	return t.run.ExecEach(ctx, UpdateLastUsed, rows)
}

// change runs a statement that is about one row, and returns store.ErrNotFound where that is not there.
func (t *Tx) change(ctx context.Context, s Statement, args ...any) error {
	n, err := t.run.Exec(ctx, s, args...)
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	return err
}
