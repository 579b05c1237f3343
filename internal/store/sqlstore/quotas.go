package sqlstore

import (
	"context"
	"database/sql"

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
	var used sql.NullInt64
	var start moment
	err := t.run.One(ctx, SelectQuota, func(row Row) error { return row.Scan(&used, &start) }, take.KeyID)
	if err != nil {
		return store.QuotaShare{}, err
	}
	kept := store.QuotaShare{Used: used.Int64, PeriodStart: start.Time()}
	share := divide(kept, take)
	if share.Used == kept.Used && share.PeriodStart.Equal(kept.PeriodStart) {
		return share, nil
	}
	_, err = t.run.Exec(ctx, KeepQuota, take.KeyID, micros(share.PeriodStart), share.Used)
	return share, err
}

// divide returns what is handed out where kept is what was before. The zero time is before every period, as NULL is.
func divide(kept store.QuotaShare, take store.QuotaTake) store.QuotaShare {
	share := store.QuotaShare{Used: kept.Used, PeriodStart: kept.PeriodStart}
	switch {
	case kept.PeriodStart.Before(take.PeriodStart):
		share.Used, share.PeriodStart = 0, take.PeriodStart.UTC()
	case kept.PeriodStart.Equal(take.PeriodStart):
		share.Used -= min(max(take.Return, 0), share.Used)
	}
	share.Granted = max(min(take.Want, take.Quota.Requests-share.Used), 0)
	share.Used += share.Granted
	return share
}
