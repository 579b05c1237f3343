// Package gateway judges requests to an API that apikeyd stands in front of: may this key do that there?
//
// It is the one decision table of all the ways in which a proxy may ask. What a request needs is said by rules, whether its key has it
// by verify. Whatever cannot be decided is refused: a path that others may read in another way, a method that no scope covers,
// a database that does not answer.
//
// The package knows no transport. What a judgement looks like as headers is here too, so that all transports say the same.
package gateway

import (
	"context"
	"net/netip"
	"sync/atomic"

	"github.com/apikeyd/apikeyd/internal/credential"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/rules"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// Gateway judges requests. Its methods are safe for concurrent use.
type Gateway struct {
	checker *verify.Checker
	rules   atomic.Pointer[rules.Set]
}

// New returns a Gateway with its first rules; nil: none.
func New(checker *verify.Checker, set *rules.Set) *Gateway {
	g := &Gateway{checker: checker}
	g.SetRules(set)
	return g
}

// SetRules exchanges the rules. Requests that are being judged keep the ones that they began with.
func (g *Gateway) SetRules(set *rules.Set) { g.rules.Store(set) }

// Rules returns the rules that requests are judged by; nil: none.
func (g *Gateway) Rules() *rules.Set { return g.rules.Load() }

// Request is a request to the API, as a proxy tells of it.
type Request struct {
	Method string
	Target string // as the client sent it: "/accounts/7?x=y"; "": the proxy does not say

	// Contradictions are what the proxy says of the same request elsewhere, where that is something else: Method, Target and Scope.
	// Only the proxy knows which part it wrote and which part the client did, so that all of it has to be allowed.
	Contradictions []Request

	Authorization []string // the lines of this header
	APIKey        []string // and of X-API-Key
	IP            netip.Addr
	// Scope is what the request needs, whatever the rules say; 0: they do.
	Scope key.Scope
}

// MaxContradictions bounds what is looked at for one request. No proxy says so much, and a request with more is refused.
const MaxContradictions = 16

// Judge says whether a request may go to the API. It counts the request where its key is limited. A key in the cache costs
// no allocation.
func (g *Gateway) Judge(ctx context.Context, r *Request) Judgement {
	set := g.rules.Load()
	if len(r.Contradictions) == 0 {
		return g.judge(ctx, set, r, r, false)
	}
	if len(r.Contradictions) > MaxContradictions {
		return Judgement{Verdict: Ambiguous, Detail: "the proxy says many different things about the request"}
	}
	// Nothing is counted before all of it is known to be allowed. Where a key is needed for some of it, the answer is about the key:
	// otherwise a client could use one without its limits, and without anybody being told whose it is, by naming something public.
	counted := r
	if j := g.judge(ctx, set, r, r, true); !j.Allowed() {
		g.note(ctx, set, r, r, &j)
		return j
	}
	for i := range r.Contradictions {
		said := &r.Contradictions[i]
		j := g.judge(ctx, set, r, said, true)
		if !j.Allowed() {
			g.note(ctx, set, r, said, &j)
			return j
		}
		if j.Verdict == Allowed {
			counted = said
		}
	}
	return g.judge(ctx, set, r, counted, false)
}

// note has a refusal counted among the uses of its key. What is made of the request is decided: that is j, whatever has changed since.
func (g *Gateway) note(ctx context.Context, set *rules.Set, r, said *Request, j *Judgement) {
	if j.record != nil {
		g.judge(ctx, set, r, said, false)
	}
}

// judge judges what is said, of which r is the rest.
func (g *Gateway) judge(ctx context.Context, set *rules.Set, r, said *Request, uncounted bool) Judgement {
	need, j := needOf(set, said.Method, said.Target, said.Scope)
	if j.Verdict != undecidedYet {
		return j
	}
	text, only := credential.Only(r.Authorization, r.APIKey)
	if !only {
		sent, err := credential.Find(r.Authorization, r.APIKey)
		switch {
		case err != nil:
			return Judgement{Verdict: BadKey, Detail: err.Error()}
		case sent.Key == "" && sent.Foreign == "":
			return Judgement{Verdict: NoKey, Detail: "send a key as Authorization: Bearer or as X-API-Key"}
		case sent.Key == "":
			return Judgement{Verdict: BadKey, Detail: credential.ErrNoKey.Error()}
		}
		text = sent.Key
	}
	d, err := g.checker.Check(ctx, view(text), key.Question{Scope: need.Scope, IP: r.IP, Uncounted: uncounted})
	switch {
	case err != nil:
		return Judgement{Verdict: Undecided, Detail: "the key cannot be checked just now; try again", Err: err}
	case d.Malformed:
		return Judgement{Verdict: BadKey, Detail: credential.ErrNoKey.Error()}
	}
	j = Judgement{Verdict: ofOutcome[d.Outcome].verdict, Detail: ofOutcome[d.Outcome].detail, Need: need.Scope,
		Outcome: d.Outcome, Checked: true, Allowance: d.Allowance, record: d.Record}
	if j.Verdict == InsufficientScope {
		j.Detail = "the key lacks the scope " + need.Scope.String() + ", which the request needs"
	}
	return j
}

// needOf returns what a request needs, or the judgement where that is all there is to say.
func needOf(set *rules.Set, method, target string, scope key.Scope) (need rules.Need, j Judgement) {
	path := ""
	if target != "" {
		var err error
		if path, err = rules.CleanPath(target); err != nil {
			return need, Judgement{Verdict: Ambiguous, Detail: "the path can be read in more than one way: it " + err.Error()}
		}
	}
	switch {
	case scope != 0:
		return rules.Need{Scope: scope}, j
	case target == "" && set.Len() > 0:
		return need, Judgement{Verdict: Ambiguous, Detail: "there are rules about paths, and the proxy does not say which path this is"}
	}
	need, _ = set.Match(method, path)
	switch {
	case set.Mistakable(method, path):
		return need, Judgement{Verdict: Ambiguous, Detail: "the path is that of a rule in other upper and lower case"}
	case need.Public:
		return need, Judgement{Verdict: Public}
	case need.Scope == 0:
		return need, Judgement{Verdict: UnknownMethod, Detail: "no scope covers the request's method; " +
			"scopes cover GET, HEAD, OPTIONS, POST, PUT, PATCH and DELETE, written in upper case"}
	}
	return need, j
}

// ofOutcome says what the outcomes of a check mean to who called the API.
var ofOutcome = [key.OutcomeCount]struct {
	verdict Verdict
	detail  string
}{
	key.CheckNotFound:          {BadKey, "the key is unknown, deleted, disabled or expired"},
	key.CheckDisabled:          {BadKey, "the key is unknown, deleted, disabled or expired"},
	key.CheckExpired:           {BadKey, "the key is unknown, deleted, disabled or expired"},
	key.CheckInsufficientScope: {InsufficientScope, ""}, // judge says which
	key.CheckIPNotAllowed:      {WrongAddress, "the key may not be used from this address"},
	key.CheckRateLimited:       {Limited, "the key has made as many requests as it may; try again later"},
	key.CheckQuotaExceeded:     {Limited, "the quota of the key is used up"},
	key.CheckValid:             {Allowed, ""},
}
