package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

var (
	fieldsOfAKey = []string{"key_id", "key_name", "key_scope", "organization_id", "user_id", "key_hint", "enabled", "expires_at",
		"last_used_at", "created_at", "updated_at", "metadata", "limits", "quota", "allowed_cidrs"}
	milliseconds = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)
)

// TestLifeOfAKey goes through what a customer does with a key, from create to delete.
func TestLifeOfAKey(t *testing.T) {
	t.Parallel()
	w := serveWorld(t)

	// Create: 201, where it is, and the token, once.
	a := w.manage(t, "root", "POST", keysPath, `{"key_name":"  Backend API Key ","key_scope":["MANAGE","READ","UPDATE","READ"],"organization_id":1,
		"expires_at":"2999-12-31T23:30:00.1239+01:00","metadata":{"team":"core","n":1e2}}`).is(http.StatusCreated)
	var created api.CreatedKey
	a.into(&created)
	path := fmt.Sprintf("%s/%d", keysPath, created.KeyID)
	if got := a.fields(); !slices.Equal(got, append(slices.Clone(fieldsOfAKey), "key")) {
		t.Errorf("fields %q", got)
	}
	if got := a.header.Get("Location"); got != path {
		t.Errorf("Location: %s, want %s", got, path)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: %s", got)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type: %s", got)
	}
	if !tokenText.MatchString(created.Token) || len(created.Token) != 52 {
		t.Errorf("token of %d characters", len(created.Token))
	}
	for _, want := range []string{`"key_name":"Backend API Key"`, `"key_scope":["READ","UPDATE","MANAGE"]`, `"organization_id":1`, `"user_id":1`,
		`"enabled":true`, `"expires_at":"2999-12-31T22:30:00.123Z"`, `"last_used_at":null`, `"metadata":{"team":"core","n":1e2}`,
		`"key_hint":"` + created.Token[:7] + "…" + created.Token[48:] + `"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("created %s, which lacks %s", strings.Replace(a.body, created.Token, "ak_…", 1), want)
		}
	}
	var times map[string]any
	a.into(&times)
	for _, name := range []string{"created_at", "updated_at", "expires_at"} {
		if text, _ := times[name].(string); !milliseconds.MatchString(text) {
			t.Errorf("%s: %v", name, times[name])
		}
	}

	// Look: the same without the token; HEAD the same without the body.
	got := w.manage(t, "root", "GET", path, "").is(http.StatusOK)
	if !slices.Equal(got.fields(), fieldsOfAKey) || got.body != strings.Replace(a.body, `,"key":"`+created.Token+`"`, "", 1) {
		t.Errorf("got %s", got.body)
	}
	head := w.manage(t, "root", "HEAD", path, "").is(http.StatusOK)
	if head.body != "" || head.header.Get("Content-Length") != fmt.Sprint(len(got.body)) || head.header.Get("Content-Type") != "application/json" {
		t.Errorf("HEAD: %v %q", head.header, head.body)
	}
	w.manage(t, "", "HEAD", path, "").is(http.StatusUnauthorized)

	// Change: a merge patch; what is left out stays, null clears.
	var k api.Key
	w.manage(t, "root", "PATCH", path, `{"key_name":"New","metadata":{"team":null,"a":{"b":1}},"expires_at":null}`,
		"Content-Type: application/merge-patch+json").is(http.StatusOK).into(&k)
	if k.KeyName != "New" || k.ExpiresAt != nil || string(k.Metadata) != `{"a":{"b":1},"n":1e2}` || len(k.KeyScope) != 3 || !k.Enabled {
		t.Errorf("changed: %+v %s", k, k.Metadata)
	}
	w.manage(t, "root", "PATCH", path, `{"metadata":{"a":{"c":[2]}},"enabled":false,"key_scope":["DELETE","CREATE"]}`).is(http.StatusOK).into(&k)
	if string(k.Metadata) != `{"a":{"b":1,"c":[2]},"n":1e2}` || k.Enabled || !slices.Equal(k.KeyScope, []api.Scope{"CREATE", "DELETE"}) {
		t.Errorf("changed: %+v %s", k, k.Metadata)
	}
	w.says(t, created.Token, "", api.VerifyDisabled)
	w.manage(t, "root", "PATCH", path, `{"enabled":true}`).is(http.StatusOK)
	w.says(t, created.Token, "DELETE", api.VerifyValid)
	w.says(t, created.Token, "READ", api.VerifyInsufficientScope)
	w.manage(t, "root", "PATCH", path, `{}`).is(http.StatusOK)
	w.manage(t, "root", "PATCH", path, `{"metadata":null}`).is(http.StatusOK).into(&k)
	if string(k.Metadata) != "{}" {
		t.Errorf("metadata %s", k.Metadata)
	}

	// Rotate: a new token, the same key; the old one dies at once, or after its grace.
	var second, third, fourth api.CreatedKey
	a = w.manage(t, "root", "POST", path+"/rotate", `{"grace_seconds":3600}`).is(http.StatusOK).into(&second)
	if second.KeyID != created.KeyID || second.KeyName != "New" || second.Token == created.Token || second.KeyHint == created.KeyHint ||
		a.header.Get("Cache-Control") != "no-store" || !slices.Equal(a.fields(), append(slices.Clone(fieldsOfAKey), "key")) {
		t.Errorf("rotated: %v", a.header)
	}
	w.says(t, created.Token, "", api.VerifyValid)
	w.says(t, second.Token, "", api.VerifyValid)
	w.manage(t, "root", "POST", path+"/rotate", `{"grace_seconds":1}`).is(http.StatusOK).into(&third)
	w.says(t, third.Token, "", api.VerifyValid)
	for deadline := time.Now().Add(patience); w.code(t, second.Token, "") != api.VerifyNotFound; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("an old token outlives its grace")
		}
	}
	w.says(t, created.Token, "", api.VerifyNotFound)                                // its own grace was an hour, but it may not outlive a later one
	w.manage(t, "root", "POST", path+"/rotate", "").is(http.StatusOK).into(&fourth) // no body is no grace
	w.says(t, third.Token, "", api.VerifyNotFound)
	w.says(t, fourth.Token, "", api.VerifyValid)

	// Delete: for good.
	a = w.manage(t, "root", "DELETE", path, "").is(http.StatusNoContent)
	if a.body != "" {
		t.Errorf("the answer to DELETE has a body: %s", a.body)
	}
	w.says(t, fourth.Token, "", api.VerifyNotFound)
	for _, method := range []string{"GET", "DELETE"} {
		w.manage(t, "root", method, path, "").refused(api.CodeNotFound)
	}
	w.manage(t, "root", "PATCH", path, `{"enabled":true}`).refused(api.CodeNotFound)
	w.stop()
}

// says wants a check of a token, for a scope or "", to come out like this.
func (w *world) says(t *testing.T, token string, scope api.Scope, want api.VerifyCode) {
	t.Helper()
	if got := w.code(t, token, scope); got != want {
		t.Errorf("a check for %q says %s, want %s", scope, got, want)
	}
}

func (w *world) code(t *testing.T, token string, scope api.Scope) api.VerifyCode {
	t.Helper()
	a, err := w.verifier().Verify(t.Context(), api.VerifyRequest{Key: token, Scope: scope})
	if err != nil {
		t.Fatal(err)
	}
	return a.Code
}

// TestGoodInput is what a strict server must not refuse.
func TestGoodInput(t *testing.T) {
	t.Parallel()
	w := serveWorld(t)
	for _, body := range []string{
		goodDraft,
		" \r\n\t" + goodDraft + "\n",
		strings.Replace(goodDraft, "x", strings.Repeat("é", 100), 1),
		strings.Replace(goodDraft, "x", `\ud83d\udd11 Ключ 鍵 👩‍👩‍👧`, 1),
		strings.Replace(goodDraft, `"READ"`, `"MANAGE","DELETE","UPDATE","CREATE","READ","READ"`, 1),
		`{"enabled":false,"expires_at":null,"metadata":{},` + goodDraft[1:],
		`{"metadata":{"a":"` + strings.Repeat("x", 4096-8) + `"},` + goodDraft[1:],
		`{"metadata":{"a":[1,1],"b":{"a":123456789012345678901234567890.5}},` + goodDraft[1:],
		goodDraft + strings.Repeat(" ", 64<<10-len(goodDraft)),
	} {
		w.manage(t, "root", "POST", keysPath, body).is(http.StatusCreated)
	}
	for _, header := range []string{"Accept: application/json", "Accept: */*", "Accept: text/html, application/*;q=0.1", "Accept:",
		"Content-Type: application/json; charset=utf-8", "Content-Type: APPLICATION/JSON; charset=\"UTF-8\""} {
		w.manage(t, "root", "POST", keysPath, goodDraft, header).is(http.StatusCreated)
	}
	for _, headers := range [][]string{
		{"X-API-Key: " + w.keys["member"].token},
		{"Authorization: bearer " + w.keys["member"].token},
		{"Authorization: Bearer some.other.token", "X-API-Key: " + w.keys["member"].token}, // goes first where the bearer is none of ours
		{"Authorization: Basic dXNlcjpwYXNz", "X-API-Key: " + w.keys["member"].token},
		{"Authorization: Bearer " + w.keys["member"].token, "X-API-Key: " + w.keys["member"].token}, // the same twice
		{"Authorization: Bearer " + w.keys["member"].token, "X-API-Key: x"},
	} {
		var me api.Me
		w.manage(t, "", "GET", "/v1/me", "", headers...).is(http.StatusOK).into(&me)
		if me.Key == nil || me.Key.KeyID != w.keys["member"].id {
			t.Errorf("%q: %+v", headers, me)
		}
	}
	// A key that lies about its address in a proxy's way is still one.
	for _, public := range []string{"/openapi.json", "/docs"} {
		w.manage(t, "", "GET", public, "").is(http.StatusOK)
	}
	w.stop()
}

// TestWhoSeesWhat lists the keys that each caller sees.
func TestWhoSeesWhat(t *testing.T) {
	t.Parallel()
	w := serveWorld(t)
	of := func(users ...string) (names []string) {
		for _, k := range keysOf {
			if slices.Contains(users, k.user) {
				names = append(names, k.name)
			}
		}
		slices.Reverse(names) // newest first
		return names
	}
	everybodyHere := of("root", "member", "viewer", "admin")
	for _, c := range []struct {
		key, query string
		want       []string // the first key of all is called so by the server
	}{
		{"member", "", of("member")},
		{"member", "?organization_id=1", of("member")},
		{"viewer", "", of("viewer")},
		{"admin", "", of("admin")},
		{"admin", "?organization_id=1", everybodyHere},
		{"root", "", of("root")},
		{"root", "?organization_id=1", everybodyHere},
		{"root", "?organization_id=2", of("stranger")},
		{"root without MANAGE", "?organization_id=1", everybodyHere},
		{"stranger", "", of("stranger")},
		{"stranger", "?organization_id=2", of("stranger")},
		{"admin", "?organization_id=1&enabled=false", []string{"expired and disabled", "disabled"}},
		{"admin", "?organization_id=1&scope=MANAGE", []string{"admin", "root"}},
		{"admin", "?organization_id=1&q=DISABLED&enabled=false&scope=READ", []string{"expired and disabled", "disabled"}},
		{"admin", "?organization_id=1&q=%25", nil},
	} {
		var list []api.Key
		w.manage(t, c.key, "GET", keysPath+c.query, "").is(http.StatusOK).into(&list)
		var got []string
		for _, k := range list {
			if k.KeyName != "First key" {
				got = append(got, k.KeyName)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s sees %q at %q, want %q", c.key, got, c.query, c.want)
		}
	}

	// An admin manages everybody's, an instance admin's key with MANAGE those of every organization.
	member := fmt.Sprintf("%s/%d", keysPath, w.keys["member, READ"].id)
	w.manage(t, "admin", "GET", member, "").is(http.StatusOK)
	w.manage(t, "admin", "PATCH", member, `{"key_name":"changed"}`).is(http.StatusOK)
	w.manage(t, "root", "PATCH", fmt.Sprintf("%s/%d", keysPath, w.keys["stranger"].id), `{"enabled":false}`).is(http.StatusOK)
	w.manage(t, "stranger", "GET", "/v1/me", "").refused(api.CodeUnauthenticated)
	w.manage(t, "root", "POST", keysPath, strings.Replace(goodDraft, ":1}", ":2}", 1)).is(http.StatusCreated)

	// /v1/me says who one is.
	a := w.manage(t, "viewer", "GET", "/v1/me", "").is(http.StatusOK)
	var me api.Me
	a.into(&me)
	if me.Email != "viewer@example.com" || me.InstanceAdmin || len(me.Organizations) != 1 || me.Organizations[0].Role != api.RoleViewer ||
		me.Organizations[0].OrganizationID != ours || me.Key == nil || !slices.Equal(me.Key.KeyScope, []api.Scope{"READ"}) {
		t.Errorf("me: %s", a.body)
	}
	w.manage(t, "member, CREATE", "GET", "/v1/me", "").is(http.StatusOK) // any scope will do
	w.stop()
}

// TestPaging follows the links from the first page to the last: every key once, newest first, whatever comes and goes
// meanwhile.
func TestPaging(t *testing.T) {
	t.Parallel()
	w := serveWorld(t)
	for i := range 25 {
		w.manage(t, "member", "POST", keysPath, strings.Replace(goodDraft, "x", fmt.Sprintf("page %d", i), 1)).is(http.StatusCreated)
	}
	for _, limit := range []int{1, 7, 25, 26} {
		var ids []int64
		next, pages := fmt.Sprintf("%s?limit=%d&q=page", keysPath, limit), 0
		for next != "" {
			a := w.manage(t, "member", "GET", next, "").is(http.StatusOK)
			var page []api.Key
			a.into(&page)
			for _, k := range page {
				if len(ids) > 0 && k.KeyID >= ids[len(ids)-1] {
					t.Errorf("limit %d: key %d after %d", limit, k.KeyID, ids[len(ids)-1])
				}
				ids = append(ids, k.KeyID)
			}
			if pages++; len(page) > limit || pages > 26 {
				t.Fatalf("limit %d: page %d has %d keys", limit, pages, len(page))
			}
			next = nextPage(t, a)
			if pages == 1 { // a newer key is on no later page
				var k api.Key
				w.manage(t, "member", "POST", keysPath, strings.Replace(goodDraft, "x", "page new", 1)).is(http.StatusCreated).into(&k)
				w.manage(t, "member", "DELETE", fmt.Sprintf("%s/%d", keysPath, k.KeyID), "").is(http.StatusNoContent)
			}
		}
		if len(ids) != 25 || pages != (25+limit-1)/limit {
			t.Errorf("limit %d: %d keys on %d pages", limit, len(ids), pages)
		}
	}
	// A list of nothing is an array.
	if a := w.manage(t, "member", "GET", keysPath+"?q=nothing", "").is(http.StatusOK); strings.TrimSpace(a.body) != "[]" || a.header.Get("Link") != "" {
		t.Errorf("%s %v", a.body, a.header)
	}
	w.stop()
}

// nextPage returns the address in the Link header, "" where there is none.
func nextPage(t testing.TB, a answer) string {
	t.Helper()
	text := a.header.Get("Link")
	if text == "" {
		return ""
	}
	found := regexp.MustCompile(`^<([^>]+)>; rel="next"$`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("Link: %s", text)
	}
	u, err := url.Parse(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return u.RequestURI()
}

// TestLastUsed waits until a key knows that it was used: within a minute, by the contract.
func TestLastUsed(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	c := s.client(s.token)
	used, err := c.CreateKey(t.Context(), draft("used"))
	if err != nil {
		t.Fatal(err)
	}
	refused, err := c.CreateKey(t.Context(), draft("refused"))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := s.verifier().VerifyBatch(t.Context(), []api.VerifyRequest{{Key: used.Token}, {Key: refused.Token, Scope: api.ScopeDelete}}); err != nil {
		t.Fatal(err)
	}
	asked := time.Now()
	for {
		k, err := c.GetKey(t.Context(), used.KeyID)
		if err != nil {
			t.Fatal(err)
		}
		if k.LastUsedAt != nil {
			if k.LastUsedAt.Before(began.Add(-time.Millisecond)) || k.LastUsedAt.After(asked) {
				t.Errorf("it was used at %v, not between %v and %v", k.LastUsedAt, began, asked)
			}
			break
		}
		if time.Since(asked) > time.Minute {
			t.Fatal("after a minute it is not known that the key was used")
		}
		time.Sleep(200 * time.Millisecond)
	}
	// A check that refuses is no use of the key.
	if k, err := c.GetKey(t.Context(), refused.KeyID); err != nil || k.LastUsedAt != nil {
		t.Errorf("%+v, %v", k, err)
	}
	s.stop()
}
