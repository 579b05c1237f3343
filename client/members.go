package client

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"

	"github.com/apikeyd/apikeyd/api"
)

func memberPath(organizationID int64, segments ...string) []string {
	return append(organizationPath(idSegment(organizationID), "members"), segments...)
}

func members(organizationID int64, o PageOptions) listing[api.Member] {
	return listing[api.Member]{path: memberPath(organizationID), query: parameters{}.page(o), check: isMember}
}

// ListMembers returns one page of an organization's members, newest user first. AllMembers goes on to the pages after
// it.
func (c *Client) ListMembers(ctx context.Context, organizationID int64, o PageOptions) (Page[api.Member], error) {
	return members(organizationID, o).page(ctx, c.conn)
}

// AllMembers returns an organization's members from o.Cursor to the last, as AllKeys does keys.
func (c *Client) AllMembers(ctx context.Context, organizationID int64, o PageOptions) iter.Seq2[api.Member, error] {
	return members(organizationID, o).all(ctx, c.conn)
}

// GetMember returns a member.
func (c *Client) GetMember(ctx context.Context, organizationID, userID int64) (api.Member, error) {
	m, _, err := send(ctx, c.conn, request{
		method: http.MethodGet, path: memberPath(organizationID, idSegment(userID)), success: http.StatusOK, idempotent: true,
	}, isMember)
	return m, err
}

// InviteMember makes the person with m.Email a member. Where nobody has that address yet, a user is created, and the
// answer may hold a one-time link to hand to them: whoever has it can sign in as that person.
//
// An error that does not come from the server (see Retry) leaves open whether it was done. Inviting a member again is
// api.ErrConflict.
func (c *Client) InviteMember(ctx context.Context, organizationID int64, m api.NewMember) (api.InvitedMember, error) {
	invited, _, err := send(ctx, c.conn, request{
		method: http.MethodPost, path: memberPath(organizationID), body: m, success: http.StatusCreated,
	}, func(m api.InvitedMember) error { return isMember(m.Member) })
	return invited, err
}

// UpdateMember changes a member's role, and returns the member as it is now.
//
// remaining says what becomes of the keys that the member could then no longer create. Where there are such keys and it
// is "", nothing is done, and the error is api.ErrKeysRemain, an *api.Error that names them.
func (c *Client) UpdateMember(
	ctx context.Context, organizationID, userID int64, p api.MemberPatch, remaining api.RemainingKeys,
) (api.Member, error) {
	m, _, err := send(ctx, c.conn, request{
		method: http.MethodPatch, path: memberPath(organizationID, idSegment(userID)), query: remainingKeys(remaining),
		body: p, success: http.StatusOK,
	}, isMember)
	return m, err
}

// RemoveMember removes a member; one's own user id leaves. What becomes of the member's keys remaining says, as in
// UpdateMember; who leaves cannot transfer them. Of a second attempt the same is true as in DeleteKey.
func (c *Client) RemoveMember(ctx context.Context, organizationID, userID int64, remaining api.RemainingKeys) error {
	_, err := c.conn.try(ctx, request{
		method: http.MethodDelete, path: memberPath(organizationID, idSegment(userID)), query: remainingKeys(remaining),
		success: http.StatusNoContent, idempotent: true,
	}, nil)
	return err
}

func remainingKeys(k api.RemainingKeys) url.Values {
	p := parameters{}
	p.text("keys", string(k))
	return url.Values(p)
}

func isMember(m api.Member) error {
	if m.UserID <= 0 {
		return errors.New("it holds a member without an id")
	}
	return nil
}
