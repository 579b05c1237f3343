package admin

import (
	"context"
	"fmt"
	"slices"
	"time"

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
		CreatedAt:      now,
		UpdatedAt:      now,
	}
	err := s.update(ctx, func(tx store.Tx) error {
		g, faults, err := s.mayCreate(ctx, tx, c, draft, faults)
		if err != nil {
			return err
		}
		if len(faults) > 0 {
			return invalid(faults)
		}
		if err := g.grant(draft.Scopes, c.UserID, g.standing); err != nil {
			return err
		}
		created.ID, err = tx.InsertKey(ctx, created, secret.Digest())
		if err != nil {
			return fmt.Errorf("insert key: %w", err)
		}
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
	_, faults, err := s.mayCreate(ctx, s.store, c, draft, faults)
	return faults, wrap(err)
}

// check returns the draft as it is kept, and what is wrong with it in itself.
func (s *Service) check(draft key.Draft) (key.Draft, []key.Fault) {
	pasted := pastedTokens(draft.Name, draft.Metadata)
	draft, faults := draft.Check(s.now())
	return draft, append(faults, pasted...)
}

// mayCreate returns the caller's rights where the draft wants a key, and adds to the faults that there is no such place.
func (s *Service) mayCreate(ctx context.Context, r view, c Caller, draft key.Draft, faults []key.Fault) (rights, []key.Fault, error) {
	g, err := s.authorize(ctx, r, c, createKey, draft.OrganizationID)
	if isNotFound(err) {
		// What is wrong is a field of the body, not the address that was called.
		if draft.OrganizationID > 0 {
			faults = append(slices.Clip(faults), key.Fault{Pointer: "/organization_id", Detail: "must be an organization of yours"})
		}
		err = nil
	}
	return g, faults, err
}

// pastedTokens finds tokens in what is kept and shown as it is. A token must be nowhere but in the answer that hands
// it out, and a name or metadata is where people paste one by mistake.
func pastedTokens(name string, metadata []byte) (faults []key.Fault) {
	const detail = "must not hold a key's token: it would be kept and shown in clear"
	if token.Within([]byte(name)) {
		faults = append(faults, key.Fault{Pointer: "/key_name", Detail: detail})
	}
	if token.Within(metadata) {
		faults = append(faults, key.Fault{Pointer: "/metadata", Detail: detail})
	}
	return faults
}

// KeyList says which keys to list; zero fields do not restrict.
type KeyList struct {
	// OrganizationID restricts the list to an organization, and widens it to everybody's keys there where the caller
	// may see them. Without it the list is that of the caller's own keys.
	OrganizationID int64
	NameContains   string
	Enabled        *bool
	Scope          key.Scope
	Before         int64 // the id of the last key on the page before
	Limit          int   // 1 to 1000
}

// Keys returns a page of keys, newest first, and whether there are more behind it.
func (s *Service) Keys(ctx context.Context, c Caller, list KeyList) (page []key.Key, more bool, err error) {
	q := store.KeyQuery{
		OrganizationID: list.OrganizationID,
		UserID:         c.UserID,
		NameContains:   list.NameContains,
		Enabled:        list.Enabled,
		Scope:          list.Scope,
		Before:         list.Before,
		Limit:          list.Limit + 1, // one more tells whether there is another page
	}
	if list.OrganizationID == 0 {
		who, err := s.permit(ctx, s.store, c, readKeys)
		if err != nil {
			return nil, false, wrap(err)
		}
		if who.key != nil && !who.actsEverywhere() {
			q.OrganizationID = who.key.OrganizationID
		}
	} else {
		g, err := s.authorize(ctx, s.store, c, readKeys, list.OrganizationID)
		if err != nil {
			return nil, false, wrap(err)
		}
		if g.seesAllKeys() {
			q.UserID = 0
		}
	}
	page, err = s.store.Keys(ctx, q)
	if err != nil {
		return nil, false, wrap(fmt.Errorf("list keys: %w", err))
	}
	if len(page) > list.Limit {
		return page[:list.Limit], true, nil
	}
	return page, false, nil
}

// Key returns one key.
func (s *Service) Key(ctx context.Context, c Caller, id int64) (key.Key, error) {
	k, _, err := s.findKey(ctx, s.store, c, readKeys, id)
	return k, wrap(err)
}

// UpdateKey changes a key as patch says and returns what it is then.
func (s *Service) UpdateKey(ctx context.Context, c Caller, id int64, patch key.Patch) (key.Key, error) {
	var updated key.Key
	err := s.update(ctx, func(tx store.Tx) error {
		old, g, err := s.findKey(ctx, tx, c, updateKey, id)
		if err != nil {
			return err
		}
		var faults []key.Fault
		if updated, faults = patch.Apply(old, s.now()); len(faults) == 0 {
			faults = pastedTokens(updated.Name, updated.Metadata)
		}
		if len(faults) > 0 {
			return invalid(faults)
		}
		if updated.Same(&old) {
			updated = old // nothing is changed, so nothing was updated
			return nil
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
		return tx.UpdateKey(ctx, updated)
	})
	if err != nil {
		return key.Key{}, err
	}
	return updated, nil
}

// grantedBy returns the scopes that a change gives to a key: all that it has then, where the change widens it, brings
// it to life or lengthens it, and none otherwise.
func grantedBy(old, updated *key.Key) key.Scopes {
	longer := !old.ExpiresAt.IsZero() && (updated.ExpiresAt.IsZero() || updated.ExpiresAt.After(old.ExpiresAt))
	revived := !old.Enabled && updated.Enabled
	if wider := updated.Scopes.Without(old.Scopes) != 0; wider || longer || revived {
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
	err := s.update(ctx, func(tx store.Tx) error {
		k, g, err := s.findKey(ctx, tx, c, updateKey, id)
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
		return tx.ReplaceToken(ctx, id, secret.Digest(), secret.Hint(), now.Add(grace), now)
	})
	if err != nil {
		return key.Key{}, token.Token{}, err
	}
	return rotated, secret, nil
}

// DeleteKey deletes a key for good. When it returns, the key is dead.
func (s *Service) DeleteKey(ctx context.Context, c Caller, id int64) error {
	return s.update(ctx, func(tx store.Tx) error {
		if _, _, err := s.findKey(ctx, tx, c, deleteKeys, id); err != nil {
			return err
		}
		return tx.DeleteKey(ctx, id)
	})
}

// findKey returns a key that the caller may do a to, and the caller's rights in its organization.
func (s *Service) findKey(ctx context.Context, r view, c Caller, a action, id int64) (key.Key, rights, error) {
	// The scope comes first: a key that lacks it learns nothing about which keys there are.
	who, err := s.permit(ctx, r, c, a)
	if err != nil {
		return key.Key{}, rights{}, err
	}
	k, err := r.Key(ctx, id)
	if err != nil {
		return key.Key{}, rights{}, fmt.Errorf("key %d: %w", id, err)
	}
	g, err := who.in(ctx, r, k.OrganizationID)
	if err != nil {
		return key.Key{}, rights{}, err
	}
	if !g.seesKey(&k) {
		return key.Key{}, rights{}, notFound(nil)
	}
	return k, g, nil
}
