package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/secret"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/token"
)

// Remaining says what becomes of the keys of somebody who is removed or demoted that they could then no longer create.
type Remaining uint8

// What may become of them.
const (
	NotSaid  Remaining = iota // the request is refused where there are any
	Deleted                   // they are dead when the call returns
	ToCaller                  // they become the caller's
)

// maxNamed is how many keys a refusal names.
const maxNamed = 1000

// MemberList says which members to list; it is what the store is asked for.
type MemberList = store.MemberQuery

// Members returns a page of an organization's members, the newest users first, and whether there are more behind it.
func (s *Service) Members(ctx context.Context, c Caller, q MemberList) (page []key.Membership, more bool, err error) {
	limit := q.Limit
	q.Limit++
	err = s.look(ctx, c, listMembers, audit.Target{Type: audit.Member}, func(r view, e *record) error {
		e.OrganizationID = q.OrganizationID
		if _, err := s.authorize(ctx, r, c, listMembers, in(q.OrganizationID)); err != nil {
			return err
		}
		page, err = r.Members(ctx, q)
		return err
	})
	page, more = cut(page, limit)
	return page, more, err
}

// Member returns one member.
func (s *Service) Member(ctx context.Context, c Caller, organizationID, userID int64) (m key.Membership, err error) {
	err = s.look(ctx, c, readMember, audit.Target{Type: audit.Member, ID: userID}, func(r view, e *record) error {
		m, _, err = s.findMember(ctx, r, c, readMember, organizationID, userID, e)
		return err
	})
	return m, err
}

// Invited is a new member.
type Invited struct {
	key.Membership
	// Link is for the person to sign in with, where they are new and it was not mailed to them.
	Link secret.Secret
}

// InviteMember makes somebody a member of an organization, and a user where nobody has the e-mail address yet.
func (s *Service) InviteMember(ctx context.Context, c Caller, organizationID int64, email string, role key.Role) (Invited, error) {
	now := s.now()
	email = strings.TrimSpace(email)
	var faults []key.Fault
	if detail := key.CheckEmail(email); detail != "" {
		faults = append(faults, key.Fault{Pointer: "/email", Detail: detail})
	} else if token.Within([]byte(email)) {
		faults = append(faults, key.Fault{Pointer: "/email", Detail: tokenPasted})
	}
	var invited Invited
	var organization string
	err := s.change(ctx, c, createMember, audit.Target{Type: audit.Member}, func(tx store.Tx, r *record) error {
		r.OrganizationID = organizationID
		g, err := s.authorize(ctx, tx, c, createMember, in(organizationID))
		switch {
		case err != nil:
			return err
		case len(faults) > 0:
			return invalid(faults)
		}
		if err := g.outranks(role); err != nil {
			return err
		}
		invited = Invited{Membership: key.Membership{OrganizationID: organizationID, Email: email, Role: role, CreatedAt: now}}
		user, err := tx.UserByEmail(ctx, email)
		switch {
		case errors.Is(err, store.ErrNotFound):
			if user, invited.Link, err = s.insertUser(ctx, tx, email, r); err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("user by e-mail address: %w", err)
		}
		invited.UserID, invited.Email = user.ID, user.Email
		r.Target.ID = user.ID
		r.After = fields{"email": user.Email, "role": role.String()}.text()
		if err := tx.InsertMember(ctx, invited.Membership); err != nil {
			if conflict, ok := errors.AsType[*store.ConflictError](err); ok && conflict.Constraint == store.MemberExists {
				return &key.Error{Code: key.Conflict, Detail: "this person is a member already; PATCH changes their role", Err: err}
			}
			return fmt.Errorf("insert member: %w", err)
		}
		o, err := tx.Organization(ctx, organizationID)
		organization = o.Name
		return err
	})
	if err != nil {
		return Invited{}, err
	}
	if s.mailer != nil && !invited.Link.IsZero() {
		s.mailer.SendSignInLink(invited.Email, invited.Link, organization)
		invited.Link = secret.Secret{}
	}
	return invited, nil
}

// insertUser makes a user and a link for their first sign-in.
func (s *Service) insertUser(ctx context.Context, tx store.Tx, email string, r *record) (key.User, secret.Secret, error) {
	user := key.User{Email: email, CreatedAt: s.now(), UpdatedAt: s.now()}
	var err error
	if user.ID, err = tx.InsertUser(ctx, user); err != nil {
		return user, secret.Secret{}, fmt.Errorf("insert user: %w", err)
	}
	target := audit.Target{Type: audit.User, ID: user.ID}
	r.add("user.create", target, nil, fields{"email": email}.text())
	link, err := s.insertLink(ctx, tx, user.ID)
	r.add(makeLink.name, target, nil, nil)
	return user, link, err
}

