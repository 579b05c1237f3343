package httpapi

import (
	"context"
	"net/http"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
)

const organizationsPath = "/v1/organizations"

// organizations are the handlers of /v1/organizations.
type organizations struct {
	admin *admin.Service
}

func (h organizations) routes() []route {
	const one = organizationsPath + "/{organization_id}"
	return []route{
		{method: http.MethodGet, pattern: organizationsPath, writes: true, serve: endpoint(readOrganizationList, h.list)},
		{method: http.MethodPost, pattern: organizationsPath, writes: true, consumes: []string{typeJSON}, maxBody: maxBody,
			serve: endpoint(readOrganizationDraft, h.create)},
		{method: http.MethodGet, pattern: one, writes: true, serve: endpoint(readID, h.get)},
		{method: http.MethodPatch, pattern: one, writes: true, consumes: []string{typeJSON, typeMergePatch}, maxBody: maxBody,
			serve: endpoint(readOrganizationPatch, h.update)},
		{method: http.MethodDelete, pattern: one, serve: endpoint(readID, h.delete)},
	}
}

// organizationList is a list of organizations that was asked for.
type organizationList struct {
	page
	admin.OrganizationList
}

func readOrganizationList(in *input) (organizationList, error) {
	list := organizationList{page: in.page(organizationsPath)}
	list.Limit, list.Before = list.limit, list.before
	list.NameContains = in.textParameter("q", key.MaxNameLength)
	list.ExternalID = in.textParameter("external_id", key.MaxExternalIDLength)
	return list, nil
}

func (h organizations) list(ctx context.Context, c admin.Caller, list organizationList) (answer, error) {
	found, more, err := h.admin.Organizations(ctx, c, list.OrganizationList)
	return listAnswer(list.page, found, more, err, wireOrganization, func(o *key.Account) int64 { return o.ID })
}

// newOrganization is the body that creates an organization.
var newOrganization = shape[key.OrganizationDraft]{
	{name: "organization_name", required: true, read: func(d *key.OrganizationDraft, v value) { d.Name, _ = v.string() }},
	{name: "external_id", read: func(d *key.OrganizationDraft, v value) {
		if !v.null() {
			d.ExternalID, _ = v.externalID()
		}
	}},
	{name: "metadata", read: func(d *key.OrganizationDraft, v value) { d.Metadata, _ = v.object() }},
}

func readOrganizationDraft(in *input) (key.OrganizationDraft, error) {
	var draft key.OrganizationDraft
	err := body(in, newOrganization, &draft)
	if err == nil && len(in.faults.list) > 0 {
		_, rules := draft.Check()
		in.faults.rules(rules)
	}
	return draft, err
}

func (h organizations) create(ctx context.Context, c admin.Caller, draft key.OrganizationDraft) (answer, error) {
	o, err := h.admin.CreateOrganization(ctx, c, draft)
	return answer{status: http.StatusCreated, body: wireOrganization(&o), location: itemPath(organizationsPath, o.ID)}, err
}

func (h organizations) get(ctx context.Context, c admin.Caller, id int64) (answer, error) {
	o, err := h.admin.Organization(ctx, c, id)
	return answer{status: http.StatusOK, body: wireOrganization(&o)}, err
}

// organizationUpdate is a PATCH: which organization, and what is to be changed.
type organizationUpdate struct {
	id    int64
	patch key.OrganizationPatch
}

// organizationPatch is the body that changes an organization: a JSON merge patch (RFC 7396).
var organizationPatch = shape[key.OrganizationPatch]{
	{name: "organization_name", read: func(p *key.OrganizationPatch, v value) { p.Name = optional(v.string()) }},
	{name: "external_id", read: func(p *key.OrganizationPatch, v value) {
		if v.null() {
			p.ExternalID = new(string)
		} else {
			p.ExternalID = optional(v.externalID())
		}
	}},
	{name: "metadata", read: func(p *key.OrganizationPatch, v value) { p.Metadata = v.metadataPatch() }},
}

func readOrganizationPatch(in *input) (organizationUpdate, error) {
	u := organizationUpdate{id: in.pathID()}
	err := body(in, organizationPatch, &u.patch)
	if err == nil && len(in.faults.list) > 0 {
		in.faults.rules(u.patch.Check())
	}
	return u, err
}

func (h organizations) update(ctx context.Context, c admin.Caller, u organizationUpdate) (answer, error) {
	o, err := h.admin.UpdateOrganization(ctx, c, u.id, u.patch)
	return answer{status: http.StatusOK, body: wireOrganization(&o)}, err
}

func (h organizations) delete(ctx context.Context, c admin.Caller, id int64) (answer, error) {
	return answer{status: http.StatusNoContent}, h.admin.DeleteOrganization(ctx, c, id)
}

// wireOrganization is an organization as it is sent.
func wireOrganization(o *key.Account) api.Organization {
	wire := api.Organization{
		OrganizationID:   o.ID,
		OrganizationName: o.Name,
		Metadata:         wireMetadata(o.Metadata),
		CreatedAt:        api.Time{Time: o.CreatedAt},
		UpdatedAt:        api.Time{Time: o.UpdatedAt},
		Role:             api.Role(o.Role.String()),
	}
	if o.ExternalID != "" {
		wire.ExternalID = &o.ExternalID
	}
	return wire
}
