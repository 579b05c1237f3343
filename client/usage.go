package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

// UsageOptions says of which time usage is wanted. Its zero value is the last 24 hours.
type UsageOptions struct {
	From time.Time   // the hour or day that this is in is the first; zero: 24 hours or 30 days before To
	To   time.Time   // the hour or day before this is the last; zero: now
	By   api.UsageBy // "" is UsageByHour
}

// KeyUsage returns how many checks of a key there were, by how they came out.
func (c *Client) KeyUsage(ctx context.Context, keyID int64, o UsageOptions) (api.Usage, error) {
	return c.usage(ctx, keyPath(idSegment(keyID), "usage"), o)
}

// OrganizationUsage returns how many checks there were of all keys of an organization, those that were deleted as well. For who does
// not see them all it is that of the caller's own keys.
func (c *Client) OrganizationUsage(ctx context.Context, organizationID int64, o UsageOptions) (api.Usage, error) {
	return c.usage(ctx, organizationPath(idSegment(organizationID), "usage"), o)
}

func (c *Client) usage(ctx context.Context, path []string, o UsageOptions) (api.Usage, error) {
	p := parameters{}
	p.moment("from", o.From)
	p.moment("to", o.To)
	p.text("by", string(o.By))
	u, _, err := send(ctx, c.conn, request{
		method: http.MethodGet, path: path, query: url.Values(p), success: http.StatusOK, idempotent: true,
	}, isUsage)
	return u, err
}

func isUsage(u api.Usage) error {
	if u.By == "" {
		return errors.New("it does not say by what it counts")
	}
	return nil
}
