package e2e

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
)

// What decides about TestHistories, and the usual values.
const (
	seedVariable    = "APIKEYD_HISTORIES_SEED" // a number, as the test has printed it; else one by chance
	lengthVariable  = "APIKEYD_HISTORIES_FOR"  // a duration
	historiesLength = 30 * time.Second
	historiesLease  = time.Second
)

// TestHistories has clients create, check, disable, enable and delete keys, two of them each key at the same time, through three nodes
// while these are killed, frozen, cut off and started again as a seed will have it, writes down what every client was told and when, and looks whether it could have
// been so if there were one server that never fails: whether it is linearizable, key by key and as seen through each node.
func TestHistories(t *testing.T) {
	t.Parallel()
	seed, length := rand.Uint64(), historiesLength
	var err error
	if text := os.Getenv(seedVariable); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	if text := os.Getenv(lengthVariable); text != "" {
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", lengthVariable, err)
		}
	}
	t.Logf("%s=%d", seedVariable, seed)
	b := &broad{t: t, cluster: serveCluster(t, postgrestest.Start(t), "--lease", historiesLease.String()), seed: seed}
	b.run(length, faults)
	for _, h := range b.impossible {
		t.Errorf("%s=%d: this cannot have been so\n%s", seedVariable, seed, h)
	}
	t.Logf("%d keys, %d acts, %d of unknown outcome, %d faults", b.keys, b.acts, b.unknown.Load(), b.faults.Load())
	if b.keys < 5 || b.faults.Load() < 5 {
		t.Errorf("only %d keys and %d faults", b.keys, b.faults.Load())
	}
}

// sabotage has changes wait for nobody: what a node has applied looks as if it were everything that there will ever be.
const sabotage = `
	CREATE FUNCTION pretend() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.applied_id := 1000000000; RETURN NEW; END $$;
	CREATE TRIGGER pretend BEFORE UPDATE ON nodes FOR EACH ROW EXECUTE FUNCTION pretend();
	CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.pruned_id := OLD.pruned_id; RETURN NEW; END $$;
	CREATE TRIGGER keep BEFORE UPDATE ON change_extent FOR EACH ROW EXECUTE FUNCTION keep();`

// TestHistoriesFindAFault breaks the protocol on purpose: without the wait for other nodes the same histories are not
// linearizable, and the checker sees it.
func TestHistoriesFindAFault(t *testing.T) {
	t.Parallel()
	db := postgrestest.Start(t)
	c := serveCluster(t, db, "--lease", historiesLease.String())
	db.Execute(t, c.database, sabotage)
	b := &broad{t: t, cluster: c, seed: 1}
	const tries = 15 // one or two are enough where nobody else needs the machine
	for range tries {
		// The frozen node answers from memory when it goes on, until it has heard of what happened.
		b.run(4*time.Second, []fault{{"frozen", freezeNode, (*node).thaw, historiesLease / 2}})
		if len(b.impossible) > 0 {
			return
		}
	}
	t.Errorf("no history of %d keys shows that changes have waited for nobody", b.keys)
}

// broad is clients and faults, all at once.
type broad struct {
	t       *testing.T
	cluster *cluster
	seed    uint64

	mu         sync.Mutex
	keys, acts int
	impossible []*history // those that the checker does not find possible

	unknown, faults atomic.Int64
}

// fault is something that happens to a node.
type fault struct {
	name       string
	begin, end func(*node)
	most       time.Duration // how long it lasts at most
}

var faults = []fault{
	{"killed", func(n *node) { n.server().kill() }, (*node).start, historiesLease * 2},
	{"frozen", freezeNode, (*node).thaw, historiesLease * 3},
	{"swallowed", func(n *node) { n.line.swallow() }, func(n *node) { n.line.heal() }, historiesLease * 3},
	{"reset", func(n *node) { n.line.reset() }, func(n *node) { n.line.heal() }, historiesLease * 3},
}

// lives is how many keys there are at a time.
const lives = 3

// run has keys live and die, and faults happen, for some time.
func (b *broad) run(length time.Duration, faults []fault) {
	ctx, cancel := context.WithTimeout(b.t.Context(), length)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { b.disturb(ctx, rand.New(rand.NewPCG(b.seed, 0)), faults) })
	for i := range lives {
		all.Go(func() {
			random := rand.New(rand.NewPCG(b.seed, uint64(i)+1))
			for ctx.Err() == nil {
				b.live(random)
			}
		})
	}
	all.Wait()
}

