package limit

import (
	"math/bits"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
)

// level says how much of a limit is used: all of it will be there again at that time, unless more requests come. Each request
// moves the level on by the time in which one request comes back, window/requests, and there is room for one more where the
// level is then at most a window ahead. This is the generic cell rate algorithm. The time is kept as a fraction, so that nothing is
// rounded however many requests there are in a window.
type level struct {
	at   int64 // in whole units of time
	part int64 // and in part/requests of a unit, less than one
}

// rate is a limit in numbers.
type rate struct {
	requests int64 // at least 1
	window   int64 // in units of time
}

// at returns the level as it stands: never behind now, when all is there, and never more than a window ahead, when all is
// used. It can be further ahead where the window has become shorter, or the clock has jumped back.
func (r rate) at(l level, now int64) level {
	switch {
	case l.at < now:
		return level{at: now}
	case l.at >= now+r.window:
		return level{at: now + r.window}
	}
	return l
}

// spend returns the level after one more request.
func (r rate) spend(l level) level {
	l.at += r.window / r.requests
	if l.part += r.window % r.requests; l.part >= r.requests {
		l.part -= r.requests
		l.at++
	}
	return l
}

// unspend returns the level before its last request.
func (r rate) unspend(l level) level {
	l.at -= r.window / r.requests
	if l.part -= r.window % r.requests; l.part < 0 {
		l.part += r.requests
		l.at--
	}
	return l
}

// over returns by how much a level is more than a window ahead of now, rounded up; 0: it is not.
func (r rate) over(l level, now int64) int64 { return max(0, l.up()-now-r.window) }

// up returns the level in whole units, rounded up.
func (l level) up() int64 {
	if l.part > 0 {
		return l.at + 1
	}
	return l.at
}

// remaining returns how many requests there is room for at a level that is as it stands.
func (r rate) remaining(l level, now int64) int64 {
	// (ahead - part/requests) × requests / window, where ahead is what is missing to a whole window
	hi, lo := bits.Mul64(uint64(now+r.window-l.at), uint64(r.requests))
	lo, borrow := bits.Sub64(lo, uint64(l.part), 0)
	n, _ := bits.Div64(hi-borrow, lo, uint64(r.window))
	return int64(n)
}

// allowance returns what is left of a limit at a level that is as it stands. unit is how long a unit of time is.
func (r rate) allowance(name string, l level, now int64, unit time.Duration) key.Allowance {
	return key.Allowance{Name: name, Requests: r.requests, Remaining: r.remaining(l, now), Reset: time.Duration(l.up()-now) * unit}
}

// nearer reports whether a is nearer to being used up than b: less of it is left in proportion. Where it is as much, the one that
// takes longer to be there again is nearer.
func nearer(a, b key.Allowance) bool {
	aHi, aLo := bits.Mul64(uint64(a.Remaining), uint64(b.Requests))
	bHi, bLo := bits.Mul64(uint64(b.Remaining), uint64(a.Requests))
	switch {
	case aHi != bHi:
		return aHi < bHi
	case aLo != bLo:
		return aLo < bLo
	}
	return longer(a.Reset, b.Reset)
}

// longer reports whether a is longer than b; a negative time is without end.
func longer(a, b time.Duration) bool { return uint64(a) > uint64(b) }
