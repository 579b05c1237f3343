// Package withecho is an API behind apikeyd with echo, which takes net/http's middlewares by echo.WrapMiddleware.
package withecho

import (
	"fmt"
	"net/http"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/middleware"
	"github.com/labstack/echo/v5"
)

// New returns the API: accounts by the scope that the method needs, their members by MANAGE.
func New(keys middleware.Checker) http.Handler {
	byMethod := echo.WrapMiddleware(middleware.Require(keys))
	manage := echo.WrapMiddleware(middleware.Require(keys, middleware.Scope(api.ScopeManage)))

	e := echo.New()
	e.Any("/accounts/:id", account, byMethod)
	e.Any("/accounts/:id/members", account, manage)
	return e
}

func account(c *echo.Context) error {
	key, _ := middleware.FromContext(c.Request().Context())
	return c.String(http.StatusOK, fmt.Sprintf("account %s for organization %d", c.Param("id"), key.OrganizationID))
}
