package subscribe

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// node is what a hub stands before: a cache that counts, and tokens that are what a test says.
type node struct {
	mu          sync.Mutex
	invalidated int
	forgotten   int
	records     map[key.Digest]*key.Record
	keep        bool
	err         error
	during      func() // runs within Find, after the read
	uses        map[key.Digest]int64
}

func (n *node) Invalidate(changes []store.Change) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.invalidated += len(changes)
}

func (n *node) Forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forgotten++
}

func (n *node) Find(_ context.Context, d key.Digest) (*key.Record, bool, error) {
	n.mu.Lock()
	r, keep, err, during := n.records[d], n.keep, n.err, n.during
	n.mu.Unlock()
	if during != nil {
		during()
	}
	return r, keep, err
}

func (n *node) Used(_ context.Context, d key.Digest, _ key.Outcome, count int64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.uses[d] += count
	return nil
}

// memory is a Memory that outlives a hub.
type memory struct{ marked bool }

func (m *memory) Marked() (bool, error) { return m.marked, nil }
func (m *memory) Mark() error           { m.marked = true; return nil }
func (m *memory) Clear() error          { m.marked = false; return nil }

func newHub(t *testing.T, change func(*Options)) (*Hub, *node) {
	t.Helper()
	n := &node{records: map[key.Digest]*key.Record{}, keep: true, uses: map[key.Digest]int64{}}
	o := Options{Cache: n, Tokens: n, Lease: MaxLease, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h, n
}

// peer is the other end of a subscription. It does nothing by itself.
type peer struct {
	t       *testing.T
	conn    net.Conn
	lines   *bufio.Scanner
	renewal uint64
}

func subscribe(t *testing.T, h *Hub) *peer {
	t.Helper()
	here, there := net.Pipe()
	if err := h.Accept(there, there); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close() })
	p := &peer{t: t, conn: here, lines: bufio.NewScanner(here)}
	p.lines.Buffer(nil, api.MaxServerLine)
	return p
}

func (p *peer) say(l api.SubscriberLine) {
	p.t.Helper()
	b, err := json.Marshal(l)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.conn.Write(append(b, '\n')); err != nil {
		p.t.Fatal(err)
	}
}

// hear returns the next line; false where the connection has ended.
func (p *peer) hear() (l api.ServerLine, ok bool) {
	p.t.Helper()
	if !p.lines.Scan() {
		return l, false
	}
	if err := json.Unmarshal(p.lines.Bytes(), &l); err != nil {
		p.t.Fatal(err)
	}
	return l, true
}

// must returns the next line, which there has to be.
func (p *peer) must() api.ServerLine {
	p.t.Helper()
	l, ok := p.hear()
	if !ok {
		p.t.Fatalf("the connection has ended: %v", p.lines.Err())
	}
	return l
}

// renew asks for a lease and returns it.
func (p *peer) renew() time.Duration {
	p.t.Helper()
	p.renewal++
	p.say(api.SubscriberLine{Renew: p.renewal})
	l := p.must()
	if l.Grant == nil || l.Grant.Renew != p.renewal {
		p.t.Fatalf("heard %+v in place of a grant", l)
	}
	return time.Duration(l.Grant.LeaseMilliseconds) * time.Millisecond
}

// change hears of a change, and returns its tokens and the line that ends it.
func (p *peer) change() (digests int, last api.ServerLine) {
	p.t.Helper()
	for last.Change == 0 {
		last = p.must()
		digests += len(last.Digests)
	}
	return digests, last
}

func changes(n int) []store.Change {
	all := make([]store.Change, n)
	for i := range all {
		all[i].Digest = key.Digest{byte(i), byte(i >> 8), byte(i >> 16)}
	}
	return all
}

// after runs f, and returns how long it took.
func after(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}
