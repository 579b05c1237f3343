package store

import (
	"context"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
)

// QuotaTake is what a node asks for: a share of a key's quota, out of which it lets requests pass by itself.
type QuotaTake struct {
	KeyID int64
	Quota key.Quota // as the node knows it, with its generation
	// PeriodStart is when the period began that Return and Want are about; the zero time for a quota that is never renewed. Where the
	// node's last share was of a later period than its clock says, it is that.
	PeriodStart time.Time
	Return      int64 // what is left of a share that the node has of that period, and gives back
	Want        int64 // how much it wants at most; 0: nothing, it only gives back
}

// QuotaShare is what a node gets.
type QuotaShare struct {
	Granted     int64 // 0: the quota is used up, or is another one
	Used        int64 // how much of the quota was handed out in the period, this share included
	PeriodStart time.Time
	// Quota is that of the take. Where the key's quota was changed since the node has learned it, it is the one of now instead, of
	// another generation, and without requests where there is none any more.
	Quota key.Quota
}

// Quotas hands out the quotas of keys, so that all nodes together let no more requests pass than there are.
type Quotas interface {
	// TakeQuota gives back what a node has left, and takes as much of what it wants as there is, in one transaction of its own.
	//
	//   - What is taken MUST be on disk before it returns, so that a share is never handed out twice.
	//   - A grant MUST NOT bring what is used above Quota.Requests, whoever takes at the same moment.
	//   - Where what is kept is about an earlier period, the period begins with nothing used. Where it is about a later one, that
	//     counts: the share is of it, and PeriodStart says so. In both cases what is given back MUST be passed over.
	//   - Where Quota is of another generation than the key's, it MUST NOT grant anything and MUST NOT begin a period. What is given
	//     back counts: who changes a quota leaves what is used of the period.
	//   - It MUST return ErrNotFound where there is no such key, and MUST NOT record a Change: what a check knows of a key holds.
	TakeQuota(ctx context.Context, take QuotaTake) (QuotaShare, error)
}
