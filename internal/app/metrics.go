package app

import (
	"github.com/apikeyd/apikeyd/internal/cluster"
	"github.com/apikeyd/apikeyd/internal/subscribe"
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
	counter("apikeyd_stale_answers_total", "Checks answered from memory although the lease had ended, because of --stale-if-error.",
		func(s verify.Stats) int64 { return s.Stale })
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

// registerNode shows how the node does among the others.
func registerNode(m *telemetry.Metrics, n *cluster.Node, l *cluster.Lease, stale *cluster.Staleness) {
	gauge := func(name, help string, value func() float64) { m.GaugeFunc(name, help, nil, value) }
	counter := func(name, help string, value func(cluster.Stats) float64) {
		m.CounterFunc(name, help, nil, func() float64 { return value(n.Stats()) })
	}
	gauge("apikeyd_lease_seconds", "How long the node may still answer from memory without word from the database; 0: not now.",
		func() float64 { return l.Left().Seconds() })
	gauge("apikeyd_applied_change", "The number of the last change that this node has applied; compare with other nodes.",
		func() float64 { return float64(n.Stats().Applied) })
	gauge("apikeyd_changes_behind", "How many changes this node has heard of and not applied yet.", func() float64 {
		s := n.Stats()
		return float64(max(0, s.Last-s.Applied))
	})
	gauge("apikeyd_stale_answers_in_force", "1 while checks are answered from memory although the lease has ended, because of --stale-if-error; else 0.",
		func() float64 {
			if stale.InForce() {
				return 1
			}
			return 0
		})
	counter("apikeyd_lease_renewals_total", "Renewals of the lease.", func(s cluster.Stats) float64 { return float64(s.Renewals) })
	counter("apikeyd_lease_failures_total", "Attempts to renew the lease that failed.", func(s cluster.Stats) float64 { return float64(s.Failures) })
	counter("apikeyd_cache_forgotten_total", "How often the whole cache was forgotten, because changes might have been missed.",
		func(s cluster.Stats) float64 { return float64(s.Forgotten) })
	counter("apikeyd_change_waits_total", "Changes that waited for other nodes.", func(s cluster.Stats) float64 { return float64(s.Waits) })
	counter("apikeyd_change_wait_seconds_total", "How long they waited, all together.", func(s cluster.Stats) float64 { return s.Waited.Seconds() })
	counter("apikeyd_change_expiries_total", "Changes that waited for the lease of another node to end.",
		func(s cluster.Stats) float64 { return float64(s.Expiries) })

	byNode := func(name, help string, value func(cluster.Awaited) float64) {
		m.CounterFuncs(name, help, "node", func() map[string]float64 {
			values := map[string]float64{}
			for name, a := range n.Stats().Awaited {
				values[name] = value(a)
			}
			return values
		})
	}
	byNode("apikeyd_node_awaited_total", "Changes of this node that waited for another one, by its name; the first 64 names are told apart.",
		func(a cluster.Awaited) float64 { return float64(a.Changes) })
	byNode("apikeyd_node_awaited_seconds_total", "How long changes of this node waited for another one, all together, by its name.",
		func(a cluster.Awaited) float64 { return a.Waited.Seconds() })
	byNode("apikeyd_node_awaited_expiries_total", "Changes of this node that waited until the lease of another one had ended, by its name.",
		func(a cluster.Awaited) float64 { return float64(a.Expiries) })
}

// registerHub shows what the subscribers are up to.
func registerHub(m *telemetry.Metrics, h *subscribe.Hub) {
	counter := func(name, help string, value func(subscribe.Stats) float64) {
		m.CounterFunc(name, help, nil, func() float64 { return value(h.Stats()) })
	}
	m.GaugeFunc("apikeyd_subscribers", "Programs that check keys from their own memory, under a lease of this node.", nil,
		func() float64 { return float64(h.Stats().Subscribers) })
	counter("apikeyd_subscriber_invalidations_total", "Changed tokens that subscribers were told of, each subscriber counted.",
		func(s subscribe.Stats) float64 { return float64(s.Invalidations) })
	counter("apikeyd_subscriber_waits_total", "Changes that waited for subscribers.",
		func(s subscribe.Stats) float64 { return float64(s.Waits) })
	counter("apikeyd_subscriber_wait_seconds_total", "How long they waited, all together.",
		func(s subscribe.Stats) float64 { return s.Waited.Seconds() })
	counter("apikeyd_subscriber_expiries_total", "Changes that waited for the lease of a subscriber to end.",
		func(s subscribe.Stats) float64 { return float64(s.Expiries) })
}
