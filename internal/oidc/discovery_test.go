package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    Options
		want string // empty: good
	}{
		{"https", Options{Issuer: "https://login.example.com", ClientID: "a"}, ""},
		{"path and slash", Options{Issuer: "https://login.example.com/realms/x/", ClientID: "a"}, ""},
		{"loopback", Options{Issuer: "http://127.0.0.1:8080", ClientID: "a"}, ""},
		{"loopback, IPv6", Options{Issuer: "http://[::1]:8080", ClientID: "a"}, ""},
		{"loopback by name", Options{Issuer: "http://localhost:8080", ClientID: "a", RedirectURL: "http://localhost/back"}, ""},
		{"nothing", Options{}, "issuer"},
		{"no client", Options{Issuer: "https://login.example.com"}, "client id"},
		{"http", Options{Issuer: "http://login.example.com", ClientID: "a"}, "must be https"},
		{"http on a name that looks like loopback", Options{Issuer: "http://127.0.0.1.example.com", ClientID: "a"}, "must be https"},
		{"other scheme", Options{Issuer: "ftp://login.example.com", ClientID: "a"}, "must be https"},
		{"no host", Options{Issuer: "https://", ClientID: "a"}, "host"},
		{"port alone", Options{Issuer: "https://:443", ClientID: "a"}, "host"},
		{"relative", Options{Issuer: "login.example.com", ClientID: "a"}, "absolute"},
		{"query", Options{Issuer: "https://login.example.com?a=b", ClientID: "a"}, "query"},
		{"empty query", Options{Issuer: "https://login.example.com?", ClientID: "a"}, "query"},
		{"fragment", Options{Issuer: "https://login.example.com#", ClientID: "a"}, "fragment"},
		{"password", Options{Issuer: "https://a:hunter2@login.example.com", ClientID: "a"}, "password"},
		{"password in no URL", Options{Issuer: "https://a:hunter2@login.example.com:x", ClientID: "a"}, "no URL"},
		{"redirect", Options{Issuer: "https://login.example.com", ClientID: "a", RedirectURL: "http://keys.example.com/"}, "redirect URL: must be https"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.o)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("secret in %v", err)
			}
		})
	}
}

func TestEndpoints(t *testing.T) {
	for _, tt := range []struct {
		endpoint, issuer string
		good             bool
	}{
		{"https://elsewhere.example/keys?tenant=1", "https://login.example.com", true},
		{"https://elsewhere.example/keys", "http://127.0.0.1", true},
		{"http://127.0.0.1:8080/keys", "http://127.0.0.1", true},
		{"http://127.0.0.1:8080/keys", "https://login.example.com", false},
		{"http://login.example.com/keys", "https://login.example.com", false},
		{"/keys", "https://login.example.com", false},
		{"", "https://login.example.com", false},
	} {
		if err := checkURL(tt.endpoint, tt.issuer); (err == nil) != tt.good {
			t.Errorf("%q of %q: %v", tt.endpoint, tt.issuer, err)
		}
	}
}

// fake is a provider that says what a test wants it to.
type fake struct {
	*httptest.Server
	metadata map[string]any
	keys     any
	asked    func(w http.ResponseWriter, r *http.Request) bool // true: answered
}

func startFake(t *testing.T) *fake {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{keys: map[string]any{"keys": []any{jose.JSONWebKey{Key: private.Public(), KeyID: "1"}}}}
	f.Server = httptest.NewServer(http.HandlerFunc(f.answer))
	t.Cleanup(f.Close)
	f.metadata = map[string]any{
		"issuer":                                f.URL,
		"jwks_uri":                              f.URL + "/keys",
		"authorization_endpoint":                f.URL + "/authorize",
		"token_endpoint":                        f.URL + "/token",
		"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "HS256", "none"},
	}
	return f
}

func (f *fake) answer(w http.ResponseWriter, r *http.Request) {
	if f.asked != nil && f.asked(w, r) {
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		json.MarshalWrite(w, f.metadata)
	case "/keys":
		json.MarshalWrite(w, f.keys)
	default:
		http.NotFound(w, r)
	}
}

