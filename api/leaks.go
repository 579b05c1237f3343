package api

// LeakReport is the body of POST /v1/leaked: a token that was found where it should not be.
type LeakReport struct {
	Key string `json:"key"`
}

// LeakFinding is one of the items of POST /v1/leaked/github, as GitHub's secret scanning sends them.
type LeakFinding struct {
	Token  string `json:"token"`
	Type   string `json:"type"`
	URL    string `json:"url"`
	Source string `json:"source"`
}

// LeakLabel is one of the items of the answer to it, in the order of the request's.
type LeakLabel struct {
	TokenHash string `json:"token_hash"` // SHA-256 of the token, hexadecimal
	TokenType string `json:"token_type"`
	Label     string `json:"label"`
}

// The labels.
const (
	LeakTruePositive  = "true_positive"  // a token of a key, which is dead now, or since an earlier report
	LeakFalsePositive = "false_positive" // no token of any key, or one that was ended otherwise before
)
