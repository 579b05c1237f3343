package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/middleware"
)

// subscriberLease is the longest lease of a subscriber, with the margin.
const subscriberLease = time.Second

// guardedBy names the variable with the address of the verification listener that makes the program of the tests an API behind it.
const guardedBy = "APIKEYD_E2E_GUARDED_BY"

// serveGuarded is an API behind the middleware, with its cache, in a process of its own.
func serveGuarded(verification string) error {
	keys, err := client.NewVerifier(verification, client.WithHTTPClient(&http.Client{Timeout: 500 * time.Millisecond}),
		client.WithRetry(client.Retry{Attempts: 1}))
	if err != nil {
		return err
	}
	cache := middleware.NewCache(keys, middleware.CacheOptions{})
	mux := http.NewServeMux()
	mux.Handle("/", middleware.Require(cache)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	mux.HandleFunc("/leased", func(w http.ResponseWriter, _ *http.Request) {
		if !cache.Leased() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "guarded at %s\n", l.Addr())
	return http.Serve(l, mux)
}

// guarded is such an API.
type guarded struct {
	*process
	url string
}

func guard(t *testing.T, verification string) *guarded {
	t.Helper()
	p := launch(t, t.TempDir(), []string{guardedBy + "=" + verification}, os.Args[0])
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	said := regexp.MustCompile(`guarded at (\S+)\n`)
	if !p.stderr.await(ctx, said.Match) {
		t.Fatalf("the API does not start:\n%s", p.stderr)
	}
	g := &guarded{process: p, url: "http://" + string(said.FindSubmatch(p.stderr.bytes())[1])}
	g.isLeased()
	return g
}

// isLeased waits until the API answers from memory.
func (g *guarded) isLeased() {
	g.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get(g.url + "/leased")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("the API has no lease: %v, %v", resp, err)
		}
	}
}

// use is a key that is used all the time.
type use struct {
	t       *testing.T
	over    atomic.Bool  // its end was answered
	allowed atomic.Int64 // requests
	refused atomic.Int64 // likewise, that began afterwards
	wrong   atomic.Int64 // were allowed, and began afterwards
	stop    func()
}

func (g *guarded) use(t *testing.T, token string) *use {
	t.Helper()
	u := &use{t: t}
	done := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			transport := new(http.Transport)
			defer transport.CloseIdleConnections()
			c := &http.Client{Transport: transport, Timeout: patience}
			for {
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond):
				}
				u.send(c, g.url, token)
			}
		})
	}
	u.stop = sync.OnceFunc(func() {
		close(done)
		group.Wait()
	})
	t.Cleanup(u.stop)
	u.until("allowed", &u.allowed)
	return u
}

func (u *use) send(c *http.Client, url, token string) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		u.t.Error(err)
		return
	}
	req.Header.Set("X-API-Key", token)
	over := u.over.Load() // before the request begins
	resp, err := c.Do(req)
	if err != nil {
		u.t.Error(err)
		return
	}
	resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK && over:
		u.wrong.Add(1)
	case resp.StatusCode == http.StatusOK:
		u.allowed.Add(1)
	case resp.StatusCode == http.StatusUnauthorized && over:
		u.refused.Add(1)
	}
}

// until waits for twenty more.
func (u *use) until(what string, count *atomic.Int64) {
	u.t.Helper()
	enough := count.Load() + 20
	for deadline := time.Now().Add(patience); count.Load() < enough; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			u.t.Fatalf("too few requests are %s: %d", what, count.Load())
		}
	}
}

// ended wants the key to be dead.
func (u *use) ended() {
	u.t.Helper()
	u.until("refused", &u.refused)
	u.stop()
	if n := u.wrong.Load(); n > 0 {
		u.t.Errorf("%d requests that began after the end of their key were allowed", n)
	}
}

