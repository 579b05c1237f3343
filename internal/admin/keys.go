package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/token"
)

// CreateKey makes a key for the caller and returns it with its token, which is known to nobody afterwards.
func (s *Service) CreateKey(ctx context.Context, c Caller, draft key.Draft) (key.Key, token.Token, error) {
	secret := token.New(s.prefix)
	now := s.now()
	draft, faults := s.check(draft)
	created := key.Key{
		Name:           draft.Name,
		Scopes:         draft.Scopes,
		OrganizationID: draft.OrganizationID,
		UserID:         c.UserID,
		Hint:           secret.Hint(),
		Enabled:        draft.Enabled,
		ExpiresAt:      draft.ExpiresAt,
		Metadata:       draft.Metadata,
		Restrictions:   draft.Restrictions,
		CreatedAt:      now,
		UpdatedAt:      now,
	}
	after := keyFields(&created).text()
	err := s.change(ctx, c, createKey, audit.Target{Type: audit.Key}, func(tx store.Tx, r *record) error {
		r.OrganizationID = draft.OrganizationID
		g, err := s.mayCreate(ctx, tx, c, draft, faults)
		if err != nil {
			return err
		}
		if err := g.grant(draft.Scopes, c.UserID, g.standing); err != nil {
			return err
		}
		created.ID, err = tx.InsertKey(ctx, created, secret.Digest())
		if err != nil {
			return fmt.Errorf("insert key: %w", err)
		}
		r.Target.ID, r.After = created.ID, after
		return nil
	})
	if err != nil {
		return key.Key{}, token.Token{}, err
	}
	return created, secret, nil
}

// CheckDraft returns everything that is wrong with a draft, as CreateKey would find it, and creates nothing.
func (s *Service) CheckDraft(ctx context.Context, c Caller, draft key.Draft) ([]key.Fault, error) {
	draft, faults := s.check(draft)
	err := s.look(ctx, c, createKey, audit.Target{Type: audit.Key}, func(r view, e *record) error {
		e.OrganizationID = draft.OrganizationID
		_, err := s.mayCreate(ctx, r, c, draft, faults)
		return err
	})
	if rule, ok := errors.AsType[*key.Error](err); ok && rule.Code == key.Invalid {
		return rule.Faults, nil
	}
	return nil, err
}

// check returns the draft as it is kept, and what is wrong with it in itself.
func (s *Service) check(draft key.Draft) (key.Draft, []key.Fault) {
	pasted := pastedTokens(draft.Name, draft.Metadata, draft.Limits)
	draft, faults := draft.Check(s.now())
	return draft, append(faults, pasted...)
}

// mayCreate returns the caller's rights where the draft wants a key, or everything that is wrong with the draft, of which
// faults are known.
func (s *Service) mayCreate(ctx context.Context, r view, c Caller, draft key.Draft, faults []key.Fault) (rights, error) {
	g, err := s.authorize(ctx, r, c, createKey, in(draft.OrganizationID))
	switch {
	case isNotFound(err):
		// What is wrong is a field of the body, not the address that was called.
		if draft.OrganizationID > 0 {
			faults = append(slices.Clip(faults), key.Fault{Pointer: "/organization_id", Detail: "must be an organization of yours"})
		}
		wrong := invalid(faults)
		wrong.Err = err
		return rights{}, wrong
	case err != nil:
		return rights{}, err
	case len(faults) > 0:
		return rights{}, invalid(faults)
	}
	return g, nil
}

// pastedTokens finds tokens in what is kept and shown as it is. A token must be nowhere but in the answer that hands
// it out, and a name or metadata is where people paste one by mistake.
func pastedTokens(name string, metadata []byte, limits []key.Limit) (faults []key.Fault) {
	if token.Within([]byte(name)) {
		faults = append(faults, key.Fault{Pointer: "/key_name", Detail: tokenPasted})
	}
	if token.Within(metadata) {
		faults = append(faults, key.Fault{Pointer: "/metadata", Detail: tokenPasted})
	}
	for i := range limits {
		if token.Within([]byte(limits[i].Name)) {
			faults = append(faults, key.Fault{Pointer: fmt.Sprintf("/limits/%d/name", i), Detail: tokenPasted})
		}
	}
	return faults
}

