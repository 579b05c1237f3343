package admin_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// checked counts checks of a key.
func (h *house) checked(k key.Key, at time.Time, o key.Outcome, n int64) {
	h.t.Helper()
	h.change(func(tx store.Tx) error {
		return tx.AddUsage(h.t.Context(), []store.Checks{{OrganizationID: k.OrganizationID, KeyID: k.ID, At: at, Outcome: o, Count: n}})
	})
}

// spelled returns a usage as a text, such as "2026-11-22T11 to 2026-11-22T13 2: 3 VALID 1 DISABLED".
func spelled(u admin.Usage) string {
	var total, busy int64
	for _, b := range u.Buckets {
		for _, n := range b.Counts {
			total += n
		}
		if b.Counts != (admin.Counts{}) {
			busy++
		}
	}
	const layout = "2006-01-02T15"
	text := fmt.Sprint(u.From.Format(layout), " to ", u.To.Format(layout), " ", len(u.Buckets), ", ", busy, " of them busy:")
	for o, n := range u.Total {
		total -= n
		if n > 0 {
			text += fmt.Sprint(" ", n, " ", key.Outcome(o))
		}
	}
	if total != 0 {
		text += fmt.Sprint(" and ", total, " that are not in the total")
	}
	return text
}

func TestUsageRanges(t *testing.T) {
	h := newHouse(t)
	c := h.bearer("owner")
	k := h.key(h.users["owner"], h.home, key.AllScopes)
	for _, at := range []time.Time{noon, noon.Add(-time.Hour), noon.Add(-23 * time.Hour), noon.Add(-24 * time.Hour), noon.AddDate(0, 0, -30)} {
		h.checked(k, at, key.CheckValid, 1)
	}
	h.checked(k, noon, key.CheckDisabled, 2)
	day := 24 * time.Hour
	for _, tt := range []struct {
		name  string
		r     admin.UsageRange
		want  string
		fault string
	}{
		{"nothing said", admin.UsageRange{}, "2026-11-21T13 to 2026-11-22T13 24, 3 of them busy: 2 DISABLED 3 VALID", ""},
		{"days", admin.UsageRange{ByDay: true}, "2026-10-24T00 to 2026-11-23T00 30, 2 of them busy: 2 DISABLED 4 VALID", ""},
		{"from", admin.UsageRange{From: noon.Add(-30 * time.Minute)}, "2026-11-22T11 to 2026-11-22T13 2, 2 of them busy: 2 DISABLED 2 VALID", ""},
		{"to", admin.UsageRange{To: noon}, "2026-11-21T12 to 2026-11-22T12 24, 3 of them busy: 3 VALID", ""},
		{"both", admin.UsageRange{From: noon.Add(-time.Hour), To: noon}, "2026-11-22T11 to 2026-11-22T12 1, 1 of them busy: 1 VALID", ""},
		{"a moment", admin.UsageRange{From: noon.Add(time.Second), To: noon.Add(2 * time.Second)},
			"2026-11-22T12 to 2026-11-22T13 1, 1 of them busy: 2 DISABLED 1 VALID", ""},
		{"another zone", admin.UsageRange{From: noon.In(time.FixedZone("", 3600)), To: noon.Add(time.Hour).In(time.FixedZone("", -3600))},
			"2026-11-22T12 to 2026-11-22T13 1, 1 of them busy: 2 DISABLED 1 VALID", ""},
		{"the oldest hour", admin.UsageRange{From: noon.Add(-admin.HoursOfUsage)}, "2026-10-22T12 to 2026-11-22T13 745, 5 of them busy: 2 DISABLED 5 VALID", ""},
		{"the oldest day", admin.UsageRange{From: noon.Add(-admin.DaysOfUsage), ByDay: true}, "2025-10-18T00 to 2026-11-23T00 401, 3 of them busy: 2 DISABLED 5 VALID", ""},
		{"to, near the oldest", admin.UsageRange{To: noon.Add(-admin.HoursOfUsage + 2*time.Hour)}, "2026-10-22T12 to 2026-10-22T14 2, 0 of them busy:", ""},
		{"the future", admin.UsageRange{From: noon, To: noon.Add(48 * time.Hour)}, "2026-11-22T12 to 2026-11-24T12 48, 1 of them busy: 2 DISABLED 1 VALID", ""},

		{"nothing", admin.UsageRange{From: noon, To: noon}, "", "/from must be before the end"},
		{"backwards", admin.UsageRange{From: noon, To: noon.Add(-time.Hour)}, "", "/from must be before the end"},
		{"from the future", admin.UsageRange{From: noon.Add(day)}, "", "/from must be before the end"},
		{"before the oldest hour", admin.UsageRange{From: noon.Add(-admin.HoursOfUsage - time.Hour)}, "", "/from must be within the last 31 days: hours"},
		{"before the oldest day", admin.UsageRange{From: noon.Add(-admin.DaysOfUsage - day), ByDay: true}, "", "/from must be within the last 400 days: days"},
		{"until before the oldest", admin.UsageRange{To: noon.Add(-admin.HoursOfUsage)}, "", "/to must be within the last 31 days"},
		{"too many", admin.UsageRange{From: noon, To: noon.Add((admin.MaxUsageBuckets + 1) * time.Hour)}, "", "/to must be at most 10000 hours"},
		{"far too many", admin.UsageRange{To: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), From: noon, ByDay: true}, "", "/to must be at most 10000 days"},
		{"the last day", admin.UsageRange{To: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), ByDay: true}, "", "/to must be before the last of the days of the year 9999"},
		{"the last hour", admin.UsageRange{To: time.Date(9999, 12, 31, 23, 0, 1, 0, time.UTC)}, "", "/to must be before the last of the hours of the year 9999"},
		{"the first times", admin.UsageRange{From: time.Time{}.Add(1), To: time.Time{}.Add(2)}, "", "/from must be within"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, err := h.KeyUsage(t.Context(), c, k.ID, tt.r)
			organization, orgErr := h.OrganizationUsage(t.Context(), c, h.home, tt.r)
			for _, err := range []error{err, orgErr} {
				rule, ok := errors.AsType[*key.Error](err)
				switch {
				case tt.fault == "" && err != nil:
					t.Fatal(err)
				case tt.fault != "" && (!ok || len(rule.Faults) != 1 || !strings.HasPrefix(rule.Faults[0].Pointer+" "+rule.Faults[0].Detail, tt.fault)):
					t.Errorf("%+v, want %s", err, tt.fault)
				}
			}
			if got := spelled(u); tt.fault == "" && (got != tt.want || got != spelled(organization)) {
				t.Errorf("key %s, organization %s, want %s", got, spelled(organization), tt.want)
			}
			length := time.Hour
			if tt.r.ByDay {
				length = day
			}
			for i, b := range u.Buckets {
				if want := u.From.Add(time.Duration(i) * length); !b.Start.Equal(want) {
					t.Errorf("bucket %d begins at %v, want %v", i, b.Start, want)
				}
			}
		})
	}
}

