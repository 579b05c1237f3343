package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/freeport"
	"github.com/apikeyd/apikeyd/internal/gateway"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
)

// proxyRules are what the API behind the proxies needs.
const proxyRules = `
[[rules]]
path = "/health"
scope = "public"

[[rules]]
path = "/admin/**"
scope = "MANAGE"

[[rules]]
path = "/search"
methods = ["POST"]
scope = "READ"
`

// proxies are the programs that a file below deploy is for, each with the command that runs it. The folder is theirs; of the file
// only the addresses are other than where it is published.
var proxies = []struct {
	name  string
	start func(t *testing.T, folder string, a addresses)
	late  int // what it answers where apikeyd says nothing
}{
	{"nginx", startNginx, 500},
	{"caddy", startCaddy, 504},
	{"haproxy", startHAProxy, 504},
}

// addresses are where a proxy listens, and where it finds apikeyd and the API.
type addresses struct{ proxy, apikeyd, api string }

// published returns a file below deploy with these addresses in place of its own.
func (a addresses) published(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(a.proxy)
	return strings.NewReplacer("http://:8000", "http://:"+port, "127.0.0.1:8000", a.proxy, "127.0.0.1:8081", a.apikeyd, "127.0.0.1:9000", a.api).Replace(string(text))
}

func startNginx(t *testing.T, folder string, a addresses) {
	writeFile(t, filepath.Join(folder, "api.conf"), a.published(t, "nginx.conf"))
	writeFile(t, filepath.Join(folder, "nginx.conf"), `daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	include api.conf;
}
`)
	launch(t, folder, nil, program(t, "nginx"), "-p", folder, "-e", "stderr", "-c", filepath.Join(folder, "nginx.conf"))
}

func startCaddy(t *testing.T, folder string, a addresses) {
	writeFile(t, filepath.Join(folder, "api"), a.published(t, "Caddyfile"))
	writeFile(t, filepath.Join(folder, "Caddyfile"), "{\n\tadmin off\n}\nimport api\n")
	launch(t, folder, []string{"XDG_DATA_HOME=" + folder, "XDG_CONFIG_HOME=" + folder}, program(t, "caddy"), "run", "--config", "Caddyfile")
}

func startHAProxy(t *testing.T, folder string, a addresses) {
	writeFile(t, filepath.Join(folder, "haproxy.lua"), a.published(t, "haproxy.lua"))
	writeFile(t, filepath.Join(folder, "haproxy.cfg"), strings.ReplaceAll(a.published(t, "haproxy.cfg"), "/etc/haproxy/", folder+"/"))
	launch(t, folder, nil, program(t, "haproxy"), "-db", "-f", "haproxy.cfg")
}

// program returns the path of a program that Debian may have put where only root looks.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	t.Fatalf("%s is not installed; .ci/prepare says what the tests need", name)
	return ""
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// freeAddress returns an address that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// countedAPI is an API behind a proxy that keeps what has reached it.
type countedAPI struct {
	*httptest.Server
	heard atomic.Int64 // bytes since take, also of what is no request
	mu    sync.Mutex
	seen  []reached
}

// ear counts what the connections of a listener read.
type ear struct {
	net.Listener
	heard *atomic.Int64
}

func (e ear) Accept() (net.Conn, error) {
	conn, err := e.Listener.Accept()
	return eared{conn, e.heard}, err
}

type eared struct {
	net.Conn
	heard *atomic.Int64
}

func (e eared) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	e.heard.Add(int64(n))
	return n, err
}

// reached is a request as the API got it.
type reached struct {
	method, target string
	header         http.Header
	body           [sha256.Size]byte
}

func newCountedAPI(t *testing.T) *countedAPI {
	a := new(countedAPI)
	a.Server = httptest.NewUnstartedServer(a)
	a.Listener = ear{a.Listener, &a.heard}
	a.Start()
	t.Cleanup(a.Close)
	return a
}

