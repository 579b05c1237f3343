package mail

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/apikeyd/apikeyd/internal/mail/mailtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a mail server, and how it is spoken to.
type server struct {
	*mailtest.Server
	mode Mode
}

// start starts a server that is stopped with the test.
func start(t *testing.T, mode Mode, b mailtest.Behaviour) *server {
	t.Helper()
	b.StartTLS, b.TLS = mode == StartTLS, mode == TLS
	return &server{mailtest.Start(t, b), mode}
}

// options returns the options of a sender that suits the server.
func (s *server) options() Options {
	o := Options{Address: s.Address, From: "Example Keys <keys@example.com>", TLS: s.mode, RootCAs: s.Roots, Timeout: 20 * time.Second}
	if len(s.Mechanisms) > 0 {
		o.Username, o.Password = mailtest.Username, func() string { return mailtest.Password }
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
