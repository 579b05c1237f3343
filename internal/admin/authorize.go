package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// action is something that a caller may want to do.
type action struct {
	name    audit.Action // as the audit log calls it
	purpose string       // "to create keys", as in "the calling key needs CREATE to create keys"
	needs   key.Scopes   // a calling key needs one of these; none: any key may
	session bool         // only in a session: neither keys nor access tokens may
	who     level
	self    bool // whoever is below the level may still do it to themselves
}

// level says who may do an action to an object.
type level uint8

const (
	anybody  level = iota // whoever has a credential: it is about themselves
	holder                // whoever sees the key: it is theirs, or they manage the organization's keys
	insider               // the organization's members
	manager               // its admins and owners
	owner                 // its owners
	operator              // instance admins alone, who act on every organization
)

// Whoever acts on every organization is above all levels but operator, which is their own.

// The actions, by what they are about. What only reads is in the audit log where it is refused.
var (
	readAccounts = key.ScopesOf(key.Read, key.Manage)
	manage       = key.ScopesOf(key.Manage)

	readMe = action{name: "user.read", purpose: "to see who is calling"}

	listKeys   = action{name: "key.list", purpose: "to list keys", needs: key.ScopesOf(key.Read)}
	listKeysOf = action{name: "key.list", purpose: "to list keys", needs: key.ScopesOf(key.Read), who: insider}
	readKey    = action{name: "key.read", purpose: "to read keys", needs: key.ScopesOf(key.Read), who: holder}
	createKey  = action{name: "key.create", purpose: "to create keys", needs: key.ScopesOf(key.Create), who: insider}
	updateKey  = action{name: "key.update", purpose: "to change keys", needs: key.ScopesOf(key.Update), who: holder}
	rotateKey  = action{name: "key.rotate", purpose: "to rotate keys", needs: key.ScopesOf(key.Update), who: holder}
	deleteKey  = action{name: "key.delete", purpose: "to delete keys", needs: key.ScopesOf(key.Delete), who: holder}

	usageOfKey          = action{name: "key.read", purpose: "to see how keys are used", needs: key.ScopesOf(key.Read), who: holder}
	usageOfOrganization = action{name: "organization.read", purpose: "to see how keys are used", needs: key.ScopesOf(key.Read), who: insider}

	listOrganizations  = action{name: "organization.list", purpose: "to list organizations", needs: readAccounts}
	readOrganization   = action{name: "organization.read", purpose: "to read organizations", needs: readAccounts, who: insider}
	createOrganization = action{name: "organization.create", purpose: "to create organizations", needs: manage, who: operator}
	updateOrganization = action{name: "organization.update", purpose: "to change organizations", needs: manage, who: manager}
	deleteOrganization = action{name: "organization.delete", purpose: "to delete organizations", needs: manage, who: owner}

	listMembers  = action{name: "member.list", purpose: "to list members", needs: readAccounts, who: insider}
	readMember   = action{name: "member.read", purpose: "to read members", needs: readAccounts, who: insider}
	createMember = action{name: "member.create", purpose: "to add members", needs: manage, who: manager}
	updateMember = action{name: "member.update", purpose: "to change members", needs: manage, who: manager}
	deleteMember = action{name: "member.delete", purpose: "to remove members", needs: manage, who: manager, self: true}

	listSessions = action{name: "session.list", purpose: "to list sessions", session: true}
	endSession   = action{name: "session.delete", purpose: "to end sessions", session: true}
	setPassword  = action{name: "user.password", purpose: "to set a password", session: true}
	bindIdentity = action{name: "user.identity", purpose: "to connect an identity", session: true}

	listIdentities = action{name: "user.read", purpose: "to list identities", session: true}

	listNodes = action{name: "node.list", purpose: "to see the nodes", needs: manage, who: operator}

	readAudit   = action{name: "audit.read", purpose: "to read the audit log", needs: key.ScopesOf(key.Read), who: operator}
	readAuditOf = action{name: "audit.read", purpose: "to read the audit log", needs: key.ScopesOf(key.Read), who: manager}
)

