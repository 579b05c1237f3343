package sqlstore

import (
	"context"

	"github.com/apikeyd/apikeyd/internal/key"
)

// callers are answers to who somebody is, good for one transaction of the database. Those who change something within the same few
// milliseconds are often one caller, a company's own service; and nobody else changes anything meanwhile.
type callers map[caller]key.Identity

// caller is whom Identity is asked about.
type caller struct {
	token              key.Digest
	user, organization int64
}

// forget forgets who somebody is before a statement that might change it.
func (c callers) forget(s Statement) {
	switch s {
	case InsertKey, UpdateLastUsed, KeepQuota, AddUsage, DeleteUsage:
	default:
		clear(c)
	}
}

// Identity returns a user, one of their keys, and what they are to an organization. That there is no such key is not remembered: one
// may be added.
func (t *Tx) Identity(ctx context.Context, userID int64, token key.Digest, organizationID int64) (key.Identity, error) {
	who := caller{token, userID, organizationID}
	if id, ok := t.callers[who]; ok && t.usable() == nil {
		record := *id.Key
		id.Key = &record
		return id, nil
	}
	id, err := t.Reader.Identity(ctx, userID, token, organizationID)
	if err == nil && id.Key != nil {
		record := *id.Key
		kept := id
		kept.Key = &record
		t.callers[who] = kept
	}
	return id, err
}
