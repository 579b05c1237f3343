package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

// TestKeyRequests pins what each call about keys sends.
func TestKeyRequests(t *testing.T) {
	expires := api.Time{Time: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)}
	pin(t, []pinned{
		{"create", ok(201, createdJSON), func(ctx context.Context, c *client.Client) error {
			k, err := c.CreateKey(ctx, api.NewKey{
				KeyName: "Backend", KeyScope: []api.Scope{api.ScopeRead}, OrganizationID: 432,
				Enabled: new(false), ExpiresAt: &expires, Metadata: json.RawMessage(`{"a":1}`),
			})
			if k.Token != other || k.KeyID != 17 {
				t.Errorf("create: got key %d", k.KeyID)
			}
			return err
		}, "POST /v1/api-keys", `{"key_name":"Backend","key_scope":["READ"],"organization_id":432,"enabled":false,` +
			`"expires_at":"2027-01-02T03:04:05.000Z","metadata":{"a":1}}`},
		{"create with restrictions", ok(201, createdJSON), func(ctx context.Context, c *client.Client) error {
			_, err := c.CreateKey(ctx, api.NewKey{
				KeyName: "Backend", KeyScope: []api.Scope{api.ScopeRead}, OrganizationID: 432,
				Limits: []api.Limit{{Requests: 10, WindowSeconds: 1}, {Name: "hour", Requests: 1000, WindowSeconds: 3600}},
				Quota:  &api.NewQuota{Requests: 5, Period: new(api.PeriodDay)}, AllowedCIDRs: []string{"203.0.113.0/24"},
			})
			return err
		}, "POST /v1/api-keys", `{"key_name":"Backend","key_scope":["READ"],"organization_id":432,` +
			`"limits":[{"requests":10,"window_seconds":1},{"name":"hour","requests":1000,"window_seconds":3600}],` +
			`"quota":{"requests":5,"period":"day"},"allowed_cidrs":["203.0.113.0/24"]}`},
		{"update restrictions", ok(200, keyJSON), func(ctx context.Context, c *client.Client) error {
			_, err := c.UpdateKey(ctx, 17, api.KeyPatch{Limits: []api.Limit{}, AllowedCIDRs: []string{"::1"},
				Quota: api.Value(api.QuotaPatch{Period: api.Null[api.Period]()})})
			return err
		}, "PATCH /v1/api-keys/17", `{"limits":[],"quota":{"period":null},"allowed_cidrs":["::1"]}`},
		{"take restrictions away", ok(200, keyJSON), func(ctx context.Context, c *client.Client) error {
			k, err := c.UpdateKey(ctx, 17, api.KeyPatch{Limits: []api.Limit{}, AllowedCIDRs: []string{}, Quota: api.Null[api.QuotaPatch]()})
			if k.Quota == nil || *k.Quota.Period != api.PeriodMonth || k.Quota.Remaining != 3 || k.Limits[0].WindowSeconds != 60 || len(k.AllowedCIDRs) != 1 {
				t.Errorf("got restrictions %+v, %+v, %q", k.Limits, k.Quota, k.AllowedCIDRs)
			}
			return err
		}, "PATCH /v1/api-keys/17", `{"limits":[],"quota":null,"allowed_cidrs":[]}`},
		{"list", ok(200, `[`+keyJSON+`]`), func(ctx context.Context, c *client.Client) error {
			p, err := c.ListKeys(ctx, client.ListOptions{})
			if len(p.Items) != 1 || p.Items[0].KeyID != 17 || p.Next != "" {
				t.Errorf("list: got %+v", p)
			}
			return err
		}, "GET /v1/api-keys", ""},
		{"an empty list", ok(200, `[]`), func(ctx context.Context, c *client.Client) error {
			_, err := c.ListKeys(ctx, client.ListOptions{})
			return err
		}, "GET /v1/api-keys", ""},
		{"list with filters", ok(200, `[]`), func(ctx context.Context, c *client.Client) error {
			_, err := c.ListKeys(ctx, client.ListOptions{
				OrganizationID: 432, Query: "a b&c", Enabled: new(false), Scope: api.ScopeManage, State: api.StateExpired, Limit: 5,
				Cursor: "x=",
			})
			return err
		}, "GET /v1/api-keys?cursor=x%3D&enabled=false&limit=5&organization_id=432&q=a+b%26c&scope=MANAGE&state=expired", ""},
		{"get", ok(200, keyJSON), func(ctx context.Context, c *client.Client) error {
			k, err := c.GetKey(ctx, 17)
			if k.KeyName != "Backend" || string(k.Metadata) != `{"a":1}` {
				t.Errorf("get: got %+v", k)
			}
			return err
		}, "GET /v1/api-keys/17", ""},
		{"update nothing", ok(200, keyJSON), func(ctx context.Context, c *client.Client) error {
			_, err := c.UpdateKey(ctx, 17, api.KeyPatch{})
			return err
		}, "PATCH /v1/api-keys/17", `{}`},
		{"update", ok(200, keyJSON), func(ctx context.Context, c *client.Client) error {
			_, err := c.UpdateKey(ctx, 17, api.KeyPatch{Enabled: new(false), ExpiresAt: api.Null[api.Time]()})
			return err
		}, "PATCH /v1/api-keys/17", `{"enabled":false,"expires_at":null}`},
		{"delete", step{status: 204}, func(ctx context.Context, c *client.Client) error {
			return c.DeleteKey(ctx, 17)
		}, "DELETE /v1/api-keys/17", ""},
		{"rotate", ok(200, createdJSON), func(ctx context.Context, c *client.Client) error {
			k, err := c.RotateKey(ctx, 17, 0)
			if k.Token != other {
				t.Error("rotate: no token")
			}
			return err
		}, "POST /v1/api-keys/17/rotate", `{"grace_seconds":0}`},
		{"a started second of grace counts", ok(200, createdJSON), func(ctx context.Context, c *client.Client) error {
			_, err := c.RotateKey(ctx, 17, time.Hour+time.Nanosecond)
			return err
		}, "POST /v1/api-keys/17/rotate", `{"grace_seconds":3601}`},
	})
}

