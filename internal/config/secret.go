package config

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"unicode"
	"unicode/utf8"
)

// maxSecretFile bounds a file that holds one secret.
const maxSecretFile = 64 * KiB

// Secret is a password or the like, which has to be handed on as it is. Whatever prints, logs or marshals it learns
// whether there is one; only Reveal gives the text. The zero Secret is none.
type Secret struct{ text string }

// ParseSecret reads the first line that is not empty. Space around it does not count. No error repeats any part of
// data.
func ParseSecret(data []byte) (Secret, error) {
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if !utf8.Valid(line) || bytes.ContainsFunc(line, unicode.IsControl) {
			return Secret{}, errors.New("the first line of the file holds a character that no secret has; this is no text file")
		}
		return Secret{string(line)}, nil
	}
	return Secret{}, errors.New("the file is empty; write the secret into it, on a line of its own")
}

// Given reports whether there is a secret.
func (s Secret) Given() bool { return s.text != "" }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return s.text }

// String returns what may be seen: whether there is a secret.
func (s Secret) String() string {
	if s.Given() {
		return "a secret"
	}
	return "no secret"
}

// Format writes the same, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// LogValue returns the same.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns the same.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
