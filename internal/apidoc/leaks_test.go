package apidoc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/internal/apidoc/apidoctest"
	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/config"
)

// sendFindings sends the example of a message of GitHub's, and what is refused, to a server that takes a key of ours for
// GitHub's.
func sendFindings(t *testing.T, r *apidoctest.Recorder, x example) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	github := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"public_keys": []any{map[string]any{
			"key_identifier": "ours", "key": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "is_current": true,
		}}})
	}))
	defer github.Close()
	server, s := startTarget(t, r, &apptest.Options{Config: func(c *config.Config) { c.GitHubKeysURL = github.URL }})
	send := func(want int, body string, headers ...string) string {
		t.Helper()
		sum := sha256.Sum256([]byte(body))
		signature, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		headers = append([]string{"Authorization:", "Github-Public-Key-Identifier: ours",
			"Github-Public-Key-Signature: " + base64.StdEncoding.EncodeToString(signature)}, headers...)
		return s.send(want, x.method, x.path, body, headers...)
	}
	k := s.create(server.First.OrganizationID, `"READ"`)
	body := strings.ReplaceAll(x.body, exampleToken, k.Token)
	if got, want := send(x.success, body), fmt.Sprintf(`[{"token_hash":"%x",`, sha256.Sum256([]byte(k.Token))); !strings.HasPrefix(got, want) || !strings.Contains(got, "true_positive") {
		t.Errorf("%s, want %s", got, want)
	}
	if got := send(x.success, body); !strings.Contains(got, "true_positive") {
		t.Errorf("once more: %s", got)
	}
	if got := send(x.success, strings.ReplaceAll(x.body, exampleToken, "ak_none")); !strings.Contains(got, "false_positive") {
		t.Errorf("no token: %s", got)
	}
	send(200, `[]`)
	send(400, `{}`)
	send(406, `[]`, "Accept: text/html")
	send(413, `["`+strings.Repeat("x", 1<<20)+`"]`)
	send(415, `[]`, "Content-Type: text/plain")
	s.send(403, x.method, x.path, `[]`)
	s.send(405, "GET", x.path, "")
}
