package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	zitadel "github.com/zitadel/oidc/v3/pkg/oidc"

	"github.com/apikeyd/apikeyd/internal/oidc/oidctest"
)

func TestAuthenticate(t *testing.T) {
	r := start(t, nil)
	r.real.AddUser("bob", "bob@example.com", false)
	for _, tt := range []struct {
		name, token string
		want        Identity
	}{
		{"ID token", r.real.IDToken(t, "alice"), Identity{r.real.Issuer(), "alice", "alice@example.com", true}},
		{"address not verified", r.real.IDToken(t, "bob"), Identity{r.real.Issuer(), "bob", "bob@example.com", false}},
		{"access token", r.real.AccessToken(t, "alice"), Identity{Issuer: r.real.Issuer(), Subject: "alice"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := r.p.Authenticate(t.Context(), tt.token)
			if err != nil || got != tt.want {
				t.Errorf("got %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
	if n := r.real.KeyFetches(); n != 1 {
		t.Errorf("asked for keys %d times", n)
	}
}

// Whatever algorithm the provider signs with, its tokens are good, and so is what it says of their hashes.
func TestAlgorithms(t *testing.T) {
	r := start(t, nil)
	for _, algorithm := range algorithms {
		t.Run(string(algorithm), func(t *testing.T) {
			r.real.RotateTo(t, algorithm)
			r.clock.advance(retryAfter)
			for _, token := range []string{r.real.AccessToken(t, "alice"), r.real.IDToken(t, "alice")} {
				if _, err := r.p.Authenticate(t.Context(), token); err != nil {
					t.Error(err)
				}
			}
			if _, err := r.signIn(t, "alice"); err != nil {
				t.Error(err)
			}
		})
	}
}

// An algorithm that the provider does not name is none of its own, and a key is for the algorithm that it names.
func TestOtherAlgorithm(t *testing.T) {
	r := start(t, nil)
	token := r.real.IDToken(t, "alice")
	p := r.openChanged(t, "/.well-known/openid-configuration", map[string]any{"id_token_signing_alg_values_supported": []string{"PS256"}})
	_, err := p.Authenticate(t.Context(), token)
	checkOutcome(t, token, err, "no such key")

	for algorithm, reason := range map[string]string{"": "", "RS256": "", "PS256": "no such key"} {
		r.p.source.known = known(r.real.Issuer(), signingKey{keyID(t, token), algorithm, publishedKey(t, r.real.Issuer())})
		r.p.source.fetched, r.p.source.tried = r.clock.now(), r.clock.now()
		_, err := r.p.Authenticate(t.Context(), token)
		checkOutcome(t, token, err, reason)
	}
}

// Tokens that the provider has signed, and what is said to them.
func TestClaims(t *testing.T) {
	r := start(t, nil)
	now := r.clock.now().Unix()
	type claims = map[string]any
	for _, tt := range []struct {
		name   string
		claims claims
		header map[string]any
		reason string // empty: accepted
	}{
		{name: "as it should be"},
		{name: "type of access tokens", header: claims{"typ": "at+jwt"}},
		{name: "type with its prefix", header: claims{"typ": "application/AT+JWT"}},
		{name: "general type", header: claims{"typ": "jwt"}},
		{name: "type of logout tokens", header: claims{"typ": "logout+jwt"}, reason: "another type"},
		{name: "type of proofs of possession", header: claims{"typ": "dpop+jwt"}, reason: "another type"},
		{name: "critical header", header: claims{"crit": []string{"b64"}, "b64": true}, reason: "critical"},
		{name: "critical header that is not known", header: claims{"crit": []string{"exp"}, "exp": 1}, reason: "critical"},

		{name: "expired", claims: claims{"exp": now - 3600}, reason: "expired"},
		{name: "expired beyond the skew", claims: claims{"exp": now - 61}, reason: "expired"},
		{name: "expired within the skew", claims: claims{"exp": now - 50}},
		{name: "expires in parts of a second", claims: claims{"exp": float64(now) + 0.5}},
		{name: "never expires", claims: claims{"exp": nil}, reason: "never expires"},
		{name: "expiry is null", claims: claims{"exp": json.RawMessage("null")}, reason: "never expires"},
		{name: "expiry is text", claims: claims{"exp": fmt.Sprint(now + 3600)}, reason: "malformed"},
		{name: "expiry beyond all numbers", claims: claims{"exp": json.RawMessage("1e300")}},
		{name: "expiry before all numbers", claims: claims{"exp": json.RawMessage("-1e300")}, reason: "expired"},
		{name: "not yet valid", claims: claims{"nbf": now + 3600}, reason: "not valid yet"},
		{name: "not yet valid beyond the skew", claims: claims{"nbf": now + 70}, reason: "not valid yet"},
		{name: "not yet valid within the skew", claims: claims{"nbf": now + 50}},
		{name: "issued in the future", claims: claims{"iat": now + 70}, reason: "future"},
		{name: "issued within the skew", claims: claims{"iat": now + 50}},
		{name: "no time but the expiry", claims: claims{"iat": nil, "nbf": nil}},

		{name: "another issuer", claims: claims{"iss": "https://elsewhere.example"}, reason: "another issuer"},
		{name: "issuer with a slash", claims: claims{"iss": r.real.Issuer() + "/"}, reason: "another issuer"},
		{name: "no issuer", claims: claims{"iss": nil}, reason: "another issuer"},
		{name: "no subject", claims: claims{"sub": nil}, reason: "no subject"},
		{name: "empty subject", claims: claims{"sub": ""}, reason: "no subject"},
		{name: "subject in another case", claims: claims{"sub": nil, "Sub": "alice"}, reason: "no subject"},
		{name: "longest subject", claims: claims{"sub": strings.Repeat("a", 255)}},
		{name: "subject too long", claims: claims{"sub": strings.Repeat("a", 256)}, reason: "longer than 255"},
		{name: "subject with a NUL", claims: claims{"sub": "alice\x00"}, reason: "control"},
		{name: "subject is a number", claims: claims{"sub": 17}, reason: "malformed"},

		{name: "another audience", claims: claims{"aud": "other"}, reason: "another audience"},
		{name: "no audience", claims: claims{"aud": nil}, reason: "another audience"},
		{name: "audience is an object", claims: claims{"aud": claims{"a": "b"}}, reason: "malformed"},
		{name: "one audience in an array", claims: claims{"aud": []string{"apikeyd"}}},
		{name: "several, and not who got it", claims: claims{"aud": []string{"apikeyd", "other"}}, reason: "who got it"},
		{name: "several, and we got it", claims: claims{"aud": []string{"other", "apikeyd"}, "azp": "apikeyd"}},
		{name: "several, and another got it", claims: claims{"aud": []string{"apikeyd", "other"}, "azp": "other"}, reason: "another client"},
		{name: "for us, and another got it", claims: claims{"azp": "other"}, reason: "another client"},
		{name: "access token that another got", claims: claims{"azp": "other", "scope": "read"}},
		{name: "access token for several", claims: claims{"aud": []string{"apikeyd", "other"}}, header: claims{"typ": "at+jwt"}},

		{name: "bound to a key", claims: claims{"cnf": claims{"jkt": "x"}}, reason: "bound"},
		{name: "bound to nothing", claims: claims{"cnf": json.RawMessage("null")}, reason: "bound"},
		{name: "message about an event", claims: claims{"events": claims{}}, reason: "event"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token := r.real.Sign(t, r.claims(tt.claims), tt.header)
			_, err := r.p.Authenticate(t.Context(), token)
			checkOutcome(t, token, err, tt.reason)
			if err == nil && tt.claims["scope"] == nil && tt.header["typ"] == nil {
				checkOracle(t, r.real.Issuer(), token)
			}
		})
	}
}

// checkOutcome checks for the reason, empty where the token should be accepted, and that nothing of the token is in it.
func checkOutcome(t *testing.T, token string, err error, reason string) {
	t.Helper()
	if reason == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	if !errors.Is(err, ErrRejected) || errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), reason) {
		t.Fatalf("got %v, want %q", err, reason)
	}
	for _, part := range strings.Split(token, ".") {
		if len(part) > 10 && strings.Contains(err.Error(), part[:10]) {
			t.Errorf("part of the token in %v", err)
		}
	}
	if strings.Contains(err.Error(), "alice") {
		t.Errorf("subject in %v", err)
	}
}

// checkOracle asks a verifier that others wrote. It must not refuse what we accept, but for an expiry within the skew, for
// which it has no patience, and for the time of issue, which we check where it is there.
func checkOracle(t *testing.T, issuer, token string) {
	t.Helper()
	v := rp.NewIDTokenVerifier(issuer, oidctest.ClientID, rp.NewRemoteKeySet(noRedirects, issuer+"/keys"))
	v.Offset = clockSkew
	_, err := rp.VerifyIDToken[*zitadel.IDTokenClaims](t.Context(), token, v)
	if err != nil && !errors.Is(err, zitadel.ErrExpired) && !errors.Is(err, zitadel.ErrIatMissing) {
		t.Errorf("others refuse it: %v", err)
	}
}

// Tokens that the provider has not signed.
func TestForged(t *testing.T) {
	r := start(t, nil)
	good := r.real.IDToken(t, "alice")
	if _, err := r.p.Authenticate(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	kid := keyID(t, good)
	public := publishedKey(t, r.real.Issuer())
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	pemText := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})

	var payload map[string]any
	unpack(t, parts[1], &payload)
	payload["sub"] = "root"

	mine, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	byMe := func(o *jose.SignerOptions, kid string) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: mine, KeyID: kid}}, o)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(payload)
		signed, err := signer.Sign(text)
		if err != nil {
			t.Fatal(err)
		}
		compact, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return compact
	}
	none := map[string]any{"alg": "none", "typ": "JWT"}
	hs256 := map[string]any{"alg": "HS256", "typ": "JWT", "kid": kid}

	for _, tt := range []struct{ name, token, reason string }{
		{"payload changed", parts[0] + "." + pack(payload) + "." + parts[2], "signature is wrong"},
		{"signature of nothing", parts[0] + "." + parts[1] + "." + pack(0), "signature is wrong"},
		{"signature cut", good[:len(good)-4], "signature is wrong"},
		{"no signature", parts[0] + "." + parts[1] + ".", "no token"},
		{"algorithm none", pack(none) + "." + pack(payload) + ".", "no token"},
		{"algorithm none, signed", pack(none) + "." + pack(payload) + "." + parts[2], "not allowed"},
		{"algorithm NONE", pack(map[string]any{"alg": "NoNe"}) + "." + pack(payload) + "." + parts[2], "not allowed"},
		{"no algorithm", pack(map[string]any{"kid": kid}) + "." + pack(payload) + "." + parts[2], "not allowed"},
		{"public key as secret, DER", hmacSigned(hs256, payload, der), "not allowed"},
		{"public key as secret, PEM", hmacSigned(hs256, payload, pemText), "not allowed"},
		{"public key as secret, modulus", hmacSigned(hs256, payload, public.N.Bytes()), "not allowed"},
		{"key in the header", byMe(&jose.SignerOptions{EmbedJWK: true}, ""), "own key"},
		{"address of keys in the header", byMe(new(jose.SignerOptions).WithHeader("jku", "https://elsewhere.example"), kid), "no such key"},
		{"our key under the provider's name", byMe(nil, kid), "no such key"},
		{"repeated header", b64(`{"alg":"none","alg":"RS256","kid":"`+kid+`"}`) + "." + parts[1] + "." + parts[2], "malformed"},
		{"header is no JSON", b64("hello") + "." + parts[1] + "." + parts[2], "malformed"},
		{"header is no base64url", "a." + parts[1] + "." + parts[2], "malformed"},
		{"payload is no base64url", parts[0] + ".a." + parts[2], "malformed"},
		{"huge", parts[0] + "." + strings.Repeat("A", maxToken) + "." + parts[2], "no token"},
		{"encrypted", strings.Repeat(parts[0]+".", 4) + parts[2], "no token"},
		{"JSON serialization", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, "no token"},
		{"line break", parts[0] + "." + parts[1] + "\n." + parts[2], "no token"},
		{"space", " " + good, "no token"},
		{"nothing", "", "no token"},
		{"dots", "..", "no token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := r.p.Authenticate(t.Context(), tt.token)
			checkOutcome(t, tt.token, err, tt.reason)
		})
	}
}

