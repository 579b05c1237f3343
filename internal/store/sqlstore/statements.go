package sqlstore

import (
	"fmt"
	"math"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// Statement is one statement that the store runs. Databases prepare each of them once.
type Statement uint8

// The statements.
//
// They leave a database no choice that it could make badly. Where a value of another table is needed it is looked up by
// its key, which cannot be planned in any other way, and not joined. SQLite for one, told by its
// statistics that a table has a single row, would read the whole of it, also when it has a million by then.
const (
	SelectKey Statement = iota
	SelectRecord
	SelectIdentity
	SelectIdentityAndKey
	SelectKeyFor
	SelectUser
	SelectUserByEmail
	SelectUserByIdentity
	SelectPassword
	SelectOrganization
	SelectOrganizationByExternalID
	SelectMember
	SelectSession
	SelectSessionByDigest
	SelectDevice
	SelectLink
	SelectForm
	SelectLeak
	SelectAuditTime
	SelectAuditExtent
	SelectInitialised

	// Lists have no text here: which index a list is read from must not be left to the optimiser, and databases have
	// no common way to say so.

	// ListMemberships takes $1 the user, and answers with organization_id, organization_name, user_id, role and
	// created_at in the order of organization_id.
	ListMemberships

	// The pages of keys, by what they are restricted to. Each answers with KeyColumns in falling order of key_id, and
	// takes $1 the organization, $2 the user, $3 the id to stay below, $4 part of the name in lower case or "",
	// $5 enabled or NULL, $6 a scope or 0, $7 the number of rows, $8 a state or 0 and $9 the time that it is of.
	ListKeys
	ListKeysOfOrganization
	ListKeysOfUser
	ListKeysOfMember // of one user in one organization

	// ListKeyIDsOfMember takes $1 the organization, $2 the user and $3 scopes, of which a key must have one.
	ListKeyIDsOfMember
	// ListDigestsOfOrganization takes $1 the organization.
	ListDigestsOfOrganization

	// ListOrganizations takes $1 the id to stay below, $2 part of the name in lower case or "" and $3 the number of rows, and
	// answers with OrganizationColumns in falling order of organization_id.
	ListOrganizations

	// ListMembers takes $1 the organization, $2 the user id to stay below, $3 the number of rows and $4 part of the e-mail address
	// without its case or "", and answers with MemberColumns in falling order of user_id. CountOwners takes $1 the organization.
	ListMembers
	CountOwners

	// ListSessions takes $1 the user, $2 the id to stay below and $3 the number of rows, and answers with SessionColumns in
	// falling order of session_id.
	ListSessions

	// ListIdentities takes $1 the user, and answers with issuer, subject and created_at in any order.
	ListIdentities

	// The pages of the audit log, each with AuditColumns in falling order of audit_id: $1 the organization, $2 the type and
	// $3 the id of the target, $4 the lowest id, $5 the id to stay below, $6 and $7 user and key of the actor, $8 the
	// action, $9 the beginning of the action, $10 the outcome, $11 the number of rows; what is 0 or "" does not restrict.
	ListAudit
	ListAuditOfOrganization
	ListAuditOfTarget
	ListAuditOldest // $1 the id to stay above, $2 the number of rows, in rising order

	// ListUsage takes $1 the organization, $2 the key, $3 the first hour and $4 the hour to stay before, and answers with
	// first_hour, hours, outcome and checks. ListUsageOfMember takes $2 the user instead, and answers with the same for each key.
	ListUsage
	ListUsageOfMember
	// ListAgedUsage takes $1 the hours that a row stands for, $2 the hour to stay before and $3 the number of rows.
	// ListUsageOfGone takes $1 the organization, $2 the first and $3 the last key, and $4 the number of rows. Both answer with
	// UsageColumns.
	ListAgedUsage
	ListUsageOfGone
	ListGone // $1 the number of rows

	InsertUser
	InsertOrganization
	InsertMember
	// InsertKey takes $13 the digest of a token beside the columns of the key, and adds that as InsertToken does. Each database has
	// its own way of adding both, and its own way of giving an id.
	InsertKey
	InsertToken
	InsertIdentity
	InsertSession
	InsertLink
	InsertDevice
	InsertForm
	InsertLeak
	InsertAudit
	// SelectQuota takes $1 the key, and answers with what it is restricted to and what is kept of its quota, NULL where nothing is.
	// KeepQuota takes $1 the key, $2 the beginning of the period and $3 what is used. RaiseQuota takes $1 the key.
	SelectQuota
	KeepQuota
	RaiseQuota
	UpdateKey
	UpdateHint
	UpdateLastUsed
	UpdatePassword
	UpdateSignedIn
	UpdateOrganization
	UpdateMember
	UpdateSession
	UpdateOwner // of a key
	UpdateAuditLast
	UpdateAuditPruned
	EndTokens
	DeleteEndedTokens
	DeleteTokens
	DeleteToken
	DeleteKey
	ListDigests
	DeleteUser
	DeleteIdentities
	DeleteIdentity
	DeleteTokensOfOrganization // these two have no text here either, for the same reason as lists
	DeleteKeysOfOrganization
	DeleteMembersOfOrganization
	DeleteOrganization
	DeleteMember
	DeleteSession
	DeleteSessions
	DeleteUnusedSessions
	DeleteLink
	DeleteLinks
	DeleteOldLinks
	DeleteEndedLinks
	DeleteDevices
	DeleteOldDevices
	DeleteOldForms
	DeleteAudit
	AddUsage
	DeleteUsage
	InsertGoneKey
	InsertGoneOrganization
	DeleteGone

	// From here on the pages of keys in other orders: see OrderedKeys.
	orderedKeys

	Count = int(orderedKeys) + (key.Orders-1)*keyLists
)

// keyLists is how many lists of keys there are in each order: ListKeys to ListKeysOfMember.
const keyLists = int(ListKeysOfMember-ListKeys) + 1

// OrderedKeys returns the statement for the same pages as list, one of ListKeys to ListKeysOfMember, in an order. It takes $3 the id of
// the last key on the page before, and, where the order goes by something, $10 what that is there.
func OrderedKeys(list Statement, o key.Order) Statement {
	if o == key.NewestFirst {
		return list
	}
	return orderedKeys + Statement(int(o-1)*keyLists) + list - ListKeys
}

// Ordered takes apart what OrderedKeys has returned; ok: it is a statement for keys in another order than NewestFirst.
func (s Statement) Ordered() (list Statement, o key.Order, ok bool) {
	if s < orderedKeys {
		return 0, 0, false
	}
	n := int(s - orderedKeys)
	return ListKeys + Statement(n%keyLists), key.Order(n/keyLists + 1), true
}

// Rank is what a key comes in front of others by, in an order that goes by a time.
func Rank(o key.Order) string {
	column := map[key.Order]string{key.ByExpiry: "expires_at", key.ByLastUse: "-last_used_at"}[o]
	return fmt.Sprintf(`COALESCE(%s, %d)`, column, math.MaxInt64)
}

// KeyColumns are the columns of a key, in the order in which they are read. Nothing is looked up for one without a quota.
const KeyColumns = `key_id, key_name, scopes, organization_id, user_id, key_hint, enabled, expires_at, last_used_at,
	created_at, updated_at, metadata, restrictions,
	CASE WHEN restrictions IS NOT NULL THEN (SELECT q.used FROM quotas q WHERE q.key_id = api_keys.key_id) END,
	CASE WHEN restrictions IS NOT NULL THEN (SELECT q.period_start FROM quotas q WHERE q.key_id = api_keys.key_id) END`

// Likewise.
const (
	UserColumns   = `u.user_id, u.email, u.instance_admin, u.signed_in_at, u.created_at, u.updated_at`
	RecordColumns = `k.key_id, k.organization_id, k.user_id, k.key_name, k.metadata, k.expires_at,
	(SELECT t.expires_at FROM tokens t WHERE t.digest = $1), k.scopes, k.enabled, k.restrictions,
	CASE WHEN k.restrictions IS NOT NULL THEN (SELECT q.generation FROM quotas q WHERE q.key_id = k.key_id) END`
	OrganizationColumns = `organization_id, organization_name, external_id, metadata, created_at, updated_at`
	MemberColumns       = `organization_id, user_id, (SELECT u.email FROM users u WHERE u.user_id = m.user_id), role, created_at`
	SessionColumns      = `session_id, user_id, method, ip, user_agent, created_at, last_used_at, expires_at`
	AuditColumns        = `audit_id, occurred_at, actor_user_id, actor_key_id, actor_session_id, action, target_type, target_id,
	organization_id, ip, request_id, outcome, code, before, after, previous_hash, hash`
	UsageColumns = `organization_id, key_id, first_hour, hours, outcome, checks`
)

// UsageAdded adds to a row of usage_counts that is there already.
const UsageAdded = `
		ON CONFLICT (organization_id, key_id, first_hour, hours, outcome)
		DO UPDATE SET checks = usage_counts.checks + excluded.checks`

// UsageKept is the condition that what is counted is there.
func UsageKept(organization, key string) string {
	return `CASE ` + key + ` WHEN 0 THEN (SELECT o.organization_id FROM organizations o WHERE o.organization_id = ` + organization + `)
			ELSE (SELECT k.organization_id FROM api_keys k WHERE k.key_id = ` + key + `) END = ` + organization
}

// KeyState is the state of a key at a time, as it is counted in Go.
func KeyState(at string) string {
	return fmt.Sprintf(`CASE WHEN NOT enabled THEN %d WHEN expires_at <= %s THEN %d ELSE %d END`,
		key.StateDisabled, at, key.StateExpired, key.StateActive)
}

// How many links and devices of a user are kept; the oldest go.
const (
	maxLinks   = 5
	maxDevices = 10
)

var statements = [Count]struct {
	text   string
	writes bool
	taken  store.Constraint // what it means that a value which must be unique is there already
}{
	SelectKey: {text: `SELECT ` + KeyColumns + ` FROM api_keys WHERE key_id = $1`},

	// The second look-up of the token finds its page at hand and costs less than 1 µs.
	SelectRecord: {text: `
		SELECT ` + RecordColumns + `
		FROM api_keys k WHERE k.key_id = (SELECT t.key_id FROM tokens t WHERE t.digest = $1)`},

	// What an authorization depends on beside the key, in one statement, because it is part of every change.
	SelectIdentity: {text: `
		SELECT ` + UserColumns + `,
			EXISTS (SELECT 1 FROM organizations o WHERE o.organization_id = $2),
			COALESCE((SELECT m.role FROM members m WHERE m.organization_id = $2 AND m.user_id = $1), 0)
		FROM users u WHERE user_id = $1`},

	// The same with the key, $1 being its token, $2 the user and $3 the organization. It is one statement so that all of it
	// is of one moment. With LIMIT each row is found for itself, whatever a database thinks of the join.
	SelectIdentityAndKey: {text: `
		SELECT ` + UserColumns + `,
			EXISTS (SELECT 1 FROM organizations o WHERE o.organization_id = $3),
			COALESCE((SELECT m.role FROM members m WHERE m.organization_id = $3 AND m.user_id = $2), 0),
			` + RecordColumns + `
		FROM (SELECT * FROM users WHERE user_id = $2 LIMIT 1) u
		LEFT JOIN (SELECT * FROM api_keys WHERE key_id = (SELECT t.key_id FROM tokens t WHERE t.digest = $1) LIMIT 1) k ON TRUE`},

	// SelectIdentityAndKey for the organization of another key, $3, and that key. A zero token is nobody's.
	SelectKeyFor: {text: `
		SELECT ` + UserColumns + `,
			EXISTS (SELECT 1 FROM organizations o WHERE o.organization_id = a.organization_id),
			COALESCE((SELECT m.role FROM members m WHERE m.organization_id = a.organization_id AND m.user_id = $2), 0),
			` + RecordColumns + `,
			a.*
		FROM (SELECT * FROM users WHERE user_id = $2 LIMIT 1) u
		CROSS JOIN (SELECT ` + KeyColumns + ` FROM api_keys WHERE key_id = $3 LIMIT 1) a
		LEFT JOIN (SELECT * FROM api_keys WHERE key_id = (SELECT t.key_id FROM tokens t WHERE t.digest = $1) LIMIT 1) k ON TRUE`},

	SelectUser: {text: `SELECT ` + UserColumns + ` FROM users u WHERE user_id = $1`},

	SelectUserByEmail: {text: `SELECT ` + UserColumns + ` FROM users u WHERE email_folded = $1`},

	SelectUserByIdentity: {text: `
		SELECT ` + UserColumns + ` FROM users u
		WHERE user_id = (SELECT i.user_id FROM identities i WHERE i.issuer = $1 AND i.subject = $2)`},

	SelectPassword: {text: `SELECT password FROM users WHERE user_id = $1`},

	SelectOrganization: {text: `SELECT ` + OrganizationColumns + ` FROM organizations WHERE organization_id = $1`},

	SelectOrganizationByExternalID: {text: `SELECT ` + OrganizationColumns + ` FROM organizations WHERE external_id = $1`},

	SelectMember: {text: `SELECT ` + MemberColumns + ` FROM members m WHERE organization_id = $1 AND user_id = $2`},

	SelectSession: {text: `SELECT ` + SessionColumns + ` FROM sessions WHERE session_id = $1`},

	SelectSessionByDigest: {text: `SELECT ` + SessionColumns + ` FROM sessions WHERE digest = $1`},

	SelectDevice: {text: `SELECT EXISTS (SELECT 1 FROM devices WHERE digest = $1 AND user_id = $2)`},

	SelectLink: {text: `SELECT user_id, created_at, expires_at FROM sign_in_links WHERE digest = $1`},

	SelectForm: {text: `SELECT target_id FROM used_forms WHERE digest = $1`},

	SelectLeak: {text: `SELECT key_id, organization_id, leaked_at FROM leaked_tokens WHERE digest = $1`},

	SelectAuditTime: {text: `
		SELECT occurred_at FROM audit_log WHERE audit_id >= $1 ORDER BY audit_id LIMIT 1`},

	SelectAuditExtent: {text: `
		SELECT pruned_id, pruned_hash, pruned_at, last_id, last_hash, last_at FROM audit_extent WHERE one = 1`},

	SelectInitialised: {text: `SELECT EXISTS (SELECT 1 FROM users)`},

	InsertUser: {writes: true, taken: store.EmailTaken, text: `
		INSERT INTO users (email, email_folded, instance_admin, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5)`},

	InsertOrganization: {writes: true, taken: store.ExternalIDTaken, text: `
		INSERT INTO organizations (organization_name, external_id, metadata, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5)`},

	InsertMember: {writes: true, taken: store.MemberExists, text: `
		INSERT INTO members (organization_id, user_id, role, created_at)
		VALUES ($1, $2, $3, $4)`},

	InsertKey: {writes: true, text: `
		INSERT INTO api_keys (key_name, scopes, organization_id, user_id, key_hint, enabled, expires_at, last_used_at,
			created_at, updated_at, metadata, restrictions)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`},

	InsertToken: {writes: true, taken: store.DigestTaken, text: `
		INSERT INTO tokens (digest, key_id) VALUES ($1, $2)`},

	InsertIdentity: {writes: true, taken: store.IdentityTaken, text: `
		INSERT INTO identities (issuer, subject, user_id, created_at) VALUES ($1, $2, $3, $4)`},

	InsertSession: {writes: true, taken: store.DigestTaken, text: `
		INSERT INTO sessions (digest, user_id, method, ip, user_agent, created_at, last_used_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`},

	InsertLink: {writes: true, taken: store.DigestTaken, text: `
		INSERT INTO sign_in_links (digest, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)`},

	InsertDevice: {writes: true, text: `
		INSERT INTO devices (digest, user_id, last_used_at) VALUES ($1, $2, $3)
		ON CONFLICT (digest) DO UPDATE SET user_id = $2, last_used_at = $3`},

	InsertForm: {writes: true, taken: store.DigestTaken, text: `
		INSERT INTO used_forms (digest, target_id, used_at) VALUES ($1, $2, $3)`},

	InsertLeak: {writes: true, text: `
		INSERT INTO leaked_tokens (digest, key_id, organization_id, leaked_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (digest) DO UPDATE SET key_id = $2, organization_id = $3, leaked_at = $4`},

	InsertAudit: {writes: true, text: `
		INSERT INTO audit_log (` + AuditColumns + `)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`},

	SelectQuota: {text: `
		SELECT restrictions, (SELECT q.used FROM quotas q WHERE q.key_id = $1), (SELECT q.period_start FROM quotas q WHERE q.key_id = $1),
			(SELECT q.generation FROM quotas q WHERE q.key_id = $1)
		FROM api_keys WHERE key_id = $1`},

	KeepQuota: {writes: true, text: `
		INSERT INTO quotas (key_id, period_start, used) VALUES ($1, $2, $3)
		ON CONFLICT (key_id) DO UPDATE SET period_start = $2, used = $3`},

	RaiseQuota: {writes: true, text: `
		INSERT INTO quotas (key_id, used, generation) VALUES ($1, 0, 1)
		ON CONFLICT (key_id) DO UPDATE SET generation = quotas.generation + 1`},

	UpdateKey: {writes: true, text: `
		UPDATE api_keys
		SET key_name = $2, scopes = $3, user_id = $4, enabled = $5, expires_at = $6, metadata = $7, restrictions = $8, updated_at = $9
		WHERE key_id = $1`},

	UpdateHint: {writes: true, text: `UPDATE api_keys SET key_hint = $2, updated_at = $3 WHERE key_id = $1`},

	UpdateLastUsed: {writes: true, text: `
		UPDATE api_keys SET last_used_at = $2
		WHERE key_id = $1 AND (last_used_at IS NULL OR last_used_at < $2)`},

	UpdatePassword: {writes: true, text: `UPDATE users SET password = $2, updated_at = $3 WHERE user_id = $1`},

	UpdateSignedIn: {writes: true, text: `UPDATE users SET signed_in_at = $2 WHERE user_id = $1`},

	UpdateOrganization: {writes: true, taken: store.ExternalIDTaken, text: `
		UPDATE organizations
		SET organization_name = $2, external_id = $3, metadata = $4, updated_at = $5
		WHERE organization_id = $1`},

	UpdateMember: {writes: true, text: `UPDATE members SET role = $3 WHERE organization_id = $1 AND user_id = $2`},

	UpdateSession: {writes: true, text: `
		UPDATE sessions SET last_used_at = $2 WHERE session_id = $1 AND last_used_at < $2`},

	UpdateOwner: {writes: true, text: `UPDATE api_keys SET user_id = $2, updated_at = $3 WHERE key_id = $1`},

	UpdateAuditLast: {writes: true, text: `
		UPDATE audit_extent SET last_id = $1, last_hash = $2, last_at = $3 WHERE one = 1`},

	UpdateAuditPruned: {writes: true, text: `
		UPDATE audit_extent SET pruned_id = $1, pruned_hash = $2, pruned_at = $3 WHERE one = 1`},

	EndTokens: {writes: true, text: `
		UPDATE tokens SET expires_at = $2
		WHERE key_id = $1 AND (expires_at IS NULL OR expires_at > $2)`},

	DeleteEndedTokens: {writes: true, text: `DELETE FROM tokens WHERE key_id = $1 AND expires_at <= $2`},

	DeleteTokens: {writes: true, text: `DELETE FROM tokens WHERE key_id = $1 RETURNING digest`},

	DeleteToken: {writes: true, text: `DELETE FROM tokens WHERE digest = $1`},

	DeleteKey: {writes: true, text: `DELETE FROM api_keys WHERE key_id = $1`},

	ListDigests: {text: `SELECT digest FROM tokens WHERE key_id = $1`},

	DeleteUser: {writes: true, text: `DELETE FROM users WHERE user_id = $1`},

	DeleteIdentities: {writes: true, text: `DELETE FROM identities WHERE user_id = $1`},

	DeleteIdentity: {writes: true, text: `DELETE FROM identities WHERE issuer = $1 AND subject = $2 AND user_id = $3`},

	DeleteTokensOfOrganization: {writes: true},

	DeleteKeysOfOrganization: {writes: true},

	DeleteMembersOfOrganization: {writes: true, text: `DELETE FROM members WHERE organization_id = $1`},

	DeleteOrganization: {writes: true, text: `DELETE FROM organizations WHERE organization_id = $1`},

	DeleteMember: {writes: true, text: `DELETE FROM members WHERE organization_id = $1 AND user_id = $2`},

	DeleteSession: {writes: true, text: `DELETE FROM sessions WHERE session_id = $1`},

	DeleteSessions: {writes: true, text: `DELETE FROM sessions WHERE user_id = $1 AND session_id <> $2`},

	DeleteUnusedSessions: {writes: true, text: `DELETE FROM sessions WHERE last_used_at < $1`},

	DeleteLink: {writes: true, text: `DELETE FROM sign_in_links WHERE digest = $1`},

	DeleteLinks: {writes: true, text: `DELETE FROM sign_in_links WHERE user_id = $1`},

	// These two keep $2, the one that was just added, and the $3 newest of the others. A clock that was set back makes what
	// was just added the oldest.
	DeleteOldLinks: {writes: true, text: `
		DELETE FROM sign_in_links WHERE user_id = $1 AND digest <> $2 AND digest NOT IN
			(SELECT digest FROM sign_in_links WHERE user_id = $1 AND digest <> $2 ORDER BY created_at DESC LIMIT $3)`},

	DeleteOldDevices: {writes: true, text: `
		DELETE FROM devices WHERE user_id = $1 AND digest <> $2 AND digest NOT IN
			(SELECT digest FROM devices WHERE user_id = $1 AND digest <> $2 ORDER BY last_used_at DESC LIMIT $3)`},

	DeleteEndedLinks: {writes: true, text: `DELETE FROM sign_in_links WHERE expires_at < $1`},

	DeleteDevices: {writes: true, text: `DELETE FROM devices WHERE user_id = $1`},

	DeleteOldForms: {writes: true, text: `DELETE FROM used_forms WHERE used_at < $1`},

	DeleteAudit: {writes: true, text: `DELETE FROM audit_log WHERE audit_id <= $1`},

	ListGone: {text: `SELECT organization_id, key_id FROM usage_gone WHERE organization_id > 0 ORDER BY organization_id, key_id LIMIT $1`},

	// What is gone is looked up by its key, and passed over.
	AddUsage: {writes: true, text: `
		INSERT INTO usage_counts (` + UsageColumns + `)
		SELECT $1, $2, $3, $4, $5, $6 WHERE ` + UsageKept("$1", "$2") + UsageAdded},

	DeleteUsage: {writes: true, text: `
		DELETE FROM usage_counts
		WHERE organization_id = $1 AND key_id = $2 AND first_hour = $3 AND hours = $4 AND outcome = $5`},

	InsertGoneKey: {writes: true, text: `
		INSERT INTO usage_gone (organization_id, key_id) SELECT organization_id, key_id FROM api_keys WHERE key_id = $1
		ON CONFLICT (organization_id, key_id) DO NOTHING`},

	InsertGoneOrganization: {writes: true, text: `
		INSERT INTO usage_gone (organization_id, key_id) SELECT organization_id, 0 FROM organizations WHERE organization_id = $1
		ON CONFLICT (organization_id, key_id) DO NOTHING`},

	DeleteGone: {writes: true, text: `DELETE FROM usage_gone WHERE organization_id = $1 AND key_id = $2`},
}

// Text returns the statement, and "" for those of which each database has its own.
func (s Statement) Text() string { return statements[s].text }

// Writes reports whether the statement changes anything.
func (s Statement) Writes() bool { return statements[s].writes }

// Taken returns what it means that the statement ran into a unique value, and "" where it cannot. No statement meets
// more than one such constraint, so the database's code for "not unique" says all there is to say.
func (s Statement) Taken() store.Constraint { return statements[s].taken }
