package sqlstore

import (
	"context"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// Leaked returns what is remembered of a token that was ended because it had leaked.
func (t *Tx) Leaked(ctx context.Context, digest key.Digest) (l store.Leak, err error) {
	err = t.run.One(ctx, SelectLeak, func(row Row) error {
		var at moment
		err := row.Scan(&l.KeyID, &l.OrganizationID, &at)
		l.At = at.Time()
		return err
	}, digest[:])
	return l, err
}

// KeepLeak remembers a token that was ended because it had leaked.
func (t *Tx) KeepLeak(ctx context.Context, digest key.Digest, l store.Leak) error {
	_, err := t.run.Exec(ctx, InsertLeak, digest[:], l.KeyID, l.OrganizationID, micros(l.At))
	return err
}
