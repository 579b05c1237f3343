// Package telemetry is how a running server is watched: log lines, metrics and request ids.
//
// Everything in it is made once and handed to whoever needs it; there is no global logger and no default registry.
//
// A busy server logs and counts each of its requests, tens of thousands a second, so what a request costs here is
// bounded by benchmarks: RequestLog.Log, Route.Observe and RequestIDs.Next allocate nothing and take a few hundred
// nanoseconds at most.
//
// No token and no password may come into a log line, a label or a help text. The package helps by what it does not
// take: a Request has no place for a query, a header or a body. It starts no listener and stores nothing.
package telemetry

import (
	"context"
	"io"
	"log/slog"
)

// Format says how log lines are written. What is not Text is JSON.
type Format string

// The formats.
const (
	Text Format = "text" // key=value, as slog.TextHandler writes it
	JSON Format = "json" // one JSON object a line, as slog.JSONHandler writes it
)

// NewLogger returns a logger that writes lines of at least this level to w, with times in UTC. Where w has a method
// Flush() error, as a Writer has, it is called for lines of level warn and above, so that they are out before the
// call returns.
func NewLogger(w io.Writer, format Format, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	h := &handler{}
	if format == Text {
		h.Handler = slog.NewTextHandler(w, options)
	} else {
		h.Handler = slog.NewJSONHandler(w, options)
	}
	h.flusher, _ = w.(flusher)
	return slog.New(h)
}

type flusher interface{ Flush() error }

// handler is one of slog's own that writes times in UTC and does not leave a warning in a buffer.
type handler struct {
	slog.Handler
	flusher flusher // nil: nothing is buffered
}

// Handle writes the line.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	r.Time = r.Time.UTC()
	err := h.Handler.Handle(ctx, r)
	if err == nil && r.Level >= urgent && h.flusher != nil {
		err = h.flusher.Flush()
	}
	return err
}

// urgent is the level from which on a line is not kept waiting.
const urgent = slog.LevelWarn

// WithAttrs returns a handler that adds attrs to each line.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.Handler.WithAttrs(attrs), h.flusher}
}

// WithGroup returns a handler that puts the attributes to come into a group.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.Handler.WithGroup(name), h.flusher}
}
