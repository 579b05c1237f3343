package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/oidc/oidctest"
)

// bearer calls with a token of an identity provider's.
func (s *server) bearer(t testing.TB, method, path, body, token string) answer {
	t.Helper()
	return request(t, s.management, method, path, body, []string{"Authorization: Bearer " + token})
}

// claims are those of a good token for a user, with changes; nil takes one away.
func claims(provider *oidctest.Provider, subject string, changes map[string]any) map[string]any {
	now := time.Now().Unix()
	c := map[string]any{"iss": provider.Issuer(), "sub": subject, "aud": oidctest.ClientID, "exp": now + 600, "iat": now,
		"email": subject + "@example.com", "email_verified": true}
	for name, value := range changes {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
	return c
}

// unsigned returns a token with a header of one's own and a signature that sign makes.
func unsigned(t testing.TB, header, claims map[string]any, sign func(text string) []byte) string {
	t.Helper()
	var parts []string
	for _, part := range []map[string]any{header, claims} {
		text, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(text))
	}
	text := strings.Join(parts, ".")
	return text + "." + base64.RawURLEncoding.EncodeToString(sign(text))
}

// publicKeyOf returns the key that a provider publishes, and its id.
func publicKeyOf(t testing.TB, provider *oidctest.Provider) (pemText []byte, id string) {
	t.Helper()
	resp, err := http.Get(provider.Issuer() + "/keys")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("%d keys, %v", len(set.Keys), err)
	}
	der, err := x509.MarshalPKIXPublicKey(set.Keys[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), set.Keys[0].KeyID
}

