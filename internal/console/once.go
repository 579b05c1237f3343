package console

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apikeyd/apikeyd/internal/browser"
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

// shownToken is a token that is shown, and what there is to know of its key.
type shownToken struct {
	keyID, organizationID int64
	name                  string
	token                 token.Token
	rotated               bool          // there was one before it
	grace                 time.Duration // how long that is good; 0: not any more
}

func shown(k *key.Key, t token.Token) shownToken {
	return shownToken{keyID: k.ID, organizationID: k.OrganizationID, name: k.Name, token: t}
}

// Bounds of what is remembered of forms.
const (
	shownLife = time.Minute // somebody who presses a button twice does it sooner
	maxForms  = 10_000
)

// forms carries forms out once each, however often they are sent: pressed twice, or sent again by reloading the page that was its
// answer. For a minute it remembers what came of a form, too, so that whoever presses a button twice sees it: browsers show the answer to
// the second form alone. It is safe for concurrent use.
//
// It is for one node. The browser itself keeps, for the others and for longer, which forms were carried out; so two things come of one
// form only where somebody without script presses twice at once and a proxy sends the two requests to different nodes.
type forms[T any] struct {
	mu    sync.Mutex
	made  map[formID]*making[T]
	order []formID // the oldest first
}

func newForms[T any]() *forms[T] { return &forms[T]{made: map[formID]*making[T]{}} }

// formID is a form and the session that it was sent in.
type formID struct {
	form    key.Digest
	session int64
}

// making is something that is being made, or was.
type making[T any] struct {
	done  chan struct{} // closed when the others are there
	made  T             // zero after a while
	faded bool
	err   error
}

// once calls make, or returns what it has returned when the same form was sent a moment ago. The error is formUsed where that was
// longer ago.
func (f *forms[T]) once(v *visit, make func() (T, error)) (none T, _ error) {
	id := formID{v.once(), v.session.ID}
	if id.form == (key.Digest{}) {
		return make()
	}
	m, first := f.begin(id)
	if first {
		defer close(m.done)
		if v.sent(id.form) {
			m.err = formUsed()
			f.forget(id)
			return none, m.err
		}
		m.made, m.err = make()
		if m.err != nil {
			f.forget(id) // the form comes back, and may be sent again
			return none, m.err
		}
		v.setSent(id.form)
		made := m.made
		time.AfterFunc(shownLife, func() { f.fade(m) })
		return made, nil
	}
	select {
	case <-m.done:
	case <-v.r.Context().Done():
		return none, v.r.Context().Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.faded {
		return none, formUsed()
	}
	return m.made, m.err
}

// begin returns what a form makes, and whether that has yet to be made.
func (f *forms[T]) begin(id formID) (m *making[T], first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m, ok := f.made[id]; ok {
		return m, false
	}
	for len(f.order) >= maxForms {
		delete(f.made, f.order[0])
		f.order = f.order[1:]
	}
	m = &making[T]{done: make(chan struct{})}
	f.made[id] = m
	f.order = append(f.order, id)
	return m, true
}

// fade forgets what came of a form, and keeps that it was sent.
func (f *forms[T]) fade(m *making[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var none T
	m.made, m.faded = none, true
}

// forget forgets a form.
func (f *forms[T]) forget(id formID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.made, id)
	f.order = slices.DeleteFunc(f.order, func(other formID) bool { return other == id })
}

// formUsed is the error of a form that was carried out before.
func formUsed() error {
	return &refusal{status: http.StatusConflict, title: "This was sent already", text: "What the form asks for was done when it was sent the first " +
		"time, and nothing was done again. If it made a key whose token you have not kept, find the key in the list and rotate it."}
}

// sentKept is how many forms a browser keeps that were carried out.
const sentKept = 10

// sent reports whether the browser has kept that a form was carried out.
func (v *visit) sent(form key.Digest) bool {
	return slices.Contains(strings.Split(browser.Preferred(v.r, browser.Sent), "."), shortForm(form))
}

// setSent has the browser keep that a form was carried out.
func (v *visit) setSent(form key.Digest) {
	kept := append(strings.Split(browser.Preferred(v.r, browser.Sent), "."), shortForm(form))
	v.set(browser.Prefer(browser.Sent, strings.Trim(strings.Join(kept[max(0, len(kept)-sentKept):], "."), ".")))
}

// shortForm is enough of a form's digest to know it again among those of one browser.
func shortForm(form key.Digest) string { return hex.EncodeToString(form[:8]) }
