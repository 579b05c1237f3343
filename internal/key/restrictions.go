package key

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unsafe"
)

// Bounds of what a key may be restricted to.
const (
	MaxLimits       = 10
	MaxLimitName    = 64
	MaxRequests     = 999_999_999_999_999 // the largest integer of a structured header field (RFC 9651) has 15 digits
	MaxWindow       = 365 * 24 * time.Hour
	MaxAllowedCIDRs = 64

	// DefaultLimitName is what a limit without a name is called.
	DefaultLimitName = "default"
	// QuotaName is what a quota is called among limits; no limit may have this name.
	QuotaName = "quota"
)

// Limit allows a number of requests in each window of time.
type Limit struct {
	Name     string // letters, digits, '_', '-' and '.'; unlike the key's others
	Requests int64
	Window   time.Duration // whole seconds
}

// Period is what a quota is for. Days and months are those of UTC.
type Period uint8

// The periods.
const (
	Ever Period = iota // the quota is never renewed
	Day
	Month
)

var periodNames = [...]string{Ever: "", Day: "day", Month: "month"}

// String returns the period as the API names it, "" for Ever.
func (p Period) String() string { return periodNames[p] }

// ParsePeriod returns the period with a name. There is none called "".
func ParsePeriod(name string) (Period, bool) {
	i := slices.Index(periodNames[:], name)
	return Period(max(i, 0)), i > 0
}

// Start returns when the period that at is in began; the zero time for Ever.
func (p Period) Start(at time.Time) time.Time {
	switch year, month, day := at.UTC().Date(); p {
	case Day:
		return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	case Month:
		return time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
	default:
		return time.Time{}
	}
}

// End returns when the period that began at start ends; the zero time for Ever.
func (p Period) End(start time.Time) time.Time {
	switch p {
	case Day:
		return start.AddDate(0, 0, 1)
	case Month:
		return start.AddDate(0, 1, 0)
	default:
		return time.Time{}
	}
}

// Quota is how many requests there are in a period, exactly. The zero Quota is none.
type Quota struct {
	Requests int64
	Period   Period
	// Generation is how often the quota was changed, in the record of a check: what is held of a quota is of one generation. A key
	// has 0 here.
	Generation int64
}

// same reports whether both are as many requests in as long a period.
func (q Quota) same(other Quota) bool {
	return q.Requests == other.Requests && q.Period == other.Period
}

// Restrictions are what a key is held to beside its scopes. The zero value restricts nothing.
type Restrictions struct {
	Limits       []Limit
	Quota        Quota
	AllowedCIDRs []netip.Prefix // in the form of ParseCIDR; none: any address
}

// None reports whether nothing is restricted.
func (r *Restrictions) None() bool { return !r.Counted() && len(r.AllowedCIDRs) == 0 }

// Counted reports whether requests have to be counted. A nil r restricts nothing.
func (r *Restrictions) Counted() bool { return r != nil && (len(r.Limits) > 0 || r.Quota != Quota{}) }

// Size returns how many bytes of memory r takes. A nil r takes none.
func (r *Restrictions) Size() int {
	if r == nil {
		return 0
	}
	size := int(unsafe.Sizeof(*r)) + len(r.Limits)*int(unsafe.Sizeof(Limit{})) + len(r.AllowedCIDRs)*int(unsafe.Sizeof(netip.Prefix{}))
	for i := range r.Limits {
		size += len(r.Limits[i].Name)
	}
	return size
}

// Same reports whether both restrict the same.
func (r *Restrictions) Same(other *Restrictions) bool {
	return r.Quota.same(other.Quota) && slices.Equal(r.Limits, other.Limits) && slices.Equal(r.AllowedCIDRs, other.AllowedCIDRs)
}

// Allows reports whether a request may come from an address. Where there is an allow-list, an address that is not known is not on
// it. A nil r allows every one.
func (r *Restrictions) Allows(from netip.Addr) bool {
	if r == nil || len(r.AllowedCIDRs) == 0 {
		return true
	}
	from = from.Unmap().WithZone("")
	return slices.ContainsFunc(r.AllowedCIDRs, func(p netip.Prefix) bool { return p.Contains(from) })
}

