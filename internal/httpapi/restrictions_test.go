package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// restrictionsIn returns what an answer says of a key's restrictions.
func restrictionsIn(t *testing.T, r reply) string {
	t.Helper()
	begin := strings.Index(r.body, `"limits":`)
	end := strings.Index(r.body, `,"key":`)
	if end < 0 {
		end = strings.LastIndex(r.body, "}")
	}
	if begin < 0 || end < begin {
		t.Fatalf("no restrictions in %s", r.body)
	}
	return r.body[begin:end]
}

func TestRestrictionsOfAKey(t *testing.T) {
	k := newKit(t, nil)
	const all = `"limits":[{"name":"default","requests":100,"window_seconds":60},{"name":"hour","requests":1000,"window_seconds":3600}],` +
		`"quota":{"requests":1000000,"period":"month","remaining":1000000},"allowed_cidrs":["10.0.0.0/8","203.0.113.9/32","2001:db8::/32"]`
	r := k.call("POST", "/v1/api-keys", with(`"limits":[{"requests":100,"window_seconds":60},{"name":"hour","window_seconds":3600,"requests":1000}],
		"quota":{"period":"month","requests":1000000},"allowed_cidrs":["2001:DB8::/32","203.0.113.9","::ffff:10.0.0.0/104","203.0.113.9/32"]`)).ok(http.StatusCreated)
	if got := restrictionsIn(t, r); got != all {
		t.Errorf("created with\n%s\nwant\n%s", got, all)
	}
	path := r.header.Get("Location")
	for _, step := range []struct{ patch, want string }{
		{`{}`, all},
		{`{"key_name":"b"}`, all},
		{`{"limits":[{"name":"x","requests":1,"window_seconds":1}],"quota":{"requests":5}}`,
			`"limits":[{"name":"x","requests":1,"window_seconds":1}],"quota":{"requests":5,"period":"month","remaining":5},"allowed_cidrs":["10.0.0.0/8","203.0.113.9/32","2001:db8::/32"]`},
		{`{"allowed_cidrs":["::/0"],"quota":{"period":"day"}}`,
			`"limits":[{"name":"x","requests":1,"window_seconds":1}],"quota":{"requests":5,"period":"day","remaining":5},"allowed_cidrs":["::/0"]`},
		{`{"allowed_cidrs":[],"limits":[],"quota":{"period":null}}`,
			`"limits":[],"quota":{"requests":5,"period":null,"remaining":5},"allowed_cidrs":[]`},
		{`{"quota":{}}`, `"limits":[],"quota":{"requests":5,"period":null,"remaining":5},"allowed_cidrs":[]`},
		{`{"quota":null}`, `"limits":[],"quota":null,"allowed_cidrs":[]`},
		{`{"quota":null}`, `"limits":[],"quota":null,"allowed_cidrs":[]`},
		{`{"quota":{"requests":7,"period":"day"}}`, `"limits":[],"quota":{"requests":7,"period":"day","remaining":7},"allowed_cidrs":[]`},
	} {
		if got := restrictionsIn(t, k.call("PATCH", path, step.patch).ok(http.StatusOK)); got != step.want {
			t.Errorf("%s makes\n%s\nwant\n%s", step.patch, got, step.want)
		}
		if got := restrictionsIn(t, k.call("GET", path, "").ok(http.StatusOK)); got != step.want {
			t.Errorf("after %s it has\n%s\nwant\n%s", step.patch, got, step.want)
		}
	}
}

// What is left of a quota is what nodes have not taken of it, and all of it in a new period.
func TestRemainingOfAQuota(t *testing.T) {
	k := newKit(t, nil)
	tomorrow := key.Day.Start(time.Now()).AddDate(0, 0, 1)
	k.ahead.Store(int64(time.Until(tomorrow.Add(12 * time.Hour)))) // no day ends while the test runs
	created := k.create(with(`"quota":{"requests":100,"period":"day"}`))
	quota := key.Quota{Requests: 100, Period: key.Day}
	_, err := k.store.TakeQuota(t.Context(), store.QuotaTake{KeyID: created.KeyID, Quota: quota, PeriodStart: tomorrow, Want: 30})
	if err != nil {
		t.Fatal(err)
	}
	remaining := func() (got []int64) {
		var one api.Key
		var all []api.Key
		k.call("GET", fmt.Sprintf("/v1/api-keys/%d", created.KeyID), "").ok(http.StatusOK).read(&one)
		k.call("GET", "/v1/api-keys?limit=1", "").ok(http.StatusOK).read(&all)
		return []int64{one.Quota.Remaining, all[0].Quota.Remaining}
	}
	if got := remaining(); fmt.Sprint(got) != "[70 70]" {
		t.Errorf("remaining %v, want 70", got)
	}
	path := fmt.Sprintf("/v1/api-keys/%d", created.KeyID)
	k.call("PATCH", path, `{"quota":null}`).ok(http.StatusOK)
	var again api.Key
	k.call("PATCH", path, `{"quota":{"requests":100,"period":"day"}}`).ok(http.StatusOK).read(&again)
	if got := remaining(); again.Quota.Remaining != 70 || got[0] != 70 {
		t.Errorf("given again, the quota has %d left, and then %v, want 70", again.Quota.Remaining, got)
	}
	k.ahead.Add(int64(24 * time.Hour))
	if got := remaining(); fmt.Sprint(got) != "[100 100]" {
		t.Errorf("in another period %v remain, want 100", got)
	}
}

