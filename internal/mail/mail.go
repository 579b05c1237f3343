// Package mail sends short text mails by SMTP.
//
// A Sender hands one mail to one server and says how that went. An Outbox stands in front of it: a request puts a mail
// there and goes on, so that nobody waits for a mail server, and the time of an answer does not tell whether a mail was
// sent. The texts are here too (texts.go), so that what is promised in them is beside what keeps it.
//
// It is the SMTP of the standard library, which is old, stable and no longer grows, with the little around it that is
// needed: a context for everything, AUTH LOGIN, and SMTPUTF8 only for an address that cannot do without. Mails are one
// plain text for one person; whoever needs attachments or HTML needs a library.
//
// A mail may hold a link that is as good as a password. No error and no log line of this package repeats a subject, a
// text, a password, or what a server answered once it had seen one of them.
package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// Mode says how the connection to the server is encrypted.
type Mode string

// The modes.
const (
	StartTLS Mode = "starttls" // by STARTTLS, which the server must offer
	TLS      Mode = "tls"      // from the first byte
	None     Mode = "none"     // not at all
)

// DefaultTimeout bounds one attempt to send one mail.
const DefaultTimeout = 30 * time.Second

// Options say which server takes mails, and from whom they are.
type Options struct {
	Address  string // HOST:PORT of the server
	From     string // e-mail address of the sender, with or without a name: "Example <keys@example.com>"
	Username string // "": the server asks for none

	// Password returns the password to Username. It is a function so that options can be printed.
	Password func() string

	TLS     Mode           // "": StartTLS
	RootCAs *x509.CertPool // who signs the server's certificate; nil: the system's authorities
	Timeout time.Duration  // of one attempt; 0: DefaultTimeout
}

// Sender sends mails, each over a connection of its own. Its methods are safe for concurrent use.
type Sender struct {
	address, host string
	from          mailbox
	username      string
	password      func() string
	mode          Mode
	tls           *tls.Config
	timeout       time.Duration
}

// New returns a Sender. It connects to nothing.
func New(o Options) (*Sender, error) {
	host, _, err := net.SplitHostPort(o.Address)
	if err != nil || host == "" {
		return nil, errors.New("mail: the server's address is not HOST:PORT")
	}
	from, err := parseMailbox(o.From)
	if err != nil {
		return nil, fmt.Errorf("mail: the sender's address %w", err)
	}
	if (o.Username == "") != (o.Password == nil) {
		return nil, errors.New("mail: a user name and a password go together")
	}
	switch o.TLS {
	case "":
		o.TLS = StartTLS
	case StartTLS, TLS, None:
	default:
		return nil, fmt.Errorf("mail: there is no mode %q", o.TLS)
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	return &Sender{
		address:  o.Address,
		host:     host,
		from:     from,
		username: o.Username,
		password: o.Password,
		mode:     o.TLS,
		tls:      &tls.Config{ServerName: host, RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		timeout:  o.Timeout,
	}, nil
}

// CheckFrom says why text cannot be Options.From, or nil.
func CheckFrom(text string) error {
	_, err := parseMailbox(text)
	return err
}

// Send sends m and returns once the server has taken it. Where the connection breaks after the text was sent, the
// server may have taken it all the same. Permanent says of an error whether another attempt could help.
func (s *Sender) Send(ctx context.Context, m Message) error {
	l, err := s.compose(m.stamped(time.Now()))
	if err != nil {
		return &failure{doing: "compose the mail", cause: err, permanent: true}
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := s.deliver(ctx, l); err != nil {
		if ctx.Err() != nil && !Permanent(err) {
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return err
	}
	return nil
}
