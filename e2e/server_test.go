package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

// server is an "apikeyd serve" that is ready.
type server struct {
	*process
	folder       string
	management   string // address of the management API as clients take it: "http://127.0.0.1:41234", "unix:/path"
	verification string // of the verification listener
	token        string // of the first key; "": the database was there before
}

// anyPort has both listeners take a port of the system's choice.
var anyPort = []string{"APIKEYD_LISTEN=127.0.0.1:0", "APIKEYD_VERIFY_LISTEN=127.0.0.1:0"}

// serve starts a server in a folder and waits until it is ready.
func serve(t testing.TB, folder string, args ...string) *server {
	t.Helper()
	return await(t, launch(t, folder, anyPort, binary, append([]string{"serve"}, args...)...), folder)
}

// readyText is the line of a server that is ready and logs text.
var readyText = regexp.MustCompile(`(?m)^.* msg=ready listen=(\S+) verify_listen=(\S+)$`)

// ready returns where a server listens, as it has logged it; false where it has not yet.
func ready(log []byte) (listen, verifyListen string, ok bool) {
	for line := range bytes.Lines(log) {
		var entry struct {
			Msg          string `json:"msg"`
			Listen       string `json:"listen"`
			VerifyListen string `json:"verify_listen"`
		}
		if json.Unmarshal(line, &entry) == nil && entry.Msg == "ready" {
			return entry.Listen, entry.VerifyListen, true
		}
	}
	if found := readyText.FindSubmatch(log); found != nil {
		return string(found[1]), string(found[2]), true
	}
	return "", "", false
}

// tokenText is what a token with the usual prefix looks like.
var tokenText = regexp.MustCompile(`\bak_[0-9A-Za-z]{49}\b`)

// await waits until the process is a server that is ready.
func await(t testing.TB, p *process, folder string) *server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	go func() {
		select {
		case <-p.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	p.stderr.await(ctx, func(log []byte) bool { _, _, ok := ready(log); return ok })
	listen, verifyListen, ok := ready(p.stderr.bytes())
	if !ok {
		t.Fatalf("the server is not ready:\n%s", p.stderr)
	}
	return &server{
		process:      p,
		folder:       folder,
		management:   addressOf(listen, p.cmd.Args, "--tls-cert-file"),
		verification: addressOf(verifyListen, p.cmd.Args, "--verify-tls-cert-file"),
		token:        tokenText.FindString(p.stdout.String()),
	}
}

// addressOf returns how a client reaches a listener that is logged as text.
func addressOf(text string, args []string, tlsFlag string) string {
	if _, _, err := net.SplitHostPort(text); err != nil {
		return "unix:" + text
	}
	if strings.Contains(strings.Join(args, "\n")+"\n", tlsFlag) {
		return "https://" + text
	}
	return "http://" + text
}

// stop ends the server as an operator does, and wants it to drain and to exit with 0.
func (s *server) stop() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	if code := s.wait(); code != 0 {
		s.t.Fatalf("after SIGTERM the server exits with %d:\n%s", code, s.stderr)
	}
}

// client returns a client of the management API that calls with a token.
func (s *server) client(token string) *client.Client {
	s.t.Helper()
	c, err := client.New(s.management, client.WithAPIKey(token))
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// once is a client of which no call is sent twice, so that a test sees every failure. It is for one call at a time.
func (s *server) once(token string) *client.Client {
	s.t.Helper()
	c, err := client.New(s.management, client.WithAPIKey(token), client.WithHTTPClient(oneAtATime(s.t)),
		client.WithRetry(client.Retry{Attempts: 1}))
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// oneAtATime returns an HTTP client with a connection of its own. One that is shared dials for a caller who may take
// another's connection in the end; the new one is then left without a word, until the server hangs up in the very moment
// that somebody else begins to use it.
func oneAtATime(t testing.TB) *http.Client {
	transport := &http.Transport{MaxConnsPerHost: 1}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// verifier returns a client of the verification listener.
func (s *server) verifier() *client.Verifier {
	s.t.Helper()
	v, err := client.NewVerifier(s.verification)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// draft is a key that may READ, in the first organization.
func draft(name string) api.NewKey {
	return api.NewKey{KeyName: name, KeyScope: []api.Scope{api.ScopeRead}, OrganizationID: 1}
}

// filesIn returns the path and content of every regular file below a folder.
func filesIn(t testing.TB, folder string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
