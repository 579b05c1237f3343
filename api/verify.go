package api

import "encoding/json"

// MaxBatch is how many questions one VerifyBatch may hold.
const MaxBatch = 1000

// VerifyRequest is the body of POST /v1/verify: may this key do that? Only Key is required.
type VerifyRequest struct {
	Key            string `json:"key"`                       // the token as it was presented
	Scope          Scope  `json:"scope,omitempty"`           // the scope needed
	OrganizationID int64  `json:"organization_id,omitempty"` // the organization the key must belong to
	IP             string `json:"ip,omitempty"`              // where the request came from: a key with an allow-list needs it
}

// VerifyCode says how a check came out.
type VerifyCode string

// The outcomes, in order of precedence: where several hold, the first is given.
const (
	VerifyNotFound          VerifyCode = "NOT_FOUND" // malformed, unknown, deleted, or of another organization than asked for
	VerifyDisabled          VerifyCode = "DISABLED"
	VerifyExpired           VerifyCode = "EXPIRED"
	VerifyInsufficientScope VerifyCode = "INSUFFICIENT_SCOPE"
	VerifyIPNotAllowed      VerifyCode = "IP_NOT_ALLOWED" // the key has an allow-list, and the address is not on it or was not given
	VerifyRateLimited       VerifyCode = "RATE_LIMITED"
	VerifyQuotaExceeded     VerifyCode = "QUOTA_EXCEEDED"
	VerifyValid             VerifyCode = "VALID"
)

// Verification is the answer to a VerifyRequest. With VerifyNotFound only Valid and Code are given.
type Verification struct {
	Valid          bool            `json:"valid"`
	Code           VerifyCode      `json:"code"`
	KeyID          int64           `json:"key_id,omitempty"`
	KeyName        string          `json:"key_name,omitempty"`
	KeyScope       []Scope         `json:"key_scope,omitempty"`
	OrganizationID int64           `json:"organization_id,omitempty"`
	UserID         int64           `json:"user_id,omitempty"`
	ExpiresAt      *Time           `json:"expires_at"` // nil: never
	Metadata       json.RawMessage `json:"metadata,omitempty"`
	RateLimit      *RateLimit      `json:"ratelimit,omitempty"` // where requests of the key are counted and nothing else refused this one
}

// RateLimit is what is left to a key of the limit, or the quota, that is nearest to being used up, or that is.
type RateLimit struct {
	Limit        int64  `json:"limit"` // how many requests there are when none is used
	Remaining    int64  `json:"remaining"`
	ResetSeconds *int64 `json:"reset_seconds"` // until all are there again, if no more are made; nil: never
	Name         string `json:"name"`          // of the limit; "quota" for the quota. "": the server is of before this was told
	// Policy is all limits and the quota of the key, as the field RateLimit-Policy of an answer to its holder tells them.
	Policy string `json:"policy"`
}

// MarshalJSON writes v as the server does: of a key that was not found nothing is said but that.
func (v Verification) MarshalJSON() ([]byte, error) {
	if v.Code == VerifyNotFound {
		return json.Marshal(struct {
			Valid bool       `json:"valid"`
			Code  VerifyCode `json:"code"`
		}{v.Valid, v.Code})
	}
	type plain Verification
	return json.Marshal(plain(v))
}

// VerifyBatch is the body of POST /v1/verify/batch.
type VerifyBatch struct {
	Requests []VerifyRequest `json:"requests"` // at most MaxBatch
}

// VerifyBatchResult is the answer to a VerifyBatch, in the order of the requests.
type VerifyBatchResult struct {
	Results []Verification `json:"results"`
}
