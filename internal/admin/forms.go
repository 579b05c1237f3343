package admin

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// formsKept is how long it is known that a form was carried out. Nobody comes back later to a page that is still open.
const formsKept = 48 * time.Hour

// DoneError is the error of a call whose Caller comes with a form that was carried out before. Nothing was done again.
type DoneError struct {
	ID int64 // of what the form has made or changed
}

// Error says so.
func (e *DoneError) Error() string { return "the form was carried out before" }

// formDigest is the form that the caller comes with, theirs alone: an id that somebody else gives means another form. It is zero
// where there is none.
//
// It is the user's and not the session's, because a form may be sent again in the session after the one that it was carried out in.
func (c Caller) formDigest() key.Digest {
	if c.Form == "" {
		return key.Digest{}
	}
	return sha256.Sum256(fmt.Appendf(nil, "%d %s", c.UserID, c.Form))
}

// once runs what changes something, unless the caller comes with a form that was carried out before. That is looked up, and noted, in
// the transaction of the change, and of those there is one at a time, so of many calls with one form exactly one does what it asks
// for, whichever node they come to.
func (s *Service) once(ctx context.Context, tx store.Tx, c Caller, r *record, do func(store.Tx, *record) error) error {
	form := c.formDigest()
	if form == (key.Digest{}) {
		return do(tx, r)
	}
	switch id, err := tx.UsedForm(ctx, form); {
	case err == nil:
		return &DoneError{ID: id}
	case !errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("look for the form: %w", err)
	}
	if err := do(tx, r); err != nil {
		return err // and the form may be sent again
	}
	return tx.UseForm(ctx, form, r.Target.ID, s.now())
}