const tokenPasted = "must not hold a key's token: it would be kept and shown in clear"

// KeyList says which keys to list; zero fields do not restrict.
type KeyList struct {
	// OrganizationID restricts the list to an organization, and widens it to everybody's keys there where the caller
	// may see them. Without it the list is that of the caller's own keys.
	OrganizationID int64
	NameContains   string
	Enabled        *bool
	Scope          key.Scope
	State          key.State
	Before         int64     // the id of the last key on the page before
	Order          key.Order // where it is another than NewestFirst, After counts, and not Before
	After          key.Place // of the last key on the page before
	Limit          int       // 1 to 1000
}

// Keys returns a page of keys, newest first where no other order is asked for, and whether there are more behind it.
func (s *Service) Keys(ctx context.Context, c Caller, list KeyList) (page []key.Key, more bool, err error) {
	q := store.KeyQuery{
		OrganizationID: list.OrganizationID,
		UserID:         c.UserID,
		NameContains:   list.NameContains,
		Enabled:        list.Enabled,
		Scopes:         key.ScopesOf(list.Scope),
		State:          list.State,
		Now:            s.now(),
		Before:         list.Before,
		Order:          list.Order,
		After:          list.After,
		Limit:          list.Limit + 1, // one more tells whether there is another page
	}
	a := listKeys
	if list.OrganizationID != 0 {
		a = listKeysOf
	}
	err = s.look(ctx, c, a, audit.Target{Type: audit.Key}, func(r view, e *record) error {
		e.OrganizationID = list.OrganizationID
		g, err := s.authorize(ctx, r, c, a, in(list.OrganizationID))
		switch {
		case err != nil:
			return err
		case list.OrganizationID != 0 && g.seesAllKeys():
			q.UserID = 0
		case list.OrganizationID == 0 && g.key != nil && !g.actsEverywhere():
			q.OrganizationID = g.key.OrganizationID
		}
		page, err = r.Keys(ctx, q)
		return err
	})
	page, more = cut(page, list.Limit)
	return page, more, err
}

// Key returns one key.
func (s *Service) Key(ctx context.Context, c Caller, id int64) (k key.Key, err error) {
	err = s.look(ctx, c, readKey, audit.Target{Type: audit.Key, ID: id}, func(r view, e *record) (err error) {
		k, _, err = s.findKey(ctx, r, c, readKey, id, e)
		return err
	})
	return k, err
}

// UpdateKey changes a key as patch says and returns what it is then.
func (s *Service) UpdateKey(ctx context.Context, c Caller, id int64, patch key.Patch) (key.Key, error) {
	var updated key.Key
	err := s.change(ctx, c, updateKey, audit.Target{Type: audit.Key, ID: id}, func(tx store.Tx, r *record) error {
		old, g, err := s.findKey(ctx, tx, c, updateKey, id, r)
		if err != nil {
			return err
		}
		var faults []key.Fault
		if updated, faults = patch.Apply(old, s.now()); len(faults) == 0 {
			faults = pastedTokens(updated.Name, updated.Metadata, updated.Limits)
		}
		if len(faults) > 0 {
			return invalid(faults)
		}
		if updated.Same(&old) {
			// Nothing is changed, so nothing was updated. But whoever has made it so may still be waiting for other nodes to let go,
			// and this answer promises the same.
			updated = old
			r.nothing()
			return tx.Recall(ctx, id)
		}
		if given := grantedBy(&old, &updated); given != 0 {
			holder, err := tx.Standing(ctx, old.UserID, old.OrganizationID)
			if err != nil {
				return fmt.Errorf("standing of the key's user %d: %w", old.UserID, err)
			}
			if err := g.grant(given, old.UserID, holder); err != nil {
				return err
			}
		}
		r.Before, r.After = differences(keyFields(&old), keyFields(&updated))
		err = tx.UpdateKey(ctx, updated)
		if err == nil && old.Quota == (key.Quota{}) && updated.Quota != (key.Quota{}) {
			updated, err = tx.Key(ctx, id) // it may have had one before, and used a part of it
		}
		return err
	})
	if err != nil {
		return key.Key{}, err
	}
	return updated, nil
}

