package storetest

import (
	"context"
	"math"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

var quotaTests = []test{
	{"restrictions come back as they were stored", restrictionsComeBack},
	{"UpdateKey writes restrictions, and a check sees them", updateRestrictions},
	{"TakeQuota takes as much as there is", takeWhatThereIs},
	{"TakeQuota takes back what is left of a share", takeBack},
	{"a period begins with nothing used, and the latest one counts", takeInPeriods},
	{"each change of a quota begins a generation of it", changeQuota},
	{"TakeQuota for another generation of a quota grants nothing", takeOfAnother},
	{"TakeQuota of a key that is not there, or of one that was deleted", takeOfNothing},
	{"TakeQuota records no change", takeRecordsNothing},
	{"all who take at once get no more than there is", takeTogether},
	{"keys that have used a part of their quota can be deleted", deleteUsed},
}

var (
	monthly = key.Quota{Requests: 100, Period: key.Month}
	month   = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
)

// restricted is what keys of these tests are held to.
func restricted() key.Restrictions {
	return key.Restrictions{
		Limits: []key.Limit{{Name: "default", Requests: 100, Window: time.Minute}, {Name: "a.b_c-9", Requests: key.MaxRequests, Window: key.MaxWindow}},
		Quota:  monthly,
		AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("203.0.113.0/24"),
			netip.MustParsePrefix("2001:db8::/32")},
	}
}

// limited stores a key with a quota.
func (w *world) limited(t *testing.T) key.Key {
	t.Helper()
	k := w.key()
	k.Restrictions = restricted()
	k, _ = w.insert(t, k)
	return k
}

// take takes a share, and fails where that is not what is wanted.
func (w *world) take(t *testing.T, take store.QuotaTake, want store.QuotaShare) {
	t.Helper()
	got, err := w.TakeQuota(t.Context(), take)
	if err != nil || got.Granted != want.Granted || got.Used != want.Used || !got.PeriodStart.Equal(want.PeriodStart) {
		t.Errorf("TakeQuota(%+v) = %+v, %v, want %+v", take, got, err, want)
	}
	if want.Quota != (key.Quota{}) && got.Quota != want.Quota {
		t.Errorf("TakeQuota(%+v) says that the quota is %+v, want %+v", take, got.Quota, want.Quota)
	}
	k := w.mustGet(t, take.KeyID)
	if k.QuotaUsed != want.Used || !k.QuotaStart.Equal(want.PeriodStart) {
		t.Errorf("the key has used %d since %v, want %d since %v", k.QuotaUsed, k.QuotaStart, want.Used, want.PeriodStart)
	}
}

