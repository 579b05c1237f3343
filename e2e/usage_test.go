package e2e

import (
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
)

// flushed is how long a node may take until what it has counted is in the database: its interval, and what it takes to write on
// a machine that has other things to do.
const flushed = 10*time.Second + busy

// TestServerUsage counts checks that three nodes make, and stops and kills the nodes: the sum is exact where they are stopped, and lacks
// at most one interval of a node that is killed.
func TestServerUsage(t *testing.T) {
	t.Parallel()
	c := serveCluster(t, postgrestest.Start(t))
	k, other := c.create(t, c.nodes[0]), c.create(t, c.nodes[1])
	questions := []struct {
		body  api.VerifyRequest
		want  api.VerifyCode
		times int64 // on each node, by each of two clients
	}{
		{api.VerifyRequest{Key: k.Token}, api.VerifyValid, 150},
		{api.VerifyRequest{Key: k.Token, Scope: "DELETE"}, api.VerifyInsufficientScope, 20},
		{api.VerifyRequest{Key: k.Token, OrganizationID: 999}, api.VerifyNotFound, 20},
		{api.VerifyRequest{Key: other.Token}, api.VerifyValid, 10},
	}
	var asking sync.WaitGroup
	for _, n := range c.nodes {
		for range 2 {
			asking.Go(func() {
				for _, q := range questions {
					for range q.times {
						if v, err := n.server().verifier().Verify(t.Context(), q.body); err != nil || v.Code != q.want {
							t.Errorf("node %s: %v, %v, want %s", n.name, v.Code, err, q.want)
							return
						}
					}
				}
			})
		}
	}
	asking.Wait()
	for _, n := range c.nodes {
		n.server().stop()
	}
	for _, n := range c.nodes {
		n.start()
	}
	want := map[string]string{
		"key":          "900 allowed, refused map[INSUFFICIENT_SCOPE:120]",
		"other key":    "60 allowed, refused map[]",
		"organization": "960 allowed, refused map[INSUFFICIENT_SCOPE:120]",
	}
	if got := usageOf(t, c.client(c.nodes[0]), k, other); !maps.Equal(got, want) {
		t.Errorf("the usage is %v, want %v", got, want)
	}

	t.Run("killed", func(t *testing.T) { killWhileCounting(t, c, other, 60) })
}

// usageOf returns in words how two keys are used, and the organization that they belong to. The caller's own requests are no checks.
func usageOf(t *testing.T, by *client.Client, k, other api.CreatedKey) map[string]string {
	t.Helper()
	words := func(u api.Usage, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		sum := map[api.VerifyCode]int64{}
		allowed := int64(0)
		for _, b := range u.Buckets {
			allowed += b.Allowed
			for code, n := range b.Refused {
				sum[code] += n
			}
		}
		if allowed != u.Total.Allowed || !maps.Equal(sum, u.Total.Refused) {
			t.Errorf("the buckets of %+v do not add up", u)
		}
		return fmt.Sprint(allowed, " allowed, refused ", sum)
	}
	return map[string]string{
		"key":          words(by.KeyUsage(t.Context(), k.KeyID, client.UsageOptions{})),
		"other key":    words(by.KeyUsage(t.Context(), other.KeyID, client.UsageOptions{By: api.UsageByDay})),
		"organization": words(by.OrganizationUsage(t.Context(), k.OrganizationID, client.UsageOptions{})),
	}
}

// killWhileCounting kills a node in the middle of its checks of a key that was checked a number of times before.
func killWhileCounting(t *testing.T, c *cluster, k api.CreatedKey, before int64) {
	n, observer := c.nodes[0], c.client(c.nodes[1])
	counted := func() int64 {
		t.Helper()
		u, err := observer.KeyUsage(t.Context(), k.KeyID, client.UsageOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return u.Total.Allowed - before
	}
	var made atomic.Int64
	dead := make(chan struct{})
	go func() {
		defer close(dead)
		for {
			made.Add(1)
			if code, err := n.ask(k.Token); err != nil || code != api.VerifyValid {
				return
			}
		}
	}()
	for made.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	first := time.Now()
	for counted() == 0 {
		if time.Since(first) > flushed {
			t.Fatalf("nothing is counted after %v", flushed)
		}
		time.Sleep(50 * time.Millisecond)
	}
	written := counted()
	time.Sleep(100 * time.Millisecond) // so that there is something to lose
	n.server().kill()
	<-dead
	n.start()
	n.server().stop()
	if got := counted(); got < written || got > made.Load() {
		t.Errorf("%d checks are counted; %d were before the node was killed, and %d were made", got, written, made.Load())
	}
}
