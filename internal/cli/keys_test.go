package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

const shownOnce = "The token is shown this once; the server does not keep it.\n"

const keyText = `ID            17
Name          Backend API Key
Hint          ak_7Gx2…9fQ2
Scopes        READ, CREATE
Organization  432
User          3
State         active
Expires       never
Last used     never
Created       2026-11-22T18:54:03.120Z
Updated       2026-11-22T18:54:03.120Z
Metadata      {}
Limits        none
Quota         none
Used from     any address
`

var createdText = strings.Replace(keyText, "Hint", "Token         "+newToken+"\nHint", 1)

const keyIndented = `{
  "key_id": 17,
  "key_name": "Backend API Key",
  "key_scope": [
    "READ",
    "CREATE"
  ],
  "organization_id": 432,
  "user_id": 3,
  "key_hint": "ak_7Gx2…9fQ2",
  "enabled": true,
  "expires_at": null,
  "last_used_at": null,
  "created_at": "2026-11-22T18:54:03.120Z",
  "updated_at": "2026-11-22T18:54:03.120Z",
  "metadata": {},
  "limits": [],
  "quota": null,
  "allowed_cidrs": []
}
`

func me(organizations string) string {
	return `200 {"user_id":3,"email":"ada@example.com","organizations":[` + organizations + `]}`
}

const acme = `{"organization_id":432,"organization_name":"Acme","role":"owner"}`