// ServeHTTP answers what it is asked, and echoes where somebody wants to speak another protocol.
func (a *countedAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hash := sha256.New()
	if _, err := io.Copy(hash, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	a.seen = append(a.seen, reached{r.Method, r.RequestURI, r.Header.Clone(), [sha256.Size]byte(hash.Sum(nil))})
	a.mu.Unlock()
	if r.Header.Get("Upgrade") != "websocket" {
		io.WriteString(w, "the API")
		return
	}
	conn, both, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
	line, err := both.ReadString('\n')
	if err == nil {
		io.WriteString(conn, "echo "+line)
	}
}

// take returns what has reached the API since it was asked last.
func (a *countedAPI) take() []reached {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.seen
	a.seen = nil
	a.heard.Store(0)
	return seen
}

// fronted is an API behind a proxy, and the tokens of keys to call it with.
type fronted struct {
	t                     *testing.T
	proxy                 string // address
	api                   *countedAPI
	reader, writer, admin string
	readerID              int64
	wordy                 string // a key with the longest name
	limited, spent        string // a key that may make two requests in an hour, and one that may make one for ever
	home, away            string // one for this machine's addresses; one for others
}

// request writes a request to the proxy as it stands, and returns the answer with its body read. Lines end with "\n".
func (f *fronted) request(head string, body io.Reader) *http.Response {
	f.t.Helper()
	conn, err := net.Dial("tcp", f.proxy)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		f.t.Fatal(err)
	}
	first, rest, _ := strings.Cut(head, "\n")
	head = first + " HTTP/1.1\nHost: api.example\n" + rest
	if rest != "" {
		head += "\n"
	}
	if !strings.Contains(rest, "Upgrade:") {
		head += "Connection: close\n"
	}
	go func() {
		if _, err := io.WriteString(conn, strings.ReplaceAll(head+"\n", "\n", "\r\n")); err == nil && body != nil {
			_, _ = io.Copy(conn, body) // a proxy may refuse before it has read all
		}
	}()
	buffered := bufio.NewReader(conn)
	method, _, _ := strings.Cut(first, " ")
	resp, err := http.ReadResponse(buffered, &http.Request{Method: method})
	if err != nil {
		return nil // it has hung up, which is a refusal too
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body = io.NopCloser(io.MultiReader(buffered))
		if _, err := io.WriteString(conn, "hello\n"); err != nil {
			f.t.Fatal(err)
		}
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(text))
	return resp
}

// passes wants a request to reach the API, once, and returns it as it came there.
func (f *fronted) passes(head string, body io.Reader) reached {
	f.t.Helper()
	resp := f.request(head, body)
	seen := f.api.take()
	if resp == nil || resp.StatusCode != http.StatusOK || len(seen) != 1 {
		f.t.Fatalf("%.100q: answer %+v, and %d requests reached the API", head, resp, len(seen))
	}
	return seen[0]
}

