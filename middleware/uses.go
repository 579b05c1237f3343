package middleware

import (
	"sync"

	"github.com/apikeyd/apikeyd/api"
)

// uses are the checks that were decided here, and that apikeyd was not told of yet. It keeps the last use of each key, and counts.
type uses struct {
	most int           // keys that may wait to be told of
	many chan struct{} // half as many do

	mu      sync.Mutex
	pending []use // those whose count is not zero
}

type use struct {
	of      *entry
	outcome outcome
}

// maxDropped is how many keys may wait to be told of that the cache has dropped since.
const maxDropped = 50 * api.MaxKeyUses

// newUses returns those of a cache of so many keys.
func newUses(keys int) *uses { return &uses{most: keys + maxDropped, many: make(chan struct{}, 1)} }

// count counts one check, unless so many keys wait that apikeyd cannot follow.
func (u *uses) count(e *entry, o outcome) {
	if e.uses[o].Add(1) != 1 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.pending) >= u.most {
		e.uses[o].Store(0) // so that it is counted later
		return
	}
	u.pending = append(u.pending, use{e, o})
	if len(u.pending) == u.most/2 {
		select {
		case u.many <- struct{}{}:
		default:
		}
	}
}

// take returns some of what is to be told, as much as may be told at once. It is not told again, whatever becomes of it.
func (u *uses) take() []api.KeyUses {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := min(len(u.pending), api.MaxKeyUses)
	taken := u.pending[len(u.pending)-n:]
	u.pending = u.pending[:len(u.pending)-n]
	told := make([]api.KeyUses, 0, n)
	for i, t := range taken {
		told = append(told, api.KeyUses{Digest: t.of.digest[:], Code: codes[t.outcome], Count: t.of.uses[t.outcome].Swap(0)})
		taken[i] = use{} // what was dropped from the table is not held here
	}
	return told
}
