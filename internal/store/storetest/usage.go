package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

var usageTests = []test{
	{"usage adds up by key and organization, hour and outcome, and records no change", usageAddsUp},
	{"usage of nothing adds nothing", usageOfNothing},
	{"usage between two times, in whole hours and days", usageBetween},
	{"usage of a user is that of the keys that are theirs", usageOfUser},
	{"usage of a key that is gone counts for its organization alone", usageOfGoneKey},
	{"TidyUsage deletes what was counted for a key that is gone", tidyGoneKey},
	{"TidyUsage deletes what was counted for an organization that is gone", tidyGoneOrganization},
	{"TidyUsage makes days of old hours and deletes old days", tidyAges},
	{"TidyUsage does no more than it is told", tidyLimit},
	{"usage of which the transaction fails is not counted", usageUndone},
}

// oclock is an hour with a day's beginning two hours before it.
var oclock = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)

// addUsage adds checks.
func (w *world) addUsage(t *testing.T, checks ...store.Checks) {
	t.Helper()
	wantChanges(t, w.update(t, func(tx store.Tx) error { return tx.AddUsage(t.Context(), checks) }))
}

// checks returns one element of AddUsage.
func checks(k key.Key, at time.Time, o key.Outcome, n int64) store.Checks {
	return store.Checks{OrganizationID: k.OrganizationID, KeyID: k.ID, At: at, Outcome: o, Count: n}
}

// wantUsage fails where the usage is not want: a text such as "02:00 VALID 3".
func (w *world) wantUsage(t *testing.T, q store.UsageQuery, want ...string) {
	t.Helper()
	if q.From.IsZero() {
		q.From, q.To = oclock.AddDate(0, 0, -30), oclock.AddDate(0, 0, 30)
	}
	found, err := w.Usage(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range found {
		got = append(got, fmt.Sprint(u.Start.Format("2 15:04"), " ", u.Outcome, " ", u.Checks))
		if u.Start.Location() != time.UTC {
			t.Errorf("%v is not in UTC", u.Start)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("usage of %+v is %q, want %q", q, got, want)
	}
}

func usageAddsUp(t *testing.T, w *world) {
	a, _ := w.insert(t, w.key())
	b, _ := w.insert(t, w.key())
	elsewhere := w.key()
	elsewhere.OrganizationID = w.otherOrganization
	c, _ := w.insert(t, elsewhere)
	var want []string
	for i, o := range key.Outcomes()[1:] {
		w.addUsage(t, checks(a, oclock, o, int64(i+1)))
		want = append(want, fmt.Sprint("22 02:00 ", o, " ", i+1))
	}
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization, KeyID: a.ID}, want...)
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization}, want...)

	// The same hour again, twice in one call; another hour; another key; another organization.
	w.addUsage(t, checks(a, oclock.Add(time.Hour-1), key.CheckValid, 10), checks(b, oclock.Add(time.Hour), key.CheckValid, 5),
		checks(a, oclock.Add(time.Minute), key.CheckValid, 1<<40), checks(c, oclock, key.CheckExpired, 1))
	want[len(want)-1] = fmt.Sprint("22 02:00 VALID ", len(want)+10+1<<40)
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization, KeyID: a.ID}, want...)
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization, KeyID: b.ID}, "22 03:00 VALID 5")
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization}, append(want, "22 03:00 VALID 5")...)
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.otherOrganization}, "22 02:00 EXPIRED 1")
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.otherOrganization, KeyID: a.ID})
}

func usageOfNothing(t *testing.T, w *world) {
	k, _ := w.insert(t, w.key())
	w.addUsage(t)
	w.addUsage(t, checks(k, oclock, key.CheckNotFound, 1), checks(k, oclock, key.CheckValid, 0), checks(k, oclock, key.CheckValid, -3))
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization})
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization + 1000, KeyID: k.ID})
}

func usageBetween(t *testing.T, w *world) {
	k, _ := w.insert(t, w.key())
	for i := -27; i < 27; i++ {
		w.addUsage(t, checks(k, oclock.Add(time.Duration(i)*time.Hour), key.CheckValid, 1))
	}
	q := store.UsageQuery{OrganizationID: w.organization, KeyID: k.ID, From: oclock.Add(time.Minute), To: oclock.Add(2 * time.Hour)}
	w.wantUsage(t, q, "22 02:00 VALID 1", "22 03:00 VALID 1")
	q.To = q.To.Add(time.Millisecond)
	w.wantUsage(t, q, "22 02:00 VALID 1", "22 03:00 VALID 1", "22 04:00 VALID 1")
	q.To = q.From
	w.wantUsage(t, q, "22 02:00 VALID 1")
	q.From, q.To = oclock, oclock
	w.wantUsage(t, q)
	q.ByDay = true
	q.From, q.To = oclock, oclock.Add(time.Minute)
	w.wantUsage(t, q, "22 00:00 VALID 24")
	q.From, q.To = oclock.AddDate(0, 0, -1), oclock.Add(22*time.Hour)
	w.wantUsage(t, q, "21 00:00 VALID 24", "22 00:00 VALID 24")
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization, ByDay: true}, "20 00:00 VALID 1", "21 00:00 VALID 24", "22 00:00 VALID 24",
		"23 00:00 VALID 5")
}

