package app

import (
	"github.com/apikeyd/apikeyd/internal/telemetry"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// registerMetrics shows what the checker counts. The checker knows nothing of metrics: it is asked when they are read.
func registerMetrics(m *telemetry.Metrics, c *verify.Checker) {
	counter := func(name, help string, value func(verify.Stats) int64) {
		m.CounterFunc(name, help, nil, func() float64 { return float64(value(c.Stats())) })
	}
	counter("apikeyd_cache_hits_total", "Well-formed tokens that were checked without the database.",
		func(s verify.Stats) int64 { return s.Hits })
	counter("apikeyd_cache_misses_total", "Well-formed tokens that had to be looked up in the database.",
		func(s verify.Stats) int64 { return s.Misses })
	counter("apikeyd_lookup_failures_total", "Look-ups that the database could not answer; each is a check answered with 503.",
		func(s verify.Stats) int64 { return s.Failures })

	for _, cache := range []struct {
		name  string
		stats func(verify.Stats) verify.CacheStats
	}{
		{"known", func(s verify.Stats) verify.CacheStats { return s.Known }},
		{"unknown", func(s verify.Stats) verify.CacheStats { return s.Unknown }},
	} {
		labels := telemetry.Labels{"cache": cache.name}
		m.GaugeFunc("apikeyd_cache_entries", "Tokens in the cache: known ones, or well-formed ones that belong to no key.",
			labels, func() float64 { return float64(cache.stats(c.Stats()).Entries) })
		m.GaugeFunc("apikeyd_cache_bytes", "Memory of the cache, as counted against --cache-size and --negative-cache-size.",
			labels, func() float64 { return float64(cache.stats(c.Stats()).Bytes) })
		m.CounterFunc("apikeyd_cache_evictions_total", "Tokens that were dropped from the cache to make room.",
			labels, func() float64 { return float64(cache.stats(c.Stats()).Evictions) })
	}
}
