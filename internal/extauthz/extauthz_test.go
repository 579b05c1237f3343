package extauthz

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/gateway"
	"github.com/apikeyd/apikeyd/internal/gateway/gatewaytest"
	"github.com/apikeyd/apikeyd/internal/telemetry"
)

// kit is a server that runs, and a connection to it.
type kit struct {
	t      *testing.T
	world  *gatewaytest.World
	server *Server
	conn   *grpc.ClientConn
	log    *lockedBuffer
	lines  *telemetry.Writer
}

// lockedBuffer holds log lines; a server writes them at the same time.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newKit(t *testing.T, change func(*Options)) *kit {
	t.Helper()
	k := &kit{t: t, world: gatewaytest.New(t), log: new(lockedBuffer)}
	k.lines = telemetry.NewWriter(k.log)
	t.Cleanup(func() { k.lines.Close() })
	o := Options{Gateway: k.world.Gateway, Client: k.world.Client, RequestIDs: telemetry.NewRequestIDs(),
		Requests: telemetry.NewRequestLog(k.lines, telemetry.JSON, slog.LevelDebug), Metrics: telemetry.NewMetrics(telemetry.Build{}),
		Log: telemetry.NewLogger(k.lines, telemetry.JSON, slog.LevelDebug), LogChecks: true}
	if change != nil {
		change(&o)
	}
	k.server = New(o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- k.server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := k.server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	if k.conn, err = grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.conn.Close() })
	return k
}

// question is a message as Envoy sends it.
func (k *kit) question(c *gatewaytest.Case) *auth.CheckRequest {
	headers := map[string]string{":method": c.Method, ":path": c.Target, "x-apikey-id": "99"}
	for name, text := range map[string]string{headerAPIKey: k.world.Sent(c.APIKey), headerForwardedFor: c.ForwardedFor} {
		if text != "" {
			headers[name] = text
		}
	}
	if c.Bearer != "" {
		headers[headerAuthorization] = "Bearer " + k.world.Sent(c.Bearer)
	}
	source := &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{Address: gatewaytest.Proxy,
		PortSpecifier: &core.SocketAddress_PortValue{PortValue: 4711}}}}
	return &auth.CheckRequest{Attributes: &auth.AttributeContext{
		Source:  &auth.AttributeContext_Peer{Address: source},
		Request: &auth.AttributeContext_Request{Http: &auth.AttributeContext_HttpRequest{Method: c.Method, Path: c.Target, Headers: headers}},
	}}
}

func (k *kit) check(in *auth.CheckRequest) *auth.CheckResponse {
	k.t.Helper()
	out, err := auth.NewAuthorizationClient(k.conn).Check(k.t.Context(), in)
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

// headersOf returns headers by name, and fails the test where one does not overwrite what there is.
func headersOf(t *testing.T, list []*core.HeaderValueOption) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, o := range list {
		name := o.GetHeader().GetKey()
		if _, ok := all[name]; ok || o.GetAppendAction() != core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD || name != strings.ToLower(name) {
			t.Errorf("header %v", o)
		}
		all[name] = o.GetHeader().GetValue()
	}
	return all
}

// The decisions are those of every other way to ask, whichever way Envoy sends headers.
func TestCheckDecidesAsAllDo(t *testing.T) {
	k := newKit(t, nil)
	for _, c := range gatewaytest.Cases() {
		for _, raw := range []bool{false, true} {
			t.Run(c.Name, func(t *testing.T) {
				in := k.question(&c)
				if h := in.Attributes.Request.Http; raw {
					h.HeaderMap = new(core.HeaderMap)
					for name, text := range h.Headers {
						h.HeaderMap.Headers = append(h.HeaderMap.Headers, &core.HeaderValue{Key: name, RawValue: []byte(text)})
					}
					h.Headers = nil
				}
				judged(t, k.check(in), &c)
			})
		}
	}
}

