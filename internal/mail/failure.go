package mail

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/textproto"
	"regexp"
	"strings"
	"unicode"
)

// failure is why a mail was not sent.
type failure struct {
	doing     string // what the Sender was about: "connect"
	cause     error
	permanent bool
}

func (f *failure) Error() string { return f.doing + ": " + f.cause.Error() }
func (f *failure) Unwrap() error { return f.cause }

// Permanent reports whether the same mail would fail again: the server refused it for good, its certificate is not
// good, or it is no mail. Everything else, a server that is away or busy, may pass.
func Permanent(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.permanent
}

// failed says what the Sender was doing when err came.
func failed(doing string, err error) error {
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		return refused(doing, reply, oneLine(reply.Msg))
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	return &failure{doing: doing, cause: err, permanent: untrusted}
}

// failedInConfidence is failed where the server has just been told a secret: of its answer only the codes are kept, for
// its words may repeat what it was told. Filters quote the links that they refuse.
func failedInConfidence(doing string, err error) error {
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		return refused(doing, reply, enhancedCode.FindString(reply.Msg))
	}
	if _, ok := errors.AsType[textproto.ProtocolError](err); ok { // it quotes the answer
		return &failure{doing: doing, cause: errors.New("the mail server's answer is no SMTP")}
	}
	return failed(doing, err)
}

// enhancedCode begins an answer's text: https://www.rfc-editor.org/rfc/rfc3463
var enhancedCode = regexp.MustCompile(`^[245]\.\d{1,3}\.\d{1,3}\b`)

func refused(doing string, reply *textproto.Error, words string) error {
	return &failure{
		doing:     doing,
		cause:     errors.New(strings.TrimSpace(fmt.Sprintf("the mail server answered %d %s", reply.Code, words))),
		permanent: reply.Code >= 500,
	}
}

// oneLine returns text on one line, of bounded length, and without what cannot be seen.
func oneLine(text string) string {
	const limit = 200
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return text
}
