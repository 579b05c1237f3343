package rules

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Why a path is ambiguous: whoever reads it next may take it for another than we do. The texts are for whoever sent it.
var (
	errNoPath    = errors.New("does not begin with a slash")
	errControl   = errors.New("holds a space or a control character")
	errSeparator = errors.New("holds a backslash")
	errParameter = errors.New("holds a semicolon")
	errFragment  = errors.New("holds a # that is not escaped")
	errEscape    = errors.New("holds a % that does not begin an escape of two hexadecimal digits")
	errSlash     = errors.New("holds an escaped slash")
	errTwice     = errors.New("is escaped twice")
	errUTF8      = errors.New("is not UTF-8")
	errDots      = errors.New(`holds "." or ".." as a segment`)
	errEmpty     = errors.New("holds an empty segment")
)

// CleanPath returns the path of a request's target, "/accounts/7?x=y", as rules are matched against it: decoded, without query, and
// without a slash at its end. The error says why the path is ambiguous: proxies, frameworks and file systems disagree about
// what it means, so that a rule could be about one thing and the request get another.
//
// A path without escapes is returned without being copied.
func CleanPath(target string) (string, error) {
	path, _, _ := strings.Cut(target, "?")
	if path == "" || path[0] != '/' {
		return "", errNoPath
	}
	plain := true
	for i := range len(path) {
		switch c := path[i]; c {
		case '\\', ';', '#':
			return "", unwanted(c)
		case '%':
			plain = false
		default:
			if c <= ' ' || c == 0x7f {
				return "", errControl
			}
			plain = plain && c < utf8.RuneSelf
		}
	}
	if !plain {
		var err error
		if path, err = decode(path); err != nil {
			return "", err
		}
	}
	return withoutDots(path)
}

func unwanted(c byte) error {
	switch c {
	case '\\':
		return errSeparator
	case ';':
		return errParameter
	default:
		return errFragment
	}
}

// decode undoes percent-encoding, once, and refuses what would mean something else to whoever undoes it again, or not at all.
func decode(path string) (string, error) {
	b := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' {
			if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
				return "", errEscape
			}
			c = unhex(path[i+1])<<4 | unhex(path[i+2])
			i += 2
			switch c {
			case '/':
				return "", errSlash
			case '\\', ';':
				return "", unwanted(c)
			}
		}
		b = append(b, c)
	}
	decoded := string(b)
	switch {
	case !utf8.ValidString(decoded):
		return "", errUTF8
	case strings.ContainsFunc(decoded, unicode.IsControl):
		return "", errControl
	case escapedAgain(decoded):
		return "", errTwice
	}
	return decoded, nil
}

// escapedAgain reports whether decoded text holds an escape, as that of "%252F" does and that of "%25%32F".
func escapedAgain(text string) bool {
	for i := 0; i+2 < len(text); i++ {
		if text[i] == '%' && isHex(text[i+1]) && isHex(text[i+2]) {
			return true
		}
	}
	return false
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^('a'-'A') - 'A' + 10
}

// withoutDots refuses segments that lead elsewhere, and returns the path without a slash at its end, but for that of the root.
func withoutDots(path string) (string, error) {
	if path == "/" {
		return path, nil
	}
	path = strings.TrimSuffix(path, "/")
	for rest := path; rest != ""; {
		segment, next := cutSegment(rest)
		switch segment {
		case "":
			return "", errEmpty
		case ".", "..":
			return "", errDots
		}
		rest = next
	}
	return path, nil
}

// cutSegment returns the first segment of a path that begins with a slash, without it, and what follows: "" or a path that begins
// with a slash.
func cutSegment(path string) (segment, rest string) {
	if i := strings.IndexByte(path[1:], '/'); i >= 0 {
		return path[1 : i+1], path[i+1:]
	}
	return path[1:], ""
}
