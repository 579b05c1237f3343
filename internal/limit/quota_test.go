package limit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"pgregory.net/rapid"
)

func TestAQuotaIsUsedUpExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(1)
		n := startNode(t.Context(), l)
		defer n.stop()
		day := key.Quota{Requests: 1000, Period: key.Day}
		passed, last, err := n.pass(t.Context(), 1, day, 1200)
		if err != nil || passed != 1000 {
			t.Fatalf("%d passed (%v), want 1000", passed, err)
		}
		if want := (key.Allowance{Name: "quota", Requests: 1000, Reset: 24 * time.Hour, Retry: 24 * time.Hour}); last != want {
			t.Errorf("%+v, want %+v", last, want) // the clock of the test begins at midnight
		}
		if n := l.asked(); n > 60 {
			t.Errorf("the store was asked %d times for 1200 requests", n)
		}
		time.Sleep(24 * time.Hour)
		if passed, last, err := n.pass(t.Context(), 1, day, 1); err != nil || passed != 1 || last.Remaining != 999 {
			t.Errorf("the next day: %d passed, %+v, %v", passed, last, err)
		}
	})
}

func TestAQuotaForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t.Context(), newLedger(1))
		defer n.stop()
		passed, last, err := n.pass(t.Context(), 1, key.Quota{Requests: 3}, 10)
		if want := (key.Allowance{Name: "quota", Requests: 3, Reset: -1, Retry: -1}); err != nil || passed != 3 || last != want {
			t.Errorf("%d passed, %+v, %v", passed, last, err)
		}
	})
}

// remaining goes down by one with each request, where there is one node.
func TestRemainingIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(1)
		l.delay = time.Millisecond
		n := startNode(t.Context(), l)
		defer n.stop()
		for i := range int64(500) {
			_, last, err := n.pass(t.Context(), 1, key.Quota{Requests: 500, Period: key.Month}, 1)
			if err != nil || last.Remaining != 499-i {
				t.Fatalf("request %d: %+v, %v", i, last, err)
			}
			synctest.Wait()
		}
	})
}

func TestTheStoreIsSeldomAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(1)
		l.delay = time.Millisecond
		n := startNode(t.Context(), l)
		defer n.stop()
		const seconds, perSecond = 600, 100
		waited := 0
		for range seconds * perSecond {
			began := time.Now()
			if passed, _, err := n.pass(t.Context(), 1, key.Quota{Requests: 1e9}, 1); passed != 1 || err != nil {
				t.Fatal(passed, err)
			}
			if time.Since(began) > 0 {
				waited++
			}
			time.Sleep(time.Second / perSecond)
		}
		if n := l.asked(); n > seconds/4 {
			t.Errorf("asked %d times in %d s", n, seconds)
		}
		if waited > 3 {
			t.Errorf("%d requests of %d waited for the store", waited, seconds*perSecond)
		}
	})
}

// Requests that have looked at the clock before the store answered, and come to know the answer afterwards, do not ask again.
func TestRequestsThatAreHeldUpDoNotAskAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(1)
		n := startNode(t.Context(), l)
		defer n.stop()
		quota, before := key.Quota{Requests: 3}, time.Now()
		time.Sleep(time.Millisecond)
		passed, _, err := n.pass(t.Context(), 1, quota, 10)
		if asked := l.asked(); passed != 3 || err != nil {
			t.Fatal(passed, err)
		} else if _, ok, err := n.take(t.Context(), 1, quota, before); ok || err != nil || l.asked() != asked {
			t.Errorf("%v, %v, asked %d times after %d", ok, err, l.asked(), asked)
		}
		time.Sleep(2 * longestPause)
		before = time.Now().Add(-2 * longestPause)
		more := l.change(1, key.Quota{Requests: 5})
		for i := range 3 {
			if _, ok, err := n.take(t.Context(), 1, more, before); ok != (i < 2) || err != nil {
				t.Errorf("more requests, number %d: %v, %v", i, ok, err)
			}
		}
	})
}

func TestNodesShareAQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(1)
		l.delay = time.Millisecond
		var passed atomic.Int64
		var all sync.WaitGroup
		quota := key.Quota{Requests: 10_000, Period: key.Day}
		for range 3 {
			n := startNode(t.Context(), l)
			defer n.stop()
			for range 4 {
				all.Go(func() {
					for range 2000 {
						_, ok, err := n.take(t.Context(), 1, quota, time.Now())
						if err != nil {
							t.Error(err)
							return
						}
						if ok {
							passed.Add(1)
						}
						time.Sleep(time.Millisecond)
					}
				})
			}
		}
		all.Wait()
		if n := passed.Load(); n != quota.Requests {
			t.Errorf("%d passed, want %d", n, quota.Requests)
		}
		if n := l.asked(); n > 300 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestWhatIsIdleIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(1, 2)
		n := startNode(t.Context(), l)
		quota := key.Quota{Requests: 1e6, Period: key.Day}
		for id := range int64(2) {
			if passed, _, err := n.pass(t.Context(), id+1, quota, 20); passed != 20 || err != nil {
				t.Fatal(passed, err)
			}
		}
		synctest.Wait()
		if l.used(1) == 20 {
			t.Fatal("nothing was taken ahead")
		}
		time.Sleep(idle / 2)
		if _, _, err := n.pass(t.Context(), 2, quota, 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(idle/2 + 2*handbackInterval)
		synctest.Wait()
		if used := l.used(1); used != 20 {
			t.Errorf("%d are used after it was idle, want 20", used)
		}
		if l.used(2) == 21 || n.Stats().Keys != 1 {
			t.Errorf("what is in use was given back: %+v", n.Stats())
		}
		n.stop()
		if used := l.used(2); used != 21 {
			t.Errorf("%d are used after a clean end, want 21", used)
		}
		if n.log.Len() > 0 {
			t.Error(n.log)
		}
	})
}

// A key that was used a lot and is used little now gives back what it does not need, so that others need not refuse.
func TestWhatIsHardlyUsedIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(1)
		n := startNode(t.Context(), l)
		defer n.stop()
		quota := key.Quota{Requests: 1e6}
		if passed, _, err := n.pass(t.Context(), 1, quota, 10_000); passed != 10_000 || err != nil {
			t.Fatal(passed, err)
		}
		synctest.Wait()
		if used := l.used(1); used < 11_000 {
			t.Fatalf("%d were taken for 10,000 that came at once", used)
		}
		const more = 40
		asked := l.asked()
		for range more {
			time.Sleep(idle / 2)
			if passed, _, err := n.pass(t.Context(), 1, quota, 1); passed != 1 || err != nil {
				t.Fatal(passed, err)
			}
		}
		synctest.Wait()
		if used := l.used(1); used > 10_000+2*more {
			t.Errorf("%d are used, 200 s after the last of 10,000 requests but %d", used, more)
		}
		if asked := l.asked() - asked; asked > more {
			t.Errorf("asked %d times for %d requests", asked, more)
		}
	})
}

func TestAChangedQuotaIsInForceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(1)
		n := &node{Quotas: NewQuotas(l, time.Now, slog.New(slog.DiscardHandler))}
		pass := func(q key.Quota, requests int, want int64) key.Allowance {
			t.Helper()
			passed, last, err := n.pass(t.Context(), 1, q, requests)
			if err != nil || passed != want {
				t.Fatalf("%+v: %d passed, want %d (%v)", q, passed, want, err)
			}
			return last
		}
		pass(key.Quota{Requests: 1000, Period: key.Day}, 100, 100)
		pass(key.Quota{Requests: 150, Period: key.Day}, 100, 50)
		pass(key.Quota{Requests: 50, Period: key.Day}, 10, 0)
		if a := pass(key.Quota{Requests: 200, Period: key.Day}, 1, 1); a.Remaining != 49 {
			t.Errorf("%+v", a)
		}
		// The month in which the day is has the same start, on the first of January: what is used stays used.
		pass(key.Quota{Requests: 200, Period: key.Month}, 100, 49)
		pass(key.Quota{Requests: 201}, 100, 1)
		time.Sleep(48 * time.Hour)
		pass(key.Quota{Requests: 10, Period: key.Day}, 100, 10)
		pass(key.Quota{Requests: 20, Period: key.Month}, 100, 10) // of the month, that day alone is known
		time.Sleep(29 * 24 * time.Hour)
		pass(key.Quota{Requests: 20, Period: key.Month}, 100, 20)
	})
}

