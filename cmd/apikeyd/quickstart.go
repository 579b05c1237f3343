package main

import (
	"fmt"
	"net"
	"strings"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/app"
	"github.com/apikeyd/apikeyd/internal/config"
)

// quickstart is what the first start prints: where the server is, the first key, and five lines to paste.
type quickstart struct {
	management   endpoint
	verification endpoint
	tokenFile    string // of the verification listener; "": none is asked for
	signIn       string // address of a one-time link
	made         admin.Initialised
}

// endpoint is how curl reaches a listener.
type endpoint struct {
	url    string // without a slash at its end
	socket string // path of a unix socket; "": TCP
	mutual bool   // it wants a certificate of the client's
}

// endpointOf returns how a listener is reached from this machine.
func endpointOf(a config.Address, t config.TLS, bound net.Addr) endpoint {
	e := endpoint{url: app.LocalURL(a, t, bound.String()), mutual: t.Mutual()}
	if a.Network == "unix" {
		e.socket = a.Address
	}
	return e
}

// managementURL prefers the address that the operator says clients use.
func managementURL(c *config.Config, bound net.Addr) endpoint {
	if c.PublicURL != "" {
		return endpoint{url: c.PublicURL}
	}
	return endpointOf(c.Listen, c.TLS, bound)
}

func (e endpoint) String() string {
	if e.socket != "" {
		return "unix:" + e.socket
	}
	return e.url
}

// curl returns a command line that calls path.
func (e endpoint) curl(method, path, authorization, body string) string {
	words := []string{"curl", "-sS"}
	if e.socket != "" {
		words = append(words, "--unix-socket", shellQuote(e.socket))
	}
	if e.mutual {
		words = append(words, "--cert", clientCert, "--key", clientKey)
	}
	if method != "GET" && body == "" {
		words = append(words, "-i", "-X", method) // the answer is a status line
	}
	words = append(words, shellQuote(e.url+path))
	if authorization != "" {
		words = append(words, "-H", authorization)
	}
	if body != "" {
		words = append(words, "-H", "'Content-Type: application/json'", "-d", shellQuote(body))
	}
	return strings.Join(words, " ")
}

// A client's certificate and key, where a listener wants them. Only its owner knows what they are called.
const (
	clientCert = "client.pem"
	clientKey  = "client.key"
)

// shellQuote returns s as one word of a POSIX shell, bare where it needs no quotes.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+=,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// firstToken returns a command that prints the first token in a file of the verification listener's. What a token
// consists of is all that can be seen in such a file, as the server reads it, so whatever else there is, of whatever
// editor or system, becomes line ends.
func firstToken(path string) string {
	return `LC_ALL=C tr -cs '[:graph:]' '\n' < ` + shellQuote(path) + ` | grep -m1 .`
}

// String returns the text. Later keys are numbered on from the first one, so the lines may name the key that the
// first of them creates.
func (q quickstart) String() string {
	var (
		secret   = q.made.Token.Reveal()
		bearer   = "'Authorization: Bearer " + secret + "'"
		verifier = ""
		created  = fmt.Sprintf("/v1/api-keys/%d", q.made.KeyID+1)
	)
	if q.tokenFile != "" {
		verifier = `"Authorization: Bearer $(` + firstToken(q.tokenFile) + `)"`
	}
	check := "check a key, as your services do"
	if q.verification.mutual {
		check += ", with a certificate and key of one of them"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `A new database. Its first user, organization and key are shown this once:

  management API    %s  (reference: %s/docs)
  verification API  %s
  user              %d  %s, instance admin
  organization      %d  %s
  key               %s
  sign in at        %s
                    (once, within 15 minutes; apikeyd users sign-in-link makes another)

Lines to paste, in this order:

`, q.management, q.management, q.verification, q.made.UserID, firstEmail, q.made.OrganizationID, firstOrganization, secret, q.signIn)
	for _, step := range []struct{ what, line string }{
		{"create a key", q.management.curl("POST", "/v1/api-keys", bearer,
			fmt.Sprintf(`{"key_name":"Backend API Key","key_scope":["READ","CREATE"],"organization_id":%d}`, q.made.OrganizationID))},
		{"list your keys", q.management.curl("GET", "/v1/api-keys", bearer, "")},
		{"look at the new one", q.management.curl("GET", created, bearer, "")},
		{check, q.verification.curl("POST", "/v1/verify", verifier,
			fmt.Sprintf(`{"key":"%s","scope":"READ"}`, secret))},
		{"delete the new one", q.management.curl("DELETE", created, bearer, "")},
	} {
		fmt.Fprintf(&b, "# %s\n%s\n", step.what, step.line)
	}
	b.WriteByte('\n')
	return b.String()
}