// object is what an action is done to.
type object struct {
	organizationID int64 // which it belongs to; 0: none
	userID         int64 // whose key it is, or which member
	missing        bool  // there is no such thing
}

// in returns an organization as an object.
func in(organizationID int64) object { return object{organizationID: organizationID} }

// view is the database at one moment: inside a transaction, or outside.
type view interface {
	store.Reader
	store.Tokens
}

// rights are what a caller may do to an object. They come from authorize alone.
type rights struct {
	user     key.User
	key      *key.Record  // nil where no key calls
	session  *key.Session // nil where it was not done in one
	standing key.Standing // in the object's organization
}

// authorize is the one door. It returns the rights of the caller, or refuses
//
//   - with unauthenticated where the credential is gone,
//   - with forbidden where a key calls from an address that is not on its allow-list,
//   - with forbidden where the action is one for sessions and the caller comes with something else,
//   - with insufficient_scope where a key calls that lacks the scope of the action,
//   - with not_found where the object does not exist for the caller: there is none, or it belongs to an organization that
//     the caller is no member of, or the calling key is of another one. Instance admins see all, and so do their keys that
//     have MANAGE,
//   - with forbidden where the object is seen and the level of the action is not reached.
//
// That order is part of it: a key that lacks the scope learns nothing about which things there are.
func (s *Service) authorize(ctx context.Context, r view, c Caller, a action, on object) (rights, error) {
	id, err := r.Identity(ctx, c.UserID, c.Token, on.organizationID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return rights{}, gone()
	case err != nil:
		return rights{}, fmt.Errorf("identity of user %d: %w", c.UserID, err)
	}
	return s.admit(ctx, r, c, id, a, on)
}

// admit is authorize for a caller whose identity in the object's organization was read in the same transaction.
func (s *Service) admit(ctx context.Context, r view, c Caller, id key.Identity, a action, on object) (rights, error) {
	g, err := s.identify(ctx, r, c, id)
	switch {
	case err != nil:
		return rights{}, err
	case a.session && g.session == nil:
		return rights{}, forbidden("this is for people who are signed in, and not for keys and access tokens")
	case a.needs != 0 && g.key != nil && g.key.Scopes&a.needs == 0:
		return rights{}, lacking(a.needs, " or ", a.purpose)
	case !g.sees(a.who, on):
		return rights{}, notFound(nil)
	case !g.reaches(a.who) && (!a.self || on.userID != g.user.ID):
		return rights{}, forbidden(a.who.String() + " may do this")
	}
	return g, nil
}

// String names those who reach the level.
func (l level) String() string {
	switch l {
	case manager:
		return "only admins and owners of the organization"
	case owner:
		return "only owners of the organization"
	default:
		return "only instance admins, and their keys that have MANAGE,"
	}
}

// identify says who the caller is. The credential was checked when the request came in; it is looked at again here,
// inside the transaction, because since then the key may have been deleted, the token replaced by another one, or the
// session ended: a body may take its time.
func (s *Service) identify(ctx context.Context, r view, c Caller, id key.Identity) (rights, error) {
	g := rights{user: id.User, key: id.Key, standing: id.Standing}
	if c.Token != (key.Digest{}) {
		if err := s.mayCall(c, g.key); err != nil {
			return rights{}, err
		}
	}
	if c.SessionID == 0 {
		return g, nil
	}
	session, err := r.Session(ctx, c.SessionID)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && (session.UserID != c.UserID || !s.alive(&session)):
		return rights{}, gone()
	case err != nil:
		return rights{}, fmt.Errorf("session %d: %w", c.SessionID, err)
	}
	g.session = &session
	return g, nil
}

// mayCall refuses a key that is no longer good, or not where the request came from. k is nil where there is no such key.
func (s *Service) mayCall(c Caller, k *key.Record) error {
	if k == nil || k.UserID != c.UserID {
		return gone()
	}
	switch k.Decide(key.Question{IP: c.Address(), Uncounted: true}, key.MillisOf(s.clock())) {
	case key.CheckValid:
		return nil
	case key.CheckIPNotAllowed:
		return forbidden("the key may not be used from this address")
	default:
		return gone()
	}
}

