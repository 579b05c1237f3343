// Package oidctest runs a real OpenID Connect provider in a test: that of github.com/zitadel/oidc, over a real socket,
// with users, keys and clients in memory.
//
//	provider := oidctest.Start(t)
//	provider.AddUser("alice", "alice@example.com", true)
//	token := provider.AccessToken(t, "alice")
//
// It is for tests alone, and says yes to whoever asks.
package oidctest

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/apikeyd/apikeyd/internal/freeport"
)

const (
	// ClientID and ClientSecret are those of a client that keeps a secret, PublicClientID that of one that keeps none.
	ClientID       = "apikeyd"
	ClientSecret   = "a secret: with %, + and ü"
	PublicClientID = "apikeyd-public"

	keysPath  = "/keys"
	loginPath = "/login"
)

// Provider is a provider that runs. Its methods are safe for concurrent use.
type Provider struct {
	address    string // host and port, the same after a restart
	handler    http.Handler
	store      *store
	keyFetches atomic.Int64

	mu     sync.Mutex
	server *http.Server // nil: stopped
}

// Start starts a provider with no users and stops it at the end of the test.
func Start(t testing.TB) *Provider {
	t.Helper()
	address, err := freeport.Address() // which it comes back to
	if err != nil {
		t.Fatalf("start provider: %v", err)
	}
	l := listen(t, address)
	p := &Provider{address: l.Addr().String(), store: newStore(newKey(t, jose.RS256))}
	var secret [32]byte
	rand.Read(secret[:])
	provider, err := op.NewProvider(&op.Config{CryptoKey: secret, CodeMethodS256: true, AuthMethodPost: true},
		p.store, op.StaticIssuer(p.Issuer()), op.WithAllowInsecure())
	if err != nil {
		t.Fatalf("start provider: %v", err)
	}
	p.handler = p.routes(provider)
	p.serve(l)
	t.Cleanup(p.Stop)
	return p
}

func (p *Provider) routes(provider *op.Provider) http.Handler {
	login := &login{store: p.store, next: op.AuthCallbackURL(provider)}
	m := http.NewServeMux()
	m.Handle("GET "+loginPath, http.HandlerFunc(login.form))
	m.Handle("POST "+loginPath, op.NewIssuerInterceptor(provider.IssuerFromRequest).Handler(http.HandlerFunc(login.submit)))
	m.Handle("/", provider)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == keysPath {
			p.keyFetches.Add(1)
		}
		m.ServeHTTP(w, r)
	})
}

func listen(t testing.TB, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("start provider: %v", err)
	}
	return l
}

func (p *Provider) serve(l net.Listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.server = &http.Server{Handler: p.handler, ReadHeaderTimeout: 10 * time.Second}
	go p.server.Serve(l)
}

// Issuer returns the provider's issuer URL.
func (p *Provider) Issuer() string { return "http://" + p.address }

// Allow lets clients be sent back to a URL after the sign-in.
func (p *Provider) Allow(redirectURL string) { p.store.allow(redirectURL) }

// AddUser adds a user, or changes one.
func (p *Provider) AddUser(subject, email string, verified bool) {
	p.store.addUser(user{subject, email, verified})
}

// SetAudience makes tokens be meant for others than the client that asks for them. ID tokens name the client as well.
func (p *Provider) SetAudience(audience ...string) { p.store.setAudience(audience) }

// SetEmailInIDToken says whether ID tokens hold the address, which they do at first, or the userinfo endpoint alone has it.
func (p *Provider) SetEmailInIDToken(on bool) { p.store.setEmailInIDToken(on) }

// Rotate replaces the signing key. The old one is published no more.
func (p *Provider) Rotate(t testing.TB) { p.RotateTo(t, jose.RS256) }

// RotateTo replaces the signing key by one for an algorithm.
func (p *Provider) RotateTo(t testing.TB, algorithm jose.SignatureAlgorithm) {
	t.Helper()
	p.store.setKey(newKey(t, algorithm))
}

// KeyFetches returns how often somebody has asked for the public keys.
func (p *Provider) KeyFetches() int { return int(p.keyFetches.Load()) }

// Stop switches the provider off: its port is closed, and so are its connections.
func (p *Provider) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server != nil {
		p.server.Close()
		p.server = nil
	}
}

// Restart switches the provider on again, at the same address, with what it knew.
func (p *Provider) Restart(t testing.TB) {
	t.Helper()
	p.Stop()
	p.serve(listen(t, p.address))
}

var errUnsupported = errors.New("not a thing that tests ask for")

// login is the page on which users sign in. The provider's library leaves it to whoever uses it.
type login struct {
	store *store
	next  func(ctx context.Context, id string) string
}

func (l *login) form(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write([]byte(`<!doctype html><title>Sign in</title>
<form method="post">
<input name="subject" autocomplete="username" required>
<button>Sign in</button>
</form>
`))
}

func (l *login) submit(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	if !l.store.signIn(id, r.PostFormValue("subject")) {
		http.Error(w, "no such user, or no such sign-in", http.StatusForbidden)
		return
	}
	http.Redirect(w, r, l.next(r.Context(), id), http.StatusSeeOther)
}
