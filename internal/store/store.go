// Package store is the storage contract: what apikeyd asks of a database, and what each method MUST do.
//
// It holds interfaces and the values that cross them, and no SQL. Every MUST has a test in storetest, the one suite
// that each store passes. A store keeps and finds; it does not decide who may do what (that is admin) nor
// whether a token is good (that is key.Record.Decide).
//
// # Rules for every method
//
//   - A method MUST return an error that matches ErrNotFound, ErrUnavailable, ErrOutcomeUnknown or a ConflictError where one of
//     them describes what happened, and MUST tell one constraint from another by the database's own code, never by
//     the text of a message.
//   - No error may hold a digest as a whole, a token or a password.
//   - Times MUST come back as they were given, in UTC, to the millisecond; a zero time is none, and is stored as NULL.
//     CreatedAt and UpdatedAt are never none.
//   - A value MUST NOT share memory with the store: the caller may keep it and change it.
//   - Methods of a Store MUST be safe for concurrent use. A Tx is for one goroutine at a time, and for no longer
//     than the function it was given to runs.
//   - Where a context ends before its call could be carried out, the error MUST match that of the context as well as
//     ErrUnavailable.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
)

var (
	// ErrNotFound: there is no such row.
	ErrNotFound = errors.New("not found")
	// ErrUnavailable: the database could not do it now: away, locked, out of disk. Nothing was done.
	ErrUnavailable = errors.New("store unavailable")
	// ErrOutcomeUnknown: the disk failed at the very end of a commit. Whether it is kept shows when the database is
	// recovered; until then it looks undone. It does not match ErrUnavailable, because to try again may do it twice.
	ErrOutcomeUnknown = errors.New("outcome of the commit unknown")
	// ErrClosed is ErrUnavailable because Close was called.
	ErrClosed = fmt.Errorf("%w: closed", ErrUnavailable)
	// ErrSchema: the schema of the database is older than this program needs, or a newer one that it cannot work on.
	ErrSchema = errors.New("schema version")
)

// ConflictError says which unique value is taken.
type ConflictError struct {
	Constraint Constraint
}

// Constraint names a rule that the database itself keeps.
type Constraint string

// The constraints that a caller can run into.
const (
	EmailTaken      Constraint = "email"       // another user has this e-mail address
	ExternalIDTaken Constraint = "external_id" // another organization has this external id
	DigestTaken     Constraint = "digest"      // another key has this token
	MemberExists    Constraint = "member"      // the user is a member already
	IdentityTaken   Constraint = "identity"    // the identity is bound to a user already
	NoReference     Constraint = "reference"   // the organization or user referred to does not exist
)

func (e *ConflictError) Error() string { return "conflict: " + string(e.Constraint) }

// Tokens is what a check needs.
type Tokens interface {
	// RecordByDigest returns what a check needs to know about the token with this digest.
	//
	// It MUST see every change whose Update has returned, MUST return ErrNotFound where no key has the token, and MUST
	// NOT wait for an Update that is under way. A token past its grace MAY be returned, with TokenExpiresAt set.
	RecordByDigest(ctx context.Context, digest key.Digest) (*key.Record, error)
}

// KeyQuery says which keys to list. Zero fields do not restrict.
type KeyQuery struct {
	OrganizationID int64
	UserID         int64
	NameContains   string // without regard to the case of ASCII letters
	Enabled        *bool
	Scopes         key.Scopes // keys that have one of these
	State          key.State
	Now            time.Time // the time that State is of
	Before         int64     // keys with an id below this; 0: from the newest
	Order          key.Order // where it is another than NewestFirst, After counts, and not Before
	After          key.Place // keys behind this; zero: from the first
	Limit          int       // at most this many; MUST be positive
}

// OrganizationQuery says which organizations to list. Zero fields do not restrict.
type OrganizationQuery struct {
	ID           int64  // this one alone
	UserID       int64  // those that this user is a member of
	NameContains string // without regard to the case of ASCII letters
	ExternalID   string
	Before       int64 // organizations with an id below this; 0: from the newest
	Limit        int   // at most this many; MUST be positive
}

