package console

import (
	"crypto/rand"
	"crypto/sha256"

	"github.com/apikeyd/apikeyd/internal/key"
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