// mustPass lets requests pass and fails where not as many did as there should.
func (n *node) mustPass(t *testing.T, q key.Quota, requests int, want int64) {
	t.Helper()
	if passed, last, err := n.pass(t.Context(), 1, q, requests); err != nil || passed != want {
		t.Fatalf("%+v: %d passed, want %d; %+v, %v", q, passed, want, last, err)
	}
}

// A share that was taken before a quota was changed is not used when it was changed back, however soon.
func TestAQuotaIsChangedAndChangedBack(t *testing.T) {
	for name, steps := range map[string][]key.Quota{
		"period":           {{Requests: 100, Period: key.Day}},
		"ever":             {{Requests: 100, Period: key.Day}, {Requests: 100}},
		"requests":         {{Requests: 50, Period: key.Month}},
		"removed":          {{}},
		"removed, and set": {{}, {Requests: 100, Period: key.Day}, {}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(48 * time.Hour) // so that the day is not the first of the month
				l := newLedger(1)
				a, b := startNode(t.Context(), l), startNode(t.Context(), l)
				defer a.stop()
				defer b.stop()
				monthly := key.Quota{Requests: 100, Period: key.Month}
				quota := monthly
				b.mustPass(t, quota, 2, 2)
				synctest.Wait()
				used := int64(2)
				if l.used(1) == used {
					t.Fatal("b holds nothing")
				}
				for _, to := range append(steps, monthly) {
					if quota = l.change(1, to); quota.Requests == 0 {
						continue
					}
					if l.start(1).Before(quota.Period.Start(time.Now())) {
						used = 0
					}
					a.mustPass(t, quota, 5, 5)
					used += 5
				}
				passed, _, err := a.pass(t.Context(), 1, quota, 200)
				if err != nil {
					t.Fatal(err)
				}
				more, _, err := b.pass(t.Context(), 1, quota, 200)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * longestPause) // what b has given back
				rest, _, err := a.pass(t.Context(), 1, quota, 200)
				if err != nil || used+passed+more+rest != quota.Requests {
					t.Errorf("%d passed in the period, want %d; %v", used+passed+more+rest, quota.Requests, err)
				}
			})
		})
	}
}

// A check that has learned the quota before it was changed is held to the quota of now, and begins no period of the one of before.
func TestAQuotaIsChangedDuringACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(48 * time.Hour)
		l := newLedger(1)
		a, b := startNode(t.Context(), l), startNode(t.Context(), l)
		defer a.stop()
		defer b.stop()
		before := l.change(1, key.Quota{Requests: 10_000, Period: key.Month})
		a.mustPass(t, before, 60, 60)
		daily := l.change(1, key.Quota{Requests: 1000, Period: key.Day})
		monthly := l.change(1, key.Quota{Requests: 1000, Period: key.Month})
		b.mustPass(t, daily, 10, 10)
		a.mustPass(t, monthly, 10, 10)
		b.mustPass(t, before, 10, 10)
		b.mustPass(t, daily, 1, 1)
		time.Sleep(idle + 2*handbackInterval)
		a.mustPass(t, monthly, 2000, 909)
		b.mustPass(t, before, 1, 0)
		l.change(1, key.Quota{})
		time.Sleep(longestPause)
		if passed, last, err := b.pass(t.Context(), 1, before, 3); err != nil || passed != 3 || last != (key.Allowance{}) {
			t.Errorf("without a quota %d passed, %+v, %v", passed, last, err)
		}
	})
}