func TestRotateRefusesNegativeGrace(t *testing.T) {
	s := play(t)
	if _, err := s.client().RotateKey(t.Context(), 17, -time.Millisecond); err == nil {
		t.Error("no error")
	}
	s.played()
}

// pages serves keys 1 to n, newest first, as the server does.
func pages(t *testing.T, n int, asked *[]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.RawQuery)
		last, limit := n, 100
		if c := r.FormValue("cursor"); c != "" {
			last = atoi(t, c)
		}
		if l := r.FormValue("limit"); l != "" {
			limit = atoi(t, l)
		}
		var keys []string
		for id := last; id > max(0, last-limit); id-- {
			keys = append(keys, strings.Replace(keyJSON, `"key_id":17`, fmt.Sprintf(`"key_id":%d`, id), 1))
		}
		if last > limit {
			w.Header().Set("Link", fmt.Sprintf(`</v1/api-keys?cursor=%d&limit=%d>; rel="next"`, last-limit, limit))
		}
		reply(w, 200, "["+strings.Join(keys, ",")+"]")
	}
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Error(err)
	}
	return n
}

func TestAllKeys(t *testing.T) {
	var asked []string
	c := serve(t, pages(t, 7, &asked))
	all := c.AllKeys(t.Context(), client.ListOptions{Limit: 3, Scope: api.ScopeRead})
	for round := range 2 {
		asked = nil
		var ids []int64
		for k, err := range all {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, k.KeyID)
		}
		if fmt.Sprint(ids) != "[7 6 5 4 3 2 1]" {
			t.Errorf("round %d: got %v", round, ids)
		}
		want := "[limit=3&scope=READ cursor=4&limit=3&scope=READ cursor=1&limit=3&scope=READ]"
		if fmt.Sprint(asked) != want {
			t.Errorf("round %d: asked %v, want %v", round, asked, want)
		}
	}

	asked = nil
	for range all {
		break
	}
	if len(asked) != 1 {
		t.Errorf("a sequence that is left early asked for %d pages", len(asked))
	}
}

func TestAllKeysEndsWithTheError(t *testing.T) {
	first := ok(200, "["+keyJSON+"]")
	first.header.Set("Link", `</v1/api-keys?cursor=c2>; rel="next"`)
	s := play(t, first, problem(api.CodeMalformedRequest))
	var keys, faults int
	for k, err := range s.client().AllKeys(t.Context(), client.ListOptions{}) {
		switch {
		case err == nil:
			keys++
		case !errors.Is(err, api.ErrMalformedRequest) || k.KeyID != 0:
			t.Errorf("got key %d with %v", k.KeyID, err)
		default:
			faults++
		}
	}
	if keys != 1 || faults != 1 {
		t.Errorf("got %d keys and %d errors", keys, faults)
	}
	s.played()
}

// A server must not be able to keep a client busy for ever, or to send it to another host.
func TestNextPage(t *testing.T) {
	for _, row := range []struct {
		link string
		next string
		err  string
	}{
		{`</v1/api-keys?cursor=c2&limit=3>; rel="next"`, "c2", ""},
		{`<https://evil.test/x?cursor=c2>; rel=next`, "c2", ""},
		{`</v1/api-keys?cursor=c1>; rel="next"`, "", "leads back to itself"},
		{`</v1/api-keys?limit=3>; rel="next"`, "", "no cursor"},
		{`</v1/api-keys?cursor=c0>; rel="prev"`, "", ""},
		{`nonsense`, "", "cannot be read"},
	} {
		answer := ok(200, "[]")
		answer.header.Set("Link", row.link)
		page, err := play(t, answer).client().ListKeys(t.Context(), client.ListOptions{Cursor: "c1"})
		if page.Next != row.next || (err != nil) != (row.err != "") || err != nil && !strings.Contains(err.Error(), row.err) {
			t.Errorf("%s: next %q, error %v", row.link, page.Next, err)
		}
	}
}
