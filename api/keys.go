// Package api holds the wire types of apikeyd's HTTP API: what goes over the network, as data and nothing else.
//
// The server writes these types and the Go client reads them, so the two cannot drift apart. The package imports
// nothing of ours, and a program that talks to apikeyd in its own way can use it alone.
//
// Ids are positive int64, JSON integers. Times are RFC 3339 in UTC with milliseconds; see Time.
package api

import "encoding/json"

// Scope is one of the five things a key may do.
type Scope string

// The five scopes, in the order in which the server always gives them. They are independent of each other:
// MANAGE does not include READ.
const (
	ScopeRead   Scope = "READ"   // GET, HEAD, OPTIONS
	ScopeCreate Scope = "CREATE" // POST
	ScopeUpdate Scope = "UPDATE" // PUT, PATCH
	ScopeDelete Scope = "DELETE" // DELETE
	ScopeManage Scope = "MANAGE" // manage accounts: organizations and their members
)

// State is whether a key is good for anything. It has one at a time, and lists can be held to it.
type State string

// The states.
const (
	StateActive   State = "active"
	StateDisabled State = "disabled" // whether it is past its expiry or not
	StateExpired  State = "expired"  // enabled, and past its expiry
)

// Key is what may be known about a key. The token itself is not part of it: see CreatedKey.
type Key struct {
	KeyID          int64           `json:"key_id"`
	KeyName        string          `json:"key_name"`
	KeyScope       []Scope         `json:"key_scope"`
	OrganizationID int64           `json:"organization_id"`
	UserID         int64           `json:"user_id"`      // whose key it is
	KeyHint        string          `json:"key_hint"`     // enough of the token to tell keys apart: "ak_7Gx2…9fQ2"
	Enabled        bool            `json:"enabled"`      // a disabled key is refused until it is enabled again
	ExpiresAt      *Time           `json:"expires_at"`   // nil: never
	LastUsedAt     *Time           `json:"last_used_at"` // nil: never; at most a minute behind
	CreatedAt      Time            `json:"created_at"`
	UpdatedAt      Time            `json:"updated_at"`
	Metadata       json.RawMessage `json:"metadata"`      // a JSON object
	Limits         []Limit         `json:"limits"`        // all of them hold; empty: none
	Quota          *Quota          `json:"quota"`         // nil: none
	AllowedCIDRs   []string        `json:"allowed_cidrs"` // where the key may be used from; empty: any address
}

// Limit allows a number of requests in each window of time.
type Limit struct {
	Name          string `json:"name,omitempty"` // letters, digits, '_', '-' and '.', each key's once; "" in a request: DefaultLimitName
	Requests      int64  `json:"requests"`       // 1 to 1,000,000,000,000,000
	WindowSeconds int64  `json:"window_seconds"` // 1 to 31,536,000 (365 days)
}

// DefaultLimitName is what a limit without a name is called.
const DefaultLimitName = "default"

// Quota is how many requests a key has in a period, and how many of them are left.
type Quota struct {
	Requests int64   `json:"requests"`
	Period   *Period `json:"period"` // nil: the quota is never renewed
	// Remaining is what is left of the present period. What a server has taken as its share counts as used.
	Remaining int64 `json:"remaining"`
}

// Period is what a quota is for, in UTC.
type Period string

// The periods.
const (
	PeriodDay   Period = "day"
	PeriodMonth Period = "month"
)

// NewQuota is a quota as it is asked for.
type NewQuota struct {
	Requests int64   `json:"requests"`         // 1 to 1,000,000,000,000,000
	Period   *Period `json:"period,omitempty"` // nil: the quota is never renewed
}

// QuotaPatch changes a quota, or gives one to a key that has none. A zero field stays as it is.
type QuotaPatch struct {
	Requests int64            `json:"requests,omitempty"`
	Period   Nullable[Period] `json:"period,omitzero"` // Null: it is never renewed
}

// CreatedKey is the answer to creating or rotating a key: the only place where the token ever appears.
type CreatedKey struct {
	Key
	Token string `json:"key"` // the token, shown this once
}

// NewKey is the body of POST /v1/api-keys. The first three fields are required.
type NewKey struct {
	KeyName        string          `json:"key_name"`             // 1 to 100 printable characters
	KeyScope       []Scope         `json:"key_scope"`            // at least one
	OrganizationID int64           `json:"organization_id"`      //
	Enabled        *bool           `json:"enabled,omitempty"`    // nil: true
	ExpiresAt      *Time           `json:"expires_at,omitempty"` // nil: never; otherwise in the future
	Metadata       json.RawMessage `json:"metadata,omitempty"`   // a JSON object of at most 4 KiB; nil: {}

	Limits       []Limit   `json:"limits,omitempty"`        // at most 10
	Quota        *NewQuota `json:"quota,omitempty"`         // nil: none
	AllowedCIDRs []string  `json:"allowed_cidrs,omitempty"` // at most 64 blocks or addresses, IPv4 or IPv6
}

// KeyPatch is the body of PATCH /v1/api-keys/{key_id}, a JSON merge patch (RFC 7396): a zero field stays as it is.
type KeyPatch struct {
	KeyName   string          `json:"key_name,omitempty"`
	KeyScope  []Scope         `json:"key_scope,omitempty"`
	Enabled   *bool           `json:"enabled,omitempty"`
	ExpiresAt Nullable[Time]  `json:"expires_at,omitzero"` // Null clears it
	Metadata  json.RawMessage `json:"metadata,omitempty"`  // merged; a null member is removed

	Limits       []Limit              `json:"limits,omitzero"`        // takes the place of all; empty: none, nil: no change
	Quota        Nullable[QuotaPatch] `json:"quota,omitzero"`         // merged; Null clears it
	AllowedCIDRs []string             `json:"allowed_cidrs,omitzero"` // takes the place of all; empty: any address, nil: no change
}

// RotateRequest is the body of POST /v1/api-keys/{key_id}/rotate.
type RotateRequest struct {
	// GraceSeconds is how long the old token stays alive beside the new one: 0 to 31,536,000 (365 days).
	GraceSeconds int64 `json:"grace_seconds"`
}

// Me is the answer of GET /v1/me: who the caller is.
type Me struct {
	UserID        int64        `json:"user_id"`
	Email         string       `json:"email"`
	InstanceAdmin bool         `json:"instance_admin"` // acts on every organization
	Organizations []Membership `json:"organizations"`  // for a key, its own organization alone
	Key           *CallingKey  `json:"key"`            // nil where the caller did not come with a key
}

// Membership is one organization of the caller's, and the caller's role there.
type Membership struct {
	OrganizationID   int64  `json:"organization_id"`
	OrganizationName string `json:"organization_name"`
	Role             Role   `json:"role"`
}

// Role is what a member may do in an organization.
type Role string

// The four roles, weakest first.
const (
	RoleViewer Role = "viewer" // may hold READ keys
	RoleMember Role = "member" // may hold keys with any scope but MANAGE
	RoleAdmin  Role = "admin"  // may hold any key, and sees and manages every key of the organization
	RoleOwner  Role = "owner"  // as admin; an organization always has at least one
)

// CallingKey is the key that a request was made with.
type CallingKey struct {
	KeyID          int64   `json:"key_id"`
	KeyName        string  `json:"key_name"`
	KeyScope       []Scope `json:"key_scope"`
	OrganizationID int64   `json:"organization_id"`
}