// A period that the store has not heard of does not begin afterwards, where the quota has another one again.
func TestAQuotaIsChangedWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(48 * time.Hour)
		l := newLedger(1)
		n := startNode(t.Context(), l)
		defer n.stop()
		n.mustPass(t, l.change(1, key.Quota{Requests: 100, Period: key.Month}), 60, 60)
		daily := l.change(1, key.Quota{Requests: 100, Period: key.Day})
		l.fail(errAway, nil)
		if _, _, err := n.pass(t.Context(), 1, daily, 1); !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
		l.fail(nil, nil)
		monthly := l.change(1, key.Quota{Requests: 200, Period: key.Month})
		passed, _, err := n.pass(t.Context(), 1, monthly, 300)
		if lost := n.Stats().Lost; err != nil || passed > 140 || passed+lost < 100 {
			t.Errorf("%d passed (%v), want 140 less what the node held", passed, err)
		}
	})
}

func TestTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(1)
		n := startNode(t.Context(), l)
		defer n.stop()
		quota := key.Quota{Requests: 1e6, Period: key.Day}
		if _, _, err := n.pass(t.Context(), 1, quota, 30); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, fault := range []error{errAway, errDisk, store.ErrOutcomeUnknown} {
			l.fail(fault, nil)
			passed, _, err := n.pass(t.Context(), 1, quota, 10_000)
			if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, fault) {
				t.Errorf("%d passed, then: %v", passed, err)
			}
			asked := l.asked()
			for range 1000 {
				if _, _, err := n.take(t.Context(), 1, quota, time.Now()); !errors.Is(err, store.ErrUnavailable) {
					t.Fatal(err)
				}
			}
			if again := l.asked() - asked; again > 1 {
				t.Errorf("asked %d times more", again)
			}
			l.fail(nil, nil)
			time.Sleep(failurePause)
			if passed, _, err := n.pass(t.Context(), 1, quota, 10); passed != 10 || err != nil {
				t.Errorf("after its return: %d, %v", passed, err)
			}
			synctest.Wait()
		}
	})
}

// A share that may have been given back is not used or given back again; while the store is known to be away, none is lost.
func TestGivingBackFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(1, 2, 3)
		n := startNode(t.Context(), l)
		quota := key.Quota{Requests: 1e6}
		for id := range int64(3) {
			if _, _, err := n.pass(t.Context(), id+1, quota, 20); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		n.away.Store(true)
		l.fail(errAway, nil)
		time.Sleep(10 * idle)
		if s := n.Stats(); s.Keys != 3 || s.Lost != 0 {
			t.Errorf("%+v", s)
		}
		l.fail(nil, nil)
		time.Sleep(2 * handbackInterval)
		synctest.Wait()
		if s := n.Stats(); s.Keys != 0 || s.Lost != 0 || l.used(1)+l.used(2)+l.used(3) != 60 {
			t.Errorf("%+v; %d are used, want 60", s, l.used(1)+l.used(2)+l.used(3))
		}
		if _, _, err := n.pass(t.Context(), 1, quota, 20); err != nil {
			t.Fatal(err)
		}
		l.fail(nil, errAway)
		n.stop() // given back, and not known
		if l.used(1) != 40 || n.Stats().Lost == 0 || n.log.Len() == 0 {
			t.Errorf("%d are used; %+v; %q", l.used(1), n.Stats(), n.log)
		}
	})
}

func TestAKeyThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t.Context(), newLedger())
		defer n.stop()
		for range 3 {
			if _, _, err := n.take(t.Context(), 1, key.Quota{Requests: 1}, time.Now()); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%v", err)
			}
		}
		time.Sleep(idle + 2*handbackInterval)
		if s := n.Stats(); s.Keys != 0 || s.Takes != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(1)
		l.delay = time.Hour
		n := startNode(t.Context(), l)
		defer n.stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, _, err := n.take(ctx, 1, key.Quota{Requests: 1}, time.Now()); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if _, _, err := n.take(t.Context(), 1, key.Quota{Requests: 1}, time.Now()); !errors.Is(err, store.ErrUnavailable) || time.Since(began) > takeTimeout+time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestAPanicOfTheStoreIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t.Context(), nil)
		if _, _, err := n.take(t.Context(), 1, key.Quota{Requests: 1}, time.Now()); !errors.Is(err, errTakePanic) {
			t.Error(err)
		}
		n.stop()
	})
}