// Claims that stand twice are two answers to one question.
func TestRepeatedClaims(t *testing.T) {
	r := start(t, nil)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r.claims(nil))
	if err != nil {
		t.Fatal(err)
	}
	repeated := strings.Replace(string(text), "{", `{"sub":"root",`, 1)
	r.p.source.known = known(r.real.Issuer(), signingKey{"1", "EdDSA", public})
	r.p.source.fetched = r.clock.now()
	for _, tt := range []struct{ payload, reason string }{{string(text), ""}, {repeated, "malformed"}, {"[]", "malformed"}, {"", "no token"}} {
		token := signRaw(t, private, tt.payload)
		_, err := r.p.Authenticate(t.Context(), token)
		checkOutcome(t, token, err, tt.reason)
	}
}

func TestAudience(t *testing.T) {
	r := start(t, func(o *Options) { o.Audience = "https://keys.example.com" })
	alice := Identity{Issuer: r.real.Issuer(), Subject: "alice"}
	withEmail := Identity{r.real.Issuer(), "alice", "alice@example.com", true}
	type claims = map[string]any
	for _, tt := range []struct {
		name   string
		claims claims
		header claims
		want   Identity // zero: refused
	}{
		{"for the audience", claims{"aud": "https://keys.example.com"}, nil, alice},
		{"for the audience and others", claims{"aud": []string{"a", "https://keys.example.com"}, "azp": "other"}, nil, alice},
		{"access token for the audience", claims{"aud": "https://keys.example.com", "scope": "read"}, nil, alice},
		{"ID token for the client", claims{}, nil, withEmail},
		{"ID token for both", claims{"aud": []string{"apikeyd", "https://keys.example.com"}, "azp": "apikeyd"}, nil, withEmail},
		{"access token for the client", claims{"scope": "read"}, nil, Identity{}},
		{"access token for the client, by another name", claims{"scp": []string{"read"}}, nil, Identity{}},
		{"access token for the client, by its type", claims{}, claims{"typ": "at+jwt"}, Identity{}},
		{"ID token of another client", claims{"aud": "other"}, nil, Identity{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := r.p.Authenticate(t.Context(), r.real.Sign(t, r.claims(tt.claims), tt.header))
			if got != tt.want || (err != nil) != (tt.want == Identity{}) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}

	// And what the provider itself makes of an audience.
	r.real.SetAudience("https://keys.example.com")
	if _, err := r.p.Authenticate(t.Context(), r.real.AccessToken(t, "alice")); err != nil {
		t.Error(err)
	}
	r.real.SetAudience("https://other.example.com")
	if _, err := r.p.Authenticate(t.Context(), r.real.AccessToken(t, "alice")); !errors.Is(err, ErrRejected) {
		t.Errorf("token for others: %v", err)
	}
}

func TestEmail(t *testing.T) {
	r := start(t, nil)
	for _, tt := range []struct {
		email, verified any
		want            string
		wantVerified    bool
	}{
		{"a@example.com", true, "a@example.com", true},
		{"a@example.com", "true", "a@example.com", true},
		{"a@example.com", false, "a@example.com", false},
		{"a@example.com", "false", "a@example.com", false},
		{"a@example.com", "TRUE", "a@example.com", false},
		{"a@example.com", 1, "a@example.com", false},
		{"a@example.com", nil, "a@example.com", false},
		{nil, true, "", false},
		{"", true, "", false},
		{"a@example.com\n", true, "", false},
		{strings.Repeat("a", 250) + "@b.c", true, strings.Repeat("a", 250) + "@b.c", true},
		{strings.Repeat("a", 251) + "@b.c", true, "", false},
	} {
		id, err := r.p.Authenticate(t.Context(), r.real.Sign(t, r.claims(map[string]any{"email": tt.email, "email_verified": tt.verified}), nil))
		if err != nil || id.Email != tt.want || id.EmailVerified != tt.wantVerified {
			t.Errorf("%v, %v: got %+v, %v", tt.email, tt.verified, id, err)
		}
	}
}

// Tokens with key ids that nobody knows do not make us ask the provider for each.
func TestFloodOfUnknownKeys(t *testing.T) {
	r := start(t, nil)
	good := r.real.IDToken(t, "alice")
	if _, err := r.p.Authenticate(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	r.clock.advance(retryAfter)
	before := r.real.KeyFetches()
	flood := func() {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 50 {
					token := r.real.Sign(t, r.claims(nil), map[string]any{"kid": fmt.Sprint("forged ", i, " ", j)})
					if _, err := r.p.Authenticate(t.Context(), token); !errors.Is(err, ErrRejected) {
						t.Errorf("got %v", err)
					}
				}
			})
		}
		wg.Wait()
	}
	flood()
	if n := r.real.KeyFetches() - before; n != 1 {
		t.Errorf("asked for keys %d times, want once", n)
	}
	r.clock.advance(retryAfter)
	flood()
	if n := r.real.KeyFetches() - before; n != 2 {
		t.Errorf("asked for keys %d times, want once more", n)
	}
	if _, err := r.p.Authenticate(t.Context(), good); err != nil {
		t.Errorf("the good token, after the flood: %v", err)
	}

	// A key that is known, and a signature that is wrong, are no reason to ask at all.
	r.clock.advance(retryAfter)
	if _, err := r.p.Authenticate(t.Context(), good[:len(good)-4]); !errors.Is(err, ErrRejected) {
		t.Errorf("got %v", err)
	}
	if n := r.real.KeyFetches() - before; n != 2 {
		t.Error("asked for keys again")
	}
}

