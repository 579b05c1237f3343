package sqlstore

import (
	"context"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
)

// UsedForm returns what a form was about that was carried out.
func (t *Tx) UsedForm(ctx context.Context, digest key.Digest) (target int64, err error) {
	err = t.run.One(ctx, SelectForm, func(row Row) error { return row.Scan(&target) }, digest[:])
	return target, err
}

// UseForm remembers that a form was carried out.
func (t *Tx) UseForm(ctx context.Context, digest key.Digest, target int64, now time.Time) error {
	_, err := t.run.Exec(ctx, InsertForm, digest[:], target, micros(now))
	return err
}

// ForgetForms forgets forms that were carried out before a time.
func (t *Tx) ForgetForms(ctx context.Context, before time.Time) (int64, error) {
	return t.run.Exec(ctx, DeleteOldForms, micros(before))
}
