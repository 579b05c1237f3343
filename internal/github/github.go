// Package github tells whether a message of secret scanning comes from GitHub.
//
// GitHub signs each message with ECDSA on P-256 over the SHA-256 of its body, and publishes its keys, each with an
// identifier that the message names. The keys are asked for when the first message comes, and again after an hour, or when a
// message names one that is not known. Whoever sends forged identifiers cannot make us ask more often than once a
// minute: GitHub answers 60 such requests an hour. While GitHub cannot be asked, the keys that are known stay good.
//
// All keys that are published are taken, as in GitHub's own examples: is_current says which one signs now, and a message may
// have been under way while that changed. A message proves nothing that whoever holds the tokens in it could not
// do without one, so an old key is no danger.
//
// https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partnership-program/secret-scanning-partner-program
package github

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

var (
	// ErrSignature: the message does not come from GitHub.
	ErrSignature = errors.New("not signed by GitHub")
	// ErrUnavailable: nobody can say, because GitHub's keys are not known and cannot be had now.
	ErrUnavailable = errors.New("the keys of GitHub cannot be had")
)

const (
	fetchTimeout = 10 * time.Second
	// retryAfter is the least time between two requests, refreshAfter the age at which the keys are asked for again.
	retryAfter   = time.Minute
	refreshAfter = time.Hour

	maxAnswer = 256 << 10 // bytes
	maxKeys   = 100
	maxHeader = 256 // bytes of an identifier, and of a signature: one is 72 bytes at most, in base64
)

// Options are what Keys are made of. Every field is required.
type Options struct {
	URL string // where GitHub publishes its keys
	Now func() time.Time
	Log *slog.Logger
}

// Keys are GitHub's. Their methods are safe for concurrent use.
type Keys struct {
	o     Options
	http  *http.Client
	known atomic.Pointer[snapshot] // never nil

	turn  chan struct{} // whoever may send to it asks GitHub; the fields below are theirs
	tried time.Time     // when the last request began; zero: there was none
	err   error         // how it ended
}

// snapshot is what GitHub published at one time. It does not change.
type snapshot struct {
	keys    map[string]*ecdsa.PublicKey // by their identifiers
	fetched time.Time
}

// New returns Keys of which none is known yet.
func New(o Options) *Keys {
	k := &Keys{o: o, turn: make(chan struct{}, 1), http: &http.Client{
		// An answer that points elsewhere is none: whoever gives it could name the keys.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	k.known.Store(&snapshot{})
	return k
}

// Verify returns nil where body was signed by GitHub: identifier and signature are the headers Github-Public-Key-Identifier and
// Github-Public-Key-Signature. The error matches ErrSignature or ErrUnavailable.
func (k *Keys) Verify(ctx context.Context, identifier, signature string, body []byte) error {
	if identifier == "" || len(identifier) > maxHeader || len(signature) > maxHeader {
		return ErrSignature
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(signature)
	if err != nil {
		return ErrSignature
	}
	public, err := k.find(ctx, identifier)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(body); public == nil || !ecdsa.VerifyASN1(public, sum[:], sig) {
		return ErrSignature
	}
	return nil
}

// find returns the key with an identifier, or nil where GitHub has none.
func (k *Keys) find(ctx context.Context, identifier string) (*ecdsa.PublicKey, error) {
	if public := k.fresh(identifier); public != nil {
		return public, nil
	}
	select {
	case k.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	defer func() { <-k.turn }()
	if public := k.fresh(identifier); public != nil { // somebody else has asked meanwhile
		return public, nil
	}
	if k.tried.IsZero() || k.o.Now().Sub(k.tried) >= retryAfter {
		// Others will need the answer, even if who asks first hangs up.
		k.fetch(context.WithoutCancel(ctx))
	}
	if public := k.known.Load().keys[identifier]; public != nil {
		return public, nil
	}
	if k.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, k.err)
	}
	return nil, nil
}

// fresh returns the key with an identifier if it need not be asked for again.
func (k *Keys) fresh(identifier string) *ecdsa.PublicKey {
	s := k.known.Load()
	if k.o.Now().Sub(s.fetched) >= refreshAfter {
		return nil
	}
	return s.keys[identifier]
}

// fetch asks GitHub. It needs the turn.
func (k *Keys) fetch(ctx context.Context) {
	before := k.err
	k.tried = k.o.Now()
	keys, err := k.ask(ctx)
	if k.err = err; err == nil {
		k.known.Store(&snapshot{keys: keys, fetched: k.tried})
	}
	switch {
	case err != nil && before == nil:
		k.o.Log.Warn("the keys of GitHub's secret scanning cannot be had", "error", err, "known", len(k.known.Load().keys))
	case err == nil && before != nil:
		k.o.Log.Info("the keys of GitHub's secret scanning can be had again")
	}
}

func (k *Keys) ask(ctx context.Context) (map[string]*ecdsa.PublicKey, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.o.URL, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "apikeyd") // without one GitHub refuses
	resp, err := k.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", k.o.URL, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("%s answers with more than %d bytes", k.o.URL, maxAnswer)
	}
	return parseKeys(body)
}

// parseKeys reads what GitHub publishes. A key of a kind that is not known is passed over; none at all is an error.
func parseKeys(body []byte) (map[string]*ecdsa.PublicKey, error) {
	var published struct {
		Keys []struct {
			Identifier string `json:"key_identifier"`
			Key        string `json:"key"`
		} `json:"public_keys"`
	}
	if err := json.Unmarshal(body, &published); err != nil {
		return nil, fmt.Errorf("list of keys: %w", err)
	}
	keys := map[string]*ecdsa.PublicKey{}
	for _, p := range published.Keys[:min(maxKeys, len(published.Keys))] {
		if public := parseKey(p.Key); public != nil && p.Identifier != "" {
			keys[p.Identifier] = public
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("list of keys: there is none on P-256 in it")
	}
	return keys, nil
}

func parseKey(text string) *ecdsa.PublicKey {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	public, ok := parsed.(*ecdsa.PublicKey)
	if err != nil || !ok || public.Curve != elliptic.P256() {
		return nil
	}
	return public
}
