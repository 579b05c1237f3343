package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/mail/mailtest"
	"github.com/apikeyd/apikeyd/internal/oidc/oidctest"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
)

// TestBrowser does what people do, in Chromium: the flows are the files beside e2e/browser/run.mjs. Pages are photographed
// into build/screenshots.
func TestBrowser(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	for _, flow := range []struct {
		name    string
		prepare func(*testing.T) scene
	}{
		{"first-sign-in", firstStart},
		{"session-ended", firstStart},
		{"keys", severalOrganizations},
		{"keys-list", manyKeys},
		{"usage", usedKey},
		{"without-script", firstStart},
		{"hostile-names", hostileNames},
		{"members", organizationsToManage},
		{"nodes", twoNodes},
		{"identity-provider", withProvider},
		{"lost-password", withMail},
		{"elsewhere", elsewhere},
	} {
		t.Run(flow.name, func(t *testing.T) { b.run(t, flow.name, flow.prepare(t)) })
	}
}

// scene is what a flow has around it.
type scene struct {
	url     string                   // of the server
	origins []string                 // that the browser may call, beside the server's
	told    map[string]any           // what the flow has to know
	answers map[string]func() string // what the flow may ask for
}

// browser is a browser that does flows, one after the other.
type browser struct {
	process     *process
	in          *os.File
	out         *bufio.Scanner
	screenshots string
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: .ci/prepare installs it", err)
	}
	cmd := exec.CommandContext(t.Context(), "make", "--no-print-directory", "browser")
	cmd.Dir = repository
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make browser: %v\n%s", err, out)
	}
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{screenshots: filepath.Join(root, "build", "screenshots")}
	if err := os.MkdirAll(b.screenshots, 0o755); err != nil {
		t.Fatal(err)
	}
	theirIn, in := pipe(t)
	out, theirOut := pipe(t)
	b.in, b.out = in, bufio.NewScanner(out)
	b.process = launchCommand(t, func(cmd *exec.Cmd) { cmd.Stdin, cmd.Stdout = theirIn, theirOut },
		"node", filepath.Join(root, "e2e", "browser", "run.mjs"), filepath.Join(root, "build", "browser"), chromium)
	theirIn.Close()
	theirOut.Close()
	t.Cleanup(func() { // before it is killed
		in.Close()
		b.process.wait()
	})
	return b
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// run does a flow.
func (b *browser) run(t *testing.T, flow string, s scene) {
	s.told["url"], s.told["origins"] = s.url, append(s.origins, s.url)
	s.told["screenshots"], s.told["patience"] = b.screenshots, patience.Milliseconds()
	b.send(t, map[string]any{"flow": flow, "world": s.told})
	limit := time.AfterFunc(4*patience, b.process.kill)
	defer limit.Stop()
	for b.out.Scan() {
		var said struct {
			Ask        string
			Done       bool
			Complaints []string
		}
		if err := json.Unmarshal(b.out.Bytes(), &said); err != nil {
			t.Fatalf("%v in %s", err, b.out.Bytes())
		}
		if said.Done {
			for _, complaint := range said.Complaints {
				t.Error(complaint)
			}
			return
		}
		answer := s.answers[said.Ask]
		if answer == nil {
			t.Fatalf("the flow asks for something that nobody has: %s", said.Ask)
		}
		b.send(t, answer())
	}
	t.Fatalf("the browser has ended: %s", b.process.stderr)
}

// send sends a line.
func (b *browser) send(t *testing.T, message any) {
	t.Helper()
	if err := json.NewEncoder(b.in).Encode(message); err != nil {
		t.Fatal(err)
	}
}

var printedLink = regexp.MustCompile(`sign in at +(\S+)`)

// firstStart is a server that has just been started for the first time.
func firstStart(t *testing.T) scene {
	s := serve(t, t.TempDir())
	return scene{url: s.management, told: map[string]any{"signInURL": s.printedLink()}}
}