func TestChecksFromAddresses(t *testing.T) {
	k := newKit(t, nil)
	created := k.create(with(`"allowed_cidrs":["203.0.113.0/24","2001:db8::/32"]`))
	path := fmt.Sprintf("/v1/api-keys/%d", created.KeyID)
	for ip, want := range map[string]api.VerifyCode{
		`"203.0.113.9"`:                api.VerifyValid,
		`"::ffff:203.0.113.9"`:         api.VerifyValid,
		`"::ffff:cb00:7109"`:           api.VerifyValid,
		`"2001:DB8:0:0::1"`:            api.VerifyValid,
		`"203.0.114.9"`:                api.VerifyIPNotAllowed,
		`"::203.0.113.9"`:              api.VerifyIPNotAllowed,
		`"2001:db9::1"`:                api.VerifyIPNotAllowed,
		`"\u0032\u0030\u0031.0.113.9"`: api.VerifyIPNotAllowed,
		`"\u00320\u0033.0.113.9"`:      api.VerifyValid, // left to the strict decoder
	} {
		question := fmt.Sprintf(`{"key":%q,"ip":%s}`, created.Token, ip)
		r := k.ask("POST", "/v1/verify", question).ok(http.StatusOK)
		b := k.ask("POST", "/v1/verify/batch", `{"requests":[`+question+`]}`).ok(http.StatusOK)
		var v api.Verification
		if r.read(&v); v.Code != want || v.Valid != (want == api.VerifyValid) || v.KeyID != created.KeyID || !strings.Contains(b.body, `"`+string(want)+`"`) {
			t.Errorf("from %s: %s, in a batch %s, want %s", ip, r.body, b.body, want)
		}
	}
	if got := k.verifies(created.Token); got != api.VerifyIPNotAllowed {
		t.Errorf("from an address that is not known: %s", got)
	}
	insufficient := k.ask("POST", "/v1/verify", fmt.Sprintf(`{"key":%q,"scope":"DELETE"}`, created.Token)).ok(http.StatusOK)
	if !strings.Contains(insufficient.body, `"INSUFFICIENT_SCOPE"`) {
		t.Errorf("the scope goes before the address: %s", insufficient.body)
	}
	k.call("PATCH", path, `{"allowed_cidrs":[]}`).ok(http.StatusOK)
	if got := k.verifies(created.Token); got != api.VerifyValid {
		t.Errorf("without the list: %s", got)
	}
}

// The management API holds callers to the allow-list of their key, by the address that trusted proxies tell.
func TestCallersFromAddresses(t *testing.T) {
	k := newKit(t, func(o *Options) {
		o.Client = browser.Client{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	})
	created := k.create(`{"key_name":"a","key_scope":["READ"],"organization_id":1,"allowed_cidrs":["203.0.113.0/24"]}`)
	from := func(header string) reply {
		return k.send(k.management.URL, "GET", "/v1/me", "", []string{"X-API-Key: " + created.Token, header})
	}
	from("X-Forwarded-For: 198.51.100.1, 203.0.113.9").ok(http.StatusOK)
	from("X-Forwarded-For: ::ffff:203.0.113.9").ok(http.StatusOK)
	from("X-Forwarded-For: 203.0.113.9, 198.51.100.1").problem(api.CodeForbidden)
	from("X-Forwarded-For:").problem(api.CodeForbidden) // from 127.0.0.1
	k.call("PATCH", fmt.Sprintf("/v1/api-keys/%d", created.KeyID), `{"allowed_cidrs":["127.0.0.0/8"]}`).ok(http.StatusOK)
	from("X-Forwarded-For:").ok(http.StatusOK)
	from("X-Forwarded-For: 203.0.113.9").problem(api.CodeForbidden)
}

// limiter gives the answer that it was told to; without one every request is within its limits.
type limiter struct {
	mu        sync.Mutex
	outcome   key.Outcome
	allowance key.Allowance
	err       error
	taken     int
}

func (l *limiter) Take(context.Context, int64, *key.Restrictions, time.Time) (key.Outcome, key.Allowance, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken++
	return l.outcome, l.allowance, l.err
}

func (l *limiter) answer(o key.Outcome, a key.Allowance, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outcome, l.allowance, l.err = o, a, err
}

func (l *limiter) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.taken
}

