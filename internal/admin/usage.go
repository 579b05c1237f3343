package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// How long usage is kept: for so long by the hour, then by the day.
const (
	HoursOfUsage = 31 * 24 * time.Hour
	DaysOfUsage  = 400 * 24 * time.Hour

	// hoursKept is a day more than is shown: nodes need not have the same time.
	hoursKept = HoursOfUsage + 24*time.Hour

	// MaxUsageBuckets is how many hours or days there may be in one answer.
	MaxUsageBuckets = 10_000

	lastYear = 9999 // in which times can be written
)

// The hours and days that are shown where nobody says which.
const (
	usualHours = 24
	usualDays  = 30
)

// UsageRange says of which time usage is wanted. Hours and days are those of UTC, and whole: those that From and To are in, or that
// To ends.
type UsageRange struct {
	From, To time.Time // zero: the last 24 hours or 30 days before To; now
	ByDay    bool
}

// Counts are checks by their outcomes.
type Counts [key.OutcomeCount]int64

// Usage is how many checks there were in some time.
type Usage struct {
	UsageRange // in whole hours or days
	Total      Counts
	Buckets    []Bucket // every hour or day, the first one first
}

// Bucket is one hour or day of a Usage.
type Bucket struct {
	Start time.Time
	Counts
}

// length returns how long a bucket is.
func (r UsageRange) length() time.Duration {
	if r.ByDay {
		return 24 * time.Hour
	}
	return time.Hour
}

// whole returns the range in whole hours or days, or what is wrong with it.
func (r UsageRange) whole(now time.Time) (UsageRange, []key.Fault) {
	length, usual, kept, names := r.length(), usualHours, HoursOfUsage, "hours"
	if r.ByDay {
		usual, kept, names = usualDays, DaysOfUsage, "days"
	}
	oldest := now.Add(-kept).Truncate(length)
	whole := UsageRange{From: r.From.UTC().Truncate(length), To: r.To.UTC().Add(length - 1).Truncate(length), ByDay: r.ByDay}
	if r.To.IsZero() {
		whole.To = now.Add(length).Truncate(length) // the one that is not over yet is the last
	}
	if r.From.IsZero() {
		whole.From = whole.To.Add(-time.Duration(usual) * length)
		if whole.From.Before(oldest) {
			whole.From = oldest
		}
	}
	switch {
	case r.From.IsZero() && !whole.From.Before(whole.To), whole.From.Before(oldest):
		at := "/from"
		if r.From.IsZero() {
			at = "/to"
		}
		detail := fmt.Sprintf("must be within the last %d days: %s are kept for so long", int(kept/(24*time.Hour)), names)
		if !r.ByDay {
			detail += "; days are for longer"
		}
		return r, []key.Fault{{Pointer: at, Detail: detail}}
	case !whole.From.Before(whole.To):
		return r, []key.Fault{{Pointer: "/from", Detail: "must be before the end"}}
	case whole.To.Sub(whole.From)/length > MaxUsageBuckets:
		return r, []key.Fault{{Pointer: "/to", Detail: fmt.Sprintf("must be at most %d %s behind the beginning", MaxUsageBuckets, names)}}
	case whole.To.Year() > lastYear:
		return r, []key.Fault{{Pointer: "/to", Detail: fmt.Sprintf("must be before the last of the %s of the year %d", names, lastYear)}}
	}
	return whole, nil
}

// KeyUsage returns how many checks of a key there were.
func (s *Service) KeyUsage(ctx context.Context, c Caller, id int64, r UsageRange) (Usage, error) {
	return s.usage(ctx, c, usageOfKey, audit.Target{Type: audit.Key, ID: id}, r, func(v view, e *record) (store.UsageQuery, error) {
		k, _, err := s.findKey(ctx, v, c, usageOfKey, id, e)
		return store.UsageQuery{OrganizationID: k.OrganizationID, KeyID: id}, err
	})
}

// OrganizationUsage returns how many checks there were of all keys of an organization, those that are gone as well. For who does not
// see them all it is that of the caller's own.
func (s *Service) OrganizationUsage(ctx context.Context, c Caller, id int64, r UsageRange) (Usage, error) {
	target := audit.Target{Type: audit.Organization, ID: id}
	return s.usage(ctx, c, usageOfOrganization, target, r, func(v view, e *record) (store.UsageQuery, error) {
		e.OrganizationID = id
		g, err := s.authorize(ctx, v, c, usageOfOrganization, in(id))
		q := store.UsageQuery{OrganizationID: id}
		if !g.seesAllKeys() {
			q.UserID = c.UserID
		}
		return q, err
	})
}

// usage counts the checks that of describes, where it lets the caller in.
func (s *Service) usage(ctx context.Context, c Caller, a action, target audit.Target, r UsageRange,
	of func(view, *record) (store.UsageQuery, error)) (u Usage, err error) {
	whole, faults := r.whole(s.now())
	err = s.look(ctx, c, a, target, func(v view, e *record) error {
		q, err := of(v, e)
		switch {
		case err != nil:
			return err
		case len(faults) > 0:
			return invalid(faults)
		}
		q.From, q.To, q.ByDay = whole.From, whole.To, whole.ByDay
		found, err := v.Usage(ctx, q)
		u = spread(whole, found)
		return err
	})
	return u, err
}

// spread puts what was counted into the hours or days of a range, also those in which there was nothing to count.
func spread(r UsageRange, found []store.Usage) Usage {
	u := Usage{UsageRange: r}
	for start := r.From; start.Before(r.To); start = start.Add(r.length()) {
		b := Bucket{Start: start}
		for len(found) > 0 && !found[0].Start.After(start) {
			b.Counts[found[0].Outcome] += found[0].Checks
			u.Total[found[0].Outcome] += found[0].Checks
			found = found[1:]
		}
		u.Buckets = append(u.Buckets, b)
	}
	return u
}

// sweepUsage makes days of old hours, and deletes what is old or belongs to nobody any more.
func (s *Service) sweepUsage(ctx context.Context, now time.Time) error {
	const batch = 500
	for n := batch; n == batch; {
		err := s.update(ctx, func(tx store.Tx) (err error) {
			n, err = tx.TidyUsage(ctx, now.Add(-hoursKept), now.Add(-DaysOfUsage), batch)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
