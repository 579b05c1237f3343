package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/telemetry"
)

// server takes requests through the steps that all routes of a listener have in common.
type server struct {
	routes       table
	authenticate func(*exchange) error // nil: nobody is asked
	client       *browser.Client       // finds out where a request came from; nil: nobody wants to know
	verify       *route                // found without a search
	authorize    *route                // so, too
	noRoute      *route                // stands for what is not in the table
	nowhere      http.Handler          // what browsers are shown there; nil: an error as programs read it
	listener     string                // as the log calls it
	ids          *telemetry.RequestIDs
	log          *slog.Logger
	requests     *telemetry.RequestLog
	logChecks    bool
	exchanges    sync.Pool
}

func newServer(o Options, listener string, routes []route, authenticate func(*exchange) error) *server {
	s := &server{
		routes:       newTable(routes, listener, o.Metrics),
		authenticate: authenticate,
		noRoute:      &route{metrics: o.Metrics.Route(listener, unmatched)},
		listener:     listener,
		ids:          o.RequestIDs,
		log:          o.Log,
		requests:     o.Requests,
		logChecks:    o.LogChecks,
		exchanges:    sync.Pool{New: func() any { return new(exchange) }},
	}
	for _, r := range s.routes {
		switch r.pattern {
		case verifyPath:
			s.verify = r
		case authorizePath:
			s.authorize = r
		}
	}
	return s
}

// ServeHTTP answers one request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := s.exchanges.Get().(*exchange)
	x.w, x.r, x.route, x.began = w, r, s.noRoute, time.Now()
	s.identify(x)
	defer s.end(x)
	if err := s.handle(x); err != nil {
		x.fail(err)
	}
}

// handle takes a request through the steps, in the order in which they are judged.
func (s *server) handle(x *exchange) error {
	if s.verify != nil && x.r.Method == http.MethodPost && x.r.URL.Path == verifyPath {
		x.route = s.verify
	} else if s.authorizes(x.r) {
		x.route = s.authorize
	} else if found, w, err := s.routes.find(x.r.Method, x.r.URL); err != nil {
		if s.nowhere != nil && opensPage(x.r) {
			return foreign(s.nowhere)(x)
		}
		return err
	} else {
		x.route, x.wildcards = found, w
		if s.authorize != nil && found.method == http.MethodGet && judgesElsewhere(x.r.Header) {
			return &problem{code: api.CodeForbidden, detail: "whether somebody else's request may go on is asked at " + authorizePath +
				"; leave out X-Forwarded-Method and X-Forwarded-Uri here"}
		}
	}
	if s.client != nil {
		x.caller = admin.Caller{IP: s.client.Address(x.r), RequestID: x.id}
	}
	if s.authenticate != nil && !x.route.public {
		if err := s.authenticate(x); err != nil {
			return err
		}
	}
	if x.route.writes && !acceptsJSON(x.r.Header) {
		return &problem{code: api.CodeNotAcceptable, detail: "the answer is " + typeJSON + ", which the header Accept rules out"}
	}
	if x.route.consumes != nil {
		if err := x.receive(); err != nil {
			return err
		}
	}
	return x.route.serve(x)
}

// opensPage reports whether a request is that of a browser that somebody has sent to an address.
func opensPage(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && !strings.HasPrefix(r.URL.Path, "/v1/") &&
		strings.Contains(r.Header.Get("Accept"), "text/html")
}

// authorizes reports whether a request is for the route that takes every method.
func (s *server) authorizes(r *http.Request) bool {
	if s.authorize == nil {
		return false
	}
	_, ok := cutAuthorize(r)
	return ok
}

// end is deferred, so that a request ends in the log whatever has become of it.
func (s *server) end(x *exchange) {
	v := recover()
	switch {
	case v == nil:
	case v == http.ErrAbortHandler: // a handler's way to hang up
		s.record(x)
		panic(v)
	default:
		// Neither the request nor the values on the stack are printed: a digest is among them.
		s.log.LogAttrs(context.Background(), slog.LevelError, "panic", slog.String("request_id", x.id),
			slog.String("panic", fmt.Sprint(v)), slog.String("stack", stack()))
		begun := x.status != 0
		x.fail(errPanic)
		if begun {
			s.record(x)
			panic(http.ErrAbortHandler) // half an answer must not look like a whole one
		}
	}
	s.record(x)
	if v == nil { // after a panic somebody may still hold it
		x.reset()
		s.exchanges.Put(x)
	}
}

// stack returns where the panic came from, a line for each function: names and places without arguments.
func stack() string {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers)])
	var b strings.Builder
	for {
		f, more := frames.Next()
		fmt.Fprintf(&b, "%s %s:%d\n", f.Function, f.File, f.Line)
		if !more {
			return b.String()
		}
	}
}

var errPanic = errors.New("panic, see the log line above")
