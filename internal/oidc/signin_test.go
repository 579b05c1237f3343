package oidc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"golang.org/x/oauth2"

	"github.com/apikeyd/apikeyd/internal/oidc/oidctest"
)

// signIn signs a user in, from the first redirect to the answer.
func (r *rig) signIn(t *testing.T, subject string) (Identity, error) {
	t.Helper()
	return r.signInWith(t, r.p, subject)
}

func (r *rig) signInWith(t *testing.T, p *Provider, subject string) (Identity, error) {
	t.Helper()
	pending, query := r.goThere(t, p, subject)
	return p.Complete(t.Context(), pending, query)
}

// goThere lets a user sign in at the provider, and returns what the browser comes back with.
func (r *rig) goThere(t *testing.T, p *Provider, subject string) (Pending, url.Values) {
	t.Helper()
	redirectTo, pending, err := p.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	back := r.real.SignIn(t, nil, redirectTo, subject)
	if got := back.Scheme + "://" + back.Host + back.Path; got != redirectURL {
		t.Fatalf("sent back to %s", got)
	}
	// The way over the cookie.
	if pending, err = ParsePending(pending.Encode()); err != nil {
		t.Fatal(err)
	}
	return pending, back.Query()
}

func TestSignIn(t *testing.T) {
	r := start(t, nil)
	r.real.AddUser("bob", "bob@example.com", false)
	public := r.open(t, func(o *Options) { o.ClientID, o.ClientSecret = oidctest.PublicClientID, nil })
	for _, inIDToken := range []bool{true, false} {
		r.real.SetEmailInIDToken(inIDToken)
		for _, tt := range []struct {
			name, subject string
			p             *Provider
			want          Identity
		}{
			{"verified", "alice", r.p, Identity{r.real.Issuer(), "alice", "alice@example.com", true}},
			{"not verified", "bob", r.p, Identity{r.real.Issuer(), "bob", "bob@example.com", false}},
			{"public client", "alice", public, Identity{r.real.Issuer(), "alice", "alice@example.com", true}},
		} {
			t.Run(fmt.Sprint(tt.name, " ", inIDToken), func(t *testing.T) {
				got, err := r.signInWith(t, tt.p, tt.subject)
				if err != nil || got != tt.want {
					t.Errorf("got %+v, %v", got, err)
				}
			})
		}
	}
}

func TestBegin(t *testing.T) {
	r := start(t, nil)
	redirectTo, pending, err := r.p.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(redirectTo)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"response_type":         "code",
		"client_id":             oidctest.ClientID,
		"redirect_uri":          redirectURL,
		"scope":                 "openid email",
		"state":                 pending.state,
		"nonce":                 pending.nonce,
		"code_challenge_method": "S256",
	} {
		if got := u.Query().Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	if strings.Contains(redirectTo, pending.verifier) || len(u.Query().Get("code_challenge")) != 43 {
		t.Errorf("challenge in %s", redirectTo)
	}
	_, again, err := r.p.Begin(t.Context())
	if err != nil || again.state == pending.state || again.nonce == pending.nonce || again.verifier == pending.verifier {
		t.Errorf("the next sign-in has the same secrets, or %v", err)
	}
	bearerOnly := r.open(t, func(o *Options) { o.RedirectURL = "" })
	if _, _, err := bearerOnly.Begin(t.Context()); err == nil {
		t.Error("sign-in without a redirect URL")
	}
}

