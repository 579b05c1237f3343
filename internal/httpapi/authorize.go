package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/gateway"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/telemetry"
)

const authorizePath = "/v1/authorize"

// authorization is the handler that proxies ask whether a request may go to the API behind them. Like the checks, it is written for
// speed.
type authorization struct {
	gateway *gateway.Gateway
	client  browser.Client
	metrics *telemetry.Metrics
}

func (h authorization) routes() []route {
	return []route{{method: http.MethodGet, pattern: authorizePath, judges: true, quiet: true, serve: h.serve}}
}

func (h authorization) serve(x *exchange) error {
	r := gateway.Request{Authorization: x.r.Header["Authorization"], APIKey: x.r.Header["X-Api-Key"], IP: h.client.Addr(x.r)}
	limited, err := readAuthorization(x.r, &r)
	if err != nil {
		return err
	}
	j := h.gateway.Judge(x.r.Context(), &r)
	if j.Checked {
		h.metrics.Check(j.Outcome)
		x.code, x.keyID = j.Outcome.String(), j.KeyID()
	}
	x.sendIdentity(&j)
	if j.Allowed() {
		// It is about this one request: a proxy that kept it would let a deleted key in, and count nothing.
		x.Header()["Cache-Control"] = noStore
		x.setDate()
		x.WriteHeader(http.StatusOK)
		return nil
	}
	code := j.Code()
	if j.Verdict == gateway.Limited {
		code = limited
	}
	return &problem{code: code, detail: j.Detail, challenge: j.Challenge(), cause: j.Err}
}

// cutAuthorize returns what stands behind /v1/authorize in the target of a request, and false where it is for something else.
func cutAuthorize(r *http.Request) (rest string, ok bool) {
	target := r.RequestURI
	if !strings.HasPrefix(target, "/") { // http://host/v1/authorize, as one writes to a proxy
		target = r.URL.RequestURI()
	}
	rest, ok = strings.CutPrefix(target, authorizePath)
	return rest, ok && (rest == "" || rest[0] == '/' || rest[0] == '?')
}

// The headers in which proxies say which request they ask about.
var (
	methodHeaders = [...]string{"X-Forwarded-Method", "X-Original-Method"}
	targetHeaders = [...]string{"X-Forwarded-Uri", "X-Original-Uri"}
)

// judgesElsewhere reports, of a request for another route, whether a proxy asks there about somebody else's request. There are proxies
// that a client can bring to it, by a target such as "x:http://h/livez": they would take the 200 of a route that anybody may read for
// a yes.
func judgesElsewhere(h http.Header) bool {
	sent := func(name string) bool { return h[name] != nil }
	return slices.ContainsFunc(methodHeaders[:], sent) || slices.ContainsFunc(targetHeaders[:], sent)
}

// readAuthorization fills in the request that is asked about, and returns the code of a refusal because of a limit.
//
// Whoever sent that request may have sent headers of the proxy's names too, and a proxy passes on those that it does not write
// itself. So what is said first is the request, and where something else is said as well, that must be allowed, too.
//
// The same goes for the address that the proxy asks at. Where a path follows ours, a proxy such as Envoy has put the client's own
// target there, or an operator has written it. Where a query follows and the client's target has the same, a proxy such as Caddy has
// left the client's there, or an operator has written what a client now writes too. It may then ask for more, and not for less.
func readAuthorization(r *http.Request, into *gateway.Request) (limited api.Code, err error) {
	var methods, targets statement
	for _, name := range methodHeaders {
		methods.add(r.Header[name])
	}
	for _, name := range targetHeaders {
		targets.add(r.Header[name])
	}
	rest, _ := cutAuthorize(r)
	follows := strings.HasPrefix(rest, "/")
	if follows {
		targets.one(rest)
	}
	if follows || methods.first == "" { // where the client's target follows ours, its method is ours
		methods.one(r.Method)
	}
	into.Method, into.Target = methods.first, targets.first

	limited = api.CodeRateLimited
	var asked []key.Scope
	if _, query, _ := strings.Cut(rest, "?"); query != "" {
		if follows || targets.haveQuery(query) {
			asked, limited = optionsWithin(query)
		} else if into.Scope, limited, err = readOptions(query); err != nil {
			return limited, err
		}
	}
	if methods.others != nil || targets.others != nil || asked != nil {
		contradict(into, &methods, &targets, append(asked, into.Scope))
	}
	return limited, nil
}