// TestAccessTokens calls the API with tokens of an identity provider: good ones, and such that are none.
func TestAccessTokens(t *testing.T) {
	t.Parallel()
	provider := oidctest.Start(t)
	h := serveHousehold(t, provider)
	mate := h.people["mate"]
	now := time.Now().Unix()
	public, keyID := publicKeyOf(t, provider)
	none := func(string) []byte { return nil }
	another := oidctest.Start(t)
	another.AddUser("mate", "mate@example.com", true)

	good := map[string]string{
		"an access token": provider.AccessToken(t, "mate"),
		"an ID token":     provider.IDToken(t, "mate"),
		"one for several": provider.Sign(t, claims(provider, "mate", map[string]any{"aud": []string{oidctest.ClientID, "other"}, "azp": oidctest.ClientID}), nil),
		"a clock that is half a minute off": provider.Sign(t, claims(provider, "mate", map[string]any{
			"exp": now - 30, "iat": now + 30, "nbf": now + 30}), nil),
	}
	for name, token := range good {
		var me api.Me
		if h.bearer(t, "GET", "/v1/me", "", token).is(http.StatusOK).into(&me); me.UserID != mate.id || me.Key != nil {
			t.Errorf("%s: %+v", name, me)
		}
	}
	bad := map[string]string{
		"expired":                    provider.Sign(t, claims(provider, "mate", map[string]any{"exp": now - 3600}), nil),
		"without an end":             provider.Sign(t, claims(provider, "mate", map[string]any{"exp": nil}), nil),
		"not valid yet":              provider.Sign(t, claims(provider, "mate", map[string]any{"nbf": now + 3600}), nil),
		"for somebody else":          provider.Sign(t, claims(provider, "mate", map[string]any{"aud": "another API"}), nil),
		"for nobody":                 provider.Sign(t, claims(provider, "mate", map[string]any{"aud": nil}), nil),
		"of another issuer":          provider.Sign(t, claims(provider, "mate", map[string]any{"iss": "https://evil.example"}), nil),
		"of a provider of one's own": another.IDToken(t, "mate"),
		"signed by another's key":    another.Sign(t, claims(provider, "mate", nil), map[string]any{"kid": keyID}),
		"of nobody":                  provider.Sign(t, claims(provider, "mate", map[string]any{"sub": nil}), nil),
		"of another kind":            provider.Sign(t, claims(provider, "mate", nil), map[string]any{"typ": "logout+jwt"}),
		"alg none":                   unsigned(t, map[string]any{"alg": "none", "typ": "JWT"}, claims(provider, "mate", nil), none),
		"alg none, by the key":       unsigned(t, map[string]any{"alg": "none", "kid": keyID}, claims(provider, "mate", nil), none),
		"alg None":                   unsigned(t, map[string]any{"alg": "None", "kid": keyID}, claims(provider, "mate", nil), none),
		"RS256 without a signature":  unsigned(t, map[string]any{"alg": "RS256", "kid": keyID}, claims(provider, "mate", nil), none),
		"signed with the public key": unsigned(t, map[string]any{"alg": "HS256", "kid": keyID}, claims(provider, "mate", nil), func(text string) []byte {
			mac := hmac.New(sha256.New, public)
			mac.Write([]byte(text))
			return mac.Sum(nil)
		}),
		"with another's claims": graft(t, provider.AccessToken(t, "mate"), claims(provider, "root", nil)),
		"cut off":               strings.TrimRight(provider.AccessToken(t, "mate"), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
		"nonsense":              "a.b.c",
	}
	for name, token := range bad {
		a := h.bearer(t, "GET", "/v1/me", "", token)
		a.refused(api.CodeUnauthenticated)
		if t.Failed() {
			t.Fatalf("a token that is %s: %d", name, a.status)
		}
	}
	// A session goes with the token's user, whatever cookie there is; two credentials are one too many.
	a := request(t, h.management, "GET", "/v1/me", "", []string{"Authorization: Bearer " + good["an access token"], h.people["root"].cookie()}).is(http.StatusOK)
	if !strings.Contains(a.body, `"mate@example.com"`) {
		t.Errorf("with another's session: %s", a.body)
	}
	request(t, h.management, "GET", "/v1/me", "", []string{"Authorization: Bearer " + good["an access token"], "Cookie: " + sessionCookie + "=" + strings.Repeat("A", 43)}).is(http.StatusOK)
	h.stop()
	secret := map[string]string{}
	for name, token := range good {
		secret[name] = token[strings.LastIndexByte(token, '.')+1:] // the signature: the rest is in many tokens
	}
	newSecrets(secret).mustBeAbsent(t, "the log", h.stderr.bytes())
	for path, content := range filesIn(t, h.folder) {
		newSecrets(secret).mustBeAbsent(t, path, content)
	}
	auditIsWhole(t, h.folder)
}

// graft puts other claims into a token.
func graft(t testing.TB, token string, claims map[string]any) string {
	t.Helper()
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	return parts[0] + "." + base64.RawURLEncoding.EncodeToString(text) + "." + parts[2]
}

// TestProviderComesAndGoes starts a server before its identity provider is there, changes the provider's key, and switches
// it off. Tokens are refused or cannot be checked; keys and sessions are not touched by it.
func TestProviderComesAndGoes(t *testing.T) {
	t.Parallel()
	provider := oidctest.Start(t)
	provider.Stop()
	folder := t.TempDir()
	made := initialise(t, folder, "root@example.com", "Ours")
	s := serve(t, folder, providerFlags(t, provider)...)
	s.token = made.Key
	b := signIn(t, s.management, withLink(linkSecret(t, made.SignInURL)))
	othersWork := func() {
		t.Helper()
		request(t, s.management, "GET", "/v1/me", "", []string{b.cookie()}).is(http.StatusOK)
		if _, err := s.client(s.token).Me(t.Context()); err != nil {
			t.Error(err)
		}
	}
	// eventually waits for an answer: the provider is not asked more often than every few seconds.
	eventually := func(token string, status int) answer {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
			a := s.bearer(t, "GET", "/v1/me", "", token)
			if a.status == status || time.Now().After(deadline) {
				return a.is(status)
			}
		}
	}

	early := provider.Sign(t, claims(provider, "root", nil), nil)
	s.bearer(t, "GET", "/v1/me", "", early).refused(api.CodeUnavailable)
	othersWork()
	provider.Restart(t)
	provider.AddUser("root", "root@example.com", true)
	eventually(early, http.StatusOK)

	provider.Rotate(t)
	late := provider.AccessToken(t, "root")
	eventually(late, http.StatusOK)
	s.bearer(t, "GET", "/v1/me", "", early).refused(api.CodeUnauthenticated) // its key is published no more

	provider.Stop()
	s.bearer(t, "GET", "/v1/me", "", late).is(http.StatusOK) // its key is known
	provider.Rotate(t)
	eventually(provider.Sign(t, claims(provider, "root", nil), nil), http.StatusServiceUnavailable)
	othersWork()
	s.stop()
	auditIsWhole(t, folder)
}

