package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

var formTests = []test{
	{"a form that was carried out says what it was about", formComesBack},
	{"a form that many carry out at once is carried out by one", formUsedByOne},
	{"a form of what fails was not carried out", formUsedInVain},
	{"ForgetForms forgets those that were carried out before a time", forgetForms},
}

// usedForm returns what a form was about, and whether it was carried out.
func (w *world) usedForm(t *testing.T, digest key.Digest) (target int64, used bool) {
	t.Helper()
	w.update(t, func(tx store.Tx) (err error) {
		target, err = tx.UsedForm(t.Context(), digest)
		used = err == nil
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	return target, used
}

func (w *world) useForm(t *testing.T, digest key.Digest, target int64, at time.Time) {
	t.Helper()
	w.update(t, func(tx store.Tx) error { return tx.UseForm(t.Context(), digest, target, at) })
}

func formComesBack(t *testing.T, w *world) {
	digest := w.digest()
	if target, used := w.usedForm(t, digest); used {
		t.Errorf("a form that nobody has sent was about %d", target)
	}
	w.useForm(t, digest, 1<<62, start)
	near := digest
	near[31] ^= 0x80
	if target, used := w.usedForm(t, near); used {
		t.Errorf("another form was about %d", target)
	}
	if target, used := w.usedForm(t, digest); !used || target != 1<<62 {
		t.Errorf("UsedForm() = %d, %t", target, used)
	}
	_, err := w.Update(t.Context(), func(tx store.Tx) error { return tx.UseForm(t.Context(), digest, 2, start) })
	wantConflict(t, "UseForm again", err, store.DigestTaken)
	if target, _ := w.usedForm(t, digest); target != 1<<62 {
		t.Errorf("UsedForm() = %d after it was used in vain", target)
	}
}

func formUsedByOne(t *testing.T, w *world) {
	digest := w.digest()
	var mu sync.Mutex
	done := 0
	var group sync.WaitGroup
	for i := range int64(32) {
		group.Go(func() {
			first := false
			_, err := w.Update(t.Context(), func(tx store.Tx) error {
				_, err := tx.UsedForm(t.Context(), digest)
				if first = errors.Is(err, store.ErrNotFound); first {
					return tx.UseForm(t.Context(), digest, i, start)
				}
				return err
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("Update() = %v", err)
			} else if first {
				done++
			}
		})
	}
	group.Wait()
	if done != 1 {
		t.Errorf("%d have carried out the form, want 1", done)
	}
}

func formUsedInVain(t *testing.T, w *world) {
	digest := w.digest()
	_, err := w.Update(t.Context(), func(tx store.Tx) error {
		if err := tx.UseForm(t.Context(), digest, 1, start); err != nil {
			return err
		}
		return errMine
	})
	wantIs(t, "Update", err, errMine)
	if _, used := w.usedForm(t, digest); used {
		t.Error("the form counts as carried out")
	}
}

func forgetForms(t *testing.T, w *world) {
	old, kept := w.digest(), w.digest()
	w.useForm(t, old, 1, start)
	w.useForm(t, kept, 2, start.Add(time.Millisecond))
	for _, want := range []int64{1, 0} {
		w.update(t, func(tx store.Tx) error {
			n, err := tx.ForgetForms(t.Context(), start.Add(time.Millisecond))
			if err == nil && n != want {
				t.Errorf("ForgetForms() = %d, want %d", n, want)
			}
			return err
		})
	}
	if _, used := w.usedForm(t, old); used {
		t.Error("the old form is not forgotten")
	}
	if _, used := w.usedForm(t, kept); !used {
		t.Error("the form is forgotten")
	}
}
