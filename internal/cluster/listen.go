package cluster

import (
	"context"
	"errors"
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

// changed wakes Run.
func (n *Node) changed(last int64) {
	n.heard(last)
	signal(n.wake)
}

// applied wakes the changes that wait for other nodes.
func (n *Node) applied() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for w := range n.waiters {
		signal(w)
	}
}

func (n *Node) subscribe() chan struct{} {
	word := make(chan struct{}, 1)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiters[word] = struct{}{}
	return word
}

func (n *Node) unsubscribe(word chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.waiters, word)
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
