package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/admin"
)

const leakedPath = "/v1/leaked"

// GitHubSignatures says whether a message was signed by GitHub.
type GitHubSignatures interface {
	// Verify returns nil where it was. identifier and signature are the headers of the message.
	Verify(ctx context.Context, identifier, signature string, body []byte) error
}

// leaks are the handlers of tokens that were found where they should not be.
type leaks struct {
	admin  *admin.Service
	github GitHubSignatures // nil: GitHub is not listened to
}

func (h leaks) routes() []route {
	routes := []route{
		{method: http.MethodPost, pattern: leakedPath, public: true, consumes: []string{typeJSON}, maxBody: maxBody,
			serve: endpoint(readLeak, h.report)},
	}
	if h.github != nil {
		routes = append(routes, route{method: http.MethodPost, pattern: leakedPath + "/github", public: true, writes: true,
			consumes: []string{typeJSON}, maxBody: maxFindings, serve: endpoint(h.readFindings, h.findings)})
	}
	return routes
}

// maxFindings is how long a message of GitHub's may be: it may hold many finds.
const maxFindings = 1 << 20 // bytes

// leakShape passes over white space around the token, which comes along from a file: the answer would not tell that it was in the way.
var leakShape = shape[string]{
	{name: "key", required: true, read: func(token *string, v value) {
		text, _ := v.string()
		*token = strings.TrimSpace(text)
	}},
}

func readLeak(in *input) (token string, err error) { return token, body(in, leakShape, &token) }

// report answers the same whatever the token was.
func (h leaks) report(ctx context.Context, c admin.Caller, token string) (answer, error) {
	return answer{status: http.StatusAccepted}, h.admin.ReportLeak(ctx, c, token)
}

// readFindings believes nothing of a message before its signature: that is over the bytes as they came.
func (h leaks) readFindings(in *input) (found []api.LeakFinding, err error) {
	header := in.x.r.Header
	err = h.github.Verify(in.x.r.Context(), header.Get("Github-Public-Key-Identifier"), header.Get("Github-Public-Key-Signature"), in.x.body)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(in.x.body, &found); err != nil {
		// The decoder's error may repeat a part of the message.
		return nil, malformed("the body is no array of objects with the texts token, type, url and source")
	}
	return found, nil
}

// findings tells GitHub which of the tokens were ours. A token goes out as its hash alone: it stands in no answer but that
// which hands it out.
func (h leaks) findings(ctx context.Context, c admin.Caller, found []api.LeakFinding) (answer, error) {
	list := make([]admin.Leak, len(found))
	for i, f := range found {
		list[i] = admin.Leak{Token: f.Token, Source: f.Source, URL: f.URL}
	}
	ours, err := h.admin.ReportLeaks(ctx, c, "github", list)
	if err != nil {
		return answer{}, err
	}
	labels := make([]api.LeakLabel, len(found))
	for i, f := range found {
		sum := sha256.Sum256([]byte(f.Token))
		labels[i] = api.LeakLabel{TokenHash: hex.EncodeToString(sum[:]), TokenType: f.Type, Label: api.LeakFalsePositive}
		if ours[i] {
			labels[i].Label = api.LeakTruePositive
		}
	}
	return answer{status: http.StatusOK, body: labels}, nil
}
