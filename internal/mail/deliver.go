package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"net/smtp"
	"time"
)

const (
	// maxAnswers bounds what a server may say during one mail, in bytes.
	maxAnswers = 256 << 10
	// quitTimeout is how long a server that has taken the mail has for its good-bye.
	quitTimeout = 2 * time.Second
)

var (
	errNoStartTLS  = errors.New("the mail server does not offer STARTTLS")
	errNoAuth      = errors.New("the mail server offers no way to sign in that is known here (PLAIN, LOGIN)")
	errUnencrypted = errors.New("a password is sent unencrypted to this machine only")
	errNoUTF8      = errors.New("the mail server takes no address with characters beyond ASCII")
	errTalkative   = errors.New("the mail server says more than any mail server has to say")
)

// deliver hands the letter to the server. ctx bounds the time of everything.
func (s *Sender) deliver(ctx context.Context, l letter) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return failed("connect", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })() // wakes what waits

	c, err := s.greet(conn)
	if err != nil {
		return err
	}
	if err := s.signIn(c, conn); err != nil {
		return err
	}
	if err := transfer(c, l); err != nil {
		return err
	}
	conn.SetDeadline(time.Now().Add(quitTimeout))
	c.Quit() // the server has the mail, whatever it answers
	return nil
}

// connect returns a connection to the server, encrypted where that is from the first byte.
func (s *Sender) connect(ctx context.Context) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	conn = &bounded{Conn: conn, left: maxAnswers}
	if s.mode != TLS {
		return conn, nil
	}
	encrypted := tls.Client(conn, s.tls)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return encrypted, nil
}

// greet exchanges names with the server, and encrypts the connection by STARTTLS where that is the mode.
func (s *Sender) greet(conn net.Conn) (*smtp.Client, error) {
	c, err := smtp.NewClient(conn, s.host)
	if err != nil {
		return nil, failed("wait for the mail server's greeting", err)
	}
	if err := c.Hello(ownName(conn.LocalAddr())); err != nil {
		return nil, failed("greet the mail server", err)
	}
	if s.mode != StartTLS {
		return c, nil
	}
	if offered, _ := c.Extension("STARTTLS"); !offered {
		return nil, &failure{doing: "encrypt the connection", cause: errNoStartTLS, permanent: true}
	}
	if err := c.StartTLS(s.tls); err != nil {
		return nil, failed("encrypt the connection", err)
	}
	return c, nil
}

// ownName returns what to introduce oneself as: the address of this end, as RFC 5321 (4.1.4) has it for hosts whose
// name means nothing to others.
func ownName(local net.Addr) string {
	ip := addressOf(local)
	switch {
	case !ip.IsValid():
		return "localhost"
	case ip.Is4():
		return "[" + ip.String() + "]"
	default:
		return "[IPv6:" + ip.String() + "]"
	}
}

func addressOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

// signIn presents user name and password, where there are any.
func (s *Sender) signIn(c *smtp.Client, conn net.Conn) error {
	const doing = "sign in to the mail server"
	if s.username == "" {
		return nil
	}
	if _, encrypted := c.TLSConnectionState(); !encrypted && !addressOf(conn.RemoteAddr()).IsLoopback() {
		return &failure{doing: doing, cause: errUnencrypted, permanent: true}
	}
	_, offered := c.Extension("AUTH")
	auth := newAuth(offered, s.username, s.password())
	if auth == nil {
		return &failure{doing: doing, cause: errNoAuth, permanent: true}
	}
	if err := c.Auth(auth); err != nil {
		return failedInConfidence(doing, err)
	}
	return nil
}

// transfer sends envelope and content.
func transfer(c *smtp.Client, l letter) error {
	// The library's Mail asks for SMTPUTF8 wherever it is offered, and then a server further on that does not know it
	// may have to refuse a mail that did not need it.
	parameters := ""
	if l.utf8 {
		if known, _ := c.Extension("SMTPUTF8"); !known {
			return &failure{doing: "name the sender and recipient", cause: errNoUTF8, permanent: true}
		}
		parameters = " BODY=8BITMIME SMTPUTF8"
	}
	if err := command(c, 250, "MAIL FROM:<%s>%s", l.from, parameters); err != nil {
		return failed("name the sender", err)
	}
	if err := c.Rcpt(l.to); err != nil {
		return failed("name the recipient", err)
	}
	data, err := c.Data()
	if err != nil {
		return failed("begin the text", err)
	}
	if _, err := data.Write(l.content); err != nil {
		return failedInConfidence("send the text", err)
	}
	if err := data.Close(); err != nil {
		return failedInConfidence("send the text", err)
	}
	return nil
}

// command sends a command that the library has no method for. No argument may hold a line break.
func command(c *smtp.Client, expected int, format string, args ...any) error {
	id, err := c.Text.Cmd(format, args...)
	if err != nil {
		return err
	}
	c.Text.StartResponse(id)
	defer c.Text.EndResponse(id)
	_, _, err = c.Text.ReadResponse(expected)
	return err
}

// bounded is a connection that ends when the other side has said too much: the library gathers an answer of any number
// of lines.
type bounded struct {
	net.Conn
	left int // bytes
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTalkative
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
