package client_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

// echo changes the protocol of a connection, and then says what it hears.
func echo(t *testing.T, protocol string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 || r.Method+" "+r.URL.Path != "GET /v1/subscribe" || r.Header.Get("Connection") != "Upgrade" ||
			r.Header.Get("Upgrade") != api.SubscriptionProtocol || r.Header.Get("Authorization") != "Bearer sesame-sesame" {
			t.Errorf("%s %s %s with %v", r.Proto, r.Method, r.URL, r.Header)
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+protocol+"\r\n\r\n")
		_, _ = io.Copy(conn, buffered)
	}
}

// The connection is HTTP/1.1's, whatever the server offers, and outlives the time limit of a verification and the context.
func TestSubscribe(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){
		"plain": (*httptest.Server).Start,
		"TLS":   func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() },
	} {
		s := httptest.NewUnstartedServer(echo(t, api.SubscriptionProtocol))
		start(s)
		defer s.Close()
		h := s.Client()
		h.Timeout = 300 * time.Millisecond
		v, err := client.NewVerifier(s.URL, client.WithVerifyToken("sesame-sesame"), client.WithHTTPClient(h))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := v.Subscribe(ctx)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		cancel()
		time.Sleep(2 * h.Timeout)
		if _, err := io.WriteString(stream, "hello\n"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if line, err := bufio.NewReader(stream).ReadString('\n'); err != nil || line != "hello\n" {
			t.Errorf("%s: %q, %v", name, line, err)
		}
		if err := stream.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSubscribeIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		is     error // nil: any
	}{
		{"unauthenticated", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(401)
			_, _ = w.Write((&api.Error{Code: api.CodeUnauthenticated, Status: 401, Detail: "sesame-sesame"}).JSON())
		}, api.ErrUnauthenticated},
		{"a proxy that knows nothing of it", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, nil},
		{"a success", func(http.ResponseWriter, *http.Request) {}, nil},
		{"another protocol", echo(t, "websocket"), nil},
	} {
		s := httptest.NewServer(tt.answer)
		defer s.Close()
		v, err := client.NewVerifier(s.URL, client.WithVerifyToken("sesame-sesame"))
		if err != nil {
			t.Fatal(err)
		}
		stream, err := v.Subscribe(t.Context())
		if stream != nil || err == nil || tt.is != nil && !errors.Is(err, tt.is) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: %v, %v", tt.name, stream, err)
		}
	}
}
