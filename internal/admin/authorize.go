package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// action is something a caller may want to do to keys. Each needs a scope when a key calls.
type action struct {
	name  string
	needs key.Scope
}

var (
	readKeys   = action{"read keys", key.Read}
	createKey  = action{"create keys", key.Create}
	updateKey  = action{"change keys", key.Update}
	deleteKeys = action{"delete keys", key.Delete}
)

// view is the database at one moment: inside a transaction, or outside.
type view interface {
	store.Reader
	store.Tokens
}

// identity is a Caller as the database knows it at the moment of the decision.
type identity struct {
	user key.User
	key  *key.Record // nil where no key calls
}

// identify reads who the caller is. The credential was checked when the request came in; it is looked at again here,
// inside the transaction, because since then the key may have been deleted, or the token replaced by another one: a
// body may take its time.
func (s *Service) identify(ctx context.Context, r view, c Caller) (identity, error) {
	gone := &key.Error{Code: key.Unauthenticated, Detail: "the credential is no longer good"}
	user, err := r.User(ctx, c.UserID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return identity{}, gone
	case err != nil:
		return identity{}, fmt.Errorf("user %d: %w", c.UserID, err)
	}
	if c.Token == (key.Digest{}) {
		return identity{user: user}, nil
	}
	k, err := r.RecordByDigest(ctx, c.Token)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return identity{}, gone
	case err != nil:
		return identity{}, fmt.Errorf("calling key: %w", err)
	case k.UserID != c.UserID || k.Decide(key.Question{}, key.MillisOf(s.clock())) != key.CheckValid:
		return identity{}, gone
	}
	return identity{user: user, key: k}, nil
}

// rights are what a caller may do in one organization. They come from authorize alone.
type rights struct {
	identity
	standing key.Standing
}

// authorize is the one door. It returns the rights of the caller in an organization, and refuses
//
//   - with unauthenticated where the credential is gone,
//   - with insufficient_scope where a key calls that lacks the scope of the action,
//   - with not_found where the organization does not exist for the caller: no such one, no member of it, or a key of
//     another one. Instance admins see all of them, and so do their keys that have MANAGE.
func (s *Service) authorize(ctx context.Context, r view, c Caller, a action, organizationID int64) (rights, error) {
	who, err := s.permit(ctx, r, c, a)
	if err != nil {
		return rights{}, err
	}
	g, err := who.in(ctx, r, organizationID)
	if err != nil {
		return rights{}, err
	}
	if !g.sees(organizationID) {
		return rights{}, notFound(nil)
	}
	return g, nil
}

// permit is the part of authorize that does not depend on an organization.
func (s *Service) permit(ctx context.Context, r view, c Caller, a action) (identity, error) {
	who, err := s.identify(ctx, r, c)
	if err != nil {
		return identity{}, err
	}
	if who.key != nil && !who.key.Scopes.Has(a.needs) {
		return identity{}, lacking(key.ScopesOf(a.needs), "to "+a.name)
	}
	return who, nil
}

// in returns the caller's rights in an organization, whether they see it or not.
func (who identity) in(ctx context.Context, r store.Reader, organizationID int64) (rights, error) {
	standing, err := r.Standing(ctx, who.user.ID, organizationID)
	if err != nil {
		return rights{}, fmt.Errorf("standing of user %d in organization %d: %w", who.user.ID, organizationID, err)
	}
	return rights{who, standing}, nil
}

// sees reports whether the organization exists for the caller.
func (g rights) sees(organizationID int64) bool {
	switch {
	case !g.standing.OrganizationExists:
		return false
	case g.actsEverywhere():
		return true
	case g.key != nil && g.key.OrganizationID != organizationID:
		return false
	default:
		return g.standing.Role != 0
	}
}

// actsEverywhere reports whether the caller acts on every organization: an instance admin, or a key of theirs that
// has MANAGE.
func (who identity) actsEverywhere() bool {
	return who.user.InstanceAdmin && (who.key == nil || who.key.Scopes.Has(key.Manage))
}

// seesAllKeys reports whether the caller sees and manages every key of the organization, not only their own.
func (g rights) seesAllKeys() bool { return g.actsEverywhere() || g.standing.Role.ManagesKeys() }

// seesKey reports whether a key of the organization exists for the caller. Their own keys do, wherever they are; a
// calling key sees those of its organization.
func (g rights) seesKey(k *key.Key) bool {
	if g.sees(k.OrganizationID) && g.seesAllKeys() {
		return true
	}
	return k.UserID == g.user.ID && (g.key == nil || g.key.OrganizationID == k.OrganizationID)
}

// grant refuses to give scopes to a key of the user holderID that the calling key lacks itself, or that the
// holder's role rules out. Whoever gives MANAGE to somebody else's key, or learns the token of one that has it, acts
// with that person's authority over accounts: it must not be above the caller's own.
func (g rights) grant(scopes key.Scopes, holderID int64, holder key.Standing) error {
	if g.key != nil {
		if missing := scopes.Without(g.key.Scopes); missing != 0 {
			return lacking(missing, "to give them to a key")
		}
	}
	if holderID != g.user.ID && !g.actsEverywhere() && scopes.Has(key.Manage) &&
		(holder.InstanceAdmin || holder.Role > g.standing.Role) {
		return &key.Error{Code: key.Forbidden, Detail: "the key manages accounts for somebody who may do more there " +
			"than you; you may disable, narrow or delete it"}
	}
	if holder.InstanceAdmin {
		return nil
	}
	if over := scopes.Without(holder.Role.MayHold()); over != 0 {
		return &key.Error{Code: key.Forbidden, Detail: fmt.Sprintf("a key of a %s may have %s, not %s",
			holder.Role, holder.Role.MayHold(), over)}
	}
	return nil
}

func lacking(missing key.Scopes, purpose string) *key.Error {
	return &key.Error{Code: key.InsufficientScope, Scopes: missing,
		Detail: fmt.Sprintf("the calling key needs %s %s", missing, purpose)}
}

func isNotFound(err error) bool { return errors.Is(err, &key.Error{Code: key.NotFound}) }
