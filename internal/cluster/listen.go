package cluster

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// errNotKept: whenever the node joins, it turns out to be gone again.
var errNotKept = errors.New("the database does not keep the node")

// listenAgain is the time between two attempts to listen.
const listenAgain = 500 * time.Millisecond

// listen passes on what the database says, until ctx ends. While it does not, the tickers of Run and await do with less haste
// what it would have them do at once.
func (n *Node) listen(ctx context.Context) {
	for well := true; ctx.Err() == nil; {
		began := n.o.Now()
		err := n.o.Nodes.Listen(ctx, n.changed, n.applied)
		if ctx.Err() != nil {
			return
		}
		if n.o.Now().Sub(began) > listenAgain {
			well = true
		}
		if well {
			n.o.Log.Warn("notifications of the database are interrupted; changes take longer to be answered", "error", err)
			well = false
		}
		select {
		case <-ctx.Done():
		case <-time.After(listenAgain):
		}
	}
}

// maxNews bounds what was heard of and was not looked at yet.
const maxNews = 1000

// changed keeps the news for Run, and wakes it. This node has let go already of what it has changed itself, and need not hurry to
// write that down.
func (n *Node) changed(news store.News) {
	n.heard(news.Last)
	n.mu.Lock()
	if n.news = append(n.news, news); len(n.news) > maxNews {
		n.news = []store.News{{}} // there was word, and what it said was dropped
	}
	n.mu.Unlock()
	if !news.Own {
		signal(n.wake)
	}
}

// takeNews returns what was heard since it was called last, in the order of commits.
func (n *Node) takeNews() []store.News {
	n.mu.Lock()
	defer n.mu.Unlock()
	news := n.news
	n.news = nil
	return news
}

// waiter is a change that waits for other nodes, and what was heard of them meanwhile.
type waiter struct {
	change  int64
	applied map[acknowledgement]bool
	unclear bool // there was word, but not of whom
	word    chan struct{}
}

// acknowledgement says that a node has applied the change that is waited for, as a database with this history numbers it. Word of a server
// that has been replaced may come late, and be about a change that was lost.
type acknowledgement struct {
	nodeID  int64
	history string
}

// applied wakes the changes that wait for other nodes.
func (n *Node) applied(word store.Word) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for w := range n.waiters {
		switch {
		case word.NodeID == 0:
			w.unclear = true
		case word.Applied >= w.change:
			w.applied[acknowledgement{word.NodeID, word.History}] = true
		default:
			continue
		}
		signal(w.word)
	}
}

func (n *Node) subscribe(change int64) *waiter {
	w := &waiter{change: change, applied: map[acknowledgement]bool{}, word: make(chan struct{}, 1)}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiters[w] = struct{}{}
	return w
}

func (n *Node) unsubscribe(w *waiter) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.waiters, w)
}

// heardOf returns which nodes have said that they have applied the change, and whether there was word since that did not say of whom.
func (n *Node) heardOf(w *waiter) (applied map[acknowledgement]bool, unclear bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	applied, unclear = maps.Clone(w.applied), w.unclear
	w.unclear = false
	return applied, unclear
}

// signal leaves word, unless there is word already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func changesOf(digests []key.Digest) []store.Change {
	changes := make([]store.Change, len(digests))
	for i := range digests {
		changes[i].Digest = digests[i]
	}
	return changes
}
