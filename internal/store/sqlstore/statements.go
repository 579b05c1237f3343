package sqlstore

import "github.com/apikeyd/apikeyd/internal/store"

// Statement is one statement that the store runs. Databases prepare each of them once.
type Statement uint8

// The statements.
//
// They leave a database no choice that it could make badly. None joins tables: where a value of another table is
// needed it is looked up by its key, which cannot be planned in any other way. SQLite for one, told by its
// statistics that a table has a single row, would read the whole of it, also when it has a million by then.
const (
	SelectKey Statement = iota
	SelectRecord
	SelectUser
	SelectOrganization
	SelectStanding
	SelectInitialised

	// Lists have no text here: which index a list is read from must not be left to the optimiser, and databases have
	// no common way to say so.

	// ListMemberships takes $1 the user, and answers with organization_id, organization_name, user_id, role and
	// created_at in the order of organization_id.
	ListMemberships

	// The pages of keys, by what they are restricted to. Each answers with KeyColumns in falling order of key_id, and
	// takes $1 the organization, $2 the user, $3 the id to stay below, $4 part of the name in lower case or "",
	// $5 enabled or NULL, $6 a scope or 0, $7 the number of rows.
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

	// The second look-up of the token finds its page at hand and costs less than 1 µs.
	SelectRecord: {text: `
		SELECT key_id, organization_id, user_id, key_name, metadata, expires_at,
			(SELECT t.expires_at FROM tokens t WHERE t.digest = $1), scopes, enabled
		FROM api_keys
		WHERE key_id = (SELECT t.key_id FROM tokens t WHERE t.digest = $1)`},

	SelectUser: {text: `
		SELECT user_id, email, instance_admin, created_at, updated_at
		FROM users WHERE user_id = $1`},

	SelectOrganization: {text: `
		SELECT organization_id, organization_name, external_id, metadata, created_at, updated_at
		FROM organizations WHERE organization_id = $1`},

	SelectStanding: {text: `
		SELECT instance_admin,
			EXISTS (SELECT 1 FROM organizations WHERE organization_id = $2),
			COALESCE((SELECT role FROM members WHERE organization_id = $2 AND user_id = $1), 0)
		FROM users WHERE user_id = $1`},

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
