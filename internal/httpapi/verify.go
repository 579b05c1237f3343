package httpapi

import (
	"fmt"
	"net/http"
	"strconv"
	"unsafe"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/telemetry"
	"github.com/apikeyd/apikeyd/internal/verify"
)

const verifyPath = "/v1/verify"

// question is the body of a check: may this token do that?
type question struct {
	token []byte
	key.Question
}

// checks are the handlers that check keys. They do what endpoint does for the others, by hand: there is nothing in
// apikeyd that runs more often.
type checks struct {
	checker *verify.Checker
	metrics *telemetry.Metrics
}

func (h checks) routes() []route {
	return []route{
		{method: http.MethodPost, pattern: verifyPath, writes: true, quiet: true,
			consumes: []string{typeJSON}, maxBody: maxBody, serve: h.one},
		{method: http.MethodPost, pattern: verifyPath + "/batch", writes: true, quiet: true,
			consumes: []string{typeJSON}, maxBody: maxBatchBody, serve: h.batch},
	}
}

func (h checks) one(x *exchange) error {
	if err := refuseQuery(x); err != nil {
		return err
	}
	q, rest, ok := parseQuestion(x.body)
	if !ok || !blank(rest) {
		var err error
		if q, err = decodeQuestion(x.body); err != nil {
			return err
		}
	}
	d, err := h.checker.Check(x.r.Context(), q.token, q.Question)
	if err != nil {
		return undecided(err)
	}
	h.metrics.Check(d.Outcome)
	x.code = d.Outcome.String()
	if d.Record != nil {
		x.keyID = d.Record.KeyID
	}
	x.answer = append(appendVerification(x.answer[:0], d), '\n')
	return x.sendVerification()
}

func (h checks) batch(x *exchange) error {
	if err := refuseQuery(x); err != nil {
		return err
	}
	questions, ok := parseBatch(x.body)
	if !ok {
		var err error
		if questions, err = decodeBatch(x.body); err != nil {
			return err
		}
	}
	out := append(x.answer[:0], `{"results":[`...)
	for i := range questions {
		d, err := h.checker.Check(x.r.Context(), questions[i].token, questions[i].Question)
		if err != nil {
			return undecidedBatch(i, err)
		}
		h.metrics.Check(d.Outcome)
		if i > 0 {
			out = append(out, ',')
		}
		out = appendVerification(out, d)
	}
	x.answer = append(out, "]}\n"...)
	return x.sendVerification()
}

// undecidedBatch is the answer where the question at i has none. What was counted for those in front of it cannot be given back.
func undecidedBatch(i int, err error) error {
	if i == 0 {
		return undecided(err)
	}
	return &problem{code: api.CodeUnavailable, cause: err, detail: fmt.Sprintf("the key of requests/%d cannot be checked just now; "+
		"try again: those before it have no answer either, and those of limited keys were counted", i)}
}

// refuseQuery is for the checks, which have no query parameters.
func refuseQuery(x *exchange) error {
	if x.r.URL.RawQuery == "" {
		return nil
	}
	in, err := newInput(x)
	if err != nil {
		return err
	}
	in.refuseUnreadParameters()
	return in.faults.err()
}

// serverBuffer is up to how many bytes net/http finds out the length of an answer by itself. A longer one it would send
// in chunks.
const serverBuffer = 2048

// sendVerification writes what stands in x.answer. A header costs as much as half of a check, so there is none that says
// nothing: an answer to POST is not cached by itself, and no browser comes here.
func (x *exchange) sendVerification() error {
	h := x.Header()
	h["Content-Type"] = jsonType
	x.setDate()
	if len(x.answer) > serverBuffer {
		h.Set("Content-Length", strconv.Itoa(len(x.answer)))
	}
	_, _ = x.Write(x.answer) // a caller who is gone does not miss it
	return nil
}

// questionShape is the body of a check for the strict decoder.
var questionShape = shape[question]{
	{name: "key", required: true, read: func(q *question, v value) {
		text, _ := v.string()
		q.token = []byte(text)
	}},
	{name: "scope", read: func(q *question, v value) { q.Scope, _ = v.scope() }},
	{name: "organization_id", read: func(q *question, v value) { q.OrganizationID, _ = v.id() }},
	{name: "ip", read: func(q *question, v value) { q.IP, _ = v.address() }},
}

var batchShape = shape[[]question]{
	{name: "requests", required: true, read: func(all *[]question, v value) {
		if v.raw.Kind() != '[' {
			v.want("an array")
			return
		}
		for i, item := range v.items() {
			if i == api.MaxBatch {
				v.faults.malform(v.pointer, tooManyQuestions)
				return
			}
			var q question
			questionShape.read(&q, item)
			*all = append(*all, q)
		}
	}},
}

// decodeQuestion is the strict decoder of a check: it says all that is wrong with the body. Whatever that is, the body
// is no question, and the answer is malformed_request.
func decodeQuestion(body []byte) (q question, err error) {
	f := faults{}
	if err := decode(body, questionShape, &q, &f); err != nil {
		return q, err
	}
	return q, f.noQuestion()
}

func decodeBatch(body []byte) (all []question, err error) {
	f := faults{}
	if err := decode(body, batchShape, &all, &f); err != nil {
		return nil, err
	}
	return all, f.noQuestion()
}

func (f *faults) noQuestion() error {
	f.malformed = true
	return f.err()
}

// view returns b as a string without copying it. It is good for as long as nobody writes to b.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