// TestADeadKeyIsDeadBehindTheMiddleware is the first promise for a process that checks keys from its own memory, whatever happens to
// it, to the server, and between them.
func TestADeadKeyIsDeadBehindTheMiddleware(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	management, verification := freeAddress(t), freeAddress(t)
	start := func() *server {
		env := []string{"APIKEYD_LISTEN=" + management, "APIKEYD_VERIFY_LISTEN=" + verification}
		return await(t, launch(t, folder, env, binary, "serve"), folder)
	}
	s := start()
	l := newLine(t, verification)
	g := guard(t, "http://"+l.address)
	marker := filepath.Join(folder, "apikeyd.db.subscribers")

	again := func() { // the server, at the same addresses
		token := s.token
		s = start()
		s.token = token
	}
	create := func(t *testing.T) api.CreatedKey {
		t.Helper()
		k, err := s.client(s.token).CreateKey(t.Context(), draft("k"))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	// end deletes a key that is in use, and returns how long that took.
	end := func(t *testing.T, u *use, id int64) time.Duration {
		t.Helper()
		began := time.Now()
		if err := s.client(s.token).DeleteKey(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		u.over.Store(true)
		return time.Since(began)
	}
	// quick deletes a key when all is well.
	quick := func(t *testing.T) {
		t.Helper()
		g.isLeased()
		k := create(t)
		u := g.use(t, k.Token)
		end(t, u, k.KeyID)
		u.ended()
	}

	t.Run("all well", func(t *testing.T) {
		for range 5 {
			quick(t)
		}
	})
	for name, fault := range map[string]struct{ begin, end func() }{
		"frozen":    {func() { freeze(t, g.process) }, func() { g.signal(syscall.SIGCONT) }},
		"swallowed": {l.swallow, l.heal},
		"reset":     {l.reset, l.heal},
	} {
		t.Run(name, func(t *testing.T) {
			for _, late := range []time.Duration{0, subscriberLease} {
				g.isLeased()
				k := create(t)
				u := g.use(t, k.Token)
				fault.begin()
				took := end(t, u, k.KeyID)
				time.Sleep(late)
				fault.end()
				if took > subscriberLease+busy {
					t.Errorf("the delete took %v", took)
				}
				u.ended()
			}
			quick(t)
		})
	}
	t.Run("the server is frozen", func(t *testing.T) {
		k := create(t)
		u := g.use(t, k.Token)
		freeze(t, s.process)
		time.Sleep(subscriberLease)
		before := u.allowed.Load()
		time.Sleep(subscriberLease)
		if n := u.allowed.Load() - before; n > 4 { // as many as were under way
			t.Errorf("%d requests are allowed when the lease has ended", n)
		}
		s.signal(syscall.SIGCONT)
		end(t, u, k.KeyID)
		u.ended()
		quick(t)
	})
	t.Run("the server is killed unnoticed", func(t *testing.T) {
		k := create(t)
		u := g.use(t, k.Token)
		l.swallow() // the API does not hear of it
		s.kill()
		again()
		end(t, u, k.KeyID)
		time.Sleep(subscriberLease / 2)
		l.heal()
		u.ended()
		quick(t)
	})
	t.Run("the server is stopped", func(t *testing.T) {
		k := create(t)
		u := g.use(t, k.Token)
		if _, err := os.Stat(marker); err != nil {
			t.Error(err)
		}
		began := time.Now()
		s.stop()
		if took := time.Since(began); took > busy {
			t.Errorf("it took %v", took)
		}
		if _, err := os.Stat(marker); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it has left its marker: %v", err)
		}
		again()
		end(t, u, k.KeyID)
		u.ended()
		quick(t)
	})
}

// endBehindANode deletes keys on one node that are in use behind the middleware of an API that subscribes to another one, while
// something is wrong with that.
func endBehindANode(t *testing.T, c *cluster) {
	sick, well := c.nodes[0], c.nodes[1]
	g := guard(t, sick.server().verification)
	for name, fault := range map[string]struct{ begin, end func() }{
		"all well":  {func() {}, func() {}},
		"frozen":    {func() { freezeNode(sick) }, sick.thaw},
		"swallowed": {sick.line.swallow, sick.line.heal},
	} {
		t.Run(name, func(t *testing.T) {
			g.isLeased()
			k := c.create(t, well)
			u := g.use(t, k.Token)
			fault.begin()
			err := c.client(well).DeleteKey(t.Context(), k.KeyID)
			u.over.Store(true)
			time.Sleep(subscriberLease)
			fault.end()
			if err != nil {
				t.Fatal(err)
			}
			u.ended()
			sick.holdsLease(t)
		})
	}
}
