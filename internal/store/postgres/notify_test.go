package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
)

// secret is what a test's notifications are sealed with.
var secret = []byte("0123456789abcdef0123456789abcdef")

// seal seals as the database does.
func seal(channel, said string) string {
	inner := sha256.Sum256([]byte(string(secret) + channel + " " + said))
	outer := sha256.Sum256([]byte(string(secret) + string(inner[:])))
	return said + " " + base64.StdEncoding.EncodeToString(outer[:])
}

func TestNewsOf(t *testing.T) {
	one, two := key.Digest{1}, key.Digest{2}
	both := base64.StdEncoding.EncodeToString(append(one[:], two[:]...))
	for said, want := range map[string]store.News{
		"":                       {},
		"x":                      {},
		"-1":                     {},
		"9223372036854775808":    {},
		"7":                      {Last: 7},
		"7 ":                     {Last: 7},
		"7 0000000A " + both:     {Last: 7, Digests: []key.Digest{one, two}, History: "0000000A"},
		"7 0000000A " + both[1:]: {Last: 7},
		"7 0000000A " + base64.StdEncoding.EncodeToString(one[:31]): {Last: 7},
		"7 0000000A *": {Last: 7},
	} {
		if got := newsOf(seal(changedChannel, said), secret); !reflect.DeepEqual(got, want) {
			t.Errorf("newsOf(%q) = %+v, want %+v", said, got, want)
		}
		for _, payload := range []string{said, seal(appliedChannel, said), seal(changedChannel, said) + "=", "1" + seal(changedChannel, said)} {
			if got := newsOf(payload, secret); !reflect.DeepEqual(got, store.News{}) {
				t.Errorf("newsOf(%q) = %+v, and anybody may have said it", payload, got)
			}
		}
		if got := newsOf(seal(changedChannel, said), nil); !reflect.DeepEqual(got, store.News{}) {
			t.Errorf("newsOf(%q) without a secret = %+v", said, got)
		}
	}
}

func TestWordOf(t *testing.T) {
	for said, want := range map[string]store.Word{
		"":         {},
		"17":       {},
		"17 x h":   {},
		"x 3 h":    {},
		"-17 3 h":  {},
		"17 3 h":   {NodeID: 17, Applied: 3, History: "h"},
		"17 3 h i": {NodeID: 17, Applied: 3, History: "h i"},
	} {
		if got := wordOf(seal(appliedChannel, said), secret); got != want {
			t.Errorf("wordOf(%q) = %+v, want %+v", said, got, want)
		}
		for _, payload := range []string{said, seal(changedChannel, said), "1" + seal(appliedChannel, said)} {
			if got := wordOf(payload, secret); got != (store.Word{}) {
				t.Errorf("wordOf(%q) = %+v, and anybody may have said it", payload, got)
			}
		}
	}
}

// Programs of other versions may say something else.
func FuzzNewsOf(f *testing.F) {
	for _, seed := range []string{"", "7", "7 1 " + base64.StdEncoding.EncodeToString(make([]byte, 64))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		news := newsOf(seal(changedChannel, payload), secret)
		if news.Last < 0 || len(news.Digests) > 0 && !strings.HasPrefix(payload, strings.TrimLeft(payload[:1], "+")) {
			t.Errorf("newsOf(%q) = %+v", payload, news)
		}
		if word := wordOf(seal(appliedChannel, payload), secret); word.NodeID < 0 {
			t.Errorf("wordOf(%q) = %+v", payload, word)
		}
	})
}

// Notifications go through the whole database: those of another schema, and of people who may only connect, must be believed in nothing.
func TestNotificationsOfOthers(t *testing.T) {
	dsn := postgrestest.NewDatabase(t)
	s := openFilled(t, dsn, 1)
	owner := plain(t, dsn)
	execute(t, owner, `CREATE SCHEMA other`)
	query := "?"
	if strings.Contains(dsn, "?") {
		query = "&"
	}
	other := openFilled(t, dsn+query+"search_path=other", 1)
	n, foreign := joined(t, s, store.Node{ID: 1}), joined(t, other, store.Node{ID: 2})
	if n.History == foreign.History {
		t.Errorf("two schemas have one history, %q", n.History)
	}

	ctx, cancel := context.WithCancel(t.Context())
	news, words := make(chan store.News, 10), make(chan store.Word, 10)
	done := make(chan error)
	go func() {
		done <- s.Listen(ctx, func(n store.News) { news <- n }, func(w store.Word) { words <- w })
	}()
	defer func() { cancel(); <-done }()
	<-news
	<-words
	last := change(t, s, 0)
	if got := <-news; got.Last != last || got.History != n.History || !got.Own || !slices.Equal(got.Digests, []key.Digest{digestOf(0)}) {
		t.Errorf("news %+v of change %d", got, last)
	}
	n.Applied = last
	if _, known, err := s.Renew(t.Context(), n, 0, 1, false); err != nil || !known {
		t.Fatalf("Renew() = %v, %v", known, err)
	}
	if got := <-words; got != (store.Word{NodeID: n.ID, Applied: last, History: n.History}) {
		t.Errorf("word %+v of change %d", got, last)
	}
	if behind, err := s.Behind(t.Context(), last+1, 0); err != nil || len(behind) != 1 || behind[0].History != n.History {
		t.Errorf("Behind() = %+v, %v", behind, err)
	}

	change(t, other, 0)
	if got := <-news; got.Own || got.History == n.History {
		t.Errorf("news of another schema: %+v", got)
	}
	stranger := plain(t, postgrestest.Limited(t, dsn))
	execute(t, stranger, `SELECT pg_notify($1, $2)`, changedChannel, seal(changedChannel, "7 "+n.History+" "))
	if got := <-news; !reflect.DeepEqual(got, store.News{}) {
		t.Errorf("news of a stranger: %+v", got)
	}
	execute(t, stranger, `SELECT pg_notify($1, $2)`, appliedChannel, seal(appliedChannel, "1 7 "+n.History))
	if got := <-words; got != (store.Word{}) {
		t.Errorf("word of a stranger: %+v", got)
	}
}
