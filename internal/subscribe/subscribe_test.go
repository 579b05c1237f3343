package subscribe

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/key"
)

// all is a lease and the margin: after this time nobody waits.
const all = MaxLease + MaxLease/10

func TestAChangeWaitsUntilItIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, n := newHub(t, nil)
		p := subscribe(t, h)
		if got := p.renew(); got != MaxLease {
			t.Errorf("a lease of %v", got)
		}
		done := make(chan time.Duration, 1)
		go func() { done <- after(func() { h.Invalidate(changes(3)) }) }()
		digests, last := p.change()
		if digests != 3 || last.Forget || last.Close || n.invalidated != 3 {
			t.Errorf("%d tokens, %+v; %d in the cache", digests, last, n.invalidated)
		}
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		select {
		case <-done:
			t.Error("the change did not wait")
		default:
		}
		p.say(api.SubscriberLine{Applied: last.Change})
		if took := <-done; took != 300*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		go h.Forget()
		if digests, last := p.change(); digests != 0 || !last.Forget || n.forgotten != 1 {
			t.Errorf("forget: %d tokens, %+v", digests, last)
		}
		p.say(api.SubscriberLine{Leave: true})
		if _, ok := p.hear(); ok {
			t.Error("who has left hears more")
		}
		if s := h.Stats(); s.Subscribers != 0 || s.Invalidations != 3 || s.Waits != 2 || s.Expiries != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Whoever does not answer costs its lease, once, whatever is the matter with it.
func TestADeadSubscriberCostsItsLeaseOnce(t *testing.T) {
	for name, live := range map[string]func(p *peer){
		"frozen": func(*peer) {},
		"gone":   func(p *peer) { p.conn.Close() }, // it may be cut off, and live
		"hears, and does not apply": func(p *peer) {
			for _, ok := p.hear(); ok; _, ok = p.hear() {
			}
		},
		"renews, and does not apply": func(p *peer) {
			go func() {
				for {
					if _, err := io.WriteString(p.conn, `{"renew":7}`+"\n"); err != nil {
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
			}()
			for _, ok := p.hear(); ok; _, ok = p.hear() {
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, _ := newHub(t, nil)
				p, well := subscribe(t, h), subscribe(t, h)
				p.renew()
				go live(p)
				go applyAll(well)
				time.Sleep(200 * time.Millisecond)
				if took := after(func() { h.Invalidate(changes(1)) }); took < 600*time.Millisecond || took > all {
					t.Errorf("it took %v", took)
				}
				// A lease that was renewed behind the change's back lasts a little longer.
				h.Invalidate(changes(1))
				if took := after(func() { h.Invalidate(changes(1)) }); took != 0 {
					t.Errorf("the third change took %v", took)
				}
				if s := h.Stats(); s.Subscribers != 1 || s.Expiries == 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// applyAll is a subscriber as it should be.
func applyAll(p *peer) {
	var says sync.Mutex
	say := func(text string) error {
		says.Lock()
		defer says.Unlock()
		_, err := io.WriteString(p.conn, text+"\n")
		return err
	}
	go func() {
		for say(`{"renew":1}`) == nil {
			time.Sleep(100 * time.Millisecond)
		}
	}()
	for l, ok := p.hear(); ok; l, ok = p.hear() {
		if l.Change != 0 && say(`{"applied":1000000}`) != nil {
			return
		}
	}
}

func TestWhoHasNoLeaseIsToldAndNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newHub(t, nil)
		never, over := subscribe(t, h), subscribe(t, h)
		over.renew()
		time.Sleep(all)
		if took := after(func() { h.Invalidate(changes(1)) }); took != 0 {
			t.Errorf("it took %v", took)
		}
		for _, p := range []*peer{never, over} {
			if digests, _ := p.change(); digests != 1 {
				t.Errorf("%d tokens", digests)
			}
			if p.renew() != MaxLease {
				t.Error("it was cut off")
			}
		}
	})
}

// A lease lies within the node's own.
func TestALeaseIsNested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := 300 * time.Millisecond
		h, _ := newHub(t, func(o *Options) { o.Left = func() time.Duration { return left } })
		p := subscribe(t, h)
		for _, tt := range []struct{ left, want time.Duration }{
			{300 * time.Millisecond, 300 * time.Millisecond}, {time.Hour, MaxLease}, {1500 * time.Microsecond, time.Millisecond}, {0, 0}, {-1, 0},
		} {
			left = tt.left
			if got := p.renew(); got != tt.want {
				t.Errorf("%v are left: %v", tt.left, got)
			}
		}
		time.Sleep(all)
		left = 0
		p.renew()
		if took := after(func() { h.Invalidate(changes(1)) }); took != 0 {
			t.Errorf("where no lease was granted, a change takes %v", took)
		}
	})
}

func TestManyTokensAreOneChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newHub(t, nil)
		p := subscribe(t, h)
		p.renew()
		for _, tt := range []struct {
			tokens, listed int
			forget         bool
		}{{100_000, 100_000, false}, {maxListed + 1, 0, true}} {
			done := make(chan struct{})
			go func() { h.Invalidate(changes(tt.tokens)); close(done) }()
			digests, last := p.change()
			if digests != tt.listed || last.Forget != tt.forget {
				t.Errorf("%d tokens: %d are listed, %+v", tt.tokens, digests, last)
			}
			p.say(api.SubscriberLine{Applied: last.Change})
			<-done
		}
		if s := h.Stats(); s.Waits != 2 {
			t.Errorf("%+v", s)
		}
	})
}

func TestLookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, n := newHub(t, nil)
		p := subscribe(t, h)
		plain, limited, broken := key.Digest{1}, key.Digest{2}, key.Digest{3}
		n.records[plain] = &key.Record{KeyID: 17, OrganizationID: 432, UserID: 3, Name: "k", Scopes: key.ScopesOf(key.Read, key.Manage),
			Enabled: true, ExpiresAt: 1_000, TokenExpiresAt: 2_000, Metadata: `{"a":"<"}`}
		n.records[limited] = &key.Record{KeyID: 18, Restrictions: &key.Restrictions{Limits: []key.Limit{{Name: "a", Requests: 1, Window: 1}}}}
		n.records[broken] = &key.Record{KeyID: 19, Metadata: `{`}
		ask := func(id uint64, d key.Digest) api.Found {
			t.Helper()
			p.say(api.SubscriberLine{LookUp: &api.LookUp{ID: id, Digest: d[:]}})
			l := p.must()
			if l.Found == nil || l.Found.ID != id {
				t.Fatalf("heard %+v", l)
			}
			return *l.Found
		}
		f := ask(1, plain)
		if k := f.Key; !f.Keep || k == nil || k.KeyID != 17 || k.OrganizationID != 432 || k.UserID != 3 || k.KeyName != "k" || !k.Enabled ||
			len(k.KeyScope) != 2 || k.ExpiresAt.UnixMilli() != 1_000 || k.TokenExpiresAt.UnixMilli() != 2_000 || k.Ask || len(k.Metadata) == 0 {
			t.Errorf("a key: %+v, %+v", f, f.Key)
		}
		if f := ask(2, limited); !f.Keep || f.Key == nil || !f.Key.Ask {
			t.Errorf("a limited key: %+v", f)
		}
		if f := ask(3, key.Digest{9}); !f.Keep || f.Key != nil {
			t.Errorf("an unknown token: %+v", f)
		}
		if f := ask(4, broken); f.Keep {
			t.Errorf("metadata that is no JSON: %+v", f)
		}
		n.keep = false // the node has no lease
		if f := ask(5, plain); f.Keep || f.Key != nil {
			t.Errorf("without a lease: %+v", f)
		}
		n.keep, n.err = true, errors.New("the database is away")
		if f := ask(6, plain); f.Keep || f.Key != nil {
			t.Errorf("without the database: %+v", f)
		}

		// A database that hangs holds up no acknowledgement, and not more than so many look-ups.
		n.err = nil
		release := make(chan struct{})
		n.during = func() { <-release }
		for id := range uint64(maxAsked) {
			p.say(api.SubscriberLine{LookUp: &api.LookUp{ID: 100 + id, Digest: plain[:]}})
		}
		if f := ask(7, plain); f.Keep {
			t.Errorf("one too many: %+v", f)
		}
		if p.renew() != MaxLease {
			t.Error("no lease")
		}
		close(release)
		for range maxAsked {
			if f := p.must().Found; f == nil || !f.Keep {
				t.Errorf("when the database is back: %+v", f)
			}
		}
	})
}

func TestUsesAreNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, n := newHub(t, nil)
		p := subscribe(t, h)
		for range 2 {
			p.say(api.SubscriberLine{Uses: []api.KeyUses{
				{Digest: make([]byte, 32), Code: api.VerifyValid, Count: 3}, {Digest: make([]byte, 32), Code: api.VerifyDisabled, Count: 1}}})
			if l := p.must(); !l.Noted {
				t.Errorf("heard %+v", l)
			}
		}
		if n.uses[key.Digest{}] != 8 {
			t.Errorf("%v", n.uses)
		}
	})
}

