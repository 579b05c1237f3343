package verify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/token"
	"github.com/apikeyd/apikeyd/internal/usage"
)

// lease is a Lease that does what a test says.
type lease struct {
	mu      sync.Mutex
	term    uint64
	held    bool
	excused bool
}

func (l *lease) Held(time.Time) (uint64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term, l.held
}

func (l *lease) Excused(time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.excused
}

func (l *lease) set(term uint64, held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term, l.held = term, held
}

func newLeased(t *testing.T) (*Checker, *tokens, *lease) {
	t.Helper()
	s, l := &tokens{records: map[key.Digest]key.Record{}}, &lease{term: 1, held: true}
	return New(Options{
		Tokens: s, Usage: usage.NewRecorder(discard{}, slog.New(slog.DiscardHandler)), Now: time.Now, Lease: l,
		CacheBytes: 1 << 20, NegativeCacheBytes: 1 << 20,
	}), s, l
}

// stall has look-ups that begin from now on wait, after they have read, until the returned function is called.
func (s *tokens) stall() (release func()) {
	c := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.during = func(_ context.Context, found error) error { <-c; return found }
	return func() { close(c) }
}

// flow has look-ups that begin from now on go through.
func (s *tokens) flow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.during = nil
}

func TestWithoutALeaseNothingIsKept(t *testing.T) {
	c, s, l := newLeased(t)
	good, unknown := token.New("ak"), token.New("ak")
	s.set(good.Digest(), record(1))
	l.set(1, false)
	for range 3 {
		mustCheck(t, c, good.Reveal(), key.Question{})
		mustCheck(t, c, unknown.Reveal(), key.Question{})
	}
	if n := s.lookups.Load(); n != 6 {
		t.Errorf("%d look-ups for 6 checks", n)
	}
	if st := c.Stats(); st.Known.Entries+st.Unknown.Entries != 0 {
		t.Errorf("stats %+v: something was cached", st)
	}
}

// What is in the cache comes to light again only with a lease, which is renewed only after what changed was invalidated.
func TestTheCacheIsNotUsedWithoutALease(t *testing.T) {
	c, s, l := newLeased(t)
	good, unknown := token.New("ak"), token.New("ak")
	s.set(good.Digest(), record(1))
	mustCheck(t, c, good.Reveal(), key.Question{})
	mustCheck(t, c, unknown.Reveal(), key.Question{})
	s.remove(good.Digest())
	s.set(unknown.Digest(), record(2))
	l.set(1, false)
	if got := mustCheck(t, c, good.Reveal(), key.Question{}); got != key.CheckNotFound {
		t.Errorf("a key that another node has deleted: %v", got)
	}
	if got := mustCheck(t, c, unknown.Reveal(), key.Question{}); got != key.CheckValid {
		t.Errorf("a key that another node has made: %v", got)
	}
}

func TestWithoutALeaseNothingIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, l := newLeased(t)
		tok := token.New("ak")
		s.set(tok.Digest(), record(1))
		l.set(1, false)
		release := s.stall()
		early := make(chan key.Outcome, 1)
		go func() { early <- mustCheck(t, c, tok.Reveal(), key.Question{}) }()
		synctest.Wait()
		s.remove(tok.Digest()) // another node does it, and need not tell this one
		s.flow()
		if got := mustCheck(t, c, tok.Reveal(), key.Question{}); got != key.CheckNotFound {
			t.Errorf("a check that began after the delete: %v", got)
		}
		release()
		<-early
		l.set(2, true)
		if got := mustCheck(t, c, tok.Reveal(), key.Question{}); got != key.CheckNotFound {
			t.Errorf("with a lease again: %v; a look-up made without one was cached", got)
		}
	})
}

// A look-up of a lost term has read what may have changed since without a word to this node.
func TestALookUpOfALostTermIsNotUsedByOthers(t *testing.T) {
	for name, after := range map[string]struct {
		term uint64
		held bool
	}{"no lease": {1, false}, "a later term": {2, true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s, l := newLeased(t)
				tok := token.New("ak")
				s.set(tok.Digest(), record(1))
				release := s.stall()
				answers := make(chan key.Outcome, 2)
				check := func() { answers <- mustCheck(t, c, tok.Reveal(), key.Question{}) }
				go check()
				synctest.Wait()
				s.remove(tok.Digest())
				l.set(after.term, after.held)
				// What the node does between two terms, as far as it knows of the change.
				c.Invalidate([]store.Change{{Digest: tok.Digest()}})
				s.flow()
				go check()
				synctest.Wait()
				if got := <-answers; got != key.CheckNotFound {
					t.Errorf("a check that began after the delete: %v", got)
				}
				release()
				if got := <-answers; got != key.CheckNotFound {
					t.Errorf("the look-up of the lost term itself: %v", got)
				}
			})
		})
	}
}

