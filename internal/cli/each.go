package cli

import (
	"errors"
	"fmt"

	"github.com/apikeyd/apikeyd/api"
)

// each does something to things one after another, and prints what was done to each: "deleted 17". Where it cannot be
// done to one it goes on, if the others may fare better.
func (s *session) each(what noun, done string, ids []int64, do func(id int64) error) error {
	var failed severalErrors
	for i, id := range ids {
		err := do(id)
		if err == nil {
			if _, err := fmt.Fprintf(s.Out, "%s %d\n", done, id); err != nil {
				return err
			}
			continue
		}
		failed = append(failed, about(what, id, err))
		if !errors.Is(err, api.ErrNotFound) && !errors.Is(err, api.ErrForbidden) {
			// The rest would fare no better.
			if left := ids[i+1:]; len(left) > 0 {
				failed = append(failed, fmt.Errorf("not tried: %s", joinIDs(left)))
			}
			break
		}
	}
	if failed != nil {
		return failed
	}
	return nil
}