// Whoever does not keep to the protocol is cut off, and what it had is waited for like any lease.
func TestHostileSubscribers(t *testing.T) {
	digest := strings.Repeat("A", 43) + "="
	for name, text := range map[string]string{
		"no JSON":             "nonsense\n",
		"HTTP":                "GET / HTTP/1.1\r\n\r\n",
		"a short digest":      `{"look_up":{"id":1,"digest":"AAAA"}}` + "\n",
		"a use of nothing":    `{"uses":[{"digest":"` + digest + `","code":"NOT_FOUND","count":1}]}` + "\n",
		"a negative count":    `{"uses":[{"digest":"` + digest + `","code":"VALID","count":-1}]}` + "\n",
		"an absurd count":     `{"uses":[{"digest":"` + digest + `","code":"VALID","count":9223372036854775807}]}` + "\n",
		"an endless line":     strings.Repeat("x", api.MaxSubscriberLine+1),
		"too many uses":       `{"uses":[` + strings.Repeat(`{},`, api.MaxKeyUses) + `{}]}` + "\n",
		"a number too large":  `{"renew":18446744073709551616}` + "\n",
		"the wrong type":      `{"applied":"1"}` + "\n",
		"silence":             "",
		"half a line, and no": `{"renew":1`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, _ := newHub(t, nil)
				p := subscribe(t, h)
				p.renew()
				go io.WriteString(p.conn, text)
				if l, ok := p.hear(); ok {
					t.Errorf("heard %+v", l)
				}
				synctest.Wait()
				if s := h.Stats(); s.Subscribers != 0 {
					t.Errorf("%+v", s)
				}
				if took := after(func() { h.Invalidate(changes(1)) }); took > all {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// Who takes nothing is cut off when too much waits, and holds nobody up meanwhile.
func TestASlowSubscriberIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newHub(t, nil)
		subscribe(t, h) // reads nothing, and has no lease
		took := after(func() {
			for range 5 {
				h.Invalidate(changes(100_000))
			}
		})
		synctest.Wait()
		if s := h.Stats(); s.Subscribers != 0 || took != 0 {
			t.Errorf("%+v after %v", s, took)
		}
	})
}

func TestThereAreNotTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newHub(t, nil)
		for range MaxSubscribers - 1 {
			subscribe(t, h)
		}
		last := subscribe(t, h)
		if err := h.Ready(); !errors.Is(err, ErrFull) {
			t.Errorf("ready: %v", err)
		}
		here, there := net.Pipe()
		if err := h.Accept(there, there); !errors.Is(err, ErrFull) {
			t.Errorf("accept: %v", err)
		}
		if _, err := here.Read(make([]byte, 1)); err == nil {
			t.Error("the connection of who was not accepted stays open")
		}
		last.conn.Close()
		synctest.Wait()
		if err := h.Ready(); err != nil {
			t.Errorf("after one has left: %v", err)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(memory)
		h, _ := newHub(t, func(o *Options) { o.Memory = m })
		if m.marked {
			t.Error("it is noted that there are subscribers, and there are none")
		}
		well, dead := subscribe(t, h), subscribe(t, h)
		well.renew()
		dead.renew()
		if !m.marked {
			t.Error("it is not noted that there are subscribers")
		}
		done := make(chan time.Duration, 1)
		go func() { done <- after(func() { h.Close() }) }()
		if _, last := well.change(); !last.Close || !last.Forget {
			t.Errorf("%+v", last)
		}
		if got := well.renew(); got != 0 {
			t.Errorf("who is told that it is over gets a lease of %v", got)
		}
		well.say(api.SubscriberLine{Applied: 1})
		if took := <-done; took != all {
			t.Errorf("it took %v", took)
		}
		if _, ok := well.hear(); ok {
			t.Error("the connection stays open")
		}
		if m.marked {
			t.Error("it is still noted that there are subscribers")
		}
		if err := h.Ready(); !errors.Is(err, ErrClosed) {
			t.Errorf("ready: %v", err)
		}
		if took := after(func() { h.Invalidate(changes(1)) }); took != 0 {
			t.Errorf("a change afterwards takes %v", took)
		}
	})
}

// A process that was killed has granted leases that the next one knows nothing of, but that there may be some.
func TestLeasesOutliveTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, n := newHub(t, func(o *Options) { o.Memory = &memory{marked: true} })
		time.Sleep(300 * time.Millisecond)
		if took := after(func() { h.Invalidate(changes(1)) }); took != all-300*time.Millisecond || n.invalidated != 1 {
			t.Errorf("it took %v", took)
		}
		if took := after(func() { h.Invalidate(changes(1)) }); took != 0 {
			t.Errorf("later it took %v", took)
		}
	})
}
