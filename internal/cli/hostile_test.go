package cli

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

// TestHostileServer: whatever a server says, no byte of it makes a terminal do something.
func TestHostileServer(t *testing.T) {
	evil := "a\x1b[2J\u009b31m\u202e\x07\x7f\u2028\ufeff\U000e0041b\nc"
	text, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	evilText := strings.Trim(string(text), `"`)
	// encoding/json leaves most of it as it is, as a hostile server would.
	bad := key(`"Backend API Key"`, string(text), `"ak_7Gx2…9fQ2"`, string(text), `["READ","CREATE"]`, "["+string(text)+"]",
		`"metadata":{}`, `"metadata":{`+string(text)+`:`+string(text)+`}`, `"limits":[],"quota":null,"allowed_cidrs":[]`,
		`"limits":[{"name":`+string(text)+`,"requests":1}],"quota":{"period":`+string(text)+`},"allowed_cidrs":[`+string(text)+`]`)
	token := strings.Replace(withToken(bad), `"`+newToken+`"`, string(text), 1)
	evilOrganization := organization("Acme", evilText, "customer-9", evilText, `"owner"`, string(text), `"metadata":{}`, `"metadata":{`+string(text)+`:1}`)
	evilMember := member("ada@example.com", evilText, `"member"`, string(text))
	evilSession := strings.NewReplacer(`"password"`, string(text), `"ip":""`, `"ip":`+string(text), `"user_agent":""`, `"user_agent":`+string(text)).
		Replace(begunSession)
	evilEntry := entry("key.update", evilText, `"type":"key"`, `"type":`+string(text), "203.0.113.9", evilText, `"success"`, string(text)+`,"code":`+string(text),
		"true", string(text))
	answers := map[string]string{
		"GET /v1/organizations?limit=101":             "200 [" + evilOrganization + "]",
		"GET /v1/organizations/432":                   "200 " + evilOrganization,
		"GET /v1/organizations/432/members?limit=101": "200 [" + evilMember + "]",
		"POST /v1/organizations/432/members":          "201 " + strings.Replace(evilMember, "{", `{"sign_in_url":`+string(text)+`,`, 1),
		"GET /v1/sessions?limit=101":                  "200 [" + evilSession + "]",
		"GET /v1/audit-log?limit=101":                 "200 [" + evilEntry + "]",
		"GET /v1/me": `200 {"user_id":3,"email":` + string(text) + `,"organizations":[{"organization_id":1,"organization_name":` + string(text) +
			`,"role":` + string(text) + `}],"key":{"key_id":1,"key_name":` + string(text) + `}}`,
		"POST /v1/sessions":           problem(api.Code(evil), evil),
		"GET /v1/api-keys/17":         "200 " + bad,
		"GET /v1/api-keys?limit=101":  "200 [" + bad + "]",
		"POST /v1/api-keys/17/rotate": "200 " + token,
		"POST /v1/verify":             `200 {"valid":false,"code":` + string(text) + `,"key_id":1,"key_name":` + string(text) + `,"metadata":` + string(text) + `}`,
		"PATCH /v1/api-keys/17":       problem(api.Code(evil), evil, api.Fault{Pointer: evil, Detail: evil}, api.Fault{Pointer: "/key_name/" + evil, Detail: evil}),
		"DELETE /v1/api-keys/17":      "418 " + evil,
	}
	for _, args := range []string{
		"keys|get|17", "keys|get|17|-o|json", "keys|list", "keys|list|-o|json", "keys|rotate|17", "keys|rotate|17|-o|json", "keys|rotate|17|-o|token",
		"keys|verify|x", "keys|verify|x|-o|json", "keys|update|17|--enabled", "keys|delete|17",
		"orgs|list", "orgs|list|-o|json", "orgs|get|432", "orgs|get|432|-o|json", "members|list|432", "members|list|432|-o|json",
		"members|add|432|--email|x|--role|owner", "members|add|432|--email|x|--role|owner|-o|json", "users|me", "users|me|-o|json",
		"users|sessions|list", "users|sessions|list|-o|json", "audit|list", "audit|list|-o|json", "login|--email|x", "login|--key|x",
	} {
		s := serve(t, maps.Clone(answers))
		x := against(s)
		x.home, x.stdin = signedIn(t, s).home, password
		got := x.call(t, strings.Split(args, "|")...)
		all := got.out + got.stderr
		if i := strings.IndexFunc(all, func(r rune) bool { return r != '\n' && !shown(r) }); i >= 0 {
			t.Errorf("%s prints %q", args, all)
		}
		if strings.Contains(all, "\nc") || !strings.Contains(all, "[2J") {
			t.Errorf("%s prints a line break of the server's, or nothing of it: %q", args, all)
		}
	}
}