// MemberQuery says which members of an organization to list. Zero fields do not restrict.
type MemberQuery struct {
	OrganizationID int64  // MUST be given
	EmailContains  string // without regard to case
	Before         int64  // users with an id below this; 0: from the newest
	Limit          int    // at most this many; MUST be positive
}

// AuditQuery says which entries of the audit log to list. Zero fields do not restrict.
type AuditQuery struct {
	OrganizationID int64
	ActorUserID    int64
	ActorKeyID     int64
	Action         string // this action; where it ends in ".*", those of the group
	TargetType     string
	TargetID       int64
	Outcome        audit.Outcome
	From, To       time.Time // from From and before To
	Before         int64     // entries with an id below this; 0: from the newest
	Limit          int       // at most this many; MUST be positive
}

// UsageQuery says which checks to count.
type UsageQuery struct {
	OrganizationID int64     // which the keys belong to; MUST be given
	KeyID          int64     // of this key; 0: of all keys, those that are gone as well
	UserID         int64     // where no key is given: of the keys that are this user's now; 0: of everybody's
	From, To       time.Time // from the beginning of the hour or day that From is in, to the end of that before To
	ByDay          bool      // by days of UTC; otherwise by hours
}

// Usage is how many checks had an outcome in an hour or a day.
type Usage struct {
	Start   time.Time // of the hour or day
	Outcome key.Outcome
	Checks  int64
}

// Reader is what can be asked, inside a transaction and outside. Outside, each call MUST see every change whose
// Update has returned; inside, it MUST also see what the transaction has done so far, save audit entries, its own
// and those of transactions that are committed together with it.
type Reader interface {
	// Key returns the key with this id, or ErrNotFound.
	Key(ctx context.Context, id int64) (key.Key, error)

	// Keys returns the keys that q describes, newest (highest id) first where no other Order is given. The cost MUST NOT grow
	// with the number of keys in front of or behind the page, as long as neither NameContains, Enabled, Scopes nor State is given,
	// and the order is by age.
	Keys(ctx context.Context, q KeyQuery) ([]key.Key, error)

	// Identity returns a user, the key with the token, and what the user is to the organization, all as of one moment;
	// ErrNotFound where there is no such user. A zero token, or one that no key has, gives no key; whether the key is the
	// user's is for the caller to see. An organization that does not exist is no error: the answer says so.
	Identity(ctx context.Context, userID int64, token key.Digest, organizationID int64) (key.Identity, error)

	// KeyFor returns the key with this id, and Identity for the organization of that key, all as of one moment; ErrNotFound where there
	// is no such key or no such user.
	KeyFor(ctx context.Context, id, userID int64, token key.Digest) (key.Key, key.Identity, error)

	// User returns the user with this id, or ErrNotFound. UserByEmail does not regard case, UserByIdentity finds the
	// user that an OpenID Connect provider's identity is bound to.
	User(ctx context.Context, id int64) (key.User, error)
	UserByEmail(ctx context.Context, email string) (key.User, error)
	UserByIdentity(ctx context.Context, issuer, subject string) (key.User, error)

	// Identities returns the identities that are bound to a user, in the order of issuer and subject.
	Identities(ctx context.Context, userID int64) ([]key.Connection, error)

	// Password returns the user's password as SetPassword was given it, "" for none, or ErrNotFound.
	Password(ctx context.Context, userID int64) (string, error)

	// Memberships returns the organizations that a user is a member of, in order of their ids.
	Memberships(ctx context.Context, userID int64) ([]key.Membership, error)

	// Standing returns what a user is to an organization. An organization that does not exist is no error: the answer
	// says so. A user who does not exist is ErrNotFound.
	Standing(ctx context.Context, userID, organizationID int64) (key.Standing, error)

	// Organization returns the organization with this id, or ErrNotFound.
	Organization(ctx context.Context, id int64) (key.Organization, error)

	// Organizations returns the organizations that q describes, newest first. With a UserID the cost depends on how many
	// organizations that user is a member of; without, the rule of Keys holds.
	Organizations(ctx context.Context, q OrganizationQuery) ([]key.Organization, error)

	// Member returns a user's place in an organization, or ErrNotFound. Members returns those that q describes, the highest user id
	// first; without EmailContains the rule of Keys holds. Both give the Email, and not the OrganizationName.
	Member(ctx context.Context, organizationID, userID int64) (key.Membership, error)
	Members(ctx context.Context, q MemberQuery) ([]key.Membership, error)

	// Owners returns how many owners an organization has.
	Owners(ctx context.Context, organizationID int64) (int, error)

	// Session returns the session with this id, SessionByDigest the one with this secret, or ErrNotFound. Sessions returns
	// at most limit of a user's, those with an id below before (0: all), newest first. None of them looks at the time.
	Session(ctx context.Context, id int64) (key.Session, error)
	SessionByDigest(ctx context.Context, digest key.Digest) (key.Session, error)
	Sessions(ctx context.Context, userID, before int64, limit int) ([]key.Session, error)

	// Device reports whether the user has signed in before with the device that has this secret.
	Device(ctx context.Context, userID int64, digest key.Digest) (bool, error)

	// AuditLog returns the entries that q describes, newest first. The cost of a page MUST NOT grow with its place where
	// no more than OrganizationID, or TargetType and TargetID, or From and To are given.
	AuditLog(ctx context.Context, q AuditQuery) ([]audit.Entry, error)
	// AuditAfter returns at most limit entries with an id above after, oldest first.
	AuditAfter(ctx context.Context, after int64, limit int) ([]audit.Entry, error)
	// AuditExtent returns where the audit log begins and ends.
	AuditExtent(ctx context.Context) (audit.Extent, error)

	// Usage returns how many checks q describes there were in each hour or day, in the order of time and outcome. Where there were
	// none there is no element. By hour it leaves out what TidyUsage has made days of.
	Usage(ctx context.Context, q UsageQuery) ([]Usage, error)

	// Initialised reports whether the first user has been made.
	Initialised(ctx context.Context) (bool, error)
}

