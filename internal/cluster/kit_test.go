package cluster

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// database is a store.Nodes in memory, which a test may take away.
type database struct {
	mu        sync.Mutex
	away      bool
	deaf      bool // what is notified gets lost
	mute      bool // what is notified says little
	last      int64
	pruned    int64
	changes   map[int64]key.Digest
	rows      map[int64]store.Node
	history   string
	listeners []listener
	deciding  func() // runs before a renewal is decided
	renewals  int
	follows   int
	asked     int // who is behind
}

type listener struct {
	changed func(store.News)
	applied func(store.Word)
}

func newDatabase() *database {
	return &database{changes: map[int64]key.Digest{}, rows: map[int64]store.Node{}, history: "1"}
}

var errAway = errors.New("the database is away")

// enter locks the database, unless it is away.
func (d *database) enter() error {
	d.mu.Lock()
	if d.away {
		d.mu.Unlock()
		return errAway
	}
	return nil
}

func (d *database) tell(what func(listener)) {
	if !d.deaf {
		for _, l := range d.listeners {
			what(l)
		}
	}
}

// commit makes a change, as a transaction on any node does.
func (d *database) commit(digest key.Digest) store.Change {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	d.changes[d.last] = digest
	d.tell(func(l listener) { l.changed(d.news(digest)) })
	return store.Change{ID: d.last, Digest: digest}
}

// news is what is said of a change that was just made.
func (d *database) news(digest key.Digest) store.News {
	if d.mute {
		return store.News{Last: d.last}
	}
	return store.News{Last: d.last, Digests: []key.Digest{digest}, History: d.history}
}

func (d *database) set(change func(*database)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

// ids returns the ids of the nodes there are.
func (d *database) ids() []int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.rows))
}

func (d *database) Join(_ context.Context, n store.Node) (store.Node, error) {
	if err := d.enter(); err != nil {
		return n, err
	}
	defer d.mu.Unlock()
	n.Applied, n.History, n.Beat = d.last, d.history, 0
	d.rows[n.ID] = n
	return n, nil
}

func (d *database) Leave(_ context.Context, id int64) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.mu.Unlock()
	delete(d.rows, id)
	d.tell(func(l listener) { l.applied(store.Word{}) })
	return nil
}

func (d *database) Follow(_ context.Context, after int64) (store.Feed, error) {
	if err := d.enter(); err != nil {
		return store.Feed{}, err
	}
	defer d.mu.Unlock()
	d.follows++
	return d.feed(after), nil
}

func (d *database) feed(after int64) store.Feed {
	feed := store.Feed{Last: d.last, Gap: after < d.pruned || after > d.last, History: d.history}
	for id := max(after, d.pruned) + 1; id <= d.last; id++ {
		feed.Digests = append(feed.Digests, d.changes[id])
	}
	return feed
}

func (d *database) Renew(_ context.Context, n store.Node, oldest, beat int64, hurry bool) (feed store.Feed, known bool, err error) {
	d.mu.Lock()
	deciding := d.deciding
	d.mu.Unlock()
	if deciding != nil {
		deciding()
	}
	if err := d.enter(); err != nil {
		return feed, false, err
	}
	defer d.mu.Unlock()
	row, ok := d.rows[n.ID]
	if !ok || row.Beat < oldest || row.Beat >= beat || n.History != d.history {
		return d.feed(n.Applied), false, nil
	}
	got := row.Applied < n.Applied
	row.Beat, row.Applied = beat, n.Applied
	d.rows[n.ID] = row
	d.renewals++
	if got {
		d.tell(func(l listener) { l.applied(store.Word{NodeID: n.ID, Applied: n.Applied, History: d.history}) })
	}
	return d.feed(n.Applied), true, nil
}

func (d *database) Expel(_ context.Context, id, beat int64) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.mu.Unlock()
	if d.rows[id].Beat == beat {
		delete(d.rows, id)
	}
	return nil
}

func (d *database) Behind(_ context.Context, change, except int64) (behind []store.Node, err error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.mu.Unlock()
	d.asked++
	for _, n := range d.rows {
		if n.Applied < change && n.ID != except {
			n.History = d.history
			behind = append(behind, n)
		}
	}
	return behind, nil
}

func (d *database) List(context.Context) ([]store.Node, int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.rows)), d.last, nil
}

func (d *database) Tidy(context.Context) error { return nil }

func (d *database) Awaited(_ context.Context, id, changes int64, waited time.Duration) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.mu.Unlock()
	if n, ok := d.rows[id]; ok {
		n.Waits, n.Waited = n.Waits+changes, n.Waited+waited
		d.rows[id] = n
	}
	return nil
}

func (d *database) Listen(ctx context.Context, changed func(store.News), applied func(store.Word)) error {
	d.mu.Lock()
	d.listeners = append(d.listeners, listener{changed, applied})
	d.mu.Unlock()
	changed(store.News{})
	applied(store.Word{})
	<-ctx.Done()
	return ctx.Err()
}

// cache remembers what it was told to forget.
type cache struct {
	mu          sync.Mutex
	invalidated map[key.Digest]int
	forgotten   int
}

func (c *cache) Invalidate(changes []store.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, change := range changes {
		c.invalidated[change.Digest]++
	}
}

func (c *cache) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgotten++
}

func (c *cache) forgets() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.forgotten
}

func (c *cache) lacks(d key.Digest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.invalidated[d] > 0
}

// member is a node of a test and what belongs to it.
type member struct {
	*Node
	lease *Lease
	cache *cache
	stop  func() // ends Run and waits for that
}

// join makes a node that does nothing yet. Lease and node go by the time of the bubble that the test is in.
func join(d store.Nodes, name string) *member {
	m := &member{lease: NewLease(length, 0, time.Now), cache: &cache{invalidated: map[key.Digest]int{}}, stop: func() {}}
	m.Node = New(Options{Nodes: d, Cache: m.cache, Lease: m.lease, Name: name, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	return m
}

// run makes a node that has joined and holds its lease.
func run(t *testing.T, d store.Nodes, name string) *member {
	t.Helper()
	m := join(d, name)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); m.Run(ctx) }()
	m.stop = func() { cancel(); <-done }
	t.Cleanup(m.stop)
	synctest.Wait()
	if !m.holds() {
		t.Fatalf("node %s has no lease", name)
	}
	return m
}

func (m *member) holds() bool {
	_, held := m.lease.Held(time.Now())
	return held
}

func digest(n byte) key.Digest { return key.Digest{n} }

// took returns how long a call took by the time of the bubble.
func took(call func()) time.Duration {
	began := time.Now()
	call()
	return time.Since(began)
}

// lossy loses answers to renewals.
type lossy struct {
	*database
	lose int
}

func (l *lossy) Renew(ctx context.Context, n store.Node, oldest, beat int64, hurry bool) (feed store.Feed, known bool, err error) {
	feed, known, err = l.database.Renew(ctx, n, oldest, beat, hurry)
	if l.lose > 0 {
		l.lose--
		return store.Feed{}, false, errAway
	}
	return feed, known, err
}