func usageOfUser(t *testing.T, w *world) {
	mine, _ := w.insert(t, w.key())
	also, _ := w.insert(t, w.key())
	theirs := w.key()
	theirs.UserID = w.otherUser
	theirs, _ = w.insert(t, theirs)
	elsewhere := w.key()
	elsewhere.OrganizationID = w.otherOrganization
	elsewhere, _ = w.insert(t, elsewhere)
	w.addUsage(t, checks(mine, oclock, key.CheckValid, 1), checks(also, oclock, key.CheckValid, 2),
		checks(theirs, oclock, key.CheckValid, 4), checks(elsewhere, oclock, key.CheckValid, 8))
	for user, want := range map[int64]string{w.user: "VALID 3", w.otherUser: "VALID 4", 0: "VALID 7"} {
		w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization, UserID: user}, "22 02:00 "+want)
		w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization, UserID: user, ByDay: true}, "22 00:00 "+want)
	}
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization, UserID: w.user + 1000})
	w.update(t, func(tx store.Tx) error {
		_, err := tx.TransferKeysOf(t.Context(), w.organization, w.otherUser, key.AllScopes, w.user, start)
		return err
	})
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization, UserID: w.user}, "22 02:00 VALID 7")
}

func (w *world) deleteKey(t *testing.T, id int64) {
	t.Helper()
	w.update(t, func(tx store.Tx) error { return tx.DeleteKey(t.Context(), id) })
}

// tidy tidies up as if all were of today, until nothing is left to do, and returns how much there was.
func (w *world) tidy(t *testing.T, hoursBefore, daysBefore time.Time) (done int) {
	t.Helper()
	const batch = 3
	for n := batch; n == batch; done += n {
		wantChanges(t, w.update(t, func(tx store.Tx) (err error) {
			n, err = tx.TidyUsage(t.Context(), hoursBefore, daysBefore, batch)
			return err
		}))
		if n > batch {
			t.Fatalf("TidyUsage did %d things, of at most %d", n, batch)
		}
	}
	return done
}

func usageOfGoneKey(t *testing.T, w *world) {
	k, _ := w.insert(t, w.key())
	bystander, _ := w.insert(t, w.key())
	w.deleteKey(t, k.ID)
	w.addUsage(t, checks(k, oclock, key.CheckValid, 1), checks(bystander, oclock, key.CheckValid, 2))
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization, KeyID: k.ID})
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization}, "22 02:00 VALID 3")
	// A key of another organization than said is gone as well.
	w.addUsage(t, store.Checks{OrganizationID: w.otherOrganization, KeyID: bystander.ID, At: oclock, Outcome: key.CheckValid, Count: 4})
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.otherOrganization, KeyID: bystander.ID})
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization, KeyID: bystander.ID}, "22 02:00 VALID 2")
}

func tidyGoneKey(t *testing.T, w *world) {
	k, _ := w.insert(t, w.key())
	bystander, _ := w.insert(t, w.key())
	for i := range 10 {
		at := oclock.Add(time.Duration(i) * time.Hour)
		w.addUsage(t, checks(k, at, key.CheckValid, 1), checks(bystander, at, key.CheckValid, 1))
	}
	if n := w.tidy(t, oclock, oclock); n != 0 {
		t.Errorf("there were %d things to tidy up", n)
	}
	w.deleteKey(t, k.ID)
	if n := w.tidy(t, oclock, oclock); n != 11 { // and the note that it is gone
		t.Errorf("there were %d things to tidy up", n)
	}
	for of, want := range map[int64]string{k.ID: "", bystander.ID: "22 00:00 VALID 10", 0: "22 00:00 VALID 20"} {
		q := store.UsageQuery{OrganizationID: w.organization, KeyID: of, ByDay: true}
		if want == "" {
			w.wantUsage(t, q)
		} else {
			w.wantUsage(t, q, want)
		}
	}
	if n := w.tidy(t, oclock, oclock); n != 0 {
		t.Errorf("there were %d things to tidy up again", n)
	}
}