// TestCommands pins what each command sends and prints.
func TestCommands(t *testing.T) {
	const keys = "/v1/api-keys"
	for _, row := range []struct {
		name    string
		args    string
		answers map[string]string
		asked   []string
		out     string
		stderr  string
		code    int
	}{
		{
			name:    "create in the only organization",
			args:    `create|--name|Backend API Key|--scope|READ,CREATE`,
			answers: map[string]string{"GET /v1/me": me(acme), "POST " + keys: "201 " + withToken(key())},
			asked: []string{"GET /v1/me",
				`POST /v1/api-keys {"key_name":"Backend API Key","key_scope":["READ","CREATE"],"organization_id":432}`},
			out: createdText, stderr: shownOnce,
		},
		{
			name: "create with everything",
			args: `create|--name|x|--scope|read|--scope|Delete|--organization|7|--expires-in|90d|--metadata|{"a": [1]}|--disabled|-o|token`,
			answers: map[string]string{
				"POST " + keys: "201 " + withToken(key())},
			asked: []string{`POST /v1/api-keys {"key_name":"x","key_scope":["READ","DELETE"],"organization_id":7,"enabled":false,` +
				`"expires_at":"2027-02-20T20:00:00.000Z","metadata":{"a":[1]}}`},
			out: newToken + "\n", stderr: shownOnce,
		},
		{
			name: "create with restrictions",
			args: `create|--name|x|--scope|READ|--organization|7|--limit|default=100/60|--limit|hour=1000/3600|--quota|1000000/month|` +
				`--allow|203.0.113.0/24|--allow|2001:db8::1|-o|token`,
			answers: map[string]string{"POST " + keys: "201 " + withToken(key())},
			asked: []string{`POST /v1/api-keys {"key_name":"x","key_scope":["READ"],"organization_id":7,` +
				`"limits":[{"name":"default","requests":100,"window_seconds":60},{"name":"hour","requests":1000,"window_seconds":3600}],` +
				`"quota":{"requests":1000000,"period":"month"},"allowed_cidrs":["203.0.113.0/24","2001:db8::1"]}`},
			out: newToken + "\n", stderr: shownOnce,
		},
		{
			name: "create with restrictions that are none",
			args: `create|--name|x|--scope|READ|--organization|7|--limit|a"=1/1|--quota|5|--allow|x`,
			answers: map[string]string{"POST " + keys: problem(api.CodeInvalid, "2 fields are invalid",
				api.Fault{Pointer: "/limits/0/name", Detail: "must be letters"}, api.Fault{Pointer: "/allowed_cidrs/0", Detail: "must be a block"},
				api.Fault{Pointer: "/quota/requests", Detail: "must be less"})},
			asked: []string{`POST /v1/api-keys {"key_name":"x","key_scope":["READ"],"organization_id":7,` +
				`"limits":[{"name":"a\"","requests":1,"window_seconds":1}],"quota":{"requests":5},"allowed_cidrs":["x"]}`},
			stderr: "apikeyd: 2 fields are invalid (invalid)\n  --limit, value 1, at /name: must be letters\n  --allow, value 1: must be a block\n" +
				"  --quota, at /requests: must be less\n  request 01J9\n",
			code: 1,
		},
		{
			name:    "create with a date",
			args:    `create|--name|x|--scope|READ|--organization|7|--expires-at|2027-01-31T18:00:00+01:00|-o|json`,
			answers: map[string]string{"POST " + keys: "201 " + withToken(key())},
			asked: []string{`POST /v1/api-keys {"key_name":"x","key_scope":["READ"],"organization_id":7,` +
				`"expires_at":"2027-01-31T17:00:00.000Z"}`},
			out:    strings.TrimSuffix(keyIndented, "\n}\n") + ",\n  \"key\": \"" + newToken + "\"\n}\n",
			stderr: shownOnce,
		},
		{
			name: "create where there is a choice",
			args: `create|--name|x|--scope|READ`,
			answers: map[string]string{
				"GET /v1/me": me(acme + `,{"organization_id":433,"organization_name":"E\u001bvil\n434  Good","role":"viewer"}`)},
			asked: []string{"GET /v1/me"},
			stderr: "apikeyd: which organization? Give --organization with one of these:\n  432  Acme\n  433  E\\x1bvil\\x0a434  Good\n" +
				"See \"keys create --help\".\n",
			code: 2,
		},
		{
			name:    "create without an organization",
			args:    `create|--name|x|--scope|READ`,
			answers: map[string]string{"GET /v1/me": me("")},
			asked:   []string{"GET /v1/me"},
			stderr:  "apikeyd: the caller is a member of no organization; give one with --organization\n", code: 1,
		},
		{
			name: "create with faults",
			args: `create|--name| |--scope|READ,MANAGE|--organization|432|--metadata|{"a":1}`,
			answers: map[string]string{"POST " + keys: problem(api.CodeInvalid, "3 fields are invalid",
				api.Fault{Pointer: "/key_name", Detail: "must not be empty"},
				api.Fault{Pointer: "/key_scope/1", Detail: "must be a scope of the calling key"},
				api.Fault{Pointer: "/metadata/a", Detail: "must be something else"},
				api.Fault{Pointer: "/newer", Detail: "must be there"})},
			asked: []string{`POST /v1/api-keys {"key_name":" ","key_scope":["READ","MANAGE"],"organization_id":432,"metadata":{"a":1}}`},
			stderr: `apikeyd: 3 fields are invalid (invalid)
  --name: must not be empty
  --scope, value 2: must be a scope of the calling key
  --metadata, at /a: must be something else
  /newer: must be there
  request 01J9
`,
			code: 1,
		},
		{
			name: "get", args: "get|17",
			answers: map[string]string{"GET " + keys + "/17": "200 " + key()},
			asked:   []string{"GET /v1/api-keys/17"}, out: keyText,
		},
		{
			name: "get one with restrictions", args: "get|17",
			answers: map[string]string{"GET " + keys + "/17": "200 " + key(heldKey...)},
			asked:   []string{"GET /v1/api-keys/17"},
			out: strings.NewReplacer("Limits        none", "Limits        default=100/60, hour=1000/3600",
				"Quota         none", "Quota         999123 of 1000000 left of this month",
				"Used from     any address", "Used from     203.0.113.0/24, 2001:db8::/32").Replace(keyText),
		},
		{
			name: "get as JSON", args: "get|17|-o|json",
			answers: map[string]string{"GET " + keys + "/17": "200 " + key()},
			asked:   []string{"GET /v1/api-keys/17"}, out: keyIndented,
		},
		{
			name: "get what is not there", args: "get|18",
			asked:  []string{"GET /v1/api-keys/18"},
			stderr: "apikeyd: key 18: there is no such thing (not_found)\n  request 01J9\n", code: 1,
		},
		{
			name: "update everything", args: `update|17|--name|n|--scope|MANAGE|--disabled|--no-expiry|--metadata|{"a":null}`,
			answers: map[string]string{"PATCH " + keys + "/17": "200 " + key(`"enabled":true`, `"enabled":false`)},
			asked: []string{`PATCH /v1/api-keys/17 {"key_name":"n","key_scope":["MANAGE"],"enabled":false,"expires_at":null,` +
				`"metadata":{"a":null}}`},
			out: strings.Replace(keyText, "active", "disabled", 1),
		},
		{
			name: "restrict", args: `update|17|--limit|a=1/1|--quota|5/day|--allow|::/0`,
			answers: map[string]string{"PATCH " + keys + "/17": "200 " + key(`"quota":null`, `"quota":{"requests":5,"period":null,"remaining":2}`)},
			asked: []string{`PATCH /v1/api-keys/17 {"limits":[{"name":"a","requests":1,"window_seconds":1}],"quota":{"requests":5,"period":"day"},` +
				`"allowed_cidrs":["::/0"]}`},
			out: strings.Replace(keyText, "Quota         none", "Quota         2 of 5 left", 1),
		},
		{
			name: "restrict for ever", args: `update|17|--quota|5`,
			answers: map[string]string{"PATCH " + keys + "/17": "200 " + key()},
			asked:   []string{`PATCH /v1/api-keys/17 {"quota":{"requests":5,"period":null}}`}, out: keyText,
		},
		{
			name: "take restrictions away", args: `update|17|--no-limits|--no-quota|--allow-any`,
			answers: map[string]string{"PATCH " + keys + "/17": "200 " + key()},
			asked:   []string{`PATCH /v1/api-keys/17 {"limits":[],"quota":null,"allowed_cidrs":[]}`}, out: keyText,
		},
		{
			name: "update one thing", args: "update|17|--enabled",
			answers: map[string]string{"PATCH " + keys + "/17": "200 " + key()},
			asked:   []string{`PATCH /v1/api-keys/17 {"enabled":true}`}, out: keyText,
		},
		{
			name: "update with the switch turned round", args: "update|17|--enabled=false|--expires-in|1h",
			answers: map[string]string{"PATCH " + keys + "/17": "200 " + key(`"expires_at":null`, `"expires_at":"2026-11-22T19:59:59Z"`)},
			asked:   []string{`PATCH /v1/api-keys/17 {"enabled":false,"expires_at":"2026-11-22T21:00:00.000Z"}`},
			out: strings.NewReplacer("active", "expired", "Expires       never", "Expires       2026-11-22T19:59:59.000Z").
				Replace(keyText),
		},
		{
			name: "rotate", args: "rotate|17",
			answers: map[string]string{"POST " + keys + "/17/rotate": "200 " + withToken(key())},
			asked:   []string{`POST /v1/api-keys/17/rotate {"grace_seconds":0}`}, out: createdText, stderr: shownOnce,
		},
		{
			name: "rotate with grace", args: "rotate|17|--grace|1d1h|-o|token",
			answers: map[string]string{"POST " + keys + "/17/rotate": "200 " + withToken(key())},
			asked:   []string{`POST /v1/api-keys/17/rotate {"grace_seconds":90000}`}, out: newToken + "\n", stderr: shownOnce,
		},
		{
			name: "delete", args: "delete|17",
			answers: map[string]string{"DELETE " + keys + "/17": "204"},
			asked:   []string{"DELETE /v1/api-keys/17"}, out: "deleted 17\n",
		},
		{
			name: "delete several, one of them twice and one gone", args: "delete|17|18|17|19",
			answers: map[string]string{"DELETE " + keys + "/17": "204", "DELETE " + keys + "/19": "204"},
			asked:   []string{"DELETE /v1/api-keys/17", "DELETE /v1/api-keys/18", "DELETE /v1/api-keys/19"},
			out:     "deleted 17\ndeleted 19\n",
			stderr:  "apikeyd: key 18: there is no such thing (not_found)\n  request 01J9\n", code: 1,
		},
		{
			name: "delete with a key that may not", args: "delete|17|18|19",
			answers: map[string]string{"DELETE " + keys + "/17": "204",
				"DELETE " + keys + "/18": problem(api.CodeInsufficientScope, "the calling key needs DELETE")},
			asked: []string{"DELETE /v1/api-keys/17", "DELETE /v1/api-keys/18"},
			out:   "deleted 17\n",
			stderr: "apikeyd: key 18: the calling key needs DELETE (insufficient_scope)\n  request 01J9\n" +
				"apikeyd: not tried: 19\n",
			code: 1,
		},
		{
			name: "delete another's key among one's own", args: "delete|17|18",
			answers: map[string]string{"DELETE " + keys + "/17": problem(api.CodeForbidden, "the role does not allow it"),
				"DELETE " + keys + "/18": "204"},
			asked:  []string{"DELETE /v1/api-keys/17", "DELETE /v1/api-keys/18"},
			out:    "deleted 18\n",
			stderr: "apikeyd: key 17: the role does not allow it (forbidden)\n  request 01J9\n", code: 1,
		},
		{
			name: "verify a good token", args: "verify|" + newToken,
			answers: map[string]string{"POST /v1/verify": `200 {"valid":true,"code":"VALID","key_id":17,"key_name":"Backend API Key",` +
				`"key_scope":["READ"],"organization_id":432,"user_id":3,"expires_at":null,"metadata":{"a":1}}`},
			asked: []string{`POST /v1/verify {"key":"` + newToken + `"}`},
			out: `VALID
ID            17
Name          Backend API Key
Scopes        READ
Organization  432
User          3
Expires       never
Metadata      {"a":1}
`,
		},
		{
			name: "verify one that is used up", args: "verify|" + newToken + "|--ip|::1",
			answers: map[string]string{"POST /v1/verify": `200 {"valid":false,"code":"RATE_LIMITED","key_id":17,"key_name":"k","key_scope":["READ"],` +
				`"organization_id":432,"user_id":3,"expires_at":null,"metadata":{},"ratelimit":{"limit":100,"remaining":0,"reset_seconds":60}}`},
			asked: []string{`POST /v1/verify {"key":"` + newToken + `","ip":"::1"}`},
			out: "RATE_LIMITED\nID            17\nName          k\nScopes        READ\nOrganization  432\nUser          3\nExpires       never\n" +
				"Metadata      {}\nLeft          0 of 100 requests, all of them in 60 s\n",
			code: 1,
		},
		{
			name: "verify a token that is not", args: "verify|" + newToken + "|--scope|READ|--organization|432|--ip|203.0.113.9",
			answers: map[string]string{"POST /v1/verify": `200 {"valid":false,"code":"NOT_FOUND"}`},
			asked:   []string{`POST /v1/verify {"key":"` + newToken + `","scope":"READ","organization_id":432,"ip":"203.0.113.9"}`},
			out:     "NOT_FOUND\n", code: 1,
		},
		{
			name: "verify as JSON", args: "verify|" + newToken + "|-o|json",
			answers: map[string]string{"POST /v1/verify": `200 {"valid":false,"code":"NOT_FOUND"}`},
			asked:   []string{`POST /v1/verify {"key":"` + newToken + `"}`},
			out:     "{\n  \"valid\": false,\n  \"code\": \"NOT_FOUND\"\n}\n", code: 1,
		},
		{
			name: "verify where nobody can say", args: "verify|" + newToken,
			answers: map[string]string{"POST /v1/verify": problem(api.CodeUnauthenticated, "a bearer token is needed")},
			asked:   []string{`POST /v1/verify {"key":"` + newToken + `"}`},
			stderr:  "apikeyd: a bearer token is needed (unauthenticated)\n  request 01J9\n", code: 1,
		},
		{
			name: "list as a table", args: "list",
			answers: map[string]string{"GET " + keys + "?limit=101": "200 [" + key(heldKey...) + "," +
				key(`:17`, `:9`, `Backend API Key`, `CI`, `"enabled":true`, `"enabled":false`, `"last_used_at":null`, `"last_used_at":"2026-11-22T19:30:00Z"`) + "]"},
			asked: []string{"GET /v1/api-keys?limit=101"},
			out: `ID  NAME             HINT          SCOPES       STATE       LAST USED
17  Backend API Key  ak_7Gx2…9fQ2  READ,CREATE  restricted  never
9   CI               ak_7Gx2…9fQ2  READ,CREATE  disabled    30m ago
`,
		},
		{
			name: "list none as a table", args: "list|--enabled=false|--query|a b|--scope|manage|--organization|432",
			answers: map[string]string{"GET " + keys + "?enabled=false&limit=101&organization_id=432&q=a+b&scope=MANAGE": "200 []"},
			asked:   []string{"GET /v1/api-keys?enabled=false&limit=101&organization_id=432&q=a+b&scope=MANAGE"},
			stderr:  "There are no such keys.\n",
		},
		{
			name: "report", args: "report|" + leakedToken,
			answers: map[string]string{"POST /v1/leaked": "202"},
			asked:   []string{`POST /v1/leaked {"key":"` + leakedToken + `"}`},
			out:     "reported: if it was a token, it is dead\n",
		},
		{
			name: "report too much", args: "report|" + leakedToken,
			answers: map[string]string{"POST /v1/leaked": problem(api.CodeMalformedRequest, "too much")},
			asked:   []string{`POST /v1/leaked {"key":"` + leakedToken + `"}`},
			stderr:  "apikeyd: too much (malformed_request)\n  request 01J9\n", code: 1,
		},
		{
			name: "report a file", args: "report|found.txt",
			stderr: "apikeyd: what was given has not the form of a token, such as ak_ and 49 letters and digits, with nothing else on the line; " +
				"nothing was reported\nSee \"keys report --help\".\n", code: 2,
		},
		{
			name: "report half a token", args: "report|" + leakedToken[1:],
			stderr: "apikeyd: what was given has not the form of a token, such as ak_ and 49 letters and digits, with nothing else on the line; " +
				"nothing was reported\nSee \"keys report --help\".\n", code: 2,
		},
		{
			name: "list none as JSON", args: "list|-o|json|--disabled|--state|expired",
			answers: map[string]string{"GET " + keys + "?enabled=false&limit=101&state=expired": "200 []"},
			asked:   []string{"GET /v1/api-keys?enabled=false&limit=101&state=expired"},
			out:     "[]\n",
		},
		{
			name: "list some of more", args: "list|--limit|1",
			answers: map[string]string{"GET " + keys + "?limit=2": "200 [" + key() + "," + key(`:17`, `:16`) + "]"},
			asked:   []string{"GET /v1/api-keys?limit=2"},
			out: `ID  NAME             HINT          SCOPES       STATE   LAST USED
17  Backend API Key  ak_7Gx2…9fQ2  READ,CREATE  active  never
`,
			stderr: "There are more than these 1; --all lists every key.\n",
		},
		{
			name: "list all, over two pages", args: "list|--all|-o|json",
			answers: map[string]string{
				"GET " + keys + "?limit=1000":           "200 </v1/api-keys?cursor=c2&limit=1000> [" + key() + "]",
				"GET " + keys + "?cursor=c2&limit=1000": "200 [" + key() + "]",
			},
			asked: []string{"GET /v1/api-keys?limit=1000", "GET /v1/api-keys?cursor=c2&limit=1000"},
			out:   "[\n" + indent(keyIndented) + ",\n" + indent(keyIndented) + "\n]\n",
		},
		{
			name: "list, and the second page fails", args: "list|--all|-o|json",
			answers: map[string]string{
				"GET " + keys + "?limit=1000": "200 </v1/api-keys?cursor=c2&limit=1000> [" + key() + "]",
			},
			asked:  []string{"GET /v1/api-keys?limit=1000", "GET /v1/api-keys?cursor=c2&limit=1000"},
			out:    "[\n" + indent(keyIndented),
			stderr: "apikeyd: there is no such thing (not_found)\n  request 01J9\n", code: 1,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := serve(t, row.answers)
			got := against(s).run(t, strings.Split(row.args, "|")...)
			equal(t, "standard output", got.out, row.out)
			equal(t, "standard error", got.stderr, row.stderr)
			if got.code != row.code {
				t.Errorf("exit code %d, want %d", got.code, row.code)
			}
			equal(t, "asked", strings.Join(s.asked, "\n"), strings.Join(row.asked, "\n"))
			want := "Bearer " + callingToken
			if strings.HasPrefix(row.args, "verify") || strings.HasPrefix(row.args, "report") {
				want = "" // the management API's credential is none of the other listener's business, and a report is anybody's
			}
			equal(t, "Authorization", s.authorization, want)
			if strings.Contains(got.stderr, newToken) || strings.Contains(got.out+got.stderr, callingToken) {
				t.Error("a token was printed where it should not be")
			}
		})
	}
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n  ")
}