// UpdateMember changes a member's role and returns the member as it is then.
func (s *Service) UpdateMember(ctx context.Context, c Caller, organizationID, userID int64, role key.Role, keys Remaining) (key.Membership, error) {
	var updated key.Membership
	err := s.change(ctx, c, updateMember, audit.Target{Type: audit.Member, ID: userID}, func(tx store.Tx, r *record) error {
		old, g, err := s.findMember(ctx, tx, c, updateMember, organizationID, userID, r)
		if err != nil {
			return err
		}
		if err := g.outranks(max(old.Role, role)); err != nil {
			return err
		}
		updated = old
		updated.Role = role
		if role == old.Role {
			r.nothing()
			return nil
		}
		if err := s.keepsOwner(ctx, tx, old, role); err != nil {
			return err
		}
		if err := s.settleKeys(ctx, tx, c, g, old, role, keys, r); err != nil {
			return err
		}
		r.Before, r.After = fields{"role": old.Role.String()}.text(), fields{"role": role.String()}.text()
		return tx.UpdateMember(ctx, organizationID, userID, role)
	})
	if err != nil {
		return key.Membership{}, err
	}
	return updated, nil
}

// RemoveMember ends a membership. A member may remove themselves, whatever their role.
func (s *Service) RemoveMember(ctx context.Context, c Caller, organizationID, userID int64, keys Remaining) error {
	return s.change(ctx, c, deleteMember, audit.Target{Type: audit.Member, ID: userID}, func(tx store.Tx, r *record) error {
		old, g, err := s.findMember(ctx, tx, c, deleteMember, organizationID, userID, r)
		if err != nil {
			return err
		}
		if err := g.outranks(old.Role); err != nil {
			return err
		}
		if err := s.keepsOwner(ctx, tx, old, 0); err != nil {
			return err
		}
		if err := s.settleKeys(ctx, tx, c, g, old, 0, keys, r); err != nil {
			return err
		}
		r.Before = fields{"email": old.Email, "role": old.Role.String()}.text()
		if err := tx.DeleteMember(ctx, organizationID, userID); err != nil {
			return fmt.Errorf("delete member: %w", err)
		}
		return s.forgetInvited(ctx, tx, userID, r)
	})
}

// keepsOwner refuses what would leave an organization without an owner.
func (s *Service) keepsOwner(ctx context.Context, tx store.Tx, old key.Membership, role key.Role) error {
	if old.Role != key.Owner || role == key.Owner {
		return nil
	}
	owners, err := tx.Owners(ctx, old.OrganizationID)
	if err != nil {
		return fmt.Errorf("owners of organization %d: %w", old.OrganizationID, err)
	}
	if owners <= 1 {
		return &key.Error{Code: key.Conflict, Detail: "this is the organization's last owner; make somebody else an owner first"}
	}
	return nil
}

// settleKeys does with the keys of a member that they could no longer create with the new role (0: none) what the request
// says, and refuses where it does not say anything and there are some.
func (s *Service) settleKeys(ctx context.Context, tx store.Tx, c Caller, g rights, old key.Membership, role key.Role, keys Remaining, r *record) error {
	holder, err := tx.User(ctx, old.UserID)
	if err != nil {
		return fmt.Errorf("user %d: %w", old.UserID, err)
	}
	if holder.InstanceAdmin { // may hold any key anywhere
		return nil
	}
	over := key.AllScopes.Without(role.MayHold())
	if over == 0 {
		return nil
	}
	first, err := tx.Keys(ctx, store.KeyQuery{OrganizationID: old.OrganizationID, UserID: old.UserID, Scopes: over, Limit: maxNamed})
	if err != nil || len(first) == 0 {
		return err
	}
	switch keys {
	case Deleted:
		return s.deleteKeysOf(ctx, tx, old, over, r)
	case ToCaller:
		return s.transferKeysOf(ctx, tx, c, g, old, over, r)
	}
	ids := make([]int64, len(first))
	for i := range first {
		ids[i] = first[i].ID
	}
	slices.Sort(ids)
	return &key.Error{Code: key.KeysRemain, KeyIDs: ids, Detail: "the member holds keys that they could then no longer create; " +
		"say with keys=delete or keys=transfer (to you) what becomes of them"}
}

