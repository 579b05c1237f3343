package key

import "time"

// User is a person who may sign in and hold keys.
type User struct {
	ID            int64
	Email         string
	InstanceAdmin bool // acts on every organization
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// Organization is an account: what a key belongs to.
type Organization struct {
	ID         int64
	Name       string
	ExternalID string // the id that the operator's own system knows it by; "": none
	Metadata   []byte // a JSON object; nil is {}
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Membership is a user's place in an organization.
type Membership struct {
	OrganizationID   int64
	OrganizationName string
	UserID           int64
	Role             Role
	CreatedAt        time.Time
}

// Standing is what a user is to one organization, read at one moment: all that an authorization depends on beside
// the calling key.
type Standing struct {
	InstanceAdmin      bool
	OrganizationExists bool
	Role               Role // zero: no member
}
