package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

// create makes a key and returns it.
func (k *kit) create(body string) api.CreatedKey {
	k.t.Helper()
	var created api.CreatedKey
	k.call("POST", "/v1/api-keys", body).ok(http.StatusCreated).read(&created)
	return created
}

func (k *kit) createWith(scopes string) api.CreatedKey {
	k.t.Helper()
	return k.create(fmt.Sprintf(`{"key_name": "test", "key_scope": %s, "organization_id": %d}`, scopes, k.first.OrganizationID))
}

// verifies asks whether a token is good, and returns the code of the answer.
func (k *kit) verifies(token string) api.VerifyCode {
	k.t.Helper()
	var v api.Verification
	k.ask("POST", "/v1/verify", fmt.Sprintf(`{"key":%q}`, token)).ok(http.StatusOK).read(&v)
	return v.Code
}

func TestLifeOfAKey(t *testing.T) {
	k := newKit(t, nil)

	r := k.call("POST", "/v1/api-keys", `{
		"key_name": "  Backend \u00e9 \"API\" <Key>  ", "key_scope": ["MANAGE", "READ", "READ"], "organization_id": 1,
		"expires_at": "2999-01-02T03:04:05.6789+02:00", "metadata": {"team" : "billing", "n": 1e300}}`).ok(http.StatusCreated)
	var created api.CreatedKey
	r.read(&created)
	if want := fmt.Sprintf("/v1/api-keys/%d", created.KeyID); r.header.Get("Location") != want {
		t.Errorf("Location %q, want %q", r.header.Get("Location"), want)
	}
	shape := regexp.MustCompile(`^\{"key_id":2,"key_name":"Backend é \\"API\\" <Key>","key_scope":\["READ","MANAGE"\],` +
		`"organization_id":1,"user_id":1,"key_hint":"ak_.{4}….{4}","enabled":true,"expires_at":"2999-01-02T01:04:05.678Z",` +
		`"last_used_at":null,"created_at":"[^"]{24}","updated_at":"[^"]{24}","metadata":\{"team":"billing","n":1e300\},` +
		`"limits":\[\],"quota":null,"allowed_cidrs":\[\],"key":"ak_[0-9A-Za-z]{49}"\}\n$`)
	if !shape.MatchString(r.body) {
		t.Errorf("created %s", r.body)
	}
	if got := k.verifies(created.Token); got != api.VerifyValid {
		t.Errorf("a new key is %s", got)
	}

	path := r.header.Get("Location")
	var seen api.Key
	k.call("GET", path, "").ok(http.StatusOK).read(&seen)
	if seen.KeyName != created.KeyName || strings.Contains(k.call("GET", path, "").body, `"key":`) {
		t.Errorf("got %+v, created %+v", seen, created)
	}

	var changed api.Key
	k.call("PATCH", path, `{"key_name":"new","key_scope":["DELETE"],"expires_at":null,"metadata":{"team":null,"x":{"y":[]}}}`,
		"Content-Type: application/merge-patch+json").ok(http.StatusOK).read(&changed)
	if changed.KeyName != "new" || fmt.Sprint(changed.KeyScope) != "[DELETE]" || changed.ExpiresAt != nil ||
		string(changed.Metadata) != `{"n":1e300,"x":{"y":[]}}` || !changed.Enabled {
		t.Errorf("changed into %+v %s", changed, changed.Metadata)
	}
	var same api.Key
	k.call("PATCH", path, `{}`).ok(http.StatusOK).read(&same)
	same.UpdatedAt = changed.UpdatedAt
	if fmt.Sprint(same) != fmt.Sprint(changed) {
		t.Errorf("an empty patch made %+v of %+v", same, changed)
	}
	k.call("PATCH", path, `{"metadata":null,"enabled":false}`).ok(http.StatusOK).read(&changed)
	if string(changed.Metadata) != "{}" || k.verifies(created.Token) != api.VerifyDisabled {
		t.Errorf("disabled: %+v, check %s", changed, k.verifies(created.Token))
	}
	k.call("PATCH", path, `{"enabled":true}`).ok(http.StatusOK)

	var rotated api.CreatedKey
	r = k.call("POST", path+"/rotate", `{"grace_seconds": 3600}`).ok(http.StatusOK)
	r.read(&rotated)
	if rotated.Token == created.Token || k.verifies(created.Token) != api.VerifyValid || k.verifies(rotated.Token) != api.VerifyValid {
		t.Error("within the grace both tokens must be good")
	}
	noBody := k.call("POST", path+"/rotate", "").ok(http.StatusOK)
	noBody.read(&rotated)
	if k.verifies(rotated.Token) != api.VerifyValid {
		t.Error("the new token must be good")
	}
	for _, r := range []reply{r, noBody} {
		if r.header.Get("Cache-Control") != "no-store" || r.header.Get("Location") != "" {
			t.Errorf("rotated with headers %v", r.header)
		}
	}

	r = k.call("DELETE", path, "").ok(http.StatusNoContent)
	if r.body != "" || r.header.Get("Content-Type") != "" {
		t.Errorf("deleted with %q, headers %v", r.body, r.header)
	}
	if got := k.verifies(rotated.Token); got != api.VerifyNotFound {
		t.Errorf("a deleted key is %s", got)
	}
	for _, method := range []string{"GET", "DELETE"} {
		k.call(method, path, "").problem(api.CodeNotFound)
	}
	k.call("PATCH", path, `{"enabled":true}`).problem(api.CodeNotFound)
	k.call("POST", path+"/rotate", "").problem(api.CodeNotFound)
}