func TestRotation(t *testing.T) {
	r := start(t, nil)
	old := r.real.AccessToken(t, "alice")
	if _, err := r.p.Authenticate(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	r.real.Rotate(t)
	r.clock.advance(retryAfter)
	if _, err := r.p.Authenticate(t.Context(), r.real.AccessToken(t, "alice")); err != nil {
		t.Errorf("token of the new key: %v", err)
	}
	if _, err := r.p.Authenticate(t.Context(), old); !errors.Is(err, ErrRejected) {
		t.Errorf("token of the key that was withdrawn: %v", err)
	}
}

// A key that the provider has withdrawn is forgotten, though nobody sends tokens of a new one.
func TestWithdrawnKey(t *testing.T) {
	r := start(t, nil)
	old := r.real.AccessToken(t, "alice")
	if _, err := r.p.Authenticate(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	r.real.Rotate(t)
	r.clock.advance(refreshAfter)
	// This one goes with what is known, and has it refreshed.
	if _, err := r.p.Authenticate(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	r.p.waitForTry(t)
	if _, err := r.p.Authenticate(t.Context(), old); !errors.Is(err, ErrRejected) {
		t.Errorf("got %v", err)
	}
}

func (p *Provider) waitForTry(t *testing.T) {
	t.Helper()
	p.source.mu.Lock()
	underWay := p.source.underWay
	p.source.mu.Unlock()
	if underWay == nil {
		return
	}
	if _, err := underWay.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// While the provider is away, tokens of keys that are known are good, and of others nobody can say.
func TestAway(t *testing.T) {
	r := start(t, nil)
	good := r.real.AccessToken(t, "alice")
	if _, err := r.p.Authenticate(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	unknown := r.real.Sign(t, r.claims(nil), map[string]any{"kid": "another"})
	r.real.Stop()
	for _, age := range []time.Duration{0, retryAfter, refreshAfter} {
		r.clock.advance(age)
		if _, err := r.p.Authenticate(t.Context(), good); err != nil {
			t.Errorf("after %v, key that is known: %v", age, err)
		}
	}
	for range 2 { // the second time nobody is asked
		if _, err := r.p.Authenticate(t.Context(), unknown); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrRejected) {
			t.Errorf("key that is not known: %v", err)
		}
	}
	if _, err := r.p.Authenticate(t.Context(), "no token"); !errors.Is(err, ErrRejected) {
		t.Errorf("what is no token: %v", err)
	}

	r.real.Restart(t)
	r.real.Rotate(t)
	r.clock.advance(retryAfter)
	if _, err := r.p.Authenticate(t.Context(), r.real.AccessToken(t, "alice")); err != nil {
		t.Errorf("back, with a new key: %v", err)
	}
	r.p.Close() // the log is complete then
	if !r.log.has("cannot be asked") || !r.log.has("is back") {
		t.Errorf("log: %s", r.log)
	}
}

// The provider may be away when we start.
func TestAwayAtStart(t *testing.T) {
	r := start(t, nil)
	good := r.real.AccessToken(t, "alice")
	r.real.Stop()
	for range 2 {
		if _, err := r.p.Authenticate(t.Context(), good); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	if _, _, err := r.p.Begin(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("begin: %v", err)
	}
	r.real.Restart(t)
	if _, err := r.p.Authenticate(t.Context(), good); !errors.Is(err, ErrUnavailable) {
		t.Errorf("too early to ask again, got %v", err)
	}
	r.clock.advance(retryAfter)
	if _, err := r.p.Authenticate(t.Context(), good); err != nil {
		t.Errorf("back: %v", err)
	}
}

// Many who need the keys at once make one request, and whoever gives up waiting does not end it for the others.
func TestSingleFlight(t *testing.T) {
	r := start(t, nil)
	token := r.real.AccessToken(t, "alice")
	gate := make(chan struct{})
	p := r.open(t, func(o *Options) {
		o.HTTPClient = &http.Client{Transport: gated{gate, &http.Transport{DisableKeepAlives: true}}}
	})
	impatient, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := p.Authenticate(impatient, token)
		first <- err
	}()
	gate <- struct{}{} // the request for the discovery document has begun
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := p.Authenticate(t.Context(), token); err != nil {
				t.Error(err)
			}
		})
	}
	cancel()
	if err := <-first; !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up got %v", err)
	}
	gate <- struct{}{} // the one for the keys
	wg.Wait()
	if n := r.real.KeyFetches(); n != 1 {
		t.Errorf("asked for keys %d times", n)
	}
}

