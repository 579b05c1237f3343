package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// stored are outcomes by their numbers in the database, which stay what they are.
var stored = [...]key.Outcome{1: key.CheckValid, 2: key.CheckDisabled, 3: key.CheckExpired, 4: key.CheckInsufficientScope,
	5: key.CheckIPNotAllowed, 6: key.CheckRateLimited, 7: key.CheckQuotaExceeded}

// numberOf returns the number of an outcome in the database; 0: it is not kept.
func numberOf(o key.Outcome) int64 {
	if o == key.CheckNotFound {
		return 0
	}
	return int64(max(0, slices.Index(stored[:], o)))
}

// counted is what checks are counted for: a row of usage_counts but for the number. The organization's own have no key.
type counted struct{ organization, key, first, hours, outcome int64 }

// row returns the columns, for a statement.
func (c counted) row() []any { return []any{c.organization, c.key, c.first, c.hours, c.outcome} }

// The lengths of what is counted.
const (
	hour int64 = 1
	day  int64 = 24
)

// hourOf returns the hour that a time is in, as the database counts them.
func hourOf(at time.Time) int64 {
	const seconds = 3600
	s := at.Unix()
	if s < 0 {
		s -= seconds - 1
	}
	return s / seconds
}

func startOf(hour int64) time.Time { return time.Unix(hour*3600, 0).UTC() }

// Usage returns what was counted.
func (r Reader) Usage(ctx context.Context, q store.UsageQuery) ([]store.Usage, error) {
	length := hour
	if q.ByDay {
		length = day
	}
	from := hourOf(q.From) / length * length
	to := (hourOf(q.To.Add(time.Hour-1)) + length - 1) / length * length
	list, of := ListUsage, q.KeyID
	if q.KeyID == 0 && q.UserID != 0 {
		list, of = ListUsageOfMember, q.UserID
	}
	type bucket struct{ first, outcome int64 }
	sums := map[bucket]int64{}
	err := r.run.Each(ctx, list, func(row Row) error {
		var first, hours, outcome, checks int64
		err := row.Scan(&first, &hours, &outcome, &checks)
		if err == nil && hours <= length {
			sums[bucket{first / length * length, outcome}] += checks
		}
		return err
	}, q.OrganizationID, of, from, to)
	if err != nil {
		return nil, err
	}
	found := make([]store.Usage, 0, len(sums))
	for b, n := range sums {
		if b.outcome < 1 || b.outcome >= int64(len(stored)) {
			return nil, fmt.Errorf("usage: %d is no outcome", b.outcome)
		}
		found = append(found, store.Usage{Start: startOf(b.first), Outcome: stored[b.outcome], Checks: n})
	}
	slices.SortFunc(found, func(a, b store.Usage) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Outcome, b.Outcome))
	})
	return found, nil
}

// AddUsage adds checks to those of their keys and organizations.
func (t *Tx) AddUsage(ctx context.Context, checks []store.Checks) error {
	sums := map[counted]int64{}
	for _, c := range checks {
		outcome := numberOf(c.Outcome)
		if outcome == 0 || c.Count <= 0 {
			continue
		}
		of := counted{c.OrganizationID, c.KeyID, hourOf(c.At), hour, outcome}
		sums[of] += c.Count
		of.key = 0
		sums[of] += c.Count
	}
	return t.addUsage(ctx, sums)
}

func (t *Tx) addUsage(ctx context.Context, sums map[counted]int64) error {
	var rows [][]any
	for _, of := range slices.SortedFunc(maps.Keys(sums), compare) { // as they stand in the table
		rows = append(rows, append(of.row(), sums[of]))
	}
	return t.run.ExecEach(ctx, AddUsage, rows)
}

func compare(a, b counted) int {
	return cmp.Or(cmp.Compare(a.organization, b.organization), cmp.Compare(a.key, b.key), cmp.Compare(a.first, b.first),
		cmp.Compare(a.hours, b.hours), cmp.Compare(a.outcome, b.outcome))
}

// TidyUsage makes days of old hours, and deletes old days and what is gone.
func (t *Tx) TidyUsage(ctx context.Context, hoursBefore, daysBefore time.Time, limit int) (int, error) {
	n, err := t.deleteGone(ctx, limit)
	if err == nil && n < limit {
		var more int
		more, err = t.rollUp(ctx, hourOf(hoursBefore), limit-n)
		n += more
	}
	if err == nil && n < limit {
		var more int
		more, err = t.deleteDays(ctx, hourOf(daysBefore)-day+1, limit-n)
		n += more
	}
	return n, err
}

// rollUp makes days of hours of before an hour.
func (t *Tx) rollUp(ctx context.Context, before int64, limit int) (int, error) {
	old, err := t.usage(ctx, ListAgedUsage, limit, hour, before, limit)
	if err != nil || len(old) == 0 {
		return 0, err
	}
	sums := map[counted]int64{}
	for of, checks := range old {
		of.first, of.hours = of.first/day*day, day
		sums[of] += checks
	}
	if err := t.addUsage(ctx, sums); err != nil {
		return 0, err
	}
	return len(old), t.deleteUsage(ctx, old)
}

// deleteDays deletes days that began before an hour.
func (t *Tx) deleteDays(ctx context.Context, before int64, limit int) (int, error) {
	old, err := t.usage(ctx, ListAgedUsage, limit, day, before, limit)
	if err != nil {
		return 0, err
	}
	return len(old), t.deleteUsage(ctx, old)
}

// deleteGone deletes what was counted for what is gone.
func (t *Tx) deleteGone(ctx context.Context, limit int) (n int, err error) {
	gone, err := page(ctx, t.run, ListGone, limit, func(row Row) (c counted, err error) {
		err = row.Scan(&c.organization, &c.key)
		return c, err
	}, limit)
	if err != nil {
		return 0, err
	}
	for _, g := range gone {
		first, last := g.key, g.key
		if g.key == 0 { // the organization
			last = math.MaxInt64
		}
		left := limit - n
		found, err := t.usage(ctx, ListUsageOfGone, left, g.organization, first, last, left)
		if err != nil {
			return n, err
		}
		if err := t.deleteUsage(ctx, found); err != nil {
			return n, err
		}
		if n += len(found); n == limit {
			return n, nil // there may be more of it
		}
		if _, err := t.run.Exec(ctx, DeleteGone, g.organization, g.key); err != nil {
			return n, err
		}
		if n++; n == limit {
			return n, nil
		}
	}
	return n, nil
}

// usage returns at most limit rows that a statement finds.
func (t *Tx) usage(ctx context.Context, s Statement, limit int, args ...any) (map[counted]int64, error) {
	if limit <= 0 {
		return nil, errLimit
	}
	found := map[counted]int64{}
	err := t.run.Each(ctx, s, func(row Row) error {
		var of counted
		var checks int64
		err := row.Scan(&of.organization, &of.key, &of.first, &of.hours, &of.outcome, &checks)
		found[of] = checks
		return err
	}, args...)
	return found, err
}

func (t *Tx) deleteUsage(ctx context.Context, rows map[counted]int64) error {
	var list [][]any
	for _, of := range slices.SortedFunc(maps.Keys(rows), compare) {
		list = append(list, of.row())
	}
	return t.run.ExecEach(ctx, DeleteUsage, list)
}
