package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestFloorHandler(t *testing.T) {
	s := httptest.NewServer(floorHandler([]byte(`{"valid":true}`)))
	defer s.Close()
	resp, err := http.Post(s.URL, "application/json", strings.NewReader(`{"key":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != `{"valid":true}` || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %v, %v", body, resp.Header, err)
	}
}

func TestMixHolds(t *testing.T) {
	for _, c := range []struct {
		name    string
		mix     mix
		counted counters
		answers int64
		ok      bool
	}{
		{"all known", mix{}, counters{valid: 10_000}, 9_990, true},
		{"the server did less", mix{}, counters{valid: 9_000}, 9_990, false},
		{"somebody else asked, too", mix{}, counters{valid: 20_000}, 9_990, false},
		{"some were unknown", mix{}, counters{valid: 9_000, notFound: 1_000}, 9_990, false},
		{"some were not in the cache", mix{}, counters{valid: 10_000, misses: 200}, 9_990, false},
		{"one in ten unknown", mix{unknown: 100}, counters{valid: 9_000, notFound: 1_000}, 9_990, true},
		{"none unknown", mix{unknown: 100}, counters{valid: 10_000}, 9_990, false},
		{"each unknown once", mix{unknown: 2_000, once: true}, counters{valid: 9_000, notFound: 1_000, misses: 1_000}, 9_990, true},
		{"unknown came again", mix{unknown: 2_000, once: true}, counters{valid: 9_000, notFound: 1_000, misses: 500}, 9_990, false},
	} {
		if err := c.mix.hold(c.counted, c.answers); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestParseCounters(t *testing.T) {
	const text = `# HELP apikeyd_checks_total Checks.
# TYPE apikeyd_checks_total counter
apikeyd_checks_total{code="NOT_FOUND"} 3
apikeyd_checks_total{code="VALID"} 1.234567e+06
apikeyd_cache_entries{cache="known"} 17
apikeyd_cache_entries{cache="unknown"} 18
apikeyd_cache_misses_total 5
`
	got, err := parseCounters(text)
	if want := (counters{valid: 1234567, notFound: 3, misses: 5, cached: 17}); err != nil || got != want {
		t.Errorf("parseCounters = %+v, %v, want %+v", got, err, want)
	}
	if got := got.since(counters{valid: 1234566, notFound: 1, misses: 5}); got != (counters{valid: 1, notFound: 2, cached: 17}) {
		t.Errorf("since = %+v", got)
	}
	if got, err := parseCounters("apikeyd_cache_misses_total 5\n"); err == nil {
		t.Errorf("parseCounters = %+v", got)
	}
}

func TestFileSystemOf(t *testing.T) {
	const mounts = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /tmp rw shared:2 - tmpfs tmpfs rw
24 22 254:1 / /data rw - xfs /dev/vdb rw
25 24 254:2 / /data rw - btrfs /dev/vdc rw
`
	for dir, want := range map[string]string{"/": "ext4", "/home/x": "ext4", "/tmp": "tmpfs", "/tmp/x": "tmpfs", "/tmpx": "ext4", "/data/x": "btrfs"} {
		if got, err := fileSystemOf(mounts, dir); err != nil || got != want {
			t.Errorf("fileSystemOf(%s) = %s, %v, want %s", dir, got, err, want)
		}
	}
	if got, err := fileSystemOf("", "/"); err == nil {
		t.Errorf("fileSystemOf = %s", got)
	}
}
