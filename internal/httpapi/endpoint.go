package httpapi

import (
	"bytes"
	"context"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/apikeyd/apikeyd/internal/admin"
)

// answer is what a handler wants to be sent; beside an error it means nothing.
type answer struct {
	status   int
	body     any    // written as JSON; nil: none
	location string // of what was made
	next     string // the address of the next page
	cookies  []*http.Cookie
}

// endpoint makes a handler out of two functions: read takes from the request what the use case needs and notes all that
// is wrong with it; do calls the use case. Everything around them is the same for all of them and happens here.
func endpoint[In any](read func(*input) (In, error), do func(context.Context, admin.Caller, In) (answer, error)) func(*exchange) error {
	return func(x *exchange) error {
		in, err := newInput(x)
		if err != nil {
			return err
		}
		data, err := read(in)
		if err != nil {
			return err
		}
		in.refuseUnreadParameters()
		if err := in.faults.err(); err != nil {
			return err
		}
		a, err := do(x.r.Context(), x.caller, data)
		if err != nil {
			return err
		}
		return x.send(a)
	}
}

// itemPath returns the path of an item of the list at a path.
func itemPath(list string, id int64) string { return list + "/" + strconv.FormatInt(id, 10) }

// nothing reads nothing from a request.
func nothing(*input) (struct{}, error) { return struct{}{}, nil }

var (
	jsonType = []string{typeJSON}
	noStore  = []string{"no-store"}
	noSniff  = []string{"nosniff"}
)

// send writes the answer. What cannot be encoded is an error, and nothing is sent.
func (x *exchange) send(a answer) error {
	h := x.Header()
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	for _, c := range a.cookies {
		h.Add("Set-Cookie", c.String())
	}
	if a.body == nil {
		x.WriteHeader(a.status)
		return nil
	}
	out := bytes.NewBuffer(x.answer[:0])
	if err := json.MarshalWrite(out, a.body, jsontext.PreserveRawStrings(true), json.Deterministic(true)); err != nil {
		return err
	}
	out.WriteByte('\n')
	x.answer = out.Bytes()
	h["Content-Type"] = jsonType
	h.Set("Content-Length", strconv.Itoa(out.Len()))
	if a.location != "" {
		h.Set("Location", a.location)
	}
	if a.next != "" {
		h.Set("Link", "<"+a.next+`>; rel="next"`)
	}
	x.WriteHeader(a.status)
	if x.r.Method != http.MethodHead {
		_, _ = x.Write(x.answer) // a caller who is gone does not miss it
	}
	return nil
}