// Whatever happens, whatever the quota becomes meanwhile, no more pass than there are; and where nothing goes wrong, what is used is what has passed.
func TestNeverMoreThanTheQuota(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := scenario{
			delay: time.Duration(rapid.IntRange(0, 2).Draw(rt, "delay")) * time.Millisecond,
			quota: key.Quota{
				Requests: rapid.Int64Range(1, 300).Draw(rt, "quota"),
				Period:   rapid.SampledFrom([]key.Period{key.Ever, key.Day, key.Month}).Draw(rt, "period"),
			},
			steps: rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
				return step{rapid.IntRange(0, 9).Draw(rt, "what"), rapid.IntRange(0, 2).Draw(rt, "node"), rapid.IntRange(1, 100).Draw(rt, "n")}
			}), 1, 40).Draw(rt, "steps"),
		}
		var fault string
		synctest.Test(t, func(t *testing.T) { fault = s.run() })
		if fault != "" {
			rt.Fatal(fault)
		}
	})
}

type scenario struct {
	delay time.Duration // of the store
	quota key.Quota
	steps []step
}

type step struct{ what, node, n int }

// run returns what was wrong.
func (s *scenario) run() string {
	ctx := context.Background()
	l := newLedger(1)
	l.delay = s.delay
	nodes := [3]*node{}
	for i := range nodes {
		nodes[i] = startNode(ctx, l)
	}
	quota, period := s.quota, time.Time{}
	passed, harmed, fault := map[time.Time]int64{}, false, ""
	for _, step := range s.steps {
		n := nodes[step.node]
		switch step.what {
		case 0:
			time.Sleep(time.Duration(step.n) * time.Second / 5)
		case 1:
			time.Sleep(time.Duration(step.n) * time.Hour / 8)
		case 2: // killed: what it has is gone
			n.dead.Store(true)
			n.stop()
			nodes[step.node], harmed = startNode(ctx, l), true
		case 3:
			n.stop()
			nodes[step.node] = startNode(ctx, l)
		case 4:
			l.fail(errAway, nil)
			harmed = true
		case 5:
			l.fail(nil, errDisk)
			harmed = true
		case 6:
			l.fail(nil, nil)
		case 7:
			quota = l.change(1, key.Quota{Requests: s.quota.Requests + int64(step.n%3)*50, Period: key.Period(step.n / 3 % 3)})
		default:
			if start := quota.Period.Start(time.Now()); start.After(period) {
				period = start // the latest that a quota was used in counts
			}
			most := max(passed[period], quota.Requests)
			more, _, err := n.pass(ctx, 1, quota, 2*step.n)
			if passed[period] += more; err != nil && !harmed || passed[period] > most {
				fault = fmt.Sprintf("%d passed in the period of %v, and there are %d; %v", passed[period], period, quota.Requests, err)
			}
		}
	}
	l.fail(nil, nil)
	for _, n := range nodes {
		n.stop()
	}
	if used, n := l.kept[1].Used, passed[l.kept[1].PeriodStart]; fault == "" && (used < n || !harmed && used != n) {
		fault = fmt.Sprintf("%d are used, and %d have passed", used, n)
	}
	return fault
}

func TestPassingAllocatesNothing(t *testing.T) {
	q := NewQuotas(newLedger(1), time.Now, nil)
	sh := q.shard(1)
	quota := key.Quota{Requests: 1e9, Period: key.Day}
	now := time.Now()
	s := newShare(1, quota)
	s.left, s.start, s.end = 1e6, quota.Period.Start(now), now.Add(time.Hour)
	sh.shares[1] = s
	if n := testing.AllocsPerRun(1000, func() {
		if _, ok, err := q.take(t.Context(), 1, quota, now); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkQuota(b *testing.B) {
	q := NewQuotas(newLedger(1), time.Now, nil)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := q.take(b.Context(), 1, key.Quota{Requests: key.MaxRequests, Period: key.Month}, time.Now()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
