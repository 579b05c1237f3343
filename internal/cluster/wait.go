package cluster

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/apikeyd/apikeyd/internal/store"
)

// Awaited is how much changes have waited for one node.
type Awaited struct {
	Changes  int64
	Expiries int64 // of these, those that its lease had to end for
	Waited   time.Duration
}

func (a *Awaited) add(b Awaited) {
	a.Changes += b.Changes
	a.Expiries += b.Expiries
	a.Waited += b.Waited
}

// Stats.Awaited tells so many names apart. What comes after them is under Others, whose name no host has.
const (
	maxAwaited = 64
	Others     = "(others)"
)

// await waits until every other node has applied a change or its lease has ended.
func (n *Node) await(committed time.Time, change int64) {
	ear := n.subscribe(change)
	defer n.unsubscribe(ear)
	w := wait{seen: map[int64]sighting{}}
	again := time.NewTimer(askAgain)
	defer again.Stop()
	for ask := true; ; {
		if limit := MaxLease + margin(MaxLease); !w.known && n.o.Now().Sub(committed) >= limit {
			n.waited(n.o.Now().Sub(committed), "the database cannot say which nodes there are")
			return
		}
		if ask {
			ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
			behind, err := n.o.Nodes.Behind(ctx, change, n.id.Load())
			cancel()
			if err == nil {
				w.look(behind, n.o.Now())
			}
			again.Reset(askAgain)
		}
		now := n.o.Now()
		applied, unclear := n.heardOf(ear)
		w.hear(applied, now)
		if pending, ended := w.pending(now); w.known && !pending {
			n.waited(now.Sub(committed), ended)
			n.awaited(&w, committed, now)
			n.expel(w)
			return
		}
		if ask = unclear; ask {
			continue
		}
		select {
		case <-ear.word:
		case <-again.C: // however much is heard of others meanwhile
			ask = true
		}
	}
}

const (
	askTimeout = time.Second
	askAgain   = 20 * time.Millisecond // where a notification got lost, and while a lease is being waited for
)

// wait is whom a change waits for, as far as is known.
type wait struct {
	known  bool // the database has said who there is
	behind []store.Node
	seen   map[int64]sighting // by node
}

// sighting is when the database had answered for the first time that a node's last renewal was the one with this beat. A lease that
// was granted with it was asked for before.
type sighting struct {
	name string
	at   time.Time
	beat int64
	let  time.Time // when the node had let go of what was before; zero: not yet
}

// look notes which nodes the database has said are behind.
func (w *wait) look(behind []store.Node, now time.Time) {
	w.behind, w.known = behind, true
	for id, s := range w.seen {
		if s.let.IsZero() && !slices.ContainsFunc(behind, func(b store.Node) bool { return b.ID == id }) {
			s.let = now
			w.seen[id] = s
		}
	}
	for _, b := range behind {
		if _, ok := w.seen[b.ID]; !ok {
			w.seen[b.ID] = sighting{name: b.Name, at: now, beat: b.Beat}
		}
	}
}

// hear notes which nodes have said that they have applied the change: what the database would say of them if it was asked again.
func (w *wait) hear(applied map[acknowledgement]bool, now time.Time) {
	w.behind = slices.DeleteFunc(w.behind, func(b store.Node) bool {
		gone := applied[acknowledgement{b.ID, b.History}]
		if s := w.seen[b.ID]; gone {
			s.let = now
			w.seen[b.ID] = s
		}
		return gone
	})
}

// pending reports whether there is a node whose lease may not have ended yet, and names one of those whose lease has.
func (w *wait) pending(now time.Time) (pending bool, ended string) {
	for _, b := range w.behind {
		if now.Sub(w.seen[b.ID].at) < b.Lease+margin(b.Lease) {
			pending = true
		} else {
			ended = b.Name
		}
	}
	return pending, ended
}

// expel removes the nodes whose leases were waited for, so that the next change does not wait for them as well. They join anew
// when they are able to. One that has renewed meanwhile without the change shows that the change was not made after all, as may
// be where the outcome of the commit was unknown; it holds a lease, and must go on being waited for.
func (n *Node) expel(w wait) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	for _, b := range w.behind {
		if err := n.o.Nodes.Expel(ctx, b.ID, w.seen[b.ID].beat); err != nil {
			n.o.Log.Debug("a node cannot be removed", "node", b.Name, "error", err)
		}
	}
}

// waited counts a change that other nodes had to be told of; ended is whose lease had to end for it.
func (n *Node) waited(took time.Duration, ended string) {
	n.count(func(s *Stats) {
		s.Waits++
		s.Waited += took
		if ended != "" {
			s.Expiries++
		}
	})
	if ended != "" {
		n.o.Log.Warn("a change had to wait for a lease to end", "node", ended, "waited", took)
	}
}

// awaited counts for whom a change has waited that was committed at a time and is answered now.
func (n *Node) awaited(w *wait, committed, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, s := range w.seen {
		one := Awaited{Changes: 1, Waited: s.let.Sub(committed)}
		if s.let.IsZero() {
			one.Expiries, one.Waited = 1, now.Sub(committed)
		}
		name := s.name
		if _, ok := n.stats.Awaited[name]; !ok && len(n.stats.Awaited) >= maxAwaited {
			name = Others
		}
		all, unsaid := n.stats.Awaited[name], n.unsaid[id]
		all.add(one)
		unsaid.add(one)
		n.stats.Awaited[name], n.unsaid[id] = all, unsaid
	}
}

// sayAwaited adds to the rows of nodes how much was waited for them, each by itself: who changes several rows at once may meet
// another one who does so in another order. What cannot be said is dropped, because it is of use to people alone.
func (n *Node) sayAwaited(ctx context.Context) {
	n.mu.Lock()
	unsaid := n.unsaid
	n.unsaid = map[int64]Awaited{}
	n.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(unsaid)) {
		if err := n.o.Nodes.Awaited(ctx, id, unsaid[id].Changes, unsaid[id].Waited); err != nil {
			return
		}
	}
}