func TestEveryAnswerHasItsHeaders(t *testing.T) {
	k := newKit(t, nil)
	session := k.session("first@example.com")
	answers := map[string]reply{
		"signed in":  k.signInBy(fmt.Sprintf(`{"link":%q}`, k.link("first@example.com"))).ok(201),
		"not let in": k.signInBy(`{"link":"x"}`).ok(401),
		"other site": k.as(session, "DELETE", "/v1/sessions/1", "", "Sec-Fetch-Site: cross-site").ok(403),
		"no body":    k.signInBy("{").ok(400),
		"no mail":    k.send(k.management.URL, "POST", "/v1/sign-in-links", `{"email":"x@example.com"}`, nil).ok(409),
		"invited":    k.call("POST", membersOfFirst, `{"email":"x@example.com","role":"viewer"}`).ok(201),
		"member":     k.call("PATCH", membersOfFirst+"/2", `{"role":"owner"}`).ok(200),
		"removed":    k.call("DELETE", membersOfFirst+"/2", "").ok(204),
		"conflict":   k.call("DELETE", membersOfFirst+"/1", "").ok(409),
		"sessions":   k.as(session, "GET", "/v1/sessions", "").ok(200),
		"audit log":  k.call("GET", "/v1/audit-log", "").ok(200),
		"ended":      k.as(session, "DELETE", "/v1/sessions/2", "").ok(204),
		"signed out": k.as(session, "DELETE", "/v1/sessions/current", "").ok(204),
		"created":    k.call("POST", "/v1/api-keys", `{"key_name":"a","key_scope":["READ"],"organization_id":1}`).ok(201),
		"list":       k.call("GET", "/v1/api-keys", "").ok(200),
		"deleted":    k.call("DELETE", "/v1/api-keys/2", "").ok(204),
		"problem":    k.call("GET", "/v1/api-keys/2", "").ok(404),
		"no route":   k.call("GET", "/", "").ok(404),
		"not signed": k.call("GET", "/v1/me", "", "Authorization:").ok(401),
		"check":      k.ask("POST", "/v1/verify", `{"key":""}`).ok(200),
		"no check":   k.ask("POST", "/v1/verify", `{}`).ok(400),
	}
	ids := map[string]string{}
	for name, r := range answers {
		h := r.header
		if name == "check" { // whose headers are counted
			if len(h) != 4 || h.Get("Content-Type") != "application/json" || h.Get("Date") == "" {
				t.Errorf("%s: headers %v", name, h)
			}
		} else if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", name, h)
		}
		id := h.Get("X-Request-Id")
		if id == "" || ids[id] != "" {
			t.Errorf("%s: request id %q, also that of %q", name, id, ids[id])
		}
		ids[id] = name
		if r.status != 204 && h.Get("Content-Length") != fmt.Sprint(len(r.body)) {
			t.Errorf("%s: Content-Length %s of %d", name, h.Get("Content-Length"), len(r.body))
		}
	}
}