// printedLink returns the one-time link that the first start prints.
func (s *server) printedLink() string {
	s.t.Helper()
	found := printedLink.FindStringSubmatch(s.stdout.String())
	if found == nil {
		s.t.Fatalf("no link was printed: %s", s.stdout)
	}
	return found[1]
}

// severalOrganizations is a server that has two of them.
func severalOrganizations(t *testing.T) scene {
	s := serve(t, t.TempDir())
	if _, err := s.client(s.token).CreateOrganization(t.Context(), api.NewOrganization{OrganizationName: "Another"}); err != nil {
		t.Fatal(err)
	}
	return scene{url: s.management, told: map[string]any{"signInURL": s.printedLink(), "verify": s.verification}}
}

// manyKeys is a server with more keys than a page shows, some of them with names that somebody has chosen to do harm, or that are
// just long.
func manyKeys(t *testing.T) scene {
	s := serve(t, t.TempDir())
	c := s.client(s.token)
	me, err := c.Me(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	create := func(name string, scopes ...api.Scope) {
		if _, err := c.CreateKey(t.Context(), api.NewKey{KeyName: name, KeyScope: scopes, OrganizationID: me.Organizations[0].OrganizationID}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 60 {
		create(fmt.Sprintf("Batch %02d", i), api.ScopeRead)
	}
	names := []string{`<script>alert(1)</script>`, `"'><img src=x onerror=alert(1)>`, "\u0645\u0641\u062a\u0627\u062d <b>\u05e2\u05d1\u05e8\u05d9\u05ea</b>", strings.Repeat("W", 100),
		strings.Repeat("漢", 100), "\U0001f511 \U0001f468\u200d\U0001f469\u200d\U0001f467"}
	for _, name := range names {
		create(name, api.ScopeRead, api.ScopeCreate)
	}
	return scene{url: s.management, told: map[string]any{"signInURL": s.printedLink(), "names": names}}
}

// usedKey is a server with a key that was checked, and has been written down to be: the server was stopped since.
func usedKey(t *testing.T) scene {
	folder := t.TempDir()
	s := serve(t, folder)
	link := s.printedLink()
	made, err := s.client(s.token).CreateKey(t.Context(), draft("In use"))
	if err != nil {
		t.Fatal(err)
	}
	for range 12 {
		for _, scope := range []api.Scope{api.ScopeRead, api.ScopeRead, api.ScopeDelete} {
			if _, err := s.verifier().Verify(t.Context(), api.VerifyRequest{Key: made.Token, Scope: scope}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.stop()
	before := s.management
	s = serve(t, folder)
	return scene{url: s.management, told: map[string]any{"signInURL": strings.Replace(link, before, s.management, 1)}}
}

// hostileNames is a server with names that somebody has chosen to do harm, or that are just long.
func hostileNames(t *testing.T) scene {
	s := serve(t, t.TempDir())
	c := s.client(s.token)
	names := []string{
		`<script>alert(1)</script>`,
		`"'><img src=x onerror=alert(1)>`,
		`{{.}} ${alert(1)} javascript:alert(1)`,
		"\u0634\u0631\u0643\u0629 <b>\u05e2\u05d1\u05e8\u05d9\u05ea</b>",
		strings.Repeat("W", 100),
		strings.Repeat("漢", 100),
	}
	email := "'onfocus=alert`1`//&#{{7*7}}" + strings.Repeat("w", 60) + "@example.com"
	var invited api.InvitedMember
	for _, name := range names {
		made, err := c.CreateOrganization(t.Context(), api.NewOrganization{OrganizationName: name})
		if err != nil {
			t.Fatal(err)
		}
		member, err := c.InviteMember(t.Context(), made.OrganizationID, api.NewMember{Email: email, Role: api.RoleViewer})
		if err != nil {
			t.Fatal(err)
		}
		if member.SignInURL != "" {
			invited = member
		}
	}
	return scene{url: s.management, told: map[string]any{"signInURL": invited.SignInURL, "names": names, "email": email,
		"agent": `<img src=x onerror=alert(1)>`}}
}

// organizationsToManage is a server with organizations whose names somebody has chosen to do harm. Their external ids are taken.
func organizationsToManage(t *testing.T) scene {
	s := serve(t, t.TempDir())
	names := []string{`<script>alert(1)</script>`, "\u0634\u0631\u0643\u0629 <b>\u05e2\u05d1\u05e8\u05d9\u05ea</b>", strings.Repeat("W", 100)}
	const taken = `"><img src=x onerror=alert(1)>`
	for i, name := range names {
		external := taken + strings.Repeat("!", i)
		if _, err := s.client(s.token).CreateOrganization(t.Context(), api.NewOrganization{OrganizationName: name, ExternalID: &external}); err != nil {
			t.Fatal(err)
		}
	}
	email := "'onfocus=alert`1`//&#{{7*7}}" + strings.Repeat("w", 30) + "@example.com"
	return scene{url: s.management, told: map[string]any{"signInURL": s.printedLink(), "names": names, "externalID": taken, "email": email}}
}

// twoNodes are two nodes with one database. The second can be killed.
func twoNodes(t *testing.T) scene {
	db := postgrestest.NewDatabase(t)
	s := serve(t, t.TempDir(), "--database", db, "--lease", "1s", "--node-name", `one <b>`)
	other := serve(t, t.TempDir(), "--database", db, "--lease", "1s", "--node-name", "other")
	return scene{url: s.management, told: map[string]any{"signInURL": s.printedLink()},
		answers: map[string]func() string{"kill the other node": func() string { other.kill(); return "" }}}
}

// withProvider is a server behind a proxy, with an identity provider.
func withProvider(t *testing.T) scene {
	provider := oidctest.Start(t)
	provider.AddUser("alice", "alice@example.com", true)
	secret := filepath.Join(t.TempDir(), "client-secret")
	if err := os.WriteFile(secret, []byte(oidctest.ClientSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	b := behindProxy(t, "--oidc-issuer", provider.Issuer(), "--oidc-client-id", oidctest.ClientID, "--oidc-client-secret-file", secret)
	provider.Allow(b.url + "/sign-in/oidc/callback")
	b.origins = []string{provider.Issuer()}
	b.answers = map[string]func() string{
		"stop the provider":  func() string { provider.Stop(); return "" },
		"start the provider": func() string { provider.Restart(t); return "" },
	}
	return b
}

// behindProxy is a server that has just been started for the first time, behind a proxy.
func behindProxy(t *testing.T, args ...string) scene {
	// The proxy's address has to be known before that of the server behind it is.
	var behind *url.URL
	transport := &http.Transport{} // its own: every httptest.Server that closes meddles with the one that all share
	proxy := httptest.NewServer(&httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(behind)
		r.SetXForwarded()
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(func() { proxy.Close(); transport.CloseIdleConnections() })
	s := serve(t, t.TempDir(), append(args, "--public-url", proxy.URL, "--trusted-proxies", "127.0.0.1")...)
	behind, err := url.Parse(s.management)
	if err != nil {
		t.Fatal(err)
	}
	return scene{url: proxy.URL, told: map[string]any{"signInURL": s.printedLink()}}
}

// withMail is a server that sends mail.
func withMail(t *testing.T) scene {
	mails := mailtest.Start(t, mailtest.Behaviour{})
	b := behindProxy(t, "--smtp-address", mails.Address, "--smtp-from", "keys@example.com", "--smtp-tls", "none")
	b.answers = map[string]func() string{"open the mail": func() string {
		return regexp.MustCompile(`https?://\S+`).FindString(string(mails.Receive(t).Content))
	}}
	return b
}

// elsewhere is a server that is reached from another site, and under a name that is not this machine's.
func elsewhere(t *testing.T) scene {
	b := firstStart(t)
	b.told["otherSite"] = "http://other-site.test"
	b.told["unencrypted"] = strings.Replace(b.url, "127.0.0.1", "keys.test", 1)
	b.origins = []string{"http://other-site.test", b.told["unencrypted"].(string)}
	return b
}
