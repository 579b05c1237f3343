package middleware

import (
	"net/http"
	"strings"
)

// credential returns the token that a request was made with.
//
// A bearer credential goes before X-API-Key, unless it is none of apikeyd's tokens: what an identity provider or a proxy has
// put there does not stand in the way of a key. Two different tokens are refused, because whichever was taken, somebody might
// have meant the other.
func credential(h http.Header) (token string, why *Refusal) {
	other := false // something was sent that is no token
	for _, line := range h["Authorization"] {
		text, ok := cutBearer(line)
		if !ok {
			continue // other schemes are not ours to judge
		}
		switch {
		case !wellFormed(text):
			other = true
		case token != "" && text != token:
			return "", badKey(twoKeys)
		default:
			token = text
		}
	}
	for _, text := range h["X-Api-Key"] {
		switch {
		case text == "":
		case !wellFormed(text):
			other = true
		case token != "" && text != token:
			return "", badKey(twoKeys)
		default:
			token = text
		}
	}
	switch {
	case token != "":
		return token, nil
	case other:
		return "", badKey("what was sent is no key: it is not of the right form, or its checksum is wrong")
	default:
		return "", noKey()
	}
}

const twoKeys = "there are two different keys in the request; send one"

// cutBearer returns what follows the scheme, whose case does not matter (RFC 9110, section 11.1).
func cutBearer(line string) (string, bool) {
	const scheme = "Bearer"
	if len(line) < len(scheme) || !strings.EqualFold(line[:len(scheme)], scheme) {
		return "", false
	}
	rest := line[len(scheme):]
	if rest != "" && rest[0] != ' ' {
		return "", false
	}
	return strings.Trim(rest, " "), true
}
