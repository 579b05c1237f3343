package e2e

import (
	"io"
	"net"
	"sync"
	"testing"
)

// line is the network between a node and its database, which a test can cut.
type line struct {
	address  string // where the node connects to
	target   string
	mu       sync.Mutex
	flowing  chan struct{} // closed while bytes get through
	refusing bool
	conns    map[net.Conn]struct{}
}

// newLine lays a line to an address.
func newLine(t testing.TB, target string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{address: listener.Addr().String(), target: target, flowing: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(l.flowing)
	var serving sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		l.reset()
		l.heal()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { l.serve(conn) })
		}
	})
	return l
}

// swallow lets nothing through, as a network does that loses every packet: nobody is told. What was sent arrives when the line
// is healed, however late that is.
func (l *line) swallow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.flowing:
		l.flowing = make(chan struct{})
	default:
	}
}

// reset breaks all connections and refuses new ones.
func (l *line) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusing = true
	for conn := range l.conns {
		conn.Close()
	}
}

// heal lets everything through again.
func (l *line) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusing = false
	select {
	case <-l.flowing:
	default:
		close(l.flowing)
	}
}

func (l *line) wait() {
	l.mu.Lock()
	flowing := l.flowing
	l.mu.Unlock()
	<-flowing
}

// keep notes a connection so that reset finds it; false where there are to be none.
func (l *line) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.refusing {
		l.conns[conn] = struct{}{}
	}
	return !l.refusing
}

func (l *line) drop(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
	conn.Close()
}

func (l *line) serve(near net.Conn) {
	defer l.drop(near)
	if !l.keep(near) {
		return
	}
	l.wait()
	far, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer l.drop(far)
	if !l.keep(far) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.carry(far, near) })
	both.Go(func() { l.carry(near, far) })
	both.Wait()
}

// carry passes on what comes from one end, and its end.
func (l *line) carry(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		l.wait()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if err != io.EOF {
				from.Close()
			}
			to.Close()
			return
		}
	}
}