// tells wants a request to reach the API, and the client to be told so of its limits; "": nothing.
func (f *fronted) tells(head, policy, state string) {
	f.t.Helper()
	resp := f.request(head, nil)
	if seen := f.api.take(); resp == nil || resp.StatusCode != http.StatusOK || len(seen) != 1 {
		f.t.Fatalf("%.100q: answer %+v, and %d requests reached the API", head, resp, len(seen))
	}
	for name, want := range map[string]string{"RateLimit-Policy": policy, "RateLimit": state} {
		if got := strings.Join(resp.Header.Values(name), "|"); got != want {
			f.t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// refused wants nothing of a request to reach the API. Where statuses are given, the answer has one of them.
func (f *fronted) refused(head string, body io.Reader, statuses ...int) *http.Response {
	f.t.Helper()
	resp := f.request(head, body)
	heard := f.api.heard.Load()
	if seen := f.api.take(); len(seen) > 0 {
		f.t.Errorf("%.100q reached the API: %s %s", head, seen[0].method, seen[0].target)
	} else if heard > 0 {
		f.t.Errorf("%.100q reached the API, in %d bytes that are no request", head, heard)
	}
	switch {
	case resp == nil && len(statuses) == 0:
	case resp == nil:
		f.t.Errorf("%.100q: no answer, want %v", head, statuses)
	case resp.StatusCode < 400:
		f.t.Errorf("%.100q: answer %d", head, resp.StatusCode)
	case len(statuses) > 0 && resp.StatusCode != statuses[0]:
		f.t.Errorf("%.100q: answer %d, want %v", head, resp.StatusCode, statuses)
	}
	return resp
}

// TestProxies has the published configuration of each proxy stand in front of an API.
func TestProxies(t *testing.T) {
	t.Parallel()
	db := postgrestest.Start(t)
	folder := t.TempDir()
	writeFile(t, filepath.Join(folder, "apikeyd.toml"), "trusted-proxies = \"127.0.0.1\"\n"+proxyRules)
	s := serve(t, folder, "--config", "apikeyd.toml", "--database", db.URL("postgres"))
	key := func(name string, scopes ...api.Scope) api.CreatedKey {
		d := draft(name)
		d.KeyScope = scopes
		k, err := s.client(s.token).CreateKey(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	reader, writer := key("Größe", api.ScopeRead), key("writer", api.ScopeCreate)
	restricted := func(name string, change func(*api.NewKey)) string {
		d := draft(name)
		change(&d)
		k, err := s.client(s.token).CreateKey(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		return "Authorization: Bearer " + k.Token
	}
	home := restricted("home", func(d *api.NewKey) { d.AllowedCIDRs = []string{"127.0.0.0/8"} })
	away := restricted("away", func(d *api.NewKey) { d.AllowedCIDRs = []string{"203.0.113.0/24"} })
	wordy := restricted("wordy", func(d *api.NewKey) { d.KeyName = strings.Repeat("🔑", 100) })
	var all []*fronted
	for _, p := range proxies {
		counted := newCountedAPI(t)
		f := &fronted{t: t, proxy: freeAddress(t), api: counted, reader: "Authorization: Bearer " + reader.Token,
			writer: "X-API-Key: " + writer.Token, admin: "Authorization: Bearer " + s.token, readerID: reader.KeyID, home: home, away: away,
			wordy:   wordy,
			limited: restricted("limited", func(d *api.NewKey) { d.Limits = []api.Limit{{Name: "default", Requests: 2, WindowSeconds: 3600}} }),
			spent:   restricted("spent", func(d *api.NewKey) { d.Quota = &api.NewQuota{Requests: 1} })}
		folder := t.TempDir()
		p.start(t, folder, addresses{f.proxy, strings.TrimPrefix(s.verification, "http://"), counted.Listener.Addr().String()})
		all = append(all, f)
	}
	t.Run("there", func(t *testing.T) {
		for i, p := range proxies {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				f := *all[i]
				f.t = t
				f.awaitListener()
				f.judge()
				f.confuse()
				f.carry()
			})
		}
	})
	db.StopAtOnce(t)
	for i, p := range proxies {
		t.Run("database away, "+p.name, func(t *testing.T) {
			f := *all[i]
			f.t = t
			f.refused("GET /x\nAuthorization: Bearer "+unknownToken, nil)
			f.failsClosed()
		})
	}
	freeze(t, s.process)
	t.Run("apikeyd frozen", func(t *testing.T) {
		for i, p := range proxies {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				f := *all[i]
				f.t = t
				f.refused("GET /x\n"+f.admin, nil, p.late)
			})
		}
	})
	s.kill()
	for i, p := range proxies {
		t.Run("apikeyd away, "+p.name, func(t *testing.T) {
			f := *all[i]
			f.t = t
			f.refused("GET /health", nil)
			f.refused("GET /x\n"+f.admin, nil)
		})
	}
}

// awaitListener waits until the proxy takes connections.
func (f *fronted) awaitListener() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	for {
		conn, err := net.Dial("tcp", f.proxy)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-ctx.Done():
			f.t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// judge sends requests that mean what they say.
func (f *fronted) judge() {
	f.t.Helper()
	got := f.passes("GET /accounts/7?x=%2Fy&z\n"+f.reader+"\nX-Apikey-Id: 1\nX-Apikey-Scope: MANAGE\nX-Apikey-User-Id: 99\nX-Apikey-Name: root\nX-Apikey-Organization-Id: 99", nil)
	want := [gateway.IdentityCount]string{fmt.Sprint(f.readerID), "Gr%C3%B6%C3%9Fe", "1", "1", "READ"}
	for i, name := range gateway.Identity {
		if lines := got.header[name]; len(lines) != 1 || lines[0] != want[i] {
			f.t.Errorf("the API is told %s: %q, want %q", name, lines, want[i])
		}
	}
	if got.method != "GET" || got.target != "/accounts/7?x=%2Fy&z" {
		f.t.Errorf("the API got %s %s", got.method, got.target)
	}

	f.passes("GET /x?scope=DELETE&limited=403\n"+f.reader, nil) // which is for the API
	none := f.refused("GET /x", nil, 401)
	if c := none.Header.Get("WWW-Authenticate"); c != `Bearer realm="api"` {
		f.t.Errorf("challenge %q", c)
	}
	bad := f.refused("GET /x\nX-API-Key: "+unknownToken, nil, 401)
	if c := bad.Header.Get("WWW-Authenticate"); c != `Bearer realm="api", error="invalid_token"` {
		f.t.Errorf("challenge %q", c)
	}
	lacking := f.refused("DELETE /x\n"+f.reader, nil, 403)
	if c := lacking.Header.Get("WWW-Authenticate"); c != `Bearer error="insufficient_scope", scope="DELETE"` {
		f.t.Errorf("challenge %q", c)
	}
	f.refused("GET /x\n"+f.writer, nil, 403)
	f.refused("GET /admin/users\n"+f.reader, nil, 403)
	f.refused("BREW /x\n"+f.admin, nil)
	f.refused("get /admin/users\n"+f.admin, nil)
	f.passes("GET /admin/users\n"+f.admin, nil)
	f.passes("DELETE /x\n"+f.admin, nil)
	f.passes("POST /search\n"+f.reader+"\nContent-Length: 2", strings.NewReader("ab"))

	f.tells("GET /x\n"+f.limited, `"default";q=2;w=3600`, `"default";r=1;t=1800`)
	f.passes("GET /x\n"+f.limited, nil)
	f.tells("GET /x\n"+f.reader, "", "")
	over := f.refused("GET /x\n"+f.limited, nil, 429)
	if over.Header.Get("Retry-After") == "" || over.Header.Get("RateLimit-Policy") != `"default";q=2;w=3600` {
		f.t.Errorf("over the limit: %q", over.Header)
	}
	f.passes("GET /x\n"+f.spent, nil)
	over = f.refused("GET /x\n"+f.spent, nil, 429)
	if over.Header.Get("Retry-After") != "" || over.Header.Get("RateLimit") == "" {
		f.t.Errorf("used up for ever: %q", over.Header)
	}
	f.passes("GET /x\nX-Forwarded-For: 203.0.113.9\n"+f.home, nil)
	f.refused("GET /x\nX-Forwarded-For: 203.0.113.9\n"+f.away, nil, 403)

	public := f.passes("GET /health\nX-Apikey-Id: 1\nX-Apikey-Scope: MANAGE\nX-Apikey-User-Id: 99\nX-Apikey-Name: root\nX-Apikey-Organization-Id: 99", nil)
	for _, name := range gateway.Identity {
		if text := strings.Join(public.header[name], ""); text != "" {
			f.t.Errorf("the API is told %s: %q by nobody", name, text)
		}
	}
	f.impersonate()
}

// impersonate sends what could change what the API is told of the key, or have it told things that nobody looks at.
func (f *fronted) impersonate() {
	f.t.Helper()
	const spelled = "\nX!Apikey!Id: 1\nX~Apikey-Scope: MANAGE\nX_Apikey_Id: 1\nx_apikey-id: 1\nX-Apikey_Scope: MANAGE\nX-APIKEY_ORGANIZATION_ID: 99\nX_APIKEY_NAME:\nX-Apikey_User-Id: 99\nx.apikey.id: 1\nX.Apikey-Scope: MANAGE"
	for _, who := range []string{"", "\n" + f.reader} {
		for name, lines := range f.passes("GET /health"+who+spelled, nil).header {
			if strings.ContainsAny(name, "_.!~") {
				f.t.Errorf("the API is told %s: %q", name, lines)
			}
		}
	}
	f.crowd()
	got := f.passes("GET /x\n"+f.reader+"\nConnection: close, X-Apikey-Id, X-Apikey-Scope", nil)
	if got.header.Get("X-Apikey-Id") != fmt.Sprint(f.readerID) || got.header.Get("X-Apikey-Scope") != "READ" {
		f.t.Errorf("the client has had headers taken away: %q", got.header)
	}
	for _, protocol := range []string{"h2c", "H2C", "TLS/1.0", "websockets"} {
		got = f.passes("GET /x\n"+f.reader+"\nConnection: Upgrade, HTTP2-Settings\nUpgrade: "+protocol+"\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", nil)
		if lines := got.header["Upgrade"]; len(lines) > 0 {
			f.t.Errorf("the API may go on to %q", lines)
		}
	}
	got = f.passes("GET http://api.example/x?y=\"{}|%22%C3%B6\n"+f.reader+"\nX-Forwarded-For: 203.0.113.9", nil)
	if got.target != `/x?y="{}|%22%C3%B6` || strings.Join(got.header["X-Forwarded-For"], ",") != "127.0.0.1" {
		f.t.Errorf("the API gets %s, from %q", got.target, got.header["X-Forwarded-For"])
	}
}

// crowd sends so much that what the API is told of the key may have no room beside it. Then nothing is let through.
func (f *fronted) crowd() {
	f.t.Helper()
	for size := 12 << 10; size <= 16<<10; size += 128 {
		resp := f.request("GET /x\n"+f.wordy+"\nX-Long: "+strings.Repeat("x", size), nil)
		seen := f.api.take()
		if len(seen) == 0 && (resp == nil || resp.StatusCode >= 400) {
			continue
		}
		for _, name := range gateway.Identity {
			if len(seen) != 1 || seen[0].header.Get(name) == "" {
				f.t.Errorf("with a header of %d bytes the API gets %d requests, and no %s", size, len(seen), name)
				return
			}
		}
	}
}

// unknownToken is a well-formed token of no key.
const unknownToken = "ak_0ThisIsAnExampleAndNoRealToken00000000000001ANLg8"

// confuse sends requests that are meant to be taken for others. None but an admin's may get to what is below /admin, whatever it is
// called, and no proxy may lend itself to a client that speaks in its name.
func (f *fronted) confuse() {
	f.t.Helper()
	for _, target := range []string{
		"/%61dmin/x", "/admin", "/admin/", "/admin?x=/health", "/health/../admin/x", "/health/%2e%2e/admin/x", "/health/..%2fadmin/x", "/health%2f..%2fadmin/x",
		"//admin/x", "/.//admin/x", "/./admin/x", "/admin//x", "/x/..//admin", "/health/..;/admin/x", "/admin;x/y", "/admin%3bx",
		"/health%00/../admin", "/admin%00", "/health\\..\\admin", "/health%5c..%5cadmin", "/Admin/x", "/ADMIN", "/%2561dmin/x", "/health/%252e%252e/admin", "/%2fadmin/x",
		"/health%0d%0aX-Apikey-Id:%201", "/%c0%ae%c0%ae/admin", "/health#/../admin", "http://api.example/admin/x", "http://api.example/health/../admin",
		"*", "admin/x", "x:http://h/livez", "http:http://h/v1/authorize/health", "x:x",
	} {
		f.refused("GET "+target+"\n"+f.reader, nil)
	}
	for _, headers := range []string{
		"X-Forwarded-Uri: /health", "X-Original-URI: /health", "X-Original-Url: /health", "X-Forwarded-Uri: /x", "X-Rewrite-Url: /health",
		"X-Forwarded-Uri: /health\nX-Original-URI: /health", "X-Forwarded-Uri: /health\nX-Forwarded-Uri: /health",
	} {
		f.refused("GET /admin/x\n"+headers+"\n"+f.reader, nil)
		f.refused("GET /x\n"+headers, nil)
	}
	for _, headers := range []string{
		"X-Forwarded-Method: GET", "X-Original-Method: GET", "X-HTTP-Method-Override: GET", "X-Forwarded-Method: GET\nX-Original-Method: GET",
	} {
		f.refused("DELETE /x\n"+headers+"\n"+f.reader, nil, 403)
	}
	// What ends elsewhere for the API than for the proxy would have it take what comes next for something else.
	for _, end := range []string{
		"Content-Length: 18446744073709551616", "Content-Length: 18446744073709551617", "Content-Length: 2\nContent-Length: 3", "Content-Length: +2",
		"Transfer-Encoding: chunked,", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: xchunked",
	} {
		f.refused("POST /x\n"+f.writer+"\n"+end, strings.NewReader("2\r\nab\r\n0\r\n\r\n"))
	}
	f.refused("GET /x?scope=READ\n"+f.writer, nil, 403)
	f.refused("GET /x?scope=CREATE\n"+f.writer, nil, 403)
	f.refused("GET /x?limited=403&scope=CREATE\n"+f.writer, nil, 403)
	f.refused("GET /v1/authorize?scope=READ", nil)
	f.refused("GET /_apikeyd\n"+f.writer, nil)
	f.refused("GET /x\n"+f.reader+"\n"+f.writer, nil, 401)
	f.refused("GET /x\n"+strings.Replace(f.reader, "Authorization: Bearer", "X-API-Key:", 1)+"\n"+f.writer, nil, 401)
	f.refused("GET /x\nAuthorization: Basic YTpi", nil, 401)
	f.refused("GET /x\nX-Apikey-Id: 1\nX-Apikey-Scope: READ", nil, 401)
	f.refused("GET /x\nConnection: close, Authorization, X-Apikey-Id", nil, 401)
	// A hundred kilobytes of headers, in one and in many.
	long := strings.Repeat("x", 1000)
	f.refused("GET /x\n"+f.reader+"\nX-Long: "+strings.Repeat(long, 100), nil)
	f.refused("GET /admin/x\n"+f.reader+strings.Repeat("\nX-Long: "+long, 100), nil)
	f.refused("GET /x\nAuthorization: Bearer "+strings.Repeat(long, 100), nil)
	f.refused("GET /"+strings.Repeat(long, 100)+"\n"+f.reader, nil)
	f.passes("GET /x\n"+f.reader, nil) // it is still there
}

// carry sends what a proxy must hand on as it is.
func (f *fronted) carry() {
	f.t.Helper()
	body := bytes.Repeat([]byte("0123456789abcdef"), 256<<10) // 4 MiB
	want := sha256.Sum256(body)
	head := fmt.Sprintf("POST /upload\n%s\nContent-Length: %d", f.writer, len(body))
	if got := f.passes(head, bytes.NewReader(body)); got.body != want {
		f.t.Error("the body is another")
	}
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	if got := f.passes("POST /upload\n"+f.writer+"\nTransfer-Encoding: chunked", strings.NewReader(chunked)); got.body != want {
		f.t.Error("the chunked body is another")
	}
	f.refused(strings.ReplaceAll(head, f.writer, f.reader), bytes.NewReader(body))

	const upgrade = "\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
	resp := f.request("GET /socket\n"+f.reader+upgrade, nil)
	if resp == nil || resp.StatusCode != http.StatusSwitchingProtocols {
		f.t.Fatalf("upgrade: %+v", resp)
	}
	if text, _ := io.ReadAll(resp.Body); string(text) != "echo hello\n" || len(f.api.take()) != 1 {
		f.t.Errorf("over the new protocol comes %q", text)
	}
	f.refused("GET /socket"+upgrade, nil, 401)
	f.refused("GET /socket\n"+f.writer+upgrade, nil, 403)
}

// failsClosed waits until a key that was good is refused, because nobody can say any more whether it still is.
func (f *fronted) failsClosed() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	for {
		resp := f.request("GET /x\n"+f.reader, nil)
		if resp != nil && resp.StatusCode >= 500 {
			break
		}
		select {
		case <-ctx.Done():
			f.t.Fatal("a key is good long after its lease")
		case <-time.After(50 * time.Millisecond):
		}
	}
	f.api.take()
	f.refused("GET /x\n"+f.reader, nil)
}
