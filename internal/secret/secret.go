// Package secret makes and reads the secrets that people sign in with and that are no API keys: those of sessions, of
// one-time links and of devices that were signed in with before.
//
// A secret is 256 random bits as 43 characters of base64url, which fit into a cookie and an address. It is kept by its
// SHA-256 alone: a slow password hash would add nothing, because it cannot be guessed. What has a prefix and a checksum,
// for people to copy and for scanners to find, is a token.
package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"

	"github.com/apikeyd/apikeyd/internal/key"
)

var encoding = base64.RawURLEncoding.Strict()

// Length is that of a secret, in bytes.
const Length = 43

// Secret is a secret's text. Whatever prints, logs or marshals it gets nothing; only Reveal gives the text.
type Secret struct{ text string }

// New makes a secret.
func New() Secret {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return Secret{encoding.EncodeToString(b[:])}
}

// Digest returns what text is known by, and false where it is no secret. Each secret has one spelling.
func Digest(text string) (key.Digest, bool) {
	var b [32]byte
	if len(text) != Length {
		return key.Digest{}, false
	}
	if n, err := encoding.Decode(b[:], []byte(text)); err != nil || n != len(b) {
		return key.Digest{}, false
	}
	return sha256.Sum256([]byte(text)), true
}

// Digest returns what the secret is known by.
func (s Secret) Digest() key.Digest { return sha256.Sum256([]byte(s.text)) }

// IsZero reports whether there is none.
func (s Secret) IsZero() bool { return s.text == "" }

// Reveal returns the text, for the one answer that hands it out.
func (s Secret) Reveal() string { return s.text }

const hidden = "[secret]"

// String, Format, LogValue and MarshalText give nothing away; Format is for verbs like %d, which do not ask for a String.
func (s Secret) String() string               { return hidden }
func (s Secret) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, hidden) }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(hidden) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
