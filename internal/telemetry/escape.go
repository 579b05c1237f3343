package telemetry

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// isPlain reports whether s is printable ASCII without quotes and backslashes, as nearly every string in a log line is:
// it stands for itself in quotes of any kind.
func isPlain(s string) bool {
	if len(s) >= 8 {
		for i := 0; i < len(s)-8; i += 8 {
			if !areEightPlain(s[i : i+8]) {
				return false
			}
		}
		return areEightPlain(s[len(s)-8:]) // some of them for the second time
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// areEightPlain is isPlain for eight bytes at once. The highest bit of a byte that is out of place ends up set. A borrow
// can set that of the byte above, but comes from a byte that is out of place itself.
func areEightPlain(s string) bool {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	x := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	quote, backslash, del := x^'"'*ones, x^'\\'*ones, x^0x7f*ones // zero where the byte is this one
	control := x - ' '*ones                                       // borrows where the byte is less
	zero := (quote - ones) | (backslash - ones) | (del - ones)
	return (x|zero|control)&highs == 0
}

// appendJSONString writes s in quotes as slog's JSON handler does: control characters and what is no UTF-8 are
// escaped, and so are the two line separators that JavaScript takes for line ends; HTML is not.
func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	if isPlain(s) {
		b = append(b, s...)
		return append(b, '"')
	}
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, `\ufffd`...)
		case r == '\u2028':
			b = append(b, `\u2028`...)
		case r == '\u2029':
			b = append(b, `\u2029`...)
		case r == '"', r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r < ' ':
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&0xf])
		default:
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	return append(b, '"')
}

// appendTextString writes s as slog's text handler does: in Go's quotes where it would be mistaken for something else
// or could not be seen, else as it is.
func appendTextString(b []byte, s string) []byte {
	switch {
	case !isPlain(s):
		if needsQuotes(s) {
			return strconv.AppendQuote(b, s)
		}
	case s == "" || strings.IndexByte(s, ' ') >= 0 || strings.IndexByte(s, '=') >= 0:
		b = append(b, '"') // nothing in it to escape
		b = append(b, s...)
		return append(b, '"')
	}
	return append(b, s...)
}

// needsQuotes is slog's rule. A backslash alone is no reason, and neither is DEL.
func needsQuotes(s string) bool {
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
			if r < ' ' || r == '"' || r == ' ' || r == '=' {
				return true
			}
		case r == utf8.RuneError, unicode.IsSpace(r), !unicode.IsPrint(r):
			return true
		}
	}
	return s == ""
}
