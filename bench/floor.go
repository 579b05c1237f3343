package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/apikeyd/apikeyd/internal/app"
)

// floorCommand makes this program a server that does nothing but speak HTTP; see serveFloor.
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

// serveFloor serves the floor of POST /v1/verify with the settings of the product's own listeners, in a process of its
// own as the product is, and says where in the same words. The argument is a file with the answer.
func serveFloor(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: bench floor FILE")
	}
	answer, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := app.NewServer(floorHandler(answer), slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	slog.New(slog.NewJSONHandler(stdout, nil)).Info("ready", "verify_listen", listener.Addr().String())
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	timeout, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return server.Shutdown(timeout)
}
