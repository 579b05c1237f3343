package limit

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

func newLimiter(l *ledger) *Limiter {
	return New(Options{Quotas: l, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
}

// Limits are looked at before the quota, and what is told is that of the one that is nearer to being used up.
func TestLimitsAndQuota(t *testing.T) {
	ledger := newLedger(1)
	l := newLimiter(ledger)
	now := time.Now()
	r := &key.Restrictions{Limits: limits(key.Limit{Name: "default", Requests: 4, Window: time.Hour}), Quota: key.Quota{Requests: 6}}
	take := func(o key.Outcome, name string, remaining int64) {
		t.Helper()
		got, a, err := l.Take(t.Context(), 1, r, now)
		if err != nil || got != o || a.Name != name || a.Remaining != remaining {
			t.Errorf("%v, %+v, %v; want %v, %d of %s", got, a, err, o, remaining, name)
		}
	}
	take(key.CheckValid, "default", 3)
	take(key.CheckValid, "default", 2)
	take(key.CheckValid, "default", 1)
	take(key.CheckValid, "default", 0)
	for range 20 {
		take(key.CheckRateLimited, "default", 0)
	}
	if ledger.used(1) != 4 {
		t.Errorf("%d of the quota are used, want 4", ledger.used(1))
	}
	now = now.Add(time.Hour)
	take(key.CheckValid, "quota", 1)
	take(key.CheckValid, "quota", 0)
	take(key.CheckQuotaExceeded, "quota", 0)
	take(key.CheckQuotaExceeded, "quota", 0)
	take(key.CheckRateLimited, "default", 0) // what the quota refuses is counted against the limits
}

func TestAKeyWithoutOneOfThem(t *testing.T) {
	l := newLimiter(newLedger(1))
	if o, a, err := l.Take(t.Context(), 1, &key.Restrictions{Quota: key.Quota{Requests: 1}}, time.Now()); o != key.CheckValid || a.Name != "quota" || err != nil {
		t.Errorf("%v, %+v, %v", o, a, err)
	}
	if o, a, err := l.Take(t.Context(), 1, &key.Restrictions{Limits: limits(perMinute(2))}, time.Now()); o != key.CheckValid || a.Name != "default" || err != nil {
		t.Errorf("%v, %+v, %v", o, a, err)
	}
	if o, a, err := l.Take(t.Context(), 2, &key.Restrictions{Quota: key.Quota{Requests: 1}}, time.Now()); o != key.CheckNotFound || a != (key.Allowance{}) || err != nil {
		t.Errorf("a key that is gone: %v, %+v, %v", o, a, err)
	}
	away := newLedger(1)
	away.fail(errAway, nil)
	if _, _, err := newLimiter(away).Take(t.Context(), 1, &key.Restrictions{Quota: key.Quota{Requests: 1}}, time.Now()); !errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
}

func TestNearer(t *testing.T) {
	a := func(remaining, requests int64, reset time.Duration) key.Allowance {
		return key.Allowance{Remaining: remaining, Requests: requests, Reset: reset}
	}
	for _, tt := range []struct {
		a, b key.Allowance
		want bool
	}{
		{a(1, 10, 0), a(2, 10, 0), true},
		{a(5, 10, 0), a(6, 100, 0), false},
		{a(0, 10, 2), a(0, 100, 1), true},
		{a(0, 10, 1), a(0, 100, 1), false},
		{a(0, 10, -1), a(0, 100, key.MaxWindow), true},
		{a(0, 10, key.MaxWindow), a(0, 100, -1), false},
		{a(key.MaxRequests-1, key.MaxRequests, 0), a(key.MaxRequests, key.MaxRequests, 0), true},
		{a(key.MaxRequests/2-1, key.MaxRequests, 0), a(1, 2, 0), true},
	} {
		if got := nearer(tt.a, tt.b); got != tt.want {
			t.Errorf("%+v is nearer than %+v: %v", tt.a, tt.b, got)
		}
	}
}