type gated struct {
	gate <-chan struct{}
	next http.RoundTripper
}

func (g gated) RoundTrip(r *http.Request) (*http.Response, error) {
	<-g.gate
	return g.next.RoundTrip(r)
}

func TestClosed(t *testing.T) {
	r := start(t, nil)
	token := r.real.AccessToken(t, "alice")
	r.p.Close()
	if _, err := r.p.Authenticate(t.Context(), token); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestLooksLikeToken(t *testing.T) {
	for text, want := range map[string]bool{
		"a.b.c":                                  true,
		"eyJ-_09.AZaz.x":                         true,
		"":                                       false,
		"a.b":                                    false,
		"a.b.c.d":                                false,
		".b.c":                                   false,
		"a..c":                                   false,
		"a.b.":                                   false,
		"a.b.c=":                                 false,
		"a.b+.c":                                 false,
		"ak_0123456789":                          false,
		"a.b." + strings.Repeat("c", maxToken-4): true,
		"a.b." + strings.Repeat("c", maxToken-3): false,
	} {
		if got := LooksLikeToken(text); got != want {
			t.Errorf("%.20q: %v", text, got)
		}
	}
}

func FuzzLooksLikeToken(f *testing.F) {
	f.Add("eyJhbGciOiJSUzI1NiJ9.e30.c2ln")
	f.Add("a..b")
	f.Fuzz(func(t *testing.T, text string) {
		parts := strings.Split(text, ".")
		want := len(parts) == 3 && len(text) <= maxToken && !slices.ContainsFunc(parts, func(p string) bool {
			return p == "" || strings.Trim(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != ""
		})
		if got := LooksLikeToken(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	})
}

// Whatever header and payload somebody makes up, nothing of it is accepted, and what the provider has signed is judged
// without a panic.
func FuzzAuthenticate(f *testing.F) {
	const issuer = "https://issuer.example"
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	p := open(f, Options{
		Issuer:     issuer,
		ClientID:   "apikeyd",
		Now:        func() time.Time { return now },
		HTTPClient: &http.Client{Transport: noNetwork{}},
	})
	p.source.known, p.source.fetched = known(issuer, signingKey{"1", "", public}), now

	f.Add(`{"alg":"EdDSA","kid":"1"}`, `{"iss":"https://issuer.example","sub":"a","aud":["apikeyd"],"exp":1800000060}`)
	f.Add(`{"alg":"none"}`, `{"aud":null,"exp":1e999}`)
	f.Add(`{"alg":"ES256","typ":"at+jwt","crit":[]}`, `{"aud":"apikeyd","email_verified":"true"}`)
	f.Fuzz(func(t *testing.T, header, payload string) {
		if _, err := p.Authenticate(t.Context(), b64(header)+"."+b64(payload)+"."+b64("signature")); err == nil {
			t.Error("accepted")
		} else if !errors.Is(err, ErrRejected) && !errors.Is(err, ErrUnavailable) {
			t.Errorf("neither rejected nor unavailable: %v", err)
		}
		id, err := p.Authenticate(t.Context(), signRaw(t, private, payload))
		if (err == nil) != (id.Subject != "") || err != nil && !errors.Is(err, ErrRejected) {
			t.Errorf("%+v, %v", id, err)
		}
	})
}

type noNetwork struct{}

func (noNetwork) RoundTrip(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }

// known is what would be known of a provider with these keys.
func known(issuer string, keys ...signingKey) *snapshot {
	return &snapshot{metadata: metadata{Issuer: issuer}, algorithms: algorithms, keys: keys}
}

// signRaw signs a payload that need not be JSON.
func signRaw(t *testing.T, k ed25519.PrivateKey, payload string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: k, KeyID: "1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func hmacSigned(header, payload map[string]any, secret []byte) string {
	text := pack(header) + "." + pack(payload)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func pack(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b64(string(text))
}

func unpack(t *testing.T, part string, to any) {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatal(err)
	}
}

func keyID(t *testing.T, token string) string {
	t.Helper()
	var header struct {
		KeyID string `json:"kid"`
	}
	first, _, _ := strings.Cut(token, ".")
	unpack(t, first, &header)
	return header.KeyID
}

// publishedKey returns the provider's RSA key as anybody gets it.
func publishedKey(t *testing.T, issuer string) *rsa.PublicKey {
	t.Helper()
	answer, err := noRedirects.Get(issuer + "/keys")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(answer.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	return set.Keys[0].Key.(*rsa.PublicKey)
}
