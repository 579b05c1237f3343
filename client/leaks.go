package client

import (
	"context"
	"net/http"

	"github.com/apikeyd/apikeyd/api"
)

// ReportLeak ends a token that was found where it should not be: whoever holds one may. Where it returns nil the token is dead
// on every node, if it was one: the answer does not tell. It sends no credential of c's. Too many reports are api.ErrRateLimited.
func (c *Client) ReportLeak(ctx context.Context, token string) error {
	_, err := c.conn.try(ctx, request{
		method: http.MethodPost, path: []string{"v1", "leaked"}, body: api.LeakReport{Key: token}, secrets: []string{token},
		success: http.StatusAccepted, idempotent: true, anonymous: true,
	}, nil)
	return err
}
