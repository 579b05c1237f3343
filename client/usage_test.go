package client_test

import (
	"context"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

const usageJSON = `{"from":"2026-11-22T00:00:00.000Z","to":"2026-11-23T00:00:00.000Z","by":"day","total":{"allowed":5,"refused":{"DISABLED":2}},` +
	`"buckets":[{"start":"2026-11-22T00:00:00.000Z","allowed":5,"refused":{"DISABLED":2}}]}`

// TestUsageRequests pins what the calls about usage send.
func TestUsageRequests(t *testing.T) {
	from, to := time.Date(2026, 11, 22, 1, 0, 0, 0, time.FixedZone("CET", 3600)), time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	pin(t, []pinned{
		{"of a key", ok(200, usageJSON), func(ctx context.Context, c *client.Client) error {
			u, err := c.KeyUsage(ctx, 17, client.UsageOptions{})
			if err != nil {
				return err
			}
			if b := u.Buckets[0]; u.Total.Allowed != 5 || !b.Start.Equal(from) || b.Allowed != 5 || b.Refused[api.VerifyDisabled] != 2 || u.By != api.UsageByDay {
				t.Errorf("got %+v", u)
			}
			return nil
		}, "GET /v1/api-keys/17/usage", ""},
		{"of an organization", ok(200, usageJSON), func(ctx context.Context, c *client.Client) error {
			_, err := c.OrganizationUsage(ctx, 432, client.UsageOptions{From: from, To: to, By: api.UsageByDay})
			return err
		}, "GET /v1/organizations/432/usage?by=day&from=2026-11-22T00%3A00%3A00Z&to=2026-11-23T00%3A00%3A00Z", ""},
	})
}

// TestNoUsage takes an answer that is something else for what it is.
func TestNoUsage(t *testing.T) {
	c := play(t, ok(200, `{}`)).client()
	if _, err := c.KeyUsage(t.Context(), 17, client.UsageOptions{}); err == nil {
		t.Error("an empty object is a usage")
	}
}
