package github

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// The examples that GitHub has published in its documentation of the partner program, each with the key that goes with it.
var published = []struct{ identifier, key, signature, body string }{
	{
		"bcb53661c06b4728e59d897fb6165d5c9cda0fd9cdf9d09ead458168deb7518c",
		"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYAGMWO8XgCamYKMJS6jc/qgvSlAd\n" +
			"AjPuDPRcXU22YxgBrz+zoN19MzuRyW87qEt9/AmtoNP5GrobzUvQSyJFVw==\n-----END PUBLIC KEY-----\n",
		"MEQCIQDaMKqrGnE27S0kgMrEK0eYBmyG0LeZismAEz/BgZyt7AIfXt9fErtRS4XaeSt/AO1RtBY66YcAdjxji410VQV4xg==",
		`[{"source":"commit","token":"some_token","type":"some_type","url":"https://example.com/base-repo-url/"}]`,
	},
	{
		"f9525bf080f75b3506ca1ead061add62b8633a346606dc5fe544e29231c6ee0d",
		"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEsz9ugWDj5jK5ELBK42ynytbo38gP\n" +
			"HzZFI03Exwz8Lh/tCfL3YxwMdLjB+bMznsanlhK0RwcGP3IDb34kQDIo3Q==\n-----END PUBLIC KEY-----",
		"MEUCIFLZzeK++IhS+y276SRk2Pe5LfDrfvTXu6iwKKcFGCrvAiEAhHN2kDOhy2I6eGkOFmxNkOJ+L2y8oQ9A2T9GGJo6WJY=",
		`[{"token":"some_token","type":"some_type","url":"some_url","source":"some_source"}]`,
	},
}

// site publishes keys, and counts who asks.
type site struct {
	mu     sync.Mutex
	answer func(http.ResponseWriter)
	asked  int
}

func (s *site) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	s.answer(w)
}

func (s *site) set(answer func(http.ResponseWriter)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *site) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// listing is an answer with keys, by their identifiers.
func listing(keys map[string]string) func(http.ResponseWriter) {
	list := []map[string]any{}
	for identifier, text := range keys {
		list = append(list, map[string]any{"key_identifier": identifier, "key": text, "is_current": len(list) == 0})
	}
	return func(w http.ResponseWriter) { json.NewEncoder(w).Encode(map[string]any{"public_keys": list}) }
}

func failing(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }

// kit is Keys that ask a site.
type kit struct {
	*Keys
	*site
	at time.Time
}

func newKit(t *testing.T, answer func(http.ResponseWriter)) *kit {
	k := &kit{site: &site{answer: answer}, at: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}
	server := httptest.NewServer(k.site)
	t.Cleanup(server.Close)
	k.Keys = New(Options{URL: server.URL, Now: func() time.Time { return k.at }, Log: slog.New(slog.DiscardHandler)})
	return k
}

