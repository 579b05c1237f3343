package httpapi

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

func TestUsage(t *testing.T) {
	k := newKit(t, nil)
	at := time.Now().UTC().Truncate(time.Hour).Add(-2 * time.Hour)
	_, err := k.store.Update(t.Context(), func(tx store.Tx) error {
		return tx.AddUsage(t.Context(), []store.Checks{
			{OrganizationID: 1, KeyID: 1, At: at, Outcome: key.CheckValid, Count: 1 << 40},
			{OrganizationID: 1, KeyID: 1, At: at, Outcome: key.CheckQuotaExceeded, Count: 2},
			{OrganizationID: 1, KeyID: 1, At: at, Outcome: key.CheckDisabled, Count: 1},
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	hour := func(n int) string { return at.Add(time.Duration(n) * time.Hour).Format("2006-01-02T15:04:05.000Z") }
	counts := `"allowed":1099511627776,"refused":{"DISABLED":1,"QUOTA_EXCEEDED":2}`
	for _, path := range []string{"/v1/api-keys/1/usage", "/v1/organizations/1/usage"} {
		r := k.call("GET", fmt.Sprintf("%s?from=%s&to=%s", path, hour(0), hour(2)), "").ok(http.StatusOK)
		if want := fmt.Sprintf(`{"from":%q,"to":%q,"by":"hour","total":{%s},"buckets":[{"start":%q,%s},{"start":%q,"allowed":0,"refused":{}}]}`+"\n",
			hour(0), hour(2), counts, hour(0), counts, hour(1)); r.body != want {
			t.Errorf("%s answers %s, want %s", path, r.body, want)
		}
		var day, usual api.Usage
		k.call("GET", path+"?by=day", "").ok(http.StatusOK).read(&day)
		k.call("GET", path, "").ok(http.StatusOK).read(&usual)
		if day.By != api.UsageByDay || len(day.Buckets) != 30 || day.Total.Allowed != 1<<40 || usual.By != api.UsageByHour || len(usual.Buckets) != 24 {
			t.Errorf("by day %+v, otherwise %+v", day, usual)
		}
		for query, pointer := range map[string]string{
			"?by=week": "/by", "?by=": "/by", "?from=yesterday": "/from", "?to=2026-11-22": "/to", "?from=" + hour(1) + "&to=" + hour(1): "/from",
			"?from=2001-01-01T00:00:00Z": "/from", "?to=2001-01-01T00:00:00Z": "/to", "?from=" + hour(0) + "&to=9999-12-31T23:59:59Z": "/to",
		} {
			e := k.call("GET", path+query, "").problem(api.CodeInvalid)
			if len(e.Errors) != 1 || e.Errors[0].Pointer != pointer {
				t.Errorf("%s: %+v, want a fault at %s", query, e.Errors, pointer)
			}
		}
	}
}
