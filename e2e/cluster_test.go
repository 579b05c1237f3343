package e2e

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
)

// busy is what a change may take beyond a lease on a machine that has other things to do.
const busy = 10 * time.Second

// TestADeadKeyIsDeadOnEveryNode is the first promise, on three nodes that share a database: from the moment that a change is
// acknowledged by one of them, no check that begins on any says that the token is good, whatever happens to the nodes.
func TestADeadKeyIsDeadOnEveryNode(t *testing.T) {
	t.Parallel()
	c := serveCluster(t, postgrestest.Start(t))
	for _, n := range c.nodes {
		n.holdsLease(t)
	}
	t.Run("all well", func(t *testing.T) {
		for _, change := range append(changes, clusterChanges...) {
			t.Run(change.name, func(t *testing.T) { endOnAll(t, c, change) })
		}
	})
	t.Run("members and organizations", func(t *testing.T) { endByAccount(t, c) })
	t.Run("look-ups race the delete", func(t *testing.T) { raceFills(t, c) })
	t.Run("reported as leaked", func(t *testing.T) { reportOnTwo(t, c) })
	t.Run("frozen", func(t *testing.T) { endWhile(t, c, freezeNode, (*node).thaw) })
	t.Run("swallowed", func(t *testing.T) {
		endWhile(t, c, func(n *node) { n.line.swallow() }, func(n *node) { n.line.heal() })
	})
	t.Run("reset", func(t *testing.T) {
		endWhile(t, c, func(n *node) { n.line.reset() }, func(n *node) { n.line.heal() })
	})
	t.Run("behind the middleware", func(t *testing.T) { endBehindANode(t, c) })
	t.Run("killed", func(t *testing.T) { endWhile(t, c, func(n *node) { n.server().kill() }, (*node).start) })
	t.Run("stopped", func(t *testing.T) { stopOne(t, c) })
}

// clusterChanges are those that a node alone is tested for with a clock.
var clusterChanges = []change{
	{"expire", "", func(ctx context.Context, c *client.Client, id int64) error {
		ends := time.Now().Add(time.Second)
		_, err := c.UpdateKey(ctx, id, api.KeyPatch{ExpiresAt: api.Value(api.Time{Time: ends})})
		time.Sleep(time.Until(ends))
		return err
	}, api.VerifyExpired},
	{"rotate with grace", "", func(ctx context.Context, c *client.Client, id int64) error {
		_, err := c.RotateKey(ctx, id, time.Second)
		time.Sleep(time.Second)
		return err
	}, api.VerifyNotFound},
}

// endOnAll makes the change on each node in turn. It takes less than a lease where all nodes are well; on a busy machine one may not be
// for a moment, and the change is made anew.
func endOnAll(t *testing.T, c *cluster, change change) {
	for _, n := range c.nodes {
		const tries = 3
		for try := 1; ; try++ {
			took := endOn(t, c, n, change)
			if took < lease {
				break
			}
			if try == tries {
				t.Errorf("the change on node %s took %v although all nodes are well", n.name, took)
				break
			}
		}
	}
}

// endOn makes the change of a new key on a node, and returns how long that took.
func endOn(t *testing.T, c *cluster, n *node, change change) time.Duration {
	t.Helper()
	k := c.create(t, n)
	w := c.watch(t, k.Token, change.scope)
	w.sees(c.nodes...)
	began := time.Now()
	if err := change.make(t.Context(), c.client(n), k.KeyID); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	w.over.Store(true)
	w.sawDeath(c.nodes...)
	w.want(change.want)
	return took
}

