package httpapi

import (
	"context"
	"net/http"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/admin"
)

// me is the handler of /v1/me.
type me struct {
	admin *admin.Service
}

func (h me) routes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/v1/me", writes: true, serve: endpoint(nothing, h.get)},
		{method: http.MethodPut, pattern: "/v1/me/password", consumes: []string{typeJSON}, maxBody: maxBody,
			serve: endpoint(readPassword, h.setPassword)},
	}
}

// newPassword is the body of PUT /v1/me/password.
type newPassword struct{ current, wanted string }

var passwordRequest = shape[newPassword]{
	{name: "new_password", required: true, read: func(p *newPassword, v value) { p.wanted, _ = v.string() }},
	{name: "current_password", read: func(p *newPassword, v value) { p.current, _ = v.string() }},
}

func readPassword(in *input) (p newPassword, err error) { return p, body(in, passwordRequest, &p) }

func (h me) setPassword(ctx context.Context, c admin.Caller, p newPassword) (answer, error) {
	return answer{status: http.StatusNoContent}, h.admin.SetPassword(ctx, c, p.current, p.wanted)
}

func (h me) get(ctx context.Context, c admin.Caller, _ struct{}) (answer, error) {
	who, err := h.admin.Me(ctx, c)
	if err != nil {
		return answer{}, err
	}
	wire := api.Me{
		UserID:        who.User.ID,
		Email:         who.User.Email,
		InstanceAdmin: who.User.InstanceAdmin,
		Organizations: make([]api.Membership, len(who.Memberships)),
	}
	for i, m := range who.Memberships {
		wire.Organizations[i] = api.Membership{
			OrganizationID:   m.OrganizationID,
			OrganizationName: m.OrganizationName,
			Role:             api.Role(m.Role.String()),
		}
	}
	if k := who.Key; k != nil {
		wire.Key = &api.CallingKey{
			KeyID:          k.KeyID,
			KeyName:        k.Name,
			KeyScope:       wireScopes(k.Scopes),
			OrganizationID: k.OrganizationID,
		}
	}
	return answer{status: http.StatusOK, body: wire}, nil
}
