package subscribe

import (
	"encoding/json"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

const (
	// maxListed is how many tokens of one change are listed. With more, everything is forgotten.
	maxListed = 1 << 17
	// perLine is how many stand on one line.
	perLine = 1000
)

// changeLine is a change that subscribers are told of.
type changeLine struct {
	changes []store.Change
	forget  bool
	close   bool
}

// lines returns the tokens of the change. They mean nothing without the last line.
func (c changeLine) lines() [][]byte {
	var lines [][]byte
	for rest := c.changes; len(rest) > 0; {
		n := min(perLine, len(rest))
		digests := make([][]byte, n)
		for i := range digests {
			digests[i] = rest[i].Digest[:]
		}
		lines = append(lines, encode(api.ServerLine{Digests: digests}))
		rest = rest[n:]
	}
	return lines
}

// last returns the line that ends the change.
func (c changeLine) last(number uint64) []byte {
	return encode(api.ServerLine{Change: number, Forget: c.forget, Close: c.close})
}

func encode(l api.ServerLine) []byte {
	b, err := json.Marshal(l)
	if err != nil { // integers, strings, and metadata that knownKey has looked at
		panic(err)
	}
	return append(b, '\n')
}

// knownKey is what a subscriber is told of a key; nil for nil. ok is false where it cannot be told.
func knownKey(r *key.Record) (_ *api.KnownKey, ok bool) {
	if r == nil {
		return nil, true
	}
	if r.Metadata != "" && !json.Valid([]byte(r.Metadata)) { // it was checked when it came in
		return nil, false
	}
	k := &api.KnownKey{
		KeyID: r.KeyID, KeyName: r.Name, OrganizationID: r.OrganizationID, UserID: r.UserID, Enabled: r.Enabled,
		ExpiresAt: timeOf(r.ExpiresAt), TokenExpiresAt: timeOf(r.TokenExpiresAt),
		Ask: r.Restrictions != nil && !r.Restrictions.None(),
	}
	for _, name := range r.Scopes.Names() {
		k.KeyScope = append(k.KeyScope, api.Scope(name))
	}
	if r.Metadata != "" {
		k.Metadata = json.RawMessage(r.Metadata)
	}
	return k, true
}

func timeOf(m key.Millis) *api.Time {
	if m == 0 {
		return nil
	}
	return &api.Time{Time: m.Time()}
}

// outcomeOf returns the outcome with a code; false for one that no subscriber decides.
func outcomeOf(code api.VerifyCode) (key.Outcome, bool) {
	for _, o := range key.Outcomes() {
		if o.String() == string(code) && o != key.CheckNotFound {
			return o, true
		}
	}
	return 0, false
}