// Opens reports whether other, which takes the place of r, lets requests come from where r does not.
func (r *Restrictions) Opens(other *Restrictions) bool {
	if len(r.AllowedCIDRs) == 0 || len(other.AllowedCIDRs) == 0 {
		return len(r.AllowedCIDRs) > 0
	}
	return slices.ContainsFunc(other.AllowedCIDRs, func(block netip.Prefix) bool {
		return !slices.ContainsFunc(r.AllowedCIDRs, func(p netip.Prefix) bool { return p.Bits() <= block.Bits() && p.Contains(block.Addr()) })
	})
}

// Allowance is what is left to a key of its limits: of the one that is nearest to being used up, or that is.
// The zero Allowance is that of a key without any.
type Allowance struct {
	Name      string // of the limit, or QuotaName
	Requests  int64  // how many there are when none is used
	Remaining int64
	// Reset is how long it is until Remaining is Requests again, given that no more are made; negative: never.
	Reset time.Duration
	// Retry is how long it is until a request that was refused would not be; negative: never.
	Retry time.Duration
}

// ParseCIDR returns the block of addresses that text denotes, or what is wrong with it. A single address is a block of one, and
// IPv4 addresses in the form of IPv6 (RFC 4291, section 2.5.5.2) are IPv4 addresses.
func ParseCIDR(text string) (p netip.Prefix, detail string) {
	const want = `must be a block of addresses such as "203.0.113.0/24" or "2001:db8::/32"`
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return p, want
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if mapped := p.Addr(); mapped.Is4In6() {
		const before = 96 // bits in front of the IPv4 address
		if p.Bits() < before {
			return p, want
		}
		p = netip.PrefixFrom(mapped.Unmap(), p.Bits()-before)
	}
	if masked := p.Masked(); masked != p {
		return p, fmt.Sprintf("must have no bits set behind the prefix; the block is %q", masked)
	}
	return p, ""
}

// check appends what is wrong to faults.
func (r *Restrictions) check(faults []Fault) []Fault {
	if len(r.Limits) > MaxLimits {
		faults = append(faults, Fault{"/limits", fmt.Sprintf("must have at most %d items, not %d", MaxLimits, len(r.Limits))})
	}
	names := map[string]bool{}
	for i, l := range r.Limits {
		at := func(field, detail string) {
			faults = append(faults, Fault{fmt.Sprintf("/limits/%d/%s", i, field), detail})
		}
		if !limitName(l.Name) {
			at("name", fmt.Sprintf("must be 1 to %d letters, digits, '_', '-' or '.', and not %q", MaxLimitName, QuotaName))
		} else if names[l.Name] {
			at("name", "must be unlike the names of the other limits")
		}
		names[l.Name] = true
		if l.Requests < 1 || l.Requests > MaxRequests {
			at("requests", fmt.Sprintf("must be from 1 to %d", int64(MaxRequests)))
		}
		if l.Window < time.Second || l.Window > MaxWindow || l.Window%time.Second != 0 {
			at("window_seconds", fmt.Sprintf("must be from 1 to %d", int64(MaxWindow/time.Second)))
		}
	}
	if q := r.Quota; q != (Quota{}) && (q.Requests < 1 || q.Requests > MaxRequests) {
		faults = append(faults, Fault{"/quota/requests", fmt.Sprintf("must be from 1 to %d", int64(MaxRequests))})
	}
	if len(r.AllowedCIDRs) > MaxAllowedCIDRs {
		faults = append(faults, Fault{"/allowed_cidrs", fmt.Sprintf("must have at most %d items, not %d", MaxAllowedCIDRs, len(r.AllowedCIDRs))})
	}
	return faults
}

func limitName(name string) bool {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-."
	return 0 < len(name) && len(name) <= MaxLimitName && name != QuotaName && strings.Trim(name, allowed) == ""
}

// normal returns the blocks of an allow-list in order, each once.
func normal(blocks []netip.Prefix) []netip.Prefix {
	sorted := slices.Clone(blocks)
	slices.SortFunc(sorted, netip.Prefix.Compare)
	return slices.Compact(sorted)
}
