package limit

import (
	"errors"
	"fmt"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

const (
	// firstShare is how much of a quota is asked for at a time to begin with, mostShare how much at most. Half and double of it are
	// asked for as it takes longer or shorter than it should until a share is used up.
	firstShare = 10
	mostShare  = 1 << 24
	// quick is the time in which a share is used up that is too small, slow that of one that is too large.
	quick = 5 * time.Second
	slow  = 30 * time.Second
	// restParts: a share is at most this part of what is left to all. The end of a quota is thus approached in ever smaller
	// shares, so that no node holds much while another one has to refuse.
	restParts = 8
	// lowParts: when this part of a share is left, the next one is fetched.
	lowParts = 4
)

// share is what this process has of one key's quota.
type share struct {
	keyID int64
	quota key.Quota // as it was when the share was taken

	start, end time.Time // of the period that it is of; a zero end is none
	kept       time.Time // the beginning of the period that the store said last
	left       int64     // requests that may still be let pass
	granted    int64     // of the last take
	used       int64     // how much of the quota was handed out to all, at the last take
	known      bool      // used is what the store said
	asked      bool      // the store was asked

	size    int64         // how much to ask for
	capped  bool          // less was asked for the last time, because the end is near
	takenAt time.Duration // the last take

	usedAt  time.Duration // the last request
	retryAt time.Duration // until when the store is not asked again, because of
	failure error         // which it could not answer; nil: the quota is used up
	pause   time.Duration // for how long it was not asked the last time

	busy chan struct{} // closed when the take that is under way has ended; nil: there is none
}

// changedError is that a quota is asked about which is now another one, or none.
type changedError struct{ to key.Quota }

func (e *changedError) Error() string {
	return fmt.Sprintf("the quota was changed: its generation is %d", e.to.Generation)
}

// changedTo returns what a quota is now, where err says that it was changed.
func changedTo(err error) (key.Quota, bool) {
	if err == nil {
		return key.Quota{}, false
	}
	var changed *changedError
	if !errors.As(err, &changed) {
		return key.Quota{}, false
	}
	return changed.to, true
}

func newShare(keyID int64, q key.Quota) *share {
	return &share{keyID: keyID, quota: q, size: firstShare}
}

// current reports whether s is a share of the quota as it is, and of the period that it is. Where a quota is changed and changed back,
// its generation tells that what was taken before is of another one.
func (s *share) current(q key.Quota, at time.Time) bool {
	return s.quota == q && (s.end.IsZero() || at.Before(s.end))
}

// latest returns the quota as it is, as far as is known here.
func (s *share) latest() key.Quota {
	if to, changed := changedTo(s.failure); changed {
		return to
	}
	return s.quota
}

// paused reports whether the store is not to be asked again yet. A clock that has jumped back is not waited for. A request that has only
// looked at it before the store answered knows nothing newer.
func (s *share) paused(now time.Duration) bool {
	return s.asked && now < s.retryAt && now >= s.retryAt-s.pause-mostLate
}

// low reports whether it is time for the next share. Of small shares there are so few requests left then that one can as well
// wait for the last; and the nearer the end, the less should lie about.
func (s *share) low() bool { return s.left > 0 && s.left <= s.granted/lowParts }

// allowance returns what is left of the quota, as far as is known here.
func (s *share) allowance(at time.Time) key.Allowance {
	a := key.Allowance{Name: key.QuotaName, Requests: s.quota.Requests, Remaining: max(0, s.quota.Requests-s.used) + s.left, Reset: -1}
	a.Remaining = min(a.Remaining, a.Requests)
	if !s.end.IsZero() {
		a.Reset = max(0, s.end.Sub(at))
	}
	return a
}

// refusal is the allowance of a request that is refused because nothing is left.
func (s *share) refusal(at time.Time) key.Allowance {
	a := s.allowance(at)
	a.Remaining, a.Retry = 0, a.Reset
	return a
}

// ask makes s a share of a quota as it is at a time, and returns what the store is to be asked for. What is left of it stays here
// where it is good for the same quota in the same period; else it is given back, or is worth nothing any more.
func (s *share) ask(q key.Quota, at time.Time, now time.Duration) store.QuotaTake {
	s.resize(now)
	start := q.Period.Start(at)
	if start.Before(s.kept) {
		start = s.kept // the clock is behind somebody else's, or the period was a shorter one
	}
	t := store.QuotaTake{KeyID: s.keyID, Quota: q, PeriodStart: start}
	if same := start.Equal(s.start); !same {
		s.left, s.used = 0, 0
	} else if s.quota != q {
		t.Return, s.left = s.left, 0
		s.used -= t.Return
	}
	s.quota, s.start, s.end = q, start, endOf(q.Period, start)
	t.Want = s.want()
	return t
}

// want returns how much to ask for. As long as nobody knows how near the end is, that is a single request.
func (s *share) want() int64 {
	if !s.known {
		return 1
	}
	most := max(1, (s.quota.Requests-s.used+restParts-1)/restParts)
	s.capped = most < s.size
	return min(s.size, most)
}

// resize changes how much is asked for, by how long the last share has lasted.
func (s *share) resize(now time.Duration) {
	switch lasted := now - s.takenAt; {
	case !s.known || s.granted == 0 || s.capped:
	case s.granted < s.size: // the first, which tells nothing
	case lasted < quick:
		s.size = min(2*s.size, mostShare)
	default:
		for ; lasted > slow; lasted /= 2 {
			s.size = max(s.size/2, 1)
		}
	}
}

// idle reports whether s was not used since a time.
func (s *share) idle(since time.Duration) bool { return s.usedAt <= since }

// stale reports whether s was taken when requests came more quickly than they do now: others may need it.
func (s *share) stale(now time.Duration) bool { return now-s.takenAt > slow && s.left > s.granted/2 }

// endOf returns when the period ends that began at start or, where the quota was another one then, that start is in.
func endOf(p key.Period, start time.Time) time.Time {
	if start.IsZero() {
		return time.Time{}
	}
	return p.End(p.Start(start))
}

// enter takes up what the store said about t.
func (s *share) enter(got store.QuotaShare, err error, now time.Duration) {
	s.asked, s.failure = true, err
	if err != nil {
		s.rest(failurePause, now)
		return
	}
	s.kept = got.PeriodStart
	if got.Quota.Generation != s.quota.Generation {
		s.failure = &changedError{to: got.Quota}
		s.rest(failurePause, now)
		return
	}
	if got.PeriodStart.After(s.start) {
		s.left = 0 // of a period that is over by somebody else's clock
		s.start, s.end = got.PeriodStart, endOf(s.quota.Period, got.PeriodStart)
	}
	s.known, s.used, s.granted, s.takenAt = true, got.Used, got.Granted, now
	s.left += got.Granted
	if got.Granted == 0 {
		s.rest(min(max(usedUpPause, 2*s.pause), longestPause), now)
	} else {
		s.rest(0, 0)
	}
}

// shrink makes the next share as large as what was used of this one, of which so much was given back.
func (s *share) shrink(back int64, got store.QuotaShare, err error) {
	s.size, s.granted = max(min(s.size/2, s.granted-back), 1), 0
	if err == nil {
		s.used = got.Used
	}
}

// rest keeps the store from being asked for a while.
func (s *share) rest(pause, now time.Duration) { s.pause, s.retryAt = pause, now+pause }
