package console

import (
	"net/http"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
)

// pageUsage is the template of this page.
const pageUsage = "usage"

const usagePattern = organizationsPath + "/{organization_id}/usage"

// usagePages are those of how the keys of an organization are used.
func (c *Console) usagePages() []Page {
	return []Page{c.page(http.MethodGet, usagePattern, c.signedIn(c.usage))}
}

// usagePage is what the page says.
type usagePage struct {
	Organization string
	All          bool // everybody's keys, and not the reader's alone
	Chart        chart
}

// usage shows how the keys of an organization are used.
func (c *Console) usage(v *visit) error {
	id, err := v.id("organization_id")
	if err != nil {
		return err
	}
	o, err := c.lookAt(v, id)
	if err != nil {
		return err
	}
	used, err := c.Admin.OrganizationUsage(v.r.Context(), v.caller, id, v.usageRange())
	if err != nil {
		return err
	}
	p := usagePage{Organization: o.name, All: o.manages, Chart: newChart(used, sectionUsage.path(id))}
	return c.show(v, http.StatusOK, pageUsage, frame{Title: "Usage", Section: sectionUsage, Organization: id, Main: p})
}

// usageRange is the time of which the reader wants to see the usage: the last hours, or the last days.
func (v *visit) usageRange() admin.UsageRange {
	return admin.UsageRange{ByDay: v.r.URL.Query().Get("by") == "day"}
}

// chart is usage as a picture and as a table.
type chart struct {
	Ranges           []link
	Empty            bool
	Allowed, Refused string // in all
	Most             string // what the height of the picture stands for
	Width            int    // of the picture, in the units of its bars
	Bars             []chartBar
	Reasons          []string // those there were, of refusals
	ByDay            bool
	From, To         time.Time // when the first bar begins, and the last
}

// chartBar is one hour or day.
type chartBar struct {
	At                 time.Time
	Day                string // of a chart by days, which are those of UTC
	Allowed, Refused   string
	Reasons            []string // how many there were of each of the chart's reasons
	X                  int
	AllowedY, AllowedH float64
	RefusedY, RefusedH float64
}

// Sizes in the picture. It is stretched to its place.
const (
	barSlot    = 10 // how wide an hour or day is
	barHeight  = 100.0
	leastShown = 1.5 // height of a bar for anything at all
)

// reasonTexts say why checks are refused.
var reasonTexts = map[key.Outcome]string{
	key.CheckDisabled: "disabled", key.CheckExpired: "expired", key.CheckInsufficientScope: "scope lacking", key.CheckIPNotAllowed: "wrong address",
	key.CheckRateLimited: "over a limit", key.CheckQuotaExceeded: "over the quota",
}

// newChart draws usage. path is the address of the page it is on.
func newChart(u admin.Usage, path string) chart {
	ch := chart{ByDay: u.ByDay, Width: barSlot * len(u.Buckets),
		Ranges: []link{{"Last 24 hours", path, !u.ByDay}, {"Last 30 days", path + "?by=day", u.ByDay}}}
	var reasons []key.Outcome
	for _, o := range key.Outcomes() {
		if o != key.CheckValid && u.Total[o] > 0 {
			reasons = append(reasons, o)
			ch.Reasons = append(ch.Reasons, reasonTexts[o])
		}
	}
	most := int64(1)
	for _, b := range u.Buckets {
		most = max(most, allowed(b.Counts)+refused(b.Counts))
	}
	for i, b := range u.Buckets {
		ch.Bars = append(ch.Bars, newBar(b, i, most, reasons))
	}
	ch.Allowed, ch.Refused, ch.Most = count(allowed(u.Total)), count(refused(u.Total)), count(most)
	ch.Empty = allowed(u.Total)+refused(u.Total) == 0
	if n := len(u.Buckets); n > 0 {
		ch.From, ch.To = u.Buckets[0].Start, u.Buckets[n-1].Start
	}
	return ch
}

func newBar(b admin.Bucket, i int, most int64, reasons []key.Outcome) chartBar {
	bar := chartBar{At: b.Start, Day: b.Start.Format("2 Jan 2006"), Allowed: count(allowed(b.Counts)), Refused: count(refused(b.Counts)), X: i*barSlot + 1,
		AllowedH: heightOf(allowed(b.Counts), most), RefusedH: heightOf(refused(b.Counts), most)}
	bar.AllowedY = barHeight - bar.AllowedH
	bar.RefusedY = bar.AllowedY - bar.RefusedH
	for _, o := range reasons {
		bar.Reasons = append(bar.Reasons, count(b.Counts[o]))
	}
	return bar
}

// heightOf returns how high a bar is, in a picture that has room for the least that is shown of two bars above each other.
func heightOf(n, most int64) float64 {
	if n == 0 {
		return 0
	}
	return leastShown + float64(n)/float64(most)*(barHeight-2*leastShown)
}

func allowed(c admin.Counts) int64 { return c[key.CheckValid] }

func refused(c admin.Counts) (n int64) {
	for o, checks := range c {
		if key.Outcome(o) != key.CheckValid {
			n += checks
		}
	}
	return n
}