// judged wants an answer to be that of a case.
func judged(t *testing.T, out *auth.CheckResponse, c *gatewaytest.Case) {
	t.Helper()
	denied, ok := out.GetDeniedResponse(), out.GetOkResponse()
	if c.Status == 200 {
		if out.GetStatus().GetCode() != int32(codes.OK) || ok == nil {
			t.Fatalf("answer %v", out)
		}
		headers := headersOf(t, ok.GetHeaders())
		for i, name := range identity {
			text, set := headers[name]
			removed := false
			for _, other := range ok.GetHeadersToRemove() {
				removed = removed || other == name
			}
			if want := c.Identity[i]; text != want || set == (want == "") || removed != (want == "") {
				t.Errorf("%s: %q, set %t, removed %t, want %q", name, text, set, removed, want)
			}
		}
		limits := headersOf(t, ok.GetResponseHeadersToAdd())
		if limits["ratelimit-policy"] != c.Policy || limits["ratelimit"] != c.State {
			t.Errorf("limits %q", limits)
		}
		return
	}
	if out.GetStatus().GetCode() == int32(codes.OK) || denied == nil || int(denied.GetStatus().GetCode()) != c.Status {
		t.Fatalf("answer %v, want %d", out, c.Status)
	}
	headers := headersOf(t, denied.GetHeaders())
	for name, want := range map[string]string{"www-authenticate": c.Challenge, "ratelimit-policy": c.Policy, "ratelimit": c.State, "retry-after": c.Retry,
		"content-type": "application/problem+json"} {
		if headers[name] != want {
			t.Errorf("%s: %q, want %q", name, headers[name], want)
		}
	}
	var problem api.Error
	if err := json.Unmarshal([]byte(denied.GetBody()), &problem); err != nil || problem.Status != c.Status || problem.Code.Status() != c.Status ||
		problem.Detail == "" || problem.RequestID == "" {
		t.Errorf("body %s, %v", denied.GetBody(), err)
	}
	if _, scope, ok := strings.Cut(c.Challenge, `scope="`); ok && !strings.Contains(problem.Detail, "the scope "+strings.TrimSuffix(scope, `"`)+",") {
		t.Errorf("%q does not say which scope the key lacks", problem.Detail)
	}
}

func TestCheckFailsClosed(t *testing.T) {
	k := newKit(t, nil)
	k.world.Away()
	c := gatewaytest.Case{Method: "GET", Target: "/x", Bearer: "admin", Status: 503, Retry: "1"}
	judged(t, k.check(k.question(&c)), &c)
	if err := k.lines.Flush(); err != nil {
		t.Fatal(err)
	}
	if log := k.log.String(); !strings.Contains(log, "the database is away") || strings.Contains(log, k.world.Token("admin")) {
		t.Errorf("log: %s", log)
	}
}

// What Envoy never sends is no reason to let a request through, or to end the server.
func TestCheckOfNothing(t *testing.T) {
	k := newKit(t, nil)
	for _, in := range []*auth.CheckRequest{
		{}, {Attributes: &auth.AttributeContext{}}, {Attributes: &auth.AttributeContext{Request: &auth.AttributeContext_Request{}}},
		{Attributes: &auth.AttributeContext{Request: &auth.AttributeContext_Request{Http: &auth.AttributeContext_HttpRequest{
			HeaderMap: &core.HeaderMap{Headers: []*core.HeaderValue{nil}}}}}},
	} {
		if out := k.check(in); out.GetDeniedResponse() == nil || out.GetStatus().GetCode() == int32(codes.OK) {
			t.Errorf("%v: %v", in, out)
		}
	}
}

func TestTwoLinesOfAHeader(t *testing.T) {
	k := newKit(t, nil)
	c := gatewaytest.Case{Method: "GET", Target: "/x", Bearer: "admin", Status: 401, Challenge: `Bearer realm="api", error="invalid_token"`}
	in := k.question(&c)
	h := in.Attributes.Request.Http
	h.Headers[headerAuthorization] += ",Bearer " + k.world.Token("reader")
	judged(t, k.check(in), &c)
	h.HeaderMap = &core.HeaderMap{Headers: []*core.HeaderValue{
		{Key: headerAuthorization, Value: "Bearer " + k.world.Token("admin")}, {Key: headerAuthorization, RawValue: []byte("Bearer " + k.world.Token("reader"))}}}
	judged(t, k.check(in), &c)
}

