package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	netsmtp "net/smtp"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/apikeyd/apikeyd/internal/mail/mailtest"
)

const secretLink = "https://keys.example.com/sign-in/sEcReTsEcReT"

func example() Message {
	return Message{To: "you@example.org", Subject: "Grüße aus Köln", Text: "Open " + secretLink + "\n.\nAnd so on, über alles.\n"}
}

// TestSend hands a mail to a server of each kind and looks at what arrives.
func TestSend(t *testing.T) {
	for _, b := range []struct {
		mode       Mode
		mechanisms []string
	}{
		{mode: None},
		{mode: StartTLS},
		{mode: TLS},
		{mode: StartTLS, mechanisms: []string{"PLAIN"}},
		{mode: StartTLS, mechanisms: []string{"LOGIN", "PLAIN"}},
		{mode: StartTLS, mechanisms: []string{"XOAUTH2", "LOGIN"}}, // as Microsoft's
		{mode: TLS, mechanisms: []string{"LOGIN"}},
		{mode: None, mechanisms: []string{"PLAIN"}}, // on loopback
	} {
		t.Run(fmt.Sprintf("%s %v", b.mode, b.mechanisms), func(t *testing.T) {
			server := start(t, b.mode, mailtest.Behaviour{Mechanisms: b.mechanisms})
			if err := newSender(t, server.options()).Send(t.Context(), example()); err != nil {
				t.Fatal(err)
			}
			got := <-server.Got
			if got.From != "keys@example.com" || got.To != "you@example.org" || got.UTF8 || got.Helo != "[127.0.0.1]" {
				t.Errorf("envelope %q, %q, SMTPUTF8 %v, from %s", got.From, got.To, got.UTF8, got.Helo)
			}
			header, text := read(t, got.Content)
			if text != example().Text {
				t.Errorf("text %q", text)
			}
			if header["Subject"] != "Grüße aus Köln" || header["To"] != "<you@example.org>" ||
				header["From"] != `"Example Keys" <keys@example.com>` {
				t.Errorf("header %v", header)
			}
		})
	}
}

