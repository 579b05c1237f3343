package console

import (
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
)

func TestChart(t *testing.T) {
	start := time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	counts := func(valid, disabled, limited int64) (c admin.Counts) {
		c[key.CheckValid], c[key.CheckDisabled], c[key.CheckRateLimited] = valid, disabled, limited
		return c
	}
	u := admin.Usage{Total: counts(1_000_001, 2, 500_000)}
	for i, c := range []admin.Counts{counts(0, 0, 0), counts(1_000_000, 0, 0), counts(1, 2, 500_000)} {
		u.Buckets = append(u.Buckets, admin.Bucket{Start: start.Add(time.Duration(i) * time.Hour), Counts: c})
	}
	ch := newChart(u, "/here")
	if ch.Empty || ch.Allowed != "1,000,001" || ch.Refused != "500,002" || ch.Most != "1,000,000" || len(ch.Reasons) != 2 || len(ch.Bars) != 3 {
		t.Errorf("%+v", ch)
	}
	if none := ch.Bars[0]; none.AllowedH != 0 || none.RefusedH != 0 {
		t.Errorf("nothing is drawn as %+v", none)
	}
	for i, b := range ch.Bars {
		if b.X < i*barSlot || b.RefusedY < 0 || b.AllowedY+b.AllowedH != barHeight || b.RefusedY+b.RefusedH != b.AllowedY {
			t.Errorf("bar %d is at %+v", i, b)
		}
	}
	last := ch.Bars[2]
	if last.AllowedH < 1 || last.RefusedH < 40 || last.RefusedH > 60 || last.Reasons[0] != "2" || last.Reasons[1] != "500,000" || last.Refused != "500,002" {
		t.Errorf("%+v", last)
	}
	if !newChart(admin.Usage{Buckets: u.Buckets[:1]}, "/here").Empty {
		t.Error("no checks are no empty chart")
	}
	for _, o := range key.Outcomes() {
		if _, named := reasonTexts[o]; !named && o != key.CheckValid && o != key.CheckNotFound {
			t.Errorf("%s has no name", o)
		}
	}
}