// The operator of an Envoy may say for a route which scope it needs.
func TestScopeOfARoute(t *testing.T) {
	k := newKit(t, nil)
	c := gatewaytest.Case{Method: "GET", Target: "/health", Bearer: "reader", Status: 403, Challenge: `Bearer error="insufficient_scope", scope="DELETE"`}
	in := k.question(&c)
	in.Attributes.ContextExtensions = map[string]string{"scope": "DELETE"}
	judged(t, k.check(in), &c)
	in.Attributes.ContextExtensions["scope"] = "delete"
	c.Status, c.Challenge = 400, ""
	judged(t, k.check(in), &c)
}

func TestCheckWantsTheVerifyToken(t *testing.T) {
	const secret = "correct-horse-battery-staple-0123456789"
	k := newKit(t, func(o *Options) { o.VerifyToken = func(presented string) bool { return presented == secret } })
	client := auth.NewAuthorizationClient(k.conn)
	in := k.question(&gatewaytest.Case{Method: "GET", Target: "/health"})
	for _, pair := range [][]string{nil, {"authorization", "Bearer x"}, {"authorization", secret}, {verifyTokenHeader, "x"}} {
		_, err := client.Check(metadata.AppendToOutgoingContext(t.Context(), pair...), in)
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("%q: %v", pair, err)
		}
	}
	for _, pair := range [][]string{{"authorization", "bearer " + secret}, {verifyTokenHeader, secret}} {
		if _, err := client.Check(metadata.AppendToOutgoingContext(t.Context(), pair...), in); err != nil {
			t.Errorf("%q: %v", pair[:1], err)
		}
	}
	if _, err := grpc_health_v1.NewHealthClient(k.conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
		t.Error(err)
	}
}

func TestAPanicEndsOneRequest(t *testing.T) {
	k := newKit(t, func(o *Options) { o.Gateway = new(gateway.Gateway) }) // without a checker
	in := k.question(&gatewaytest.Case{Method: "GET", Target: "/x", Bearer: "admin"})
	for range 2 {
		if _, err := auth.NewAuthorizationClient(k.conn).Check(t.Context(), in); status.Code(err) != codes.Internal {
			t.Errorf("error %v", err)
		}
	}
	if err := k.lines.Flush(); err != nil {
		t.Fatal(err)
	}
	if log := k.log.String(); strings.Count(log, `"msg":"panic"`) != 2 || strings.Contains(log, k.world.Token("admin")) {
		t.Errorf("log: %s", log)
	}
}

func TestAMessageThatIsTooLarge(t *testing.T) {
	k := newKit(t, nil)
	in := k.question(&gatewaytest.Case{Method: "GET", Target: "/x", Bearer: "admin"})
	in.Attributes.Request.Http.Headers["x-long"] = strings.Repeat("x", maxMessage)
	if _, err := auth.NewAuthorizationClient(k.conn).Check(t.Context(), in); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("error %v", err)
	}
	in.Attributes.Request.Http.Headers["x-long"] = strings.Repeat("x", 100<<10)
	if out := k.check(in); out.GetOkResponse() == nil {
		t.Errorf("answer %v", out)
	}
}

// Whoever asks for the server's health is told before it stops, and what is under way then is answered.
func TestHealthAndDrain(t *testing.T) {
	k := newKit(t, nil)
	health := grpc_health_v1.NewHealthClient(k.conn)
	for _, service := range []string{"", "envoy.service.auth.v3.Authorization"} {
		out, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
		if err != nil || out.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v, %v", service, out, err)
		}
	}
	watch, err := health.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	want := func(want grpc_health_v1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		if out, err := watch.Recv(); err != nil || out.GetStatus() != want {
			t.Errorf("health %v, %v; want %v", out, err, want)
		}
	}
	want(grpc_health_v1.HealthCheckResponse_SERVING)
	k.server.Drain()
	want(grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	c := gatewaytest.Case{Method: "GET", Target: "/health", Status: 200}
	judged(t, k.check(k.question(&c)), &c)

	// By itself a watch goes on for ever.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := k.server.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if _, err := watch.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the watch goes on: %v", err)
	}
}

