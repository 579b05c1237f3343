package client_test

import (
	"context"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

const auditJSON = `{"audit_id":99,"occurred_at":"2026-11-22T18:54:03.120Z","actor":{"user_id":3,"key_id":17,"session_id":null},` +
	`"action":"key.update","target":{"type":"key","id":18},"organization_id":432,"ip":"203.0.113.9","request_id":"01J",` +
	`"outcome":"success","before":{"enabled":true},"after":{"enabled":false},"hash":"ab","previous_hash":"cd"}`

// TestAuditRequests pins what the calls about the audit log send.
func TestAuditRequests(t *testing.T) {
	pin(t, []pinned{
		{"all", ok(200, `[`+auditJSON+`]`), func(ctx context.Context, c *client.Client) error {
			p, err := c.AuditLog(ctx, client.AuditOptions{})
			if err != nil {
				return err
			}
			e := p.Items[0]
			if e.AuditID != 99 || *e.Actor.KeyID != 17 || e.Actor.SessionID != nil || *e.Target.ID != 18 || string(e.After) != `{"enabled":false}` {
				t.Errorf("got %+v", e)
			}
			return nil
		}, "GET /v1/audit-log", ""},
		{"with filters", ok(200, `[]`), func(ctx context.Context, c *client.Client) error {
			_, err := c.AuditLog(ctx, client.AuditOptions{
				OrganizationID: 432, ActorUserID: 3, ActorKeyID: 17, Action: "key.*", TargetType: "key", TargetID: 18, Outcome: api.AuditRefused,
				From: time.Date(2026, 11, 22, 19, 0, 0, 0, time.FixedZone("CET", 3600)), To: time.Date(2026, 11, 23, 0, 0, 0, 1000, time.UTC),
				Limit: 5, Cursor: "c",
			})
			return err
		}, "GET /v1/audit-log?action=key.%2A&actor_key_id=17&actor_user_id=3&cursor=c&from=2026-11-22T18%3A00%3A00Z&limit=5" +
			"&organization_id=432&outcome=refused&target_id=18&target_type=key&to=2026-11-23T00%3A00%3A00.000001Z", ""},
	})
}
