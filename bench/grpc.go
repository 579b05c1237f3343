package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	status "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/apikeyd/apikeyd/bench/internal/keyfile"
	"github.com/apikeyd/apikeyd/bench/internal/wrk"
)

// measureGRPC measures checks by gRPC of keys that are all in the cache.
func measureGRPC(ctx context.Context, b *bench) (_ []figure, err error) {
	var floor, ours contestant
	defer func() { err = errors.Join(err, stopAll(&floor, &ours)) }()
	if ours.server, err = b.startCached(ctx, "--grpc-listen", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if floor.server, err = b.startFloor(ctx, "grpc", nil); err != nil {
		return nil, err
	}
	if err := b.compete(ctx, mix{way: byCheck}, &floor, &ours); err != nil {
		return nil, err
	}
	return ours.figures("gRPC `Check`, keys in cache", floor, promise{share: 0.85}), nil
}

// yes lets every request through. A server of gRPC cannot do less.
type yes struct {
	auth.UnimplementedAuthorizationServer
}

var allowed = &auth.CheckResponse{Status: &status.Status{Code: int32(codes.OK)}}

// Check answers OK.
func (yes) Check(context.Context, *auth.CheckRequest) (*auth.CheckResponse, error) {
	return allowed, nil
}

// grpcFloor is a server that can be shut down like one of HTTP.
type grpcFloor struct{ *grpc.Server }

// Shutdown waits for requests under way. There are none where it is called.
func (g grpcFloor) Shutdown(context.Context) error {
	g.GracefulStop()
	return nil
}

// An Envoy has a connection for each of its threads.
const (
	envoyThreads = 4
	envoyCallers = wrk.Connections / envoyThreads
)

// checkTogether asks at an address as an Envoy with a few threads does, with so many keys, for a while. Every answer must be OK.
func checkTogether(ctx context.Context, address string, keys int64, d time.Duration) (r wrk.Result, err error) {
	var all sync.WaitGroup
	took, errs := make([][]float64, wrk.Connections), make([]error, wrk.Connections)
	began := time.Now()
	for thread := range envoyThreads {
		conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return r, err
		}
		defer conn.Close()
		client := auth.NewAuthorizationClient(conn)
		for i := thread * envoyCallers; i < (thread+1)*envoyCallers; i++ {
			all.Go(func() {
				first := int64(i) * keys / wrk.Connections // they begin at different places
				for n := first; errs[i] == nil && time.Since(began) < d; n++ {
					asked := time.Now()
					errs[i] = check(ctx, client, 1+n%keys)
					took[i] = append(took[i], float64(time.Since(asked).Microseconds()))
				}
			})
		}
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return r, err
	}
	var together []float64
	for _, t := range took {
		together = append(together, t...)
	}
	return wrk.Result{Requests: int64(len(together)), DurationUS: time.Since(began).Microseconds(),
		P50US: int64(percentile(together, 50)), P99US: int64(percentile(together, 99))}, nil
}

// check asks about a request with a key.
func check(ctx context.Context, client auth.AuthorizationClient, id int64) error {
	answer, err := client.Check(ctx, checkRequest(id))
	if err == nil && answer.GetStatus().GetCode() != int32(codes.OK) {
		err = fmt.Errorf("a request with key %d is refused: %v", id, answer.GetStatus())
	}
	return err
}

// checkRequest is what Envoy says of a request, as far as every one has it.
func checkRequest(id int64) *auth.CheckRequest {
	text := keyfile.Token(id)
	return &auth.CheckRequest{Attributes: &auth.AttributeContext{
		Source:      peer("203.0.113.9", 51234),
		Destination: peer("192.0.2.1", 443),
		Request: &auth.AttributeContext_Request{Http: &auth.AttributeContext_HttpRequest{
			Id: "7265386130193418521", Method: "GET", Path: requested, Host: "api.example.com", Scheme: "https", Protocol: "HTTP/2",
			Headers: map[string]string{
				":authority": "api.example.com", ":method": "GET", ":path": requested, ":scheme": "https",
				"accept": "*/*", "authorization": "Bearer " + string(text[:]), "user-agent": "curl/8.14.1",
				"x-forwarded-proto": "https", "x-request-id": "0b0f0d8e-7a8e-4c07-9a6d-0f4c8f3f2d61",
			},
		}},
	}}
}

func peer(address string, port uint32) *auth.AttributeContext_Peer {
	return &auth.AttributeContext_Peer{Address: &core.Address{Address: &core.Address_SocketAddress{
		SocketAddress: &core.SocketAddress{Address: address, PortSpecifier: &core.SocketAddress_PortValue{PortValue: port}}}}}
}
