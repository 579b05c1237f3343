package extauthz

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
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

// guardStream does so for those who watch the server's health.
func (c *checker) guardStream(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer func() {
		if v := recover(); v != nil {
			c.panicked(stream.Context(), v)
			err = errPanic
		}
	}()
	return next(service, stream)
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