func restrictionsComeBack(t *testing.T, w *world) {
	for name, r := range map[string]key.Restrictions{
		"none":          {},
		"all":           restricted(),
		"limits":        {Limits: restricted().Limits},
		"quota":         {Quota: monthly},
		"daily quota":   {Quota: key.Quota{Requests: key.MaxRequests, Period: key.Day}},
		"quota of ever": {Quota: key.Quota{Requests: 1}},
		"addresses":     {AllowedCIDRs: restricted().AllowedCIDRs},
	} {
		k := w.key()
		k.Restrictions = r
		k, digest := w.insert(t, k)
		got := w.mustGet(t, k.ID)
		page, err := w.Keys(t.Context(), store.KeyQuery{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if !got.Restrictions.Same(&r) || !page[0].Restrictions.Same(&r) || got.QuotaUsed != 0 || !got.QuotaStart.IsZero() {
			t.Errorf("%s: %+v, and %+v in a list, want %+v", name, got, page[0].Restrictions, r)
		}
		record := w.mustRecord(t, digest)
		if none := r.None(); (record.Restrictions == nil) != none || !none && !record.Restrictions.Same(&r) {
			t.Errorf("%s: record with %+v, want %+v", name, record.Restrictions, r)
		}
	}
}

func updateRestrictions(t *testing.T, w *world) {
	k, digest := w.insert(t, w.key())
	for _, r := range []key.Restrictions{restricted(), {Quota: key.Quota{Requests: 7}}, {}} {
		k.Restrictions = r
		changes := w.update(t, func(tx store.Tx) error { return tx.UpdateKey(t.Context(), k) })
		wantChanges(t, changes, digest)
		if got := w.mustGet(t, k.ID); !got.Restrictions.Same(&r) {
			t.Errorf("restrictions = %+v, want %+v", got.Restrictions, r)
		}
		got := w.mustRecord(t, digest).Restrictions
		if got == nil && !r.None() || got != nil && !got.Same(&r) {
			t.Errorf("restrictions of the record = %+v, want %+v", got, r)
		}
		identity, err := w.Identity(t.Context(), w.user, digest, w.organization)
		if err != nil || (identity.Key.Restrictions == nil) != r.None() {
			t.Errorf("the identity's key has %+v, %v, want %+v", identity.Key, err, r)
		}
	}
}

func takeWhatThereIs(t *testing.T, w *world) {
	k := w.limited(t)
	bystander := w.limited(t)
	take := store.QuotaTake{KeyID: k.ID, Quota: monthly, PeriodStart: month, Want: 60}
	w.take(t, take, store.QuotaShare{Granted: 60, Used: 60, PeriodStart: month})
	w.take(t, take, store.QuotaShare{Granted: 40, Used: 100, PeriodStart: month})
	w.take(t, take, store.QuotaShare{Granted: 0, Used: 100, PeriodStart: month})
	take.Want = math.MaxInt64
	w.take(t, take, store.QuotaShare{Granted: 0, Used: 100, PeriodStart: month})
	take.Quota.Requests = 50 // it was made smaller
	w.take(t, take, store.QuotaShare{Granted: 0, Used: 100, PeriodStart: month})
	take.Quota.Requests = key.MaxRequests
	w.take(t, take, store.QuotaShare{Granted: key.MaxRequests - 100, Used: key.MaxRequests, PeriodStart: month})
	if got := w.mustGet(t, bystander.ID); got.QuotaUsed != 0 {
		t.Errorf("another key has used %d", got.QuotaUsed)
	}
}

func takeBack(t *testing.T, w *world) {
	k := w.limited(t)
	take := store.QuotaTake{KeyID: k.ID, Quota: monthly, PeriodStart: month, Want: 60}
	w.take(t, take, store.QuotaShare{Granted: 60, Used: 60, PeriodStart: month})
	take.Return, take.Want = 25, 0
	w.take(t, take, store.QuotaShare{Used: 35, PeriodStart: month})
	take.Return, take.Want = 5, 100
	w.take(t, take, store.QuotaShare{Granted: 70, Used: 100, PeriodStart: month})
	take.Return, take.Want = 1000, 0 // more than was taken
	w.take(t, take, store.QuotaShare{Used: 0, PeriodStart: month})
	take.Return, take.Want = math.MinInt64, math.MinInt64
	w.take(t, take, store.QuotaShare{Used: 0, PeriodStart: month})
}

func takeInPeriods(t *testing.T, w *world) {
	k := w.limited(t)
	december := month.AddDate(0, 1, 0)
	take := store.QuotaTake{KeyID: k.ID, Quota: monthly, PeriodStart: month, Want: 60}
	w.take(t, take, store.QuotaShare{Granted: 60, Used: 60, PeriodStart: month})
	take.PeriodStart, take.Return = december, 30 // which was of November
	w.take(t, take, store.QuotaShare{Granted: 60, Used: 60, PeriodStart: december})
	take.PeriodStart = month // a clock that is behind
	w.take(t, take, store.QuotaShare{Granted: 40, Used: 100, PeriodStart: december})
	take.PeriodStart = time.Time{} // it is never renewed any more
	w.take(t, take, store.QuotaShare{Granted: 0, Used: 100, PeriodStart: december})

	ever := w.limited(t)
	take = store.QuotaTake{KeyID: ever.ID, Quota: key.Quota{Requests: 100}, Want: 60}
	w.take(t, take, store.QuotaShare{Granted: 60, Used: 60})
	take.Return = 10
	w.take(t, take, store.QuotaShare{Granted: 50, Used: 100})
	take.PeriodStart = month.In(time.FixedZone("", 3600))
	w.take(t, take, store.QuotaShare{Granted: 60, Used: 60, PeriodStart: month})
}

// setQuota changes a key's quota and returns it as a check then finds it.
func (w *world) setQuota(t *testing.T, k *key.Key, digest key.Digest, to key.Quota) key.Quota {
	t.Helper()
	k.Quota = to
	wantChanges(t, w.update(t, func(tx store.Tx) error { return tx.UpdateKey(t.Context(), *k) }), digest)
	r := w.mustRecord(t, digest).Restrictions
	if r == nil {
		return key.Quota{}
	}
	return r.Quota
}

func changeQuota(t *testing.T, w *world) {
	k := w.key()
	k, digest := w.insert(t, k)
	seen := map[int64]bool{}
	daily := key.Quota{Requests: 100, Period: key.Day}
	for _, to := range []key.Quota{monthly, daily, monthly, {Requests: 99, Period: key.Month}, {}, monthly, {}} {
		got := w.setQuota(t, &k, digest, to)
		if got.Requests != to.Requests || got.Period != to.Period {
			t.Errorf("the record has the quota %+v, want %+v", got, to)
		}
		if to != (key.Quota{}) && seen[got.Generation] || to == (key.Quota{}) && got.Generation != 0 {
			t.Errorf("%+v has generation %d, of others before", to, got.Generation)
		}
		seen[got.Generation] = true
	}

	k.Restrictions = restricted()
	quota := w.setQuota(t, &k, digest, monthly)
	w.take(t, store.QuotaTake{KeyID: k.ID, Quota: quota, PeriodStart: month, Want: 60}, store.QuotaShare{Granted: 60, Used: 60, PeriodStart: month})
	k.Limits, k.AllowedCIDRs, k.Name = nil, nil, "another"
	if got := w.setQuota(t, &k, digest, monthly); got != quota {
		t.Errorf("the quota is %+v where others were changed, want %+v", got, quota)
	}
	if got := w.mustGet(t, k.ID); got.Quota != monthly {
		t.Errorf("the key has the quota %+v, want %+v", got.Quota, monthly)
	}
	identity, err := w.Identity(t.Context(), w.user, digest, w.organization)
	if err != nil || identity.Key.Restrictions.Quota != quota {
		t.Errorf("the identity's key has %+v, %v, want %+v", identity.Key.Restrictions, err, quota)
	}
}

func takeOfAnother(t *testing.T, w *world) {
	k := w.key()
	k.Restrictions = restricted()
	k, digest := w.insert(t, k)
	take := store.QuotaTake{KeyID: k.ID, Quota: monthly, PeriodStart: month, Want: 60}
	w.take(t, take, store.QuotaShare{Granted: 60, Used: 60, PeriodStart: month, Quota: monthly})
	daily := w.setQuota(t, &k, digest, key.Quota{Requests: 200, Period: key.Day})
	take.Return = 10
	w.take(t, take, store.QuotaShare{Used: 50, PeriodStart: month, Quota: daily})
	take.PeriodStart = month.AddDate(0, 1, 0)
	w.take(t, take, store.QuotaShare{Used: 50, PeriodStart: month, Quota: daily})
	today := store.QuotaTake{KeyID: k.ID, Quota: daily, PeriodStart: month, Want: 160}
	w.take(t, today, store.QuotaShare{Granted: 150, Used: 200, PeriodStart: month, Quota: daily})
	today.PeriodStart = month.AddDate(0, 0, 1)
	w.take(t, today, store.QuotaShare{Granted: 160, Used: 160, PeriodStart: today.PeriodStart, Quota: daily})

	// What is used stays used also where there is no quota meanwhile.
	none := w.setQuota(t, &k, digest, key.Quota{})
	if none != (key.Quota{}) {
		t.Errorf("a removed quota is %+v", none)
	}
	share, err := w.TakeQuota(t.Context(), today)
	if err != nil || share.Granted != 0 || share.Used != 160 || share.Quota.Requests != 0 || share.Quota.Generation == daily.Generation {
		t.Errorf("TakeQuota of a quota that was removed = %+v, %v", share, err)
	}
	again := w.setQuota(t, &k, digest, key.Quota{Requests: 200, Period: key.Day})
	today.Return = 5
	w.take(t, today, store.QuotaShare{Used: 155, PeriodStart: today.PeriodStart, Quota: again})
	today.Quota, today.Return = again, 0
	w.take(t, today, store.QuotaShare{Granted: 45, Used: 200, PeriodStart: today.PeriodStart, Quota: again})
}

func takeOfNothing(t *testing.T, w *world) {
	k := w.limited(t)
	take := store.QuotaTake{KeyID: 1 << 62, Quota: monthly, PeriodStart: month, Want: 60}
	_, err := w.TakeQuota(t.Context(), take)
	wantIs(t, "TakeQuota of a key that is not there", err, store.ErrNotFound)
	take.KeyID = k.ID
	w.take(t, take, store.QuotaShare{Granted: 60, Used: 60, PeriodStart: month})
	w.update(t, func(tx store.Tx) error { return tx.DeleteKey(t.Context(), k.ID) })
	for _, take.Want = range []int64{0, 60} {
		_, err = w.TakeQuota(t.Context(), take)
		wantIs(t, "TakeQuota of a key that was deleted", err, store.ErrNotFound)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = w.TakeQuota(ctx, take)
	wantIs(t, "TakeQuota without time", err, store.ErrUnavailable)
}

func takeRecordsNothing(t *testing.T, w *world) {
	k := w.limited(t)
	take := store.QuotaTake{KeyID: k.ID, Quota: monthly, PeriodStart: month, Want: 60}
	wantChanges(t, w.update(t, func(tx store.Tx) error {
		share, err := tx.TakeQuota(t.Context(), take)
		if err != nil || share.Granted != 60 {
			t.Errorf("TakeQuota in a transaction = %+v, %v", share, err)
		}
		got, err := tx.Key(t.Context(), k.ID)
		if got.QuotaUsed != 60 {
			t.Errorf("inside the transaction the key has used %d, %v", got.QuotaUsed, err)
		}
		return err
	}))
	if got := w.mustGet(t, k.ID); !got.UpdatedAt.Equal(k.UpdatedAt) {
		t.Errorf("the key was updated at %v", got.UpdatedAt)
	}
	k.Name = "renamed"
	w.update(t, func(tx store.Tx) error { return tx.UpdateKey(t.Context(), k) })
	if got := w.mustGet(t, k.ID); got.QuotaUsed != 60 || !got.QuotaStart.Equal(month) {
		t.Errorf("a renamed key has used %d since %v", got.QuotaUsed, got.QuotaStart)
	}
}

func takeTogether(t *testing.T, w *world) {
	const takers, each, want = 8, 20, 7
	k := w.limited(t)
	quota := key.Quota{Requests: takers*each*want*3/4 + 1}
	granted := make([]int64, takers)
	var all sync.WaitGroup
	for i := range takers {
		all.Go(func() {
			for range each {
				share, err := w.TakeQuota(t.Context(), store.QuotaTake{KeyID: k.ID, Quota: quota, Want: want})
				if err != nil || share.Used > quota.Requests {
					t.Errorf("TakeQuota() = %+v, %v", share, err)
				}
				granted[i] += share.Granted
			}
		})
	}
	all.Wait()
	var sum int64
	for _, n := range granted {
		sum += n
	}
	if sum != quota.Requests {
		t.Errorf("%d were granted of %d", sum, quota.Requests)
	}
}

func deleteUsed(t *testing.T, w *world) {
	use := func() key.Key {
		k := w.limited(t)
		w.take(t, store.QuotaTake{KeyID: k.ID, Quota: monthly, PeriodStart: month, Want: 1},
			store.QuotaShare{Granted: 1, Used: 1, PeriodStart: month})
		return k
	}
	used := []key.Key{use(), use()}
	w.update(t, func(tx store.Tx) error {
		_, err := tx.DeleteKeysOf(t.Context(), w.organization, w.user, key.AllScopes)
		return err
	})
	used = append(used, use())
	w.update(t, func(tx store.Tx) error {
		_, _, err := tx.DeleteOrganization(t.Context(), w.organization)
		return err
	})
	for _, k := range used {
		_, err := w.Key(t.Context(), k.ID)
		wantIs(t, "Key", err, store.ErrNotFound)
	}
}