// read returns the headers of a mail, decoded, and its text.
func read(t *testing.T, content []byte) (header map[string]string, text string) {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	header = map[string]string{}
	for name, values := range m.Header {
		if len(values) != 1 {
			t.Errorf("%d headers %s", len(values), name)
		}
		if header[name], err = new(mime.WordDecoder).DecodeHeader(values[0]); err != nil {
			t.Error(err)
		}
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return header, strings.ReplaceAll(string(body), "\r\n", "\n")
}

func TestCompose(t *testing.T) {
	s := newSender(t, Options{Address: "mail.example.com:587", From: "Schlüssel <keys@bücher.example>"})
	m := Message{To: "you@example.org", Subject: strings.Repeat("Ü", 20), Text: "Text = über\n", id: "ID",
		at: time.Date(2026, 11, 22, 19, 54, 3, 0, time.FixedZone("", 3600))}
	l, err := s.compose(m)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(`From: =?utf-8?q?Schl=C3=BCssel?= <keys@xn--bcher-kva.example>
To: <you@example.org>
Subject: =?utf-8?q?=C3=9C=C3=9C=C3=9C=C3=9C=C3=9C=C3=9C=C3=9C=C3=9C=C3=9C=C3=9C?=
 =?utf-8?q?=C3=9C=C3=9C=C3=9C=C3=9C=C3=9C=C3=9C=C3=9C=C3=9C=C3=9C=C3=9C?=
Date: Sun, 22 Nov 2026 18:54:03 +0000
Message-ID: <ID@xn--bcher-kva.example>
Auto-Submitted: auto-generated
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Text =3D =C3=BCber
`, "\n", "\r\n")
	if diff := cmp.Diff(want, string(l.content)); diff != "" {
		t.Error(diff)
	}
	if l.from != "keys@xn--bcher-kva.example" || l.utf8 {
		t.Errorf("envelope %+v", l)
	}
}

// TestNothingIsInjected tries to add a header, a recipient or a command.
func TestNothingIsInjected(t *testing.T) {
	server := start(t, None, mailtest.Behaviour{})
	s := newSender(t, server.options())
	for _, to := range []string{
		"", "you", "you@", "@example.org", "you@example.org\r\nBcc: them@example.org", "you@example.org\nRCPT TO:<x@y>",
		"you@example.org\r", "you\x00@example.org", "you@example.org,them@example.org", "<you@example.org>",
		"You <you@example.org>", "you@example.org> SIZE=1", "\"a b\"@example.org", "\"a\r\n b\"@example.org", "a..b@example.org",
		"you@example.org (comment)", "you@example.org(comment)", "you@exa mple.org", "you@[127.0.0.1]", "you@example..org", "you@-.org",
		" you@example.org", "you\u2028@example.org", "you@example.org\u0085", "\xff@example.org",
		"group: you@example.org;", strings.Repeat("a", 65) + "@example.org", "a@" + strings.Repeat("a.", 130) + "org",
	} {
		m := example()
		m.To = to
		if err := s.Send(t.Context(), m); err == nil || !Permanent(err) || strings.ContainsAny(err.Error(), "\r\n\x00") {
			t.Errorf("to %q: %v", to, err)
		}
	}
	for _, subject := range []string{"a\r\nBcc: them@example.org", "a\nb", "a\rb", "a\x00b", "a\x1b[2Jb", "a\u0085b", "a\u2028b", "\xff",
		strings.Repeat("a", 301)} {
		m := example()
		m.Subject = subject
		if err := s.Send(t.Context(), m); err == nil || !Permanent(err) {
			t.Errorf("subject %q: %v", subject, err)
		}
	}
	for _, from := range []string{"", "keys", "a@b\r\nBcc: c@d", "Name\r\n <a@b>", "=?utf-8?q?x=0D=0ABcc:_c@d?= <a@b>", "a@b, c@d",
		strings.Repeat("n", 600) + " <a@b>"} {
		if err := CheckFrom(from); err == nil {
			t.Errorf("from %q is accepted", from)
		}
		o := server.options()
		o.From = from
		if _, err := New(o); err == nil {
			t.Errorf("New from %q", from)
		}
	}
	if n := server.Calls.Load(); n > 0 {
		t.Errorf("%d connections", n)
	}
}

func TestAddressesBeyondASCII(t *testing.T) {
	m := example()
	m.To = "grüße@bücher.example"
	plain := start(t, None, mailtest.Behaviour{})
	if err := newSender(t, plain.options()).Send(t.Context(), m); !errors.Is(err, errNoUTF8) || !Permanent(err) {
		t.Errorf("a server without SMTPUTF8: %v", err)
	}
	modern := start(t, None, mailtest.Behaviour{UTF8: true})
	s := newSender(t, modern.options())
	if err := s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := <-modern.Got
	if got.To != "grüße@xn--bcher-kva.example" || !got.UTF8 {
		t.Errorf("envelope %q, SMTPUTF8 %v", got.To, got.UTF8)
	}
	m.To = "you@bücher.example"
	if err := s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if got := <-modern.Got; got.To != "you@xn--bcher-kva.example" || got.UTF8 {
		t.Errorf("a mail that needs no SMTPUTF8: %q, %v", got.To, got.UTF8)
	}
}

// TestRefused is what is said where a server refuses, and whether it may change its mind.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name      string
		at        string
		answer    *smtp.SMTPError
		permanent bool
		want      string
	}{
		{"sender", "MAIL", &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "Not you"}, true,
			"name the sender: the mail server answered 550 5.7.1 Not you"},
		{"recipient", "RCPT", &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No\x1b such user"}, true,
			"name the recipient: the mail server answered 550 5.1.1 No such user"},
		{"recipient, for now", "RCPT", &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Greylisted"}, false,
			"name the recipient: the mail server answered 451 4.7.1 Greylisted"},
		{"text", "DATA", &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "Blocked: " + secretLink}, true,
			"send the text: the mail server answered 554 5.7.1"},
		{"text, for now", "DATA", &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: secretLink}, false,
			"send the text: the mail server answered 452 4.3.1"},
		{"text, without an enhanced code", "DATA", &smtp.SMTPError{Code: 554, EnhancedCode: smtp.NoEnhancedCode, Message: secretLink}, true,
			"send the text: the mail server answered 554"},
		{"password", "AUTH", &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "Not " + mailtest.Password}, true,
			"sign in to the mail server: the mail server answered 535 5.7.8"},
		{"password, for now", "AUTH", &smtp.SMTPError{Code: 454, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: mailtest.Password}, false,
			"sign in to the mail server: the mail server answered 454 4.7.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := start(t, StartTLS, mailtest.Behaviour{Mechanisms: []string{"PLAIN"}, Refuse: map[string]error{tt.at: tt.answer}})
			err := newSender(t, server.options()).Send(t.Context(), example())
			if err == nil || err.Error() != tt.want || Permanent(err) != tt.permanent {
				t.Errorf("error %v, permanent %v", err, Permanent(err))
			}
		})
	}
	if Permanent(nil) || Permanent(context.Canceled) {
		t.Error("what no server said is permanent")
	}
}

