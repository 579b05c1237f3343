package cli

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestVisible(t *testing.T) {
	for s, want := range map[string]string{
		"":                      "",
		"Backend API Key":       "Backend API Key",
		"日本語 für 👩\u200d🔬 é":    "日本語 für 👩\u200d🔬 é",
		"a\tb\nc\r":             `a\x09b\x0ac\x0d`,
		"\x1b]0;title\x07":      `\x1b]0;title\x07`,
		"\u009b31m":             `\u009b31m`, // the one-character form of ESC [
		"a\xffb":                `a\xffb`,
		"\uFFFD":                "\uFFFD",
		"abc\u202edef\u2066":    `abc\u202edef\u2066`, // the rest would read backwards
		"\u2028\u00ad\ufeff":    `\u2028\u00ad\ufeff`,
		"\U000e0041":            `\U000e0041`, // a letter that nobody sees
		"\u00a0\u3000\u2003and": "\u00a0\u3000\u2003and",
	} {
		equal(t, s, visible(s), want)
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("a\x1b[2J\u009b\xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := visible(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !shown(r) }) {
			t.Errorf("%q becomes %q", s, got)
		}
		if visible(got) != got {
			t.Errorf("%q is not left alone", got)
		}
	})
}

// FuzzVisibleJSON: what is printed means what was sent, and holds nothing that a terminal obeys.
func FuzzVisibleJSON(f *testing.F) {
	f.Add("[\"a\xe2\xf3b\"]")
	f.Add(`{"a":"\u001b","b":["` + "\u009b\u202e\U000e0041\x7f" + `"]}`)
	f.Fuzz(func(t *testing.T, s string) {
		if !json.Valid([]byte(s)) {
			return
		}
		b, err := marshal(json.RawMessage(s), "")
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsFunc(string(b), func(r rune) bool { return r != '\n' && !shown(r) }) || !utf8.Valid(b) {
			t.Errorf("%q becomes %q", s, b)
		}
		if got, want := decoded(t, string(b)), decoded(t, s); !reflect.DeepEqual(got, want) {
			t.Errorf("%q becomes %q", s, b)
		}
	})
}

// decoded returns what a JSON text means, with numbers as they are spelled.
func decoded(t *testing.T, s string) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return v
}
