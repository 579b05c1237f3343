package sqlstore

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
)

// restrictions is how what a key is held to is stored: as JSON, in one spelling, without what there is none of.
type restrictions struct {
	Limits       []limit        `json:"limits,omitempty"`
	Quota        *quota         `json:"quota,omitempty"`
	AllowedCIDRs []netip.Prefix `json:"allowed_cidrs,omitempty"`
}

type limit struct {
	Name          string `json:"name"`
	Requests      int64  `json:"requests"`
	WindowSeconds int64  `json:"window_seconds"`
}

type quota struct {
	Requests int64  `json:"requests"`
	Period   string `json:"period,omitempty"` // "": it is never renewed
}

// restrictionsText returns r as it is stored, nil where it restricts nothing.
func restrictionsText(r *key.Restrictions) []byte {
	if r.None() {
		return nil
	}
	kept := restrictions{AllowedCIDRs: r.AllowedCIDRs}
	for _, l := range r.Limits {
		kept.Limits = append(kept.Limits, limit{l.Name, l.Requests, int64(l.Window / time.Second)})
	}
	if r.Quota != (key.Quota{}) {
		kept.Quota = &quota{r.Quota.Requests, r.Quota.Period.String()}
	}
	text, err := json.Marshal(kept)
	if err != nil { // there is nothing in it that JSON cannot express
		panic(err)
	}
	return text
}

// restrictionsOf returns what was stored, nil where that is nothing. What it cannot read is an error: a key must not be less
// restricted than somebody wanted it.
func restrictionsOf(text string) (*key.Restrictions, error) {
	if text == "" {
		return nil, nil
	}
	var kept restrictions
	if err := json.Unmarshal([]byte(text), &kept); err != nil {
		return nil, fmt.Errorf("restrictions: %w", err)
	}
	r := &key.Restrictions{AllowedCIDRs: kept.AllowedCIDRs}
	for _, l := range kept.Limits {
		r.Limits = append(r.Limits, key.Limit{Name: l.Name, Requests: l.Requests, Window: time.Duration(l.WindowSeconds) * time.Second})
	}
	if q := kept.Quota; q != nil {
		period, ok := key.ParsePeriod(q.Period)
		if !ok && q.Period != "" {
			return nil, fmt.Errorf("restrictions: the quota's period is %q", q.Period)
		}
		r.Quota = key.Quota{Requests: q.Requests, Period: period}
	}
	return r, nil
}
