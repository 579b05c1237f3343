package httpapi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/key"
)

// This file reads the plain spelling of a check: known fields, each at most once and in any order, strings without
// escapes, small integers. That is what every program sends. Whatever is unusual, let alone wrong, is left to the
// strict decoder, which is ten times as slow and says what is wrong. The two agree on all that both read: see
// FuzzParseQuestion.

var tooManyQuestions = fmt.Sprintf("must have at most %d items", api.MaxBatch)

const (
	seenKey = 1 << iota
	seenScope
	seenOrganization
	seenIP
)

// parseQuestion reads the object at the beginning of b and returns what follows it; false where the strict decoder has
// to say. The token is a part of b.
func parseQuestion(b []byte) (q question, rest []byte, ok bool) {
	b, ok = expect(b, '{')
	if !ok {
		return q, nil, false
	}
	seen := 0
	for {
		var name []byte
		if name, b, ok = parseString(b); !ok {
			return q, nil, false
		}
		if b, ok = expect(b, ':'); !ok {
			return q, nil, false
		}
		var field int
		switch string(name) {
		case "key":
			field = seenKey
			q.token, b, ok = parseString(b)
		case "scope":
			field = seenScope
			var scope []byte
			if scope, b, ok = parseString(b); ok {
				q.Scope, ok = key.ParseScope(view(scope))
			}
		case "organization_id":
			field = seenOrganization
			q.OrganizationID, b, ok = parseID(b)
		case "ip":
			field = seenIP
			var ip []byte
			if ip, b, ok = parseString(b); ok {
				q.IP, ok = parseAddress(view(ip))
			}
		default:
			ok = false
		}
		if !ok || seen&field != 0 {
			return q, nil, false
		}
		seen |= field

		b = skipSpace(b)
		if len(b) == 0 {
			return q, nil, false
		}
		c := b[0]
		b = b[1:]
		switch {
		case c == '}':
			return q, b, seen&seenKey != 0
		case c != ',':
			return q, nil, false
		}
	}
}

// parseBatch reads a whole batch.
func parseBatch(b []byte) (all []question, ok bool) {
	if b, ok = expect(b, '{'); !ok {
		return nil, false
	}
	name, b, ok := parseString(b)
	if !ok || string(name) != "requests" {
		return nil, false
	}
	if b, ok = expect(b, ':'); !ok {
		return nil, false
	}
	if b, ok = expect(b, '['); !ok {
		return nil, false
	}
	for {
		var q question
		if q, b, ok = parseQuestion(b); !ok || len(all) == api.MaxBatch {
			return nil, false
		}
		all = append(all, q)
		if after, more := expect(b, ','); more {
			b = after
			continue
		}
		break
	}
	if b, ok = expect(b, ']'); !ok {
		return nil, false
	}
	if b, ok = expect(b, '}'); !ok {
		return nil, false
	}
	return all, blank(b)
}

// parseString reads a string of ASCII without escapes, and white space before it.
func parseString(b []byte) (s, rest []byte, ok bool) {
	b, ok = expect(b, '"')
	if !ok {
		return nil, nil, false
	}
	end := bytes.IndexByte(b, '"')
	if end < 0 || !plain(b[:end]) {
		return nil, nil, false
	}
	return b[:end], b[end+1:], true
}

// plain reports whether b is printable ASCII (or DEL) without a backslash. It looks at eight bytes at a time.
func plain(b []byte) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; len(b) >= 8; b = b[8:] {
		w := binary.LittleEndian.Uint64(b)
		backslash := w ^ '\\'*ones
		// The high bit of a byte is set by w where it is no ASCII, by the first difference where it is below a space, and
		// by the second where it is a backslash. A borrow only ever comes from a byte that is wrong itself.
		if (w|(w-' '*ones)|(backslash-ones))&high != 0 {
			return false
		}
	}
	for _, c := range b {
		if c < ' ' || c == '\\' || c >= 0x80 {
			return false
		}
	}
	return true
}

// parseID reads a positive integer of at most 18 digits, which always fits, and white space before it.
func parseID(b []byte) (id int64, rest []byte, ok bool) {
	const maxDigits = 18
	b = skipSpace(b)
	n := 0
	for n < len(b) && n <= maxDigits && '0' <= b[n] && b[n] <= '9' {
		id = 10*id + int64(b[n]-'0')
		n++
	}
	if n == 0 || n > maxDigits || b[0] == '0' {
		return 0, nil, false
	}
	return id, b[n:], true // a fraction or an exponent is no comma, and ends up with the strict decoder
}

// parseAddress reads an IPv4 or IPv6 address. A zone means something on one machine only.
func parseAddress(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Zone() == ""
}

// expect skips white space and one c.
func expect(b []byte, c byte) (rest []byte, ok bool) {
	b = skipSpace(b)
	if len(b) == 0 || b[0] != c {
		return nil, false
	}
	return b[1:], true
}

func skipSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\t' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}

func blank(b []byte) bool { return len(skipSpace(b)) == 0 }
