package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"
	"unsafe"

	"github.com/apikeyd/apikeyd/internal/telemetry"
)

// statusClientGone stands in the log and in metrics for a request whose caller did not wait for the answer. It is
// nobody's fault here, and has no number of its own in HTTP; this one is nginx's.
const statusClientGone = 499

// idHeader is the value of a header X-Request-Id, in one piece of memory. It cannot be used again: the headers are sent
// after the handler has returned.
type idHeader struct {
	text  telemetry.RequestID
	value [1]string
}

// idHeaders is how many of them are made at once, and their ids reserved, because to make one costs as much as to fill it.
const idHeaders = 16

// identify gives the request its id, which stands in the answer's header, in problem documents and in the log.
func (s *server) identify(x *exchange) {
	if len(x.idHeaders) == 0 {
		x.idHeaders = make([]idHeader, idHeaders)
		x.nextID = s.ids.Reserve(idHeaders)
	}
	h := &x.idHeaders[0]
	x.idHeaders = x.idHeaders[1:]
	h.text = s.ids.Reserved(x.nextID)
	x.nextID++
	h.value[0] = unsafe.String(&h.text[0], len(h.text))
	x.requestID, x.id = h.text, h.value[0]
	x.w.Header()["X-Request-Id"] = h.value[:]
}

// record leaves what became of a request in the metrics and in the log.
func (s *server) record(x *exchange) {
	took := time.Since(x.began)
	level, code, status := slog.LevelInfo, x.code, x.status
	if p := x.problem; p != nil {
		code = string(p.code)
		switch {
		case errors.Is(p.cause, context.Canceled) && x.r.Context().Err() != nil:
			level, status = slog.LevelDebug, statusClientGone
		case p.code.Status() >= 500:
			level = slog.LevelError
			s.log.LogAttrs(x.r.Context(), level, "request failed",
				slog.String("request_id", x.id), slog.String("code", code), slog.Any("error", p.cause))
		}
	}
	x.route.metrics.Observe(status, took)
	if x.problem == nil && !s.logChecks && x.route.quiet || !s.requests.Enabled(level) {
		return
	}
	s.requests.Log(&telemetry.Request{
		Target:    s.target(x),
		Time:      x.began.Add(took),
		Level:     level,
		Status:    status,
		Duration:  took,
		Bytes:     x.sent,
		RequestID: x.requestID,
		Remote:    x.r.RemoteAddr,
		KeyID:     x.keyID,
		Code:      code,
	})
}

// secretSegment is the place in a pattern where a secret stands in the path.
const secretSegment = "{secret}"

// target returns what the log says that a request was for. A path that has nothing variable in it is the route's; any
// other comes from the caller, who may have put a token where an id belongs.
func (s *server) target(x *exchange) *telemetry.Target {
	if x.route.judges { // what follows the path is about somebody else's request
		return x.route.target
	}
	method, path := x.r.Method, x.r.URL.Path
	if strings.Contains(x.route.pattern, secretSegment) {
		path = x.route.pattern
	}
	if path == x.route.pattern && method == x.route.method {
		return x.route.target
	}
	if path != x.route.pattern {
		path = showPointer(strings.ToValidUTF8(path, "\uFFFD"))
	}
	return &telemetry.Target{Listener: s.listener, Method: showName(method), Path: path, Route: x.route.label}
}
