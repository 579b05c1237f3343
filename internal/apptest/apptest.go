// Package apptest starts a whole server in a test: a real database file, real listeners, the real program but for its
// command line.
//
//	s := apptest.Start(t, nil)
//	created, err := s.Client().CreateKey(t.Context(), …)
//
// The server is stopped when the test ends, cleanly, and a test fails where that does not succeed.
package apptest

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/app"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/telemetry"
)

// Server is a server that runs.
type Server struct {
	// ManagementURL and VerificationURL are the addresses of the listeners: "http://127.0.0.1:41234".
	ManagementURL   string
	VerificationURL string
	// GRPCAddress is where Envoy's external authorization is served, "" where it is not.
	GRPCAddress string
	// First is the user, organization and key that the database began with. Its token has every scope. It is zero where
	// the database was there before.
	First admin.Initialised
	// Log is what the server has logged so far.
	Log *Buffer

	t    testing.TB
	stop func()
}

// Options change what a server is started with; a nil *Options changes nothing.
type Options struct {
	// Config is called with the configuration: a new database, ports that the system chooses, text logs.
	Config func(*config.Config)
	// Now is the server's clock; nil: time.Now.
	Now func() time.Time
}

// Start starts a server with a new database and stops it at the end of the test.
func Start(t testing.TB, o *Options) *Server {
	t.Helper()
	c := config.Default(true)
	c.Database = config.Database{Path: filepath.Join(t.TempDir(), "apikeyd.db")}
	c.Listen = config.Address{Network: "tcp", Address: "127.0.0.1:0"}
	c.VerifyListen = config.Address{Network: "tcp", Address: "127.0.0.1:0"}
	c.LogLevel = slog.LevelDebug
	c.ShutdownTimeout = 10 * time.Second
	if o == nil {
		o = new(Options)
	}
	if o.Config != nil {
		o.Config(c)
	}

	s := &Server{t: t, Log: new(Buffer)}
	writer := telemetry.NewWriter(s.Log)
	format := telemetry.Format(c.LogFormat)
	a, err := app.Open(t.Context(), c, app.Options{
		Log:      telemetry.NewLogger(writer, format, c.LogLevel),
		Requests: telemetry.NewRequestLog(writer, format, c.LogLevel),
		LogLost:  writer.Lost,
		Build:    telemetry.ReadBuild("test", ""),
		Now:      o.Now,
	})
	if err != nil {
		t.Fatalf("start server: %v", err)
	}
	if done, err := a.Initialised(t.Context()); err != nil {
		t.Fatalf("start server: %v", err)
	} else if !done {
		if s.First, err = a.Initialise(t.Context(), "admin@example.com", "Example"); err != nil {
			t.Fatalf("start server: %v", err)
		}
	}
	s.ManagementURL = urlOf(c.Listen, c.TLS, a.ManagementAddr().String())
	if addr := a.GRPCAddr(); addr != nil {
		s.GRPCAddress = addr.String()
	}
	s.VerificationURL = urlOf(c.VerifyListen, c.VerifyTLS, a.VerificationAddr().String())

	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("run server: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("close server: %v", err)
		}
		if err := writer.Close(); err != nil {
			t.Errorf("close log: %v", err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

func urlOf(a config.Address, t config.TLS, bound string) string {
	switch {
	case a.Network == "unix":
		return "unix:" + a.Address
	case t.Enabled():
		return "https://" + bound
	default:
		return "http://" + bound
	}
}

// Stop stops the server as SIGTERM does, and returns when it is closed. The log is complete then.
func (s *Server) Stop() { s.stop() }

// Client returns a client of the management API that calls with the first key.
func (s *Server) Client() *client.Client { return s.ClientWith(s.First.Token.Reveal()) }

// ClientWith returns a client of the management API that calls with a token.
func (s *Server) ClientWith(token string) *client.Client {
	s.t.Helper()
	c, err := client.New(s.ManagementURL, client.WithAPIKey(token))
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// Verifier returns a client of the verification listener.
func (s *Server) Verifier() *client.Verifier {
	s.t.Helper()
	v, err := client.NewVerifier(s.VerificationURL)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// Buffer is a log in memory. It is safe for concurrent use.
type Buffer struct {
	mu   sync.Mutex
	data []byte
}

// Write adds p.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data = append(b.data, p...)
	return len(p), nil
}

// String returns what was written.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.data)
}
