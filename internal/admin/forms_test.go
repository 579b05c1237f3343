package admin_test

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
)

// withForm is a caller who comes with a form.
func withForm(c admin.Caller, form string) admin.Caller {
	c.Form = form
	return c
}

// wantDone fails where an error does not say that a form was carried out before and has made what has the id.
func wantDone(t *testing.T, err error, id int64) {
	t.Helper()
	if done, ok := errors.AsType[*admin.DoneError](err); !ok || done.ID != id {
		t.Errorf("got %v, want that it was done before and made %d", err, id)
	}
}

func TestForms(t *testing.T) {
	h := newHouse(t)
	c := withForm(h.bearer("owner"), "an id of a form")
	draft := key.Draft{Name: "one", Scopes: key.ScopesOf(key.Read), OrganizationID: h.home, Enabled: true}

	// One that is refused may be sent again.
	_, _, err := h.CreateKey(t.Context(), c, key.Draft{OrganizationID: h.home})
	expect(t, "a draft without a name", err, key.Invalid)
	made, _, err := h.CreateKey(t.Context(), c, draft)
	if err != nil {
		t.Fatal(err)
	}
	again := admin.New(h.options) // as another node is
	for range 2 {
		_, _, err = again.CreateKey(t.Context(), c, draft)
		wantDone(t, err, made.ID)
	}
	// Another form is another one, and so is somebody else's with this id, and what comes with none.
	for _, other := range []admin.Caller{withForm(c, "another"), withForm(h.bearer("member"), c.Form), withForm(c, ""), withForm(c, "")} {
		if _, _, err := h.CreateKey(t.Context(), other, draft); err != nil {
			t.Error(err)
		}
	}

	rotating := withForm(c, "rotate")
	if _, _, err := h.RotateKey(t.Context(), rotating, made.ID, 0); err != nil {
		t.Fatal(err)
	}
	_, _, err = again.RotateKey(t.Context(), rotating, made.ID, 0)
	wantDone(t, err, made.ID)

	// Where many send it at once, one does it.
	var mu sync.Mutex
	var ids []int64
	var group sync.WaitGroup
	for i := range 16 {
		service := []*admin.Service{h.Service, again}[i%2]
		group.Go(func() {
			k, _, err := service.CreateKey(t.Context(), withForm(c, "many"), draft)
			if done, ok := errors.AsType[*admin.DoneError](err); ok {
				k.ID = -done.ID
			} else if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, k.ID)
		})
	}
	group.Wait()
	first := int64(0)
	for _, id := range ids {
		if id > 0 && first == 0 {
			first = id
		} else if id > 0 {
			t.Errorf("%d and %d were made", first, id)
		}
	}
	for _, id := range ids {
		if id != first && id != -first {
			t.Errorf("%d was made, and somebody is told of %d", first, -id)
		}
	}

	// It is known for two days, and nobody can read there what it was.
	h.pass(48 * time.Hour)
	for _, known := range []bool{true, false} {
		if err := h.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, _, err := h.RotateKey(t.Context(), rotating, made.ID, 0)
		if known {
			wantDone(t, err, made.ID)
		} else if err != nil {
			t.Error(err)
		}
		h.pass(time.Millisecond)
	}
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(h.path)
	if err != nil || bytes.Contains(content, []byte(c.Form)) {
		t.Errorf("the id of the form is in the database, or %v", err)
	}
}
