package postgres

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

func TestNewsOf(t *testing.T) {
	one, two := key.Digest{1}, key.Digest{2}
	both := base64.StdEncoding.EncodeToString(append(one[:], two[:]...))
	for payload, want := range map[string]store.News{
		"":                       {},
		"x":                      {},
		"-1":                     {},
		"9223372036854775808":    {},
		"7":                      {Last: 7}, // of a program of before
		"7 ":                     {Last: 7},
		"7 0000000A " + both:     {Last: 7, Digests: []key.Digest{one, two}, History: "0000000A"},
		"7 0000000A " + both[1:]: {Last: 7},
		"7 0000000A " + base64.StdEncoding.EncodeToString(one[:31]): {Last: 7},
		"7 0000000A *": {Last: 7},
	} {
		if got := newsOf(payload); !reflect.DeepEqual(got, want) {
			t.Errorf("newsOf(%q) = %+v, want %+v", payload, got, want)
		}
	}
}

func TestWordOf(t *testing.T) {
	for payload, want := range map[string]store.Word{
		"":            {}, // of a program of before
		"17":          {},
		"17 x":        {},
		"x 3":         {},
		"-17 3":       {},
		"17 3":        {NodeID: 17, Applied: 3},
		"17 3 and on": {},
	} {
		if got := wordOf(payload); got != want {
			t.Errorf("wordOf(%q) = %+v, want %+v", payload, got, want)
		}
	}
}

// Whoever may connect to the database may notify whatever they like.
func FuzzNewsOf(f *testing.F) {
	for _, seed := range []string{"", "7", "7 1 " + base64.StdEncoding.EncodeToString(make([]byte, 64))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		news := newsOf(payload)
		if news.Last < 0 || len(news.Digests) > 0 && !strings.HasPrefix(payload, strings.TrimLeft(payload[:1], "+")) {
			t.Errorf("newsOf(%q) = %+v", payload, news)
		}
		if word := wordOf(payload); word.NodeID < 0 {
			t.Errorf("wordOf(%q) = %+v", payload, word)
		}
	})
}
