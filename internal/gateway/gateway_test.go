package gateway_test

import (
	"testing"

	"github.com/apikeyd/apikeyd/internal/gateway"
	"github.com/apikeyd/apikeyd/internal/gateway/gatewaytest"
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
