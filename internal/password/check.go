package password

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// MinLength is the fewest characters, Unicode code points, that a password may have.
	MinLength = 12

	// MaxLength is the most bytes that a password may have. It bounds what a request costs, not what people choose.
	MaxLength = 1024
)

// Check says what is wrong with password as a new one for the user with this e-mail address, "" where nothing is. It is
// for passwords that are being chosen: those that were chosen under other rules go on working.
func Check(password, email string) string {
	if len(password) > MaxLength {
		return fmt.Sprintf("must be at most %d bytes long, not %d", MaxLength, len(password))
	}
	if !utf8.ValidString(password) {
		return "must be valid UTF-8"
	}
	plain := normalize(password)
	if n := length(password, plain); n < MinLength {
		return fmt.Sprintf("must be at least %d characters long, not %d", MinLength, n)
	}
	plain = strings.ToLower(plain)
	if plain == strings.ToLower(normalize(email)) {
		return "must not be the e-mail address"
	}
	if guessedFirst(plain) {
		return "is among the passwords that are guessed first; choose another one"
	}
	return ""
}

// length counts the characters of a password. NFKC makes one of two, e and its accent, but also eighteen of one, which
// is guessed as one: the lower count is the true one.
func length(typed, normalized string) int {
	return min(utf8.RuneCountInString(typed), utf8.RuneCountInString(normalized))
}
