package httpapi

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/key"
)

// array reads the items of an array of at most so many. Those behind are not looked at.
func (v value) array(most int) (items []value) {
	if v.raw.Kind() != '[' {
		v.want("an array")
		return nil
	}
	n := 0
	for _, item := range v.items() {
		if n++; n <= most {
			items = append(items, item)
		}
	}
	if n > most {
		v.fault(fmt.Sprintf("must have at most %d items, not %d", most, n))
	}
	return items
}

// limitShape is one of a key's limits.
var limitShape = shape[key.Limit]{
	{name: "name", read: func(l *key.Limit, v value) { l.Name, _ = v.string() }},
	{name: "requests", required: true, read: func(l *key.Limit, v value) { l.Requests, _ = v.requests() }},
	{name: "window_seconds", required: true, read: func(l *key.Limit, v value) {
		seconds, _ := v.integer(1, int64(key.MaxWindow/time.Second))
		l.Window = time.Duration(seconds) * time.Second
	}},
}

// limits reads an array of limits; what is wrong with one is said of it.
func (v value) limits() []key.Limit {
	items := v.array(key.MaxLimits)
	limits := make([]key.Limit, len(items))
	for i, item := range items {
		limits[i].Name = key.DefaultLimitName
		limitShape.read(&limits[i], item)
	}
	return limits
}

// requests reads how many requests a limit or a quota allows.
func (v value) requests() (int64, bool) { return v.integer(1, key.MaxRequests) }

// period reads what a quota is for; null is that it is never renewed.
func (v value) period() (key.Period, bool) {
	const want = "must be day, month or null"
	if v.null() {
		return key.Ever, true
	}
	text, ok := v.text(want)
	if !ok {
		return key.Ever, false
	}
	p, ok := key.ParsePeriod(text)
	if !ok {
		v.fault(want)
	}
	return p, ok
}

var quotaShape = shape[key.Quota]{
	{name: "requests", required: true, read: func(q *key.Quota, v value) { q.Requests, _ = v.requests() }},
	{name: "period", read: func(q *key.Quota, v value) { q.Period, _ = v.period() }},
}

// quota reads a quota; null is none.
func (v value) quota() (q key.Quota) {
	if !v.null() {
		quotaShape.read(&q, v)
	}
	return q
}

var quotaPatchShape = shape[key.QuotaPatch]{
	{name: "requests", read: func(p *key.QuotaPatch, v value) { p.Requests = optional(v.requests()) }},
	{name: "period", read: func(p *key.QuotaPatch, v value) { p.Period = optional(v.period()) }},
}

// quotaPatch reads a change to a quota; null is that there is to be none.
func (v value) quotaPatch() *key.QuotaPatch {
	p := &key.QuotaPatch{None: v.null()}
	if !p.None {
		quotaPatchShape.read(p, v)
	}
	return p
}

// cidrs reads an array of blocks of addresses; what is wrong with one is said of it.
func (v value) cidrs() (blocks []netip.Prefix) {
	for _, item := range v.array(key.MaxAllowedCIDRs) {
		text, ok := item.string()
		if !ok {
			continue
		}
		block, detail := key.ParseCIDR(text)
		if detail != "" {
			item.fault(detail)
			continue
		}
		blocks = append(blocks, block)
	}
	return blocks
}

func wireLimits(limits []key.Limit) []api.Limit {
	wire := make([]api.Limit, len(limits))
	for i, l := range limits {
		wire[i] = api.Limit{Name: l.Name, Requests: l.Requests, WindowSeconds: int64(l.Window / time.Second)}
	}
	return wire
}

func wireQuota(k *key.Key, now time.Time) *api.Quota {
	if k.Quota == (key.Quota{}) {
		return nil
	}
	q := &api.Quota{Requests: k.Quota.Requests, Remaining: k.QuotaRemaining(now)}
	if k.Quota.Period != key.Ever {
		period := api.Period(k.Quota.Period.String())
		q.Period = &period
	}
	return q
}

func wireCIDRs(blocks []netip.Prefix) []string {
	wire := make([]string, len(blocks))
	for i, b := range blocks {
		wire[i] = b.String()
	}
	return wire
}