// grantedBy returns the scopes that a change gives to a key: all that it has then, where the change widens it, brings
// it to life, lengthens it or lets it be used from elsewhere, and none otherwise. Limits and quotas are about how often, and
// not about what.
func grantedBy(old, updated *key.Key) key.Scopes {
	longer := !old.ExpiresAt.IsZero() && (updated.ExpiresAt.IsZero() || updated.ExpiresAt.After(old.ExpiresAt))
	revived := !old.Enabled && updated.Enabled
	elsewhere := old.Restrictions.Opens(&updated.Restrictions)
	if wider := updated.Scopes.Without(old.Scopes) != 0; wider || longer || revived || elsewhere {
		return updated.Scopes
	}
	return 0
}

// RotateKey gives a key a new token. The old one stays good for the grace beside it; 0 ends it at once.
func (s *Service) RotateKey(ctx context.Context, c Caller, id int64, grace time.Duration) (key.Key, token.Token, error) {
	if grace < 0 || grace > key.MaxGrace {
		return key.Key{}, token.Token{}, invalid([]key.Fault{{Pointer: "/grace_seconds",
			Detail: fmt.Sprintf("must be from 0 to %d", int64(key.MaxGrace.Seconds()))}})
	}
	secret := token.New(s.prefix)
	var rotated key.Key
	err := s.change(ctx, c, rotateKey, audit.Target{Type: audit.Key, ID: id}, func(tx store.Tx, r *record) error {
		k, g, err := s.findKey(ctx, tx, c, rotateKey, id, r)
		if err != nil {
			return err
		}
		// The caller learns the token, so it would otherwise get a key that is stronger than its own.
		holder, err := tx.Standing(ctx, k.UserID, k.OrganizationID)
		if err != nil {
			return fmt.Errorf("standing of the key's user %d: %w", k.UserID, err)
		}
		if err := g.grant(k.Scopes, k.UserID, holder); err != nil {
			return err
		}
		now := s.now()
		rotated = k
		rotated.Hint, rotated.UpdatedAt = secret.Hint(), now
		r.Before, r.After = fields{"key_hint": k.Hint}.text(), fields{"key_hint": rotated.Hint, "grace_seconds": int64(grace.Seconds())}.text()
		return tx.ReplaceToken(ctx, id, secret.Digest(), secret.Hint(), now.Add(grace), now)
	})
	if err != nil {
		return key.Key{}, token.Token{}, err
	}
	return rotated, secret, nil
}

// DeleteKey deletes a key for good. When it returns, the key is dead.
func (s *Service) DeleteKey(ctx context.Context, c Caller, id int64) error {
	return s.change(ctx, c, deleteKey, audit.Target{Type: audit.Key, ID: id}, func(tx store.Tx, r *record) error {
		k, _, err := s.findKey(ctx, tx, c, deleteKey, id, r)
		if err != nil {
			return err
		}
		r.Before = keyFields(&k).text()
		return tx.DeleteKey(ctx, id)
	})
}

// findKey returns a key that the caller may do a to, and the caller's rights in its organization.
func (s *Service) findKey(ctx context.Context, r view, c Caller, a action, id int64, e *record) (key.Key, rights, error) {
	k, caller, err := r.KeyFor(ctx, id, c.UserID, c.Token)
	var g rights
	switch {
	case errors.Is(err, store.ErrNotFound):
		g, err = s.authorize(ctx, r, c, a, object{missing: true})
	case err != nil:
		return key.Key{}, rights{}, fmt.Errorf("key %d: %w", id, err)
	default:
		e.OrganizationID = k.OrganizationID
		g, err = s.admit(ctx, r, c, caller, a, object{organizationID: k.OrganizationID, userID: k.UserID})
	}
	if err != nil {
		return key.Key{}, rights{}, err
	}
	return k, g, nil
}
