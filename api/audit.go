package api

import "encoding/json"

// AuditEntry says who did what, or was refused it.
type AuditEntry struct {
	AuditID        int64        `json:"audit_id"` // without gaps
	OccurredAt     Time         `json:"occurred_at"`
	Actor          AuditActor   `json:"actor"`
	Action         string       `json:"action"` // "key.create"
	Target         AuditTarget  `json:"target"`
	OrganizationID *int64       `json:"organization_id"` // nil: none is concerned
	IP             string       `json:"ip"`              // "": not known, as with a unix socket
	RequestID      string       `json:"request_id"`      // "": a command on the server
	Outcome        AuditOutcome `json:"outcome"`
	Code           Code         `json:"code,omitempty"` // with AuditRefused: why
	// Before and After are what the target was and what it became, without secrets; null where there is nothing to say.
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
	// Hash is the SHA-256, in hexadecimal, of this entry and PreviousHash, which is the Hash of the entry before it.
	Hash         string `json:"hash"`
	PreviousHash string `json:"previous_hash"`
}

// AuditActor is who did it. All of it is nil where nobody was signed in, or a command on the server did it.
type AuditActor struct {
	UserID    *int64 `json:"user_id"`
	KeyID     *int64 `json:"key_id"`     // where a key called
	SessionID *int64 `json:"session_id"` // where it was done in a session
}

// AuditTarget is what it was done to.
type AuditTarget struct {
	Type string `json:"type"` // "key", "organization", "member", "user", "session", "node", "audit"; a member's id is that of the user
	ID   *int64 `json:"id"`   // nil: there is none, as where nothing was created
}

// AuditOutcome is how it came out.
type AuditOutcome string

// The outcomes.
const (
	AuditSuccess AuditOutcome = "success"
	AuditRefused AuditOutcome = "refused"
)
