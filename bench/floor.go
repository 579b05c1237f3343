package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"

	"github.com/apikeyd/apikeyd/internal/app"
)

// floorCommand makes this program a server that does next to nothing; see serveFloor.
const floorCommand = "floor"

// floorHandler reads the body of each request and writes a fixed answer. No server on net/http can do less.
func floorHandler(answer []byte) http.Handler {
	contentType := []string{"application/json"}
	length := []string{strconv.Itoa(len(answer))}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		h := w.Header()
		h["Content-Type"] = contentType // else net/http would look through the answer for it
		h["Content-Length"] = length
		_, _ = w.Write(answer) // a caller who is gone does not miss it
	})
}

// allowingHandler allows every request, with the same headers.
func allowingHandler(headers http.Header) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { maps.Copy(w.Header(), headers) })
}

// floorServer is what serves, until it is shut down.
type floorServer interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}

// newFloor returns the floor with a name: of POST /v1/verify, of GET /v1/authorize, and of Check by gRPC, which needs no answer. Those
// of HTTP have the settings of the product's own listeners.
func newFloor(which string, answer []byte) (floorServer, error) {
	switch which {
	case "verify":
		return app.NewServer(floorHandler(answer), slog.New(slog.DiscardHandler)), nil
	case "authorize":
		var headers http.Header
		if err := json.Unmarshal(answer, &headers); err != nil {
			return nil, err
		}
		return app.NewServer(allowingHandler(headers), slog.New(slog.DiscardHandler)), nil
	case "grpc":
		s := grpc.NewServer()
		auth.RegisterAuthorizationServer(s, yes{})
		return grpcFloor{s}, nil
	default:
		return nil, fmt.Errorf("there is no floor %q", which)
	}
}

// serveFloor serves a floor in a process of its own, as the product is, and says where in the same words. The arguments are the name
// of the floor and a file with the answer.
func serveFloor(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) != 2 {
		return errors.New("usage: bench floor NAME FILE")
	}
	answer, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	server, err := newFloor(args[0], answer)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	address := listener.Addr().String()
	slog.New(slog.NewJSONHandler(stdout, nil)).Info("ready", "verify_listen", address, "grpc_listen", address)
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	timeout, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return server.Shutdown(timeout)
}