// A member sees the usage of the keys that are theirs, and who manages the organization's keys sees all.
func TestWhoseUsage(t *testing.T) {
	h := newHouse(t)
	mine := h.key(h.users["member"], h.home, key.AllScopes)
	theirs := h.key(h.users["owner"], h.home, key.AllScopes)
	h.checked(mine, noon, key.CheckValid, 1)
	h.checked(theirs, noon, key.CheckValid, 2)
	gone := h.key(h.users["owner"], h.home, key.AllScopes)
	h.checked(gone, noon, key.CheckValid, 4)
	if err := h.DeleteKey(t.Context(), h.bearer("owner"), gone.ID); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int64{"viewer": 0, "member": 1, "admin": 7, "owner": 7, "instance admin": 7} {
		u, err := h.OrganizationUsage(t.Context(), h.bearer(name), h.home, admin.UsageRange{})
		if err != nil || u.Total[key.CheckValid] != want {
			t.Errorf("the %s sees %d checks, %v, want %d", name, u.Total[key.CheckValid], err, want)
		}
	}
	// The key of a member acts for that member.
	u, err := h.OrganizationUsage(t.Context(), h.by(mine), h.home, admin.UsageRange{})
	if err != nil || u.Total[key.CheckValid] != 1 {
		t.Errorf("the member's key sees %d checks, %v, want 1", u.Total[key.CheckValid], err)
	}
	_, err = h.KeyUsage(t.Context(), h.bearer("owner"), gone.ID, admin.UsageRange{})
	expect(t, "usage of a key that is gone", err, key.NotFound)
}

// A sweep makes days of old hours, forgets days that are older still, and what belongs to nobody.
func TestSweepOfUsage(t *testing.T) {
	h := newHouse(t)
	k := h.key(h.users["owner"], h.home, key.AllScopes)
	gone := h.key(h.users["owner"], h.home, key.AllScopes)
	for i := range 1000 {
		h.checked(k, noon.Add(-time.Duration(i)*time.Hour), key.CheckValid, 1)
	}
	h.checked(k, noon.AddDate(0, 0, -402), key.CheckValid, 1)
	h.checked(gone, noon, key.CheckValid, 1)
	if err := h.DeleteKey(t.Context(), h.bearer("owner"), gone.ID); err != nil {
		t.Fatal(err)
	}
	if err := h.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	count := func(q store.UsageQuery) (n int64) {
		q.OrganizationID, q.From, q.To = h.home, noon.AddDate(-2, 0, 0), noon.AddDate(1, 0, 0)
		found, err := h.store.Usage(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range found {
			n += u.Checks
		}
		return n
	}
	for _, tt := range []struct {
		what string
		got  int64
		want int64
	}{
		{"hours", count(store.UsageQuery{KeyID: k.ID}), 32*24 + 1},
		{"days", count(store.UsageQuery{KeyID: k.ID, ByDay: true}), 1000},
		{"days of all", count(store.UsageQuery{ByDay: true}), 1001},
		{"days of the key that is gone", count(store.UsageQuery{KeyID: gone.ID, ByDay: true}), 0},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %d checks are left, want %d", tt.what, tt.got, tt.want)
		}
	}
}
