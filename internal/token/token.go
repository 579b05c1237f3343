// Package token makes and reads tokens, the secrets that API keys are used with.
//
// A token is PREFIX_BODYCHECK, by default "ak_" and 49 characters: 43 base62 digits (0-9A-Za-z) that encode 256
// random bits, then 6 base62 digits of the CRC-32 (IEEE) of everything before them. The prefix lets a scanner find
// tokens in places where they should not be; the checksum lets it, and the server, tell a token from a typing
// error without asking a database. The idea is GitHub's:
// https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/
//
// Every token has exactly one spelling: a body that encodes more than 256 bits and a checksum that is not the
// computed one are refused, so that two texts never mean one token.
//
// A token is known by its SHA-256 alone. A slow password hash would add nothing: 256 random bits cannot be guessed.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/bits"

	"github.com/apikeyd/apikeyd/internal/key"
)

const (
	// DefaultPrefix begins a token where the operator chose no other.
	DefaultPrefix = "ak"

	alphabet    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" // in the order of its bytes
	bodyDigits  = 43                                                               // 62^43 > 2^256
	checkDigits = 6                                                                // 62^6 > 2^32

	minPrefix = 2
	maxPrefix = 20

	// MinLength and MaxLength bound the length of a token in bytes.
	MinLength = minPrefix + 1 + bodyDigits + checkDigits
	MaxLength = maxPrefix + 1 + bodyDigits + checkDigits
)

// maxBody is the largest body, that of 2^256-1. Digits compare like bytes, so a body is too large where its text is
// greater than this.
var maxBody = encodeBody([32]byte{
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
})

// Token is a token's text. Whatever prints, logs or marshals it gets the hint; only Reveal gives the text.
type Token struct{ text string }

// New makes a token from 256 random bits. It panics where prefix is not one that CheckPrefix accepts.
func New(prefix string) Token {
	var secret [32]byte
	rand.Read(secret[:]) // never fails: crypto/rand ends the program instead
	return build(prefix, secret)
}

func build(prefix string, secret [32]byte) Token {
	if err := CheckPrefix(prefix); err != nil {
		panic(err)
	}
	text := make([]byte, 0, MaxLength)
	text = append(text, prefix...)
	text = append(text, '_')
	body := encodeBody(secret)
	text = append(text, body[:]...)
	check := encodeCheck(crc32.ChecksumIEEE(text))
	text = append(text, check[:]...)
	return Token{string(text)}
}

// CheckPrefix says why prefix cannot begin a token, or nil.
func CheckPrefix(prefix string) error {
	if !validPrefix([]byte(prefix)) {
		return fmt.Errorf("must be %d to %d characters of a-z, 0-9 and _, begin with a letter and not end with _: %q",
			minPrefix, maxPrefix, prefix)
	}
	return nil
}

func validPrefix(p []byte) bool {
	if len(p) < minPrefix || len(p) > maxPrefix || p[0] < 'a' || p[0] > 'z' || p[len(p)-1] == '_' {
		return false
	}
	for _, c := range p {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// Digest returns the digest of text, and false where text is not a token. It allocates nothing.
func Digest(text []byte) (key.Digest, bool) {
	if !WellFormed(text) {
		return key.Digest{}, false
	}
	return Hash(text), true
}

// Hash returns the digest that text would have if it were a token. Where a digest is known to be that of a token,
// so is the text, and that is cheaper than to look at its form first.
func Hash(text []byte) key.Digest { return sha256.Sum256(text) }

// WellFormed reports whether text is a token: right shape, right checksum, the one spelling.
func WellFormed(text []byte) bool {
	if len(text) < MinLength || len(text) > MaxLength {
		return false
	}
	check := len(text) - checkDigits
	body := check - bodyDigits
	if text[body-1] != '_' || !validPrefix(text[:body-1]) {
		return false
	}
	for _, c := range text[body:] {
		if !isDigit[c] {
			return false
		}
	}
	if string(text[body:check]) > string(maxBody[:]) {
		return false
	}
	// The checksum is no secret: it is computed from what the sender wrote, so comparing it in constant time
	// would protect nothing.
	want := encodeCheck(crc32.ChecksumIEEE(text[:check]))
	return string(text[check:]) == string(want[:])
}

// Parse returns the token that text is, and false where it is none.
func Parse(text []byte) (Token, bool) {
	if !WellFormed(text) {
		return Token{}, false
	}
	return Token{string(text)}, true
}

// Within reports whether a token stands somewhere in text: pasted into a name, say, where it has no place.
func Within(text []byte) bool {
	for i, c := range text {
		end := i + 1 + bodyDigits + checkDigits
		if c != '_' || end > len(text) {
			continue
		}
		// Where the prefix begins cannot be seen, but the checksum tells.
		for length := minPrefix; length <= min(maxPrefix, i); length++ {
			if WellFormed(text[i-length : end]) {
				return true
			}
		}
	}
	return false
}

var isDigit = func() (is [256]bool) {
	for _, c := range []byte(alphabet) {
		is[c] = true
	}
	return is
}()

// Digest returns the SHA-256 of the token.
func (t Token) Digest() key.Digest { return sha256.Sum256([]byte(t.text)) }

// Hint returns the prefix and the first and last four characters: enough to tell keys apart, and over 200 bits
// short of the token.
func (t Token) Hint() string {
	body := len(t.text) - checkDigits - bodyDigits
	if body < 0 {
		return ""
	}
	return t.text[:body+4] + "…" + t.text[len(t.text)-4:]
}

// Reveal returns the token's text. There is one place for it: the answer that hands the token out.
func (t Token) Reveal() string { return t.text }

// String returns the hint, so that printing a token by mistake gives nothing away.
func (t Token) String() string { return t.Hint() }

// GoString returns the hint, for %#v.
func (t Token) GoString() string { return "token.Token(" + t.Hint() + ")" }

// LogValue returns the hint.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.Hint()) }

// MarshalText returns the hint.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.Hint()), nil }

// encodeBody writes a 256-bit number in base62, most significant digit first.
func encodeBody(secret [32]byte) (digits [bodyDigits]byte) {
	var limbs [4]uint64
	for i := range limbs {
		limbs[i] = binary.BigEndian.Uint64(secret[8*i:])
	}
	for i := len(digits) - 1; i >= 0; i-- {
		var rest uint64
		for j := range limbs {
			limbs[j], rest = bits.Div64(rest, limbs[j], uint64(len(alphabet)))
		}
		digits[i] = alphabet[rest]
	}
	return digits
}

// encodeCheck writes a 32-bit number in base62, most significant digit first.
func encodeCheck(sum uint32) (digits [checkDigits]byte) {
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = alphabet[sum%uint32(len(alphabet))]
		sum /= uint32(len(alphabet))
	}
	return digits
}
