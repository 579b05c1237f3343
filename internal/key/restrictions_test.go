package key

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestParseCIDR(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.0/24":         "203.0.113.0/24",
		"203.0.113.9":            "203.0.113.9/32",
		"2001:db8::/32":          "2001:db8::/32",
		"2001:DB8:0::1":          "2001:db8::1/128",
		"::ffff:203.0.113.0/120": "203.0.113.0/24",
		"::ffff:203.0.113.9":     "203.0.113.9/32",
		"0.0.0.0/0":              "0.0.0.0/0",
		"::/0":                   "::/0",
	} {
		if p, detail := ParseCIDR(text); detail != "" || p.String() != want {
			t.Errorf("ParseCIDR(%q) = %v, %q; want %s", text, p, detail, want)
		}
	}
	for text, want := range map[string]string{
		"":                       "must be a block",
		"example.com":            "must be a block",
		"203.0.113.0/33":         "must be a block",
		"203.0.113.0/24/24":      "must be a block",
		"fe80::1%eth0":           "must be a block",
		"::ffff:203.0.113.0/90":  "must be a block",
		"203.0.113.9/24":         `the block is "203.0.113.0/24"`,
		"::ffff:203.0.113.9/120": `the block is "203.0.113.0/24"`,
	} {
		if p, detail := ParseCIDR(text); !strings.Contains(detail, want) {
			t.Errorf("ParseCIDR(%q) = %v, %q; want a detail with %q", text, p, detail, want)
		}
	}
}

func TestAllows(t *testing.T) {
	listed := &Restrictions{AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("fe80::/10")}}
	for _, test := range []struct {
		restrictions *Restrictions
		from         string
		want         bool
	}{
		{nil, "", true},
		{&Restrictions{}, "", true},
		{listed, "", false},
		{listed, "203.0.113.9", true},
		{listed, "::ffff:203.0.113.9", true},
		{listed, "203.0.114.9", false},
		{listed, "fe80::1%eth0", true},
		{listed, "2001:db8::1", false},
	} {
		var from netip.Addr
		if test.from != "" {
			from = netip.MustParseAddr(test.from)
		}
		if got := test.restrictions.Allows(from); got != test.want {
			t.Errorf("%+v allows %q: %v, want %v", test.restrictions, test.from, got, test.want)
		}
	}
}

func TestOpens(t *testing.T) {
	list := func(blocks string) *Restrictions {
		r := &Restrictions{}
		for _, block := range strings.Fields(blocks) {
			r.AllowedCIDRs = append(r.AllowedCIDRs, netip.MustParsePrefix(block))
		}
		return r
	}
	for _, test := range []struct {
		before, after string
		want          bool
	}{
		{"", "", false},
		{"", "10.0.0.0/8", false},
		{"10.0.0.0/8", "", true},
		{"10.0.0.0/8", "10.0.0.0/8", false},
		{"10.0.0.0/8", "10.1.0.0/16 10.2.0.1/32", false},
		{"10.0.0.0/8", "10.1.0.0/16 11.0.0.1/32", true},
		{"10.0.0.0/8", "10.0.0.0/7", true},
		{"10.0.0.0/8", "2001:db8::/32", true},
		{"10.0.0.0/8 2001:db8::/32", "2001:db8::1/128", false},
		{"0.0.0.0/0", "::/0", true},
	} {
		if got := list(test.before).Opens(list(test.after)); got != test.want {
			t.Errorf("from %q to %q: %v, want %v", test.before, test.after, got, test.want)
		}
	}
}

func TestQuotaRemaining(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	today, november, october := Day.Start(now), Month.Start(now), Month.Start(now).AddDate(0, -1, 0)
	for _, test := range []struct {
		quota Quota
		used  int64
		start time.Time
		want  int64
	}{
		{Quota{Requests: 100, Period: Month}, 0, time.Time{}, 100},
		{Quota{Requests: 100, Period: Month}, 30, november, 70},
		{Quota{Requests: 100, Period: Month}, 30, october, 100}, // its period is over
		{Quota{Requests: 100, Period: Month}, 30, today, 70},    // it was for each day before
		{Quota{Requests: 100, Period: Day}, 30, november, 100},
		{Quota{Requests: 100, Period: Ever}, 30, time.Time{}, 70},
		{Quota{Requests: 100, Period: Ever}, 30, october, 70},
		{Quota{Requests: 10, Period: Month}, 30, november, 0}, // it was larger before
	} {
		k := Key{Restrictions: Restrictions{Quota: test.quota}, QuotaUsed: test.used, QuotaStart: test.start}
		if got := k.QuotaRemaining(now); got != test.want {
			t.Errorf("of %+v, %d used since %v: %d remain, want %d", test.quota, test.used, test.start, got, test.want)
		}
	}
}

