package extauthz

import (
	"context"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/health/grpc_health_v1"
)

const (
	// readyInterval is how far the health service may be behind.
	readyInterval = time.Second
	// readyTimeout is how long a server may take to find out whether it is ready.
	readyTimeout = 2 * time.Second
)

// followReadiness has the health service say whether requests can be answered, until ctx ends. Whoever asks is not made wait for it.
func (s *Server) followReadiness(ctx context.Context) {
	tick := time.NewTicker(readyInterval)
	defer tick.Stop()
	for {
		s.tellReadiness(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// tellReadiness finds it out once. After Drain, it changes nothing.
func (s *Server) tellReadiness(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	health := grpc_health_v1.HealthCheckResponse_SERVING
	if s.ready(ctx) != nil {
		health = grpc_health_v1.HealthCheckResponse_NOT_SERVING
	}
	for _, service := range []string{"", auth.Authorization_ServiceDesc.ServiceName} {
		s.health.SetServingStatus(service, health)
	}
}
