package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/mail/mailtest"
)

// publicURL is where people reach a server that sends mail, as far as it knows.
const publicURL = "https://keys.example.com/a/b"

// withMailServer returns the flags of a server that sends mail.
func withMailServer(address string) []string {
	return []string{"--smtp-address", address, "--smtp-from", "Example Keys <keys@example.com>", "--smtp-tls", "none", "--public-url", publicURL,
		"--trusted-proxies", "127.0.0.1"}
}

// readMail returns the text of a mail.
func readMail(t testing.TB, m mailtest.Mail) string {
	t.Helper()
	parsed, err := mail.ReadMessage(bytes.NewReader(m.Content))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(quotedprintable.NewReader(parsed.Body))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// signInLinks asks for a one-time link by mail.
func (s *server) signInLinks(t testing.TB, email string, headers ...string) answer {
	t.Helper()
	return request(t, s.management, "POST", signInLinksPath, fmt.Sprintf(`{"email":%q}`, email), headers)
}

// TestInvitationsAreMailed invites people by way of a server that sends mail. The link is in the mail and in no answer.
func TestInvitationsAreMailed(t *testing.T) {
	t.Parallel()
	mails := mailtest.Start(t, mailtest.Behaviour{})
	s := serve(t, t.TempDir(), withMailServer(mails.Address)...)
	c := s.client(s.token)
	invited, err := c.InviteMember(t.Context(), ours, api.NewMember{Email: "ada@example.com", Role: api.RoleMember})
	if err != nil || invited.SignInURL != "" {
		t.Errorf("%+v, %v", invited.Member, err)
	}
	m := mails.Receive(t)
	text := readMail(t, m)
	if m.To != "ada@example.com" || m.From != "keys@example.com" || !strings.Contains(text, publicURL+"/sign-in/") || !strings.Contains(text, "My organization") {
		t.Errorf("mail to %s: %s", m.To, text)
	}
	link := linkSecret(t, text)
	b := signIn(t, s.management, withLink(link))
	trySignIn(t, s, withLink(link)).refused(api.CodeUnauthenticated)
	var me api.Me
	if request(t, s.management, "GET", "/v1/me", "", []string{b.cookie()}).is(http.StatusOK).into(&me); me.UserID != invited.UserID {
		t.Errorf("signed in as %+v", me)
	}

	// Who is a user already is not written to.
	if _, err := c.CreateOrganization(t.Context(), api.NewOrganization{OrganizationName: "Other"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.InviteMember(t.Context(), other, api.NewMember{Email: "ada@example.com", Role: api.RoleMember}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.InviteMember(t.Context(), other, api.NewMember{Email: "bob@example.com", Role: api.RoleMember}); err != nil {
		t.Fatal(err)
	}
	if m := mails.Receive(t); m.To != "bob@example.com" {
		t.Errorf("a mail to %s", m.To)
	}
	s.stop()
	newSecrets(map[string]string{"link": link}).mustBeAbsent(t, "the log", s.stderr.bytes())
	auditIsWhole(t, s.folder)
}

// TestLostPassword asks for links by mail, for addresses that somebody has and for such that nobody has: the answers are
// the same, and mail gets who has asked for it, within limits.
func TestLostPassword(t *testing.T) {
	t.Parallel()
	mails := mailtest.Start(t, mailtest.Behaviour{})
	folder := t.TempDir()
	made := initialise(t, folder, "root@example.com", "Ours")
	s := serve(t, folder, withMailServer(mails.Address)...)

	unknown := s.signInLinks(t, "nobody@example.com").is(http.StatusAccepted)
	known := s.signInLinks(t, "ROOT@example.com").is(http.StatusAccepted)
	for _, h := range []http.Header{unknown.header, known.header} {
		h.Del("X-Request-Id")
		h.Del("Date")
	}
	if known.body != unknown.body || fmt.Sprint(known.header) != fmt.Sprint(unknown.header) {
		t.Errorf("the answers tell who there is: %q %v, %q %v", known.body, known.header, unknown.body, unknown.header)
	}
	m := mails.Receive(t)
	if m.To != "root@example.com" { // as they have written it themselves, and not as somebody has asked
		t.Errorf("a mail to %s", m.To)
	}
	b := signIn(t, s.management, withLink(linkSecret(t, readMail(t, m))))
	request(t, s.management, "PUT", passwordPath, `{"new_password":"a new password for root"}`, []string{b.cookie()}).is(http.StatusNoContent)
	signIn(t, s.management, withPassword("root@example.com", "a new password for root"))
	s.signInLinks(t, "nonsense").refused(api.CodeInvalid, "/email")
	request(t, s.management, "POST", signInLinksPath, `{"email":"root@example.com"}`, []string{"Sec-Fetch-Site: cross-site"}).refused(api.CodeForbidden)

	// A mailbox is not filled by those who ask for others, and nobody asks for ever. The mail that is awaited says that
	// those before it have been dealt with.
	for i := range 12 {
		s.signInLinks(t, "root@example.com", from("198.51.100", i)).is(http.StatusAccepted)
	}
	n := 0
	for n < 100 && s.signInLinks(t, fmt.Sprintf("nobody%d@example.com", n), from("203.0.113", 1)).status == http.StatusAccepted {
		n++
	}
	if n < 20 || n > 22 {
		t.Errorf("%d links could be asked for from one address", n)
	}
	s.signInLinks(t, "root@example.com", from("203.0.113", 1)).throttled()
	if _, err := s.client(made.Key).InviteMember(t.Context(), ours, api.NewMember{Email: "last@example.com", Role: api.RoleViewer}); err != nil {
		t.Fatal(err)
	}
	n = 0
	for {
		m := mails.Receive(t)
		if m.To == "last@example.com" {
			break
		}
		if n++; m.To != "root@example.com" {
			t.Errorf("a mail to %s", m.To)
		}
	}
	if n > 5 {
		t.Errorf("%d more mails to one mailbox", n)
	}
	s.stop()
	auditIsWhole(t, s.folder)
}

// TestNoMailServer asks for mail where the mail server takes connections and says nothing, and where there is none: the
// answers come at once, and the mail when the server is there.
func TestNoMailServer(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	address := silent.Addr().String()
	folder := t.TempDir()
	made := initialise(t, folder, "root@example.com", "Ours")
	ask := func(s *server, name string) {
		t.Helper()
		began := time.Now()
		s.signInLinks(t, "root@example.com").is(http.StatusAccepted)
		if _, err := s.client(made.Key).InviteMember(t.Context(), ours, api.NewMember{Email: name + "@example.com", Role: api.RoleViewer}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > busy {
			t.Errorf("%s: it took %v to be answered", name, took)
		}
	}
	s := serve(t, folder, withMailServer(address)...)
	ask(s, "silent")
	s.stop() // a mail that is being sent does not hold it for long

	silent.Close()
	s = serve(t, folder, withMailServer(address)...)
	ask(s, "away")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if !s.stderr.await(ctx, func(log []byte) bool { return bytes.Contains(log, []byte("mail not sent, will try again")) }) {
		t.Errorf("nobody learns of it: %s", s.stderr)
	}
	mails := mailtest.Start(t, mailtest.Behaviour{Address: address})
	links := map[string]string{}
	for range 2 {
		m := mails.Receive(t)
		links[m.To] = linkSecret(t, readMail(t, m))
	}
	if links["away@example.com"] == "" || links["root@example.com"] == "" {
		t.Error("a mail is missing")
	}
	s.stop()
	newSecrets(links).mustBeAbsent(t, "the log", s.stderr.bytes())
	auditIsWhole(t, folder)
}