func TestRestrictionsOfADraft(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	limit := Limit{Name: DefaultLimitName, Requests: 100, Window: time.Minute}
	change := func(f func(*Limit)) Restrictions {
		l := limit
		f(&l)
		return Restrictions{Limits: []Limit{l}}
	}
	for _, test := range []struct {
		name    string
		r       Restrictions
		pointer string // "": nothing is wrong
	}{
		{"nothing", Restrictions{}, ""},
		{"a limit", Restrictions{Limits: []Limit{limit}}, ""},
		{"no name", change(func(l *Limit) { l.Name = "" }), "/limits/0/name"},
		{"a name with a quote", change(func(l *Limit) { l.Name = `a"b` }), "/limits/0/name"},
		{"the name of the quota", change(func(l *Limit) { l.Name = QuotaName }), "/limits/0/name"},
		{"the same name twice", Restrictions{Limits: []Limit{limit, limit}}, "/limits/1/name"},
		{"no request", change(func(l *Limit) { l.Requests = 0 }), "/limits/0/requests"},
		{"too many requests", change(func(l *Limit) { l.Requests = MaxRequests + 1 }), "/limits/0/requests"},
		{"no window", change(func(l *Limit) { l.Window = 0 }), "/limits/0/window_seconds"},
		{"part of a second", change(func(l *Limit) { l.Window = 1500 * time.Millisecond }), "/limits/0/window_seconds"},
		{"more than a year", change(func(l *Limit) { l.Window = MaxWindow + time.Second }), "/limits/0/window_seconds"},
		{"too many limits", Restrictions{Limits: make([]Limit, MaxLimits+1)}, "/limits"},
		{"a quota", Restrictions{Quota: Quota{Requests: 1, Period: Month}}, ""},
		{"a quota of nothing", Restrictions{Quota: Quota{Period: Month}}, "/quota/requests"},
		{"too many blocks", Restrictions{AllowedCIDRs: make([]netip.Prefix, MaxAllowedCIDRs+1)}, "/allowed_cidrs"},
	} {
		d := Draft{Name: "a", Scopes: Scopes(Read), OrganizationID: 1, Restrictions: test.r}
		_, faults := d.Check(now)
		if test.pointer == "" && len(faults) > 0 || test.pointer != "" && (len(faults) == 0 || faults[0].Pointer != test.pointer) {
			t.Errorf("%s: faults %v, want one at %q", test.name, faults, test.pointer)
		}
	}
}

func TestPatchOfRestrictions(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	requests, day, ever := int64(7), Day, Ever
	k := Key{Name: "a", Scopes: Scopes(Read), Restrictions: Restrictions{Quota: Quota{Requests: 5, Period: Month}}}
	for _, test := range []struct {
		name  string
		patch QuotaPatch
		want  Quota
	}{
		{"nothing", QuotaPatch{}, Quota{Requests: 5, Period: Month}},
		{"requests", QuotaPatch{Requests: &requests}, Quota{Requests: 7, Period: Month}},
		{"period", QuotaPatch{Period: &day}, Quota{Requests: 5, Period: Day}},
		{"no period", QuotaPatch{Period: &ever}, Quota{Requests: 5, Period: Ever}},
		{"none", QuotaPatch{None: true}, Quota{}},
	} {
		got, faults := Patch{Quota: &test.patch}.Apply(k, now)
		if len(faults) > 0 || got.Quota != test.want {
			t.Errorf("%s: %v, faults %v; want %v", test.name, got.Quota, faults, test.want)
		}
	}
	if _, faults := (Patch{Quota: &QuotaPatch{}}).Apply(Key{Name: "a", Scopes: Scopes(Read)}, now); len(faults) != 1 {
		t.Errorf("a quota without requests where there was none: faults %v, want one", faults)
	}
}

func TestPeriods(t *testing.T) {
	at := time.Date(2028, 2, 29, 23, 59, 59, 999e6, time.FixedZone("", -3600)) // in UTC it is March
	for _, test := range []struct {
		period     Period
		start, end string
	}{
		{Day, "2028-03-01", "2028-03-02"},
		{Month, "2028-03-01", "2028-04-01"},
		{Ever, "0001-01-01", "0001-01-01"},
	} {
		start := test.period.Start(at)
		if got := start.Format(time.DateOnly); got != test.start {
			t.Errorf("%q starts %s, want %s", test.period, got, test.start)
		}
		if got := test.period.End(start).Format(time.DateOnly); got != test.end {
			t.Errorf("%q ends %s, want %s", test.period, got, test.end)
		}
	}
	for _, p := range []Period{Day, Month} {
		if got, ok := ParsePeriod(p.String()); !ok || got != p {
			t.Errorf("ParsePeriod(%q) = %v, %v", p, got, ok)
		}
	}
	if _, ok := ParsePeriod(""); ok {
		t.Error("a period without a name was parsed")
	}
}