// TestListIsTheArrayOfTheAPI reads what -o json prints back, and compares it with what the server sent.
func TestListIsTheArrayOfTheAPI(t *testing.T) {
	var sent []string
	for i := range 3 {
		sent = append(sent, key(`:17`, fmt.Sprint(":", 20-i), `Backend`, `<&> 日本 \u0041`, `"metadata":{}`, `"metadata":{"b":1.50,"a":"\u202e"}`))
	}
	s := serve(t, map[string]string{"GET /v1/api-keys?limit=101": "200 [" + strings.Join(sent, ",") + "]"})
	got := against(s).run(t, "list", "-o", "json")
	var have, want any
	if err := json.Unmarshal([]byte(got.out), &have); err != nil {
		t.Fatalf("%v in %s", err, got.out)
	}
	if err := json.Unmarshal([]byte("["+strings.Join(sent, ",")+"]"), &want); err != nil {
		t.Fatal(err)
	}
	equal(t, "the array", fmt.Sprint(have), fmt.Sprint(want))
	if strings.ContainsRune(got.out, '\u202e') || !strings.Contains(got.out, `"<&> 日本 A API Key"`) || !strings.Contains(got.out, "1.50") {
		t.Errorf("got %s", got.out)
	}
}

// TestWrongUsage: exit code 2, a sentence that says what is right, and nothing sent.
func TestWrongUsage(t *testing.T) {
	empty := file(t, "\n\n")
	for args, want := range map[string]string{
		"foo":                               `unknown command "foo"`,
		"lisst":                             `unknown command "lisst"; did you mean list?`,
		"get":                               "KEY_ID is missing",
		"get|x":                             `KEY_ID "x": must be a positive whole number`,
		"get|0":                             `KEY_ID "0": must be a positive whole number`,
		"get|9223372036854775808":           `KEY_ID "9223372036854775808": must be a positive whole number`,
		"get|1|2":                           `one KEY_ID is enough; "2" is one too many`,
		"get|1|-o|yaml":                     `--output "yaml": must be table or json`,
		"get|1|-o|token":                    `--output "token": must be table or json`,
		"get|1|--nope":                      "unknown flag: --nope",
		"get|1|--server":                    "flag needs an argument: --server",
		"get|1|--server|localhost:8080":     `server address "localhost:8080": must be an address such as https://keys.example.com`,
		"get|1|--key-file|/nonexistent":     "--key-file: open /nonexistent: no such file or directory",
		"get|1|--key-file|" + empty:         "--key-file: " + empty + ": there is nothing in it",
		"get|1|--key-file|x|--key|y":        "--key and --key-file exclude each other; give one of them",
		"get|1|--key|-":                     "API key from standard input: there is nothing in it",
		"get|1|--key|two words":             "the API key must be printable ASCII without spaces; is there a line break around it?",
		"create":                            "--name and --scope are required",
		"create|--name|x":                   "--scope is required",
		"create|--name|x|--scope|FOO":       `--scope "FOO": must be one or several of READ, CREATE, UPDATE, DELETE, MANAGE`,
		"create|--name|x|--scope|":          `--scope "": must be one or several of READ, CREATE, UPDATE, DELETE, MANAGE`,
		"create|--name|x|--scope|READ,":     `--scope "READ,": must be one or several of READ, CREATE, UPDATE, DELETE, MANAGE`,
		"create|x":                          `unknown command "x" for "keys create"`,
		"create|--organization|-1":          `--organization "-1": must be a positive whole number`,
		"create|--expires-at|tomorrow":      `--expires-at "tomorrow": must be a time such as 2027-01-31T18:00:00Z (RFC 3339)`,
		"create|--expires-in|90":            `--expires-in "90": must be whole numbers with the units w, d, h, m or s, such as 90d or 1d12h`,
		"create|--metadata|[]":              `--metadata "[]": must be a JSON object, such as '{"team": "billing"}'`,
		"create|--metadata|null":            `--metadata "null": must be a JSON object, such as '{"team": "billing"}'`,
		"create|--metadata|{} x":            `--metadata "{} x": must be a JSON object, such as '{"team": "billing"}'`,
		"create|--disabled=maybe":           `--disabled "maybe": must be true or false`,
		"list|x":                            `unknown command "x" for "keys list"`,
		"list|--limit|0":                    "--limit 0: must be at least 1; --all lists every key",
		"list|--limit|many":                 `--limit "many": must be a whole number`,
		"list|--limit|5|--all":              "--limit and --all exclude each other; give one of them",
		"list|--enabled|--disabled":         "--enabled and --disabled exclude each other; give one of them",
		"list|--state|Expired":              `--state "Expired": must be active, disabled or expired`,
		"list|--scope|READ,CREATE":          `--scope "READ,CREATE": must be one of READ, CREATE, UPDATE, DELETE, MANAGE`,
		"update|1|--enabled|--disabled":     "--enabled and --disabled exclude each other; give one of them",
		"update|1|--name|":                  "--name: must not be empty",
		"update|1|--expires-in|0":           "--expires-in: must be longer than 0",
		"update|1|--no-expiry|--expires-in": "flag needs an argument: --expires-in",
		"update|1|--no-expiry|--expires-in|1h|--expires-at|2027-01-31T18:00:00Z": "--expires-at, --expires-in and --no-expiry exclude each other; give one of them",
		"update|1":                              "there is nothing to change; give at least one of --name, --scope, --enabled, --disabled, --expires-at, --expires-in, --no-expiry, --metadata, --limit, --no-limits, --quota, --no-quota, --allow and --allow-any",
		"update|1|--limit|a=1/1|--no-limits":    "--limit and --no-limits exclude each other; give one of them",
		"update|1|--quota|1|--no-quota":         "--quota and --no-quota exclude each other; give one of them",
		"update|1|--allow|::/0|--allow-any":     "--allow and --allow-any exclude each other; give one of them",
		"update|1|--limit|100/60":               `--limit "100/60": must be NAME=REQUESTS/SECONDS, such as hour=1000/3600`,
		"update|1|--limit|a=100":                `--limit "a=100": must be NAME=REQUESTS/SECONDS, such as hour=1000/3600`,
		"update|1|--limit|a=-1/60":              `--limit "a=-1/60": must be NAME=REQUESTS/SECONDS, such as hour=1000/3600`,
		"update|1|--limit|=1/60":                `--limit "=1/60": must be NAME=REQUESTS/SECONDS, such as hour=1000/3600`,
		"update|1|--limit|a=1/1m":               `--limit "a=1/1m": must be NAME=REQUESTS/SECONDS, such as hour=1000/3600`,
		"update|1|--quota|0":                    `--quota "0": must be a number of requests, alone or with /day or /month, such as 1000000/month`,
		"update|1|--quota|5/":                   `--quota "5/": must be a number of requests, alone or with /day or /month, such as 1000000/month`,
		"update|1|--quota|5/year":               `--quota "5/year": must be a number of requests, alone or with /day or /month, such as 1000000/month`,
		"update|1|--quota|none":                 `--quota "none": must be a number of requests, alone or with /day or /month, such as 1000000/month`,
		"update|1|--allow|":                     `--allow "": must be one block of addresses, such as 203.0.113.0/24; repeat the flag for more`,
		"update|1|--allow|::1,::2":              `--allow "::1,::2": must be one block of addresses, such as 203.0.113.0/24; repeat the flag for more`,
		"rotate|1|--grace|-1h":                  `--grace "-1h": must be whole numbers with the units w, d, h, m or s, such as 90d or 1d12h`,
		"rotate|1|--grace|1.5h":                 `--grace "1.5h": must be whole numbers with the units w, d, h, m or s, such as 90d or 1d12h`,
		"delete":                                "KEY_ID is missing",
		"delete|1|two":                          `KEY_ID "two": must be a positive whole number`,
		"verify":                                "TOKEN is missing",
		"verify|a|b":                            `one TOKEN is enough; "b" is one too many`,
		"report":                                "TOKEN is missing",
		"report|a|b":                            `one TOKEN is enough; "b" is one too many`,
		"report|-":                              "token from standard input: there is nothing in it",
		"report|a|--key|x":                      "unknown flag: --key",
		"verify|-":                              "token from standard input: there is nothing in it",
		"verify|a|--server|http://x":            "unknown flag: --server",
		"verify|a|--verify-server|nonsense":     `server address "nonsense": must be an address such as https://keys.example.com`,
		"verify|a|--verify-token-file|" + empty: "--verify-token-file: " + empty + ": there is nothing in it",
	} {
		s := serve(t, nil)
		split := strings.Split(args, "|")
		got := against(s).run(t, split...)
		command := "keys " + split[0]
		if split[0] == "foo" || split[0] == "lisst" {
			command = "keys"
		}
		equal(t, args, got.stderr, fmt.Sprintf("apikeyd: %s\nSee \"%s --help\".\n", want, command))
		if got.code != 2 || got.out != "" || s.asked != nil {
			t.Errorf("%s: exit code %d, output %q, sent %v", args, got.code, got.out, s.asked)
		}
	}
}
