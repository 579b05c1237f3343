package oidctest

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// lifetime is that of access tokens and ID tokens.
const lifetime = time.Hour

type user struct {
	subject, email string
	verified       bool
}

// issued is what the userinfo endpoint needs to know of an access token.
type issued struct {
	subject string
	scopes  []string
}

// store is what the provider knows. It is all that the provider's library wants others to write.
type store struct {
	unsupported

	mu             sync.Mutex
	key            *key
	users          map[string]user
	redirects      []string
	audience       []string
	emailInIDToken bool
	requests       map[string]*request // by id
	codes          map[string]string   // ids of requests
	issued         map[string]issued   // by the id of the access token
}

func newStore(k *key) *store {
	return &store{
		key:            k,
		users:          make(map[string]user),
		emailInIDToken: true,
		requests:       make(map[string]*request),
		codes:          make(map[string]string),
		issued:         make(map[string]issued),
	}
}

func (s *store) allow(redirectURL string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.redirects, redirectURL) {
		s.redirects = append(slices.Clone(s.redirects), redirectURL)
	}
}

func (s *store) addUser(u user) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[u.subject] = u
}

func (s *store) setAudience(audience []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.audience = audience
}

func (s *store) setEmailInIDToken(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emailInIDToken = on
}

func (s *store) setKey(k *key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = k
}

func (s *store) currentKey() *key {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key
}

// signIn lets a user finish a sign-in; false: there is no such user, or no such sign-in.
func (s *store) signIn(id, subject string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.requests[id]
	if _, known := s.users[subject]; !ok || !known || r.subject != "" {
		return false
	}
	done := *r
	done.subject, done.at = subject, time.Now()
	s.requests[id] = &done
	return true
}

// The rest is op.Storage.

var (
	errUnknown = errors.New("unknown")

	_ op.Storage                   = (*store)(nil)
	_ op.CanSetUserinfoFromRequest = (*store)(nil)
)

func (s *store) CreateAuthRequest(_ context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	audience := s.audience
	if len(audience) == 0 {
		audience = []string{r.ClientID}
	}
	kept := &request{AuthRequest: r, id: rand.Text(), audience: audience}
	s.requests[kept.id] = kept
	return kept, nil
}

func (s *store) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.requests[id]; ok {
		return r, nil
	}
	return nil, errUnknown
}

func (s *store) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	id := s.codes[code]
	s.mu.Unlock()
	return s.AuthRequestByID(ctx, id)
}

func (s *store) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = id
	return nil
}

func (s *store) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, id)
	return nil
}

func (s *store) CreateAccessToken(_ context.Context, r op.TokenRequest) (string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := rand.Text()
	s.issued[id] = issued{r.GetSubject(), r.GetScopes()}
	return id, time.Now().Add(lifetime), nil
}

func (s *store) SigningKey(context.Context) (op.SigningKey, error) { return s.currentKey(), nil }

func (s *store) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{s.currentKey().algorithm}, nil
}

func (s *store) KeySet(context.Context) ([]op.Key, error) {
	return []op.Key{publicKey{s.currentKey()}}, nil
}

func (s *store) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != ClientID && id != PublicClientID {
		return nil, errUnknown
	}
	return &client{id: id, redirects: s.redirects, emailInIDToken: s.emailInIDToken}, nil
}

func (s *store) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if id != ClientID || subtle.ConstantTimeCompare([]byte(secret), []byte(ClientSecret)) != 1 {
		return errUnknown
	}
	return nil
}

func (s *store) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, r op.IDTokenRequest, scopes []string) error {
	return s.describe(info, issued{r.GetSubject(), scopes})
}

func (s *store) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, id, _, _ string) error {
	s.mu.Lock()
	token, ok := s.issued[id]
	s.mu.Unlock()
	if !ok {
		return errUnknown
	}
	return s.describe(info, token)
}

func (s *store) describe(info *oidc.UserInfo, token issued) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.users[token.subject]
	if !ok {
		return errUnknown
	}
	info.Subject = u.subject
	if slices.Contains(token.scopes, oidc.ScopeEmail) {
		info.Email, info.EmailVerified = u.email, oidc.Bool(u.verified)
	}
	return nil
}

func (s *store) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil // SetUserinfoFromRequest has come in its place
}

func (s *store) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil
}

func (s *store) Health(context.Context) error { return nil }

// unsupported are the parts of op.Storage for refresh tokens, introspection, revocation and clients that sign.
type unsupported struct{}

func (unsupported) CreateAccessAndRefreshTokens(context.Context, op.TokenRequest, string) (string, string, time.Time, error) {
	return "", "", time.Time{}, errUnsupported
}

func (unsupported) TokenRequestByRefreshToken(context.Context, string) (op.RefreshTokenRequest, error) {
	return nil, errUnsupported
}

func (unsupported) TerminateSession(context.Context, string, string) error { return errUnsupported }

func (unsupported) RevokeToken(context.Context, string, string, string) *oidc.Error {
	return oidc.ErrServerError()
}

func (unsupported) GetRefreshTokenInfo(context.Context, string, string) (string, string, error) {
	return "", "", op.ErrInvalidRefreshToken
}

func (unsupported) SetIntrospectionFromToken(context.Context, *oidc.IntrospectionResponse, string, string, string) error {
	return errUnsupported
}

func (unsupported) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errUnsupported
}

func (unsupported) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errUnsupported
}
