// Package withchi is an API behind apikeyd with chi, whose middlewares are those of net/http.
package withchi

import (
	"fmt"
	"net/http"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/middleware"
	"github.com/go-chi/chi/v5"
)

// New returns the API: accounts by the scope that the method needs, their members by MANAGE.
func New(keys middleware.Checker) http.Handler {
	r := chi.NewRouter()
	r.With(middleware.Require(keys)).HandleFunc("/accounts/{id}", account)
	r.With(middleware.Require(keys, middleware.Scope(api.ScopeManage))).HandleFunc("/accounts/{id}/members", account)
	return r
}

func account(w http.ResponseWriter, r *http.Request) {
	key, _ := middleware.FromContext(r.Context())
	fmt.Fprintf(w, "account %s for organization %d", chi.URLParam(r, "id"), key.OrganizationID)
}
