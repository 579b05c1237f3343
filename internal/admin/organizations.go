package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/token"
)

// OrganizationList says which organizations to list; zero fields do not restrict.
type OrganizationList struct {
	NameContains string
	ExternalID   string
	Before       int64 // the id of the last organization on the page before
	Limit        int   // 1 to 1000
}

// Organizations returns a page of the caller's organizations, newest first, and whether there are more behind it. Who acts
// on every organization sees all of them.
func (s *Service) Organizations(ctx context.Context, c Caller, list OrganizationList) (page []key.Account, more bool, err error) {
	q := store.OrganizationQuery{UserID: c.UserID, NameContains: list.NameContains, ExternalID: list.ExternalID,
		Before: list.Before, Limit: list.Limit + 1}
	err = s.look(ctx, c, listOrganizations, audit.Target{Type: audit.Organization}, func(r view, _ *record) error {
		g, err := s.authorize(ctx, r, c, listOrganizations, object{})
		switch {
		case err != nil:
			return err
		case g.actsEverywhere():
			q.UserID = 0
		case g.key != nil:
			q.ID = g.key.OrganizationID
		}
		organizations, err := r.Organizations(ctx, q)
		if err != nil {
			return fmt.Errorf("list organizations: %w", err)
		}
		memberships, err := r.Memberships(ctx, c.UserID)
		if err != nil {
			return fmt.Errorf("memberships of user %d: %w", c.UserID, err)
		}
		roles := make(map[int64]key.Role, len(memberships))
		for _, m := range memberships {
			roles[m.OrganizationID] = m.Role
		}
		for _, o := range organizations {
			page = append(page, key.Account{Organization: o, Role: roles[o.ID]})
		}
		return nil
	})
	page, more = cut(page, list.Limit)
	return page, more, err
}

// Organization returns one organization.
func (s *Service) Organization(ctx context.Context, c Caller, id int64) (found key.Account, err error) {
	err = s.look(ctx, c, readOrganization, audit.Target{Type: audit.Organization, ID: id}, func(r view, e *record) error {
		found, _, err = s.findOrganization(ctx, r, c, readOrganization, id, e)
		return err
	})
	return found, err
}

// CreateOrganization makes an organization, with the caller as its owner.
func (s *Service) CreateOrganization(ctx context.Context, c Caller, draft key.OrganizationDraft) (key.Account, error) {
	now := s.now()
	draft, faults := draft.Check()
	faults = append(faults, pastedInAccount(draft.Name, draft.ExternalID, draft.Metadata)...)
	created := key.Account{Role: key.Owner, Organization: key.Organization{
		Name: draft.Name, ExternalID: draft.ExternalID, Metadata: draft.Metadata, CreatedAt: now, UpdatedAt: now,
	}}
	err := s.change(ctx, c, createOrganization, audit.Target{Type: audit.Organization}, func(tx store.Tx, r *record) error {
		if _, err := s.authorize(ctx, tx, c, createOrganization, object{}); err != nil {
			return err
		}
		if len(faults) > 0 {
			return invalid(faults)
		}
		var err error
		if created.ID, err = tx.InsertOrganization(ctx, created.Organization); err != nil {
			return taken(err)
		}
		r.Target.ID, r.OrganizationID, r.After = created.ID, created.ID, organizationFields(&created.Organization).text()
		r.add("member.create", audit.Target{Type: audit.Member, ID: c.UserID}, nil, fields{"role": key.Owner.String()}.text())
		return tx.InsertMember(ctx, key.Membership{OrganizationID: created.ID, UserID: c.UserID, Role: key.Owner, CreatedAt: now})
	})
	if err != nil {
		return key.Account{}, err
	}
	return created, nil
}

// UpdateOrganization changes an organization as patch says and returns what it is then.
func (s *Service) UpdateOrganization(ctx context.Context, c Caller, id int64, patch key.OrganizationPatch) (key.Account, error) {
	var updated key.Account
	err := s.change(ctx, c, updateOrganization, audit.Target{Type: audit.Organization, ID: id}, func(tx store.Tx, r *record) error {
		old, g, err := s.findOrganization(ctx, tx, c, updateOrganization, id, r)
		if err != nil {
			return err
		}
		// The operator's system knows its customers by it: one of them who could change it could pose as another, or find out
		// which others there are.
		if patch.ExternalID != nil && !g.actsEverywhere() {
			return forbidden("only instance admins, and their keys that have MANAGE, may change external_id")
		}
		updated = old
		var faults []key.Fault
		updated.Organization, faults = patch.Apply(old.Organization, s.now())
		faults = append(faults, pastedInAccount(updated.Name, updated.ExternalID, updated.Metadata)...)
		if len(faults) > 0 {
			return invalid(faults)
		}
		if updated.Same(&old.Organization) {
			updated = old
			r.nothing()
			return nil
		}
		r.Before, r.After = differences(organizationFields(&old.Organization), organizationFields(&updated.Organization))
		return taken(tx.UpdateOrganization(ctx, updated.Organization))
	})
	if err != nil {
		return key.Account{}, err
	}
	return updated, nil
}

// DeleteOrganization deletes an organization with its members and keys. When it returns, those keys are dead.
func (s *Service) DeleteOrganization(ctx context.Context, c Caller, id int64) error {
	return s.change(ctx, c, deleteOrganization, audit.Target{Type: audit.Organization, ID: id}, func(tx store.Tx, r *record) error {
		old, _, err := s.findOrganization(ctx, tx, c, deleteOrganization, id, r)
		if err != nil {
			return err
		}
		members, keys, err := tx.DeleteOrganization(ctx, id)
		if err != nil {
			return fmt.Errorf("delete organization %d: %w", id, err)
		}
		before := organizationFields(&old.Organization)
		before["members"], before["keys"] = members, keys
		r.Before = before.text()
		return nil
	})
}

// findOrganization returns an organization that the caller may do a to, with the caller's rights in it.
func (s *Service) findOrganization(ctx context.Context, r view, c Caller, a action, id int64, e *record) (key.Account, rights, error) {
	o, err := r.Organization(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return key.Account{}, rights{}, fmt.Errorf("organization %d: %w", id, err)
	}
	e.OrganizationID = o.ID
	g, err := s.authorize(ctx, r, c, a, object{organizationID: id, missing: err != nil})
	if err != nil {
		return key.Account{}, rights{}, err
	}
	return key.Account{Organization: o, Role: g.standing.Role}, g, nil
}

// taken names the external id where that is what is taken.
func taken(err error) error {
	if conflict, ok := errors.AsType[*store.ConflictError](err); ok && conflict.Constraint == store.ExternalIDTaken {
		return &key.Error{Code: key.Conflict, Detail: "another organization has this external_id; it must be unique", Err: err}
	}
	return err
}

// pastedInAccount is pastedTokens for an organization.
func pastedInAccount(name, externalID string, metadata []byte) (faults []key.Fault) {
	for _, f := range []struct {
		pointer string
		text    []byte
	}{{"/organization_name", []byte(name)}, {"/external_id", []byte(externalID)}, {"/metadata", metadata}} {
		if token.Within(f.text) {
			faults = append(faults, key.Fault{Pointer: f.pointer, Detail: tokenPasted})
		}
	}
	return faults
}
