package app

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/extauthz"
)

// grpcListener is the address of Envoy's external authorization, and the server behind it. The zero value is none, and does nothing.
type grpcListener struct {
	net    net.Listener
	server *extauthz.Server
	name   string // as in the configuration
}

func (l *grpcListener) open(ctx context.Context, c *config.Config, o extauthz.Options) (err error) {
	if c.GRPCListen == (config.Address{}) {
		return nil
	}
	l.name = c.GRPCListen.String()
	if l.net, o.TLS, err = bind(ctx, c.GRPCListen, c.GRPCTLS, o.Log); err != nil {
		return err
	}
	l.server = extauthz.New(o)
	return nil
}

// addr is where it listens, nil where it does not.
func (l *grpcListener) addr() net.Addr {
	if l.net == nil {
		return nil
	}
	return l.net.Addr()
}

func (l *grpcListener) serve() error {
	if err := l.server.Serve(l.net); err != nil {
		return fmt.Errorf("serve on %s: %w", l.name, err)
	}
	return nil
}

// drain says no to whoever asks for the server's health.
func (l *grpcListener) drain() {
	if l.server != nil {
		l.server.Drain()
	}
}

func (l *grpcListener) shutdown(ctx context.Context) error {
	if l.server == nil {
		return nil
	}
	err := l.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", l.name, errShutdownTimeout)
	}
	return err
}

func (l *grpcListener) close() error { return closeListener(l.net) }
