// Package extauthz answers Envoy's external authorization by gRPC: envoy.service.auth.v3.Authorization/Check, and the health service of
// gRPC. It takes requests apart and puts answers together; what is decided is package gateway's, as it is for /v1/authorize.
//
// An answer that lets a request through says whose the key is, and has Envoy remove what the client has written under the same names.
// Whatever goes wrong here is an error of gRPC's, which Envoy refuses the request for, unless it is told otherwise.
package extauthz

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/browser"
	"github.com/apikeyd/apikeyd/internal/gateway"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/telemetry"
)

// Options are what a Server is made of. Where nothing else is said, a field is required.
type Options struct {
	Gateway    *gateway.Gateway
	Client     browser.Client // finds out where a request came from
	RequestIDs *telemetry.RequestIDs
	Requests   *telemetry.RequestLog // a line for each request
	Metrics    *telemetry.Metrics
	Log        *slog.Logger
	// VerifyToken compares a token that a caller presented with those of the operator, in constant time. nil: no caller needs one.
	VerifyToken func(presented string) bool
	// LogChecks asks for a log line for each request that is allowed; those that are not have one in any case.
	LogChecks bool
	// Ready returns why requests cannot be answered now, for the health service; nil: they always can.
	Ready func(context.Context) error
	// TLS is nil for plain HTTP/2.
	TLS *tls.Config
}

// Bounds of what a caller may send, and for how long. A message holds all headers of a request; one that is larger is refused, and so
// is the request.
const (
	maxMessage    = 256 << 10 // bytes
	maxMetadata   = 16 << 10  // bytes
	maxStreams    = 1000      // at once on a connection
	handshakeTime = 5 * time.Second
	minPing       = 5 * time.Second  // between two of a caller's
	idlePing      = time.Minute      // after which we ask whether a caller is still there
	maxAge        = 30 * time.Minute // of a connection, so that callers come to know other nodes
)

// Server is a gRPC server that was not started yet, or that runs.
type Server struct {
	grpc   *grpc.Server
	health *health.Server
	ready  func(context.Context) error // nil: always
	ending context.Context             // ends when the server is to, with what would go on for as long as the server
	end    context.CancelFunc
}

// New returns a Server.
func New(o Options) *Server {
	ending, end := context.WithCancel(context.Background())
	c := &checker{Options: o, route: o.Metrics.Route(listener, method),
		target: telemetry.NewTarget(listener, http.MethodPost, path, method), ending: ending}
	options := []grpc.ServerOption{
		grpc.UnaryInterceptor(c.guard),
		grpc.StreamInterceptor(c.guardStream),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxMetadata),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: idlePing, MaxConnectionAge: maxAge}),
	}
	if o.VerifyToken != nil {
		options = append(options, grpc.ChainUnaryInterceptor(c.authenticate)) // behind the guard
	}
	if o.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(o.TLS)))
	}
	s := &Server{grpc: grpc.NewServer(options...), health: health.NewServer(), ready: o.Ready, ending: ending, end: end}
	auth.RegisterAuthorizationServer(s.grpc, c)
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	s.health.SetServingStatus(auth.Authorization_ServiceDesc.ServiceName, grpc_health_v1.HealthCheckResponse_SERVING)
	return s
}

// Serve answers until Shutdown, which makes it return nil, or until the listener fails.
func (s *Server) Serve(l net.Listener) error {
	var background sync.WaitGroup
	if s.ready != nil {
		background.Go(func() { s.followReadiness(s.ending) })
	}
	err := s.grpc.Serve(l)
	s.end()
	background.Wait()
	return err
}

// Drain says no to whoever asks for the server's health from now on, and goes on answering all else.
func (s *Server) Drain() { s.health.Shutdown() }

// Shutdown waits for requests under way, and cuts them off where ctx ends first, which is the error. Whoever watches the server's health
// is told, and not waited for.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	s.end()
	ended := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		s.grpc.Stop()
		<-ended
		return ctx.Err()
	}
}

// How metrics and the log call what is asked here.
const (
	listener = "grpc"
	method   = "Authorization/Check"
	path     = auth.Authorization_Check_FullMethodName
)

// checker is the service.
type checker struct {
	auth.UnimplementedAuthorizationServer
	Options
	route  *telemetry.Route
	target *telemetry.Target
	ending context.Context // ends when the server is to
}