// What a browser may bring back instead of the answer to its question.
func TestForeignAnswers(t *testing.T) {
	r := start(t, nil)
	for _, tt := range []struct {
		name   string
		change func(*Pending, url.Values)
		want   error
		reason string
	}{
		{"another browser's sign-in", func(p *Pending, _ url.Values) { p.state = secret() }, ErrRejected, "another sign-in"},
		{"no state", func(_ *Pending, q url.Values) { q.Del("state") }, ErrRejected, "another sign-in"},
		{"two states", func(_ *Pending, q url.Values) { q.Add("state", "x") }, ErrRejected, "several state"},
		{"nothing pending", func(p *Pending, _ url.Values) { *p = Pending{} }, ErrRejected, "no sign-in"},
		{"nothing pending, no state", func(p *Pending, q url.Values) { *p = Pending{}; q.Del("state") }, ErrRejected, "no sign-in"},
		{"another sign-in's token", func(p *Pending, _ url.Values) { p.nonce = secret() }, ErrRejected, "ID token belongs to another sign-in"},
		{"another sign-in's code", func(p *Pending, _ url.Values) { p.verifier = secret() }, ErrRejected, "does not accept the code"},
		{"made-up code", func(_ *Pending, q url.Values) { q.Set("code", "guess") }, ErrRejected, "does not accept the code"},
		{"no code", func(_ *Pending, q url.Values) { q.Del("code") }, ErrRejected, "no code"},
		{"huge code", func(_ *Pending, q url.Values) { q.Set("code", strings.Repeat("a", maxCode+1)) }, ErrRejected, "no code"},
		{"two codes", func(_ *Pending, q url.Values) { q.Add("code", "x") }, ErrRejected, "several code"},
		{"another provider", func(_ *Pending, q url.Values) { q.Set("iss", "https://evil.example") }, ErrRejected, "another provider"},
		{"no provider", func(_ *Pending, q url.Values) { q.Set("iss", "") }, ErrRejected, "another provider"},
		{"two providers", func(_ *Pending, q url.Values) { q.Set("iss", r.real.Issuer()); q.Add("iss", "x") }, ErrRejected, "several iss"},
		{"the provider itself", func(_ *Pending, q url.Values) { q.Set("iss", r.real.Issuer()) }, nil, ""},
		{"user said no", func(_ *Pending, q url.Values) { q.Set("error", "access_denied"); q.Del("code") }, ErrRejected, "access_denied"},
		{"both yes and no", func(_ *Pending, q url.Values) { q.Set("error", "access_denied") }, ErrRejected, "access_denied"},
		{"long error", func(_ *Pending, q url.Values) { q.Set("error", strings.Repeat("a", 65)) }, ErrRejected, "an error"},
		{"error of another provider", func(_ *Pending, q url.Values) { q.Set("error", "access_denied"); q.Set("iss", "x") }, ErrRejected, "another provider"},
		{"error with another state", func(_ *Pending, q url.Values) { q.Set("error", "access_denied"); q.Set("state", "x") }, ErrRejected, "another sign-in"},
		{"provider is busy", func(_ *Pending, q url.Values) { q.Set("error", "temporarily_unavailable") }, ErrUnavailable, "temporarily"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pending, query := r.goThere(t, r.p, "alice")
			tt.change(&pending, query)
			id, err := r.p.Complete(t.Context(), pending, query)
			if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.reason) {
				t.Fatalf("got %+v, %v", id, err)
			}
			if (err != nil) != (id == Identity{}) {
				t.Errorf("%+v beside %v", id, err)
			}
			if code := query.Get("code"); err != nil && code != "" && strings.Contains(err.Error(), code) {
				t.Errorf("code in %v", err)
			}
		})
	}
}

