package cluster

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// expiry is how long a change waits for a node that says nothing.
const expiry = length + length/10

func TestAcknowledgedByWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		a, b := run(t, d, "a"), run(t, d, "b")
		c := d.commit(digest(1))
		if waited := took(func() { a.Invalidate([]store.Change{c}) }); waited != 0 {
			t.Errorf("waited %v for a node that is well", waited)
		}
		if !a.cache.lacks(c.Digest) || !b.cache.lacks(c.Digest) {
			t.Error("a node has not been told")
		}
		if s := a.Stats(); s.Waits != 1 || s.Expiries != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// Whom changes have waited for is told by name, of which there are not too many, and said to the database from time to time.
func TestForWhomChangesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		a, slow := run(t, d, "a"), join(d, "slow")
		step := func() {
			if err := slow.step(t.Context(), false); err != nil {
				t.Error(err)
			}
		}
		step()
		for range 2 {
			c := d.commit(digest(1))
			var stepping sync.WaitGroup
			stepping.Go(func() { time.Sleep(time.Second); step() })
			a.Invalidate([]store.Change{c})
			stepping.Wait()
		}
		want := Awaited{Changes: 2, Waited: 2 * time.Second}
		if s := a.Stats(); s.Awaited["slow"] != want || s.Last != s.Applied || s.Last != 2 {
			t.Errorf("stats %+v, want %+v", s, want)
		}
		time.Sleep(tidyEvery)
		synctest.Wait()
		if n := d.rows[slow.self.ID]; n.Waits != 2 || n.Waited != want.Waited {
			t.Errorf("the database knows of %d changes and %v", n.Waits, n.Waited)
		}
		a.Invalidate([]store.Change{d.commit(digest(1))}) // waits until the lease has ended
		if got := a.Stats().Awaited["slow"]; got.Changes != 3 || got.Expiries != 1 || got.Waited < want.Waited+length {
			t.Errorf("stats %+v", got)
		}

		for i := range maxAwaited {
			b := join(d, fmt.Sprint("dead ", i))
			if err := b.step(t.Context(), false); err != nil {
				t.Fatal(err)
			}
		}
		a.Invalidate([]store.Change{d.commit(digest(1))})
		if s := a.Stats().Awaited; len(s) != maxAwaited || s[Others].Changes != 2 {
			t.Errorf("%d names, %+v for others", len(s), s[Others])
		}
	})
}

// A node hears of a change by word before it can apply it.
func TestChangesBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		a := run(t, d, "a")
		d.set(func(d *database) { d.away, d.mute = true, true })
		d.commit(digest(1))
		c := d.commit(digest(2))
		synctest.Wait()
		if s := a.Stats(); s.Last != c.ID || s.Applied != 0 {
			t.Errorf("stats %+v, want two changes behind", s)
		}
	})
}

// Notifications only save time: what has to be followed is followed at the next renewal.
func TestAcknowledgedWithoutWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		a, b := run(t, d, "a"), run(t, d, "b")
		d.set(func(d *database) { d.deaf = true })
		c := d.commit(digest(1))
		waited := took(func() { a.Invalidate([]store.Change{c}) })
		if waited == 0 || waited > length/4+askAgain {
			t.Errorf("waited %v, want at most the time between two renewals", waited)
		}
		if !b.cache.lacks(c.Digest) || !b.holds() {
			t.Error("the other node has not been told, or has lost its lease")
		}
	})
}

func TestAChangeWaitsForALeaseToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		a, b := run(t, d, "a"), join(d, "frozen")
		if err := b.step(t.Context(), false); err != nil { // and never again
			t.Fatal(err)
		}
		c := d.commit(digest(1))
		waited := took(func() { a.Invalidate([]store.Change{c}) })
		if waited < length || waited > expiry+askAgain {
			t.Errorf("waited %v for a lease of %v", waited, length)
		}
		if b.holds() {
			t.Error("the change was answered while the lease was held")
		}
		if s := a.Stats(); s.Expiries != 1 || s.Waited != waited {
			t.Errorf("stats %+v, want one expiry and %v", s, waited)
		}
		if ids := d.ids(); len(ids) != 1 {
			t.Errorf("nodes %v; the dead one was to be removed", ids)
		}
		if waited := took(func() { a.Invalidate([]store.Change{d.commit(digest(2))}) }); waited != 0 {
			t.Errorf("the next change has waited %v for the same node", waited)
		}

		// It goes on, and finds that it was given up.
		forgets := b.cache.forgets()
		if err := b.step(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if b.cache.forgets() == forgets || !b.holds() || len(d.ids()) != 2 {
			t.Error("it has not joined anew with an empty cache")
		}
	})
}