func (k *kit) expect(t *testing.T, what string, want error, identifier, signature, body string) {
	t.Helper()
	if err := k.Verify(t.Context(), identifier, signature, []byte(body)); !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// pair is a key of our own.
type pair struct {
	private *ecdsa.PrivateKey
	public  string
}

func newPair(t *testing.T, curve elliptic.Curve) pair {
	t.Helper()
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pair{private, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
}

func (p pair) sign(t *testing.T, body string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(body))
	sig, err := ecdsa.SignASN1(rand.Reader, p.private, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(sig)
}

func TestPublishedExamples(t *testing.T) {
	keys := map[string]string{}
	for _, p := range published {
		keys[p.identifier] = p.key
	}
	k := newKit(t, listing(keys))
	for _, p := range published {
		k.expect(t, p.identifier, nil, p.identifier, p.signature, p.body)
		k.expect(t, "a line break more", ErrSignature, p.identifier, p.signature, p.body+"\n")
		k.expect(t, "a byte less", ErrSignature, p.identifier, p.signature, p.body[:len(p.body)-1])
		k.expect(t, "another body", ErrSignature, p.identifier, p.signature, strings.Replace(p.body, "some_token", "other_token", 1))
	}
	k.expect(t, "another key", ErrSignature, published[0].identifier, published[1].signature, published[1].body)
	if n := k.count(); n != 1 {
		t.Errorf("GitHub was asked %d times", n)
	}
}

func TestForgeries(t *testing.T) {
	ours, p384 := newPair(t, elliptic.P256()), newPair(t, elliptic.P384())
	k := newKit(t, listing(map[string]string{"ours": ours.public, "p384": p384.public, "": ours.public, "none": "no key",
		"broken": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"}))
	const body = `[]`
	good := ours.sign(t, body)
	k.expect(t, "good", nil, "ours", good, body)
	raw, _ := base64.StdEncoding.DecodeString(good)
	for what, tt := range map[string][2]string{
		"no identifier":        {"", good},
		"unknown identifier":   {"theirs", good},
		"long identifier":      {strings.Repeat("a", 1<<16), good},
		"no signature":         {"ours", ""},
		"no base64":            {"ours", "%%%"},
		"URL base64":           {"ours", strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(good)},
		"long signature":       {"ours", strings.Repeat("A", 1<<16)},
		"not ASN.1":            {"ours", base64.StdEncoding.EncodeToString(make([]byte, 64))},
		"more behind it":       {"ours", base64.StdEncoding.EncodeToString(append(raw, 0))},
		"zeros":                {"ours", base64.StdEncoding.EncodeToString([]byte{0x30, 6, 2, 1, 0, 2, 1, 0})},
		"another curve":        {"p384", p384.sign(t, body)},
		"a key that is none":   {"none", good},
		"a key that is broken": {"broken", good},
		"somebody else":        {"ours", newPair(t, elliptic.P256()).sign(t, body)},
	} {
		k.expect(t, what, ErrSignature, tt[0], tt[1], body)
	}
	if n := k.count(); n != 1 {
		t.Errorf("forged identifiers made us ask %d times", n)
	}
}

func TestKeysAreAskedForAgain(t *testing.T) {
	a, b := newPair(t, elliptic.P256()), newPair(t, elliptic.P256())
	k := newKit(t, listing(map[string]string{"a": a.public}))
	const body = `[]`
	asked := func(want int) {
		t.Helper()
		if got := k.count(); got != want {
			t.Errorf("asked %d times, want %d", got, want)
		}
	}
	k.expect(t, "a", nil, "a", a.sign(t, body), body)
	k.set(listing(map[string]string{"b": b.public}))
	k.expect(t, "b, too early", ErrSignature, "b", b.sign(t, body), body)
	asked(1)
	k.at = k.at.Add(time.Minute)
	k.expect(t, "a while it is known", nil, "a", a.sign(t, body), body)
	asked(1)
	k.expect(t, "b", nil, "b", b.sign(t, body), body)
	asked(2)
	k.expect(t, "a, which was withdrawn", ErrSignature, "a", a.sign(t, body), body)

	// While GitHub is away, what is known stays good, and of others nobody can say.
	k.set(failing)
	k.at = k.at.Add(24 * time.Hour)
	for range 3 {
		k.expect(t, "b in an outage", nil, "b", b.sign(t, body), body)
		k.expect(t, "a in an outage", ErrUnavailable, "a", a.sign(t, body), body)
	}
	asked(3)
	k.set(listing(map[string]string{"a": a.public}))
	k.at = k.at.Add(time.Minute)
	k.expect(t, "b after it", ErrSignature, "b", b.sign(t, body), body)
	k.expect(t, "a after it", nil, "a", a.sign(t, body), body)
	asked(4)
}

func TestAnswersThatAreNone(t *testing.T) {
	p := newPair(t, elliptic.P256())
	for what, answer := range map[string]func(http.ResponseWriter){
		"an error":   failing,
		"no JSON":    func(w http.ResponseWriter) { w.Write([]byte("<html>")) },
		"no keys":    listing(nil),
		"null":       func(w http.ResponseWriter) { w.Write([]byte("null")) },
		"a redirect": func(w http.ResponseWriter) { w.Header().Set("Location", "/elsewhere"); w.WriteHeader(http.StatusFound) },
		"too long":   func(w http.ResponseWriter) { w.Write([]byte(strings.Repeat(" ", maxAnswer+1) + "{}")) },
		"cut off":    func(w http.ResponseWriter) { w.Header().Set("Content-Length", "100"); w.Write([]byte("{")) },
	} {
		k := newKit(t, answer)
		k.expect(t, what, ErrUnavailable, "a", p.sign(t, "[]"), "[]")
		if n := k.count(); n != 1 {
			t.Errorf("%s: asked %d times", what, n)
		}
	}
}

// Many messages at once ask GitHub once, and whoever hangs up keeps nobody from it.
func TestManyMessagesAtOnce(t *testing.T) {
	p := newPair(t, elliptic.P256())
	release := make(chan struct{})
	answer := listing(map[string]string{"a": p.public})
	k := newKit(t, func(w http.ResponseWriter) { <-release; answer(w) })
	signature := p.sign(t, "[]")
	gone, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if err := k.Verify(gone, "a", signature, []byte("[]")); err != nil && !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
	})
	for range 20 {
		all.Go(func() { k.expect(t, "a", nil, "a", signature, "[]") })
	}
	cancel()
	close(release)
	all.Wait()
	if n := k.count(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}
