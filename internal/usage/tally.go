package usage

import (
	"sync/atomic"

	"github.com/apikeyd/apikeyd/internal/key"
)

// Tally holds what the checks of one token have left behind since it was collected last: how many had which outcome, and
// when the key was used. It stands beside the record in the cache, and must not be copied. See Of.
//
// What every check touches stands in front.
type Tally struct {
	valid atomic.Uint32
	used  atomic.Uint32 // low bits of the key.Millis of a use; 0: none is noted
	// The other outcomes but CheckNotFound, which no key has.
	refused [key.OutcomeCount - 2]atomic.Uint32

	next atomic.Pointer[Tally] // in the list of those to collect; nil: it is not in it
	of   *key.Record
}

const firstRefusal = key.CheckNotFound + 1

// Of says whose checks are counted. It must be called before anything is.
func (t *Tally) Of(r *key.Record) { t.of = r }

// lowBits returns as much of a time as a Tally holds, which is enough: it is read within seconds.
func lowBits(at key.Millis) uint32 {
	low := uint32(at)
	if low == 0 {
		low-- // a millisecond earlier: 0 is none
	}
	return low
}

// wholeTime returns the time with these low bits that is nearest before now, or a little later: clocks are set.
func wholeTime(low uint32, now key.Millis) key.Millis {
	return now - key.Millis(int32(uint32(now)-low))
}

// Count counts a check with an outcome that keys have. It never waits for anything.
func (r *Recorder) Count(t *Tally, o key.Outcome, now key.Millis) {
	if o != key.CheckValid {
		if t.refused[o-firstRefusal].Add(1) == 1 {
			r.list(t)
		}
		return
	}
	if t.valid.Add(1) == 1 {
		t.used.Store(lowBits(now))
		r.list(t)
	}
}

// Touch notes that a key was used, by a check that is not counted. It never waits for anything either.
func (r *Recorder) Touch(t *Tally, now key.Millis) {
	if t.used.Load() == 0 && t.used.CompareAndSwap(0, lowBits(now)) {
		r.list(t)
	}
}

// list puts a tally, which has something to collect, into the list where it is not in it. The list goes on holding a tally whose
// token was dropped from the cache, so nothing of it is lost.
func (r *Recorder) list(t *Tally) {
	if !t.next.CompareAndSwap(nil, &r.end) {
		return // whoever collects it takes what was counted before: see collect
	}
	for {
		head := r.head.Load()
		t.next.Store(head)
		if r.head.CompareAndSwap(head, t) {
			break
		}
	}
	if r.listed.Add(1) == maxListed {
		select {
		case r.full <- struct{}{}:
		default:
		}
	}
}

// take takes everything out of the tallies in the list. A tally leaves the list before its numbers are taken: what is counted
// in between is taken as well, and what is counted afterwards lists it anew, because its number was 0.
func (r *Recorder) take(found func(*key.Record, key.Outcome, int64), used func(*key.Record, uint32)) {
	r.listed.Store(0)
	for t := r.head.Swap(&r.end); t != &r.end; {
		next := t.next.Load()
		t.next.Store(nil)
		if n := t.valid.Swap(0); n > 0 {
			found(t.of, key.CheckValid, int64(n))
		}
		for i := range t.refused {
			if n := t.refused[i].Swap(0); n > 0 {
				found(t.of, firstRefusal+key.Outcome(i), int64(n))
			}
		}
		if at := t.used.Swap(0); at != 0 {
			used(t.of, at)
		}
		t = next
	}
}
