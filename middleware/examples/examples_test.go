// Package examples holds small APIs behind apikeyd, one for each router, and a test that they all do the same.
package examples

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/middleware"
	"github.com/apikeyd/apikeyd/middleware/examples/nethttp"
	"github.com/apikeyd/apikeyd/middleware/examples/withchi"
	"github.com/apikeyd/apikeyd/middleware/examples/withecho"
	"github.com/apikeyd/apikeyd/middleware/examples/withgin"
	"github.com/gin-gonic/gin"
)

// token has the right form, and belongs to nobody.
const token = "ak_00000000000000000000000000000000000000000002PL60u"

// apikeyd knows one key, which may read.
type apikeyd struct{}

func (apikeyd) Verify(_ context.Context, q api.VerifyRequest) (api.Verification, error) {
	answer := api.Verification{Valid: true, Code: api.VerifyValid, KeyID: 17, KeyScope: []api.Scope{api.ScopeRead}, OrganizationID: 432}
	switch {
	case q.Key != token:
		return api.Verification{Code: api.VerifyNotFound}, nil
	case q.Scope != "" && !slices.Contains(answer.KeyScope, q.Scope):
		answer.Valid, answer.Code = false, api.VerifyInsufficientScope
	}
	return answer, nil
}

func TestExamples(t *testing.T) {
	gin.SetMode(gin.TestMode)
	for name, newAPI := range map[string]func(middleware.Checker) http.Handler{
		"net/http": nethttp.New, "chi": withchi.New, "echo": withecho.New, "gin": withgin.New,
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(newAPI(apikeyd{}))
			defer s.Close()
			for _, tt := range []struct {
				method, path, token string
				status              int
				body                string // "": not looked at
			}{
				{"GET", "/accounts/7", token, 200, "account 7 for organization 432"},
				{"POST", "/accounts/7", token, 403, ""},
				{"GET", "/accounts/7", "", 401, ""},
				{"GET", "/accounts/7", token[:len(token)-1], 401, ""},
				{"GET", "/accounts/7/members", token, 403, ""},
			} {
				r, err := http.NewRequest(tt.method, s.URL+tt.path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("X-API-Key", tt.token)
				res, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != tt.status || tt.body != "" && string(body) != tt.body {
					t.Errorf("%s %s: %d %q, %v", tt.method, tt.path, res.StatusCode, body, err)
				}
				if allowed := res.StatusCode == 200; allowed == (res.Header.Get("WWW-Authenticate") != "") {
					t.Errorf("%s %s: %d with the challenge %q", tt.method, tt.path, res.StatusCode, res.Header.Get("WWW-Authenticate"))
				}
			}
		})
	}
}