// TestUnsafeConnections hands nothing to a server that is not the right one, or over a connection that others can read.
func TestUnsafeConnections(t *testing.T) {
	withStartTLS := start(t, StartTLS, mailtest.Behaviour{Mechanisms: []string{"PLAIN"}})
	withTLS := start(t, TLS, mailtest.Behaviour{Mechanisms: []string{"PLAIN"}})
	plain := start(t, None, mailtest.Behaviour{Mechanisms: []string{"PLAIN"}})
	unknown := start(t, StartTLS, mailtest.Behaviour{Mechanisms: []string{"CRAM-MD5"}})
	none := start(t, StartTLS, mailtest.Behaviour{})
	for _, tt := range []struct {
		name   string
		server *server
		change func(*Options)
		want   string
	}{
		{"unknown authority", withStartTLS, func(o *Options) { o.RootCAs = nil }, "encrypt the connection: tls: failed to verify certificate"},
		{"unknown authority, TLS", withTLS, func(o *Options) { o.RootCAs = nil }, "connect: tls: failed to verify certificate"},
		{"another's certificate", withTLS, func(o *Options) { o.Address = strings.Replace(o.Address, "127.0.0.1", "localhost", 1) },
			"connect: tls: failed to verify certificate"},
		{"STARTTLS is not offered", plain, func(o *Options) { o.TLS = StartTLS }, errNoStartTLS.Error()},
		{"STARTTLS is the default", plain, func(o *Options) { o.TLS = "" }, errNoStartTLS.Error()},
		{"no known way to sign in", unknown, func(*Options) {}, errNoAuth.Error()},
		{"no way to sign in", none, func(o *Options) {
			o.Username, o.Password = mailtest.Username, func() string { return mailtest.Password }
		}, errNoAuth.Error()},
		{"wrong password", withStartTLS, func(o *Options) { o.Password = func() string { return "another" } }, "answered 535 5.7.8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.server.options()
			tt.change(&o)
			err := newSender(t, o).Send(t.Context(), example())
			if err == nil || !strings.Contains(err.Error(), tt.want) || !Permanent(err) {
				t.Errorf("error %v", err)
			}
			if len(tt.server.Got) > 0 {
				t.Error("the mail was sent")
			}
		})
	}
}

// elsewhere is a connection to another machine, as far as it says.
type elsewhere struct{ net.Conn }

func (elsewhere) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25} }

