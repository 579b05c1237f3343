package limit

import (
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
)

func TestAppendPolicy(t *testing.T) {
	minute := key.Limit{Name: "default", Requests: 100, Window: time.Minute}
	hour := key.Limit{Name: "hour", Requests: key.MaxRequests, Window: time.Hour}
	for _, tt := range []struct {
		name string
		r    *key.Restrictions
		want string
	}{
		{"nil", nil, ``},
		{"none", &key.Restrictions{}, ``},
		{"one", &key.Restrictions{Limits: []key.Limit{minute}}, `"default";q=100;w=60`},
		{"two", &key.Restrictions{Limits: []key.Limit{minute, hour}}, `"default";q=100;w=60, "hour";q=999999999999999;w=3600`},
		{"and a quota", &key.Restrictions{Limits: []key.Limit{minute}, Quota: key.Quota{Requests: 7, Period: key.Day}},
			`"default";q=100;w=60, "quota";q=7;w=86400`},
		{"month", &key.Restrictions{Quota: key.Quota{Requests: 7, Period: key.Month}}, `"quota";q=7;w=2678400`},
		{"for ever", &key.Restrictions{Quota: key.Quota{Requests: 7}}, `"quota";q=7`},
	} {
		if got := string(AppendPolicy(nil, tt.r)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if got, want := string(AppendPolicy([]byte("before: "), tt.r)), "before: "+tt.want; got != want {
			t.Errorf("%s: %s, want %s", tt.name, got, want)
		}
	}
}

func TestAppendState(t *testing.T) {
	for _, tt := range []struct {
		name string
		a    key.Allowance
		want string
	}{
		{"without limits", key.Allowance{}, ``},
		{"usual", key.Allowance{Name: "default", Requests: 100, Remaining: 50, Reset: 30 * time.Second}, `"default";r=50;t=30`},
		{"rounded up", key.Allowance{Name: "default", Requests: 100, Remaining: 99, Reset: 1}, `"default";r=99;t=1`},
		{"full", key.Allowance{Name: "a.b-c_1", Requests: 100, Remaining: 100}, `"a.b-c_1";r=100;t=0`},
		{"never", key.Allowance{Name: key.QuotaName, Requests: 1, Reset: -1}, `"quota";r=0`},
	} {
		if got := string(AppendState(nil, tt.a)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		retry time.Duration
		want  int64
		ok    bool
	}{
		{-1, 0, false},
		{0, 1, true},
		{1, 1, true},
		{time.Second, 1, true},
		{time.Second + 1, 2, true},
		{key.MaxWindow, 365 * 24 * 3600, true},
	} {
		if got, ok := RetryAfter(key.Allowance{Retry: tt.retry}); got != tt.want || ok != tt.ok {
			t.Errorf("%v: %d, %v, want %d, %v", tt.retry, got, ok, tt.want, tt.ok)
		}
	}
}

func TestHeadersAllocateNothing(t *testing.T) {
	r := &key.Restrictions{Limits: []key.Limit{{Name: "default", Requests: 100, Window: time.Minute}}, Quota: key.Quota{Requests: 9}}
	a := key.Allowance{Name: "default", Requests: 100, Remaining: 50, Reset: 30 * time.Second}
	b := make([]byte, 0, 200)
	if n := testing.AllocsPerRun(100, func() { b = AppendState(AppendPolicy(b[:0], r), a) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