// Tx changes things. Ids are given by the database, rise, and MUST never be given again, not even when the row with
// the highest one was deleted.
//
// After any error of a method that changes something, save ErrNotFound, nothing of the transaction can be kept: the
// methods called after it and Update MUST return an error too, even where the function ignores it.
type Tx interface {
	Reader
	Tokens

	// InsertUser, InsertOrganization and InsertMember add a row; the ID fields of the argument are ignored where the
	// database gives them.
	InsertUser(ctx context.Context, u key.User) (id int64, err error)
	InsertOrganization(ctx context.Context, o key.Organization) (id int64, err error)
	InsertMember(ctx context.Context, m key.Membership) error

	// DeleteUser deletes a user with everything they sign in with. It MUST fail with a ConflictError with NoReference where
	// the user is a member or holds keys.
	DeleteUser(ctx context.Context, id int64) error

	// SetPassword keeps a user's password, which is one that was hashed, and sets UpdatedAt. ErrNotFound where there is no
	// such user; so it is for SetSignedIn, which moves SignedInAt.
	SetPassword(ctx context.Context, userID int64, hashed string, now time.Time) error
	SetSignedIn(ctx context.Context, userID int64, at time.Time) error

	// InsertIdentity binds an identity of an OpenID Connect provider's to a user. DeleteIdentity unbinds it; ErrNotFound where it is
	// not bound to that user.
	InsertIdentity(ctx context.Context, issuer, subject string, userID int64, now time.Time) error
	DeleteIdentity(ctx context.Context, issuer, subject string, userID int64) error

	// UpdateOrganization writes name, external id, metadata and UpdatedAt; ErrNotFound where there is no such one.
	UpdateOrganization(ctx context.Context, o key.Organization) error
	// DeleteOrganization deletes an organization with its members and keys, of which it returns how many there were, and
	// MUST record a Change for each token. ErrNotFound where there is no such one.
	DeleteOrganization(ctx context.Context, id int64) (members, keys int64, err error)

	// UpdateMember changes a member's role, DeleteMember deletes the membership; ErrNotFound where there is none. Neither
	// touches keys.
	UpdateMember(ctx context.Context, organizationID, userID int64, role key.Role) error
	DeleteMember(ctx context.Context, organizationID, userID int64) error

	// InsertSession adds a session with its secret. TouchSession moves LastUsedAt forward. DeleteSession ends one,
	// DeleteSessions all of a user's but one (0: all), of which it returns how many; a session that is gone is no error.
	InsertSession(ctx context.Context, s key.Session, digest key.Digest) (id int64, err error)
	TouchSession(ctx context.Context, id int64, at time.Time) error
	DeleteSession(ctx context.Context, id int64) error
	DeleteSessions(ctx context.Context, userID, except int64) (int64, error)

	// InsertLink adds a one-time link with its secret, and deletes all but the newest few of the user's. TakeLink
	// deletes the one with this secret and returns it, or ErrNotFound; it does not look at the time. DeleteLinks deletes all
	// of a user's.
	InsertLink(ctx context.Context, l key.Link, digest key.Digest) error
	TakeLink(ctx context.Context, digest key.Digest) (key.Link, error)
	DeleteLinks(ctx context.Context, userID int64) error

	// KeepDevice remembers that a user has signed in with a device, and forgets all but the newest few. DeleteDevices
	// forgets all of the user's.
	KeepDevice(ctx context.Context, userID int64, digest key.Digest, now time.Time) error
	DeleteDevices(ctx context.Context, userID int64) error

	// DeleteEnded deletes sessions that were last used before unused, and links that end before now. It returns how many.
	DeleteEnded(ctx context.Context, unused, now time.Time) (int64, error)

	// UseForm remembers that a form was carried out, and what it was about; it MUST return a ConflictError with DigestTaken where that
	// one was already. UsedForm returns what one was about, or ErrNotFound where it was not carried out. ForgetForms forgets those of
	// before a time, and returns how many.
	UseForm(ctx context.Context, digest key.Digest, target int64, now time.Time) error
	UsedForm(ctx context.Context, digest key.Digest) (target int64, err error)
	ForgetForms(ctx context.Context, before time.Time) (int64, error)

	// Record adds an entry to the audit log. It is kept if the transaction is, and the store gives its id, its place in the
	// chain (Entry.Chain) and no other time than that.
	Record(e audit.Entry)
	// PruneAudit deletes entries of before a time, the oldest first and at most limit, and returns how many.
	PruneAudit(ctx context.Context, before time.Time, limit int) (int, error)

	// InsertKey adds a key with its token. It MUST return a ConflictError with NoReference where the organization or
	// the user is not there, or MAY return none and have the function run again, where it does. QuotaUsed and QuotaStart are not
	// written: a new key has used nothing.
	InsertKey(ctx context.Context, k key.Key, digest key.Digest) (id int64, err error)

	// UpdateKey writes name, scopes, owner, enabled, expiry, metadata, restrictions and UpdatedAt of the key with k.ID, and MUST
	// record a Change for each of its tokens. ErrNotFound where there is no such key. LastUsedAt is not written, nor is what of
	// the quota is used. Where it changes the quota, gives one or takes it away, it MUST begin another generation of it, one that the
	// key has never had.
	UpdateKey(ctx context.Context, k key.Key) error

	// ReplaceToken gives a key another token and hint and sets UpdatedAt. Each token that the key has so far MUST end
	// at oldExpiresAt, or where it would have ended, whichever comes first; where that is not after now (a zero
	// oldExpiresAt is: at once) it is deleted. It MUST record a Change for each of them.
	ReplaceToken(ctx context.Context, id int64, digest key.Digest, hint string, oldExpiresAt, now time.Time) error

	// DeleteKey deletes a key and its tokens for good, and MUST record a Change for each token. ErrNotFound where there is
	// no such key.
	DeleteKey(ctx context.Context, id int64) error

	// DeleteToken deletes a token for good, and leaves its key and the key's other tokens. ErrNotFound where no key has it. It MUST
	// record a Change for the token in both cases: whoever deleted it may still be waiting for other nodes.
	DeleteToken(ctx context.Context, digest key.Digest) error

	// KeepLeak remembers a token that is ended because it has leaked, also where one is remembered already. Leaked returns what is
	// remembered, or ErrNotFound; it MUST do so for good, whatever becomes of the key and the organization.
	KeepLeak(ctx context.Context, digest key.Digest, l Leak) error
	Leaked(ctx context.Context, digest key.Digest) (Leak, error)

	// Recall records a Change for each token of a key although nothing was changed: somebody may be about to find it as they want
	// it, while who made it so is still waiting for other nodes.
	Recall(ctx context.Context, id int64) error

	// DeleteKeysOf and TransferKeysOf delete, or give to another user, the keys of a member that have one of the scopes,
	// set UpdatedAt of what they give, and MUST record a Change for each token. They return the ids, lowest first.
	DeleteKeysOf(ctx context.Context, organizationID, userID int64, scopes key.Scopes) ([]int64, error)
	TransferKeysOf(ctx context.Context, organizationID, userID int64, scopes key.Scopes, to int64, now time.Time) ([]int64, error)

	// SetLastUsed moves LastUsedAt of each key forward, never back. Keys that are gone are passed over. It MUST NOT
	// record a Change: a check does not depend on it.
	SetLastUsed(ctx context.Context, uses []Use) error

	// TakeQuota is that of Quotas, as a part of the transaction.
	TakeQuota(ctx context.Context, take QuotaTake) (QuotaShare, error)

	// AddUsage adds checks to those that were counted before, for the key and for its organization. Where the key is gone they count
	// for the organization alone, and where that is gone for nothing. It MUST NOT record a Change.
	AddUsage(ctx context.Context, checks []Checks) error
	// TidyUsage makes days of hours of before the one that hoursBefore is in, deletes days that ended before daysBefore, and deletes
	// what was counted for keys and organizations that are gone. It does at most limit of these things, and returns how many.
	TidyUsage(ctx context.Context, hoursBefore, daysBefore time.Time, limit int) (int, error)
}

