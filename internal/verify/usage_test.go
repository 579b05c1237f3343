package verify

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/token"
	"github.com/apikeyd/apikeyd/internal/usage"
)

// ledger is a usage.Writer that adds up what is written.
type ledger struct {
	counts map[store.Checks]int64 // the fields that say how many and when are empty
	used   map[int64]bool
}

func (l *ledger) Update(_ context.Context, fn func(store.Tx) error) ([]store.Change, error) {
	return nil, fn(ledgerTx{l: l})
}

type ledgerTx struct {
	store.Tx
	l *ledger
}

func (t ledgerTx) SetLastUsed(_ context.Context, uses []store.Use) error {
	for _, u := range uses {
		t.l.used[u.KeyID] = true
	}
	return nil
}

func (t ledgerTx) AddUsage(_ context.Context, checks []store.Checks) error {
	for _, c := range checks {
		n := c.Count
		c.Count, c.At = 0, time.Time{}
		if n > 0 {
			t.l.counts[c] += n
		}
	}
	return nil
}

// written writes what a recorder has, and returns all that was written.
func written(ctx context.Context, r *usage.Recorder, l *ledger) map[store.Checks]int64 {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	r.Run(ctx)
	return l.counts
}

// limiter refuses every request for one reason.
type limiter key.Outcome

func (l limiter) Take(context.Context, int64, *key.Restrictions, time.Time) (key.Outcome, key.Allowance, error) {
	return key.Outcome(l), key.Allowance{}, nil
}

func TestChecksAreCounted(t *testing.T) {
	l := &ledger{counts: map[store.Checks]int64{}, used: map[int64]bool{}}
	recorder := usage.NewRecorder(l, slog.New(slog.DiscardHandler))
	s := &tokens{records: map[key.Digest]key.Record{}}
	// So small that it holds hardly any key: what was counted for one that it has dropped counts, too.
	c := New(Options{Tokens: s, Usage: recorder, Now: time.Now, CacheBytes: 64 << 10, NegativeCacheBytes: 1 << 10,
		Limiter: limiter(key.CheckRateLimited)})
	limited := record(1)
	limited.Restrictions = &key.Restrictions{Limits: []key.Limit{{Name: "default", Requests: 1, Window: time.Second}}}
	disabled, graced, expired := record(1), record(1), record(1)
	disabled.Enabled = false
	graced.TokenExpiresAt = key.MillisOf(time.Now().Add(-time.Hour))
	expired.ExpiresAt = graced.TokenExpiresAt
	var want = map[key.Outcome]int64{}
	for i := range int64(3000) {
		for _, check := range []struct {
			record  key.Record
			q       key.Question
			outcome key.Outcome
			counts  bool
		}{
			{record(1), key.Question{}, key.CheckValid, true},
			{record(1), key.Question{Scope: key.Manage}, key.CheckInsufficientScope, true},
			{record(1), key.Question{OrganizationID: 2}, key.CheckNotFound, false},
			{record(1), key.Question{Uncounted: true}, key.CheckValid, false},
			{disabled, key.Question{}, key.CheckDisabled, true},
			{disabled, key.Question{Uncounted: true}, key.CheckDisabled, false},
			{expired, key.Question{}, key.CheckExpired, true},
			{graced, key.Question{}, key.CheckNotFound, false},
			{limited, key.Question{}, key.CheckRateLimited, true},
		} {
			if i%100 != 0 && check.outcome != key.CheckValid {
				continue
			}
			text := token.New("ak")
			s.set(text.Digest(), check.record)
			if got := mustCheck(t, c, text.Reveal(), check.q); got != check.outcome {
				t.Fatalf("outcome %v, want %v", got, check.outcome)
			}
			if check.counts {
				want[check.outcome]++
			}
		}
	}
	if c.Stats().Known.Evictions == 0 {
		t.Error("the cache has dropped nothing")
	}
	got := written(t.Context(), recorder, l)
	for o, n := range want {
		of := store.Checks{OrganizationID: 1, KeyID: 1, Outcome: o}
		if got[of] != n {
			t.Errorf("%d checks were counted as %v, want %d", got[of], o, n)
		}
		delete(got, of)
	}
	if len(got) != 0 {
		t.Errorf("there is %v as well", got)
	}
}

// A request that does not count is a use of the key all the same.
func TestAnUncountedUse(t *testing.T) {
	l := &ledger{counts: map[store.Checks]int64{}, used: map[int64]bool{}}
	recorder := usage.NewRecorder(l, slog.New(slog.DiscardHandler))
	s := &tokens{records: map[key.Digest]key.Record{}}
	c := New(Options{Tokens: s, Usage: recorder, Now: time.Now, CacheBytes: 1 << 20, NegativeCacheBytes: 1 << 10})
	text := token.New("ak")
	s.set(text.Digest(), record(9))
	mustCheck(t, c, text.Reveal(), key.Question{Uncounted: true})
	if got := written(t.Context(), recorder, l); len(got) != 0 || !l.used[9] {
		t.Errorf("it counted %v; used are %v", got, l.used)
	}
}
