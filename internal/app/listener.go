package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/apikeyd/apikeyd/internal/config"
)

// listener is an address and the server behind it.
type listener struct {
	net    net.Listener
	server *http.Server
	name   string // as in the configuration
}

// socketMode lets the owner and the group connect: a service that checks keys can be put into the group.
const socketMode = 0o660

func (l *listener) open(ctx context.Context, a config.Address, t config.TLS, h http.Handler, log *slog.Logger) (err error) {
	l.name = a.String()
	l.server = NewServer(h, log)
	// ServeTLS adds the protocols it speaks, HTTP/2 among them, to the server's own configuration.
	l.net, l.server.TLSConfig, err = bind(ctx, a, t, log)
	return err
}

// bind takes an address. The configuration is that of a TLS server, nil without a certificate.
func bind(ctx context.Context, a config.Address, t config.TLS, log *slog.Logger) (net.Listener, *tls.Config, error) {
	failed := func(err error) (net.Listener, *tls.Config, error) {
		return nil, nil, fmt.Errorf("listen on %s: %w", a, err)
	}
	c := newCertificate(t, log)
	tlsConfig, err := t.Config()
	if err != nil {
		return failed(err)
	}
	if tlsConfig != nil {
		c.show(tlsConfig)
	}
	if a.Network == "unix" {
		if err := removeStaleSocket(ctx, a.Address); err != nil {
			return failed(err)
		}
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, a.Network, a.Address)
	if err != nil {
		return failed(err)
	}
	if a.Network == "unix" {
		if err := os.Chmod(a.Address, socketMode); err != nil {
			return failed(errors.Join(err, ln.Close()))
		}
	}
	return ln, tlsConfig, nil
}

// removeStaleSocket removes a socket that a killed server left behind. One that somebody answers on stays, as does
// whatever is no socket.
func removeStaleSocket(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("there is something that is no socket")
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return errors.Join(errors.New("somebody listens there already"), conn.Close())
	case errors.Is(err, syscall.ECONNREFUSED): // nobody does
		return os.Remove(path)
	default: // somebody may, and be busy
		return fmt.Errorf("there is a socket that cannot be tried: %w", err)
	}
}

func (l *listener) serve() error {
	var err error
	if l.server.TLSConfig != nil {
		err = l.server.ServeTLS(l.net, "", "")
	} else {
		err = l.server.Serve(l.net)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve on %s: %w", l.name, err)
}

func (l *listener) shutdown(ctx context.Context) error {
	err := l.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.Join(fmt.Errorf("%s: %w", l.name, errShutdownTimeout), l.server.Close())
	}
	return err
}

// close frees the address of a listener that was opened and perhaps never served.
func (l *listener) close() error { return closeListener(l.net) }

func closeListener(l net.Listener) error {
	if l == nil {
		return nil
	}
	if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// belowHTTP returns a logger for what net/http has to say for itself. Most of it is what clients do wrong, and of no
// interest. That no connection can be accepted, as when no more files may be opened, is the operator's business.
func belowHTTP(l *slog.Logger) *log.Logger {
	return log.New(lineWriter(func(line string) {
		level := slog.LevelDebug
		if strings.HasPrefix(line, "http: Accept error") { // net/http has nothing but the text to tell it by
			level = slog.LevelWarn
		}
		l.Log(context.Background(), level, line)
	}), "", 0)
}

// lineWriter is a function that takes the lines of a log.Logger.
type lineWriter func(line string)

// Write takes one line.
func (w lineWriter) Write(line []byte) (int, error) {
	w(strings.TrimSuffix(string(line), "\n"))
	return len(line), nil
}
