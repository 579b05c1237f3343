package telemetry

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/apikeyd/apikeyd/internal/key"
)

// scrape returns the metrics as Prometheus reads them.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	srv := httptest.NewServer(m.Handler(slog.New(slog.DiscardHandler)))
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res.Status, err)
	}
	return string(body)
}

func TestMetrics(t *testing.T) {
	m := NewMetrics(Build{Version: "1.2.3", Commit: "abc", Go: "go1.26"})
	m.Check(key.CheckValid)
	m.Check(key.CheckValid)
	m.Check(key.CheckExpired)
	route := m.Route("verify", "POST /v1/verify")
	route.Observe(200, 60*time.Microsecond)
	route.Observe(200, 20*time.Second)
	route.Observe(503, time.Millisecond)
	route.Observe(0, 0)
	m.Route("verify", "POST /v1/verify").Observe(200, 25*time.Microsecond) // the same series
	m.GaugeFunc("apikeyd_cache_bytes", "x", Labels{"cache": "keys"}, func() float64 { return 7 })
	m.GaugeFunc("apikeyd_cache_bytes", "x", Labels{"cache": "unknown"}, func() float64 { return 8 })
	m.CounterFuncs("apikeyd_waits_total", "Waits by node.", "node", func() map[string]float64 {
		return map[string]float64{"a": 1, "b\xff": 2, "b\xfe": 3} // names that are no text
	})
	m.CounterFunc("apikeyd_commits_total", "x", nil, func() float64 { return 9 })
	size := m.Histogram("apikeyd_commit_changes", "x", []float64{1, 10})
	size(1)
	size(5)

	got := scrape(t, m)
	for _, want := range []string{
		`apikeyd_build_info{commit="abc",goversion="go1.26",version="1.2.3"} 1`,
		`apikeyd_checks_total{code="VALID"} 2`,
		`apikeyd_checks_total{code="EXPIRED"} 1`,
		`apikeyd_checks_total{code="NOT_FOUND"} 0`,
		`apikeyd_checks_total{code="DISABLED"} 0`,
		`apikeyd_checks_total{code="INSUFFICIENT_SCOPE"} 0`,
		`apikeyd_http_requests_total{listener="verify",route="POST /v1/verify",status="200"} 3`,
		`apikeyd_http_requests_total{listener="verify",route="POST /v1/verify",status="503"} 1`,
		`apikeyd_http_requests_total{listener="verify",route="POST /v1/verify",status="other"} 1`,
		`apikeyd_http_request_duration_seconds_bucket{listener="verify",route="POST /v1/verify",le="2.5e-05"} 2`,
		`apikeyd_http_request_duration_seconds_bucket{listener="verify",route="POST /v1/verify",le="0.0001"} 3`,
		`apikeyd_http_request_duration_seconds_bucket{listener="verify",route="POST /v1/verify",le="10"} 4`,
		`apikeyd_http_request_duration_seconds_bucket{listener="verify",route="POST /v1/verify",le="+Inf"} 5`,
		`apikeyd_cache_bytes{cache="keys"} 7`,
		`apikeyd_cache_bytes{cache="unknown"} 8`,
		`apikeyd_commits_total 9`,
		`apikeyd_waits_total{node="a"} 1`,
		"apikeyd_waits_total{node=\"b\uFFFD\"} 5",
		`apikeyd_commit_changes_bucket{le="10"} 2`,
		`apikeyd_commit_changes_sum 6`,
		"go_goroutines ",
		"process_start_time_seconds ",
	} {
		if !strings.Contains(got, want+"\n") && !(strings.HasSuffix(want, " ") && strings.Contains(got, "\n"+want)) {
			t.Errorf("%s is not in the metrics", want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
}

func TestEveryOutcomeIsCounted(t *testing.T) {
	m := NewMetrics(Build{})
	for _, o := range key.Outcomes() {
		m.Check(o)
		if got := testutil.ToFloat64(m.checks[o]); got != 1 {
			t.Errorf("%s: %v", o, got)
		}
	}
}

func TestMisnamedMetricsPanic(t *testing.T) {
	value := func() float64 { return 0 }
	for name, add := range map[string]func(*Metrics){
		"no prefix":                func(m *Metrics) { m.GaugeFunc("cache_bytes", "x", nil, value) },
		"a gauge called _total":    func(m *Metrics) { m.GaugeFunc("apikeyd_x_total", "x", nil, value) },
		"a counter without _total": func(m *Metrics) { m.CounterFunc("apikeyd_x", "x", nil, value) },
		"taken":                    func(m *Metrics) { m.CounterFunc("apikeyd_checks_total", "x", nil, value) },
		"counters, misnamed":       func(m *Metrics) { m.CounterFuncs("apikeyd_x", "x", "y", nil) },
		"a histogram, misnamed":    func(m *Metrics) { m.Histogram("x", "x", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			add(NewMetrics(Build{}))
		})
	}
}

type brokenCollector struct{}

func (brokenCollector) Describe(c chan<- *prometheus.Desc) {
	c <- prometheus.NewDesc("apikeyd_broken", "x", nil, nil)
}
func (brokenCollector) Collect(c chan<- prometheus.Metric) {
	c <- prometheus.NewInvalidMetric(prometheus.NewDesc("apikeyd_broken", "x", nil, nil), errors.New("broken"))
}

// TestAMetricThatFailsHidesNoOther, and is not silent.
func TestAMetricThatFailsHidesNoOther(t *testing.T) {
	m := NewMetrics(Build{})
	m.registry.MustRegister(brokenCollector{})
	var log bytes.Buffer
	h := m.Handler(NewLogger(&log, Text, slog.LevelInfo))
	for range 2 { // the failure of the first is counted in the second
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "apikeyd_checks_total") {
			t.Fatalf("answer = %d %s", w.Code, w.Body)
		}
		if log.Len() == 0 || !strings.Contains(w.Body.String(), "promhttp_metric_handler_errors_total") {
			t.Errorf("log = %q, metrics = %s", &log, w.Body)
		}
	}
}

func TestObservingConcurrently(t *testing.T) {
	m := NewMetrics(Build{})
	route := m.Route("verify", "POST /v1/verify")
	const goroutines, each = 8, 2000
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := range each {
				route.Observe(200+i%5, time.Microsecond)
				m.Check(key.CheckValid)
			}
		})
	}
	for range 10 {
		if _, err := m.registry.Gather(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	sum := 0.0
	for status := range 5 {
		sum += testutil.ToFloat64(*route.byStatus[200+status-minStatus].Load())
	}
	if sum != goroutines*each {
		t.Errorf("%v requests counted", sum)
	}
}

func TestObservingAllocatesNothing(t *testing.T) {
	m := NewMetrics(Build{})
	route := m.Route("verify", "POST /v1/verify")
	if n := testing.AllocsPerRun(1000, func() { route.Observe(200, time.Millisecond); m.Check(key.CheckValid) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestReadBuild(t *testing.T) {
	info := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}}}
	for _, tt := range []struct {
		name            string
		version, commit string
		info            *debug.BuildInfo
		want            [2]string
	}{
		{"a release", "1.0.0", "def", info, [2]string{"1.0.0", "def"}},
		{"go install", "", "", info, [2]string{"v1.2.3", "abc-dirty"}},
		{"go run", "", "", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, [2]string{"devel", "unknown"}},
		{"no information", "", "", nil, [2]string{"devel", "unknown"}},
	} {
		b := readBuild(tt.version, tt.commit, tt.info)
		if got := [2]string{b.Version, b.Commit}; got != tt.want || !strings.HasPrefix(b.Go, "go") {
			t.Errorf("%s: %+v", tt.name, b)
		}
	}
	if b := ReadBuild("9", ""); b.Version != "9" || b.Commit == "" {
		t.Errorf("ReadBuild = %+v", b)
	}
}

func BenchmarkObserve(b *testing.B) {
	m := NewMetrics(Build{})
	route := m.Route("verify", "POST /v1/verify")
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			m.Check(key.CheckValid)
		}
	})
	for _, d := range []time.Duration{20 * time.Microsecond, 80 * time.Microsecond, 3 * time.Second} {
		b.Run("request/"+d.String(), func(b *testing.B) {
			for b.Loop() {
				route.Observe(200, d)
			}
		})
	}
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				route.Observe(200, 80*time.Microsecond)
				m.Check(key.CheckValid)
			}
		})
	})
}
