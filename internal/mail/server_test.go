package mail

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
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	username = "sender"
	password = "hunter2 hunter2"
)

// behaviour is what a mail server is like.
type behaviour struct {
	mode       Mode
	address    string           // "": any on loopback
	mechanisms []string         // of AUTH; with any, a client must sign in
	utf8       bool             // it knows SMTPUTF8
	refuse     map[string]error // what it answers, by "AUTH", "MAIL", "RCPT", "DATA"
}

// server is a mail server that we did not write, on a real socket.
type server struct {
	behaviour
	address string
	roots   *x509.CertPool // who signed its certificate
	got     chan received
	calls   atomic.Int32 // sessions begun
}

// received is a mail that the server has taken.
type received struct {
	from, to string
	utf8     bool
	helo     string
	content  []byte
}

// start starts a server that is stopped with the test.
func start(t *testing.T, b behaviour) *server {
	t.Helper()
	if b.address == "" {
		b.address = "127.0.0.1:0"
	}
	cert, roots := newCertificate(t)
	s := &server{behaviour: b, roots: roots, got: make(chan received, 10)}
	config := &tls.Config{Certificates: []tls.Certificate{cert}}

	l, err := net.Listen("tcp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	library := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s.calls.Add(1)
		base := &session{server: s, mail: received{helo: c.Hostname()}}
		if len(b.mechanisms) > 0 {
			return &authSession{session: base}, nil
		}
		return base, nil
	}))
	library.ErrorLog = log.New(io.Discard, "", 0)
	library.AllowInsecureAuth = true
	library.EnableSMTPUTF8 = b.utf8
	switch b.mode {
	case StartTLS:
		library.TLSConfig = config
	case TLS:
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

// options returns the options of a sender that suits the server.
func (s *server) options() Options {
	o := Options{Address: s.address, From: "Example Keys <keys@example.com>", TLS: s.mode, RootCAs: s.roots, Timeout: 20 * time.Second}
	if len(s.mechanisms) > 0 {
		o.Username, o.Password = username, func() string { return password }
	}
	return o
}

func newSender(t *testing.T, o Options) *Sender {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// session is one client's.
type session struct {
	server *server
	mail   received
	authed bool
}

func (s *session) Reset()        { s.mail = received{helo: s.mail.helo} }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, o *smtp.MailOptions) error {
	if len(s.server.mechanisms) > 0 && !s.authed {
		return smtp.ErrAuthRequired
	}
	s.mail.from, s.mail.utf8 = from, o.UTF8
	return s.server.refuse["MAIL"]
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mail.to = to
	return s.server.refuse["RCPT"]
}

func (s *session) Data(r io.Reader) error {
	var err error
	if s.mail.content, err = io.ReadAll(r); err != nil {
		return err
	}
	if err := s.server.refuse["DATA"]; err != nil {
		return err
	}
	s.server.got <- s.mail
	return nil
}

// authSession is the session of a client that may sign in.
type authSession struct{ *session }

func (s *authSession) AuthMechanisms() []string { return s.server.mechanisms }

func (s *authSession) Auth(mechanism string) (sasl.Server, error) {
	check := func(name, word string) error {
		if err := s.server.refuse["AUTH"]; err != nil {
			return err
		}
		if name != username || word != password {
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
func newCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
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
