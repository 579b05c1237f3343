package sqlstore

import "github.com/apikeyd/apikeyd/internal/store"

// Statement is one statement that the store runs. Databases prepare each of them once.
type Statement uint8

// The statements.
const (
	SelectKey Statement = iota
	SelectRecord
	SelectUser
	SelectOrganization
	SelectStanding
	SelectInitialised
	ListMemberships

	// The pages of keys, by what they are restricted to. They have no text here: which index a page is read from must
	// not be left to the optimiser, and databases have no common way to say so. Each answers with KeyColumns, and takes
	// $1 the organization, $2 the user, $3 the id to stay below, $4 part of the name in lower case or "", $5
	// enabled or NULL, $6 a scope or 0, $7 the number of rows.
	ListKeys
	ListKeysOfOrganization
	ListKeysOfUser
	ListKeysOfMember // of one user in one organization

	InsertUser
	InsertOrganization
	InsertMember
	InsertKey
	InsertToken
	UpdateKey
	UpdateHint
	UpdateLastUsed
	EndTokens
	DeleteEndedTokens
	DeleteTokens
	DeleteKey
	ListDigests

	Count int = iota
)

// KeyColumns are the columns of a key, in the order in which they are read.
const KeyColumns = `key_id, key_name, scopes, organization_id, user_id, key_hint, enabled, expires_at, last_used_at,
	created_at, updated_at, metadata`

var statements = [Count]struct {
	text   string
	writes bool
	taken  store.Constraint // what it means that a value which must be unique is there already
}{
	SelectKey: {text: `SELECT ` + KeyColumns + ` FROM api_keys WHERE key_id = $1`},

	SelectRecord: {text: `
		SELECT k.key_id, k.organization_id, k.user_id, k.key_name, k.metadata, k.expires_at, t.expires_at, k.scopes, k.enabled
		FROM tokens t JOIN api_keys k ON k.key_id = t.key_id
		WHERE t.digest = $1`},

	SelectUser: {text: `
		SELECT user_id, email, instance_admin, created_at, updated_at
		FROM users WHERE user_id = $1`},

	SelectOrganization: {text: `
		SELECT organization_id, organization_name, external_id, metadata, created_at, updated_at
		FROM organizations WHERE organization_id = $1`},

	SelectStanding: {text: `
		SELECT u.instance_admin, o.organization_id IS NOT NULL, COALESCE(m.role, 0)
		FROM users u
		LEFT JOIN organizations o ON o.organization_id = $2
		LEFT JOIN members m ON m.organization_id = $2 AND m.user_id = u.user_id
		WHERE u.user_id = $1`},

	SelectInitialised: {text: `SELECT EXISTS (SELECT 1 FROM users)`},

	ListMemberships: {text: `
		SELECT m.organization_id, o.organization_name, m.user_id, m.role, m.created_at
		FROM members m JOIN organizations o ON o.organization_id = m.organization_id
		WHERE m.user_id = $1
		ORDER BY m.organization_id`},

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
			created_at, updated_at, metadata)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`},

	InsertToken: {writes: true, taken: store.DigestTaken, text: `
		INSERT INTO tokens (digest, key_id) VALUES ($1, $2)`},

	UpdateKey: {writes: true, text: `
		UPDATE api_keys
		SET key_name = $2, scopes = $3, user_id = $4, enabled = $5, expires_at = $6, metadata = $7, updated_at = $8
		WHERE key_id = $1`},

	UpdateHint: {writes: true, text: `UPDATE api_keys SET key_hint = $2, updated_at = $3 WHERE key_id = $1`},

	UpdateLastUsed: {writes: true, text: `
		UPDATE api_keys SET last_used_at = $2
		WHERE key_id = $1 AND (last_used_at IS NULL OR last_used_at < $2)`},

	EndTokens: {writes: true, text: `
		UPDATE tokens SET expires_at = $2
		WHERE key_id = $1 AND (expires_at IS NULL OR expires_at > $2)`},

	DeleteEndedTokens: {writes: true, text: `DELETE FROM tokens WHERE key_id = $1 AND expires_at <= $2`},

	DeleteTokens: {writes: true, text: `DELETE FROM tokens WHERE key_id = $1`},

	DeleteKey: {writes: true, text: `DELETE FROM api_keys WHERE key_id = $1`},

	ListDigests: {text: `SELECT digest FROM tokens WHERE key_id = $1`},
}

// Text returns the statement, and "" for those of which each database has its own.
func (s Statement) Text() string { return statements[s].text }

// Writes reports whether the statement changes anything.
func (s Statement) Writes() bool { return statements[s].writes }

// Taken returns what it means that the statement ran into a unique value, and "" where it cannot. No statement meets
// more than one such constraint, so the database's code for "not unique" says all there is to say.
func (s Statement) Taken() store.Constraint { return statements[s].taken }
