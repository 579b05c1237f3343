package mail

import (
	"errors"
	netmail "net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits of RFC 5321, in bytes, and one of our own for a header with a name.
const (
	maxLocal   = 64
	maxAddress = 254
	maxMailbox = 512
)

// mailbox is somebody who sends or gets mail.
type mailbox struct {
	name    string // "": none
	address string // LOCAL@DOMAIN, with the domain in ASCII, as DNS knows it
	domain  string
	utf8    bool // the local part is not ASCII, so that a server must know SMTPUTF8
}

// parseMailbox reads "you@example.com" or "Your Name <you@example.com>". What it returns can stand in a header and in
// an envelope: nothing in it breaks a line or needs quotes in the address. Its errors are the end of a sentence whose
// subject is the text.
func parseMailbox(text string) (mailbox, error) {
	bad := errors.New("is no e-mail address; write one like you@example.com")
	switch {
	case len(text) > maxMailbox:
		return mailbox{}, errors.New("is too long for an e-mail address")
	case !visible(text):
		return mailbox{}, errors.New("holds a line break or another control character")
	}
	parsed, err := netmail.ParseAddress(text)
	if err != nil || !visible(parsed.Name) { // a name may be encoded, and hold what was not to be seen
		return mailbox{}, bad
	}
	at := strings.LastIndexByte(parsed.Address, '@')
	local, domain := parsed.Address[:at], parsed.Address[at+1:]
	if (&netmail.Address{Address: parsed.Address}).String() != "<"+parsed.Address+">" {
		return mailbox{}, bad // the local part needs quotes; nobody has such an address
	}
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil || ascii == "" {
		return mailbox{}, bad
	}
	m := mailbox{name: parsed.Name, address: local + "@" + ascii, domain: ascii, utf8: !isASCII(local)}
	if len(local) > maxLocal || len(m.address) > maxAddress {
		return mailbox{}, errors.New("is too long for an e-mail address")
	}
	return m, nil
}

// header returns the mailbox as it stands in a header.
func (m mailbox) header() string {
	return folded((&netmail.Address{Name: m.name, Address: m.address}).String())
}

// visible reports whether text is UTF-8 without a control character or anything else that ends a line.
func visible(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool {
		return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
	}) < 0
}

func isASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r > unicode.MaxASCII }) < 0
}
