package postgres

import (
	"sync"
	"testing"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
)

// Nodes that take from one quota at once, and give back, never have more of it among them than there is.
func TestNodesShareAQuota(t *testing.T) {
	const nodes, takers, rounds, want = 3, 4, 15, 5
	dsn := postgrestest.NewDatabase(t)
	stores := []*Store{openFilled(t, dsn, 1)}
	for range nodes - 1 {
		stores = append(stores, open(t, dsn))
	}
	quota := key.Quota{Requests: nodes * takers * rounds * 2}
	used := make([]int64, nodes*takers)
	var all sync.WaitGroup
	for i := range used {
		all.Go(func() {
			var left int64
			for range rounds {
				share, err := stores[i%nodes].TakeQuota(t.Context(), store.QuotaTake{KeyID: 1, Quota: quota, Return: left, Want: want})
				if err != nil || share.Used > quota.Requests {
					t.Errorf("TakeQuota() = %+v, %v", share, err)
					return
				}
				left = share.Granted / 4
				used[i] += share.Granted - left
			}
			if _, err := stores[i%nodes].TakeQuota(t.Context(), store.QuotaTake{KeyID: 1, Quota: quota, Return: left}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	var sum int64
	for _, n := range used {
		sum += n
	}
	k, err := stores[0].Key(t.Context(), 1)
	if err != nil || sum > quota.Requests {
		t.Errorf("%d of %d are used, error %v", sum, quota.Requests, err)
	}
	// What no key has restrictions for is not shown with it.
	if kept := count(t, plain(t, dsn), `SELECT used FROM quotas WHERE key_id = 1`); int64(kept) != sum || k.QuotaUsed != 0 {
		t.Errorf("%d are kept as used, and %d shown, want %d and 0", kept, k.QuotaUsed, sum)
	}
}