// TestWhoseTokenItIs finds users by issuer and subject, and by a verified e-mail address only where the operator wants it
// so.
func TestWhoseTokenItIs(t *testing.T) {
	t.Parallel()
	provider := oidctest.Start(t)
	provider.AddUser("ada", "ada@example.com", true)
	provider.AddUser("unverified", "ada@example.com", false)
	provider.AddUser("unknown", "nobody@example.com", true)
	folder := t.TempDir()
	made := initialise(t, folder, "root@example.com", "Ours")
	flags := providerFlags(t, provider)
	strict := append(flags[:0:0], flags...)
	for i, flag := range strict {
		if flag == "--oidc-match-email" {
			strict = append(strict[:i], strict[i+1:]...)
			break
		}
	}

	// Without the flag an address says nothing.
	s := serve(t, folder, strict...)
	if _, err := s.client(made.Key).InviteMember(t.Context(), ours, api.NewMember{Email: "ada@example.com", Role: api.RoleMember}); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"ada", "unverified", "unknown"} {
		s.bearer(t, "GET", "/v1/me", "", provider.IDToken(t, subject)).refused(api.CodeUnauthenticated)
	}
	s.stop()

	// With it a verified one finds its user, once and for all; another subject with the same address is another person.
	s = serve(t, folder, flags...)
	for _, subject := range []string{"unverified", "unknown"} {
		s.bearer(t, "GET", "/v1/me", "", provider.IDToken(t, subject)).refused(api.CodeUnauthenticated)
	}
	s.bearer(t, "GET", "/v1/me", "", provider.AccessToken(t, "ada")).refused(api.CodeUnauthenticated) // it holds no address
	s.bearer(t, "GET", "/v1/me", "", provider.IDToken(t, "ada")).is(http.StatusOK)
	a := s.bearer(t, "GET", "/v1/me", "", provider.AccessToken(t, "ada")).is(http.StatusOK)
	if !strings.Contains(a.body, `"email":"ada@example.com"`) {
		t.Errorf("it is the token of %s", a.body)
	}
	var list []api.AuditEntry
	request(t, s.management, "GET", auditPath+"?action=user.identity&outcome=success", "", []string{"Authorization: Bearer " + made.Key}).is(http.StatusOK).into(&list)
	if len(list) != 1 || list[0].Target.ID == nil || *list[0].Target.ID != 2 || !strings.Contains(string(list[0].After), `"subject":"ada"`) {
		t.Errorf("the audit log has %+v", list)
	}
	s.stop()

	// The binding stays when the flag goes, and the address at the provider changes.
	provider.AddUser("ada", "lovelace@example.com", true)
	s = serve(t, folder, strict...)
	s.bearer(t, "GET", "/v1/me", "", provider.IDToken(t, "ada")).is(http.StatusOK)
	// Nobody is signed in by the token of a user who has gone.
	if err := s.client(made.Key).RemoveMember(t.Context(), ours, 2, ""); err != nil {
		t.Fatal(err)
	}
	if a := s.bearer(t, "GET", organizationsPath, "", provider.IDToken(t, "ada")); a.status == http.StatusOK && a.body != "[]\n" {
		t.Errorf("who was removed sees %s", a.body)
	}
	s.stop()
	auditIsWhole(t, folder)

	// Half a configuration is none.
	for i := range 2 {
		args := append([]string{"serve"}, flags[2*i:2*i+2]...)
		p := launch(t, t.TempDir(), anyPort, binary, args...)
		if code := p.wait(); code != 2 || !strings.Contains(p.stderr.String(), "--oidc-") {
			t.Errorf("%s: exit code %d: %s", fmt.Sprint(args), code, p.stderr)
		}
	}
}