// disturb has one or two nodes at a time suffer, each from something else.
func (b *broad) disturb(ctx context.Context, random *rand.Rand, faults []fault) {
	for ctx.Err() == nil {
		nodes := slices.Clone(b.cluster.nodes)
		random.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
		var suffering sync.WaitGroup
		for _, n := range nodes[:1+random.IntN(2)] {
			f := faults[random.IntN(len(faults))]
			lasts := time.Duration(random.Int64N(int64(f.most)))
			b.faults.Add(1)
			suffering.Go(func() {
				f.begin(n)
				time.Sleep(lasts)
				f.end(n)
			})
		}
		suffering.Wait()
		time.Sleep(time.Duration(random.Int64N(int64(historiesLease / 2))))
	}
}

func (b *broad) anyNode(random *rand.Rand) *node {
	return b.cluster.nodes[random.IntN(len(b.cluster.nodes))]
}

// live is the life of one key: it is created, disabled and enabled, deleted, and checked all the time until well after its end.
func (b *broad) live(random *rand.Rand) {
	h := &history{began: time.Now()}
	k := &keyOps{t: b.t, cluster: b.cluster}
	_, known := h.record(changer, creates, func() (result, bool) {
		ctx, cancel := context.WithTimeout(b.t.Context(), opLimit)
		defer cancel()
		c := b.cluster.client(b.anyNode(random))
		defer c.CloseIdleConnections()
		var err error
		k.key, err = c.CreateKey(ctx, api.NewKey{KeyName: "k", KeyScope: []api.Scope{"READ"}, OrganizationID: 1})
		return outcomeOf(b.t, err)
	})
	if !known { // nobody knows its token
		time.Sleep(10 * time.Millisecond)
		return
	}

	ctx, cancel := context.WithCancel(b.t.Context())
	var checking sync.WaitGroup
	for i, n := range b.cluster.nodes {
		checking.Go(func() { b.ask(ctx, h, i+1, n, k.key.Token) })
	}
	var changing sync.WaitGroup
	doubtful := new(atomic.Int64)
	for i := range changers {
		its := rand.New(rand.NewPCG(random.Uint64(), uint64(i)))
		changing.Go(func() { b.change(its, h, changer-i, k, doubtful) })
	}
	changing.Wait()
	time.Sleep(time.Duration(random.Int64N(int64(historiesLease / 2))))
	cancel()
	checking.Wait()
	b.judge(h)
}

// judge checks a history that has come to its end. Those that are good are not kept: in an hour there are many.
func (b *broad) judge(h *history) {
	verdict := h.check()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keys++
	b.acts += len(h.ops)
	switch verdict {
	case porcupine.Illegal:
		b.impossible = append(b.impossible, h)
	case porcupine.Unknown:
		b.t.Errorf("the checker has not come to an end with a history of %d acts", len(h.ops))
	}
}

// changers is how many clients change a key at the same time.
const changers = 2

// maxUnknown bounds the acts of unknown outcome in a history: the checker has to try each at any time that comes after.
const maxUnknown = 4

// change disables and enables a key a few times, and deletes it in the end, where nobody else has. doubtful counts the acts of
// unknown outcome of all who change it.
func (b *broad) change(random *rand.Rand, h *history, client int, k *keyOps, doubtful *atomic.Int64) {
	do := func(a act) (known bool) {
		n := b.anyNode(random)
		r, known := h.record(client, a, func() (result, bool) { return k.change(b.t.Context(), n, a) })
		if r.unknown {
			doubtful.Add(1)
			b.unknown.Add(1)
		}
		return known
	}
	pause := func() { time.Sleep(time.Duration(random.Int64N(int64(historiesLease / 4)))) }
	for range random.IntN(5) {
		pause()
		if doubtful.Load() < maxUnknown-2 {
			do([]act{disables, enables}[random.IntN(2)])
		}
	}
	for pause(); doubtful.Load() < maxUnknown && !do(deletes); pause() {
	}
}

// ask checks a key on a node all the time. Checks that are not answered, or with 503, are none.
func (b *broad) ask(ctx context.Context, h *history, client int, n *node, token string) {
	var a *asker
	hangUp := func() {
		if a != nil {
			a.conn.Close()
			a = nil
		}
	}
	defer func() { hangUp() }()
	for ctx.Err() == nil {
		h.record(client, checks, func() (result, bool) {
			var err error
			if a == nil {
				if a, err = dialAsker(n, token, ""); err != nil {
					return result{}, false
				}
			}
			_ = a.conn.SetDeadline(time.Now().Add(askLimit))
			code, err := a.ask()
			if err != nil {
				hangUp()
				return result{}, false
			}
			return result{code: code}, true
		})
		time.Sleep(time.Millisecond)
	}
}
