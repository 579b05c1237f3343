package httpapi

import (
	"net/http"
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
	o, err := readAuthorizeOptions(x)
	if err != nil {
		return err
	}
	r := gateway.Request{Authorization: x.r.Header["Authorization"], APIKey: x.r.Header["X-Api-Key"], IP: h.client.Addr(x.r), Scope: o.scope}
	whatIsSaid(x, o.target, &r)
	j := h.gateway.Judge(x.r.Context(), &r)
	if j.Checked {
		h.metrics.Check(j.Outcome)
		x.code, x.keyID = j.Outcome.String(), j.KeyID()
	}
	x.sendIdentity(&j)
	if j.Allowed() {
		x.WriteHeader(http.StatusOK)
		return nil
	}
	code := j.Code()
	if j.Verdict == gateway.Limited {
		code = o.limited
	}
	return &problem{code: code, detail: j.Detail, challenge: j.Challenge(), cause: j.Err}
}

// authorizeOptions is what a proxy asks for beside the decision.
type authorizeOptions struct {
	target  string    // what stands behind the path; "": nothing
	scope   key.Scope // 0: what the rules say
	limited api.Code  // of a request that is over a limit
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

// readAuthorizeOptions reads the address that the proxy asks at. Where something follows the path, a proxy such as Envoy has put the
// client's own target there: the query is the client's then, and says nothing to us.
func readAuthorizeOptions(x *exchange) (authorizeOptions, error) {
	o := authorizeOptions{limited: api.CodeRateLimited}
	rest, _ := cutAuthorize(x.r)
	if rest == "" {
		return o, nil
	}
	if rest[0] == '/' {
		o.target = rest
		return o, nil
	}
	for option := range strings.SplitSeq(rest[1:], "&") {
		name, value, _ := strings.Cut(option, "=")
		scope, isScope := key.ParseScope(value)
		switch {
		case name == "scope" && isScope && o.scope == 0:
			o.scope = scope
		case name == "limited" && value == "403":
			o.limited = api.CodeForbidden
		default:
			return o, &problem{code: api.CodeMalformedRequest,
				detail: "what may follow " + authorizePath + " is ?scope= with one of " + key.ScopeList + ", once, and limited=403"}
		}
	}
	return o, nil
}

// whatIsSaid fills in the method and the target of the request that is asked about. own is the target that stands behind our path.
//
// Whoever sent the request may have sent headers of these names too, and a proxy passes on those that it does not write itself. So
// what is said first is the request, and where something else is said as well, that must be allowed, too.
func whatIsSaid(x *exchange, own string, r *gateway.Request) {
	var methods, targets statement
	h := x.r.Header
	methods.add(h["X-Forwarded-Method"])
	methods.add(h["X-Original-Method"])
	targets.add(h["X-Forwarded-Uri"])
	targets.add(h["X-Original-Uri"])
	if own != "" {
		targets.one(own)
	}
	if own != "" || methods.first == "" { // where our path is followed by the client's, the method is the client's, too
		methods.one(x.r.Method)
	}
	r.Method, r.Target = methods.first, targets.first
	if methods.others == nil && targets.others == nil {
		return
	}
	for _, method := range append(methods.others, methods.first) {
		for _, target := range append(targets.others, targets.first) {
			if len(r.Contradictions) > gateway.MaxContradictions {
				return
			}
			r.Contradictions = append(r.Contradictions, gateway.Request{Method: method, Target: target})
		}
	}
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
