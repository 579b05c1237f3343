package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

// identify gives the request its id, which stands in the answer's header, in problem documents and in the log.
func (s *server) identify(x *exchange) {
	x.id = rand.Text()
	x.Header()["X-Request-Id"] = []string{x.id}
}

// record writes the line that each request leaves in the log.
func (s *server) record(x *exchange) {
	level := slog.LevelInfo
	var attrs []slog.Attr
	switch p := x.problem; {
	case p == nil:
		if x.route != nil && x.route.quiet && !s.logChecks {
			return
		}
	case errors.Is(p, context.Canceled) && x.r.Context().Err() != nil:
		level = slog.LevelDebug // the caller is gone
	case p.code.Status() >= 500:
		level = slog.LevelError
	}
	pattern := "other"
	if x.route != nil {
		pattern = x.route.pattern
	}
	if p := x.problem; p != nil {
		attrs = append(attrs, slog.String("code", string(p.code)))
		if p.cause != nil && p.code != api.CodeNotFound {
			attrs = append(attrs, slog.Any("error", p.cause))
		}
	}
	attrs = append(attrs, slog.String("request_id", x.id), slog.String("method", x.r.Method), slog.String("route", pattern),
		slog.Int("status", x.status), slog.Duration("duration", time.Since(x.began)))
	s.log.LogAttrs(x.r.Context(), level, "request", attrs...)
}
