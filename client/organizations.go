package client

import (
	"context"
	"errors"
	"iter"
	"net/http"

	"github.com/apikeyd/apikeyd/api"
)

// OrganizationOptions says which organizations to list. Its zero value lists all that the caller sees: their own, and
// for an instance admin every one.
type OrganizationOptions struct {
	Query      string // those whose name holds this
	ExternalID string // the one that the operator's own system calls so

	Limit  int    // organizations on a page, 1 to 1000; 0: the server's default, 100
	Cursor string // where to begin: Page.Next of the page before; "": with the newest organization
}

func (o OrganizationOptions) listing() listing[api.Organization] {
	p := parameters{}
	p.text("q", o.Query)
	p.text("external_id", o.ExternalID)
	return listing[api.Organization]{
		path: organizationPath(), query: p.page(PageOptions{o.Limit, o.Cursor}), check: isOrganization,
	}
}

func organizationPath(segments ...string) []string {
	return append([]string{"v1", "organizations"}, segments...)
}

// ListOrganizations returns one page of organizations, newest first. AllOrganizations goes on to the pages after it.
func (c *Client) ListOrganizations(ctx context.Context, o OrganizationOptions) (Page[api.Organization], error) {
	return o.listing().page(ctx, c.conn)
}

// AllOrganizations returns the organizations from o.Cursor to the last, as AllKeys does keys.
func (c *Client) AllOrganizations(ctx context.Context, o OrganizationOptions) iter.Seq2[api.Organization, error] {
	return o.listing().all(ctx, c.conn)
}

// CreateOrganization creates an organization, whose owner is the caller. It is for instance admins.
//
// An error that does not come from the server (see Retry) leaves open whether it was made. With an ExternalID, which is
// unique, a second attempt makes no second one: it is api.ErrConflict, and ListOrganizations finds the first.
func (c *Client) CreateOrganization(ctx context.Context, o api.NewOrganization) (api.Organization, error) {
	created, _, err := send(ctx, c.conn, request{
		method: http.MethodPost, path: organizationPath(), body: o, success: http.StatusCreated,
	}, isOrganization)
	return created, err
}

// GetOrganization returns an organization.
func (c *Client) GetOrganization(ctx context.Context, organizationID int64) (api.Organization, error) {
	o, _, err := send(ctx, c.conn, request{
		method: http.MethodGet, path: organizationPath(idSegment(organizationID)), success: http.StatusOK, idempotent: true,
	}, isOrganization)
	return o, err
}

// UpdateOrganization changes the fields that p sets, and returns the organization as it is now.
func (c *Client) UpdateOrganization(ctx context.Context, organizationID int64, p api.OrganizationPatch) (api.Organization, error) {
	o, _, err := send(ctx, c.conn, request{
		method: http.MethodPatch, path: organizationPath(idSegment(organizationID)), body: p, success: http.StatusOK,
	}, isOrganization)
	return o, err
}

// DeleteOrganization deletes an organization for good, with its keys. Once it has returned nil, no node of the server
// takes one of them for valid. Of a second attempt the same is true as in DeleteKey.
func (c *Client) DeleteOrganization(ctx context.Context, organizationID int64) error {
	_, err := c.conn.try(ctx, request{
		method: http.MethodDelete, path: organizationPath(idSegment(organizationID)), success: http.StatusNoContent, idempotent: true,
	}, nil)
	return err
}

func isOrganization(o api.Organization) error {
	if o.OrganizationID <= 0 {
		return errors.New("it holds an organization without an id")
	}
	return nil
}
