package extauthz

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/apikeyd/apikeyd/internal/credential"
)

// errPanic is all that a caller learns; Envoy refuses the request for it.
var errPanic = status.Error(codes.Internal, "the server made a mistake; its log says which")

// guard turns a panic into an error, so that it ends one request and not the server.
func (c *checker) guard(ctx context.Context, in any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (out any, err error) {
	defer func() {
		if v := recover(); v != nil {
			c.panicked(ctx, v)
			out, err = nil, errPanic
		}
	}()
	return next(ctx, in)
}

// guardStream does so for those who watch the server's health, and ends what they wait for with the server: by itself it would not end.
func (c *checker) guardStream(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer func() {
		if v := recover(); v != nil {
			c.panicked(stream.Context(), v)
			err = errPanic
		}
	}()
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(c.ending, cancel)()
	w := &watch{ServerStream: stream, ctx: ctx}
	err = next(service, w)
	if c.ending.Err() == nil {
		return err
	}
	if w.told == grpc_health_v1.HealthCheckResponse_SERVING { // the end may have come first
		if err := w.SendMsg(&grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_NOT_SERVING}); err != nil {
			return err
		}
	}
	return errEnding
}

// errEnding ends a watch with the server.
var errEnding = status.Error(codes.Unavailable, "the server is told to stop")

// watch is the stream of one who watches the server's health.
type watch struct {
	grpc.ServerStream
	ctx  context.Context
	told grpc_health_v1.HealthCheckResponse_ServingStatus // the last that was sent
}

// Context returns that of the stream, which ends with the server as well.
func (w *watch) Context() context.Context { return w.ctx }

// SendMsg sends a message.
func (w *watch) SendMsg(m any) error {
	if health, ok := m.(*grpc_health_v1.HealthCheckResponse); ok {
		w.told = health.GetStatus()
	}
	return w.ServerStream.SendMsg(m)
}

// panicked logs a panic. Neither the request nor the values on the stack are printed: a key is among them.
func (c *checker) panicked(ctx context.Context, v any) {
	c.Log.LogAttrs(ctx, slog.LevelError, "panic", slog.String("listener", listener), slog.String("panic", fmt.Sprint(v)),
		slog.String("stack", stack()))
}

// stack returns where the panic came from, a line for each function: names and places without arguments.
func stack() string {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(4, callers)])
	var b strings.Builder
	for {
		f, more := frames.Next()
		fmt.Fprintf(&b, "%s %s:%d\n", f.Function, f.File, f.Line)
		if !more {
			return b.String()
		}
	}
}

// verifyTokenHeader may carry the operator's token, as it does by HTTP; so may authorization, because the client's key is in the message.
const verifyTokenHeader = "x-apikeyd-verify-token"

// authenticate asks a caller for one of the operator's tokens. Whoever asks for the server's health needs none.
func (c *checker) authenticate(ctx context.Context, in any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if info.FullMethod != path {
		return next(ctx, in)
	}
	for _, text := range metadata.ValueFromIncomingContext(ctx, verifyTokenHeader) {
		if c.VerifyToken(text) {
			return next(ctx, in)
		}
	}
	for _, line := range metadata.ValueFromIncomingContext(ctx, headerAuthorization) {
		if text, ok := credential.CutBearer(line); ok && c.VerifyToken(text) {
			return next(ctx, in)
		}
	}
	return nil, status.Error(codes.Unauthenticated, "this listener wants the bearer token that its operator has set")
}
