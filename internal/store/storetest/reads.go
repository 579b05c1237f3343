package storetest

import (
	"context"
	"reflect"
	"testing"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// reads returns a call of every method of a store that only reads, each of which finds what it asks for.
func (w *world) reads(ctx context.Context, t *testing.T) map[string]func() error {
	t.Helper()
	k, digest := w.insert(t, w.key())
	s := w.insertSignIns(t, w.user)
	w.record(t, w.entry())
	calls := map[string]func() error{
		"RecordByDigest": func() error { _, err := w.RecordByDigest(ctx, digest); return err },
		"Key":            func() error { _, err := w.Key(ctx, k.ID); return err },
		"Keys":           func() error { _, err := w.Keys(ctx, store.KeyQuery{UserID: w.user, Limit: 10}); return err },
		"Identity":       func() error { _, err := w.Identity(ctx, w.user, digest, w.organization); return err },
		"KeyFor":         func() error { _, _, err := w.KeyFor(ctx, k.ID, w.user, digest); return err },
		"User":           func() error { _, err := w.User(ctx, w.user); return err },
		"UserByEmail":    func() error { _, err := w.UserByEmail(ctx, "ada@example.com"); return err },
		"UserByIdentity": func() error { _, err := w.UserByIdentity(ctx, s.issuer, s.subject); return err },
		"Identities":     func() error { _, err := w.Identities(ctx, w.user); return err },
		"Password":       func() error { _, err := w.Password(ctx, w.user); return err },
		"Memberships":    func() error { _, err := w.Memberships(ctx, w.user); return err },
		"Standing":       func() error { _, err := w.Standing(ctx, w.user, w.organization); return err },
		"Organization":   func() error { _, err := w.Organization(ctx, w.organization); return err },
		"Organizations":  func() error { _, err := w.Organizations(ctx, store.OrganizationQuery{Limit: 10}); return err },
		"Member":         func() error { _, err := w.Member(ctx, w.organization, w.user); return err },
		"Members": func() error {
			_, err := w.Members(ctx, store.MemberQuery{OrganizationID: w.organization, Limit: 10})
			return err
		},
		"Owners":          func() error { _, err := w.Owners(ctx, w.organization); return err },
		"Session":         func() error { _, err := w.Session(ctx, s.session); return err },
		"SessionByDigest": func() error { _, err := w.SessionByDigest(ctx, s.secret); return err },
		"Sessions":        func() error { _, err := w.Sessions(ctx, w.user, 0, 10); return err },
		"Device":          func() error { _, err := w.Device(ctx, w.user, s.device); return err },
		"AuditLog":        func() error { _, err := w.AuditLog(ctx, store.AuditQuery{From: start, Limit: 10}); return err },
		"AuditAfter":      func() error { _, err := w.AuditAfter(ctx, 0, 10); return err },
		"AuditExtent":     func() error { _, err := w.AuditExtent(ctx); return err },
		"Usage": func() error {
			_, err := w.Usage(ctx, store.UsageQuery{OrganizationID: w.organization, To: start})
			return err
		},
		"Initialised": func() error { _, err := w.Initialised(ctx); return err },
		"Ready":       func() error { return w.Ready(ctx) },
		// The same in other ways.
		"Keys of all":            func() error { _, err := w.Keys(ctx, store.KeyQuery{Limit: 10}); return err },
		"Identity without a key": func() error { _, err := w.Identity(ctx, w.user, key.Digest{}, 0); return err },
		"Organizations of one user": func() error {
			_, err := w.Organizations(ctx, store.OrganizationQuery{UserID: w.user, Limit: 10})
			return err
		},
		"Organizations by their id": func() error {
			_, err := w.Organizations(ctx, store.OrganizationQuery{ExternalID: "x", Limit: 1})
			return err
		},
		"Usage of a user": func() error {
			_, err := w.Usage(ctx, store.UsageQuery{OrganizationID: w.organization, UserID: w.user, To: start})
			return err
		},
		"AuditLog of a target": func() error {
			_, err := w.AuditLog(ctx, store.AuditQuery{TargetType: "key", TargetID: 19, Limit: 10})
			return err
		},
	}
	for _, of := range []reflect.Type{reflect.TypeFor[store.Reader](), reflect.TypeFor[store.Tokens]()} {
		for m := range of.Methods() {
			if calls[m.Name] == nil {
				t.Errorf("there is no call of %s", m.Name)
			}
		}
	}
	return calls
}
