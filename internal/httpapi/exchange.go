package httpapi

import (
	"net/http"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/telemetry"
)

// exchange is one request and its answer. It is the http.ResponseWriter that handlers write to, so it knows what was
// sent. It is used again for later requests: nothing may keep it.
type exchange struct {
	w         http.ResponseWriter
	r         *http.Request
	route     *route
	wildcards // what the path holds in their places
	began     time.Time
	caller    admin.Caller

	requestID telemetry.RequestID
	id        string     // the same as text
	idHeaders []idHeader // for later requests
	nextID    uint64     // the number of the first of them
	date      []string   // the value of a header Date: of the second dated, since 1970
	dated     int64

	status  int      // 0: nothing is sent yet
	sent    int64    // bytes of the answer's body
	problem *problem // what was answered, if any
	keyID   int64    // the key that called or that was asked about, for the log; 0: none
	code    string   // how a check came out, for the log

	body   []byte // what was received
	answer []byte // room for what is to be sent
}

// maxKept bounds the buffers that are kept for later requests; larger ones are left to the garbage collector.
const maxKept = 64 << 10

// reset readies x for another request and keeps its memory. Its buffers held tokens, and are overwritten for that reason.
func (x *exchange) reset() {
	body, answer := x.body, x.answer
	if cap(body) > maxKept {
		body = nil
	}
	if cap(answer) > maxKept {
		answer = nil
	}
	clear(body)
	clear(answer)
	*x = exchange{body: body[:0], answer: answer[:0], idHeaders: x.idHeaders, nextID: x.nextID, date: x.date, dated: x.dated}
}

// Header returns the headers of the answer.
func (x *exchange) Header() http.Header { return x.w.Header() }

// setDate sets the header Date to when the request came. net/http would put it into words anew for each answer, which costs more than
// many a check. It is for answers that are made at once.
func (x *exchange) setDate() {
	if second := x.began.Unix(); second != x.dated {
		x.date, x.dated = []string{x.began.UTC().Format(http.TimeFormat)}, second // answers that are being sent hold the one before
	}
	x.Header()["Date"] = x.date
}

// WriteHeader begins the answer.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && status >= 200 { // an informational answer is not the answer
		x.status = status
		if x.r.ContentLength != 0 && x.route.judges {
			x.skipBody()
		}
	}
	x.w.WriteHeader(status)
}

// Write sends a part of the body.
func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	n, err := x.w.Write(b)
	x.sent += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.w }