// sees reports whether the object exists for the caller.
func (g rights) sees(l level, on object) bool {
	switch {
	case on.missing:
		return false
	case l == anybody || l == operator: // about themselves, or about no organization
		return true
	case l == holder:
		return g.seesKeyOf(on)
	default:
		return g.seesOrganization(on.organizationID)
	}
}

// reaches reports whether the caller, who sees the object, is one of those that the level is for.
func (g rights) reaches(l level) bool {
	switch l {
	case manager:
		return g.actsEverywhere() || g.standing.Role >= key.Admin
	case owner:
		return g.actsEverywhere() || g.standing.Role >= key.Owner
	case operator:
		return g.actsEverywhere()
	default:
		return true
	}
}

// seesOrganization reports whether the organization, which is the one of the standing, exists for the caller.
func (g rights) seesOrganization(id int64) bool {
	switch {
	case !g.standing.OrganizationExists:
		return false
	case g.actsEverywhere():
		return true
	case g.key != nil && g.key.OrganizationID != id:
		return false
	default:
		return g.standing.Role != 0
	}
}

// actsEverywhere reports whether the caller acts on every organization: an instance admin, or a key of theirs that
// has MANAGE.
func (g rights) actsEverywhere() bool {
	return g.user.InstanceAdmin && (g.key == nil || g.key.Scopes.Has(key.Manage))
}

// seesAllKeys reports whether the caller sees and manages every key of the organization, not only their own.
func (g rights) seesAllKeys() bool { return g.actsEverywhere() || g.standing.Role.ManagesKeys() }

// seesKeyOf reports whether a key of the organization exists for the caller. Their own keys do, wherever they are; a
// calling key sees those of its organization.
func (g rights) seesKeyOf(on object) bool {
	if g.seesOrganization(on.organizationID) && g.seesAllKeys() {
		return true
	}
	return on.userID == g.user.ID && (g.key == nil || g.key.OrganizationID == on.organizationID)
}

// outranks refuses what concerns a role above the caller's own in the organization: nobody makes themselves or others
// stronger than they are, and nobody turns out those who are stronger.
func (g rights) outranks(role key.Role) error {
	if g.actsEverywhere() || role <= g.standing.Role {
		return nil
	}
	return forbidden(fmt.Sprintf("you are %s of the organization, and this is about a role above that: %s", g.standing.Role, role))
}

// grant refuses to give scopes to a key of the user holderID that the calling key lacks itself, or that the
// holder's role rules out. Whoever gives MANAGE to somebody else's key, or learns the token of one that has it, acts
// with that person's authority over accounts: it must not be above the caller's own.
func (g rights) grant(scopes key.Scopes, holderID int64, holder key.Standing) error {
	if g.key != nil {
		if missing := scopes.Without(g.key.Scopes); missing != 0 {
			return lacking(missing, ", ", "to give them to a key")
		}
	}
	if holderID != g.user.ID && !g.actsEverywhere() && scopes.Has(key.Manage) &&
		(holder.InstanceAdmin || holder.Role > g.standing.Role) {
		return forbidden("the key manages accounts for somebody who may do more there than you; you may disable, narrow or " +
			"delete it")
	}
	if holder.InstanceAdmin {
		return nil
	}
	if over := scopes.Without(holder.Role.MayHold()); over != 0 {
		return forbidden(fmt.Sprintf("a key of a %s may have %s, not %s", holder.Role, holder.Role.MayHold(), over))
	}
	return nil
}

func gone() error {
	return &key.Error{Code: key.Unauthenticated, Detail: "the credential is no longer good"}
}

func forbidden(detail string) error { return &key.Error{Code: key.Forbidden, Detail: detail} }

// lacking is the error of a calling key that needs scopes: all of them, or one, as between says.
func lacking(missing key.Scopes, between, purpose string) error {
	return &key.Error{Code: key.InsufficientScope, Scopes: missing,
		Detail: fmt.Sprintf("the calling key needs %s %s", strings.Join(missing.Names(), between), purpose)}
}

func isNotFound(err error) bool { return errors.Is(err, &key.Error{Code: key.NotFound}) }
