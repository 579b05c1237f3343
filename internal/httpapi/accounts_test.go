package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/browser"
)

// session signs in the user with an e-mail address, by a one-time link, and returns the header that the browser sends from
// then on.
func (k *kit) session(email string) string {
	k.t.Helper()
	return k.begun(k.signInBy(fmt.Sprintf(`{"link":%q}`, k.link(email))))
}

// link makes a one-time link and returns its secret.
func (k *kit) link(email string) string {
	k.t.Helper()
	link, err := k.admin.MakeLink(k.t.Context(), admin.Caller{}, email)
	if err != nil {
		k.t.Fatal(err)
	}
	return link.Reveal()
}

// signInBy sends a body to POST /v1/sessions, without any credential but those in headers.
func (k *kit) signInBy(body string, headers ...string) reply {
	k.t.Helper()
	return k.send(k.management.URL, "POST", "/v1/sessions", body, headers)
}

// begun returns the header that sends the cookie of a session that has begun.
func (k *kit) begun(r reply) string {
	k.t.Helper()
	r.ok(http.StatusCreated)
	return "Cookie: " + browser.SessionCookie + "=" + r.cookie(browser.SessionCookie)
}

// cookie returns the value of a cookie that the answer sets.
func (r reply) cookie(name string) string {
	r.t.Helper()
	for _, c := range (&http.Response{Header: r.header}).Cookies() {
		if c.Name == name && c.Value != "" {
			return c.Value
		}
	}
	r.t.Fatalf("the answer %d sets no cookie %s: %v", r.status, name, r.header["Set-Cookie"])
	return ""
}

// as sends a request with the cookie of a session, and no key.
func (k *kit) as(session, method, path, body string, headers ...string) reply {
	k.t.Helper()
	return k.send(k.management.URL, method, path, body, append([]string{session}, headers...))
}

// join makes somebody a member of the first organization and returns their id.
func (k *kit) join(email, role string) int64 {
	k.t.Helper()
	var m struct {
		UserID int64 `json:"user_id"`
	}
	k.call("POST", "/v1/organizations/1/members", fmt.Sprintf(`{"email":%q,"role":%q}`, email, role)).ok(http.StatusCreated).read(&m)
	return m.UserID
}

// looks fails the test unless the body of the answer is this, where "TIME" stands for any time and "…" for anything
// without a quote.
func (r reply) looks(want string) reply {
	r.t.Helper()
	pattern := regexp.QuoteMeta(want)
	pattern = strings.ReplaceAll(pattern, "TIME", `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`)
	pattern = strings.ReplaceAll(pattern, "…", `[^"]+`)
	if !regexp.MustCompile("^" + pattern + "\n$").MatchString(r.body) {
		r.t.Errorf("got  %s\nwant %s", r.body, want)
	}
	return r
}

// Every list goes by the same pages: as long as asked for, newest first, to the last one, with all parameters kept.
func TestPagesOfAccounts(t *testing.T) {
	k := newKit(t, nil)
	session := k.session("first@example.com")
	for i := range 4 {
		k.call("POST", "/v1/organizations", fmt.Sprintf(`{"organization_name":"Rocket & co %d"}`, i)).ok(http.StatusCreated)
		k.join(fmt.Sprintf("member%d@example.com", i), "member")
		k.session("first@example.com")
	}
	k.call("POST", "/v1/organizations", `{"organization_name":"Boat"}`).ok(http.StatusCreated)
	for _, c := range []struct {
		path, id string
		want     []int64 // nil: more than four
	}{
		{"/v1/organizations", "organization_id", []int64{6, 5, 4, 3, 2, 1}},
		{"/v1/organizations?q=" + url.QueryEscape("rocket & co"), "organization_id", []int64{5, 4, 3, 2}},
		{"/v1/organizations/1/members", "user_id", []int64{5, 4, 3, 2, 1}},
		{"/v1/sessions", "session_id", []int64{5, 4, 3, 2, 1}},
		{"/v1/audit-log", "audit_id", nil},
		{"/v1/audit-log?action=member.*&organization_id=1&outcome=success&from=2001-01-01T00:00:00Z&to=2999-01-01T00:00:00Z&target_type=member&actor_user_id=1",
			"audit_id", nil},
	} {
		whole := k.ids(k.as(session, "GET", c.path, "").ok(http.StatusOK), c.id)
		if c.want != nil && !slices.Equal(whole, c.want) || c.want == nil && len(whole) < 4 {
			t.Errorf("%s: ids %v, want %v", c.path, whole, c.want)
		}
		for _, limit := range []int{1, 2, 3, len(whole)} {
			if pages := k.pages(session, c.path, c.id, limit); !slices.Equal(pages, whole) {
				t.Errorf("%s in pages of %d: ids %v, want %v", c.path, limit, pages, whole)
			}
		}
	}
}

// ids returns the ids in an answer that is a list.
func (k *kit) ids(r reply, field string) []int64 {
	k.t.Helper()
	var rows []map[string]json.RawMessage
	r.read(&rows)
	ids := make([]int64, len(rows))
	for i, row := range rows {
		if err := json.Unmarshal(row[field], &ids[i]); err != nil {
			k.t.Fatalf("%s: %v", row[field], err)
		}
	}
	return ids
}

// pages goes through a list to its end and returns all ids.
func (k *kit) pages(session, path, field string, limit int) (all []int64) {
	k.t.Helper()
	link := regexp.MustCompile(`^<(/v1/[!-;=?-~]+)>; rel="next"$`)
	address, err := url.Parse(path)
	if err != nil {
		k.t.Fatal(err)
	}
	query := address.Query()
	query.Set("limit", fmt.Sprint(limit))
	next := address.Path + "?" + query.Encode()
	for {
		r := k.as(session, "GET", next, "").ok(http.StatusOK)
		ids := k.ids(r, field)
		all = append(all, ids...)
		if r.header.Get("Link") == "" {
			return all
		}
		m := link.FindStringSubmatch(r.header.Get("Link"))
		if m == nil || len(ids) != limit {
			k.t.Fatalf("%s: %d rows, Link %s", next, len(ids), r.header.Get("Link"))
		}
		following, err := url.Parse(m[1])
		if err != nil {
			k.t.Fatal(err)
		}
		kept := following.Query()
		if kept.Del("cursor"); following.Path != address.Path || kept.Encode() != query.Encode() {
			k.t.Fatalf("%s goes on at %s", next, m[1])
		}
		next = m[1]
	}
}
