package middleware

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/internal/token"
)

// server is the other end of a session. It does nothing by itself.
type server struct {
	t     *testing.T
	conn  net.Conn
	lines *bufio.Scanner
}

// open begins a session; stop ends it as Cache.Close does.
func open(t *testing.T) (s *session, far *server, u *uses, stop func()) {
	t.Helper()
	near, there := net.Pipe()
	u = newUses(10)
	s = newSession(near, CacheOptions{Keys: 10, UnknownTokens: 10}, u)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, func() {}) }()
	t.Cleanup(func() {
		there.Close()
		<-ended
	})
	far = &server{t, there, bufio.NewScanner(there)}
	far.lines.Buffer(nil, api.MaxSubscriberLine)
	return s, far, u, cancel
}

func (f *server) hear() (l api.SubscriberLine) {
	f.t.Helper()
	if !f.lines.Scan() {
		f.t.Fatalf("the session has ended: %v", f.lines.Err())
	}
	if err := json.Unmarshal(f.lines.Bytes(), &l); err != nil {
		f.t.Fatal(err)
	}
	return l
}

// hears returns the next line that is no renewal.
func (f *server) hears() api.SubscriberLine {
	f.t.Helper()
	for {
		if l := f.hear(); l.Renew == 0 {
			return l
		}
	}
}

func (f *server) say(l api.ServerLine) {
	f.t.Helper()
	b, err := json.Marshal(l)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.conn.Write(append(b, '\n')); err != nil {
		f.t.Fatal(err)
	}
	synctest.Wait()
}

func (f *server) grant(renewal uint64, length time.Duration) {
	f.t.Helper()
	f.say(api.ServerLine{Grant: &api.Grant{Renew: renewal, LeaseMilliseconds: length.Milliseconds()}})
}

// lookUp begins a look-up, and returns what it will bring.
func (s *session) begin(t *testing.T, d digest) <-chan *entry {
	found := make(chan *entry, 1)
	go func() { found <- s.lookUp(t.Context(), &d) }()
	return found
}

func good(id int64) *api.KnownKey {
	return &api.KnownKey{KeyID: id, Enabled: true, KeyScope: []api.Scope{api.ScopeRead}}
}

// A lease is counted from before it was asked for, less a tenth, and does not get longer by an answer that is late, or out of order.
func TestALeaseIsCountedFromItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, far, _, _ := open(t)
		first := far.hear().Renew
		time.Sleep(60 * time.Millisecond) // on its way
		far.grant(first, 500*time.Millisecond)
		began := time.Now()
		if !s.lease.held(time.Now()) {
			t.Fatal("there is no lease")
		}
		go func() { // who renews is not answered
			for far.lines.Scan() {
			}
		}()
		time.Sleep(389 * time.Millisecond)
		if !s.lease.held(time.Now()) {
			t.Errorf("the lease has ended after %v", time.Since(began))
		}
		time.Sleep(time.Millisecond)
		if s.lease.held(time.Now()) {
			t.Errorf("the lease lasts after %v", time.Since(began))
		}
		far.grant(first, 500*time.Millisecond)
		if s.lease.held(time.Now()) {
			t.Error("an old answer has brought a lease")
		}
		far.grant(1<<40, time.Hour)
		if s.lease.held(time.Now()) {
			t.Error("an answer to nothing has brought a lease")
		}
	})
}

func TestALeaseEndsByEitherClock(t *testing.T) {
	var l lease
	now := time.Now()
	l.extend(now, time.Second)
	if !l.held(now.Add(899 * time.Millisecond)) {
		t.Error("it ends too early")
	}
	if l.held(now.Add(900 * time.Millisecond)) {
		t.Error("it ends too late")
	}
	if l.held(now.Round(0).Add(time.Hour)) {
		t.Error("the wall clock, which knows that the machine was asleep, is not asked")
	}
	l.end()
	if l.held(now) {
		t.Error("it does not end")
	}
}

