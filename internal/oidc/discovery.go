package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxBody    = 1 << 20 // bytes of an answer of the provider
	minRSABits = 2048
)

// algorithms are all that a token may be signed with: asymmetric ones. With a symmetric one the provider's public key
// would do as the secret.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512,
	jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512,
	jose.EdDSA,
}

// metadata is what we need of a discovery document.
type metadata struct {
	Issuer                string   `json:"issuer"`
	KeysEndpoint          string   `json:"jwks_uri"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	UserInfoEndpoint      string   `json:"userinfo_endpoint"`
	Algorithms            []string `json:"id_token_signing_alg_values_supported"`
	ClientAuthentication  []string `json:"token_endpoint_auth_methods_supported"`
	// NamesIssuer: answers to the browser carry the issuer (RFC 9207).
	NamesIssuer bool `json:"authorization_response_iss_parameter_supported"`
}

// snapshot is what the provider said at one time. It does not change.
type snapshot struct {
	metadata
	algorithms []jose.SignatureAlgorithm
	keys       []signingKey
}

// signingKey is a key that the provider signs with.
type signingKey struct {
	id        string // may be empty
	algorithm string // empty: any that the key is good for
	public    any    // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// discover asks the provider for its metadata and its keys.
func (p *Provider) discover(ctx context.Context) (*snapshot, error) {
	s := new(snapshot)
	if err := p.getJSON(ctx, strings.TrimSuffix(p.o.Issuer, "/")+"/.well-known/openid-configuration", "", &s.metadata); err != nil {
		return nil, fmt.Errorf("discovery document: %w", err)
	}
	if err := p.checkMetadata(&s.metadata); err != nil {
		return nil, fmt.Errorf("discovery document: %w", err)
	}
	s.algorithms = algorithms
	if s.Algorithms != nil {
		s.algorithms = slices.DeleteFunc(slices.Clone(algorithms), func(a jose.SignatureAlgorithm) bool {
			return !slices.Contains(s.Algorithms, string(a))
		})
	}
	if len(s.algorithms) == 0 {
		return nil, fmt.Errorf("discovery document: tokens are signed with %q, none of which is accepted", s.Algorithms)
	}
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := p.getJSON(ctx, s.KeysEndpoint, "", &set); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	if s.keys = signingKeys(set.Keys); len(s.keys) == 0 {
		return nil, errors.New("keys: none that can verify a token")
	}
	return s, nil
}

func (p *Provider) checkMetadata(m *metadata) error {
	if m.Issuer != p.o.Issuer {
		return fmt.Errorf("says that the issuer is %q", m.Issuer)
	}
	type endpoint struct {
		name, url string
		needed    bool
	}
	for _, e := range []endpoint{
		{"jwks_uri", m.KeysEndpoint, true},
		{"authorization_endpoint", m.AuthorizationEndpoint, p.o.RedirectURL != ""},
		{"token_endpoint", m.TokenEndpoint, p.o.RedirectURL != ""},
		{"userinfo_endpoint", m.UserInfoEndpoint, false},
	} {
		if e.url == "" && !e.needed {
			continue
		}
		if err := checkURL(e.url, p.o.Issuer); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}

// signingKeys returns the keys of a JSON Web Key Set that can verify a token. Others are passed over, as RFC 7517 wants:
// a kind of key that is new to us must not take the rest along.
func signingKeys(set []jsontext.Value) []signingKey {
	var keys []signingKey
	for _, text := range set {
		var k jose.JSONWebKey
		if err := k.UnmarshalJSON(text); err != nil || k.Use != "" && k.Use != "sig" || !publicKey(k.Key) {
			continue
		}
		keys = append(keys, signingKey{k.KeyID, k.Algorithm, k.Key})
	}
	return keys
}

// publicKey reports whether a key can verify, and nothing else: a symmetric or a private one has no place in the open.
func publicKey(key any) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	default:
		return false
	}
}

// getJSON gets a document; a bearer token goes with the request where there is one.
func (p *Provider) getJSON(ctx context.Context, url, bearer string, to any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	answer, err := p.o.HTTPClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: status %d", url, answer.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody+1))
	if err != nil {
		return fmt.Errorf("GET %s: %w", url, err)
	}
	if len(body) > maxBody {
		return fmt.Errorf("GET %s: more than %d bytes", url, maxBody)
	}
	if err := json.Unmarshal(body, to); err != nil {
		return fmt.Errorf("GET %s: is not the JSON it should be", url) // err repeats values, an address perhaps
	}
	return nil
}
