package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
)

// ready asks /readyz.
func (n *node) ready(ctx context.Context) (bool, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, n.server().verification+"/readyz", nil)
	if err != nil {
		return false, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return false, err
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK, nil
}

// recovery is how long nodes may take once the database is back.
const recovery = 2 * time.Second

// TestTheDatabaseGoesAway is the fourth promise: nodes go on answering for the keys they hold until their leases end, then say
// that they cannot, do not drown in what waits, and recover by themselves. A node with --stale-if-error goes on answering.
func TestTheDatabaseGoesAway(t *testing.T) {
	t.Parallel()
	db := postgrestest.Start(t)
	c := serveCluster(t, db)
	c.add(&node{t: t, name: "stale", dsn: db.URL(c.database), folder: t.TempDir(),
		args: []string{"--stale-if-error", "5m"}})
	for _, test := range []struct {
		name       string
		begin, end func(testing.TB)
	}{{"frozen", db.Freeze, db.Thaw}, {"crashed", db.StopAtOnce, db.Run}} {
		t.Run(test.name, func(t *testing.T) { goAway(t, c, test.begin, test.end) })
	}
}

func goAway(t *testing.T, c *cluster, begin, end func(testing.TB)) {
	strict, stale := c.nodes[:3], c.nodes[3]
	held, never := c.create(t, c.nodes[0]), c.create(t, c.nodes[0])
	goroutines := map[*node]float64{}
	for _, n := range c.nodes {
		n.holdsLease(t)
		if code, err := n.ask(held.Token); code != api.VerifyValid {
			t.Fatalf("node %s: %s, %v", n.name, code, err)
		}
		goroutines[n] = n.metric(t, "go_goroutines")
	}

	ends := map[*node]time.Time{} // of its lease
	for _, n := range c.nodes {
		asked := time.Now()
		ends[n] = asked.Add(time.Duration(n.metric(t, "apikeyd_lease_seconds") * float64(time.Second)))
	}
	begin(t)
	for _, n := range c.nodes {
		if code, err := n.ask(held.Token); code != api.VerifyValid && time.Now().Before(ends[n]) {
			t.Errorf("node %s, whose lease has not ended: %s, %v", n.name, code, err)
		}
	}
	crowd := c.crowd(t, held.Token, never.Token)
	for _, n := range strict {
		refusedIn(t, n, held.Token)
	}
	stale.reaches(t, "apikeyd_stale_answers_in_force", 1) // its lease has ended, too
	if code, err := stale.ask(held.Token); code != api.VerifyValid {
		t.Errorf("with --stale-if-error: %s, %v", code, err)
	}
	if stale.metric(t, "apikeyd_stale_answers_total") == 0 {
		t.Error("a stale answer is not counted")
	}
	stale.says(t, "checks are answered from memory although the lease has ended")
	for _, n := range c.nodes { // no load balancer takes it out of its list
		ready, err := n.ready(t.Context())
		if err != nil || ready != (n == stale) {
			t.Errorf("node %s says that it is ready: %v, %v", n.name, ready, err)
		}
	}
	if code, err := stale.ask(never.Token); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("with --stale-if-error, about a key that it does not hold: %s, %v", code, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.client(c.nodes[1]).DeleteKey(ctx, held.KeyID); err == nil {
		t.Error("a delete was acknowledged without the database")
	}
	for _, n := range c.nodes {
		if now := n.metric(t, "go_goroutines"); now > goroutines[n]+3*crowdSize+50 {
			t.Errorf("node %s has %g goroutines for %d clients, and had %g", n.name, now, crowdSize, goroutines[n])
		}
	}

	end(t)
	back := time.Now()
	for _, n := range c.nodes {
		answersAgain(t, n, never.Token)
		if took := time.Since(back); took > recovery+busy {
			t.Errorf("node %s has recovered only after %v", n.name, took)
		}
	}
	crowd.stop()
	for _, n := range c.nodes {
		n.holdsLease(t)
	}
	stale.says(t, "checks are no longer answered from memory without a lease")
	stale.reaches(t, "apikeyd_stale_answers_in_force", 0)
	w := c.watch(t, never.Token, "")
	w.sees(c.nodes...)
	if err := c.client(c.nodes[2]).DeleteKey(t.Context(), never.KeyID); err != nil {
		t.Fatal(err)
	}
	w.over.Store(true)
	w.sawDeath(c.nodes...)
	w.want(api.VerifyNotFound)
	for _, n := range c.nodes {
		settles(t, n, goroutines[n]+50)
	}
}

// refusedIn waits until a node says that it cannot answer.
func refusedIn(t *testing.T, n *node, token string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		code, err := n.ask(token)
		if err != nil {
			if !strings.Contains(err.Error(), fmt.Sprint(http.StatusServiceUnavailable)) {
				t.Errorf("node %s: %v", n.name, err)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("node %s still answers %s", n.name, code)
		}
	}
}

// answersAgain waits until a node finds a token good.
func answersAgain(t *testing.T, n *node, token string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		code, err := n.ask(token)
		if code == api.VerifyValid {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("node %s: %s, %v", n.name, code, err)
		}
	}
}

// settles waits until a node has no more goroutines than that.
func settles(t *testing.T, n *node, most float64) {
	t.Helper()
	for deadline := time.Now().Add(patience); n.metric(t, "go_goroutines") > most; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("node %s still has %g goroutines, want at most %g", n.name, n.metric(t, "go_goroutines"), most)
		}
	}
}

// crowdSize is how many clients of a crowd ask each node at a time.
const crowdSize = 20

// crowd is clients that ask all nodes all the time and take any answer.
type crowd struct{ stop func() }

