package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
)

// secrets finds pieces of tokens, of the secrets of sessions and links, and of passwords in whatever it is given: as they
// are, without their prefix, in base64 (at each of the three ways that three bytes can begin), in hexadecimal of either
// case, percent-encoded, and the 256 random bits themselves. A piece is 20 bytes in a row, so a hint is none, and a
// password must be as long.
type secrets struct {
	pieces map[[pieceLength]byte]string // what it is a piece of
}

const pieceLength = 20

func newSecrets(texts map[string]string) *secrets {
	s := &secrets{pieces: map[[pieceLength]byte]string{}}
	for name, secret := range texts {
		for how, text := range spellings(secret) {
			for i := range len(text) - pieceLength + 1 {
				s.pieces[[pieceLength]byte([]byte(text[i:]))] = name + ", " + how
			}
		}
	}
	return s
}

// spellings returns the ways to write a secret, or the part of a token that is one.
func spellings(secret string) map[string]string {
	body, bits := secret, []byte(nil)
	if tokenText.MatchString(secret) {
		body = secret[strings.LastIndexByte(secret, '_')+1:]
		bits = randomBits(body)
	} else if decoded, err := base64.RawURLEncoding.DecodeString(secret); err == nil && len(decoded) == 32 {
		bits = decoded
	}
	all := map[string]string{
		"as it is":                       body,
		"hexadecimal":                    hex.EncodeToString([]byte(body)),
		"HEXADECIMAL":                    strings.ToUpper(hex.EncodeToString([]byte(body))),
		"percent-encoded":                percent(body),
		"the random bits":                string(bits),
		"the random bits in hexadecimal": hex.EncodeToString(bits),
		"the random bits in base64":      base64.RawStdEncoding.EncodeToString(bits),
	}
	for skip := range 3 {
		all[fmt.Sprintf("base64 from %d", skip)] = base64.RawStdEncoding.EncodeToString([]byte(body[skip:]))
		all[fmt.Sprintf("base64 of URLs from %d", skip)] = base64.RawURLEncoding.EncodeToString([]byte(body[skip:]))
	}
	return all
}

func percent(text string) string {
	var b strings.Builder
	for i := range len(text) {
		fmt.Fprintf(&b, "%%%02X", text[i])
	}
	return b.String()
}

// randomBits undoes the base62 of the first 43 digits.
func randomBits(body string) []byte {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	n := new(big.Int)
	for _, c := range body[:43] {
		n.Mul(n, big.NewInt(62)).Add(n, big.NewInt(int64(strings.IndexRune(digits, c))))
	}
	return n.FillBytes(make([]byte, 32))
}

// find says which secret is in data, "" for none.
func (s *secrets) find(data []byte) string {
	for i := range len(data) - pieceLength + 1 {
		if name, ok := s.pieces[[pieceLength]byte(data[i:i+pieceLength])]; ok {
			return fmt.Sprintf("%s, at byte %d", name, i)
		}
	}
	return ""
}

// mustBeAbsent fails the test where a piece of a secret is in data. It does not print what it has found.
func (s *secrets) mustBeAbsent(t testing.TB, where string, data []byte) {
	t.Helper()
	if found := s.find(data); found != "" {
		t.Errorf("there is a secret in %s: %s", where, found)
	}
}

// TestSecretsAreFound makes sure that what finds nothing would find something.
func TestSecretsAreFound(t *testing.T) {
	t.Parallel()
	const token = "ak_KfQSAEGDCX7MCSTyoBJJupKjvVLJ32AKWqDfgSG72qU3OkRGz"
	s := newSecrets(map[string]string{"it": token})
	for name, text := range map[string]string{
		"alone":            token,
		"in the middle":    "key=" + token + "&x",
		"a piece":          "…" + token[20:40] + "…",
		"hex":              fmt.Sprintf("%x", token),
		"HEX":              fmt.Sprintf("%X", "ab"+token),
		"base64":           base64.StdEncoding.EncodeToString([]byte(token)),
		"base64, shifted":  base64.StdEncoding.EncodeToString([]byte("a" + token)),
		"base64, shifted ": base64.URLEncoding.EncodeToString([]byte("Basic:" + token + ":")),
		"a query":          url.Values{"key": {token}}.Encode(),
		"percent":          percent(token),
		"random bits":      hex.EncodeToString(randomBits(token[3:])),
	} {
		if s.find([]byte(text)) == "" {
			t.Errorf("%s: not found in %s", name, text)
		}
		if s.find(bytes.Repeat([]byte("x"), 100)) != "" {
			t.Error("found in nothing")
		}
	}
	for _, text := range []string{"", "ak_KfQS…kRGz", token[:22], strings.Repeat("ak_", 100)} {
		if found := s.find([]byte(text)); found != "" {
			t.Errorf("%s found in %s", found, text)
		}
	}
	const session, word = "5mALUqAU-UiAstjXJCK6g-g_HXRQuDm2MUOsvsFN34Q", "correct horse battery staple"
	others := newSecrets(map[string]string{"session": session, "password": word})
	bits, err := base64.RawURLEncoding.DecodeString(session)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{session, "/sign-in/" + session[:20], string(bits), hex.EncodeToString(bits), word, percent(word)} {
		if others.find([]byte(text)) == "" {
			t.Errorf("not found in %q", text)
		}
	}
}
