package app

import (
	"context"
	"errors"

	"github.com/apikeyd/apikeyd/internal/github"
	"github.com/apikeyd/apikeyd/internal/key"
)

// secretScanning says whether a message is of GitHub's secret scanning.
type secretScanning struct{ keys *github.Keys }

// Verify returns nil where it is, else the error as callers see it.
func (s secretScanning) Verify(ctx context.Context, identifier, signature string, body []byte) error {
	err := s.keys.Verify(ctx, identifier, signature, body)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, github.ErrSignature):
		return &key.Error{Code: key.Forbidden, Err: err, Detail: "the body is not signed by a key of GitHub's secret scanning: see the headers " +
			"Github-Public-Key-Identifier and Github-Public-Key-Signature"}
	default:
		return &key.Error{Code: key.Unavailable, Err: err, Detail: "the keys of GitHub cannot be had, so the signature cannot be checked; nothing was " +
			"done, try again"}
	}
}
