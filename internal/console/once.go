package console

import (
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/token"
)

// onceField is the hidden field that holds the id of a form.
const onceField = "form"

// newOnce returns the id of a form that is carried out once, however often it is sent.
func newOnce() string { return rand.Text() }

// once returns the digest of the id that a form came with; zero: it came with none.
func (v *visit) once() key.Digest {
	id := v.r.PostForm.Get(onceField)
	if id == "" {
		return key.Digest{}
	}
	return sha256.Sum256([]byte(id))
}

// shownToken is a token that is shown, and its key.
type shownToken struct {
	key   key.Key
	token token.Token
	grace time.Duration // how long the token before it is good; 0: there was none, or it is dead
}

// Bounds of what is remembered of tokens.
const (
	tokenLife = time.Minute // somebody who presses a button twice does it sooner
	maxTokens = 1000
)

// tokens remembers for a minute what forms have brought forth, so that whoever presses a button twice sees in the answer to the
// second form, which is the only one that a browser shows, what the first has made. That nothing is made twice does not
// depend on it: each form has an id that a use case takes once. It is safe for concurrent use.
type tokens struct {
	mu   sync.Mutex
	made map[formID]*making
}

// formID is a form and the session that it was sent in.
type formID struct {
	form    key.Digest
	session int64
}

// making is something that is being made, or was.
type making struct {
	done  chan struct{} // closed when token and err are there
	token shownToken
	err   error
}

// once calls make, or returns what it has returned when the same form was sent a moment ago.
func (t *tokens) once(v *visit, make func() (shownToken, error)) (shownToken, error) {
	id := formID{v.once(), v.session.ID}
	if id.form == (key.Digest{}) {
		return make()
	}
	m, first := t.begin(id)
	if first {
		defer close(m.done)
		m.token, m.err = make()
		if m.err != nil {
			t.forget(id) // the form comes back, and may be sent again
		} else {
			time.AfterFunc(tokenLife, func() { t.forget(id) })
		}
		return m.token, m.err
	}
	select {
	case <-m.done:
		return m.token, m.err
	case <-v.r.Context().Done():
		return shownToken{}, v.r.Context().Err()
	}
}

// begin returns what a form makes, and whether that has yet to be made. Where too much is remembered, it is made without that.
func (t *tokens) begin(id formID) (m *making, first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m, ok := t.made[id]; ok {
		return m, false
	}
	m = &making{done: make(chan struct{})}
	if len(t.made) < maxTokens {
		t.made[id] = m
	}
	return m, true
}

func (t *tokens) forget(id formID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.made, id)
}
