package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

// bodies are, for each route about accounts that takes a body, one that it takes, and what is wrong with others.
var bodies = []struct {
	method, path, good string
	bad                []badBody
}{
	{"POST", "/v1/organizations", `{"organization_name":"a","external_id":"x","metadata":{}}`, []badBody{
		{`{}`, is422, []string{"/organization_name"}},
		{`{"organization_name":null}`, is422, []string{"/organization_name"}},
		{`{"organization_name":1}`, is422, []string{"/organization_name"}},
		{`{"organization_name":" \t"}`, is422, []string{"/organization_name"}},
		{`{"organization_name":"a\nb"}`, is422, []string{"/organization_name"}},
		{`{"organization_name":"` + strings.Repeat("é", 101) + `"}`, is422, []string{"/organization_name"}},
		{`{"organization_name":"a","external_id":1}`, is422, []string{"/external_id"}},
		{`{"organization_name":"a","external_id":""}`, is422, []string{"/external_id"}},
		{`{"organization_name":"a","external_id":"a\u0000"}`, is422, []string{"/external_id"}},
		{`{"organization_name":"a","external_id":"` + strings.Repeat("é", 256) + `"}`, is422, []string{"/external_id"}},
		{`{"organization_name":"a","metadata":null}`, is422, []string{"/metadata"}},
		{`{"organization_name":"a","metadata":[]}`, is422, []string{"/metadata"}},
		{`{"organization_name":"a","metadata":` + hugeMetadata + `}`, is422, []string{"/metadata"}},
		{`{"organization_name":"a","metadata":{"a":1,"a":1}}`, is400, []string{"/metadata/a"}},
		{`{"organization_name":"a","organization_id":1,"role":"owner"}`, is400, []string{"/organization_id", "/role"}},
		{`{"organization_name":"","external_id":"\n","metadata":1}`, is422, []string{"/organization_name", "/external_id", "/metadata"}},
		{`{"external_id":"\n","metadata":` + hugeMetadata + `,"x":1}`, is400, []string{"/organization_name", "/external_id", "/metadata", "/x"}},
	}},
	{"PATCH", "/v1/organizations/1", `{"organization_name":"a","external_id":null,"metadata":null}`, []badBody{
		{`{"organization_name":null}`, is422, []string{"/organization_name"}},
		{`{"organization_name":""}`, is422, []string{"/organization_name"}},
		{`{"external_id":""}`, is422, []string{"/external_id"}},
		{`{"external_id":false}`, is422, []string{"/external_id"}},
		{`{"metadata":"{}"}`, is422, []string{"/metadata"}},
		{`{"created_at":"2999-01-01T00:00:00Z"}`, is400, []string{"/created_at"}},
		{`{"organization_name":" ","external_id":"\n","metadata":[]}`, is422, []string{"/organization_name", "/external_id", "/metadata"}},
		{`{"organization_name":" ","external_id":0,"metadata":` + hugeMetadata + `}`, is422, []string{"/organization_name", "/external_id", "/metadata"}},
	}},
	{"POST", membersOfFirst, `{"email":"new@example.com","role":"member"}`, []badBody{
		{`{}`, is422, []string{"/email", "/role"}},
		{`{"email":null,"role":null}`, is422, []string{"/email", "/role"}},
		{`{"email":"x","role":"Member"}`, is422, []string{"/email", "/role"}},
		{`{"email":["new@example.com"],"role":["member"]}`, is422, []string{"/email", "/role"}},
		{`{"email":"New <new@example.com>","role":"member"}`, is422, []string{"/email"}},
		{`{"email":"new@example.com\u0000","role":"member"}`, is422, []string{"/email"}},
		{`{"email":"` + strings.Repeat("a", 250) + `@example.com","role":"member"}`, is422, []string{"/email"}},
		{`{"email":"new@example.com","role":""}`, is422, []string{"/role"}},
		{`{"email":"new@example.com","role":4}`, is422, []string{"/role"}},
		{`{"email":"new@example.com","user_id":2}`, is400, []string{"/role", "/user_id"}},
	}},
	{"PATCH", membersOfFirst + "/1", `{"role":"owner"}`, []badBody{
		{`{}`, is422, []string{"/role"}},
		{`{"role":null}`, is422, []string{"/role"}},
		{`{"role":"god"}`, is422, []string{"/role"}},
		{`{"role":"owner","email":"x@example.com"}`, is400, []string{"/email"}},
	}},
	{"POST", "/v1/sessions", `{"email":"first@example.com","password":"p"}`, []badBody{
		{`{}`, is422, []string{"/email"}},
		{`{"email":"first@example.com"}`, is422, []string{"/password"}},
		{`{"email":"first@example.com","password":""}`, is422, []string{"/password"}},
		{`{"password":"p"}`, is422, []string{"/email"}},
		{`{"link":""}`, is422, []string{"/email"}},
		{`{"link":"l","email":"first@example.com","password":"p"}`, is422, []string{"/link"}},
		{`{"link":"l","password":"p"}`, is422, []string{"/link"}},
		{`{"email":null,"password":1,"link":[]}`, is422, []string{"/email", "/password", "/link"}},
		{`{"user":"first@example.com","password":null}`, is400, []string{"/user", "/password"}},
	}},
	{"PUT", "/v1/me/password", `{"new_password":"p","current_password":"q"}`, []badBody{
		{`{}`, is422, []string{"/new_password"}},
		{`{"new_password":null,"current_password":null}`, is422, []string{"/new_password", "/current_password"}},
		{`{"current_password":1}`, is422, []string{"/new_password", "/current_password"}},
		{`{"new_password":"short"}`, is422, []string{"/new_password"}},
		{`{"new_password":"first@example.com"}`, is422, []string{"/new_password"}},
		{`{"new_password":"passwordpassword"}`, is422, []string{"/new_password"}},
		{`{"new_password":"` + strings.Repeat("long", 257) + `"}`, is422, []string{"/new_password"}},
		{`{"password":"p"}`, is400, []string{"/new_password", "/password"}},
	}},
	{"POST", "/v1/sign-in-links", `{"email":"first@example.com"}`, []badBody{
		{`{}`, is422, []string{"/email"}},
		{`{"email":null}`, is422, []string{"/email"}},
		{`{"email":"first"}`, is422, []string{"/email"}},
		{`{"email":"first@example.com","link":"x"}`, is400, []string{"/link"}},
	}},
}

