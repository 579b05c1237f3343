// Package mailtest runs a real mail server in a test: that of github.com/emersion/go-smtp, over a real socket.
//
//	server := mailtest.Start(t, mailtest.Behaviour{})
//	…
//	mail := server.Receive(t)
//
// It is for tests alone, and takes mails from anybody, for anybody.
package mailtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// What a client signs in with, where it must.
const (
	Username = "sender"
	Password = "hunter2 hunter2"
)

// Behaviour is what a mail server is like. The zero Behaviour speaks no TLS and lets nobody sign in.
type Behaviour struct {
	Address    string           // "": any on loopback
	StartTLS   bool             // it offers STARTTLS
	TLS        bool             // it speaks TLS from the first byte
	Mechanisms []string         // of AUTH; with any, a client must sign in
	UTF8       bool             // it knows SMTPUTF8
	Refuse     map[string]error // what it answers, by "AUTH", "MAIL", "RCPT", "DATA"
}

// Server is a mail server that runs.
type Server struct {
	Behaviour
	Address string         // host and port
	Roots   *x509.CertPool // who signed its certificate
	Got     <-chan Mail    // what it has taken
	Calls   atomic.Int32   // sessions begun

	got chan<- Mail
}

// Mail is a mail that the server has taken.
type Mail struct {
	From, To string
	UTF8     bool
	Helo     string // as the client calls itself
	Content  []byte
}

// capacity is how many mails wait for whoever has started the server.
const capacity = 100

// Start starts a server that is stopped with the test.
func Start(t testing.TB, b Behaviour) *Server {
	t.Helper()
	if b.Address == "" {
		b.Address = "127.0.0.1:0"
	}
	cert, roots := newCertificate(t)
	got := make(chan Mail, capacity)
	s := &Server{Behaviour: b, Roots: roots, Got: got, got: got}
	config := &tls.Config{Certificates: []tls.Certificate{cert}}

	l, err := net.Listen("tcp", b.Address)
	if err != nil {
		t.Fatal(err)
	}
	s.Address = l.Addr().String()
	library := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s.Calls.Add(1)
		base := &session{server: s, mail: Mail{Helo: c.Hostname()}}
		if len(b.Mechanisms) > 0 {
			return &authSession{session: base}, nil
		}
		return base, nil
	}))
	library.ErrorLog = log.New(io.Discard, "", 0)
	library.AllowInsecureAuth = true
	library.EnableSMTPUTF8 = b.UTF8
	switch {
	case b.StartTLS:
		library.TLSConfig = config
	case b.TLS:
		l = tls.NewListener(l, config)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		library.Serve(l)
	}()
	t.Cleanup(func() {
		library.Close()
		l.Close() // which the library does not know of before it serves
		<-ended
	})
	return s
}

// Receive returns the next mail, and fails the test where none comes.
func (s *Server) Receive(t testing.TB) Mail {
	t.Helper()
	select {
	case m := <-s.Got:
		return m
	case <-time.After(30 * time.Second):
		t.Fatal("no mail has come")
		return Mail{}
	}
}

// session is one client's.
type session struct {
	server *Server
	mail   Mail
	authed bool
}

func (s *session) Reset()        { s.mail = Mail{Helo: s.mail.Helo} }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, o *smtp.MailOptions) error {
	if len(s.server.Mechanisms) > 0 && !s.authed {
		return smtp.ErrAuthRequired
	}
	s.mail.From, s.mail.UTF8 = from, o.UTF8
	return s.server.Refuse["MAIL"]
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mail.To = to
	return s.server.Refuse["RCPT"]
}

func (s *session) Data(r io.Reader) error {
	var err error
	if s.mail.Content, err = io.ReadAll(r); err != nil {
		return err
	}
	if err := s.server.Refuse["DATA"]; err != nil {
		return err
	}
	s.server.got <- s.mail
	return nil
}

// authSession is the session of a client that may sign in.
type authSession struct{ *session }

func (s *authSession) AuthMechanisms() []string { return s.server.Mechanisms }

func (s *authSession) Auth(mechanism string) (sasl.Server, error) {
	check := func(name, word string) error {
		if err := s.server.Refuse["AUTH"]; err != nil {
			return err
		}
		if name != Username || word != Password {
			return smtp.ErrAuthFailed
		}
		s.authed = true
		return nil
	}
	switch mechanism {
	case "PLAIN":
		return sasl.NewPlainServer(func(_, name, word string) error { return check(name, word) }), nil
	case "LOGIN":
		return &loginServer{check: check}, nil
	}
	return nil, errors.New("unknown mechanism")
}

// loginServer asks for the name and the password, as draft-murchison-sasl-login describes it.
type loginServer struct {
	check func(name, word string) error
	step  int
	name  string
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	l.step++
	switch l.step {
	case 1:
		return []byte("User Name\x00"), false, nil
	case 2:
		l.name = string(response)
		return []byte("Password\x00"), false, nil
	default:
		return nil, true, l.check(l.name, string(response))
	}
}

// newCertificate returns a certificate for 127.0.0.1 that has signed itself.
func newCertificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