// What was being looked up when a change arrived is neither kept nor used.
func TestALookUpThatRacesAChangeLoses(t *testing.T) {
	for name, change := range map[string]func(digest) api.ServerLine{
		"the token": func(d digest) api.ServerLine { return api.ServerLine{Digests: [][]byte{d[:]}, Change: 7} },
		"all":       func(digest) api.ServerLine { return api.ServerLine{Forget: true, Change: 7} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, far, _, _ := open(t)
				d, other := digest{1}, digest{2}
				kept := s.begin(t, other)
				far.say(api.ServerLine{Found: &api.Found{ID: far.hears().LookUp.ID, Key: good(2), Keep: true}})
				if e := <-kept; e == nil || s.get(&other) != e {
					t.Fatal("what was found is not kept")
				}

				found := s.begin(t, d)
				old := far.hears().LookUp
				far.say(change(d))
				if l := far.hears(); l.Applied != 7 {
					t.Errorf("heard %+v", l)
				}
				if e := <-found; e != nil {
					t.Error("who asked before the change is told what was found before it")
				}
				far.say(api.ServerLine{Found: &api.Found{ID: old.ID, Key: good(1), Keep: true}})
				if s.get(&d) != nil {
					t.Error("what was found before the change is kept")
				}
				if (s.get(&other) == nil) != (name == "all") {
					t.Errorf("the other token is %v", s.get(&other))
				}

				// And who asks anew is told what holds now.
				found = s.begin(t, d)
				again := far.hears().LookUp
				if again.ID == old.ID || digest(again.Digest) != d {
					t.Errorf("asked %+v after %+v", again, old)
				}
				far.say(api.ServerLine{Found: &api.Found{ID: again.ID, Keep: true}})
				if e := <-found; e == nil || e.found || s.get(&d) != e {
					t.Errorf("found %+v", e)
				}
			})
		})
	}
}

func TestLookUpsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, far, _, _ := open(t)
		d := digest{1}
		first, second := s.begin(t, d), s.begin(t, d)
		id := far.hears().LookUp.ID
		far.say(api.ServerLine{Found: &api.Found{ID: id, Key: good(1)}}) // not to be kept
		if a, b := <-first, <-second; a != nil || b != nil || s.get(&d) != nil {
			t.Errorf("what is not to be kept is used: %v, %v", a, b)
		}
		if l := s.begin(t, d); far.hears().LookUp.ID == id {
			t.Error("it is not asked again")
		} else if time.Sleep(lookUpTimeout); <-l != nil {
			t.Error("no answer is one")
		}
	})
}

func TestTheServerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, far, _, _ := open(t)
		far.grant(far.hear().Renew, time.Second)
		far.say(api.ServerLine{Change: 1, Forget: true, Close: true})
		if l := far.hears(); l.Applied != 1 || s.lease.held(time.Now()) {
			t.Errorf("heard %+v, lease held: %t", l, s.lease.held(time.Now()))
		}
		far.grant(far.hear().Renew, time.Second)
		if s.lease.held(time.Now()) {
			t.Error("there is a lease after the end")
		}
	})
}

// Who leaves has no lease, has told of all uses, and says so last.
func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, far, u, stop := open(t)
		far.grant(far.hear().Renew, time.Second)
		const keys = api.MaxKeyUses + 1
		for i := range keys {
			u.count(newEntry(digest{byte(i), byte(i >> 8)}, good(1)), valid)
		}
		stop()
		told := 0
		for {
			l := far.hears()
			if s.lease.held(time.Now()) {
				t.Fatal("there is a lease")
			}
			if l.Leave {
				break
			}
			for _, u := range l.Uses {
				told += int(u.Count)
			}
			far.say(api.ServerLine{Noted: true})
		}
		if told != keys {
			t.Errorf("%d uses were told of", told)
		}
	})
}

// Of however many keys there are uses, all are told of in one go: a line as soon as the one before it was noted.
func TestUsesOfManyKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, far, u, _ := open(t)
		noted := func() int {
			for {
				switch l := far.hear(); {
				case l.Renew != 0:
					far.grant(l.Renew, time.Second)
				default:
					far.say(api.ServerLine{Noted: true})
					return len(l.Uses)
				}
			}
		}
		began := time.Now()
		const keys = 3*api.MaxKeyUses + 1
		for i := range keys {
			u.count(newEntry(digest{byte(i), byte(i >> 8)}, good(1)), valid)
		}
		for told := 0; told < keys; {
			told += noted()
		}
		if took := time.Since(began); took > reportEvery {
			t.Errorf("it took %v", took)
		}
		u.count(newEntry(digest{}, good(1)), valid)
		if noted(); time.Since(began) != 2*reportEvery {
			t.Errorf("one more use was told of after %v", time.Since(began))
		}
		for i := range u.most / 2 {
			u.count(newEntry(digest{byte(i), byte(i >> 8)}, good(1)), valid)
		}
		for told := 0; told < u.most/2; {
			told += noted()
		}
		if time.Since(began) != 2*reportEvery {
			t.Errorf("many uses were told of after %v", time.Since(began)-2*reportEvery)
		}
	})
}