// endByAccount has keys die because of what happens to whom they belong to.
func endByAccount(t *testing.T, c *cluster) {
	root := c.client(c.nodes[0])
	organization, err := root.CreateOrganization(t.Context(), api.NewOrganization{OrganizationName: "Short-lived"})
	if err != nil {
		t.Fatal(err)
	}
	member := func(name string) (userID int64, k api.CreatedKey) {
		invited, err := root.InviteMember(t.Context(), organization.OrganizationID, api.NewMember{Email: name + "@example.com", Role: "member"})
		if err != nil {
			t.Fatal(err)
		}
		session := signIn(t, c.nodes[1].server().management, withLink(linkSecret(t, invited.SignInURL))).session
		theirs, err := client.New(c.nodes[1].server().management, client.WithSession(session))
		if err != nil {
			t.Fatal(err)
		}
		k, err = theirs.CreateKey(t.Context(), api.NewKey{KeyName: name, KeyScope: []api.Scope{"READ", "CREATE"},
			OrganizationID: organization.OrganizationID})
		if err != nil {
			t.Fatal(err)
		}
		return invited.UserID, k
	}
	removed, ofRemoved := member("removed")
	demoted, ofDemoted := member("demoted")
	_, ofOther := member("other")
	for _, step := range []struct {
		name string
		key  api.CreatedKey
		make func(context.Context, *client.Client) error
	}{
		{"a member is removed", ofRemoved, func(ctx context.Context, c *client.Client) error {
			return c.RemoveMember(ctx, organization.OrganizationID, removed, api.DeleteKeys)
		}},
		{"a member is demoted", ofDemoted, func(ctx context.Context, c *client.Client) error {
			_, err := c.UpdateMember(ctx, organization.OrganizationID, demoted, api.MemberPatch{Role: "viewer"}, api.DeleteKeys)
			return err
		}},
		{"the organization is deleted", ofOther, func(ctx context.Context, c *client.Client) error {
			return c.DeleteOrganization(ctx, organization.OrganizationID)
		}},
	} {
		t.Run(step.name, func(t *testing.T) {
			w := c.watch(t, step.key.Token, "")
			w.sees(c.nodes...)
			if err := step.make(t.Context(), c.client(c.nodes[2])); err != nil {
				t.Fatal(err)
			}
			w.over.Store(true)
			w.sawDeath(c.nodes...)
			w.want(api.VerifyNotFound)
		})
	}
}

// raceFills deletes keys that nobody has asked about yet, so that the delete meets the first look-ups.
func raceFills(t *testing.T, c *cluster) {
	for round := range 20 {
		n := c.nodes[round%len(c.nodes)]
		k := c.create(t, n)
		w := c.watch(t, k.Token, "")
		if err := c.client(n).DeleteKey(t.Context(), k.KeyID); err != nil {
			t.Fatal(err)
		}
		w.over.Store(true)
		w.sawDeath(c.nodes...)
		w.want(api.VerifyNotFound)
	}
}

func freezeNode(n *node) { freeze(n.t, n.server().process) }

// endWhile deletes keys on one node while something is wrong with another one, and ends that later: at once, and when a lease
// would have ended.
func endWhile(t *testing.T, c *cluster, begin, end func(*node)) {
	for round, late := range []time.Duration{0, lease} {
		sick, well := c.nodes[round], c.nodes[round+1]
		k := c.create(t, well)
		w := c.watch(t, k.Token, "")
		w.sees(c.nodes...)
		begin(sick)
		began := time.Now()
		err := c.client(well).DeleteKey(t.Context(), k.KeyID)
		took := time.Since(began)
		w.over.Store(true)
		time.Sleep(late)
		end(sick)
		if err != nil {
			t.Fatal(err)
		}
		if took < lease/2 || took > lease+busy {
			t.Errorf("a delete took %v; it had to wait for a lease of %v", took, lease)
		}
		w.sawDeath(c.nodes...)
		w.want(api.VerifyNotFound)
		sick.holdsLease(t)
	}
}

// stopOne ends a node as an operator does. Deletes wait for it as long as it answers, and not when it has left.
func stopOne(t *testing.T, c *cluster) {
	leaving, well := c.nodes[1], c.nodes[2]
	first, second := c.create(t, well), c.create(t, well)
	w := c.watch(t, first.Token, "")
	w.sees(c.nodes...)
	waited := func() float64 { return well.metric(t, "apikeyd_change_expiries_total") }
	before := waited()
	leaving.server().signal(syscall.SIGTERM)
	if err := c.client(well).DeleteKey(t.Context(), first.KeyID); err != nil {
		t.Fatal(err)
	}
	w.over.Store(true)
	if waited() != before {
		t.Error("a delete has waited for the lease of a node that stopped")
	}
	if code := leaving.server().wait(); code != 0 {
		t.Errorf("after SIGTERM it exits with %d:\n%s", code, leaving.server().stderr)
	}
	if err := c.client(well).DeleteKey(t.Context(), second.KeyID); err != nil {
		t.Fatal(err)
	}
	if waited() != before {
		t.Error("a delete has waited for the lease of a node that has left")
	}
	leaving.start()
	w.sawDeath(c.nodes...)
	w.want(api.VerifyNotFound)
}
