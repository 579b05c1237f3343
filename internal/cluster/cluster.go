// Package cluster is what makes a deleted key dead on every node: leases and acknowledgements.
//
// Every node answers checks from memory. It may do so while it holds a lease, which it renews several times before it
// ends, and a renewal brings every change there is that it has not applied. Whoever changes something waits,
// after the commit, until each other node has applied the change or its lease has ended. Then it answers.
//
// No two clocks are compared. A node counts its lease from before it asked for it; whoever waits counts the same time from
// after the commit. A renewal that sees the commit brings the change, which is applied before the lease counts; one that does not
// was asked for before it, so that its lease ends no later than the wait. This is lease-based caching (Gray and Cheriton, 1989) with the server's part in
// the database. docs/consistency.md has the argument at length, and model/ holds it against a model checker.
//
// The package knows no database: it is handed store.Nodes.
package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apikeyd/apikeyd/internal/store"
)

// Cache is what a node answers from.
type Cache interface {
	// Invalidate forgets what is known about tokens, and what is being looked up about them. A check that begins after it has
	// returned does not see what was known before.
	Invalidate(changes []store.Change)
	// Forget does so for all tokens.
	Forget()
}

// Options are what a Node is made of. Where nothing else is said, a field is required.
type Options struct {
	Nodes   store.Nodes
	Cache   Cache
	Lease   *Lease
	Name    string // of this node, for people
	Version string
	Now     func() time.Time // with a monotonic clock, like time.Now; the same as the lease's
	Log     *slog.Logger
}

// Node is this process as one of the nodes. Its methods are safe for concurrent use.
type Node struct {
	o    Options
	wake chan struct{} // there may be changes to follow

	id atomic.Int64 // this node's, 0 before it has joined

	// Of Run alone.
	self   store.Node
	joined bool
	beat   int64 // the last renewal that is known to have been granted
	tried  int64 // the last one that was asked for

	mu      sync.Mutex
	waiters map[*waiter]struct{} // changes that wait for other nodes
	news    []store.News         // what was heard of and was not looked at yet
	stats   Stats
	unsaid  map[int64]Awaited // by node, what has not been added to its row yet
}

// Stats are counts since the start.
type Stats struct {
	Renewals, Failures int64              // of the lease
	Applied            int64              // the last change that this node has applied
	Last               int64              // the last one that it knows of
	Forgotten          int64              // how often it had to forget everything
	Waits              int64              // changes that other nodes had to be told of
	Expiries           int64              // of these, how many had to wait for a lease to end
	Waited             time.Duration      // all of them together
	Awaited            map[string]Awaited // for whom they waited, by the name of the node
}

// New returns a node that holds no lease and knows nobody. Run joins the others.
func New(o Options) *Node {
	return &Node{o: o, wake: make(chan struct{}, 1), waiters: map[*waiter]struct{}{},
		stats: Stats{Awaited: map[string]Awaited{Others: {}}}, unsaid: map[int64]Awaited{}}
}

// Stats returns the counts.
func (n *Node) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.stats
	s.Awaited = maps.Clone(s.Awaited)
	return s
}

func (n *Node) count(change func(*Stats)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(&n.stats)
}

// Run is the node until ctx ends: it joins, follows, renews, and leaves.
func (n *Node) Run(ctx context.Context) {
	var listening sync.WaitGroup
	listening.Go(func() { n.listen(ctx) })
	defer listening.Wait()

	every := time.NewTicker(n.o.Lease.length / 4)
	defer every.Stop()
	tidy := time.NewTicker(tidyEvery)
	defer tidy.Stop()
	told := false
	for well := true; ; {
		err := n.step(ctx, told)
		told = false
		if failed := err != nil && ctx.Err() == nil; failed && well {
			n.o.Log.Warn("the lease cannot be renewed; once it ends, checks are answered by the database alone", "error", err)
			well = false
		} else if err == nil && !well {
			n.o.Log.Info("the lease is renewed again")
			well = true
		}
		select {
		case <-ctx.Done():
			n.leave()
			return
		case <-n.wake:
			told = true
		case <-every.C:
		case <-tidy.C:
			n.tidy(ctx)
		}
	}
}

const (
	tidyEvery = 10 * time.Second
	// leaveTimeout is how long the last word may take.
	leaveTimeout = 2 * time.Second
)

func (n *Node) tidy(ctx context.Context) {
	if err := n.o.Nodes.Tidy(ctx); err != nil && ctx.Err() == nil {
		n.o.Log.Debug("old changes cannot be removed", "error", err)
	}
	n.sayAwaited(ctx)
}

