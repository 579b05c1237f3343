package gateway_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/gateway"
	"github.com/apikeyd/apikeyd/internal/gateway/gatewaytest"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/token"
	"github.com/apikeyd/apikeyd/internal/usage"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// A key that is needed for any of what is said is counted, and named in the answer, whichever is said first.
func TestContradictionsCountTheKey(t *testing.T) {
	w := gatewaytest.New(t)
	public, private := gateway.Request{Method: "GET", Target: "/health"}, gateway.Request{Method: "GET", Target: "/x"}
	for _, c := range []struct {
		name, key string
		said      []gateway.Request
		want      gateway.Verdict
		id        int64
	}{
		{"public first", "limited", []gateway.Request{public, private}, gateway.Allowed, 6},
		{"public last", "limited", []gateway.Request{private, public}, gateway.Allowed, 6},
		{"public first, exhausted", "exhausted", []gateway.Request{public, private}, gateway.Limited, 7},
		{"public last, exhausted", "exhausted", []gateway.Request{private, public}, gateway.Limited, 7},
		{"public first, unknown", "unknown", []gateway.Request{public, private}, gateway.BadKey, 0},
		{"all public", "unknown", []gateway.Request{public, public}, gateway.Public, 0},
	} {
		r := c.said[0]
		r.Authorization, r.Contradictions = []string{"Bearer " + w.Token(c.key)}, c.said
		if j := w.Gateway.Judge(t.Context(), &r); j.Verdict != c.want || j.KeyID() != c.id {
			t.Errorf("%s: verdict %d about key %d, want %d about %d", c.name, j.Verdict, j.KeyID(), c.want, c.id)
		}
	}
}

// oneKey is a store with a key, and keeps how it was used.
type oneKey struct {
	store.Tx
	record key.Record
	used   map[key.Outcome]int64
}

func (o *oneKey) RecordByDigest(context.Context, key.Digest) (*key.Record, error) {
	r := o.record
	return &r, nil
}

func (o *oneKey) Update(_ context.Context, fn func(store.Tx) error) ([]store.Change, error) {
	return nil, fn(o)
}

func (o *oneKey) SetLastUsed(context.Context, []store.Use) error { return nil }

func (o *oneKey) AddUsage(_ context.Context, checks []store.Checks) error {
	for _, c := range checks {
		o.used[c.Outcome] += c.Count
	}
	return nil
}

// Each request is one use of its key, whatever else is said of it.
func TestContradictionsAreOneUse(t *testing.T) {
	o := &oneKey{record: key.Record{KeyID: 1, OrganizationID: 1, UserID: 1, Enabled: true, Scopes: key.ScopesOf(key.Read)}, used: map[key.Outcome]int64{}}
	recorder := usage.NewRecorder(o, slog.New(slog.DiscardHandler))
	g := gateway.New(verify.New(verify.Options{Tokens: o, Usage: recorder, Now: time.Now, CacheBytes: 1 << 20, NegativeCacheBytes: 1 << 20}), nil)
	may, mayNot := gateway.Request{Method: "GET", Target: "/x"}, gateway.Request{Method: "DELETE", Target: "/x"}
	text := token.New(token.DefaultPrefix).Reveal()
	for _, said := range [][]gateway.Request{{may}, {may, may}, {mayNot}, {mayNot, may}, {may, mayNot}, {may, may, mayNot}} {
		r := said[0]
		r.Authorization, r.Contradictions = []string{"Bearer " + text}, said[1:]
		g.Judge(t.Context(), &r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	recorder.Run(ctx) // writes once
	if o.used[key.CheckValid] != 2 || o.used[key.CheckInsufficientScope] != 4 {
		t.Errorf("the key's uses are %v, want 2 that were allowed and 4 that lacked the scope", o.used)
	}
}
