package mail

import (
	"crypto/rand"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"
)

// Message is one mail to one person.
type Message struct {
	To      string // e-mail address, without a name
	Subject string // one line, of at most 300 bytes
	Text    string // lines that end in "\n"

	id string    // the part of the Message-ID before the @; "": not given yet
	at time.Time // the Date
}

// maxSubject is in bytes.
const maxSubject = 300

// stamped returns the message with an identity, which it keeps through all attempts to send it: where a server has
// taken it twice, a mail program shows it once.
func (m Message) stamped(now time.Time) Message {
	if m.id == "" {
		m.id, m.at = rand.Text(), now
	}
	return m
}

// letter is a message as it goes over the wire.
type letter struct {
	from, to string // of the envelope
	utf8     bool   // the server must know SMTPUTF8
	content  []byte // headers and text; lines end in CRLF
}

// compose writes the letter. Nothing in a message can add a header or a recipient.
func (s *Sender) compose(m Message) (letter, error) {
	to, err := parseMailbox(m.To)
	switch {
	case err != nil:
		return letter{}, fmt.Errorf("the recipient's address %w", err)
	case to.name != "" || strings.ContainsAny(m.To, "<>() \""):
		return letter{}, errors.New("the recipient's address holds more than an address")
	case !visible(m.Subject):
		return letter{}, errors.New("the subject holds a line break or another control character")
	case len(m.Subject) > maxSubject:
		return letter{}, fmt.Errorf("the subject is longer than %d bytes", maxSubject)
	}
	var b strings.Builder
	for _, header := range [][2]string{
		{"From", s.from.header()},
		{"To", to.header()},
		{"Subject", folded(mime.QEncoding.Encode("utf-8", m.Subject))},
		{"Date", m.at.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700")},
		{"Message-ID", "<" + m.id + "@" + s.from.domain + ">"},
		{"Auto-Submitted", "auto-generated"}, // no out-of-office answers: RFC 3834
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "quoted-printable"},
	} {
		b.WriteString(header[0] + ": " + header[1] + "\r\n")
	}
	b.WriteString("\r\n")
	text := quotedprintable.NewWriter(&b) // makes CRLF of every line end
	if _, err := text.Write([]byte(m.Text)); err != nil {
		return letter{}, err
	}
	if err := text.Close(); err != nil {
		return letter{}, err
	}
	return letter{from: s.from.address, to: to.address, utf8: s.from.utf8 || to.utf8, content: []byte(b.String())}, nil
}

// folded puts the encoded words of a header's value, which the encoder writes on one line, on lines of their own.
func folded(value string) string { return strings.ReplaceAll(value, "?= =?", "?=\r\n =?") }
