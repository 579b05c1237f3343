package verify

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/limit"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/token"
	"github.com/apikeyd/apikeyd/internal/usage"
)

// taker is a Limiter that says what a test wants.
type taker struct {
	outcome key.Outcome
	err     error
	taken   int
}

var someLeft = key.Allowance{Name: "a", Requests: 1}

func (t *taker) Take(context.Context, int64, *key.Restrictions, time.Time) (key.Outcome, key.Allowance, error) {
	t.taken++
	return t.outcome, someLeft, t.err
}

// limited is a record of a key with a limit.
func limited(id int64) key.Record {
	r := record(id)
	r.Restrictions = &key.Restrictions{Limits: []key.Limit{{Name: "a", Requests: key.MaxRequests, Window: time.Hour}}}
	return r
}

func TestWhatIsCounted(t *testing.T) {
	away := errors.New("away")
	for _, tt := range []struct {
		name    string
		limiter taker
		q       key.Question
		free    bool // the key has no restrictions
		want    key.Outcome
		left    key.Allowance
		taken   int
	}{
		{"allowed", taker{outcome: key.CheckValid}, key.Question{}, false, key.CheckValid, someLeft, 1},
		{"limited", taker{outcome: key.CheckRateLimited}, key.Question{}, false, key.CheckRateLimited, someLeft, 1},
		{"used up", taker{outcome: key.CheckQuotaExceeded}, key.Question{}, false, key.CheckQuotaExceeded, someLeft, 1},
		{"deleted meanwhile", taker{outcome: key.CheckNotFound}, key.Question{}, false, key.CheckNotFound, key.Allowance{}, 1},
		{"cannot be counted", taker{outcome: key.CheckValid, err: away}, key.Question{}, false, 0, key.Allowance{}, 1},
		{"refused anyway", taker{}, key.Question{Scope: key.Delete}, false, key.CheckInsufficientScope, key.Allowance{}, 0},
		{"another organization's", taker{}, key.Question{OrganizationID: 2}, false, key.CheckNotFound, key.Allowance{}, 0},
		{"not to be counted", taker{}, key.Question{Uncounted: true}, false, key.CheckValid, key.Allowance{}, 0},
		{"without limits", taker{}, key.Question{}, true, key.CheckValid, key.Allowance{}, 0},
	} {
		c, s := newChecker(t, time.Now, 1<<20, 1<<20)
		limiter := tt.limiter
		c.limiter = &limiter
		tok := token.New("ak")
		if tt.free {
			s.set(tok.Digest(), record(1))
		} else {
			s.set(tok.Digest(), limited(1))
		}
		d, err := c.Check(t.Context(), []byte(tok.Reveal()), tt.q)
		if err != tt.limiter.err || limiter.taken != tt.taken {
			t.Errorf("%s: %v, asked %d times", tt.name, err, limiter.taken)
		}
		if err == nil && (d.Outcome != tt.want || d.Allowance != tt.left || (d.Record == nil) != (tt.want == key.CheckNotFound)) {
			t.Errorf("%s: %+v", tt.name, d)
		}
		if err != nil && d != (Decision{}) {
			t.Errorf("%s: %+v beside an error", tt.name, d)
		}
	}
}

// away is a store of quotas that cannot be reached.
type away struct{}

func (away) TakeQuota(context.Context, store.QuotaTake) (store.QuotaShare, error) {
	return store.QuotaShare{}, store.ErrUnavailable
}

func TestALimitedCheckAllocatesNothing(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	s := &tokens{records: map[key.Digest]key.Record{}}
	c := New(Options{
		Tokens: s, Usage: usage.NewRecorder(discard{}, log), Now: time.Now, CacheBytes: 1 << 20, NegativeCacheBytes: 1 << 20,
		Limiter: limit.New(limit.Options{Quotas: away{}, Now: time.Now, Log: log}),
	})
	tok := token.New("ak")
	s.set(tok.Digest(), limited(1))
	text := []byte(tok.Reveal())
	if n := testing.AllocsPerRun(1000, func() {
		if d, err := c.Check(t.Context(), text, key.Question{}); err != nil || d.Outcome != key.CheckValid || d.Allowance.Name != "a" {
			t.Fatal(d, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