type badBody struct {
	body     string
	code     api.Code
	pointers []string
}

// everywhere is what is wrong with any of them.
func everywhere(good string) []badBody {
	list := []badBody{
		{strings.TrimSuffix(good, "}") + `,"x":{"y":1}}`, is400, []string{"/x"}},
		{strings.TrimSuffix(good, "}") + `,"X":1,"x":1,"x":2}`, is400, []string{"/X", "/x"}},
		{good[:len(good)-1], is400, nil},
		{good + good, is400, nil},
	}
	for _, body := range notJSON {
		list = append(list, badBody{body, is400, nil})
	}
	for _, body := range []string{"null", "[]", `"x"`, "1", "true", "[" + good + "]"} {
		list = append(list, badBody{body, is422, []string{""}})
	}
	for _, member := range strings.Split(strings.Trim(good, "{}"), ",") {
		name, _, _ := strings.Cut(strings.TrimPrefix(member, `"`), `"`)
		list = append(list, badBody{strings.TrimSuffix(good, "}") + `,"` + name + `":0}`, is400, []string{"/" + name}})
	}
	return list
}

func TestBadBodiesOfAccounts(t *testing.T) {
	k := newKit(t, nil)
	session := k.session("first@example.com")
	for _, route := range bodies {
		t.Run(route.method+" "+route.path, func(t *testing.T) {
			k := k.in(t)
			send := func(body string, headers ...string) reply {
				return k.as(session, route.method, route.path, body, append([]string{"Content-Type: application/json"}, headers...)...)
			}
			for _, c := range append(route.bad, everywhere(route.good)...) {
				if r := send(c.body); !checkFaults(t, r, c.code, c.pointers) {
					t.Logf("sent %.300s", c.body)
				}
			}
			if checkFaults(t, k.as(session, route.method, route.path+"?x=1&y=1&y=2", route.good), is400, []string{"/x", "/y"}); t.Failed() {
				t.Log("sent unknown parameters")
			}
			send(route.good, "Content-Type: text/plain").problem(api.CodeUnsupportedMediaType)
			send(route.good, "Content-Type: application/x-www-form-urlencoded").problem(api.CodeUnsupportedMediaType)
			send(route.good, "Content-Type:").problem(api.CodeUnsupportedMediaType)
			send(route.good, "Content-Encoding: gzip").problem(api.CodeUnsupportedMediaType)
			send(route.good + strings.Repeat(" ", maxBody)).problem(api.CodeContentTooLarge)
		})
	}
	for path, want := range map[string]string{"/v1/organizations": "[1]", "/v1/sessions": "[1]", membersOfFirst: "[1]"} {
		field := map[string]string{"/v1/organizations": "organization_id", "/v1/sessions": "session_id", membersOfFirst: "user_id"}[path]
		if got := fmt.Sprint(k.ids(k.as(session, "GET", path, ""), field)); got != want {
			t.Errorf("after bad bodies %s holds %s", path, got)
		}
	}
	k.as(session, "GET", "/v1/organizations/1", "").looks(`{"organization_id":1,"organization_name":"Example Ltd","external_id":null,"metadata":{},` +
		`"created_at":"TIME","updated_at":"TIME","role":"owner"}`)
}

