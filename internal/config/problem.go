package config

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Problem is one thing that is wrong, or worth a warning.
type Problem struct {
	Place  string // "--listen", "environment APIKEYD_LISTEN", "apikeyd.toml:3: listen"
	Reason string // what is wrong and what is right; never a secret
}

// String returns place and reason on one line.
func (p Problem) String() string { return p.Place + ": " + p.Reason }

// Error is everything that is wrong with a configuration.
type Error struct {
	Problems []Problem // in the order file, environment, flags, combinations; never empty
}

// Error returns the problems, one a line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// maxQuoted is how many bytes of a bad value an error repeats.
const maxQuoted = 64

// userinfo is the user name and password of a URL.
var userinfo = regexp.MustCompile(`://[^/?#\s]*@`)

// quote returns a bad value for an error message: on one line, of bounded length, and without the password that a
// URL may hold.
func quote(value string) string {
	value = userinfo.ReplaceAllString(value, "://…@")
	if len(value) > maxQuoted {
		cut := maxQuoted
		for cut > 0 && !utf8.RuneStart(value[cut]) {
			cut--
		}
		value = value[:cut] + "…"
	}
	return strconv.Quote(value)
}
