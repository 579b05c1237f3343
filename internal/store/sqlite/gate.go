package sqlite

import (
	"sync"

	"github.com/apikeyd/apikeyd/internal/store"
)

// gate counts the calls under way, so that closing can wait for them.
type gate struct {
	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup
}

// enter begins a call, or returns store.ErrClosed.
func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return store.ErrClosed
	}
	g.calls.Add(1)
	return nil
}

// leave ends a call.
func (g *gate) leave() { g.calls.Done() }

// close lets no further call in and waits for those under way. It reports whether it was the first to close.
func (g *gate) close() bool {
	g.mu.Lock()
	first := !g.closed
	g.closed = true
	g.mu.Unlock()
	g.calls.Wait()
	return first
}