func TestBadAddressesOfAccounts(t *testing.T) {
	k := newKit(t, nil)
	session := k.session("first@example.com")
	const organizations, sessions, log = "/v1/organizations", "/v1/sessions", "/v1/audit-log"
	const organization, user, member = "/organization_id", "/user_id", membersOfFirst + "/1"
	type address struct {
		method, path string
		code         api.Code
		pointers     []string
	}
	list := []address{
		{"GET", organizations + "/0", api.CodeNotFound, nil},
		{"PATCH", organizations + "/-1", api.CodeNotFound, nil},
		{"DELETE", organizations + "/9223372036854775807", api.CodeNotFound, nil},
		{"GET", organizations + "/0/members", api.CodeNotFound, nil},
		{"POST", organizations + "/99/members", api.CodeNotFound, nil},
		{"DELETE", membersOfFirst + "/0", api.CodeNotFound, nil},
		{"GET", membersOfFirst + "/-1", api.CodeNotFound, nil},
		{"DELETE", sessions + "/0", api.CodeNotFound, nil},
		{"DELETE", sessions + "/9223372036854775807", api.CodeNotFound, nil},
		{"GET", organizations + "/x/members/y", is400, []string{organization, user}},
		{"PATCH", organizations + "/x/members/y?z=1", is400, []string{organization, user, "/z"}},
		{"DELETE", organizations + "/x/members/1?keys=keep", is400, []string{organization, "/keys"}},
		{"DELETE", member + "?keys=", is422, []string{"/keys"}},
		{"DELETE", member + "?keys=DELETE", is422, []string{"/keys"}},
		{"DELETE", member + "?keys=delete&keys=delete", is400, []string{"/keys"}},
		{"PATCH", member + "?keys=nobody", is422, []string{"/keys"}},
		{"PATCH", member + "?key=delete", is400, []string{"/key"}},
		{"DELETE", sessions + "/current?x", is400, []string{"/x"}},
		{"GET", organizations + "/1?limit=1", is400, []string{"/limit"}},
		{"GET", organizations + "?external_id=", is422, []string{"/external_id"}},
		{"GET", organizations + "?external_id=" + strings.Repeat("%C3%A9", 256), is422, []string{"/external_id"}},
		{"GET", organizations + "?external_id=%FF&q=%00", is422, []string{"/external_id", "/q"}},
		{"GET", organizations + "?external_id=a&external_id=b", is400, []string{"/external_id"}},
		{"GET", organizations + "?name=a", is400, []string{"/name"}},
		{"GET", membersOfFirst + "?role=owner", is400, []string{"/role"}},
		{"GET", sessions + "?user_id=1", is400, []string{"/user_id"}},
		{"GET", log + "?organization_id=99", api.CodeNotFound, nil},
		{"GET", log + "?action=", is422, []string{"/action"}},
		{"GET", log + "?action=key", is422, []string{"/action"}},
		{"GET", log + "?action=*", is422, []string{"/action"}},
		{"GET", log + "?action=key.%25", is422, []string{"/action"}},
		{"GET", log + "?action=KEY.create", is422, []string{"/action"}},
		{"GET", log + "?action=key.create%0A", is422, []string{"/action"}},
		{"GET", log + "?target_type=", is422, []string{"/target_type"}},
		{"GET", log + "?target_type=keys", is422, []string{"/target_type"}},
		{"GET", log + "?outcome=failure", is422, []string{"/outcome"}},
		{"GET", log + "?from=yesterday&to=2026-01-01", is422, []string{"/from", "/to"}},
		{"GET", log + "?from=2026-01-01T00:00:00+02:00", is422, []string{"/from"}}, // a plus that is not escaped is a space
		{"GET", log + "?from=&to=0001-01-01T00:00:00Z", is422, []string{"/from", "/to"}},
		{"GET", log + "?from=2026-01-01T00:00:00Z&from=2026-01-01T00:00:00Z", is400, []string{"/from"}},
		{"GET", log + "?actor=1", is400, []string{"/actor"}},
		{"GET", log + "?limit=0&cursor=x&organization_id=a&actor_user_id=0&actor_key_id=-1&target_id=x&target_type=x&outcome=x&action=x&from=x&to=x", is400,
			[]string{"/limit", "/cursor", organization, "/actor_user_id", "/actor_key_id", "/target_id", "/target_type", "/outcome", "/action", "/from", "/to"}},
	}
	for _, id := range []string{"x", "1.0", "01", "+1", "%201", "1%2Fmembers", "1%00", "-0", "9223372036854775808", strings.Repeat("9", 400)} {
		list = append(list,
			address{"GET", organizations + "/" + id, is400, []string{organization}},
			address{"PATCH", organizations + "/" + id, is400, []string{organization}},
			address{"DELETE", organizations + "/" + id, is400, []string{organization}},
			address{"GET", organizations + "/" + id + "/members", is400, []string{organization}},
			address{"POST", organizations + "/" + id + "/members", is400, []string{organization}},
			address{"DELETE", organizations + "/" + id + "/members/1", is400, []string{organization}},
			address{"GET", membersOfFirst + "/" + id, is400, []string{user}},
			address{"PATCH", membersOfFirst + "/" + id, is400, []string{user}},
			address{"DELETE", membersOfFirst + "/" + id, is400, []string{user}},
			address{"DELETE", sessions + "/" + id, is400, []string{"/session_id"}})
	}
	for _, path := range []string{organizations, membersOfFirst, sessions, log} {
		for _, query := range []string{"limit=", "limit=0", "limit=1001", "limit=x", "limit=01"} {
			list = append(list, address{"GET", path + "?" + query, is422, []string{"/limit"}})
		}
		list = append(list,
			address{"GET", path + "?cursor=", is400, []string{"/cursor"}},
			address{"GET", path + "?cursor=17", is400, []string{"/cursor"}},
			address{"GET", path + "?cursor=AQAAAAAAAAAA", is400, []string{"/cursor"}},
			address{"GET", path + "?limit=1&limit=1&x", is400, []string{"/limit", "/x"}},
			address{"GET", path + "?%zz", is400, nil})
	}
	for _, c := range list {
		t.Run(c.method+" "+c.path[:min(len(c.path), 60)], func(t *testing.T) {
			body := ""
			switch {
			case c.method == "PATCH" && strings.Contains(c.path, "/members/"):
				body = `{"role":"owner"}`
			case c.method == "PATCH":
				body = `{}`
			case c.method == "POST":
				body = `{"email":"x@example.com","role":"viewer"}`
			}
			checkFaults(t, k.in(t).as(session, c.method, c.path, body), c.code, c.pointers)
		})
	}
	for _, address := range []string{organizations + "?limit=1000&q=a&external_id=" + strings.Repeat("%C3%A9", 255), membersOfFirst + "?cursor=" + encodeCursor(1),
		sessions + "?limit=1", log + "?action=audit.read&target_type=audit&target_id=9223372036854775807&from=2999-01-01T00:00:00Z&to=2001-01-01T00:00:00Z"} {
		k.as(session, "GET", address, "").ok(http.StatusOK)
	}
}