func (s *Service) deleteKeysOf(ctx context.Context, tx store.Tx, old key.Membership, over key.Scopes, r *record) error {
	ids, err := tx.DeleteKeysOf(ctx, old.OrganizationID, old.UserID, over)
	for _, id := range ids {
		r.add(deleteKey.name, audit.Target{Type: audit.Key, ID: id}, fields{"user_id": old.UserID}.text(), nil)
	}
	return err
}

func (s *Service) transferKeysOf(ctx context.Context, tx store.Tx, c Caller, g rights, old key.Membership, over key.Scopes, r *record) error {
	if old.UserID == c.UserID {
		return invalid([]key.Fault{{Pointer: "/keys", Detail: "must be delete: you cannot transfer your keys to yourself"}})
	}
	given, err := s.scopesOf(ctx, tx, old, over)
	if err != nil {
		return err
	}
	if err := g.grant(given, c.UserID, g.standing); err != nil {
		return err
	}
	ids, err := tx.TransferKeysOf(ctx, old.OrganizationID, old.UserID, over, c.UserID, s.now())
	if err != nil {
		return err
	}
	rises := g.user.InstanceAdmin || g.standing.Role > old.Role
	for _, id := range ids {
		after := fields{"user_id": c.UserID}
		if rises {
			if err := s.disarm(ctx, tx, id, after); err != nil {
				return err
			}
		}
		r.add("key.transfer", audit.Target{Type: audit.Key, ID: id}, fields{"user_id": old.UserID}.text(), after.text())
	}
	return nil
}

// disarm disables a key that manages accounts. Such a key acts with its holder's authority, which has just risen, and whoever
// held it before knows its token: the new holder rotates it before it is good again.
func (s *Service) disarm(ctx context.Context, tx store.Tx, id int64, after fields) error {
	k, err := tx.Key(ctx, id)
	if err != nil || !k.Scopes.Has(key.Manage) || !k.Enabled {
		return err
	}
	k.Enabled = false
	after["enabled"] = false
	return tx.UpdateKey(ctx, k)
}

// scopesOf returns the scopes that keys of a member have together, of those keys that have one of some.
func (s *Service) scopesOf(ctx context.Context, tx store.Tx, m key.Membership, some key.Scopes) (key.Scopes, error) {
	var together key.Scopes
	q := store.KeyQuery{OrganizationID: m.OrganizationID, UserID: m.UserID, Scopes: some, Limit: maxNamed}
	for together != key.AllScopes {
		page, err := tx.Keys(ctx, q)
		if err != nil {
			return 0, err
		}
		for i := range page {
			together |= page[i].Scopes
		}
		if len(page) < q.Limit {
			break
		}
		q.Before = page[len(page)-1].ID
	}
	return together, nil
}

// forgetInvited deletes a user who was invited, never came, and belongs nowhere any more: nobody is left who would know
// what for, and somebody may invite them anew.
func (s *Service) forgetInvited(ctx context.Context, tx store.Tx, userID int64, r *record) error {
	user, err := tx.User(ctx, userID)
	if err != nil || !user.SignedInAt.IsZero() || user.InstanceAdmin {
		return err
	}
	if memberships, err := tx.Memberships(ctx, userID); err != nil || len(memberships) > 0 {
		return err
	}
	if keys, err := tx.Keys(ctx, store.KeyQuery{UserID: userID, Limit: 1}); err != nil || len(keys) > 0 {
		return err
	}
	r.add("user.delete", audit.Target{Type: audit.User, ID: userID}, fields{"email": user.Email}.text(), nil)
	return tx.DeleteUser(ctx, userID)
}

// findMember returns a member that the caller may do a to, and the caller's rights in the organization.
func (s *Service) findMember(ctx context.Context, r view, c Caller, a action, organizationID, userID int64, e *record) (key.Membership, rights, error) {
	m, err := r.Member(ctx, organizationID, userID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return key.Membership{}, rights{}, fmt.Errorf("member %d of organization %d: %w", userID, organizationID, err)
	}
	e.OrganizationID = organizationID
	g, err := s.authorize(ctx, r, c, a, object{organizationID: organizationID, userID: userID, missing: err != nil})
	if err != nil {
		return key.Membership{}, rights{}, err
	}
	return m, g, nil
}
