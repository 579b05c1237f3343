package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

// NotReady is why a server cannot answer requests now. Reason is shown to whoever asks; Err is for the log.
type NotReady struct {
	Reason string
	Err    error
}

// ErrDraining is the NotReady of a server that is about to stop.
var ErrDraining error = &NotReady{Reason: "the server is shutting down"}

// Error gives reason and cause.
func (e *NotReady) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *NotReady) Unwrap() error { return e.Err }

// health are the handlers for those who look after the server.
type health struct {
	ready   func(context.Context) error
	metrics http.Handler
}

func (h health) routes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/livez", public: true, serve: h.live},
		{method: http.MethodGet, pattern: "/readyz", public: true, serve: h.readiness},
		{method: http.MethodGet, pattern: "/metrics", serve: foreign(h.metrics)},
	}
}

// well is the answer where all is well. Probes send all sorts of headers and parameters; they are not looked at.
var well = answer{status: http.StatusOK, body: map[string]string{"status": "ok"}}

// live says that the process runs, whatever else is the matter: who restarts it because the database is away makes
// nothing better.
func (health) live(x *exchange) error { return x.send(well) }

// readyTimeout is how long a server may take to find out whether it is ready; those who ask do not wait long.
const readyTimeout = 2 * time.Second

func (h health) readiness(x *exchange) error {
	if h.ready == nil {
		return x.send(well)
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), readyTimeout)
	defer cancel()
	err := h.ready(ctx)
	if err == nil {
		return x.send(well)
	}
	reason := "the server is not ready; its log says why"
	var known *NotReady
	if errors.As(err, &known) {
		reason = known.Reason
	}
	return &problem{code: api.CodeUnavailable, detail: reason, cause: err}
}
