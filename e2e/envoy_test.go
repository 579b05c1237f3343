package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authz "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	mutation "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3" // for whoever reads the file
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3" // so, too
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/gateway"
)

// envoyFilter reads a published configuration as Envoy does, by its own messages and their rules, and returns how it asks.
func envoyFilter(t *testing.T, name string) *authz.ExtAuthz {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	var config bootstrap.Bootstrap
	if err := protojson.Unmarshal(asJSON, &config); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := config.ValidateAll(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var manager hcm.HttpConnectionManager
	if err := config.GetStaticResources().GetListeners()[0].GetFilterChains()[0].GetFilters()[0].GetTypedConfig().UnmarshalTo(&manager); err != nil {
		t.Fatal(err)
	}
	if err := manager.ValidateAll(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if a := manager.GetCommonHttpProtocolOptions().GetHeadersWithUnderscoresAction(); a != core.HttpProtocolOptions_DROP_HEADER {
		t.Errorf("%s: of headers with underscores: %v", name, a)
	}
	if u := manager.GetUpgradeConfigs(); len(u) != 1 || u[0].GetUpgradeType() != "websocket" {
		t.Errorf("%s: upgrades %v", name, u)
	}
	var filter authz.ExtAuthz
	var before mutation.HeaderMutation
	for _, f := range manager.GetHttpFilters() {
		var err error
		switch f.GetName() {
		case "envoy.filters.http.ext_authz":
			err = f.GetTypedConfig().UnmarshalTo(&filter)
		case "envoy.filters.http.header_mutation":
			err = f.GetTypedConfig().UnmarshalTo(&before)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := before.ValidateAll(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var removed []string
	set := map[string]string{}
	for _, m := range before.GetMutations().GetRequestMutations() {
		if a := m.GetAppend(); a.GetAppendAction() == core.HeaderValueOption_OVERWRITE_IF_EXISTS {
			set[a.GetHeader().GetKey()] = a.GetHeader().GetValue()
		} else {
			removed = append(removed, m.GetRemove())
		}
	}
	if len(removed) != gateway.IdentityCount || len(set) != 1 || set["connection"] != "upgrade" {
		t.Errorf("%s: before the judge %q are removed, and set %v", name, removed, set)
	}
	if err := filter.ValidateAll(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if filter.GetFailureModeAllow() || !filter.GetEncodeRawHeaders() || filter.GetTransportApiVersion() != core.ApiVersion_V3 {
		t.Errorf("%s: %v", name, &filter)
	}
	return &filter
}

// allowedHeaders returns those of a client's headers that the filter passes on.
func allowedHeaders(filter *authz.ExtAuthz, sent http.Header) http.Header {
	passed := http.Header{}
	for _, p := range filter.GetAllowedHeaders().GetPatterns() {
		for name, lines := range sent {
			if strings.EqualFold(name, p.GetExact()) {
				passed[name] = lines
			}
		}
	}
	return passed
}

// envoyRequests are requests of an Envoy's clients, each with the status that the client gets.
var envoyRequests = []struct {
	method, target string
	by             string // "reader", "nobody"
	header         http.Header
	status         int
}{
	{"GET", "/x?y=z", "reader", nil, 200},
	{"GET", "/", "reader", nil, 200},
	{"GET", "/x", "nobody", nil, 401},
	{"DELETE", "/x", "reader", nil, 403},
	{"DELETE", "/x?scope=READ&limited=403", "reader", nil, 403},
	{"GET", "/health", "nobody", nil, 200},
	{"GET", "/admin/x", "reader", nil, 403},
	{"GET", "/admin/x", "reader", http.Header{"X-Forwarded-Uri": {"/health"}, "X-Original-Uri": {"/health"}}, 403},
	{"DELETE", "/x", "reader", http.Header{"X-Forwarded-Method": {"GET"}}, 403},
	{"GET", "/health/../admin/x", "reader", nil, 403},
	{"GET", "//admin/x", "reader", nil, 403},
	{"GET", "/admin%2Fx", "reader", nil, 403},
	{"POST", "/search", "reader", nil, 200},
}

// TestEnvoy asks as Envoy does with the published configurations: by HTTP, with the path appended to the prefix, and by gRPC.
func TestEnvoy(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	writeFile(t, filepath.Join(folder, "apikeyd.toml"), "grpc-listen = \"127.0.0.1:0\"\n"+proxyRules)
	s := serve(t, folder, "--config", "apikeyd.toml")
	reader, err := s.client(s.token).CreateKey(t.Context(), draft("reader"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(grpcAddress(s), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	byHTTP, byGRPC := envoyFilter(t, "envoy-http.yaml"), envoyFilter(t, "envoy-grpc.yaml")
	if byGRPC.GetGrpcService().GetEnvoyGrpc().GetClusterName() != "apikeyd" {
		t.Errorf("by gRPC: %v", byGRPC)
	}
	for _, c := range envoyRequests {
		sent := http.Header{}
		for name, lines := range c.header {
			sent[name] = lines
		}
		if c.by == "reader" {
			sent.Set("Authorization", "Bearer "+reader.Token)
		}
		identity := map[string]string{}
		if c.by == "reader" && c.status == 200 {
			identity = map[string]string{"x-apikey-id": fmt.Sprint(reader.KeyID), "x-apikey-scope": "READ"}
		}
		name := fmt.Sprintf("%s %s by %s", c.method, c.target, c.by)

		status, header := askByHTTP(t, s.verification, c.method, byHTTP.GetHttpService().GetPathPrefix()+c.target, allowedHeaders(byHTTP, sent))
		if status != c.status {
			t.Errorf("%s, by HTTP: %d, want %d", name, status, c.status)
		}
		for _, h := range gateway.Identity {
			if want, ok := identity[strings.ToLower(h)]; len(header[h]) != 1 || ok && header.Get(h) != want {
				t.Errorf("%s, by HTTP: %s is %q", name, h, header[h])
			}
		}

		out, err := auth.NewAuthorizationClient(conn).Check(t.Context(), asEnvoy(c.method, c.target, allowedHeaders(byGRPC, sent)))
		if err != nil {
			t.Fatal(err)
		}
		got := 200
		if out.GetStatus().GetCode() != int32(codes.OK) {
			got = int(out.GetDeniedResponse().GetStatus().GetCode())
		}
		if got != c.status {
			t.Errorf("%s, by gRPC: %d, want %d", name, got, c.status)
		}
		set := map[string]string{}
		for _, h := range out.GetOkResponse().GetHeaders() {
			set[h.GetHeader().GetKey()] = h.GetHeader().GetValue()
		}
		for h, want := range identity {
			if set[h] != want {
				t.Errorf("%s, by gRPC: %s is %q, want %q", name, h, set[h], want)
			}
		}
	}

	// It drains with the rest: whoever watches is told, and the process ends.
	watch, err := grpc_health_v1.NewHealthClient(conn).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGTERM)
	if out, err := watch.Recv(); err != nil || out.GetStatus() != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health after SIGTERM: %v, %v", out, err)
	}
	if _, err := watch.Recv(); err == nil {
		t.Error("the watch goes on")
	}
	if code := s.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

var grpcListen = regexp.MustCompile(`"grpc_listen":"([^"]+)"`)

// grpcAddress returns where a server says that it answers Envoy.
func grpcAddress(s *server) string {
	found := grpcListen.FindSubmatch(s.stderr.bytes())
	if found == nil {
		s.t.Fatalf("the server does not say where it answers Envoy:\n%s", s.stderr)
	}
	return string(found[1])
}

// askByHTTP sends a request whose target stands as it is, and returns status and headers of the answer.
func askByHTTP(t *testing.T, base, method, target string, header http.Header) (int, http.Header) {
	t.Helper()
	f := &fronted{t: t, proxy: strings.TrimPrefix(base, "http://")}
	var lines []string
	for name, all := range header {
		for _, line := range all {
			lines = append(lines, name+": "+line)
		}
	}
	resp := f.request(method+" "+target+"\n"+strings.Join(append(lines, "Content-Length: 0"), "\n"), nil)
	if resp == nil {
		t.Fatalf("%s %s: no answer", method, target)
	}
	return resp.StatusCode, resp.Header
}

// asEnvoy puts a message together as Envoy does where it encodes headers one by one.
func asEnvoy(method, target string, header http.Header) *auth.CheckRequest {
	h := &auth.AttributeContext_HttpRequest{Method: method, Path: target, HeaderMap: new(core.HeaderMap), Scheme: "http", Protocol: "HTTP/1.1"}
	for name, lines := range header {
		for _, line := range lines {
			h.HeaderMap.Headers = append(h.HeaderMap.Headers, &core.HeaderValue{Key: strings.ToLower(name), RawValue: []byte(line)})
		}
	}
	source := &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{Address: "127.0.0.1"}}}
	return &auth.CheckRequest{Attributes: &auth.AttributeContext{Source: &auth.AttributeContext_Peer{Address: source},
		Request: &auth.AttributeContext_Request{Http: h}}}
}

// TestTraefik asks as Traefik's ForwardAuth does with the published configuration.
func TestTraefik(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	writeFile(t, filepath.Join(folder, "apikeyd.toml"), proxyRules)
	s := serve(t, folder, "--config", "apikeyd.toml")
	reader, err := s.client(s.token).CreateKey(t.Context(), api.NewKey{KeyName: "reader", KeyScope: []api.Scope{api.ScopeRead}, OrganizationID: 1})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(repository, "deploy", "traefik.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		HTTP struct {
			Routers     map[string]struct{ Middlewares []string }
			Middlewares map[string]struct {
				ForwardAuth struct {
					Address             string   `yaml:"address"`
					TrustForwardHeader  *bool    `yaml:"trustForwardHeader"`
					AuthRequestHeaders  []string `yaml:"authRequestHeaders"`
					AuthResponseHeaders []string `yaml:"authResponseHeaders"`
				} `yaml:"forwardAuth"`
				Headers struct {
					CustomRequestHeaders map[string]string `yaml:"customRequestHeaders"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	f := config.HTTP.Middlewares["apikeyd"].ForwardAuth
	path, ok := strings.CutPrefix(f.Address, "http://127.0.0.1:8081")
	if !ok || f.TrustForwardHeader == nil || *f.TrustForwardHeader {
		t.Fatalf("configuration %+v", config)
	}
	for name, last := range map[string]string{"api": "plain", "websocket": "upgrade"} {
		if all := config.HTTP.Routers[name].Middlewares; strings.Join(all, " ") != "apikeyd spelling "+last {
			t.Errorf("before %s stand %q", name, all)
		}
	}
	if strings.Join(f.AuthResponseHeaders, " ") != strings.Join(gateway.Identity[:], " ") {
		t.Errorf("headers %q", f.AuthResponseHeaders)
	}
	written := config.HTTP.Middlewares["spelling"].Headers.CustomRequestHeaders
	for _, name := range gateway.Identity {
		for _, spelled := range underscored(name) {
			if text, ok := written[spelled]; spelled != name && (!ok || text != "") {
				t.Errorf("a client's %s stays", spelled)
			}
		}
	}
	for _, c := range envoyRequests {
		sent := http.Header{}
		for _, name := range f.AuthRequestHeaders {
			if strings.EqualFold(name, "Authorization") && c.by == "reader" {
				sent.Set(name, "Bearer "+reader.Token)
			}
		}
		sent["X-Forwarded-Method"], sent["X-Forwarded-Uri"], sent["X-Forwarded-For"] = []string{c.method}, []string{c.target}, []string{"203.0.113.9"}
		if status, _ := askByHTTP(t, s.verification, "GET", path, sent); status != c.status {
			t.Errorf("%s %s by %s: %d, want %d", c.method, c.target, c.by, status, c.status)
		}
	}
}

// underscored returns a name with some, all or none of its hyphens written as underscores.
func underscored(name string) []string {
	before, rest, more := strings.Cut(name, "-")
	if !more {
		return []string{name}
	}
	var all []string
	for _, s := range underscored(rest) {
		all = append(all, before+"-"+s, before+"_"+s)
	}
	return all
}

// TestGRPCOverASocket has Envoy ask over a unix socket, which permissions guard.
func TestGRPCOverASocket(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--grpc-listen", "unix:grpc.sock")
	path := grpcAddress(s)
	if info, err := os.Stat(filepath.Join(s.folder, path)); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("socket %v, %v", info, err)
	}
	conn, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", filepath.Join(s.folder, path))
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	out, err := auth.NewAuthorizationClient(conn).Check(t.Context(), asEnvoy("GET", "/x", http.Header{"X-Api-Key": {s.token}}))
	if err != nil || out.GetOkResponse() == nil {
		t.Errorf("over a unix socket: %v, %v", out, err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(s.folder, path))
	}}}).Get("http://x/v1/authorize")
	if err == nil {
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		t.Errorf("HTTP/1 is answered there: %d %s", resp.StatusCode, text)
	}
}

// TestGRPCOverTLS has an Envoy on another machine show a certificate, and nobody else let in.
func TestGRPCOverTLS(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	files := makeCertificates(t)
	for name, content := range files {
		writeFile(t, filepath.Join(folder, name), string(content))
	}
	s := serve(t, folder, "--grpc-listen", ":0", "--grpc-tls-cert-file", "server.pem", "--grpc-tls-key-file", "server.key",
		"--grpc-tls-client-ca-file", "ca.pem")
	_, port, err := net.SplitHostPort(grpcAddress(s))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(c credentials.TransportCredentials) error {
		conn, err := grpc.NewClient("127.0.0.1:"+port, grpc.WithTransportCredentials(c))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		out, err := auth.NewAuthorizationClient(conn).Check(t.Context(), asEnvoy("GET", "/x", http.Header{"X-Api-Key": {s.token}}))
		if err == nil && out.GetOkResponse() == nil {
			t.Errorf("answer %v", out)
		}
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(files["ca.pem"])
	with := func(name string) credentials.TransportCredentials {
		pair, err := tls.X509KeyPair(files[name+".pem"], files[name+".key"])
		if err != nil {
			t.Fatal(err)
		}
		return credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}})
	}
	if err := ask(with("client")); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	if ask(with("stranger")) == nil || ask(credentials.NewTLS(&tls.Config{RootCAs: roots})) == nil || ask(insecure.NewCredentials()) == nil {
		t.Error("without a certificate of ours it answers, too")
	}
}
