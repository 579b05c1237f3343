package admin

import (
	"context"
	"fmt"
	"net/mail"
	"strings"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/token"
)

// Initialised is what Initialise made.
type Initialised struct {
	UserID         int64
	OrganizationID int64
	KeyID          int64
	Token          token.Token
}

// Initialise makes the first user, an instance admin and owner of the first organization, and a key with every scope
// for them. In a database that has a user already it does nothing, and returns a conflict.
//
// It is the one use case without a Caller: before it there is nobody who could call. Whoever runs it holds the
// database.
func (s *Service) Initialise(ctx context.Context, email, organization string) (Initialised, error) {
	var made Initialised
	secret := token.New(s.prefix)
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
		made.UserID, err = tx.InsertUser(ctx, key.User{Email: email, InstanceAdmin: true, CreatedAt: now, UpdatedAt: now})
		if err != nil {
			return fmt.Errorf("insert user: %w", err)
		}
		made.OrganizationID, err = tx.InsertOrganization(ctx, key.Organization{Name: organization, CreatedAt: now, UpdatedAt: now})
		if err != nil {
			return fmt.Errorf("insert organization: %w", err)
		}
		err = tx.InsertMember(ctx, key.Membership{OrganizationID: made.OrganizationID, UserID: made.UserID, Role: key.Owner, CreatedAt: now})
		if err != nil {
			return fmt.Errorf("insert member: %w", err)
		}
		made.KeyID, err = tx.InsertKey(ctx, key.Key{
			Name: "First key", Scopes: key.AllScopes, OrganizationID: made.OrganizationID, UserID: made.UserID,
			Hint: secret.Hint(), Enabled: true, CreatedAt: now, UpdatedAt: now,
		}, secret.Digest())
		if err != nil {
			return fmt.Errorf("insert key: %w", err)
		}
		return nil
	})
	if err != nil {
		return Initialised{}, err
	}
	made.Token = secret
	return made, nil
}

// CheckInitial says what is wrong with what Initialise is to be called with, for those who have to make a database
// first.
func CheckInitial(email, organization string) error {
	email, organization = strings.TrimSpace(email), strings.TrimSpace(organization)
	var faults []key.Fault
	// ParseAddress alone would take "Name <user@host>".
	if a, err := mail.ParseAddress(email); err != nil || a.Address != email || len(email) > 254 {
		faults = append(faults, key.Fault{Pointer: "/email", Detail: "must be an e-mail address, like you@example.com"})
	}
	if detail := key.CheckName(organization); detail != "" {
		faults = append(faults, key.Fault{Pointer: "/organization", Detail: detail})
	}
	if len(faults) > 0 {
		return invalid(faults)
	}
	return nil
}
