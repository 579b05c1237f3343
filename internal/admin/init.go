package admin

import (
	"context"
	"fmt"
	"strings"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/secret"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/token"
)

// Initialised is what Initialise made.
type Initialised struct {
	UserID         int64
	OrganizationID int64
	KeyID          int64
	Token          token.Token
	Link           secret.Secret // for the user's first sign-in
}

// Initialise makes the first user, an instance admin and owner of the first organization, and a key with every scope
// for them. In a database that has a user already it does nothing, and returns a conflict.
//
// It is the one use case without a Caller: before it there is nobody who could call. Whoever runs it holds the
// database.
func (s *Service) Initialise(ctx context.Context, email, organization string) (Initialised, error) {
	var made Initialised
	first := token.New(s.prefix)
	now := s.now()
	if err := CheckInitial(email, organization); err != nil {
		return made, err
	}
	email, organization = strings.TrimSpace(email), strings.TrimSpace(organization)
	err := s.update(ctx, func(tx store.Tx) error {
		done, err := tx.Initialised(ctx)
		if err != nil {
			return fmt.Errorf("look for a first user: %w", err)
		}
		if done {
			return &key.Error{Code: key.Conflict, Detail: "the database is initialised already; nothing was changed"}
		}
		r := s.entry(Caller{}, action{}, audit.Target{})
		user := key.User{Email: email, InstanceAdmin: true, CreatedAt: now, UpdatedAt: now}
		if made.UserID, err = tx.InsertUser(ctx, user); err != nil {
			return fmt.Errorf("insert user: %w", err)
		}
		r.add("user.create", audit.Target{Type: audit.User, ID: made.UserID}, nil, fields{"email": email, "instance_admin": true}.text())
		o := key.Organization{Name: organization, CreatedAt: now, UpdatedAt: now}
		if made.OrganizationID, err = tx.InsertOrganization(ctx, o); err != nil {
			return fmt.Errorf("insert organization: %w", err)
		}
		r.OrganizationID = made.OrganizationID
		r.add(createOrganization.name, audit.Target{Type: audit.Organization, ID: made.OrganizationID}, nil, organizationFields(&o).text())
		err = tx.InsertMember(ctx, key.Membership{OrganizationID: made.OrganizationID, UserID: made.UserID, Role: key.Owner, CreatedAt: now})
		if err != nil {
			return fmt.Errorf("insert member: %w", err)
		}
		r.add(createMember.name, audit.Target{Type: audit.Member, ID: made.UserID}, nil, fields{"email": email, "role": key.Owner.String()}.text())
		k := key.Key{
			Name: "First key", Scopes: key.AllScopes, OrganizationID: made.OrganizationID, UserID: made.UserID,
			Hint: first.Hint(), Enabled: true, CreatedAt: now, UpdatedAt: now,
		}
		if made.KeyID, err = tx.InsertKey(ctx, k, first.Digest()); err != nil {
			return fmt.Errorf("insert key: %w", err)
		}
		r.add(createKey.name, audit.Target{Type: audit.Key, ID: made.KeyID}, nil, keyFields(&k).text())
		made.Link, err = s.insertLink(ctx, tx, made.UserID)
		r.add(makeLink.name, audit.Target{Type: audit.User, ID: made.UserID}, nil, nil)
		for _, e := range r.also {
			tx.Record(e)
		}
		return err
	})
	if err != nil {
		return Initialised{}, err
	}
	made.Token = first
	return made, nil
}

// CheckInitial says what is wrong with what Initialise is to be called with, for those who have to make a database
// first.
func CheckInitial(email, organization string) error {
	email, organization = strings.TrimSpace(email), strings.TrimSpace(organization)
	var faults []key.Fault
	if detail := key.CheckEmail(email); detail != "" {
		faults = append(faults, key.Fault{Pointer: "/email", Detail: detail})
	}
	if detail := key.CheckName(organization); detail != "" {
		faults = append(faults, key.Fault{Pointer: "/organization", Detail: detail})
	}
	if len(faults) > 0 {
		return invalid(faults)
	}
	return nil
}
