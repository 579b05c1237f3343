// Package nethttp is an API behind apikeyd with nothing but net/http.
package nethttp

import (
	"fmt"
	"net/http"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/middleware"
)

// New returns the API: accounts by the scope that the method needs, their members by MANAGE.
func New(keys middleware.Checker) http.Handler {
	byMethod := middleware.Require(keys)
	manage := middleware.Require(keys, middleware.Scope(api.ScopeManage))

	mux := http.NewServeMux()
	mux.Handle("/accounts/{id}", byMethod(http.HandlerFunc(account)))
	mux.Handle("/accounts/{id}/members", manage(http.HandlerFunc(account)))
	return mux
}

func account(w http.ResponseWriter, r *http.Request) {
	key, _ := middleware.FromContext(r.Context())
	fmt.Fprintf(w, "account %s for organization %d", r.PathValue("id"), key.OrganizationID)
}