func TestAPasswordIsNotSentInTheClear(t *testing.T) {
	server := start(t, None, mailtest.Behaviour{Mechanisms: []string{"PLAIN"}})
	s := newSender(t, server.options())
	conn, err := s.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c, err := s.greet(conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.signIn(c, elsewhere{conn}); !errors.Is(err, errUnencrypted) || !Permanent(err) {
		t.Errorf("to another machine: %v", err)
	}
	if err := s.signIn(c, conn); err != nil {
		t.Errorf("to this machine: %v", err)
	}
}

// TestASlowServer has its time, and no more.
func TestASlowServer(t *testing.T) {
	for name, mode := range map[string]Mode{"no greeting": None, "no handshake": TLS} {
		t.Run(name, func(t *testing.T) {
			address, accepted := silent(t)
			s := newSender(t, Options{Address: address, From: "keys@example.com", TLS: mode, Timeout: 50 * time.Millisecond})
			for connected := false; !connected; { // a busy machine may not come so far in that time
				if err := s.Send(t.Context(), example()); !errors.Is(err, context.DeadlineExceeded) || Permanent(err) {
					t.Fatalf("error %v", err)
				}
				select {
				case <-accepted:
					connected = true
				default:
				}
			}

			s.timeout = time.Hour
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-accepted
				cancel()
			}()
			if err := s.Send(ctx, example()); !errors.Is(err, context.Canceled) || Permanent(err) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// silent listens and says nothing. A value comes for each connection.
func silent(t *testing.T) (address string, accepted chan net.Conn) {
	t.Helper()
	accepted = make(chan net.Conn, 10)
	return listen(t, func(c net.Conn) {
		accepted <- c
		io.Copy(io.Discard, c)
	}), accepted
}

// listen serves every connection with serve, and ends with the test.
func listen(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return l.Addr().String()
}

func TestStrangeServers(t *testing.T) {
	for _, tt := range []struct{ name, says, want string }{
		{"it hangs up", "", "wait for the mail server's greeting: EOF"},
		{"it is no mail server", "HTTP/1.1 400 Bad Request\r\n", "wait for the mail server's greeting"},
		{"it does not want us", "554 go away\r\n", "wait for the mail server's greeting: the mail server answered 554 go away"},
		{"it is busy", "421 later\r\n", "wait for the mail server's greeting: the mail server answered 421 later"},
		{"it never ends", strings.Repeat("220-welcome\r\n", 1<<16), errTalkative.Error()},
		{"it writes a long line", strings.Repeat("2", 1<<20), errTalkative.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			address := listen(t, func(c net.Conn) { io.WriteString(c, tt.says) })
			s := newSender(t, Options{Address: address, From: "keys@example.com", TLS: None})
			err := s.Send(t.Context(), example())
			if err == nil || !strings.Contains(err.Error(), tt.want) || Permanent(err) != strings.HasPrefix(tt.says, "5") {
				t.Errorf("error %v", err)
			}
		})
	}
	// What it says about a secret is not repeated, even where it is no answer.
	err := failedInConfidence("send the text", fmt.Errorf("x: %w", textproto.ProtocolError("short response: "+secretLink)))
	if strings.Contains(err.Error(), secretLink) || Permanent(err) {
		t.Errorf("error %v", err)
	}
}

func TestAuthAnswersNoMoreThanItIsAsked(t *testing.T) {
	a := newAuth("login", "name", "word")
	if mechanism, initial, err := a.Start(&netsmtp.ServerInfo{}); mechanism != "LOGIN" || initial != nil || err != nil {
		t.Errorf("%s, %q, %v", mechanism, initial, err)
	}
	for _, want := range []string{"name", "word"} {
		if got, err := a.Next([]byte("?"), true); string(got) != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if got, err := a.Next([]byte("and?"), true); got != nil || err == nil {
		t.Errorf("%q, %v", got, err)
	}
	if newAuth("", "name", "word") != nil {
		t.Error("there is a way where none is offered")
	}
}

func TestOwnName(t *testing.T) {
	for want, a := range map[string]net.Addr{
		"[192.0.2.1]":        &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)},
		"[IPv6:fe80::1]":     &net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0"},
		"[192.0.2.2]":        &net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.2")},
		"localhost":          &net.UnixAddr{Name: "x"},
		"[IPv6:2001:db8::1]": &net.TCPAddr{IP: net.ParseIP("2001:db8::1")},
	} {
		if got := ownName(a); got != want {
			t.Errorf("%v: %s, want %s", a, got, want)
		}
	}
}

func TestBadOptions(t *testing.T) {
	good := Options{Address: "mail.example.com:587", From: "keys@example.com", Username: "u", Password: func() string { return "p" }}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"no port":          func(o *Options) { o.Address = "mail.example.com" },
		"no host":          func(o *Options) { o.Address = ":587" },
		"no password":      func(o *Options) { o.Password = nil },
		"no user name":     func(o *Options) { o.Username = "" },
		"unknown mode":     func(o *Options) { o.TLS = "ssl" },
		"no from":          func(o *Options) { o.From = "" },
		"from is a phrase": func(o *Options) { o.From = "Example Keys" },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzCompose holds what is composed of anything against the reader of the standard library: the headers are those that
// compose writes, with one recipient, and every line is short enough for every server.
func FuzzCompose(f *testing.F) {
	f.Add("you@example.org", "Grüße", "text\n")
	f.Add("you@example.org\r\nBcc: x@y", "a\r\nb", "\r\n.\r\n")
	f.Add("ü@ü.example", "=?utf-8?q?x?= =?utf-8?q?y?=", "\x00\xff\n.\n")
	s, err := New(Options{Address: "mail.example.com:587", From: "Schlüssel <keys@example.com>"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, to, subject, text string) {
		l, err := s.compose(Message{To: to, Subject: subject, Text: text}.stamped(time.Now()))
		if err != nil {
			return
		}
		m, err := netmail.ReadMessage(bytes.NewReader(l.content))
		if err != nil {
			t.Fatalf("%v\n%q", err, l.content)
		}
		if len(m.Header) != 9 {
			t.Errorf("%d headers: %v", len(m.Header), m.Header)
		}
		list, err := m.Header.AddressList("To")
		if err != nil || len(list) != 1 || list[0].Address != l.to || strings.ContainsAny(l.to, "<>\r\n ") {
			t.Errorf("to %v, %v, envelope %q", list, err, l.to)
		}
		if !l.utf8 && !isASCII(string(l.content)) {
			t.Errorf("8 bits in %q", l.content)
		}
		for line := range bytes.Lines(l.content) {
			if len(line) > 600 || !bytes.HasSuffix(line, []byte("\r\n")) && bytes.IndexByte(line, '\n') >= 0 {
				t.Errorf("line %q", line)
			}
		}
	})
}
