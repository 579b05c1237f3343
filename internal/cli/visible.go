package cli

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// shown reports whether r may reach a terminal as it is. Control characters may not: a terminal obeys them. Nor may
// what turns the direction of text or cannot be seen, with which one text is made to look like another. The two joiners
// are what some scripts and emoji are written with.
func shown(r rune) bool {
	const zeroWidthNonJoiner, zeroWidthJoiner = '\u200c', '\u200d'
	return unicode.IsGraphic(r) || r == zeroWidthNonJoiner || r == zeroWidthJoiner
}

// Visible returns text as it may reach a terminal: on one line, and with everything escaped that a terminal would obey.
func Visible(text string) string { return visible(text) }

// VisibleJSON returns JSON that means the same, and may reach a terminal.
func VisibleJSON(document []byte) []byte { return visibleJSON(document) }

// visible returns s with every character that must not reach a terminal written as Go writes it in a string: \x1b,
// \u202e. It is one line whatever s is.
func visible(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !shown(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case shown(r):
			b.WriteRune(r)
		case r < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}

// visibleJSON returns JSON that means the same, with every character that must not reach a terminal escaped. Such
// characters occur within strings alone, where JSON has an escape for each; line breaks between values stay.
func visibleJSON(document []byte) []byte {
	unfit := func(r rune) bool { return r != '\n' && !shown(r) }
	if utf8.Valid(document) && bytes.IndexFunc(document, unfit) < 0 {
		return document
	}
	var b bytes.Buffer
	for _, r := range string(document) { // what is not UTF-8 becomes U+FFFD, as in every reader of JSON
		switch {
		case !unfit(r):
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		}
	}
	return b.Bytes()
}
