package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

const organizationJSON = `{"organization_id":432,"organization_name":"Acme","external_id":"cust-9","metadata":{"a":1},` +
	`"created_at":"2026-11-22T18:54:03.120Z","updated_at":"2026-11-22T18:54:03.120Z","role":"owner"}`

// TestOrganizationRequests pins what each call about organizations sends.
func TestOrganizationRequests(t *testing.T) {
	is := func(o api.Organization, err error) error {
		if err == nil && (o.OrganizationID != 432 || o.OrganizationName != "Acme" || *o.ExternalID != "cust-9" || o.Role != api.RoleOwner) {
			return fmt.Errorf("got %+v", o)
		}
		return err
	}
	pin(t, []pinned{
		{"create", ok(201, organizationJSON), func(ctx context.Context, c *client.Client) error {
			return is(c.CreateOrganization(ctx, api.NewOrganization{
				OrganizationName: "Acme", ExternalID: new("cust-9"), Metadata: json.RawMessage(`{"a":1}`),
			}))
		}, "POST /v1/organizations", `{"organization_name":"Acme","external_id":"cust-9","metadata":{"a":1}}`},
		{"create with a name alone", ok(201, organizationJSON), func(ctx context.Context, c *client.Client) error {
			return is(c.CreateOrganization(ctx, api.NewOrganization{OrganizationName: "Acme"}))
		}, "POST /v1/organizations", `{"organization_name":"Acme"}`},
		{"list", ok(200, `[`+organizationJSON+`]`), func(ctx context.Context, c *client.Client) error {
			p, err := c.ListOrganizations(ctx, client.OrganizationOptions{})
			if len(p.Items) != 1 {
				t.Errorf("list: got %+v", p)
			}
			return err
		}, "GET /v1/organizations", ""},
		{"list with filters", ok(200, `[]`), func(ctx context.Context, c *client.Client) error {
			_, err := c.ListOrganizations(ctx, client.OrganizationOptions{Query: "a b", ExternalID: "x&y", Limit: 5, Cursor: "c"})
			return err
		}, "GET /v1/organizations?cursor=c&external_id=x%26y&limit=5&q=a+b", ""},
		{"get", ok(200, organizationJSON), func(ctx context.Context, c *client.Client) error {
			return is(c.GetOrganization(ctx, 432))
		}, "GET /v1/organizations/432", ""},
		{"update", ok(200, organizationJSON), func(ctx context.Context, c *client.Client) error {
			return is(c.UpdateOrganization(ctx, 432, api.OrganizationPatch{OrganizationName: "Acme", ExternalID: api.Null[string]()}))
		}, "PATCH /v1/organizations/432", `{"organization_name":"Acme","external_id":null}`},
		{"update nothing", ok(200, organizationJSON), func(ctx context.Context, c *client.Client) error {
			return is(c.UpdateOrganization(ctx, 432, api.OrganizationPatch{}))
		}, "PATCH /v1/organizations/432", `{}`},
		{"delete", step{status: 204}, func(ctx context.Context, c *client.Client) error {
			return c.DeleteOrganization(ctx, 432)
		}, "DELETE /v1/organizations/432", ""},
	})
}

// TestAllPages goes through two pages of every list but that of keys, which has tests of its own.
func TestAllPages(t *testing.T) {
	count := func(n int, err error, seen *[]string, id int64) {
		if err != nil {
			t.Error(err)
		}
		*seen = append(*seen, fmt.Sprint(n, ":", id))
	}
	page := client.PageOptions{Limit: 1}
	for _, row := range []struct {
		name, path, item, id string
		all                  func(context.Context, *client.Client) (seen []string)
	}{
		{"organizations", "/v1/organizations?", organizationJSON, "432", func(ctx context.Context, c *client.Client) (seen []string) {
			for o, err := range c.AllOrganizations(ctx, client.OrganizationOptions{Limit: 1}) {
				count(len(seen), err, &seen, o.OrganizationID)
			}
			return seen
		}},
		{"members", "/v1/organizations/432/members?", memberJSON, "3", func(ctx context.Context, c *client.Client) (seen []string) {
			for m, err := range c.AllMembers(ctx, 432, page) {
				count(len(seen), err, &seen, m.UserID)
			}
			return seen
		}},
		{"sessions", "/v1/sessions?", sessionJSON, "12", func(ctx context.Context, c *client.Client) (seen []string) {
			for s, err := range c.AllSessions(ctx, page) {
				count(len(seen), err, &seen, s.SessionID)
			}
			return seen
		}},
		{"audit log", "/v1/audit-log?", auditJSON, "99", func(ctx context.Context, c *client.Client) (seen []string) {
			for e, err := range c.AllAuditLog(ctx, client.AuditOptions{Limit: 1}) {
				count(len(seen), err, &seen, e.AuditID)
			}
			return seen
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			first := ok(200, "["+row.item+"]")
			first.header.Set("Link", `<https://elsewhere.test/x?cursor=c2&limit=1>; rel="next"`)
			s := play(t, first, ok(200, "["+row.item+"]"))
			if got, want := fmt.Sprint(row.all(t.Context(), s.client())), fmt.Sprintf("[0:%s 1:%[1]s]", row.id); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			s.played()
			if got := s.sent[0].uri + " " + s.sent[1].uri; got != row.path+"limit=1 "+row.path+"cursor=c2&limit=1" {
				t.Errorf("asked for %s", got)
			}
		})
	}
}

// TestAnswersWithoutAnID: what looks like JSON of another service is not taken for an answer.
func TestAnswersWithoutAnID(t *testing.T) {
	call := func(err error, what string) {
		t.Helper()
		var foreign *client.ResponseError
		if !errors.As(err, &foreign) || !strings.Contains(err.Error(), "the answer makes no sense: it holds "+what) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	ctx := t.Context()
	c := func(status int, body string) *client.Client { return play(t, ok(status, body)).client() }
	_, err := c(200, `{}`).GetOrganization(ctx, 1)
	call(err, "an organization without an id")
	_, err = c(200, `[{}]`).ListOrganizations(ctx, client.OrganizationOptions{})
	call(err, "an organization without an id")
	_, err = c(200, `{}`).GetMember(ctx, 1, 2)
	call(err, "a member without an id")
	_, err = c(201, `{"sign_in_url":"https://keys.test/sign-in/x"}`).InviteMember(ctx, 1, api.NewMember{})
	call(err, "a member without an id")
	_, _, err = c(201, `{}`).SignIn(ctx, "a", "b")
	call(err, "a session without an id")
	_, err = c(200, `[{}]`).AuditLog(ctx, client.AuditOptions{})
	call(err, "an entry without an id")
}
