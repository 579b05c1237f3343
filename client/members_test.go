package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

const memberJSON = `{"user_id":3,"email":"ada@example.com","role":"member","created_at":"2026-11-22T18:54:03.120Z"}`

var invitedJSON = memberJSON[:len(memberJSON)-1] + `,"sign_in_url":"https://keys.test/sign-in/` + linkSecret + `"}`

// TestMemberRequests pins what each call about members sends.
func TestMemberRequests(t *testing.T) {
	is := func(m api.Member, err error) error {
		if err == nil && (m.UserID != 3 || m.Email != "ada@example.com" || m.Role != api.RoleMember) {
			return fmt.Errorf("got %+v", m)
		}
		return err
	}
	pin(t, []pinned{
		{"list", ok(200, `[`+memberJSON+`]`), func(ctx context.Context, c *client.Client) error {
			p, err := c.ListMembers(ctx, 432, client.PageOptions{Limit: 7, Cursor: "c"})
			if len(p.Items) != 1 {
				t.Errorf("list: got %+v", p)
			}
			return err
		}, "GET /v1/organizations/432/members?cursor=c&limit=7", ""},
		{"get", ok(200, memberJSON), func(ctx context.Context, c *client.Client) error {
			return is(c.GetMember(ctx, 432, 3))
		}, "GET /v1/organizations/432/members/3", ""},
		{"invite", ok(201, invitedJSON), func(ctx context.Context, c *client.Client) error {
			m, err := c.InviteMember(ctx, 432, api.NewMember{Email: "ada@example.com", Role: api.RoleMember})
			if m.SignInURL != "https://keys.test/sign-in/"+linkSecret {
				t.Errorf("invite: got %+v", m)
			}
			return is(m.Member, err)
		}, "POST /v1/organizations/432/members", `{"email":"ada@example.com","role":"member"}`},
		{"invite somebody who is there already", ok(201, memberJSON), func(ctx context.Context, c *client.Client) error {
			m, err := c.InviteMember(ctx, 432, api.NewMember{Email: "ada@example.com", Role: api.RoleMember})
			if m.SignInURL != "" {
				t.Errorf("invite: got %+v", m)
			}
			return err
		}, "POST /v1/organizations/432/members", `{"email":"ada@example.com","role":"member"}`},
		{"update", ok(200, memberJSON), func(ctx context.Context, c *client.Client) error {
			return is(c.UpdateMember(ctx, 432, 3, api.MemberPatch{Role: api.RoleMember}, ""))
		}, "PATCH /v1/organizations/432/members/3", `{"role":"member"}`},
		{"update and take the keys over", ok(200, memberJSON), func(ctx context.Context, c *client.Client) error {
			return is(c.UpdateMember(ctx, 432, 3, api.MemberPatch{Role: api.RoleMember}, api.TransferKeys))
		}, "PATCH /v1/organizations/432/members/3?keys=transfer", `{"role":"member"}`},
		{"remove", step{status: 204}, func(ctx context.Context, c *client.Client) error {
			return c.RemoveMember(ctx, 432, 3, "")
		}, "DELETE /v1/organizations/432/members/3", ""},
		{"remove and delete the keys", step{status: 204}, func(ctx context.Context, c *client.Client) error {
			return c.RemoveMember(ctx, 432, 3, api.DeleteKeys)
		}, "DELETE /v1/organizations/432/members/3?keys=delete", ""},
	})
}

func TestKeysThatRemain(t *testing.T) {
	e := api.Error{Status: 409, Code: api.CodeKeysRemain, Detail: "say what becomes of 2 keys", KeyIDs: []int64{18, 17}}
	answer := step{status: 409, header: header("Content-Type", "application/problem+json"), body: string(e.JSON())}
	_, demote := play(t, answer).client().UpdateMember(t.Context(), 432, 3, api.MemberPatch{Role: api.RoleViewer}, "")
	remove := play(t, answer).client().RemoveMember(t.Context(), 432, 3, "")
	for what, err := range map[string]error{"demote": demote, "remove": remove} {
		var problem *api.Error
		if !errors.Is(err, api.ErrKeysRemain) || errors.Is(err, api.ErrConflict) || !errors.As(err, &problem) ||
			fmt.Sprint(problem.KeyIDs) != "[18 17]" {
			t.Errorf("%s: got %v", what, err)
		}
	}
}