// A server that is not ready is not healthy, for as long as it is not: others are asked meanwhile.
func TestHealthIsReadiness(t *testing.T) {
	var away atomic.Bool
	away.Store(true)
	k := newKit(t, func(o *Options) {
		o.Ready = func(context.Context) error {
			if away.Load() {
				return errors.New("the database cannot be read")
			}
			return nil
		}
	})
	var watches []grpc.ServerStreamingClient[grpc_health_v1.HealthCheckResponse]
	for _, service := range []string{"", "envoy.service.auth.v3.Authorization"} {
		w, err := grpc_health_v1.NewHealthClient(k.conn).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		watches = append(watches, w)
	}
	until := func(want grpc_health_v1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for _, w := range watches {
			for told := grpc_health_v1.HealthCheckResponse_UNKNOWN; told != want; {
				out, err := w.Recv()
				if err != nil {
					t.Fatalf("it is never %v: %v", want, err)
				}
				told = out.GetStatus()
			}
		}
	}
	until(grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	away.Store(false)
	k.server.tellReadiness(t.Context())
	until(grpc_health_v1.HealthCheckResponse_SERVING)

	k.server.Drain()
	k.server.tellReadiness(t.Context())
	out, err := grpc_health_v1.NewHealthClient(k.conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || out.GetStatus() != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("while it drains: %v, %v", out, err)
	}
}

// Who is not told in advance is told at the end. Nobody is waited for who watches a service that there is not.
func TestShutdownAtOnce(t *testing.T) {
	k := newKit(t, nil)
	health := grpc_health_v1.NewHealthClient(k.conn)
	var watches []grpc.ServerStreamingClient[grpc_health_v1.HealthCheckResponse]
	for range 20 {
		for _, service := range []string{"", "nobody's"} {
			w, err := health.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Recv(); err != nil {
				t.Fatal(err)
			}
			if service == "" {
				watches = append(watches, w)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := k.server.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	for _, w := range watches {
		if out, err := w.Recv(); err != nil || out.GetStatus() != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
			t.Errorf("health %v, %v", out, err)
		}
	}
}

// What is under way and does not end is cut off.
func TestShutdownCutsOff(t *testing.T) {
	asked, hold := make(chan struct{}), make(chan struct{})
	k := newKit(t, func(o *Options) {
		o.VerifyToken = func(string) bool {
			close(asked)
			<-hold
			return true
		}
	})
	answered := make(chan error, 1)
	go func() {
		ctx := metadata.AppendToOutgoingContext(t.Context(), verifyTokenHeader, "x")
		_, err := auth.NewAuthorizationClient(k.conn).Check(ctx, &auth.CheckRequest{})
		answered <- err
		close(hold) // who was cut off knows before what is under way ends
	}()
	<-asked
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := k.server.Shutdown(ctx); err != context.DeadlineExceeded {
		t.Errorf("shutdown: %v", err)
	}
	if err := <-answered; err == nil {
		t.Error("what was cut off is answered")
	}
}

func BenchmarkCheck(b *testing.B) {
	w := gatewaytest.New(b)
	lines := telemetry.NewWriter(io.Discard)
	defer lines.Close()
	c := &checker{Options: Options{Gateway: w.Gateway, Client: w.Client, RequestIDs: telemetry.NewRequestIDs(),
		Requests: telemetry.NewRequestLog(lines, telemetry.JSON, slog.LevelInfo), Metrics: telemetry.NewMetrics(telemetry.Build{}), LogChecks: true}}
	c.route, c.target = c.Metrics.Route(listener, method), telemetry.NewTarget(listener, "POST", path, method)
	k := &kit{world: w}
	in := k.question(&gatewaytest.Case{Method: "GET", Target: "/x", Bearer: "admin"})
	b.ReportAllocs()
	for b.Loop() {
		if out, err := c.Check(b.Context(), in); err != nil || out.GetOkResponse() == nil {
			b.Fatal(out, err)
		}
	}
}