// A change that was numbered but not made is waited for in vain. That must not cost a node that renews its place: it holds a
// lease, and the next change has to wait for it.
func TestANodeThatRenewsIsNotExpelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		a, b := run(t, d, "a"), run(t, d, "b")
		a.Invalidate([]store.Change{{ID: 7, Digest: digest(7)}})
		if ids := d.ids(); len(ids) != 2 || !b.holds() {
			t.Fatalf("nodes %v; a node that is well was removed", ids)
		}
		c := d.commit(digest(1))
		if waited := took(func() { a.Invalidate([]store.Change{c}) }); waited != 0 || !b.cache.lacks(c.Digest) {
			t.Errorf("waited %v; the other node was told: %v", waited, b.cache.lacks(c.Digest))
		}
	})
}

func TestTheDatabaseGoesAwayWhileAChangeWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		a, b := run(t, d, "a"), join(d, "frozen")
		if err := b.step(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		c := d.commit(digest(1))
		go func() {
			time.Sleep(time.Second) // it has said who there is
			d.set(func(d *database) { d.away = true })
		}()
		waited := took(func() { a.Invalidate([]store.Change{c}) })
		if waited < length || waited > expiry+askAgain || b.holds() {
			t.Errorf("waited %v, the lease is held: %v", waited, b.holds())
		}
	})
}

func TestTheDatabaseGoesAwayBeforeItSaysWhoThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		a := run(t, d, "a")
		c := d.commit(digest(1))
		d.set(func(d *database) { d.away = true })
		waited := took(func() { a.Invalidate([]store.Change{c}) })
		if limit := MaxLease + MaxLease/10; waited < limit || waited > limit+askAgain {
			t.Errorf("waited %v, want as long as the longest lease there may be", waited)
		}
	})
}

func TestANodeDoesNotWaitForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		a := run(t, d, "a")
		d.set(func(d *database) { d.deaf = true })
		if waited := took(func() { a.Invalidate([]store.Change{d.commit(digest(1))}) }); waited != 0 {
			t.Errorf("waited %v", waited)
		}
		// Nor where nothing was numbered: there are no others.
		if waited := took(func() { a.Invalidate([]store.Change{{Digest: digest(2)}}) }); waited != 0 || !a.cache.lacks(digest(2)) {
			t.Errorf("waited %v; forgotten: %v", waited, a.cache.lacks(digest(2)))
		}
	})
}

// A renewal brings what was changed until then, and the next one says that it is applied.
func TestARenewalBringsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		b := join(d, "b")
		made := 0
		d.deciding = func() {
			if made < 3 {
				made++
				d.commit(digest(byte(made)))
			}
		}
		if err := b.step(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		for n := range made {
			if !b.cache.lacks(digest(byte(n + 1))) {
				t.Errorf("the lease was renewed without change %d", n+1)
			}
		}
		if row := d.rows[b.self.ID]; !b.holds() || d.renewals != 4 || row.Applied != 3 {
			t.Errorf("held: %v, after %d renewals; the others know of change %d", b.holds(), d.renewals, row.Applied)
		}
		d.deciding = func() { d.commit(digest(0)) } // each time
		if err := b.step(t.Context(), false); err != nil || d.renewals != 4+tries || !b.holds() || len(b.wake) != 1 {
			t.Errorf("error %v, %d renewals, held: %v; it goes on at once: %v", err, d.renewals, b.holds(), len(b.wake) == 1)
		}
	})
}

// News that say all are applied as they are: to read the changes again, and to ask again who lacks them, would cost each change a way to
// the database.
func TestNewsSaveAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		a, b := run(t, d, "a"), run(t, d, "b")
		d.set(func(d *database) { d.follows, d.asked = 0, 0 })
		for n := range byte(3) {
			c := d.commit(digest(n + 1))
			if waited := took(func() { a.Invalidate([]store.Change{c}) }); waited != 0 || !b.cache.lacks(c.Digest) {
				t.Errorf("waited %v; the other node was told: %v", waited, b.cache.lacks(c.Digest))
			}
		}
		if synctest.Wait(); d.follows != 0 || d.asked > 3 {
			t.Errorf("changes were read %d times, and it was asked %d times who lacks them", d.follows, d.asked)
		}
	})
}

