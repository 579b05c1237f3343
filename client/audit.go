package client

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

// AuditOptions says which entries of the audit log to list; an entry is listed if it fits all that is set. Its zero
// value lists all that the caller sees: of the organizations that they administer, and for an instance admin all.
type AuditOptions struct {
	OrganizationID int64            // what concerns this organization
	ActorUserID    int64            // what this user did, by whatever means
	ActorKeyID     int64            // what was done with this key
	Action         string           // "key.create", or all of a kind: "key.*"
	TargetType     string           // what was done to a thing of this type: "key", "organization", "member", "user", "session"
	TargetID       int64            // what was done to the thing with this id; it goes with TargetType
	Outcome        api.AuditOutcome // what succeeded, or what was refused
	From           time.Time        // what happened then or later
	To             time.Time        // what happened before then

	Limit  int    // entries on a page, 1 to 1000; 0: the server's default, 100
	Cursor string // where to begin: Page.Next of the page before; "": with the newest entry
}

func (o AuditOptions) listing() listing[api.AuditEntry] {
	p := parameters{}
	p.number("organization_id", o.OrganizationID)
	p.number("actor_user_id", o.ActorUserID)
	p.number("actor_key_id", o.ActorKeyID)
	p.text("action", o.Action)
	p.text("target_type", o.TargetType)
	p.number("target_id", o.TargetID)
	p.text("outcome", string(o.Outcome))
	p.moment("from", o.From)
	p.moment("to", o.To)
	return listing[api.AuditEntry]{
		path: []string{"v1", "audit-log"}, query: p.page(PageOptions{o.Limit, o.Cursor}), check: isAuditEntry,
	}
}

// AuditLog returns one page of the audit log, newest first. AllAuditLog goes on to the pages after it.
func (c *Client) AuditLog(ctx context.Context, o AuditOptions) (Page[api.AuditEntry], error) {
	return o.listing().page(ctx, c.conn)
}

// AllAuditLog returns the entries of the audit log from o.Cursor to the last, as AllKeys does keys.
func (c *Client) AllAuditLog(ctx context.Context, o AuditOptions) iter.Seq2[api.AuditEntry, error] {
	return o.listing().all(ctx, c.conn)
}

func isAuditEntry(e api.AuditEntry) error {
	if e.AuditID <= 0 {
		return errors.New("it holds an entry without an id")
	}
	return nil
}