// What is left of limits stands in the answer to a check.
func TestRateLimitInAnswers(t *testing.T) {
	k := newKit(t, nil)
	created := k.create(with(`"limits":[{"requests":100,"window_seconds":60}],"quota":{"requests":5}`))
	question := fmt.Sprintf(`{"key":%q}`, created.Token)
	for _, c := range []struct {
		outcome   key.Outcome
		allowance key.Allowance
		begin     string
		end       string
	}{
		{key.CheckValid, key.Allowance{Name: "default", Requests: 100, Remaining: 99, Reset: 600 * time.Millisecond}, `{"valid":true,"code":"VALID","key_id":`,
			`"metadata":{},"ratelimit":{"limit":100,"remaining":99,"reset_seconds":1,"name":"default","policy":"\"default\";q=100;w=60, \"quota\";q=5"}}`},
		{key.CheckValid, key.Allowance{Name: "default", Requests: 100, Remaining: 100}, `{"valid":true,"code":"VALID","key_id":`,
			`"metadata":{},"ratelimit":{"limit":100,"remaining":100,"reset_seconds":0,"name":"default","policy":"\"default\";q=100;w=60, \"quota\";q=5"}}`},
		{key.CheckValid, key.Allowance{}, `{"valid":true,"code":"VALID","key_id":`, `"metadata":{}}`},
		{key.CheckRateLimited, key.Allowance{Name: "default", Requests: 100, Reset: time.Minute}, `{"valid":false,"code":"RATE_LIMITED","key_id":`,
			`"metadata":{},"ratelimit":{"limit":100,"remaining":0,"reset_seconds":60,"name":"default","policy":"\"default\";q=100;w=60, \"quota\";q=5"}}`},
		{key.CheckQuotaExceeded, key.Allowance{Name: key.QuotaName, Requests: key.MaxRequests, Reset: -1}, `{"valid":false,"code":"QUOTA_EXCEEDED","key_id":`,
			`"metadata":{},"ratelimit":{"limit":999999999999999,"remaining":0,"reset_seconds":null,"name":"quota","policy":"\"default\";q=100;w=60, \"quota\";q=5"}}`},
	} {
		k.limiter.answer(c.outcome, c.allowance, nil)
		r := k.ask("POST", "/v1/verify", question).ok(http.StatusOK)
		if !strings.HasPrefix(r.body, c.begin) || !strings.HasSuffix(r.body, c.end+"\n") {
			t.Errorf("answer %swant   %s…%s", r.body, c.begin, c.end)
		}
		if b := k.ask("POST", "/v1/verify/batch", `{"requests":[`+question+`]}`); b.body != `{"results":[`+strings.TrimSuffix(r.body, "\n")+"]}\n" {
			t.Errorf("in a batch %s", b.body)
		}
	}
	k.limiter.answer(key.CheckValid, key.Allowance{}, store.ErrUnavailable)
	k.ask("POST", "/v1/verify", question).problem(api.CodeUnavailable)
	// Of a batch, it is said what was counted in vain.
	for questions, want := range map[string]string{
		question:                              "the key cannot be checked just now; try again",
		`{"key":"x"},` + question:             "requests/1 cannot be checked just now; try again: those before it have no answer either, and those of limited keys were counted",
		`{"key":"x"},{"key":"x"},` + question: "requests/2 cannot",
	} {
		if r := k.ask("POST", "/v1/verify/batch", `{"requests":[`+questions+`]}`); !strings.Contains(r.problem(api.CodeUnavailable).Detail, want) {
			t.Errorf("batch: %s", r.body)
		}
	}
}

// Requests to the management API, and those that are refused before, are not counted.
func TestWhatIsCounted(t *testing.T) {
	k := newKit(t, nil)
	created := k.create(with(`"limits":[{"requests":100,"window_seconds":60}],"allowed_cidrs":["127.0.0.0/8"]`))
	k.limiter.answer(key.CheckRateLimited, key.Allowance{Requests: 100}, nil)
	k.send(k.management.URL, "GET", "/v1/me", "", []string{"X-API-Key: " + created.Token}).ok(http.StatusOK)
	for _, question := range []string{`{"key":%q}`, `{"key":%q,"ip":"127.0.0.1","scope":"DELETE"}`, `{"key":%q,"ip":"127.0.0.1","organization_id":7}`} {
		k.ask("POST", "/v1/verify", fmt.Sprintf(question, created.Token)).ok(http.StatusOK)
	}
	if n := k.limiter.count(); n != 0 {
		t.Errorf("%d requests were counted", n)
	}
	k.ask("POST", "/v1/verify", fmt.Sprintf(`{"key":%q,"ip":"127.0.0.1"}`, created.Token)).ok(http.StatusOK)
	if n := k.limiter.count(); n != 1 {
		t.Errorf("%d requests were counted, want 1", n)
	}
	if got := k.verifies(k.token); got != api.VerifyValid {
		t.Errorf("a key without limits: %s", got)
	}
}
