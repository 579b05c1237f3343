package console

import (
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/token"
)

// onceField is the hidden field that holds the id of a form.
const onceField = "form"

// newOnce returns the id of a form that is carried out once, however often it is sent.
func newOnce() string { return rand.Text() }

// once returns the caller with the form that was sent, which use cases carry out once.
func (v *visit) once() admin.Caller {
	c := v.caller
	c.Form = v.r.PostForm.Get(onceField)
	return c
}

// doneBefore reports whether a form was carried out before, and returns the id of what it has made or changed.
func doneBefore(err error) (id int64, ok bool) {
	done, ok := errors.AsType[*admin.DoneError](err)
	if !ok {
		return 0, false
	}
	return done.ID, true
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

// forms remembers for a minute what came of forms whose answer shows something once, so that whoever presses a button twice sees it:
// browsers show the answer to the second form alone. It is safe for concurrent use.
//
// It does not keep a form from being carried out twice; use cases do that, on all nodes. What it remembers is nowhere but in the memory of
// the node that has made it, so another node can only say that it was done.
type forms[T any] struct {
	mu    sync.Mutex
	made  map[formID]*making[T]
	order []formID // the oldest first
}

func newForms[T any]() *forms[T] { return &forms[T]{made: map[formID]*making[T]{}} }

// formID is a form and the session that it was sent in: what is shown once is shown in no other.
type formID struct {
	form    string
	session int64
}

// making is something that is being made, or was.
type making[T any] struct {
	done chan struct{} // closed when the others are there
	made T
	err  error
}

// errUnfinished is the error of those who have waited for a request that came to no end.
var errUnfinished = errors.New("the form that was sent first came to no end")

// once calls make, or returns what it has returned when the same form was sent a moment ago.
func (f *forms[T]) once(v *visit, make func(admin.Caller) (T, error)) (none T, _ error) {
	caller := v.once()
	if caller.Form == "" {
		return make(caller)
	}
	id := formID{caller.Form, caller.SessionID}
	m, first := f.begin(id)
	if !first {
		select {
		case <-m.done:
			return m.made, m.err
		case <-v.r.Context().Done():
			return none, v.r.Context().Err()
		}
	}
	defer func() {
		if m.err != nil {
			f.forget(id, m) // the form comes back, and may be sent again
		}
		close(m.done)
	}()
	if m.made, m.err = make(caller); m.err == nil {
		time.AfterFunc(shownLife, func() { f.forget(id, m) })
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
	m = &making[T]{done: make(chan struct{}), err: errUnfinished}
	f.made[id] = m
	f.order = append(f.order, id)
	return m, true
}

// forget forgets what came of a form, unless that is something else by now.
func (f *forms[T]) forget(id formID, m *making[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.made[id] != m {
		return
	}
	delete(f.made, id)
	f.order = slices.DeleteFunc(f.order, func(other formID) bool { return other == id })
}