// leave gives up the lease, and then says so: in this order, nobody needs to wait for it any more.
func (n *Node) leave() {
	n.o.Lease.end()
	if !n.joined {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	if err := n.o.Nodes.Leave(ctx, n.self.ID); err != nil {
		n.o.Log.Warn("could not leave the cluster: a change may have to wait for the lease to end", "error", err)
	}
}

// step renews the node's lease and brings it up to date. told: there is word of a change.
func (n *Node) step(ctx context.Context, told bool) error {
	err := n.renew(ctx, told)
	n.count(func(s *Stats) {
		s.Applied = n.self.Applied
		if err != nil {
			s.Failures++
		} else {
			s.Renewals++
		}
	})
	return err
}

// tries is how often a renewal is asked for in a row, where others change things in between.
const tries = 10

// renew asks for renewals until one brings nothing new: the one before has brought changes, and this one says that they are
// applied. Where there is word of a change, it is applied before, so that the first renewal says so: in a hurry, because somebody may be
// waiting for it, and without a lease, which the next tick renews.
func (n *Node) renew(ctx context.Context, told bool) (err error) {
	ctx, cancel := context.WithTimeout(ctx, n.o.Lease.length)
	defer cancel()
	hurry := told
	for range tries {
		was := n.self.ID
		if !n.joined {
			if err := n.join(ctx); err != nil {
				return err
			}
		} else if told {
			if err := n.follow(ctx); err != nil {
				return err
			}
		}
		hurry = hurry && n.self.ID == was
		told = false
		asked := n.o.Now() // before: the answer may take its time
		n.tried++
		feed, known, err := n.o.Nodes.Renew(ctx, n.self, n.beat, n.tried, hurry)
		switch {
		case err != nil:
			return err
		case !known:
			n.fallOut(feed)
			continue
		}
		n.beat = n.tried
		news := feed.Last != n.self.Applied
		n.apply(feed)
		if !hurry {
			n.o.Lease.extend(asked)
		}
		if !news {
			return nil
		}
		hurry = true // all that is left to say is that they are applied
	}
	if !n.joined {
		return errNotKept
	}
	signal(n.wake) // that the last changes are applied is not said yet
	return nil
}

// follow applies the changes that the node lacks. They are read where the news leave anything out.
func (n *Node) follow(ctx context.Context) error {
	if n.applyNews(n.takeNews()) {
		return nil
	}
	feed, err := n.o.Nodes.Follow(ctx, n.self.Applied)
	switch {
	case err != nil:
		return err
	case feed.History != n.self.History:
		n.fallOut(feed)
		return n.join(ctx)
	}
	n.apply(feed)
	return nil
}

// applyNews applies news that go on where the node has got to, and reports whether all of them did. Where there are none, an earlier step
// has taken them.
func (n *Node) applyNews(news []store.News) bool {
	for _, one := range news {
		switch first := one.Last - int64(len(one.Digests)); {
		case one.History != n.self.History:
			return false
		case one.Last <= n.self.Applied: // a renewal has brought it
		case first == n.self.Applied:
			n.o.Cache.Invalidate(changesOf(one.Digests))
			n.self.Applied = one.Last
		default:
			return false
		}
	}
	return true
}

// fallOut has a node that the database does not know any more join anew.
func (n *Node) fallOut(feed store.Feed) {
	reason := "this node is not known to the database any more"
	if feed.History != n.self.History {
		reason = "another server has taken over the database"
	}
	n.forget(reason)
	n.joined = false
}

// apply applies the changes that the node lacks.
func (n *Node) apply(feed store.Feed) {
	if feed.Gap {
		n.forget("changes are missing from the database")
	} else if len(feed.Digests) > 0 {
		n.o.Cache.Invalidate(changesOf(feed.Digests))
	}
	n.self.Applied = feed.Last
	n.count(func(s *Stats) { s.Last = feed.Last }) // what was heard of and is not there was not committed after all
}

// heard notes that there is a change.
func (n *Node) heard(change int64) {
	n.count(func(s *Stats) { s.Last = max(s.Last, change) })
}

func (n *Node) join(ctx context.Context) error {
	if n.self.ID != 0 { // nobody needs to wait for what it was before
		if err := n.o.Nodes.Leave(ctx, n.self.ID); err != nil {
			return err
		}
	}
	self, err := n.o.Nodes.Join(ctx, store.Node{ID: newID(), Name: n.o.Name, Version: n.o.Version, Lease: n.o.Lease.length, StartedAt: n.o.Now()})
	if err != nil {
		return err
	}
	n.o.Cache.Forget() // it may hold what changed before the node was counted among those that are told
	n.self, n.beat, n.tried, n.joined = self, 0, 0, true
	n.id.Store(self.ID)
	n.count(func(s *Stats) { s.Applied, s.Last = self.Applied, self.Applied }) // another history may have come less far
	return nil
}

// newID returns an id that no node has had. It has 53 bits, so that everybody who reads JSON can read it.
func newID() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return int64(binary.LittleEndian.Uint64(b[:])&(1<<53-1)) | 1
}

// forget empties the cache, which may lack changes that nobody can tell of any more, and gives up the lease with it.
func (n *Node) forget(reason string) {
	n.o.Lease.end()
	n.o.Cache.Forget()
	n.count(func(s *Stats) { s.Forgotten++ })
	n.o.Log.Warn("everything in the cache is forgotten", "reason", reason)
}

// Invalidate forgets what is known about tokens that changed, here and on every other node. When it returns, no check that
// begins afterwards is answered from what was known before, on any node.
func (n *Node) Invalidate(changes []store.Change) {
	committed := n.o.Now()
	n.o.Cache.Invalidate(changes)
	var last int64
	for i := range changes {
		last = max(last, changes[i].ID)
	}
	if last != 0 {
		n.heard(last)
		n.await(committed, last)
	}
}
