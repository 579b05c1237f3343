package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
)

// lease is the lease of the nodes of a test.
const lease = 2 * time.Second

// node is an apikeyd that serves a database together with others.
type node struct {
	t      *testing.T
	name   string
	line   *line  // to its database
	dsn    string // through the line
	folder string
	args   []string

	program string // "": the one that is tested

	mu      sync.Mutex
	current *server // changes with each start
}

// cluster is several nodes on one database.
type cluster struct {
	database string // its name
	nodes    []*node
	token    string // of the first key, which may do everything
}

// serveCluster makes a database on a server and starts three nodes on it, each with a line of its own.
func serveCluster(t *testing.T, db *postgrestest.Server, args ...string) *cluster {
	t.Helper()
	u, err := url.Parse(db.NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{database: strings.TrimPrefix(u.Path, "/")}
	for _, name := range []string{"a", "b", "c"} {
		l := newLine(t, db.Address())
		through := *u
		through.Host = l.address
		c.add(&node{t: t, name: name, line: l, dsn: through.String(), folder: t.TempDir(), args: args})
	}
	return c
}

// add starts a further node.
func (c *cluster) add(n *node) {
	n.t.Helper()
	n.start()
	if c.nodes = append(c.nodes, n); len(c.nodes) == 1 {
		c.token = n.server().token
	}
}

// start starts the node, at an address of the system's choice.
func (n *node) start() {
	n.t.Helper()
	env := append([]string{"APIKEYD_DATABASE=" + n.dsn, "APIKEYD_LOG_CHECKS=false", "APIKEYD_NODE_NAME=" + n.name}, anyPort...)
	program := cmp.Or(n.program, binary)
	s := await(n.t, launch(n.t, n.folder, env, program, append([]string{"serve"}, n.args...)...), n.folder)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.current = s
}

// server returns the process that is or was the last one to be this node.
func (n *node) server() *server {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.current
}

// client returns a client of the node alone, which tries nothing twice.
func (c *cluster) client(n *node) *client.Client { return n.server().once(c.token) }

// create makes a key that may READ and CREATE.
func (c *cluster) create(t testing.TB, n *node) api.CreatedKey {
	t.Helper()
	k, err := c.client(n).CreateKey(t.Context(), api.NewKey{KeyName: "k", KeyScope: []api.Scope{"READ", "CREATE"}, OrganizationID: 1})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// metric returns the value of a metric without labels.
func (n *node) metric(t *testing.T, name string) float64 {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(get(t, n.server().verification+"/metrics"))
	if found == nil {
		t.Fatalf("node %s has no metric %s", n.name, name)
	}
	value, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// holdsLease waits until the node holds its lease.
func (n *node) holdsLease(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); n.metric(t, "apikeyd_lease_seconds") == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("node %s does not get a lease:\n%s", n.name, n.server().stderr)
		}
	}
}

// reaches waits until a metric without labels has a value.
func (n *node) reaches(t *testing.T, name string, want float64) {
	t.Helper()
	for deadline := time.Now().Add(patience); n.metric(t, name) != want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("node %s: %s is %g, want %g\n%s", n.name, name, n.metric(t, name), want, n.server().stderr)
		}
	}
}

// says waits until the node has logged something.
func (n *node) says(t *testing.T, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if !n.server().stderr.await(ctx, func(log []byte) bool { return bytes.Contains(log, []byte(text)) }) {
		t.Fatalf("node %s does not say %q:\n%s", n.name, text, n.server().stderr)
	}
}

// thaw lets a frozen node go on.
func (n *node) thaw() { n.server().signal(syscall.SIGCONT) }

// ask makes one check on a connection of its own.
func (n *node) ask(token string) (api.VerifyCode, error) {
	a, err := dialAsker(n, token, "")
	if err != nil {
		return "", err
	}
	defer a.conn.Close()
	return a.ask()
}

// askLimit is how long a check may take. It is longer than a node is ever frozen.
const askLimit = 15 * time.Second

func dialAsker(n *node, token string, scope api.Scope) (*asker, error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.server().verification, "http://"))
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(askLimit))
	body := fmt.Sprintf(`{"key":%q}`, token)
	if scope != "" {
		body = fmt.Sprintf(`{"key":%q,"scope":%q}`, token, scope)
	}
	return &asker{conn, bufio.NewReader(conn), fmt.Sprintf(
		"POST /v1/verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)}, nil
}

// watch is clients that ask all nodes about one token all the time, whatever becomes of the nodes.
type watch struct {
	t       *testing.T
	over    atomic.Bool // the token has been dead since
	stop    func()
	mu      sync.Mutex
	before  map[string]int                    // per node, how often it was valid until then
	answers map[string]map[api.VerifyCode]int // per node, to checks that began afterwards
	failed  map[string]int                    // checks that were not answered
}

// askers is how many clients ask each node.
const askers = 2

func (c *cluster) watch(t *testing.T, token string, scope api.Scope) *watch {
	t.Helper()
	w := &watch{t: t, before: map[string]int{}, answers: map[string]map[api.VerifyCode]int{}, failed: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	var asking sync.WaitGroup
	for _, n := range c.nodes {
		w.answers[n.name] = map[api.VerifyCode]int{}
		for range askers {
			asking.Go(func() { w.run(ctx, n, token, scope) })
		}
	}
	w.stop = sync.OnceFunc(func() {
		cancel()
		asking.Wait()
	})
	t.Cleanup(w.stop)
	return w
}

func (w *watch) run(ctx context.Context, n *node, token string, scope api.Scope) {
	var a *asker
	for ctx.Err() == nil {
		over := w.over.Load() // before the check begins
		code, err := api.VerifyCode(""), error(nil)
		if a == nil {
			a, err = dialAsker(n, token, scope)
		}
		if err == nil {
			_ = a.conn.SetDeadline(time.Now().Add(askLimit))
			code, err = a.ask()
		}
		w.note(n, over, code, err)
		if err != nil {
			if a != nil {
				a.conn.Close()
				a = nil
			}
			time.Sleep(5 * time.Millisecond) // there may be nobody to connect to
		}
	}
	if a != nil {
		a.conn.Close()
	}
}

func (w *watch) note(n *node, over bool, code api.VerifyCode, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil:
		w.failed[n.name]++
	case over:
		w.answers[n.name][code]++
	case code == api.VerifyValid:
		w.before[n.name]++
	}
}

// sees waits until every one of some nodes has answered that the token is good.
func (w *watch) sees(nodes ...*node) {
	w.t.Helper()
	w.until("has found the token good", nodes, func(name string) bool { return w.before[name] > 0 })
}

// sawDeath waits until every one of some nodes has answered a check that began after the token was dead, and another one.
func (w *watch) sawDeath(nodes ...*node) {
	w.t.Helper()
	w.until("has answered since", nodes, func(name string) bool {
		n := 0
		for _, count := range w.answers[name] {
			n += count
		}
		return n > askers
	})
}

func (w *watch) until(what string, nodes []*node, enough func(name string) bool) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for _, n := range nodes {
		for {
			w.mu.Lock()
			ok := enough(n.name)
			w.mu.Unlock()
			if ok {
				break
			}
			if time.Now().After(deadline) {
				w.t.Fatalf("not so: node %s %s", n.name, what)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// want ends the watch and looks whether every answer to a check that began when the token was dead is that one.
func (w *watch) want(code api.VerifyCode) {
	w.t.Helper()
	w.stop()
	for name, answers := range w.answers {
		for got, n := range answers {
			if got != code {
				w.t.Errorf("node %s has answered %s to %d checks that began after the change, want %s", name, got, n, code)
			}
		}
	}
}