// contradict notes all that may be meant, as far as anybody looks at it.
func contradict(r *gateway.Request, methods, targets *statement, scopes []key.Scope) {
	for _, method := range methods.all() {
		for _, target := range targets.all() {
			for _, scope := range scopes {
				if len(r.Contradictions) > gateway.MaxContradictions {
					return
				}
				r.Contradictions = append(r.Contradictions, gateway.Request{Method: method, Target: target, Scope: scope})
			}
		}
	}
}

// readOptions reads what a proxy asks for beside the decision: the scope needed, 0 for what the rules say, and the code of a refusal
// because of a limit.
func readOptions(query string) (scope key.Scope, limited api.Code, err error) {
	limited = api.CodeRateLimited
	for option := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(option, "=")
		asked, isScope := key.ParseScope(value)
		switch {
		case name == "scope" && isScope && scope == 0:
			scope = asked
		case name == "limited" && value == "403":
			limited = api.CodeForbidden
		default:
			return 0, limited, &problem{code: api.CodeMalformedRequest,
				detail: "what may follow " + authorizePath + " is ?scope= with one of " + key.ScopeList + ", once, and limited=403"}
		}
	}
	return scope, limited, nil
}

// optionsWithin returns what is asked for in a query that may be somebody else's. Which code refuses may be said by anybody.
func optionsWithin(query string) (asked []key.Scope, limited api.Code) {
	limited = api.CodeRateLimited
	for option := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(option, "=")
		if scope, isScope := key.ParseScope(value); isScope && name == "scope" {
			asked = append(asked, scope)
		}
		if name == "limited" && value == "403" {
			limited = api.CodeForbidden
		}
	}
	return asked, limited
}

// statement is what a proxy says about one thing, in one place or in several.
type statement struct {
	first  string   // "": nothing
	others []string // what else it says
}

func (s *statement) add(lines []string) {
	for _, text := range lines {
		s.one(text)
	}
}

func (s *statement) one(text string) {
	switch {
	case text == "" || text == s.first:
	case s.first == "":
		s.first = text
	default:
		s.others = append(s.others, text)
	}
}

func (s *statement) all() []string { return append([]string{s.first}, s.others...) }

// haveQuery reports whether one of several targets has a query.
func (s *statement) haveQuery(query string) bool {
	has := func(target string) bool {
		_, theirs, _ := strings.Cut(target, "?")
		return theirs == query
	}
	return has(s.first) || slices.ContainsFunc(s.others, has)
}

// emptyHeader is the value of a header that is there and says nothing.
var emptyHeader = []string{""}

// sendIdentity sets the headers that say whose the key is, and what is left of its limits.
func (x *exchange) sendIdentity(j *gateway.Judgement) {
	values := new(gateway.Headers)
	x.answer = j.Headers(values, x.answer)
	if values.Nobody() {
		x.sendNobody()
		return
	}
	h := x.Header()
	for i, name := range gateway.Identity {
		h[name] = values.Identity[i : i+1 : i+1]
	}
	if values.Policy != "" {
		h[gateway.HeaderPolicy] = []string{values.Policy}
		h[gateway.HeaderState] = []string{values.State}
	}
	if values.RetryAfter != "" {
		h[gateway.HeaderRetryAfter] = []string{values.RetryAfter}
	}
}

// sendNobody sets the headers that say whose the key is where that is not known, so that a client's own do not stay.
func (x *exchange) sendNobody() {
	h := x.Header()
	for _, name := range gateway.Identity {
		h[name] = emptyHeader
	}
}