// News that go on from somewhere else, or say little, or come from another server, only say that there is something to read.
func TestNewsThatDoNotSayAll(t *testing.T) {
	all := func(d *database) []key.Digest { return []key.Digest{d.changes[1], d.changes[2]} }
	for name, news := range map[string]func(*database) []store.News{
		"they say nothing":  func(*database) []store.News { return []store.News{{}} },
		"they say how many": func(*database) []store.News { return []store.News{{Last: 2}} },
		"some before them got lost": func(d *database) []store.News {
			return []store.News{{Last: 2, Digests: all(d)[1:], History: d.history}}
		},
		"another history": func(d *database) []store.News { return []store.News{{Last: 2, Digests: all(d), History: "2"}} },
		"too many":        func(*database) []store.News { return make([]store.News, maxNews+1) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDatabase()
				b := join(d, "b")
				if err := b.step(t.Context(), false); err != nil {
					t.Fatal(err)
				}
				d.commit(digest(1))
				d.commit(digest(2))
				for _, one := range news(d) {
					b.changed(one)
				}
				if err := b.step(t.Context(), true); err != nil {
					t.Fatal(err)
				}
				if d.follows != 1 || b.self.Applied != 2 || !b.cache.lacks(digest(1)) || !b.cache.lacks(digest(2)) || b.cache.forgets() != 1 {
					t.Errorf("read %d times; applied %d; forgotten %d times", d.follows, b.self.Applied, b.cache.forgets())
				}
			})
		})
	}
}

// Where a node is in a hurry to say that it has applied a change, a crash may lose that it has renewed; so it gets no lease by it, or it
// might be expelled and go on answering.
func TestAnAcknowledgementIsNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		b := join(d, "b")
		step := func(told bool, want time.Duration) {
			t.Helper()
			if err := b.step(t.Context(), told); err != nil || b.lease.Left() != want {
				t.Errorf("a lease of %v (error %v), want %v", b.lease.Left(), err, want)
			}
		}
		const whole, pause = length - length/10, length / 4
		step(false, whole)
		time.Sleep(pause)
		d.commit(digest(1))
		step(true, whole-pause)
		step(false, whole)
		d.set(func(d *database) { d.history = "2" })
		step(true, whole) // it has joined anew
	})
}

// Word of a server that has been replaced is about changes that may be lost, and whose numbers others have got.
func TestWordOfAnotherHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		a, frozen := run(t, d, "a"), join(d, "frozen")
		if err := frozen.step(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		c := d.commit(digest(1))
		word := time.AfterFunc(time.Second, func() { a.applied(store.Word{NodeID: frozen.self.ID, Applied: c.ID, History: "before"}) })
		defer word.Stop()
		if waited := took(func() { a.Invalidate([]store.Change{c}) }); waited < length {
			t.Errorf("the change was answered after %v, and the node has not let go", waited)
		}
	})
}

// Word of others does not keep a change from asking again.
func TestWordOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		a := run(t, d, "a")
		c := d.commit(digest(1))
		d.set(func(d *database) { d.away = true }) // who there is cannot be said at first
		end := time.After(2 * askAgain)
		var talking sync.WaitGroup
		talking.Go(func() {
			for range 100 {
				time.Sleep(askAgain / 4)
				a.applied(store.Word{NodeID: 7, Applied: c.ID, History: d.history})
				select {
				case <-end:
					d.set(func(d *database) { d.away = false })
				default:
				}
			}
		})
		if waited := took(func() { a.Invalidate([]store.Change{c}) }); waited > 4*askAgain {
			t.Errorf("waited %v", waited)
		}
		talking.Wait()
	})
}

// Old news are no news, and what a node has changed itself does not wake it.
func TestOldNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		b := join(d, "b")
		first, second := d.commit(digest(1)), d.commit(digest(2))
		if err := b.step(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		b.changed(store.News{Last: first.ID, Digests: []key.Digest{first.Digest}, History: d.history})
		b.changed(store.News{Last: second.ID, Digests: []key.Digest{second.Digest}, History: d.history})
		third := d.commit(digest(3))
		<-b.wake
		b.changed(store.News{Last: third.ID, Digests: []key.Digest{third.Digest}, History: d.history, Own: true})
		if len(b.wake) != 0 {
			t.Error("the node is woken by what it has done itself")
		}
		if err := b.step(t.Context(), true); err != nil || d.follows != 0 || b.self.Applied != third.ID || !b.cache.lacks(third.Digest) {
			t.Errorf("error %v; read %d times; applied %d", err, d.follows, b.self.Applied)
		}
	})
}

