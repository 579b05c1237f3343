package api

import "encoding/json"

// Organization is an account: what keys belong to, and whose members hold them.
type Organization struct {
	OrganizationID   int64           `json:"organization_id"`
	OrganizationName string          `json:"organization_name"`
	ExternalID       *string         `json:"external_id"` // what the operator's own system calls it; nil: nothing
	Metadata         json.RawMessage `json:"metadata"`    // a JSON object
	CreatedAt        Time            `json:"created_at"`
	UpdatedAt        Time            `json:"updated_at"`
	Role             Role            `json:"role,omitempty"` // the caller's; left out where the caller is no member
}

// NewOrganization is the body of POST /v1/organizations. Only the name is required.
type NewOrganization struct {
	OrganizationName string          `json:"organization_name"`     // 1 to 100 printable characters
	ExternalID       *string         `json:"external_id,omitempty"` // 1 to 255 printable characters, unique; nil: none
	Metadata         json.RawMessage `json:"metadata,omitempty"`    // a JSON object of at most 4 KiB; nil: {}
}

// OrganizationPatch is the body of PATCH /v1/organizations/{organization_id}, a JSON merge patch (RFC 7396): a zero
// field stays as it is.
type OrganizationPatch struct {
	OrganizationName string           `json:"organization_name,omitempty"`
	ExternalID       Nullable[string] `json:"external_id,omitzero"` // Null clears it; for instance admins alone
	Metadata         json.RawMessage  `json:"metadata,omitempty"`   // merged; a null member is removed
}

// Member is a user's place in an organization.
type Member struct {
	UserID    int64  `json:"user_id"`
	Email     string `json:"email"`
	Role      Role   `json:"role"`
	CreatedAt Time   `json:"created_at"` // when they became a member
}

// NewMember is the body of POST /v1/organizations/{organization_id}/members. Both fields are required.
type NewMember struct {
	Email string `json:"email"`
	Role  Role   `json:"role"`
}

// InvitedMember is the answer to NewMember.
type InvitedMember struct {
	Member
	// SignInURL is a one-time link for the person to sign in with, good for 15 minutes. It is there where the person is
	// new and the server sends no mail; where it does, the link is in that. Whoever has it can sign in as that person.
	SignInURL string `json:"sign_in_url,omitempty"`
}

// MemberPatch is the body of PATCH /v1/organizations/{organization_id}/members/{user_id}.
type MemberPatch struct {
	Role Role `json:"role"`
}

// RemainingKeys says what becomes of the keys that a member who is removed or demoted could no longer create: the
// parameter "keys" of PATCH and DELETE on a member. Without it such a request is refused with CodeKeysRemain.
type RemainingKeys string

// What may become of them.
const (
	DeleteKeys   RemainingKeys = "delete"   // they are dead when the answer comes
	TransferKeys RemainingKeys = "transfer" // they become the caller's
)