// Of keys that the cache has dropped again, no more wait than there may, and where they are many, apikeyd is told at once.
func TestUsesAreBounded(t *testing.T) {
	u := newUses(10)
	for i := range u.most {
		if i == u.most/2-1 && len(u.many) > 0 {
			t.Errorf("%d are many", i)
		}
		u.count(newEntry(digest{}, good(1)), valid)
	}
	late := newEntry(digest{1}, good(1))
	u.count(late, valid)
	if len(u.pending) != 10+maxDropped || len(u.many) != 1 {
		t.Errorf("%d keys wait; many: %d", len(u.pending), len(u.many))
	}
	u.take()
	u.count(late, valid)
	if told := u.take(); digest(told[len(told)-1].Digest) != late.digest || told[len(told)-1].Count != 1 {
		t.Errorf("of the one that had no place, %+v is told", told[len(told)-1])
	}
}

func TestASilentServerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, far, _, _ := open(t)
		for far.lines.Scan() {
		}
		if took := time.Since(began); took < silence || took > silence+time.Second {
			t.Errorf("after %v", took)
		}
	})
}

func TestTheTableIsBounded(t *testing.T) {
	for _, most := range []int{0, 1, 10, 10_000} {
		table := newTable(most)
		inUse := newEntry(sha256.Sum256(nil), good(1))
		table.put(inUse)
		for i := range 3 * (most + 1) {
			table.put(newEntry(sha256.Sum256(fmt.Append(nil, i)), nil))
			table.get(&inUse.digest)
		}
		if n := table.len(); n > most || n < most*9/10 {
			t.Errorf("%d entries of %d", n, most)
		}
		if most > 1 && table.get(&inUse.digest) != inUse {
			t.Error("what is in use was dropped")
		}
		table.remove(&inUse.digest)
		if table.get(&inUse.digest) != nil {
			t.Error("what was removed is there")
		}
		table.clear()
		if n := table.len(); n != 0 {
			t.Errorf("%d entries after all were dropped", n)
		}
	}
}

// answering is a Cache of a server that knows one key and grants every lease.
func answering(t testing.TB) (c *Cache, text string) {
	text = token.New("ak").Reveal()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", api.SubscriptionProtocol)
		out := json.NewEncoder(conn)
		for in := json.NewDecoder(buffered); ; {
			var l api.SubscriberLine
			if in.Decode(&l) != nil || l.Leave {
				return
			}
			answer := api.ServerLine{Noted: l.Uses != nil}
			if l.Renew != 0 {
				answer.Grant = &api.Grant{Renew: l.Renew, LeaseMilliseconds: 30_000}
			}
			if l.LookUp != nil {
				answer.Found = &api.Found{ID: l.LookUp.ID, Keep: true}
				if digest(l.LookUp.Digest) == hash(text) {
					answer.Found.Key = good(17)
				}
			}
			_ = out.Encode(answer)
		}
	}))
	t.Cleanup(s.Close)
	v, err := client.NewVerifier(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c = NewCache(v, CacheOptions{})
	t.Cleanup(c.Close)
	for !c.Leased() {
		time.Sleep(time.Millisecond)
	}
	return c, text
}

func TestAHitAllocatesNothing(t *testing.T) {
	c, text := answering(t)
	for name, tt := range map[string]struct {
		q    api.VerifyRequest
		want api.VerifyCode
	}{
		"valid":   {api.VerifyRequest{Key: text, Scope: api.ScopeRead, IP: "203.0.113.9"}, api.VerifyValid},
		"refused": {api.VerifyRequest{Key: text, Scope: api.ScopeDelete}, api.VerifyInsufficientScope},
		"unknown": {api.VerifyRequest{Key: token.New("ak").Reveal()}, api.VerifyNotFound},
	} {
		ctx := t.Context()
		if n := testing.AllocsPerRun(1000, func() {
			if a, err := c.Verify(ctx, tt.q); err != nil || a.Code != tt.want {
				t.Error(a, err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// BenchmarkHit is the claim "under a microsecond, and no allocation".
func BenchmarkHit(b *testing.B) {
	c, text := answering(b)
	q, ctx := api.VerifyRequest{Key: text, Scope: api.ScopeRead, IP: "203.0.113.9"}, b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if a, err := c.Verify(ctx, q); err != nil || !a.Valid {
			b.Fatal(a, err)
		}
	}
}

// BenchmarkRequest is a whole request. That it is handed on with its key costs net/http's two allocations.
func BenchmarkRequest(b *testing.B) {
	c, text := answering(b)
	h := Require(c)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	r.Header.Set("Authorization", "Bearer "+text)
	b.ReportAllocs()
	for b.Loop() {
		if h.ServeHTTP(w, r); w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}
