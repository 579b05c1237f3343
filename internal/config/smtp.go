package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/apikeyd/apikeyd/internal/mail"
)

// SMTP says which server takes mails. The zero SMTP is none, whatever its TLS.
type SMTP struct {
	Address      string // "HOST:PORT"; HOST is an IP address or a host name
	From         string // e-mail address, with or without a name
	Username     string // "": the server asks for none
	PasswordFile string
	Password     Secret // as it stood in PasswordFile at the start
	TLS          mail.Mode
}

// Enabled reports whether there is a server.
func (s SMTP) Enabled() bool { return s.Address != "" }

// parseMailServer reads "HOST:PORT". A host name stays what it is: it is the name in the server's certificate.
func parseMailServer(text string) (string, error) {
	const right = "write HOST:PORT like mail.example.com:587"
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" {
		return "", fmt.Errorf("%s is no address of a server; %s", quote(text), right)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return "", fmt.Errorf("%s has no port that is a number from 1 to 65535; %s", quote(text), right)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.String()
	} else if _, err := parseHost(host); err != nil {
		return "", fmt.Errorf("%s has %w; %s", quote(text), err, right)
	}
	return net.JoinHostPort(host, strconv.FormatUint(number, 10)), nil
}

func parseMailFrom(text string) (string, error) {
	if err := mail.CheckFrom(text); err != nil {
		return "", fmt.Errorf("%s %w", quote(text), err)
	}
	return text, nil
}

func parseMailTLS(text string) (mail.Mode, error) {
	mode, err := oneOf(string(mail.StartTLS), string(mail.TLS), string(mail.None))(text)
	return mail.Mode(mode), err
}

// host returns the host of Address.
func (s SMTP) host() string {
	host, _, _ := net.SplitHostPort(s.Address)
	return host
}
