package app

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/limit"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/telemetry"
)

// limiter counts the requests of keys.
type limiter struct {
	*limit.Limiter
	shared *limit.Valkey // nil: this node counts by itself
}

func newLimiter(c *config.Config, quotas store.Quotas, now func() time.Time, log *slog.Logger) (*limiter, error) {
	l := new(limiter)
	if c.LimitsStore.Enabled() {
		var err error
		if l.shared, err = limit.NewValkey(c.LimitsStore.URL.Reveal(), c.LimitsStore.Password.Reveal(), log); err != nil {
			return nil, fmt.Errorf("--limits-store: %w", err)
		}
	}
	l.Limiter = limit.New(limit.Options{Quotas: quotas, Valkey: l.shared, Closed: c.LimitsFallback == config.FallbackClosed, Now: now, Log: log})
	return l, nil
}

func (l *limiter) close() {
	if l.shared != nil {
		l.shared.Close()
	}
}

// registerLimits shows how counting does.
func registerLimits(m *telemetry.Metrics, l *limit.Limiter) {
	gauge := func(name, help string, value func(limit.Stats) float64) {
		m.GaugeFunc(name, help, nil, func() float64 { return value(l.Stats()) })
	}
	counter := func(name, help string, value func(limit.Stats) int64) {
		m.CounterFunc(name, help, nil, func() float64 { return float64(value(l.Stats())) })
	}
	gauge("apikeyd_limits_store_up", "1 while the server of --limits-store answers; 0: it does not, or there is none.", func(s limit.Stats) float64 {
		if s.Up {
			return 1
		}
		return 0
	})
	counter("apikeyd_limits_fallback_total", "Checks of keys with limits that were counted by this node alone because the server of --limits-store was away.",
		func(s limit.Stats) int64 { return s.Fallbacks })
	gauge("apikeyd_limits_keys", "Keys that this node remembers because it counted requests of theirs against limits.",
		func(s limit.Stats) float64 { return float64(s.Keys) })
	gauge("apikeyd_quota_keys", "Keys of whose quota this node has taken a share.",
		func(s limit.Stats) float64 { return float64(s.Quotas.Keys) })
	counter("apikeyd_quota_takes_total", "How often the database was asked for a share of a quota, or given one back.",
		func(s limit.Stats) int64 { return s.Quotas.Takes })
	counter("apikeyd_quota_failures_total", "How often it could not answer.", func(s limit.Stats) int64 { return s.Quotas.Failures })
	counter("apikeyd_quota_lost_total", "Requests of quotas that may not have been given back because it could not; they count as used until the period ends.",
		func(s limit.Stats) int64 { return s.Quotas.Lost })
}