func tidyGoneOrganization(t *testing.T, w *world) {
	var keys []key.Key
	for range 4 {
		k, _ := w.insert(t, w.key())
		keys = append(keys, k)
	}
	elsewhere := w.key()
	elsewhere.OrganizationID = w.otherOrganization
	elsewhere, _ = w.insert(t, elsewhere)
	for _, k := range append(keys, elsewhere) {
		w.addUsage(t, checks(k, oclock, key.CheckValid, 1), checks(k, oclock, key.CheckDisabled, 1))
	}
	w.deleteKey(t, keys[0].ID)
	w.update(t, func(tx store.Tx) error {
		_, _, err := tx.DeleteOrganization(t.Context(), w.organization)
		return err
	})
	w.addUsage(t, checks(keys[0], oclock, key.CheckValid, 1)) // too late
	if n := w.tidy(t, oclock, oclock); n != 12 {              // two for each key and for all of them, and two notes
		t.Errorf("there were %d things to tidy up", n)
	}
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization})
	for _, k := range keys {
		w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization, KeyID: k.ID})
	}
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.otherOrganization, KeyID: elsewhere.ID}, "22 02:00 DISABLED 1", "22 02:00 VALID 1")
}

func tidyAges(t *testing.T, w *world) {
	k, _ := w.insert(t, w.key())
	for i := range 72 {
		w.addUsage(t, checks(k, oclock.Add(time.Duration(i)*time.Hour), key.CheckValid, 1))
	}
	byHour := store.UsageQuery{OrganizationID: w.organization, KeyID: k.ID, From: oclock, To: oclock.Add(72 * time.Hour)}
	byDay := byHour
	byDay.ByDay = true
	days := []string{"22 00:00 VALID 22", "23 00:00 VALID 24", "24 00:00 VALID 24", "25 00:00 VALID 2"}
	w.wantUsage(t, byDay, days...)

	// In the middle of a day: the rest of it stays hours.
	middle := oclock.Add(24*time.Hour + 30*time.Minute)
	if n := w.tidy(t, middle, oclock); n != 48 { // 24 of the key, and as many of the organization
		t.Errorf("%d hours became days", n)
	}
	w.wantUsage(t, byDay, days...)
	byHour.To = middle
	w.wantUsage(t, byHour, "23 02:00 VALID 1")
	byHour.To = oclock.Add(72 * time.Hour)
	if n := w.tidy(t, oclock.Add(72*time.Hour), oclock); n != 96 {
		t.Errorf("%d hours became days", n)
	}
	w.wantUsage(t, byHour)
	w.wantUsage(t, byDay, days...)
	byDay.KeyID = 0
	w.wantUsage(t, byDay, days...)

	// What is counted late for an hour that has become a day already.
	w.addUsage(t, checks(k, oclock, key.CheckValid, 1))
	if n := w.tidy(t, oclock.Add(72*time.Hour), oclock); n != 2 {
		t.Errorf("%d hours became days", n)
	}
	days[0] = "22 00:00 VALID 23"
	w.wantUsage(t, byDay, days...)

	endOfSecond := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	if n := w.tidy(t, oclock, endOfSecond.Add(-time.Hour)); n != 2 {
		t.Errorf("%d days were deleted, which ended before %v", n, endOfSecond.Add(-time.Hour))
	}
	w.wantUsage(t, byDay, days[1:]...)
	if n := w.tidy(t, oclock, endOfSecond); n != 2 {
		t.Errorf("%d days were deleted, which ended by %v", n, endOfSecond)
	}
	w.wantUsage(t, byDay, days[2:]...)
}

func tidyLimit(t *testing.T, w *world) {
	k, _ := w.insert(t, w.key())
	gone, _ := w.insert(t, w.key())
	for i := range 3 {
		at := oclock.Add(time.Duration(i) * time.Hour)
		w.addUsage(t, checks(k, at, key.CheckValid, 1), checks(gone, at, key.CheckValid, 1))
	}
	w.deleteKey(t, gone.ID)
	var done []int
	for range 6 {
		w.update(t, func(tx store.Tx) error {
			n, err := tx.TidyUsage(t.Context(), oclock.AddDate(0, 0, 1), oclock, 2)
			done = append(done, n)
			return err
		})
	}
	if want := []int{2, 2, 2, 2, 2, 0}; !slices.Equal(done, want) { // 3 and the note; 3 of the other key and 3 of the organization
		t.Errorf("TidyUsage did %v things, want %v", done, want)
	}
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization, ByDay: true}, "22 00:00 VALID 6")
}

func usageUndone(t *testing.T, w *world) {
	k, _ := w.insert(t, w.key())
	_, err := w.Update(t.Context(), func(tx store.Tx) error {
		if err := tx.AddUsage(t.Context(), []store.Checks{checks(k, oclock, key.CheckValid, 1)}); err != nil {
			return err
		}
		return store.ErrNotFound
	})
	wantIs(t, "Update", err, store.ErrNotFound)
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization, KeyID: k.ID})
	w.wantUsage(t, store.UsageQuery{OrganizationID: w.organization})
}
