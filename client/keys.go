package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

// ListOptions says which keys to list. Its zero value lists the caller's own, newest first.
type ListOptions struct {
	OrganizationID int64     // keys of this organization; for an admin or owner every member's
	Query          string    // keys whose name holds this
	Enabled        *bool     // keys that are enabled, or that are not
	Scope          api.Scope // keys that have this scope
	State          api.State // keys that are active, disabled or expired

	Limit  int    // keys on a page, 1 to 1000; 0: the server's default, 100
	Cursor string // where to begin: Page.Next of the page before; "": with the newest key
}

func (o ListOptions) listing() listing[api.Key] {
	p := parameters{}
	p.number("organization_id", o.OrganizationID)
	p.text("q", o.Query)
	if o.Enabled != nil {
		p.text("enabled", strconv.FormatBool(*o.Enabled))
	}
	p.text("scope", string(o.Scope))
	p.text("state", string(o.State))
	return listing[api.Key]{path: keyPath(), query: p.page(PageOptions{o.Limit, o.Cursor}), check: hasID}
}

func keyPath(segments ...string) []string { return append([]string{"v1", "api-keys"}, segments...) }

func idSegment(id int64) string { return strconv.FormatInt(id, 10) }

// CreateKey creates a key. The token is in the answer, and nowhere else ever after.
//
// An error that does not come from the server (see Retry) leaves open whether the key was made. Such a key does no
// harm, since nobody has its token; ListKeys finds it by its name.
func (c *Client) CreateKey(ctx context.Context, k api.NewKey) (api.CreatedKey, error) {
	created, _, err := send(ctx, c.conn, request{
		method: http.MethodPost, path: keyPath(), body: k, success: http.StatusCreated,
	}, hasToken)
	return created, err
}

// ListKeys returns one page of keys, newest first. AllKeys goes on to the pages after it.
func (c *Client) ListKeys(ctx context.Context, o ListOptions) (Page[api.Key], error) {
	return o.listing().page(ctx, c.conn)
}

// AllKeys returns the keys from o.Cursor to the last, newest first, and fetches a page of o.Limit when it is needed.
// An error comes with a zero key and ends the sequence. Every range over it starts anew.
func (c *Client) AllKeys(ctx context.Context, o ListOptions) iter.Seq2[api.Key, error] {
	return o.listing().all(ctx, c.conn)
}

// GetKey returns what may be known about a key.
func (c *Client) GetKey(ctx context.Context, keyID int64) (api.Key, error) {
	k, _, err := send(ctx, c.conn, request{
		method: http.MethodGet, path: keyPath(idSegment(keyID)), success: http.StatusOK, idempotent: true,
	}, hasID)
	return k, err
}

// UpdateKey changes the fields that p sets, and returns the key as it is now.
func (c *Client) UpdateKey(ctx context.Context, keyID int64, p api.KeyPatch) (api.Key, error) {
	k, _, err := send(ctx, c.conn, request{
		method: http.MethodPatch, path: keyPath(idSegment(keyID)), body: p, success: http.StatusOK,
	}, hasID)
	return k, err
}

// DeleteKey deletes a key for good. Once it has returned nil, no node of the server takes the key for valid.
//
// Where the connection breaks and a second attempt finds no key, the error is api.ErrNotFound: the first attempt has
// deleted it, or it was not the caller's to delete. Where a key deletes itself so, it is api.ErrUnauthenticated.
func (c *Client) DeleteKey(ctx context.Context, keyID int64) error {
	_, err := c.conn.try(ctx, request{
		method: http.MethodDelete, path: keyPath(idSegment(keyID)), success: http.StatusNoContent, idempotent: true,
	}, nil)
	return err
}

// RotateKey gives a key a new token, which is in the answer and nowhere else ever after. The old token is dead at once,
// or after grace, which the server counts in seconds: a part of a second counts as a whole one.
//
// An error that does not come from the server (see Retry) leaves open whether the token was changed; rotate again
// to have one for certain.
func (c *Client) RotateKey(ctx context.Context, keyID int64, grace time.Duration) (api.CreatedKey, error) {
	if grace < 0 {
		return api.CreatedKey{}, fmt.Errorf("rotate key %d: grace must not be negative", keyID)
	}
	seconds := int64(grace / time.Second)
	if grace%time.Second > 0 {
		seconds++
	}
	k, _, err := send(ctx, c.conn, request{
		method: http.MethodPost, path: keyPath(idSegment(keyID), "rotate"),
		body: api.RotateRequest{GraceSeconds: seconds}, success: http.StatusOK,
	}, hasToken)
	return k, err
}

func hasID(k api.Key) error {
	if k.KeyID <= 0 {
		return errors.New("it holds a key without an id")
	}
	return nil
}

func hasToken(k api.CreatedKey) error {
	if k.Token == "" {
		return errors.New("it holds no token")
	}
	return hasID(k.Key)
}
