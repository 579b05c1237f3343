package api

// UsageBy says what usage is counted by. Hours and days are those of UTC.
type UsageBy string

// The lengths.
const (
	UsageByHour UsageBy = "hour"
	UsageByDay  UsageBy = "day"
)

// Usage is how many checks there were of a key, or of the keys of an organization, in some time.
type Usage struct {
	From    Time          `json:"from"` // the beginning of the first hour or day
	To      Time          `json:"to"`   // the end of the last one
	By      UsageBy       `json:"by"`
	Total   UsageCounts   `json:"total"`
	Buckets []UsageBucket `json:"buckets"` // each hour or day, the first one first
}

// UsageBucket is one hour or day.
type UsageBucket struct {
	Start Time `json:"start"`
	UsageCounts
}

// UsageCounts are checks by how they came out.
type UsageCounts struct {
	Allowed int64                `json:"allowed"`
	Refused map[VerifyCode]int64 `json:"refused"` // by reason; one that there was none of is left out
}
