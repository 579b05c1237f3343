package middleware

import (
	"hash/crc32"
	"testing"

	"github.com/apikeyd/apikeyd/internal/token"
)

// FuzzWellFormed holds the form of a token here against that of the server, which this package cannot import.
func FuzzWellFormed(f *testing.F) {
	good := token.New("ak").Reveal()
	// The largest number that a body can be, and the next one.
	largest, tooLarge := "ak_"+maxBody, "ak_"+maxBody[:len(maxBody)-1]+"2"
	for _, text := range []string{
		good, good[:len(good)-1], good + "0", "x" + good, "_" + good, "9" + good, good[1:], "a__" + good, "é" + good, "", "ak_",
		token.New("a2345678901234567890").Reveal(), token.New("a_b").Reveal(), largest, tooLarge,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, want := wellFormed(text), token.WellFormed([]byte(text)); got != want {
			t.Errorf("%q: %t, and the server says %t", text, got, want)
		}
		if signed := sign(text); wellFormed(signed) != token.WellFormed([]byte(signed)) {
			t.Errorf("%q: not as the server says", signed)
		}
	})
}

// sign gives text the right checksum, which a fuzzer does not find.
func sign(text string) string {
	sum := crc32.ChecksumIEEE([]byte(text))
	var check [checkDigits]byte
	for i := checkDigits - 1; i >= 0; i-- {
		check[i] = digits[sum%62]
		sum /= 62
	}
	return text + string(check[:])
}
