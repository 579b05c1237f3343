package api

import "encoding/json"

// SubscriptionProtocol is what GET /v1/subscribe on the verification listener changes its connection to (HTTP/1.1 Upgrade). From
// then on both sides write lines, each a JSON object: a subscriber SubscriberLine, the server ServerLine.
//
// A subscriber keeps what it is told about keys, and answers from that while it holds a lease. The server, which grants the lease,
// lets no change of a key be answered before every subscriber has applied it, or holds no lease any more.
//
//   - A lease is counted from before its renewal was sent, less a tenth, by the subscriber's own clock. It ends with the connection.
//   - Lines are taken in their order. With Change, what Digests named since the change before is forgotten, and with Forget
//     everything; what is being looked up about it is not kept. Then the change is acknowledged: Applied.
//   - What was learned over a connection is forgotten with it.
const SubscriptionProtocol = "apikeyd-lease/1"

// MaxSubscriberLine and MaxServerLine bound the lines of both sides, in bytes.
const (
	MaxSubscriberLine = 256 << 10
	MaxServerLine     = 1 << 20
)

// MaxKeyUses is how many uses one line may tell of.
const MaxKeyUses = 1000

// SubscriberLine is what a subscriber says. Any of its fields may be set.
type SubscriberLine struct {
	Renew   uint64    `json:"renew,omitempty"`   // the number of a renewal that is asked for; they rise
	Applied uint64    `json:"applied,omitempty"` // the change up to which all are applied
	LookUp  *LookUp   `json:"look_up,omitempty"` // a question
	Uses    []KeyUses `json:"uses,omitempty"`    // what was decided since the last time; ServerLine.Noted answers
	Leave   bool      `json:"leave,omitempty"`   // the lease is given up, and nothing follows
}

// LookUp asks what is known of a token, which itself is not sent.
type LookUp struct {
	ID     uint64 `json:"id"`     // of the answer; unlike that of any other look-up on the connection
	Digest []byte `json:"digest"` // the SHA-256 of the token, in base64
}

// KeyUses are checks of one key that came out alike.
type KeyUses struct {
	Digest []byte     `json:"digest"` // of the token
	Code   VerifyCode `json:"code"`
	Count  int64      `json:"count"`
}

// ServerLine is what the server says. Any of its fields may be set.
type ServerLine struct {
	Grant   *Grant   `json:"grant,omitempty"`   // answers Renew
	Digests [][]byte `json:"digests,omitempty"` // tokens that the next change is about
	Forget  bool     `json:"forget,omitempty"`  // the change is about all tokens
	Change  uint64   `json:"change,omitempty"`  // the number of a change; they rise
	Found   *Found   `json:"found,omitempty"`   // answers LookUp
	Noted   bool     `json:"noted,omitempty"`   // answers Uses: the next may be sent
	Close   bool     `json:"close,omitempty"`   // the server stops: the lease has ended
}

// Grant lets a subscriber answer from what it keeps.
type Grant struct {
	Renew             uint64 `json:"renew"`              // the renewal that was asked for
	LeaseMilliseconds int64  `json:"lease_milliseconds"` // how long, from before that was sent; 0: not now
}

// Found is what is known of a token.
type Found struct {
	ID  uint64    `json:"id"`
	Key *KnownKey `json:"key"` // nil: there is no such key
	// Keep: the answer may be kept. Otherwise it is good for nobody: ask POST /v1/verify.
	Keep bool `json:"keep"`
}

// KnownKey is what a subscriber decides by.
type KnownKey struct {
	KeyID          int64           `json:"key_id"`
	KeyName        string          `json:"key_name"`
	KeyScope       []Scope         `json:"key_scope"`
	OrganizationID int64           `json:"organization_id"`
	UserID         int64           `json:"user_id"`
	Enabled        bool            `json:"enabled"`
	ExpiresAt      *Time           `json:"expires_at"`       // nil: never
	TokenExpiresAt *Time           `json:"token_expires_at"` // the end of a rotated token's grace; nil: never
	Metadata       json.RawMessage `json:"metadata,omitempty"`
	// Ask: the key is limited, or bound to addresses. POST /v1/verify decides about each of its requests.
	Ask bool `json:"ask,omitempty"`
}
