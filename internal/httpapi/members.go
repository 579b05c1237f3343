package httpapi

import (
	"context"
	"net/http"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/secret"
)

// members are the handlers of /v1/organizations/{organization_id}/members.
type members struct {
	admin     *admin.Service
	signInURL func(secret.Secret) string
}

func (h members) routes() []route {
	const all = organizationsPath + "/{organization_id}/members"
	const one = all + "/{user_id}"
	return []route{
		{method: http.MethodGet, pattern: all, writes: true, serve: endpoint(readMemberList, h.list)},
		{method: http.MethodPost, pattern: all, writes: true, consumes: []string{typeJSON}, maxBody: maxBody,
			serve: endpoint(readInvitation, h.invite)},
		{method: http.MethodGet, pattern: one, writes: true, serve: endpoint(readMemberID, h.get)},
		{method: http.MethodPatch, pattern: one, writes: true, consumes: []string{typeJSON, typeMergePatch}, maxBody: maxBody,
			serve: endpoint(readMemberUpdate, h.update)},
		{method: http.MethodDelete, pattern: one, serve: endpoint(readRemoval, h.remove)},
	}
}

func membersPath(organizationID int64) string {
	return itemPath(organizationsPath, organizationID) + "/members"
}

// memberList is a list of members that was asked for.
type memberList struct {
	page
	organizationID int64
}

func readMemberList(in *input) (memberList, error) {
	id := in.pathID()
	return memberList{in.page(membersPath(id)), id}, nil
}

func (h members) list(ctx context.Context, c admin.Caller, list memberList) (answer, error) {
	found, more, err := h.admin.Members(ctx, c, admin.MemberList{OrganizationID: list.organizationID, Before: list.before, Limit: list.limit})
	return listAnswer(list.page, found, more, err, wireMember, func(m *key.Membership) int64 { return m.UserID })
}

// memberID says which member of which organization.
type memberID struct{ organization, user int64 }

func readMemberID(in *input) (memberID, error) {
	ids := in.pathIDs()
	return memberID{ids[0], ids[1]}, nil
}

func (h members) get(ctx context.Context, c admin.Caller, id memberID) (answer, error) {
	m, err := h.admin.Member(ctx, c, id.organization, id.user)
	return answer{status: http.StatusOK, body: wireMember(&m)}, err
}

// invitation says who is to become a member of which organization.
type invitation struct {
	organization int64
	email        string
	role         key.Role
}

var newMember = shape[invitation]{
	{name: "email", required: true, read: func(i *invitation, v value) { i.email, _ = v.email() }},
	{name: "role", required: true, read: func(i *invitation, v value) { i.role, _ = v.role() }},
}

func readInvitation(in *input) (invitation, error) {
	i := invitation{organization: in.pathID()}
	return i, body(in, newMember, &i)
}

func (h members) invite(ctx context.Context, c admin.Caller, i invitation) (answer, error) {
	invited, err := h.admin.InviteMember(ctx, c, i.organization, i.email, i.role)
	if err != nil {
		return answer{}, err
	}
	wire := api.InvitedMember{Member: wireMember(&invited.Membership)}
	if !invited.Link.IsZero() {
		wire.SignInURL = h.signInURL(invited.Link)
	}
	return answer{status: http.StatusCreated, body: wire,
		location: itemPath(membersPath(i.organization), invited.UserID)}, nil
}

// memberUpdate says what is to become of a member, and of the keys that they could then no longer create.
type memberUpdate struct {
	memberID
	role key.Role
	keys admin.Remaining
}

var memberPatch = shape[memberUpdate]{
	{name: "role", required: true, read: func(u *memberUpdate, v value) { u.role, _ = v.role() }},
}

func readMemberUpdate(in *input) (memberUpdate, error) {
	u, _ := readRemoval(in)
	return u, body(in, memberPatch, &u)
}

func readRemoval(in *input) (u memberUpdate, err error) {
	u.memberID, err = readMemberID(in)
	switch api.RemainingKeys(in.enumParameter("keys", string(api.DeleteKeys), string(api.TransferKeys))) {
	case api.DeleteKeys:
		u.keys = admin.Deleted
	case api.TransferKeys:
		u.keys = admin.ToCaller
	}
	return u, err
}

func (h members) update(ctx context.Context, c admin.Caller, u memberUpdate) (answer, error) {
	m, err := h.admin.UpdateMember(ctx, c, u.organization, u.user, u.role, u.keys)
	return answer{status: http.StatusOK, body: wireMember(&m)}, err
}

func (h members) remove(ctx context.Context, c admin.Caller, u memberUpdate) (answer, error) {
	return answer{status: http.StatusNoContent}, h.admin.RemoveMember(ctx, c, u.organization, u.user, u.keys)
}

// wireMember is a member as it is sent.
func wireMember(m *key.Membership) api.Member {
	return api.Member{UserID: m.UserID, Email: m.Email, Role: api.Role(m.Role.String()), CreatedAt: api.Time{Time: m.CreatedAt}}
}