// One who comes in a later term while a look-up of an earlier one is under way does not take what that brings.
func TestALaterTermDoesNotJoinAnEarlierLookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, l := newLeased(t)
		tok := token.New("ak")
		s.set(tok.Digest(), record(1))
		release := s.stall()
		answers := make(chan key.Outcome, 2)
		check := func() { answers <- mustCheck(t, c, tok.Reveal(), key.Question{}) }
		go check()
		synctest.Wait()
		r := record(1)
		r.Enabled = false
		s.set(tok.Digest(), r)
		l.set(2, true)
		s.flow()
		go check()
		synctest.Wait()
		release()
		for range 2 {
			if got := <-answers; got == key.CheckValid {
				t.Error("a check was answered by a look-up of a lost term")
			}
		}
	})
}

func TestForgetDetachesLookUps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := newLeased(t)
		tok, cached := token.New("ak"), token.New("ak")
		s.set(cached.Digest(), record(2))
		mustCheck(t, c, cached.Reveal(), key.Question{})
		s.set(tok.Digest(), record(1))
		release := s.stall()
		early := make(chan key.Outcome, 1)
		go func() { early <- mustCheck(t, c, tok.Reveal(), key.Question{}) }()
		synctest.Wait()
		s.remove(tok.Digest())
		s.remove(cached.Digest())
		s.flow()
		c.Forget()
		for name, k := range map[string]token.Token{"looked up": tok, "cached": cached} {
			if got := mustCheck(t, c, k.Reveal(), key.Question{}); got != key.CheckNotFound {
				t.Errorf("the key that was %s, after everything was forgotten: %v", name, got)
			}
		}
		release()
		if got := <-early; got != key.CheckNotFound {
			t.Errorf("the look-up that was under way: %v", got)
		}
		if got := mustCheck(t, c, tok.Reveal(), key.Question{}); got != key.CheckNotFound {
			t.Errorf("after it has ended: %v; it was cached", got)
		}
	})
}

func TestExcusedOnlyWhereTheStoreIsUnavailable(t *testing.T) {
	away := fmt.Errorf("%w: nobody answers", store.ErrUnavailable)
	other := errors.New("a fault of ours")
	for _, test := range []struct {
		name    string
		excused bool
		err     error
		want    key.Outcome
		fails   bool
	}{
		{"away and excused", true, away, key.CheckValid, false},
		{"away and not excused", false, away, 0, true},
		{"another error", true, other, 0, true},
		{"deleted elsewhere", true, store.ErrNotFound, key.CheckNotFound, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, s, l := newLeased(t)
			tok, never := token.New("ak"), token.New("ak")
			s.set(tok.Digest(), record(1))
			mustCheck(t, c, tok.Reveal(), key.Question{})
			l.set(1, false)
			l.excused = test.excused
			s.during = func(context.Context, error) error { return test.err }
			d, err := c.Check(t.Context(), []byte(tok.Reveal()), key.Question{})
			if (err != nil) != test.fails || err == nil && d.Outcome != test.want {
				t.Errorf("%v, %v", d.Outcome, err)
			}
			if stale := c.Stats().Stale; (stale == 1) != (test.want == key.CheckValid) {
				t.Errorf("%d stale answers are counted", stale)
			}
			if _, err := c.Check(t.Context(), []byte(never.Reveal()), key.Question{}); !errors.Is(test.err, store.ErrNotFound) && err == nil {
				t.Error("a token that is not in the cache was answered for")
			}
			if test.want == key.CheckValid { // expiry and the rest are decided all the same
				if d, err = c.Check(t.Context(), []byte(tok.Reveal()), key.Question{OrganizationID: 99}); err != nil || d.Outcome != key.CheckNotFound {
					t.Errorf("asked about another organization: %v, %v", d.Outcome, err)
				}
			}
		})
	}
}