func (c *cluster) crowd(t *testing.T, tokens ...string) crowd {
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	for _, n := range c.nodes {
		for i := range crowdSize {
			asking.Go(func() {
				for ctx.Err() == nil {
					_, _ = n.ask(tokens[i%len(tokens)])
					time.Sleep(50 * time.Millisecond)
				}
			})
		}
	}
	stop := sync.OnceFunc(func() {
		cancel()
		asking.Wait()
	})
	t.Cleanup(stop)
	return crowd{stop}
}

// TestFailOver has the database fail over to a standby that had to confirm every commit, while keys are deleted. What was
// acknowledged before stays so: deleted keys are dead on all nodes, and others are there.
func TestFailOver(t *testing.T) {
	t.Parallel()
	primary := postgrestest.Start(t)
	standby := primary.Standby(t)
	primary.Set(t, "synchronous_standby_names", "*")
	u, err := url.Parse(primary.NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	c := new(cluster)
	for _, name := range []string{"a", "b", "c"} {
		c.add(&node{t: t, name: name, folder: t.TempDir(), dsn: fmt.Sprintf("postgres://postgres@%s,%s%s?sslmode=disable&target_session_attrs=read-write",
			primary.Address(), standby.Address(), u.Path)})
	}
	const crowd = 200
	keys := make([]api.CreatedKey, crowd)
	for i := range keys {
		keys[i] = c.create(t, c.nodes[i%len(c.nodes)])
	}
	gone, kept := c.create(t, c.nodes[0]), c.create(t, c.nodes[0])
	for _, n := range c.nodes {
		n.holdsLease(t)
	}
	w := c.watch(t, gone.Token, "")
	w.sees(c.nodes...)
	if err := c.client(c.nodes[1]).DeleteKey(t.Context(), gone.KeyID); err != nil {
		t.Fatal(err)
	}
	w.over.Store(true)

	enough, acknowledged := make(chan struct{}), make(chan int)
	go func() {
		defer close(acknowledged)
		for i, k := range keys {
			if c.client(c.nodes[0]).DeleteKey(t.Context(), k.KeyID) != nil {
				acknowledged <- i
				return
			}
			if i == crowd/10 {
				close(enough)
			}
		}
		acknowledged <- crowd
	}()
	select {
	case <-enough:
	case n := <-acknowledged:
		t.Fatalf("only %d deletes were acknowledged while all was well", n)
	}
	primary.StopAtOnce(t)
	standby.Promote(t)
	back := time.Now()
	dead := <-acknowledged
	for _, n := range c.nodes {
		n.holdsLease(t)
		answersAgain(t, n, kept.Token)
	}
	if took := time.Since(back); took > recovery+busy {
		t.Errorf("the nodes have recovered only after %v", took)
	}
	for _, n := range c.nodes {
		for i, k := range keys[:dead] {
			if code, err := n.ask(k.Token); code != api.VerifyNotFound {
				t.Errorf("node %s about key %d, whose delete was acknowledged before the fail-over: %s, %v", n.name, i, code, err)
			}
		}
		if dead+1 < crowd {
			answersAgain(t, n, keys[dead+1].Token)
		}
	}
	w.sawDeath(c.nodes...)
	w.want(api.VerifyNotFound)

	w = c.watch(t, kept.Token, "")
	w.sees(c.nodes...)
	if err := c.client(c.nodes[2]).DeleteKey(t.Context(), kept.KeyID); err != nil {
		t.Fatal(err)
	}
	w.over.Store(true)
	w.sawDeath(c.nodes...)
	w.want(api.VerifyNotFound)
}

// TestFailOverLosesCommits has the database fail over to a standby that lacks the last commits, as one may that nobody waits for.
// What those have done is undone then, and nodes that have seen it must not answer from that. Leases are long, so that no renewal
// happens to be among what was lost.
func TestFailOverLosesCommits(t *testing.T) {
	t.Parallel()
	primary := postgrestest.Start(t)
	standby := primary.Standby(t)
	primary.Set(t, "synchronous_standby_names", "*")
	u, err := url.Parse(primary.NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	c := new(cluster)
	for _, name := range []string{"a", "b", "c"} {
		c.add(&node{t: t, name: name, folder: t.TempDir(), args: []string{"--lease", "30s"},
			dsn: fmt.Sprintf("postgres://postgres@%s,%s%s?sslmode=disable&target_session_attrs=read-write", primary.Address(), standby.Address(), u.Path)})
	}
	kept := c.create(t, c.nodes[0])
	everywhere := func(token string, want api.VerifyCode) {
		t.Helper()
		for _, n := range c.nodes {
			if code, err := n.ask(token); code != want {
				t.Errorf("node %s: %s, %v, want %s", n.name, code, err, want)
			}
		}
	}
	for _, n := range c.nodes {
		n.holdsLease(t)
	}
	primary.Set(t, "synchronous_standby_names", "")
	standby.Stop(t)
	created := c.create(t, c.nodes[1])
	everywhere(kept.Token, api.VerifyValid)
	everywhere(created.Token, api.VerifyValid)

	primary.StopAtOnce(t)
	standby.Run(t)
	standby.Promote(t)
	for _, n := range c.nodes {
		n.says(t, "another server has taken over the database")
		n.holdsLease(t)
	}
	everywhere(created.Token, api.VerifyNotFound)
	w := c.watch(t, kept.Token, "")
	w.sees(c.nodes...)
	if err := c.client(c.nodes[0]).DeleteKey(t.Context(), kept.KeyID); err != nil {
		t.Fatal(err)
	}
	w.over.Store(true)
	w.sawDeath(c.nodes...)
	w.want(api.VerifyNotFound)
}