// Check says whether a request may go to the API.
func (c *checker) Check(ctx context.Context, in *auth.CheckRequest) (*auth.CheckResponse, error) {
	began := time.Now()
	id := c.RequestIDs.Next()
	r, fault := c.request(in)
	if fault != "" {
		c.record(ctx, began, id, api.CodeMalformedRequest.Status(), &gateway.Judgement{}, api.CodeMalformedRequest)
		return refusal(&api.Error{Code: api.CodeMalformedRequest, Detail: fault, RequestID: id.String()}, nil, ""), nil
	}
	j := c.Gateway.Judge(ctx, &r)
	if j.Checked {
		c.Metrics.Check(j.Outcome)
	}
	var h gateway.Headers
	j.Headers(&h, nil)
	if j.Allowed() {
		c.record(ctx, began, id, http.StatusOK, &j, "")
		return permission(&h), nil
	}
	c.record(ctx, began, id, j.Code().Status(), &j, j.Code())
	return refusal(&api.Error{Code: j.Code(), Detail: j.Detail, RequestID: id.String()}, &h, j.Challenge()), nil
}

// The headers of a request that are looked at, as Envoy names them.
const (
	headerAuthorization = "authorization"
	headerAPIKey        = "x-api-key"
	headerForwardedFor  = "x-forwarded-for"
)

// scopeExtension is what the operator of an Envoy calls the scope that a route needs, in its context_extensions.
const scopeExtension = "scope"

// request takes the request that is asked about from the message. fault says what is wrong with the message.
func (c *checker) request(in *auth.CheckRequest) (r gateway.Request, fault string) {
	attributes := in.GetAttributes()
	h := attributes.GetRequest().GetHttp()
	r = gateway.Request{Method: h.GetMethod(), Target: h.GetPath(), IP: c.address(attributes)}
	r.Authorization, r.APIKey = lines(h, headerAuthorization), lines(h, headerAPIKey)
	if name, ok := attributes.GetContextExtensions()[scopeExtension]; ok {
		if r.Scope, ok = key.ParseScope(name); !ok {
			return r, "the scope in context_extensions must be one of " + key.ScopeList
		}
	}
	return r, ""
}

// lines returns the lines of a header. Envoy sends them one by one, or, which is the default, with commas between them. No key has a
// comma in it, so two keys in one line are none.
func lines(h *auth.AttributeContext_HttpRequest, name string) (found []string) {
	for _, header := range h.GetHeaderMap().GetHeaders() {
		if header.GetKey() != name {
			continue
		}
		if raw := header.GetRawValue(); len(raw) > 0 {
			found = append(found, string(raw))
		} else {
			found = append(found, header.GetValue())
		}
	}
	if line, ok := h.GetHeaders()[name]; ok && found == nil {
		return []string{line}
	}
	return found
}

// address returns where the request came from: the address that Envoy was called from, and where that is a trusted proxy, the one that
// it names.
func (c *checker) address(attributes *auth.AttributeContext) netip.Addr {
	text := attributes.GetSource().GetAddress().GetSocketAddress().GetAddress()
	if text == "" {
		return netip.Addr{}
	}
	from, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return c.Client.Behind(from.Unmap().WithZone(""), lines(attributes.GetRequest().GetHttp(), headerForwardedFor))
}

// record leaves what became of a request in the metrics and in the log.
func (c *checker) record(ctx context.Context, began time.Time, id telemetry.RequestID, status int, j *gateway.Judgement, code api.Code) {
	took := time.Since(began)
	c.route.Observe(status, took)
	level, text := slog.LevelInfo, string(code)
	switch {
	case status >= http.StatusInternalServerError:
		level = slog.LevelError
		c.Log.LogAttrs(ctx, level, "request failed", slog.String("request_id", id.String()), slog.String("code", text), slog.Any("error", j.Err))
	case code == "" && j.Checked:
		text = j.Outcome.String()
	}
	if code == "" && !c.LogChecks || !c.Requests.Enabled(level) {
		return
	}
	c.Requests.Log(&telemetry.Request{Target: c.target, Time: began.Add(took), Level: level, Status: status, Duration: took,
		RequestID: id, KeyID: j.KeyID(), Code: text})
}
