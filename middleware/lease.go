package middleware

import (
	"sync/atomic"
	"time"
)

// lease is the leave to answer from memory, by this program's own clock. Its methods are safe for concurrent use; a session alone
// extends and ends it.
type lease struct{ until atomic.Pointer[time.Time] }

// held reports whether it lasts at now, a reading of the clock just taken.
//
// Two clocks are asked: the monotonic one, and the wall clock, which shows what stopped the other, as suspending the machine does. If
// either says that the lease has ended, it has.
func (l *lease) held(now time.Time) bool {
	until := l.until.Load()
	return until != nil && now.Before(*until) && now.UnixNano() < until.UnixNano()
}

// extend counts a lease from when it was asked for, less a tenth: clocks do not all run at the same rate.
func (l *lease) extend(asked time.Time, length time.Duration) {
	until := asked.Add(length - length/10)
	l.until.Store(&until)
}

// end ends it at once.
func (l *lease) end() { l.until.Store(nil) }