// Checks says how many checks of a key had an outcome.
type Checks struct {
	OrganizationID, KeyID int64
	At                    time.Time   // in the hour for which they count
	Outcome               key.Outcome // not CheckNotFound: no key has that
	Count                 int64
}

// Use says when a key was last used.
type Use struct {
	KeyID int64
	At    time.Time
}

// Leak says whose a token was that was ended because it had leaked. Both may be gone since.
type Leak struct {
	KeyID, OrganizationID int64
	At                    time.Time // when it was ended
}

// Change says that what a check knows about a token holds no longer.
type Change struct {
	Digest key.Digest
	// ID is a number that other nodes report when they have applied the change: its own, or that of one committed together
	// with it. 0: there are no other nodes.
	ID int64
}

// Store is a database.
type Store interface {
	Tokens
	Reader
	Quotas

	// Update runs fn in a transaction and returns the changes that fn's calls recorded.
	//
	//   - When fn returns nil, all it did MUST be on disk (or wherever a write survives the loss of power) before Update
	//     returns nil. When fn or the commit fails, nothing of it may ever be seen, and Update returns fn's error as it
	//     is, or ErrUnavailable.
	//   - Transactions MUST be serializable: what fn read is still so when it commits.
	//   - fn may run more than once, and on another goroutine: it MUST have no effect but through its Tx, save that of
	//     its last run. Transactions that arrive together MAY be committed together; each still succeeds or fails
	//     alone.
	//   - ctx ends the wait for a turn, and fn does not run then. Once fn has begun, Update MUST NOT return before the
	//     outcome is known: otherwise somebody would go on trusting what the transaction has changed.
	//   - Where a commit fails and the outcome cannot be known, Update MUST return the changes together with the error,
	//     so that nobody goes on trusting what they are about. In every other failure it returns none.
	//   - A panic of fn MUST be returned to the caller as a panic, with nothing done, and MUST NOT harm other
	//     transactions; nor MUST a runtime.Goexit, with which a test fails.
	//   - fn has the database to itself, so it must wait for nothing but its Tx, and for other methods of the Store
	//     least of all.
	Update(ctx context.Context, fn func(Tx) error) ([]Change, error)

	// Ready returns nil where the store can be read and its schema is one that this program can work on, ErrSchema where it
	// is not, ErrUnavailable otherwise.
	Ready(ctx context.Context) error

	// Close ends everything; calls under way end first. Later calls return ErrClosed, which matches ErrUnavailable;
	// another Close does nothing.
	Close() error
}
