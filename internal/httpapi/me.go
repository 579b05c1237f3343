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
	return []route{{method: http.MethodGet, pattern: "/v1/me", writes: true, serve: endpoint(nothing, h.get)}}
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
