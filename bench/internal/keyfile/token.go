package keyfile

import (
	"hash/crc32"
	"math/rand/v2"

	"github.com/apikeyd/apikeyd/internal/token"
)

// seed begins the pseudo-random tokens. Another one makes other files.
const seed = 0x6170696b657964

const (
	digits      = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	bodyDigits  = 43
	checkDigits = 6
	textLength  = len(token.DefaultPrefix) + 1 + bodyDigits + checkDigits
)

// Text is the text of a token.
type Text [textLength]byte

// Token returns the token of the key with this id. It is the same each time, so that none has to be kept: tokens of
// ten million keys would be half a gigabyte. They can be guessed, which is why the product has no such function.
func Token(keyID int64) (text Text) {
	random := rand.NewPCG(seed, uint64(keyID))
	b := append(text[:0], token.DefaultPrefix...)
	b = append(b, '_', '0') // a body that begins with 0 encodes less than 256 bits
	for end := len(b) + bodyDigits - 1; len(b) < end; {
		const perDraw = 10 // 62^10 < 2^60
		for bits, n := random.Uint64(), 0; n < perDraw && len(b) < end; n++ {
			b = append(b, digits[bits%uint64(len(digits))])
			bits /= uint64(len(digits))
		}
	}
	check := text[len(b):]
	for sum, i := crc32.ChecksumIEEE(b), checkDigits-1; i >= 0; i-- {
		check[i] = digits[sum%uint32(len(digits))]
		sum /= uint32(len(digits))
	}
	return text
}