func TestDiscovery(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*fake)
		want   string // empty: good
	}{
		{"as it should be", func(*fake) {}, ""},
		{"another issuer", func(f *fake) { f.metadata["issuer"] = "https://elsewhere.example" }, "says that the issuer"},
		{"issuer with a slash", func(f *fake) { f.metadata["issuer"] = f.URL + "/" }, "says that the issuer"},
		{"no issuer", func(f *fake) { delete(f.metadata, "issuer") }, "says that the issuer"},
		{"no keys", func(f *fake) { delete(f.metadata, "jwks_uri") }, "jwks_uri"},
		{"keys by http", func(f *fake) { f.metadata["jwks_uri"] = "http://elsewhere.example/keys" }, "jwks_uri: must be https"},
		{"no way to sign in", func(f *fake) { delete(f.metadata, "token_endpoint") }, "token_endpoint"},
		{"algorithms that are not accepted", func(f *fake) {
			f.metadata["id_token_signing_alg_values_supported"] = []string{"HS256", "none"}
		}, "none of which"},
		{"empty set", func(f *fake) { f.keys = map[string]any{"keys": []any{}} }, "none that can verify"},
		{"no set", func(f *fake) { f.keys = []any{} }, "not the JSON"},
		{"secret keys alone", func(f *fake) {
			f.keys = map[string]any{"keys": []any{jose.JSONWebKey{Key: []byte("secret secret secret"), KeyID: "1"}}}
		}, "none that can verify"},
		{"huge", func(f *fake) { f.metadata["x"] = strings.Repeat("x", maxBody) }, "more than"},
		{"error", func(f *fake) {
			f.asked = func(w http.ResponseWriter, _ *http.Request) bool {
				http.Error(w, "secret details", http.StatusInternalServerError)
				return true
			}
		}, "status 500"},
		{"redirect within", func(f *fake) {
			f.asked = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.RawQuery != "" {
					return false
				}
				http.Redirect(w, r, r.URL.Path+"?again", http.StatusFound)
				return true
			}
		}, ""},
		{"redirect without end", func(f *fake) {
			f.asked = func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, r.URL.Path, http.StatusFound)
				return true
			}
		}, "too often"},
		{"redirect elsewhere", func(f *fake) {
			f.asked = func(w http.ResponseWriter, r *http.Request) bool {
				_, port, _ := strings.Cut(r.Host, ":")
				http.Redirect(w, r, "http://localhost:"+port+r.URL.Path, http.StatusFound)
				return true
			}
		}, "another host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := startFake(t)
			tt.change(f)
			p := open(t, Options{Issuer: f.URL, ClientID: "a", RedirectURL: redirectURL})
			_, _, err := p.Begin(t.Context())
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("what was answered, in %v", err)
			}
		})
	}
}

// What a bearer-only server does not need may be missing.
func TestDiscoveryForBearers(t *testing.T) {
	f := startFake(t)
	delete(f.metadata, "authorization_endpoint")
	delete(f.metadata, "token_endpoint")
	p := open(t, Options{Issuer: f.URL, ClientID: "a"})
	if _, err := p.source.get(t.Context()); err != nil {
		t.Error(err)
	}
}

// Keys that cannot verify are passed over, and take none along.
func TestSigningKeys(t *testing.T) {
	good, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak := new(rsa.PublicKey)
	weak.E, weak.N = 65537, good.X // 256 bits
	var set []jsontext.Value
	for _, k := range []any{
		jose.JSONWebKey{KeyID: "private", Key: good},
		jose.JSONWebKey{KeyID: "symmetric", Key: []byte("secret")},
		jose.JSONWebKey{KeyID: "weak", Key: weak},
		jose.JSONWebKey{KeyID: "for encryption", Use: "enc", Key: good.Public()},
		map[string]any{"kid": "unknown kind", "kty": "new"},
		map[string]any{"kid": "unknown curve", "kty": "OKP", "crv": "Ed448", "x": "AAAA"},
		17,
		jose.JSONWebKey{KeyID: "good", Key: good.Public()},
		jose.JSONWebKey{KeyID: "good too", Use: "sig", Algorithm: "ES256", Key: good.Public()},
	} {
		text, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		set = append(set, text)
	}
	var got []string
	for _, k := range signingKeys(set) {
		got = append(got, k.id)
	}
	if fmt.Sprint(got) != "[good good too]" {
		t.Errorf("got %q", got)
	}
}
