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

// identify gives the request its id, which stands in the answer's header, in problem documents and in the log.
func (s *server) identify(x *exchange) {
	h := &idHeader{text: s.ids.Next()}
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
		Time:      x.began.Add(took),
		Level:     level,
		Listener:  s.listener,
		Method:    showName(x.r.Method),
		Path:      showPath(x),
		Route:     x.route.label,
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

// showPath returns the path for the log. A route's path that has nothing variable in it is the route's; any other
// comes from the caller, who may have put a token where an id belongs.
func showPath(x *exchange) string {
	path := x.r.URL.Path
	if path == x.route.pattern || strings.Contains(x.route.pattern, secretSegment) {
		return x.route.pattern
	}
	return showPointer(strings.ToValidUTF8(path, "\uFFFD"))
}