func TestReplay(t *testing.T) {
	r := start(t, nil)
	pending, query := r.goThere(t, r.p, "alice")
	if _, err := r.p.Complete(t.Context(), pending, maps.Clone(query)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.p.Complete(t.Context(), pending, query); !errors.Is(err, ErrRejected) {
		t.Errorf("got %v", err)
	}
}

// A provider that names itself in its answers does so in each (RFC 9207).
func TestProviderNamesItself(t *testing.T) {
	r := start(t, nil)
	p := r.openChanged(t, "/.well-known/openid-configuration", map[string]any{"authorization_response_iss_parameter_supported": true})
	pending, query := r.goThere(t, p, "alice")
	if _, err := p.Complete(t.Context(), pending, query); !errors.Is(err, ErrRejected) || !strings.Contains(err.Error(), "another provider") {
		t.Errorf("no issuer: %v", err)
	}
	pending, query = r.goThere(t, p, "alice")
	query.Set("iss", r.real.Issuer())
	if _, err := p.Complete(t.Context(), pending, query); err != nil {
		t.Errorf("the issuer: %v", err)
	}
}

// What the provider answers to us, changed on the way, as one that errs or is attacked might.
func TestAnswersOfTheProvider(t *testing.T) {
	r := start(t, nil)
	r.real.AddUser("bob", "bob@example.com", true)
	for _, tt := range []struct {
		name, path string
		change     map[string]any
		want       error
		reason     string
	}{
		{"nothing changed", "/oauth/token", nil, nil, ""},
		{"no ID token", "/oauth/token", map[string]any{"id_token": nil}, ErrRejected, "no ID token"},
		{"ID token is no text", "/oauth/token", map[string]any{"id_token": 1}, ErrRejected, "no ID token"},
		{"another ID token", "/oauth/token", map[string]any{"id_token": r.real.IDToken(t, "bob")}, ErrRejected, "another sign-in"},
		{"another access token", "/oauth/token", map[string]any{"access_token": r.real.AccessToken(t, "bob")}, ErrRejected, "another access token"},
		{"no access token", "/oauth/token", map[string]any{"access_token": nil}, ErrUnavailable, "missing access_token"},
		{"we are not known", "/oauth/token", map[string]any{"error": "invalid_client"}, ErrUnavailable, "invalid_client"},
		{"client secret by form", "/.well-known/openid-configuration", map[string]any{"token_endpoint_auth_methods_supported": []string{"client_secret_post"}}, nil, ""},
		{"methods not said", "/.well-known/openid-configuration", map[string]any{"token_endpoint_auth_methods_supported": nil}, nil, ""},
		{"algorithms not said", "/.well-known/openid-configuration", map[string]any{"id_token_signing_alg_values_supported": nil}, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, err := r.signInWith(t, r.openChanged(t, tt.path, tt.change), "alice")
			if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.reason) {
				t.Errorf("got %+v, %v", id, err)
			}
		})
	}
}

// The address is not worth a failure, and is nobody else's.
func TestUserInfo(t *testing.T) {
	r := start(t, nil)
	r.real.SetEmailInIDToken(false)
	for _, tt := range []struct {
		name, path string
		change     map[string]any
		email      string
	}{
		{"nothing changed", "/userinfo", nil, "alice@example.com"},
		{"somebody else", "/userinfo", map[string]any{"sub": "bob"}, ""},
		{"nobody", "/userinfo", map[string]any{"sub": nil}, ""},
		{"no address", "/userinfo", map[string]any{"email": nil}, ""},
		{"malformed", "/userinfo", map[string]any{"email": 17}, ""},
		{"no such endpoint", "/.well-known/openid-configuration", map[string]any{"userinfo_endpoint": nil}, ""},
		{"endpoint that is away", "/.well-known/openid-configuration", map[string]any{"userinfo_endpoint": "http://127.0.0.1:9/"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, err := r.signInWith(t, r.openChanged(t, tt.path, tt.change), "alice")
			if err != nil || id.Subject != "alice" || id.Email != tt.email || id.EmailVerified != (tt.email != "") {
				t.Errorf("got %+v, %v", id, err)
			}
		})
	}
	if r.log.has("alice") {
		t.Errorf("who it is, in the log: %s", r.log)
	}
}

// The provider goes away between the two halves of a sign-in.
func TestAwayInBetween(t *testing.T) {
	r := start(t, nil)
	pending, query := r.goThere(t, r.p, "alice")
	r.real.Stop()
	_, err := r.p.Complete(t.Context(), pending, query)
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if strings.Contains(err.Error(), query.Get("code")) || strings.Contains(err.Error(), pending.verifier) {
		t.Errorf("secret in %v", err)
	}
	r.real.Restart(t)
	if _, err := r.p.Complete(t.Context(), pending, query); err != nil {
		t.Errorf("once it is back: %v", err)
	}
}

