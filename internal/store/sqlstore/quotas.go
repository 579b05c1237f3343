package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// TakeQuota is store.Quotas of a database, in a transaction of its own.
func TakeQuota(ctx context.Context, s store.Store, take store.QuotaTake) (share store.QuotaShare, err error) {
	_, err = s.Update(ctx, func(tx store.Tx) (err error) {
		share, err = tx.TakeQuota(ctx, take)
		return err
	})
	if err != nil {
		return store.QuotaShare{}, err
	}
	return share, nil
}

// TakeQuota hands out a share of a key's quota. Nobody else changes what is read here before the transaction ends.
func (t *Tx) TakeQuota(ctx context.Context, take store.QuotaTake) (store.QuotaShare, error) {
	kept, err := t.quota(ctx, take.KeyID)
	if err != nil {
		return store.QuotaShare{}, err
	}
	share := divide(kept, take)
	if share.Used == kept.Used && share.PeriodStart.Equal(kept.PeriodStart) {
		return share, nil
	}
	_, err = t.run.Exec(ctx, KeepQuota, take.KeyID, micros(share.PeriodStart), share.Used)
	return share, err
}

// quota returns what is kept of a key's quota, which has Quota.Generation also where there is none at present.
func (t *Tx) quota(ctx context.Context, keyID int64) (kept store.QuotaShare, err error) {
	var text sql.NullString
	var used, generation sql.NullInt64
	var start moment
	err = t.run.One(ctx, SelectQuota, func(row Row) error { return row.Scan(&text, &used, &start, &generation) }, keyID)
	if err != nil {
		return kept, err
	}
	r, err := restrictionsOf(text.String)
	if err != nil {
		return kept, fmt.Errorf("key %d: %w", keyID, err)
	}
	if r != nil {
		kept.Quota = r.Quota
	}
	kept.Used, kept.PeriodStart, kept.Quota.Generation = used.Int64, start.Time(), generation.Int64
	return kept, nil
}

// raiseQuota begins another generation of a key's quota where it becomes another one.
func (t *Tx) raiseQuota(ctx context.Context, keyID int64, to key.Quota) error {
	kept, err := t.quota(ctx, keyID)
	if err != nil {
		return err
	}
	if to.Generation = kept.Quota.Generation; to == kept.Quota {
		return nil
	}
	_, err = t.run.Exec(ctx, RaiseQuota, keyID)
	return err
}

// divide returns what is handed out where kept is what was before. The zero time is before every period, as NULL is. To somebody
// who knows the quota of another generation nothing is, and no period begins: it may be one of a quota that is no more.
func divide(kept store.QuotaShare, take store.QuotaTake) store.QuotaShare {
	share := kept
	current := take.Quota.Generation == kept.Quota.Generation
	switch {
	case current && kept.PeriodStart.Before(take.PeriodStart):
		share.Used, share.PeriodStart = 0, take.PeriodStart.UTC()
	case kept.PeriodStart.Equal(take.PeriodStart):
		share.Used -= min(max(take.Return, 0), share.Used)
	}
	if current {
		share.Quota = take.Quota
		share.Granted = max(min(take.Want, take.Quota.Requests-share.Used), 0)
		share.Used += share.Granted
	}
	return share
}