// Where there is word of a change, one renewal is enough to acknowledge it: writing costs more than reading.
func TestWordOfAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		b := join(d, "b")
		if err := b.step(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		before := d.renewals
		c := d.commit(digest(1))
		b.changed(store.News{Last: c.ID})
		if err := b.step(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if row := d.rows[b.self.ID]; d.renewals != before+1 || row.Applied != c.ID || !b.cache.lacks(c.Digest) {
			t.Errorf("%d renewals; the others know of change %d; applied: %v", d.renewals-before, row.Applied, b.cache.lacks(c.Digest))
		}
	})
}

// A database that forgets nodes at once gets no rest and no lease out of them: they try again when it is time.
func TestADatabaseThatKeepsNoNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		b := join(d, "b")
		d.deciding = func() { d.set(func(d *database) { clear(d.rows) }) }
		if err := b.step(t.Context(), false); !errors.Is(err, errNotKept) || b.holds() || len(b.wake) != 0 {
			t.Errorf("error %v; held: %v; it goes on at once: %v", err, b.holds(), len(b.wake) == 1)
		}
	})
}

func TestTheLeaseCountsFromBeforeTheRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		b := join(d, "b")
		d.deciding = func() { time.Sleep(time.Second) }
		if err := b.step(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if left := b.lease.Left(); left != lasts-time.Second {
			t.Errorf("%v are left, want %v", left, lasts-time.Second)
		}
	})
}

// The answer to a renewal may be lost although the database has granted it. The next one must not be taken for another's.
func TestALostAnswerToARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		b := join(&lossy{database: d, lose: 1}, "b")
		if err := b.step(t.Context(), false); err == nil || b.holds() {
			t.Fatalf("error %v; held: %v", err, b.holds())
		}
		forgets := b.cache.forgets()
		if err := b.step(t.Context(), false); err != nil || !b.holds() {
			t.Errorf("error %v; held: %v", err, b.holds())
		}
		if b.cache.forgets() != forgets || len(d.ids()) != 1 {
			t.Error("the node has forgotten everything, or has joined twice")
		}
	})
}

func TestWhatMakesANodeForget(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*database)
		rejoin bool
	}{
		{"changes that it lacks were deleted", func(d *database) { d.last, d.pruned = d.last+5, d.last+5 }, false},
		{"the database is an older one", func(d *database) { d.last-- }, false},
		{"its row is gone", func(d *database) { clear(d.rows) }, true},
		{"its row is an older one", func(d *database) {
			for id, n := range d.rows {
				n.Beat--
				d.rows[id] = n
			}
		}, true},
		{"another server has taken over", func(d *database) { d.history = "2" }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDatabase()
				d.commit(digest(1))
				b := join(d, "b")
				for range 3 {
					if err := b.step(t.Context(), false); err != nil {
						t.Fatal(err)
					}
				}
				was := b.self.ID
				term, _ := b.lease.Held(time.Now())
				forgets := b.cache.forgets()
				d.set(test.change)
				if err := b.step(t.Context(), false); err != nil {
					t.Fatal(err)
				}
				again, held := b.lease.Held(time.Now())
				if !held || again == term || b.cache.forgets() == forgets || b.Stats().Forgotten != 1 {
					t.Errorf("held: %v, term %d after %d, forgotten %d times more", held, again, term, b.cache.forgets()-forgets)
				}
				if ids := d.ids(); len(ids) != 1 || (ids[0] != was) != test.rejoin {
					t.Errorf("nodes %v, was %d", ids, was)
				}
			})
		})
	}
}

func TestTheLeaseEndsWhileTheDatabaseIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		a := run(t, d, "a")
		d.set(func(d *database) { d.away = true })
		time.Sleep(length)
		if a.holds() {
			t.Error("the lease is held although nobody has renewed it")
		}
		d.set(func(d *database) { d.away = false })
		forgets := a.cache.forgets()
		time.Sleep(length/4 + 1)
		if synctest.Wait(); !a.holds() {
			t.Error("no lease after the database has come back")
		}
		if a.cache.forgets() != forgets {
			t.Error("the cache was forgotten although nothing was missed")
		}
	})
}

func TestANodeThatStopsLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		a, b := run(t, d, "a"), run(t, d, "b")
		b.stop()
		if b.holds() || len(d.ids()) != 1 {
			t.Errorf("held: %v, nodes %v", b.holds(), d.ids())
		}
		if waited := took(func() { a.Invalidate([]store.Change{d.commit(digest(1))}) }); waited != 0 {
			t.Errorf("waited %v for a node that has left", waited)
		}
	})
}