func TestHeadIsGetWithoutBody(t *testing.T) {
	k := newKit(t, nil)
	for _, path := range []string{"/v1/api-keys", "/v1/api-keys/1", "/v1/me", "/v1/api-keys/99", "/v1/api-keys?limit=0", "/docs", "/nothing",
		"/v1/organizations", "/v1/organizations/1", membersOfFirst, membersOfFirst + "/1", membersOfFirst + "/9", "/v1/audit-log?action=key.create", "/v1/sessions"} {
		get, head := k.call("GET", path, ""), k.call("HEAD", path, "")
		if head.status != get.status || head.body != "" || head.header.Get("Content-Type") != get.header.Get("Content-Type") ||
			head.header.Get("Content-Length") != get.header.Get("Content-Length") {
			t.Errorf("HEAD %s: %d %v %q, GET: %d %v", path, head.status, head.header, head.body, get.status, get.header)
		}
	}
}

func TestListGoesThroughAllPages(t *testing.T) {
	k := newKit(t, nil)
	if r := k.call("GET", "/v1/api-keys?q=nothing", ""); r.body != "[]\n" || r.header.Get("Link") != "" {
		t.Errorf("an empty list is %q with Link %q", r.body, r.header.Get("Link"))
	}
	for i := range 7 {
		k.create(fmt.Sprintf(`{"key_name":"Rocket & co %d","key_scope":["READ"],"organization_id":1,"enabled":%t}`, i, i%2 == 0))
	}
	k.createWith(`["CREATE"]`)

	next := "/v1/api-keys?limit=2&organization_id=1&enabled=true&scope=READ&q=" + url.QueryEscape("rocket & co")
	var names []string
	for next != "" {
		r := k.call("GET", next, "").ok(http.StatusOK)
		var page []api.Key
		r.read(&page)
		if len(page) == 0 || len(page) > 2 {
			t.Fatalf("a page of %d keys", len(page))
		}
		for _, key := range page {
			names = append(names, key.KeyName)
		}
		link := r.header.Get("Link")
		if next = ""; link == "" {
			break
		}
		m := regexp.MustCompile(`^<(/v1/api-keys\?[!-;=?-~]+)>; rel="next"$`).FindStringSubmatch(link)
		if m == nil {
			t.Fatalf("Link: %s", link)
		}
		next = m[1]
		query, err := url.ParseQuery(strings.TrimPrefix(next, "/v1/api-keys?"))
		if err != nil || query.Get("limit") != "2" || query.Get("organization_id") != "1" || query.Get("enabled") != "true" ||
			query.Get("scope") != "READ" || query.Get("q") != "rocket & co" || len(query) != 6 {
			t.Fatalf("the next page does not keep the filters: %s", link)
		}
	}
	if want := "[Rocket & co 6 Rocket & co 4 Rocket & co 2 Rocket & co 0]"; fmt.Sprint(names) != want {
		t.Errorf("pages hold %v, want %s", names, want)
	}
}

func TestMe(t *testing.T) {
	k := newKit(t, nil)
	const want = `{"user_id":1,"email":"first@example.com","instance_admin":true,"organizations":[{"organization_id":1,` +
		`"organization_name":"Example Ltd","role":"owner"}],"key":{"key_id":1,"key_name":"First key",` +
		`"key_scope":["READ","CREATE","UPDATE","DELETE","MANAGE"],"organization_id":1}}` + "\n"
	if r := k.call("GET", "/v1/me", "").ok(http.StatusOK); r.body != want {
		t.Errorf("got %s", r.body)
	}
}
