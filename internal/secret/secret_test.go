package secret

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecret(t *testing.T) {
	s := New()
	if len(s.Reveal()) != Length || s.IsZero() || s.Reveal() == New().Reveal() {
		t.Errorf("new secret %q", s.Reveal())
	}
	digest, ok := Digest(s.Reveal())
	if !ok || digest != s.Digest() || digest != sha256.Sum256([]byte(s.Reveal())) {
		t.Errorf("digest %v, %t", digest, ok)
	}
	if zero := (Secret{}); !zero.IsZero() || zero.Reveal() != "" {
		t.Errorf("the zero secret is %q", zero.Reveal())
	}
}

func TestDigestRefuses(t *testing.T) {
	good := New().Reveal()
	last := strings.IndexByte(alphabet, good[Length-1])
	for name, text := range map[string]string{
		"nothing":                    "",
		"one character less":         good[:Length-1],
		"one character more":         good + "A",
		"padding":                    good + "=",
		"padding in place of a text": good[:Length-1] + "=",
		"the other alphabet":         good[:Length-2] + "+/",
		"a line break":               good[:20] + "\n" + good[21:],
		"a line break behind":        good[:Length-1] + "\n",
		"a space before":             " " + good[1:],
		"a NUL":                      good[:20] + "\x00" + good[21:],
		"no ASCII":                   good[:Length-2] + "é",
		"bits that mean nothing":     good[:Length-1] + string(alphabet[last|1]),
	} {
		if digest, ok := Digest(text); ok || !zero(digest[:]) {
			t.Errorf("%s: %q is taken for a secret", name, text)
		}
	}
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func TestASecretIsNotPrinted(t *testing.T) {
	s := New()
	in := struct {
		Secret  Secret
		Pointer *Secret
		Map     map[string]Secret
	}{s, &s, map[string]Secret{"x": s}}
	marshalled, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	for _, h := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(h).Info("x", "secret", s, "pointer", &s, "in", in)
	}
	printed := []string{string(marshalled), logged.String(), fmt.Errorf("error: %v", s).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		printed = append(printed, fmt.Sprintf(verb, s), fmt.Sprintf(verb, &s), fmt.Sprintf(verb, in), fmt.Sprintf(verb, []any{s}))
	}
	for _, text := range printed {
		for _, spelling := range []string{s.Reveal()[5:20], fmt.Sprintf("%x", s.Reveal()[5:20]), fmt.Sprintf("%X", s.Reveal()[5:20])} {
			if strings.Contains(text, spelling) {
				t.Errorf("the secret is in %q", text)
			}
		}
	}
}

// Each secret has one spelling: what is taken for one decodes to 32 bytes, whose encoding it is.
func FuzzDigest(f *testing.F) {
	f.Add(New().Reveal())
	f.Add(strings.Repeat("A", Length))
	f.Add(strings.Repeat("_", Length))
	f.Add(strings.Repeat("A", Length-1) + "B")
	f.Add(strings.Repeat("A", Length-2) + "\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		digest, ok := Digest(text)
		if !ok {
			if !zero(digest[:]) {
				t.Errorf("%q is no secret, and has the digest %x", text, digest)
			}
			return
		}
		b, err := encoding.DecodeString(text)
		if err != nil || len(b) != 32 || encoding.EncodeToString(b) != text || len(text) != Length {
			t.Errorf("%q is taken for a secret: %x, %v", text, b, err)
		}
		if again := (Secret{text}).Digest(); again != digest {
			t.Errorf("%q has the digests %x and %x", text, digest, again)
		}
	})
}
