package token

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/big"
	"strings"
	"testing"
)

// bigBody encodes secret by math/big, whose base62 alphabet is 0-9a-zA-Z: another implementation to hold ours
// against.
func bigBody(secret [32]byte) string {
	s := new(big.Int).SetBytes(secret[:]).Text(62)
	swap := func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}
	return strings.Repeat("0", bodyDigits-len(s)) + strings.Map(swap, s)
}

func TestBuildMatchesFormat(t *testing.T) {
	for _, prefix := range []string{"ak", "acme_live", "a0", "abcdefghij0123456789"} {
		for _, secret := range [][32]byte{{}, {31: 1}, {0: 0x80}, sha256.Sum256([]byte("x"))} {
			tok := build(prefix, secret).Reveal()
			want := prefix + "_" + bigBody(secret)
			sum := crc32.ChecksumIEEE([]byte(want))
			check := strings.Repeat("0", 6) + bigBody([32]byte{28: byte(sum >> 24), 29: byte(sum >> 16), 30: byte(sum >> 8), 31: byte(sum)})
			want += check[len(check)-6:]
			if tok != want {
				t.Errorf("token for %x = %s, want %s", secret, tok, want)
			}
			digest, ok := Digest([]byte(tok))
			if !ok || digest != sha256.Sum256([]byte(tok)) {
				t.Errorf("Digest(%s) = %v, %v", tok, digest, ok)
			}
		}
	}
}

func TestDefaultTokenHas52Characters(t *testing.T) {
	tok := New(DefaultPrefix)
	if got := len(tok.Reveal()); got != 52 {
		t.Errorf("length = %d, want 52", got)
	}
	if tok.Reveal() == New(DefaultPrefix).Reveal() {
		t.Error("two tokens are the same")
	}
}

func TestDigestRefuses(t *testing.T) {
	good := build("ak", sha256.Sum256([]byte("y"))).Reveal()
	withCheck := func(s string) string { // s with a checksum that is right
		check := encodeCheck(crc32.ChecksumIEEE([]byte(s)))
		return s + string(check[:])
	}
	body := good[3 : 3+bodyDigits]
	over := []byte(string(maxBody[:])) // a copy
	over[len(over)-1]++                // the last digit of 2^256-1 is no z, so this is 2^256
	tests := map[string]string{
		"empty":                   "",
		"prefix alone":            "ak_",
		"cut off":                 good[:len(good)-1],
		"one more":                good + "0",
		"space in front":          " " + good,
		"line break behind":       good + "\n",
		"wrong checksum":          good[:len(good)-1] + string(rune(good[len(good)-1]^1)),
		"wrong case":              strings.ToUpper(good),
		"no underscore":           strings.Replace(good, "_", "-", 1),
		"body of 2^256":           withCheck("ak_" + string(over)),
		"body of all z":           withCheck("ak_" + strings.Repeat("z", bodyDigits)),
		"a sign in the body":      withCheck("ak_" + "+" + body[1:]),
		"prefix of one letter":    withCheck("a_" + body),
		"prefix of 21":            withCheck(strings.Repeat("a", 21) + "_" + body),
		"prefix with capital":     withCheck("aK_" + body),
		"prefix from a digit":     withCheck("0k_" + body),
		"prefix ends in _":        withCheck("ak__" + body),
		"prefix with a high byte": withCheck("a\xff_" + body),
		"huge":                    strings.Repeat("ak_", 1<<20),
	}
	for name, text := range tests {
		if _, ok := Digest([]byte(text)); ok {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, ok := Digest([]byte(withCheck("ak_" + string(maxBody[:])))); !ok {
		t.Error("the largest body is refused")
	}
}

func TestTokenIsNeverPrinted(t *testing.T) {
	tok := New("ak")
	secret := tok.Reveal()
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", tok, "in", struct{ T Token }{tok})
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", tok, "in", struct{ T Token }{tok})
	js, err := json.Marshal(map[string]any{"t": tok})
	if err != nil {
		t.Fatal(err)
	}
	out := log.String() + string(js) + fmt.Sprint(tok) + fmt.Sprintf("%v %+v %#v %s %q %x", tok, tok, tok, tok, tok, tok)
	if strings.Contains(out, secret) || strings.Contains(out, fmt.Sprintf("%x", secret)) || strings.Contains(out, secret[8:40]) {
		t.Errorf("the token is in %s", out)
	}
	if want := secret[:7] + "…" + secret[48:]; tok.Hint() != want {
		t.Errorf("hint = %s, want %s", tok.Hint(), want)
	}
}

func TestWithin(t *testing.T) {
	tok := build("acme_live", sha256.Sum256([]byte("z"))).Reveal()
	for text, want := range map[string]bool{
		tok:                                  true,
		"my key " + tok + ", do not lose it": true,
		"x" + tok:                            true, // whoever pastes it so has pasted it all the same
		tok + tok:                            true,
		`{"old":"` + tok + `"}`:              true,
		"":                                   false,
		"_":                                  false,
		tok[:len(tok)-1]:                     false,
		tok[:10] + " " + tok[10:]:            false,
		strings.Repeat("snake_case_", 400):   false,
	} {
		if got := Within([]byte(text)); got != want {
			t.Errorf("Within(%q) = %v", text, got)
		}
	}
}

func TestCheckPrefix(t *testing.T) {
	for _, p := range []string{"ak", "a1", "my_company_live", "a__b"} {
		if err := CheckPrefix(p); err != nil {
			t.Errorf("CheckPrefix(%q) = %v", p, err)
		}
	}
	for _, p := range []string{"", "a", "_a", "a_", "1a", "A1", "a-b", "ä1", strings.Repeat("a", 21)} {
		if err := CheckPrefix(p); err == nil {
			t.Errorf("CheckPrefix(%q) accepts it", p)
		}
	}
}

// FuzzOneSpelling changes a token in any way that the fuzzer comes upon: no other text may be a token for the same
// secret, and none may be taken unless rebuilding it from its parts gives the same text.
func FuzzOneSpelling(f *testing.F) {
	good := build("ak", sha256.Sum256([]byte("seed"))).Reveal()
	f.Add(good)
	f.Add(build("acme_live", [32]byte{}).Reveal())
	f.Add(good[:10])
	f.Add(strings.ToLower(good))
	f.Fuzz(func(t *testing.T, text string) {
		if _, ok := Digest([]byte(text)); !ok {
			return
		}
		split := len(text) - checkDigits - bodyDigits
		value := new(big.Int)
		for _, c := range []byte(text[split : split+bodyDigits]) {
			value.Mul(value, big.NewInt(62)).Add(value, big.NewInt(int64(strings.IndexByte(alphabet, c))))
		}
		if value.BitLen() > 256 {
			t.Fatalf("%q encodes %d bits", text, value.BitLen())
		}
		var secret [32]byte
		value.FillBytes(secret[:])
		if again := build(text[:split-1], secret).Reveal(); again != text {
			t.Fatalf("%q is another spelling of %q", text, again)
		}
	})
}

func BenchmarkDigest(b *testing.B) {
	text := []byte(New("ak").Reveal())
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Digest(text); !ok {
			b.Fatal("refused")
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		New("ak")
	}
}
