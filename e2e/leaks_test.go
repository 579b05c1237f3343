package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/mail/mailtest"
)

// reportOnTwo has one token reported to two nodes at once: the first answer promises, and so does the second, which may find that
// there is nothing left to end.
func reportOnTwo(t *testing.T, c *cluster) {
	for _, sick := range []*node{nil, c.nodes[2]} {
		k := c.create(t, c.nodes[0])
		w := c.watch(t, k.Token, "")
		w.sees(c.nodes...)
		if sick != nil {
			sick.line.swallow()
		}
		var both sync.WaitGroup
		for _, n := range c.nodes[:2] {
			both.Go(func() {
				if err := c.client(n).ReportLeak(t.Context(), k.Token); err != nil {
					t.Error(err)
				}
				w.over.Store(true)
			})
		}
		both.Wait()
		if sick != nil {
			sick.line.heal()
		}
		w.sawDeath(c.nodes...)
		w.want(api.VerifyNotFound)
		if got, err := c.client(c.nodes[1]).GetKey(t.Context(), k.KeyID); err != nil || got.Enabled {
			t.Errorf("the key is %+v, %v", got, err)
		}
		for _, n := range c.nodes {
			n.holdsLease(t)
		}
	}
}

// TestLeakedKey goes through a leak with the real program: a token in a file that was committed, found by scan, reported by a
// stranger, mailed to its owner, and dead for good.
func TestLeakedKey(t *testing.T) {
	t.Parallel()
	mails := mailtest.Start(t, mailtest.Behaviour{})
	folder := t.TempDir()
	s := serve(t, folder, withMailServer(mails.Address)...)
	k, err := s.client(s.token).CreateKey(t.Context(), api.NewKey{KeyName: "CI of the shop", KeyScope: []api.Scope{api.ScopeRead}, OrganizationID: ours})
	if err != nil {
		t.Fatal(err)
	}
	source := t.TempDir()
	if err := os.WriteFile(filepath.Join(source, ".env"), []byte("# secrets\nSHOP_KEY="+k.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	scan := func(wantCode int, want string) {
		t.Helper()
		p := launch(t, source, nil, binary, "scan", ".", "--verify", "--verify-server", s.verification)
		if code := p.wait(); code != wantCode || p.stdout.String() != want {
			t.Errorf("scan exits with %d and prints %s%s, want %s", code, p.stdout, p.stderr, want)
		}
	}
	scan(3, ".env:2:10: "+k.KeyHint+" VALID\n")

	for _, body := range []string{fmt.Sprintf(`{"key":%q}`, k.Token), `{"key":"nonsense"}`} {
		if a := request(t, s.management, "POST", "/v1/leaked", body, nil).is(http.StatusAccepted); len(a.body) > 0 {
			t.Errorf("the answer is %q", a.body)
		}
	}
	scan(3, ".env:2:10: "+k.KeyHint+" NOT_FOUND\n")
	m := mails.Receive(t)
	if text := readMail(t, m); !strings.Contains(m.To, "@") || !strings.Contains(text, "CI of the shop") || !strings.Contains(text, k.KeyHint) {
		t.Errorf("mail to %s: %s", m.To, text)
	}
	if _, err := s.client(s.token).UpdateKey(t.Context(), k.KeyID, api.KeyPatch{Enabled: new(true)}); err != nil {
		t.Fatal(err)
	}
	scan(3, ".env:2:10: "+k.KeyHint+" NOT_FOUND\n")
	s.stop()
	found := newSecrets(map[string]string{"token": k.Token})
	found.mustBeAbsent(t, "the log", s.stderr.bytes())
	found.mustBeAbsent(t, "the mail", m.Content)
	auditIsWhole(t, folder)

	again := serve(t, folder)
	if a, err := again.verifier().Verify(t.Context(), api.VerifyRequest{Key: k.Token}); err != nil || a.Code != api.VerifyNotFound {
		t.Errorf("after a restart it is %s, %v", a.Code, err)
	}
	again.stop()
}
