package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/token"
)

// checker answers every question with the same, and keeps the questions.
type checker struct {
	answer api.Verification
	err    error
	asked  []api.VerifyRequest
}

func (c *checker) Verify(_ context.Context, q api.VerifyRequest) (api.Verification, error) {
	c.asked = append(c.asked, q)
	return c.answer, c.err
}

func valid() *checker {
	return &checker{answer: api.Verification{Valid: true, Code: api.VerifyValid, KeyID: 17, KeyName: "k",
		KeyScope: []api.Scope{api.ScopeRead}, OrganizationID: 432, UserID: 3}}
}

// send sends a request through a middleware to a handler that answers 200, and reports whether the handler was reached.
func send(t testing.TB, m func(http.Handler) http.Handler, r *http.Request) (w *httptest.ResponseRecorder, reached bool) {
	t.Helper()
	w = httptest.NewRecorder()
	m(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })).ServeHTTP(w, r)
	return w, reached
}

// request returns a request with a token; "": with none.
func request(method, token string) *http.Request {
	r := httptest.NewRequest(method, "/accounts/7", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func newToken() string { return token.New("ak").Reveal() }

// withServer is a context that net/http has put its server into.
type withServer struct{ context.Context }

func (c withServer) Value(key any) any {
	if key == http.ServerContextKey {
		return "server"
	}
	return c.Context.Value(key)
}
