package telemetry

import (
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/apikeyd/apikeyd/internal/key"
)

// durationBuckets are in seconds. A check from the cache takes tens of microseconds, one that asks the database a few
// hundred; a durable write takes milliseconds; what is beyond ten seconds has timed out somewhere.
var durationBuckets = []float64{
	25e-6, 50e-6, 100e-6, 250e-6, 500e-6,
	1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3,
	1, 2.5, 5, 10,
}

// Metrics are what Prometheus is told about a server. They live in a registry of their own.
//
// No label has a value that a caller could choose: a route is its pattern and never a path, and there is nothing
// about a key, so the number of series is bounded by the program.
type Metrics struct {
	registry  *prometheus.Registry
	checks    []prometheus.Counter // by outcome
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
}

// NewMetrics returns the metrics of a server: checks, requests, the build, the Go runtime and the process.
func NewMetrics(b Build) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apikeyd_http_requests_total",
			Help: "HTTP requests answered, by listener, pattern of the route and status code. Status 5xx is a fault of " +
				"the server; 503 on /v1/verify means that checks could not be decided.",
		}, []string{"listener", "route", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "apikeyd_http_request_duration_seconds",
			Help: "Time from the headers of a request to the end of its answer, in seconds, by listener and pattern of " +
				"the route.",
			Buckets: durationBuckets,
		}, []string{"listener", "route"}),
	}
	checks := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "apikeyd_checks_total",
		Help: "Checks of a token decided, by code: VALID, or why not. Each question of a batch counts. A rise of NOT_FOUND " +
			"is somebody trying out keys, or a service that still uses a deleted one.",
	}, []string{"code"})
	m.registry.MustRegister(checks, m.requests, m.durations,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, o := range key.Outcomes() {
		for len(m.checks) <= int(o) {
			m.checks = append(m.checks, nil)
		}
		m.checks[o] = checks.WithLabelValues(o.String()) // there from the start, at 0
	}
	m.GaugeFunc("apikeyd_build_info", "Always 1; the labels say which build of apikeyd is running.",
		Labels{"version": b.Version, "commit": b.Commit, "goversion": b.Go}, func() float64 { return 1 })
	return m
}

// Check counts a check that came out as o. It allocates nothing.
func (m *Metrics) Check(o key.Outcome) { m.checks[o].Inc() }

// Labels tell the series of one metric apart. Their values must not come from callers of the API.
type Labels = prometheus.Labels

// GaugeFunc adds a metric that goes up and down. Its value is asked for when the metrics are read, from any goroutine.
// The name begins with "apikeyd_" and ends with the unit. It panics on a name that breaks these rules, on one that is
// taken with the same labels, and on labels other than those that the name has already.
func (m *Metrics) GaugeFunc(name, help string, labels Labels, value func() float64) {
	checkName(name, false)
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value))
}

// CounterFunc adds a metric that only rises. It is like GaugeFunc, and the name ends with "_total".
func (m *Metrics) CounterFunc(name, help string, labels Labels, value func() float64) {
	checkName(name, true)
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, value))
}

// CounterFuncs adds a metric that only rises, with a series for each value of a label. How many there are is for the caller to
// bound. The rules for the name are those of CounterFunc.
func (m *Metrics) CounterFuncs(name, help, label string, values func() map[string]float64) {
	checkName(name, true)
	m.registry.MustRegister(series{prometheus.NewDesc(name, help, []string{label}, nil), values})
}

// series are the series of one counter.
type series struct {
	desc   *prometheus.Desc
	values func() map[string]float64
}

// Describe says what is collected.
func (s series) Describe(c chan<- *prometheus.Desc) { c <- s.desc }

// Collect reads the values.
func (s series) Collect(c chan<- prometheus.Metric) {
	byLabel := map[string]float64{}
	for label, value := range s.values() {
		byLabel[strings.ToValidUTF8(label, "\uFFFD")] += value
	}
	for label, value := range byLabel {
		c <- prometheus.MustNewConstMetric(s.desc, prometheus.CounterValue, value, label)
	}
}

// Histogram adds a metric that counts values by size, and returns the function that takes one. buckets are the upper
// bounds, rising; there is one more for what is above the last. The rules for the name are those of GaugeFunc.
func (m *Metrics) Histogram(name, help string, buckets []float64) (observe func(value float64)) {
	checkName(name, false)
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	m.registry.MustRegister(h)
	return h.Observe
}

func checkName(name string, counter bool) {
	if !strings.HasPrefix(name, "apikeyd_") || strings.HasSuffix(name, "_total") != counter {
		panic(fmt.Sprintf("metric %q: a name begins with apikeyd_, and that of a counter alone ends with _total", name))
	}
}

// Handler answers with the metrics in the formats that Prometheus reads. A metric that cannot be read is left out,
// logged and counted in promhttp_metric_handler_errors_total.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:      errorLog{log},
		ErrorHandling: promhttp.ContinueOnError,
		Registry:      m.registry,
	})
}

// errorLog hands errors to a slog.Logger.
type errorLog struct{ log *slog.Logger }

// Println logs the error.
func (l errorLog) Println(v ...any) {
	l.log.Error("metrics cannot be read", "error", strings.TrimSpace(fmt.Sprintln(v...)))
}

// Route counts and times the requests of one route.
type Route struct {
	listener, pattern string
	duration          prometheus.Observer
	requests          *prometheus.CounterVec
	// byStatus holds the counters that were used before, so that a request looks up no labels.
	byStatus [maxStatus - minStatus + 1]atomic.Pointer[prometheus.Counter]
}

// The status codes that are counted apart.
const (
	minStatus = 100
	maxStatus = 599
)

// Route returns what counts the requests of a route on a listener ("management", "verify"). The pattern is that of
// the router, such as "GET /v1/api-keys/{key_id}"; for requests that no route matches, it is one fixed text. Ask
// once for each route, not for each request.
func (m *Metrics) Route(listener, pattern string) *Route {
	return &Route{
		listener: listener,
		pattern:  pattern,
		duration: m.durations.WithLabelValues(listener, pattern),
		requests: m.requests,
	}
}

// Observe counts a request that was answered with this status after this time. It allocates nothing once the status
// has been seen before.
func (r *Route) Observe(status int, took time.Duration) {
	r.duration.Observe(took.Seconds())
	if status < minStatus || status > maxStatus {
		r.requests.WithLabelValues(r.listener, r.pattern, "other").Inc()
		return
	}
	slot := &r.byStatus[status-minStatus]
	counter := slot.Load()
	if counter == nil {
		c := r.requests.WithLabelValues(r.listener, r.pattern, strconv.Itoa(status))
		counter = &c
		slot.Store(counter)
	}
	(*counter).Inc()
}