func TestWrongClientSecret(t *testing.T) {
	r := start(t, nil)
	p := r.open(t, func(o *Options) { o.ClientSecret = func() string { return "hunter2hunter2" } })
	_, err := r.signInWith(t, p, "alice")
	if !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

// The secret goes where the provider wants it, and is never tried out elsewhere.
func TestClientAuthentication(t *testing.T) {
	r := start(t, nil)
	public := r.open(t, func(o *Options) { o.ClientSecret = nil })
	for _, tt := range []struct {
		p       *Provider
		methods []string
		want    oauth2.AuthStyle
	}{
		{r.p, nil, oauth2.AuthStyleInHeader},
		{r.p, []string{"client_secret_post", "client_secret_basic"}, oauth2.AuthStyleInHeader},
		{r.p, []string{"client_secret_post"}, oauth2.AuthStyleInParams},
		{public, []string{"client_secret_basic"}, oauth2.AuthStyleInParams},
		{public, nil, oauth2.AuthStyleInParams},
	} {
		s := &snapshot{metadata: metadata{ClientAuthentication: tt.methods}}
		if got := tt.p.oauth(s).Endpoint.AuthStyle; got != tt.want {
			t.Errorf("%q: %v", tt.methods, got)
		}
	}
}

func TestPending(t *testing.T) {
	pending := Pending{secret(), secret(), secret()}
	text := pending.Encode()
	if got, err := ParsePending(text); err != nil || got != pending {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{
		"", "..", "a.b.c", text + ".", text + ".x", text[1:], text[:len(text)-1], text + "=", strings.Replace(text, ".", "\n", 1),
		strings.Repeat(text, 1000),
	} {
		if _, err := ParsePending(bad); !errors.Is(err, ErrRejected) {
			t.Errorf("%.200q: %v", bad, err)
		}
	}
	var printed bytes.Buffer
	fmt.Fprintf(&printed, "%v %+v %#v %s %q", pending, pending, pending, pending, []Pending{pending})
	slog.New(slog.NewJSONHandler(&printed, nil)).Info("", "pending", pending)
	for _, part := range strings.Split(text, ".") {
		if strings.Contains(printed.String(), part) {
			t.Errorf("secret in %s", &printed)
		}
	}
}

// openChanged opens the provider, whose answers at one path are changed on their way to us. A member that is nil goes.
func (r *rig) openChanged(t *testing.T, path string, change map[string]any) *Provider {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return r.open(t, func(o *Options) {
		o.HTTPClient = &http.Client{Transport: changing{path, change, transport}}
	})
}

type changing struct {
	path   string
	change map[string]any
	next   http.RoundTripper
}

func (c changing) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.next.RoundTrip(r)
	if err != nil || r.URL.Path != c.path {
		return answer, err
	}
	defer answer.Body.Close()
	var members map[string]any
	if err := json.UnmarshalRead(answer.Body, &members); err != nil {
		return nil, err
	}
	for name, value := range c.change {
		if members[name] = value; value == nil {
			delete(members, name)
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	answer.Header.Del("Content-Length")
	return answer, nil
}

// ID tokens that come with the answer to our code, signed by the provider, with the nonce of this sign-in.
func TestIDTokens(t *testing.T) {
	r := start(t, nil)
	granted := make(map[string]any)
	p := r.openChanged(t, "/oauth/token", granted)
	type claims = map[string]any
	for _, tt := range []struct {
		name   string
		claims claims
		reason string // empty: accepted
	}{
		{"as it should be", nil, ""},
		{"several clients, and we got it", claims{"aud": []string{"apikeyd", "other"}, "azp": "apikeyd"}, ""},
		{"another client", claims{"aud": "other"}, "another client"},
		{"several clients, and not who got it", claims{"aud": []string{"apikeyd", "other"}}, "who got it"},
		{"another client got it", claims{"azp": "other"}, "another client"},
		{"expired", claims{"exp": 1}, "expired"},
		{"another issuer", claims{"iss": "https://elsewhere.example"}, "another issuer"},
		{"no nonce", claims{"nonce": nil}, "another sign-in"},
		{"nonce of another length", claims{"nonce": "x"}, "another sign-in"},
		{"another access token", claims{"at_hash": "x"}, "another access token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pending, query := r.goThere(t, p, "alice")
			c := r.claims(claims{"nonce": pending.nonce})
			for name, value := range tt.claims {
				if c[name] = value; value == nil {
					delete(c, name)
				}
			}
			granted["id_token"] = r.real.Sign(t, c, nil)
			_, err := p.Complete(t.Context(), pending, query)
			checkOutcome(t, granted["id_token"].(string), err, tt.reason)
		})
	}
}
