package config

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
)

// Limits of a token file.
const (
	maxTokenFile   = 64 * KiB
	minTokenLength = 32  // characters
	maxTokenLength = 512 // characters
	maxTokens      = 16
)

// Tokens are the bearer tokens that a listener takes. They are kept as their SHA-256, so there is nothing in a Tokens
// that could be printed by mistake; whatever prints it gets their number. The zero Tokens takes none.
type Tokens struct {
	digests [][sha256.Size]byte
}

// ParseTokens reads tokens, one a line. Space around a line and empty lines do not count, and a token that is there
// twice counts once. No error repeats any part of data.
func ParseTokens(data []byte) (Tokens, error) {
	var t Tokens
	var errs []error
	number := 0
	for line := range bytes.Lines(data) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if err := checkToken(line); err != nil {
			errs = append(errs, fmt.Errorf("line %d %w", number, err))
			continue
		}
		if digest := sha256.Sum256(line); !t.has(digest) {
			t.digests = append(t.digests, digest)
		}
	}
	switch {
	case len(errs) > 0:
		return Tokens{}, joined(errs)
	case len(t.digests) == 0:
		return Tokens{}, errors.New("the file is empty; write a token into it, of 32 characters or more")
	case len(t.digests) > maxTokens:
		return Tokens{}, fmt.Errorf("the file holds %d tokens; %d at most", len(t.digests), maxTokens)
	}
	return t, nil
}

func checkToken(line []byte) error {
	for _, c := range line {
		if c <= ' ' || c > '~' {
			return errors.New("holds a character that is not visible ASCII")
		}
	}
	if n := len(line); n < minTokenLength || n > maxTokenLength {
		return fmt.Errorf("has %d characters; a token has %d to %d", n, minTokenLength, maxTokenLength)
	}
	return nil
}

// Len returns how many tokens there are.
func (t Tokens) Len() int { return len(t.digests) }

// Match reports whether presented is one of the tokens. How long it takes says nothing about them: the digest depends
// on what was presented alone, and every token is compared in constant time.
func (t Tokens) Match(presented string) bool {
	if len(presented) > maxTokenLength {
		return false
	}
	var text [maxTokenLength]byte // keeps the conversion off the heap
	return t.has(sha256.Sum256(text[:copy(text[:], presented)]))
}

func (t Tokens) has(digest [sha256.Size]byte) bool {
	found := 0
	for i := range t.digests {
		found |= subtle.ConstantTimeCompare(t.digests[i][:], digest[:])
	}
	return found == 1
}

// String returns how many tokens there are.
func (t Tokens) String() string {
	if t.Len() == 1 {
		return "1 token"
	}
	return fmt.Sprintf("%d tokens", t.Len())
}

// Format writes the same, whatever the verb.
func (t Tokens) Format(f fmt.State, _ rune) { fmt.Fprint(f, t.String()) }

// LogValue returns the same.
func (t Tokens) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText returns the same.
func (t Tokens) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
