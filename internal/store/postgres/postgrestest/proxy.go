package postgrestest

import (
	"errors"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Proxy stands between clients and a server, and understands enough of what they say to fail at a chosen place.
type Proxy struct {
	listener net.Listener
	server   string
	fault    atomic.Pointer[func(statement string) Fault]
	silent   atomic.Bool
	open     atomic.Int64
	most     atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	group sync.WaitGroup
}

// Fault is what becomes of a statement.
type Fault int

const (
	Pass       Fault = iota
	CutBefore        // the statement does not reach the server, and both connections end
	CutAfter         // the server answers, and both connections end before the client hears it
	LoseBefore       // the statement does not reach the server, nor does anything after it; connections stay
	LoseAfter        // the server answers, and the client hears nothing any more; connections stay
	EndBefore        // the statement does not reach the server; the client is told that the server ends the connection
	EndAfter         // the server answers; the client is told so, and that the server ends the connection
	Stall            // the server answers, but what it says is not even taken from it; connections stay
)

// NewProxy starts a proxy before a server, "127.0.0.1:5432". It ends with the test.
func NewProxy(t testing.TB, server string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, server: server, conns: map[net.Conn]struct{}{}}
	p.OnStatement(func(string) Fault { return Pass })
	p.group.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.Cut()
		p.group.Wait()
	})
	return p
}

// Address returns a server's address, "127.0.0.1:5432", as in a URL.
func Address(t testing.TB, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// URL returns the URL of a database by way of the proxy.
func (p *Proxy) URL(t testing.TB, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = p.listener.Addr().String()
	return u.String()
}

// OnStatement sets what decides about each statement before it is passed on.
func (p *Proxy) OnStatement(decide func(statement string) Fault) { p.fault.Store(&decide) }

// Lose makes the proxy lose all that it is sent, without a word, on connections that are there and on new ones. Deliver ends
// that, for new connections: those that have lost something stay silent.
func (p *Proxy) Lose()    { p.silent.Store(true) }
func (p *Proxy) Deliver() { p.silent.Store(false) }

// Cut ends all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// Most returns how many clients were connected at the same time at most.
func (p *Proxy) Most() int64 { return p.most.Load() }

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.group.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) add(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
}

func (p *Proxy) end(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close()
}

// serve passes on what a client and the server say to each other.
func (p *Proxy) serve(client net.Conn) {
	p.most.Store(max(p.most.Load(), p.open.Add(1)))
	p.add(client)
	defer p.end(client)
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		p.open.Add(-1)
		return
	}
	p.add(server)
	defer p.end(server)
	c := &connection{proxy: p, client: client, server: server, statements: map[string]string{}}
	var answers sync.WaitGroup
	answers.Go(c.answers)
	c.requests()
	p.open.Add(-1)
	if !c.lost.Load() { // else the server does not hear of the end either
		_ = server.Close()
	}
	answers.Wait()
}

// connection is one client with its connection to the server.
type connection struct {
	proxy          *Proxy
	client, server net.Conn
	statements     map[string]string // prepared, by name
	lost           atomic.Bool       // what the client says does not arrive
	deaf           atomic.Bool       // what the server says does not arrive
	cut            atomic.Bool       // the next answer ends the connections
	ending         atomic.Bool       // likewise, and the client is told why
	stalled        atomic.Bool       // no answer is read
}

// requests passes on what the client says until it ends.
func (c *connection) requests() {
	backend := pgproto3.NewBackend(c.client, c.client)
	first, err := backend.ReceiveStartupMessage()
	if err == nil {
		err = c.pass(first)
	}
	for err == nil {
		var m pgproto3.FrontendMessage
		if m, err = backend.Receive(); err == nil {
			err = c.request(m)
		}
	}
}

var errCut = errors.New("cut")

func (c *connection) request(m pgproto3.FrontendMessage) error {
	statement := ""
	switch m := m.(type) {
	case *pgproto3.Query:
		statement = m.String
	case *pgproto3.Parse:
		c.statements[m.Name] = m.Query
	case *pgproto3.Bind:
		statement = c.statements[m.PreparedStatement]
	}
	if statement != "" {
		switch (*c.proxy.fault.Load())(statement) {
		case CutBefore:
			return errCut
		case CutAfter:
			c.cut.Store(true)
		case LoseBefore:
			c.lost.Store(true)
			c.deaf.Store(true)
		case LoseAfter:
			c.deaf.Store(true)
		case EndBefore:
			return errors.Join(errCut, c.tell(ended))
		case EndAfter:
			c.ending.Store(true)
		case Stall:
			c.stalled.Store(true)
		}
	}
	return c.pass(m)
}

// ended is what a server says that was told to end a connection.
var ended = &pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "57P01",
	Message: "terminating connection due to administrator command"}

// tell says something in place of the server.
func (c *connection) tell(messages ...pgproto3.BackendMessage) (err error) {
	var b []byte
	for _, m := range messages {
		if b, err = m.Encode(b); err != nil {
			return err
		}
	}
	_, err = c.client.Write(b)
	return err
}

// pass passes on a message of the client's.
func (c *connection) pass(m interface {
	Encode(dst []byte) ([]byte, error)
}) error {
	if c.proxy.silent.Load() {
		c.lost.Store(true)
		c.deaf.Store(true)
	}
	if c.lost.Load() {
		return nil
	}
	b, err := m.Encode(nil)
	if err == nil {
		_, err = c.server.Write(b)
	}
	return err
}

// answers passes on what the server says until it ends.
func (c *connection) answers() {
	b := make([]byte, 32<<10)
	for {
		n, err := c.server.Read(b)
		if c.stalled.Load() {
			return
		}
		if n > 0 && c.proxy.silent.Load() {
			c.deaf.Store(true)
		}
		switch {
		case n > 0 && c.ending.Load():
			_ = c.tell(&pgproto3.CommandComplete{CommandTag: []byte("COMMIT")}, ended)
			_ = c.server.Close()
			_ = c.client.Close()
			return
		case n > 0 && c.cut.Load():
			_ = c.server.Close()
			_ = c.client.Close()
			return
		case n > 0 && !c.deaf.Load():
			if _, err := c.client.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if !c.deaf.Load() { // else the client does not hear of the end either
				_ = c.client.Close()
			}
			return
		}
	}
}
