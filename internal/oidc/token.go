package oidc

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxToken is the longest token that is looked at, in bytes. Headers of a request are seldom allowed more.
const maxToken = 16 << 10

// token is a token whose signature and times are good, and which the provider has issued.
type token struct {
	claims
	accessToken bool // it says itself that it is one, and so is no ID token
	algorithm   string
}

// header is what we need of a token's header.
type header struct {
	Algorithm string         `json:"alg"`
	Type      string         `json:"typ"`
	KeyID     string         `json:"kid"`
	Critical  jsontext.Value `json:"crit"`
	Key       jsontext.Value `json:"jwk"`
}

// LooksLikeToken reports whether a bearer credential has the form of a signed JSON Web Token: three parts of base64url,
// none of them empty, 16 KiB at most.
func LooksLikeToken(bearer string) bool {
	if len(bearer) > maxToken {
		return false
	}
	parts, length := 1, 0
	for _, c := range []byte(bearer) {
		switch {
		case c == '.':
			if length == 0 {
				return false
			}
			parts, length = parts+1, 0
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			length++
		default:
			return false
		}
	}
	return parts == 3 && length > 0
}

// verify checks everything about a token but whom it is meant for.
func (p *Provider) verify(ctx context.Context, text string) (*token, error) {
	h, err := readHeader(text)
	if err != nil {
		return nil, err
	}
	jws, err := jose.ParseSignedCompact(text, algorithms)
	if err != nil {
		return nil, reject("the token is malformed, or its algorithm is not allowed") // err repeats parts of the token
	}
	payload, err := p.verifySignature(ctx, jws, h)
	if err != nil {
		return nil, err
	}
	t := &token{algorithm: h.Algorithm}
	if err := json.Unmarshal(payload, &t.claims); err != nil {
		return nil, reject("the token's claims are malformed")
	}
	if err := t.check(p.o.Issuer, p.o.Now()); err != nil {
		return nil, err
	}
	t.accessToken = h.typ() == "at+jwt" || t.Scope != nil || t.Scopes != nil
	return t, nil
}

// readHeader reads the header and refuses tokens that are none for us, whoever has signed them.
func readHeader(text string) (*header, error) {
	if !LooksLikeToken(text) {
		return nil, reject("no token")
	}
	first, _, _ := strings.Cut(text, ".")
	raw, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		return nil, reject("the token's header is malformed")
	}
	h := new(header)
	if err := json.Unmarshal(raw, h); err != nil {
		return nil, reject("the token's header is malformed")
	}
	switch h.typ() {
	case "", "jwt", "at+jwt":
	default: // a logout token, a proof of possession and others are signed with the same keys
		return nil, reject("the token is of another type")
	}
	if h.Critical != nil {
		return nil, reject("the token has critical headers")
	}
	if h.Key != nil {
		return nil, reject("the token brings its own key")
	}
	return h, nil
}

// typ returns the type of the token as RFC 7515 compares it.
func (h *header) typ() string { return strings.TrimPrefix(strings.ToLower(h.Type), "application/") }

// verifySignature returns the payload that the provider has signed. Where it may have done so with a key that is not
// known yet, it is asked.
func (p *Provider) verifySignature(ctx context.Context, jws *jose.JSONWebSignature, h *header) ([]byte, error) {
	known, err := p.source.get(ctx)
	if err != nil {
		return nil, err
	}
	payload, keys := known.verify(jws, h)
	if payload == nil && (keys == 0 || h.KeyID == "") {
		now, err := p.source.newer(ctx, known)
		if err != nil {
			return nil, err
		}
		if now != known {
			payload, keys = now.verify(jws, h)
		}
	}
	switch {
	case payload != nil:
		return payload, nil
	case keys == 0:
		return nil, reject("the provider has no such key")
	default:
		return nil, reject("the token's signature is wrong")
	}
}

// verify returns the payload, nil where the signature is not that of a key; keys is how many were tried.
func (s *snapshot) verify(jws *jose.JSONWebSignature, h *header) (payload []byte, keys int) {
	if !slices.Contains(s.algorithms, jose.SignatureAlgorithm(h.Algorithm)) {
		return nil, 0
	}
	for _, k := range s.keys {
		if h.KeyID != "" && k.id != h.KeyID || k.algorithm != "" && k.algorithm != h.Algorithm {
			continue
		}
		keys++
		if payload, err := jws.Verify(k.public); err == nil {
			return payload, keys
		}
	}
	return nil, keys
}
