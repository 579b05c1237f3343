// Package credential finds out what a request was made with: a key, or somebody else's token in the place of one. Every door that a
// key may come in by asks it, so that none takes what another refuses.
package credential

import (
	"errors"
	"strings"
	"unsafe"

	"github.com/apikeyd/apikeyd/internal/token"
)

// Sent is what a request was made with, beside cookies. It holds a Key or a Foreign, or neither.
type Sent struct {
	Key     string // a token of ours; "": none
	Foreign string // a credential in the place of one that is none of ours; "": none
}

// What is wrong with the credentials of a request. The texts are for whoever sent it.
var (
	ErrTwoKeys    = errors.New("there are two different keys in the request; send one")
	ErrTwoForeign = errors.New("there are two different credentials in the request, and neither is a key; send one")
	ErrNoKey      = errors.New("what was sent is no key: it is not of the right form, or its checksum is wrong")
)

// Find returns what a request was made with, given the lines of its headers Authorization and X-API-Key.
//
// A key comes as "Authorization: Bearer TOKEN" or "X-API-Key: TOKEN". The bearer goes first, unless it is none of our
// tokens: what an identity provider or a proxy has put there does not stand in the way of a key. Two different tokens
// of ours are refused, because whichever was taken, somebody might have meant the other. So are two of somebody else's.
//
// It allocates nothing.
func Find(authorization, apiKey []string) (Sent, error) {
	var f finder
	for _, line := range authorization {
		if text, ok := CutBearer(line); ok {
			f.bearer = true
			f.take(text)
		}
	}
	for _, text := range apiKey {
		f.take(text)
	}
	switch {
	case f.twoKeys:
		return Sent{}, ErrTwoKeys
	case f.sent.Key != "":
		return Sent{Key: f.sent.Key}, nil
	case f.twoForeign:
		return Sent{}, ErrTwoForeign
	case f.sent.Foreign == "" && f.bearer:
		return Sent{}, ErrNoKey
	}
	return f.sent, nil
}

// Only returns the one thing that a request was made with, where there is one alone, in the place of a key. Nobody has looked at its
// form: it is what Find returns as Key if that is a token's, and as Foreign if not. It costs next to nothing.
func Only(authorization, apiKey []string) (text string, ok bool) {
	switch {
	case len(authorization) == 1 && len(apiKey) == 0:
		text, _ = CutBearer(authorization[0])
	case len(authorization) == 0 && len(apiKey) == 1:
		text = apiKey[0]
	}
	return text, text != ""
}

// finder gathers credentials.
type finder struct {
	sent                Sent
	twoKeys, twoForeign bool
	bearer              bool // there was a line with the scheme Bearer
}

func (f *finder) take(text string) {
	if token.WellFormed(view(text)) {
		f.twoKeys = f.twoKeys || f.sent.Key != "" && f.sent.Key != text
		f.sent.Key = text
	} else if text != "" {
		f.twoForeign = f.twoForeign || f.sent.Foreign != "" && f.sent.Foreign != text
		f.sent.Foreign = text
	}
}

// CutBearer returns what follows the scheme Bearer in a line of Authorization, and false where the scheme is another: those are
// not ours to judge. The scheme's case does not matter (RFC 9110, section 11.1).
func CutBearer(line string) (string, bool) {
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

// view returns text as bytes without copying it. Nobody may write to them.
func view(text string) []byte { return unsafe.Slice(unsafe.StringData(text), len(text)) }
