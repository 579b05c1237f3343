package middleware

import (
	"hash/crc32"
	"strings"
)

// The form of a token: PREFIX_BODYCHECK. See docs/reference/tokens.md.
const (
	digits      = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	prefixChars = "abcdefghijklmnopqrstuvwxyz0123456789_"
	minPrefix   = 2
	maxPrefix   = 20
	bodyDigits  = 43
	checkDigits = 6
	maxToken    = maxPrefix + 1 + bodyDigits + checkDigits

	// maxBody is 2^256-1. Digits compare like bytes, so a greater body has a greater text.
	maxBody = "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1"
)

// wellFormed reports whether text has the form of a token and the right checksum, so that it may be one. What has not is
// refused without asking.
func wellFormed(text string) bool {
	check := len(text) - checkDigits
	body := check - bodyDigits
	if body-1 < minPrefix || body-1 > maxPrefix || text[body-1] != '_' {
		return false
	}
	prefix := text[:body-1]
	if strings.Trim(prefix, prefixChars) != "" || prefix[0] < 'a' || prefix[0] > 'z' || prefix[len(prefix)-1] == '_' {
		return false
	}
	if strings.Trim(text[body:], digits) != "" || text[body:check] > maxBody {
		return false
	}
	sum := checksum(text[:check])
	for i := len(text) - 1; i >= check; i-- {
		if text[i] != digits[sum%uint32(len(digits))] {
			return false
		}
		sum /= uint32(len(digits))
	}
	return true
}

// checksum is crc32.ChecksumIEEE of a text, which it does not copy.
func checksum(text string) uint32 {
	sum := ^uint32(0)
	for _, c := range []byte(text) {
		sum = crc32.IEEETable[byte(sum)^c] ^ sum>>8
	}
	return ^sum
}
