// Package withgin is an API behind apikeyd with gin. Gin wraps net/http's handlers, and not its middlewares; wrap does.
package withgin

import (
	"net/http"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/middleware"
	"github.com/gin-gonic/gin"
)

// New returns the API: accounts by the scope that the method needs, their members by MANAGE.
func New(keys middleware.Checker) http.Handler {
	r := gin.New()
	r.Any("/accounts/:id", wrap(middleware.Require(keys)), account)
	r.Any("/accounts/:id/members", wrap(middleware.Require(keys, middleware.Scope(api.ScopeManage))), account)
	return r
}

// wrap makes a middleware of net/http one of gin's: what it lets through goes on, with the request that it hands on, and what it
// refuses ends there.
func wrap(m func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		m(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r
			c.Next()
		})).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort()
		}
	}
}

func account(c *gin.Context) {
	key, _ := middleware.FromContext(c.Request.Context())
	c.String(http.StatusOK, "account %s for organization %d", c.Param("id"), key.OrganizationID)
}
