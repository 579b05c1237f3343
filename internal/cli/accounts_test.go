package cli

import (
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

// organization returns an organization in JSON, with what differs from the usual one as pairs of old and new text.
func organization(changes ...string) string {
	return strings.NewReplacer(changes...).Replace(`{"organization_id":432,"organization_name":"Acme","external_id":"customer-9",` +
		`"metadata":{},"created_at":"2026-11-22T18:54:03.120Z","updated_at":"2026-11-22T18:54:03.120Z","role":"owner"}`)
}

func member(changes ...string) string {
	return strings.NewReplacer(changes...).Replace(
		`{"user_id":3,"email":"ada@example.com","role":"member","created_at":"2026-11-22T18:54:03.120Z"}`)
}

func invited() string {
	return strings.Replace(member(), "}", `,"sign_in_url":"https://keys.test/sign-in/`+linkSecret+`"}`, 1)
}

func entry(changes ...string) string {
	return strings.NewReplacer(changes...).Replace(`{"audit_id":99,"occurred_at":"2026-11-22T18:54:03.120Z",` +
		`"actor":{"user_id":3,"key_id":17,"session_id":null},"action":"key.update","target":{"type":"key","id":18},` +
		`"organization_id":432,"ip":"203.0.113.9","request_id":"01J","outcome":"success","before":{"enabled":true},` +
		`"after":{"enabled":false},"hash":"ab","previous_hash":"cd"}`)
}

const organizationText = `ID           432
Name         Acme
External ID  customer-9
Your role    owner
Created      2026-11-22T18:54:03.120Z
Updated      2026-11-22T18:54:03.120Z
Metadata     {}
`

const organizationIndented = `{
  "organization_id": 432,
  "organization_name": "Acme",
  "external_id": "customer-9",
  "metadata": {},
  "created_at": "2026-11-22T18:54:03.120Z",
  "updated_at": "2026-11-22T18:54:03.120Z",
  "role": "owner"
}
`

const memberText = `User   3
Email  ada@example.com
Role   member
Since  2026-11-22T18:54:03.120Z
`

const linkNote = "The link works once, within 15 minutes. Whoever has it can sign in as that person.\n"

func keysRemain() string {
	e := api.Error{Status: 409, Code: api.CodeKeysRemain, Detail: "2 keys remain", RequestID: "01J9", KeyIDs: []int64{18, 17}}
	return "409 " + string(e.JSON())
}

// TestAccountCommands pins what each command about accounts sends and prints.
func TestAccountCommands(t *testing.T) {
	const (
		orgs    = "/v1/organizations"
		members = orgs + "/432/members"
		log     = "/v1/audit-log"
	)
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
			name:    "create an organization",
			args:    `orgs|create|--name|Acme|--external-id|customer-9|--metadata|{"a": 1}`,
			answers: map[string]string{"POST " + orgs: "201 " + organization()},
			asked:   []string{`POST /v1/organizations {"organization_name":"Acme","external_id":"customer-9","metadata":{"a":1}}`},
			out:     organizationText,
		},
		{
			name: "create an organization of which the caller is no member", args: "orgs|create|--name|Acme",
			answers: map[string]string{"POST " + orgs: "201 " + organization(`,"role":"owner"`, "", `"customer-9"`, "null")},
			asked:   []string{`POST /v1/organizations {"organization_name":"Acme"}`},
			out:     strings.NewReplacer("customer-9", "-", "owner", "-").Replace(organizationText),
		},
		{
			name: "create an organization that is there", args: "orgs|create|--name|Acme|--external-id|",
			answers: map[string]string{"POST " + orgs: problem(api.CodeInvalid, "2 faults",
				api.Fault{Pointer: "/organization_name", Detail: "a"}, api.Fault{Pointer: "/external_id", Detail: "b"})},
			asked:  []string{`POST /v1/organizations {"organization_name":"Acme","external_id":""}`},
			stderr: "apikeyd: 2 faults (invalid)\n  --name: a\n  --external-id: b\n  request 01J9\n", code: 1,
		},
		{
			name: "list organizations", args: "orgs|list|--query|a b|--external-id|x",
			answers: map[string]string{"GET " + orgs + "?external_id=x&limit=101&q=a+b": "200 [" + organization() + "," +
				organization("432", "9", `"customer-9"`, "null", `,"role":"owner"`, "") + "]"},
			asked: []string{"GET /v1/organizations?external_id=x&limit=101&q=a+b"},
			out: `ID   NAME  EXTERNAL ID  ROLE   CREATED
432  Acme  customer-9   owner  2026-11-22
9    Acme  -            -      2026-11-22
`,
		},
		{
			name: "list no organizations", args: "orgs|list|--all",
			answers: map[string]string{"GET " + orgs + "?limit=1000": "200 []"},
			asked:   []string{"GET /v1/organizations?limit=1000"},
			stderr:  "There are no such organizations.\n",
		},
		{
			name: "list some organizations as JSON", args: "orgs|list|--limit|1|-o|json",
			answers: map[string]string{"GET " + orgs + "?limit=2": "200 [" + organization() + "," + organization() + "]"},
			asked:   []string{"GET /v1/organizations?limit=2"},
			out:     "[\n" + indent(organizationIndented) + "\n]\n",
			stderr:  "There are more than these 1; --all lists every organization.\n",
		},
		{
			name: "get an organization", args: "orgs|get|432|-o|json",
			answers: map[string]string{"GET " + orgs + "/432": "200 " + organization()},
			asked:   []string{"GET /v1/organizations/432"}, out: organizationIndented,
		},
		{
			name: "get an organization that is not there", args: "orgs|get|433",
			asked:  []string{"GET /v1/organizations/433"},
			stderr: "apikeyd: organization 433: there is no such thing (not_found)\n  request 01J9\n", code: 1,
		},
		{
			name: "update an organization", args: `orgs|update|432|--name|Acme|--no-external-id|--metadata|{"a":null}`,
			answers: map[string]string{"PATCH " + orgs + "/432": "200 " + organization()},
			asked:   []string{`PATCH /v1/organizations/432 {"organization_name":"Acme","external_id":null,"metadata":{"a":null}}`},
			out:     organizationText,
		},
		{
			name: "update an external id", args: `orgs|update|432|--external-id|customer-10`,
			answers: map[string]string{"PATCH " + orgs + "/432": problem(api.CodeForbidden, "for instance admins")},
			asked:   []string{`PATCH /v1/organizations/432 {"external_id":"customer-10"}`},
			stderr:  "apikeyd: organization 432: for instance admins (forbidden)\n  request 01J9\n", code: 1,
		},
		{
			name: "delete organizations", args: "orgs|delete|432|433|434",
			answers: map[string]string{"DELETE " + orgs + "/432": "204",
				"DELETE " + orgs + "/433": problem(api.CodeForbidden, "for owners"), "DELETE " + orgs + "/434": "204"},
			asked:  []string{"DELETE /v1/organizations/432", "DELETE /v1/organizations/433", "DELETE /v1/organizations/434"},
			out:    "deleted 432\ndeleted 434\n",
			stderr: "apikeyd: organization 433: for owners (forbidden)\n  request 01J9\n", code: 1,
		},

		{
			name: "invite somebody new", args: "members|add|432|--email|ada@example.com|--role|member",
			answers: map[string]string{"POST " + members: "201 " + invited()},
			asked:   []string{`POST /v1/organizations/432/members {"email":"ada@example.com","role":"member"}`},
			out: `User          3
Email         ada@example.com
Role          member
Since         2026-11-22T18:54:03.120Z
Sign-in link  https://keys.test/sign-in/` + linkSecret + "\n",
			stderr: linkNote,
		},
		{
			name: "invite somebody new, as JSON", args: "members|add|432|--email|ada@example.com|--role|member|-o|json",
			answers: map[string]string{"POST " + members: "201 " + invited()},
			asked:   []string{`POST /v1/organizations/432/members {"email":"ada@example.com","role":"member"}`},
			out: `{
  "user_id": 3,
  "email": "ada@example.com",
  "role": "member",
  "created_at": "2026-11-22T18:54:03.120Z",
  "sign_in_url": "https://keys.test/sign-in/` + linkSecret + "\"\n}\n",
			stderr: linkNote,
		},
		{
			name: "add somebody who is there already", args: "members|add|432|--email|ada@example.com|--role|member",
			answers: map[string]string{"POST " + members: "201 " + member()},
			asked:   []string{`POST /v1/organizations/432/members {"email":"ada@example.com","role":"member"}`},
			out:     memberText,
		},
		{
			name: "add a member twice", args: "members|add|432|--email|ada|--role|owner",
			answers: map[string]string{"POST " + members: problem(api.CodeInvalid, "one fault",
				api.Fault{Pointer: "/email", Detail: "must be an address"}, api.Fault{Pointer: "/role", Detail: "r"})},
			asked:  []string{`POST /v1/organizations/432/members {"email":"ada","role":"owner"}`},
			stderr: "apikeyd: organization 432: one fault (invalid)\n  --email: must be an address\n  --role: r\n  request 01J9\n", code: 1,
		},
		{
			name: "list members", args: "members|list|432",
			answers: map[string]string{"GET " + members + "?limit=101": "200 [" + member() + "," + member("3,", "2,", "ada@", "b@") + "]"},
			asked:   []string{"GET /v1/organizations/432/members?limit=101"},
			out: `USER  EMAIL            ROLE    SINCE
3     ada@example.com  member  2026-11-22
2     b@example.com    member  2026-11-22
`,
		},
		{
			name: "get a member", args: "members|get|432|3",
			answers: map[string]string{"GET " + members + "/3": "200 " + member()},
			asked:   []string{"GET /v1/organizations/432/members/3"}, out: memberText,
		},
		{
			name: "get nobody", args: "members|get|432|4",
			asked:  []string{"GET /v1/organizations/432/members/4"},
			stderr: "apikeyd: member 4: there is no such thing (not_found)\n  request 01J9\n", code: 1,
		},
		{
			name: "promote a member", args: "members|update|432|3|--role|member|-o|json",
			answers: map[string]string{"PATCH " + members + "/3": "200 " + member()},
			asked:   []string{`PATCH /v1/organizations/432/members/3 {"role":"member"}`},
			out: `{
  "user_id": 3,
  "email": "ada@example.com",
  "role": "member",
  "created_at": "2026-11-22T18:54:03.120Z"
}
`,
		},
		{
			name: "demote a member with keys", args: "members|update|432|3|--role|viewer",
			answers: map[string]string{"PATCH " + members + "/3": keysRemain()},
			asked:   []string{`PATCH /v1/organizations/432/members/3 {"role":"viewer"}`},
			stderr: "apikeyd: member 3: 2 keys remain (keys_remain)\n  keys 18, 17\n" +
				"  --keys delete deletes them, --keys transfer makes them yours\n  request 01J9\n",
			code: 1,
		},
		{
			name: "demote a member and take the keys", args: "members|update|432|3|--role|viewer|--keys|transfer",
			answers: map[string]string{"PATCH " + members + "/3?keys=transfer": "200 " + member()},
			asked:   []string{`PATCH /v1/organizations/432/members/3?keys=transfer {"role":"viewer"}`},
			out:     memberText,
		},
		{
			name: "remove a member", args: "members|remove|432|3|--keys|delete",
			answers: map[string]string{"DELETE " + members + "/3?keys=delete": "204"},
			asked:   []string{"DELETE /v1/organizations/432/members/3?keys=delete"}, out: "removed 3\n",
		},
		{
			name: "remove the last owner", args: "members|remove|432|3",
			answers: map[string]string{"DELETE " + members + "/3": problem(api.CodeConflict, "there must be an owner")},
			asked:   []string{"DELETE /v1/organizations/432/members/3"},
			stderr:  "apikeyd: member 3: there must be an owner (conflict)\n  request 01J9\n", code: 1,
		},

		{
			name: "who one is, with a key", args: "users|me",
			answers: map[string]string{"GET /v1/me": `200 {"user_id":3,"email":"ada@example.com","instance_admin":true,"organizations":[` + acme +
				`],"key":{"key_id":17,"key_name":"CI","key_scope":["READ","MANAGE"],"organization_id":432}}`},
			asked: []string{"GET /v1/me"},
			out: `User            3
Email           ada@example.com
Instance admin  yes
Organization    432  owner  Acme
Key             17  READ,MANAGE  CI
`,
		},
		{
			name: "who one is, as JSON", args: "users|me|-o|json",
			answers: map[string]string{"GET /v1/me": me("")},
			asked:   []string{"GET /v1/me"},
			out: `{
  "user_id": 3,
  "email": "ada@example.com",
  "instance_admin": false,
  "organizations": [],
  "key": null
}
`,
		},

		{
			name: "list the audit log", args: "audit|list",
			answers: map[string]string{"GET " + log + "?limit=101": "200 [" + entry() + "," +
				entry(":99", ":98", `"key_id":17,"session_id":null`, `"key_id":null,"session_id":12`, "432", "null", `"203.0.113.9"`, `""`,
					`"outcome":"success"`, `"outcome":"refused","code":"forbidden"`, `"id":18`, `"id":null`) + "," +
				entry(":99", ":97", `"user_id":3,"key_id":17`, `"user_id":null,"key_id":null`) + "]"},
			asked: []string{"GET /v1/audit-log?limit=101"},
			out: `ID  TIME                      ACTOR               ACTION      TARGET  ORG  OUTCOME             IP
99  2026-11-22T18:54:03.120Z  user 3, key 17      key.update  key 18  432  success             203.0.113.9
98  2026-11-22T18:54:03.120Z  user 3, session 12  key.update  key     -    refused: forbidden  -
97  2026-11-22T18:54:03.120Z  -                   key.update  key 18  432  success             203.0.113.9
`,
		},
		{
			name: "list the audit log with filters",
			args: "audit|list|--organization|432|--actor-user|3|--actor-key|17|--action|key.*|--target-type|key|--target-id|18|--outcome|refused" +
				"|--from|2026-11-22T18:00:00+01:00|--to|2026-11-23T00:00:00Z|--limit|5|-o|json",
			answers: map[string]string{},
			asked: []string{"GET /v1/audit-log?action=key.%2A&actor_key_id=17&actor_user_id=3&from=2026-11-22T17%3A00%3A00Z&limit=6" +
				"&organization_id=432&outcome=refused&target_id=18&target_type=key&to=2026-11-23T00%3A00%3A00Z"},
			stderr: "apikeyd: there is no such thing (not_found)\n  request 01J9\n", code: 1,
		},
		{
			name: "list the audit log of the last day", args: "audit|list|--since|1d|-o|json",
			answers: map[string]string{"GET " + log + "?from=2026-11-21T20%3A00%3A00Z&limit=101": "200 [" + entry() + "]"},
			asked:   []string{"GET /v1/audit-log?from=2026-11-21T20%3A00%3A00Z&limit=101"},
			out: `[
  {
    "audit_id": 99,
    "occurred_at": "2026-11-22T18:54:03.120Z",
    "actor": {
      "user_id": 3,
      "key_id": 17,
      "session_id": null
    },
    "action": "key.update",
    "target": {
      "type": "key",
      "id": 18
    },
    "organization_id": 432,
    "ip": "203.0.113.9",
    "request_id": "01J",
    "outcome": "success",
    "before": {
      "enabled": true
    },
    "after": {
      "enabled": false
    },
    "hash": "ab",
    "previous_hash": "cd"
  }
]
`,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := serve(t, row.answers)
			got := against(s).call(t, strings.Split(row.args, "|")...)
			equal(t, "standard output", got.out, row.out)
			equal(t, "standard error", got.stderr, row.stderr)
			if got.code != row.code {
				t.Errorf("exit code %d, want %d", got.code, row.code)
			}
			equal(t, "asked", strings.Join(s.asked, "\n"), strings.Join(row.asked, "\n"))
			equal(t, "Authorization", s.authorization, "Bearer "+callingToken)
			if strings.Contains(got.stderr, linkSecret) || strings.Contains(got.out+got.stderr, callingToken) {
				t.Error("a secret was printed where it should not be")
			}
		})
	}
}

// TestNarrowTables: what a terminal cannot show is shortened, then cut, and no line is too long for it.
func TestNarrowTables(t *testing.T) {
	s := serve(t, map[string]string{
		"GET /v1/organizations?limit=101": "200 [" + organization("Acme", "The Acme Company of Somewhere", "customer-9", "customer-9-of-a-long-list") + "]",
		"GET /v1/audit-log?limit=101": "200 [" + entry(`"outcome":"success"`,
			`"outcome":"refused","code":"insufficient_scope"`) + "]",
	})
	for _, row := range []struct {
		args  string
		width int
		want  string
	}{
		{"orgs|list", 60, `ID   NAME                     EXTERNAL ID  ROLE   CREATED
432  The Acme Company of So…  customer-9…  owner  2026-11-22
`},
		{"audit|list", 90, `ID  TIME                  ACTOR           ACTION      TARGET  ORG  OUTCOME  IP
99  2026-11-22T18:54:03Z  user 3, key 17  key.update  key 18  432  refused  203.0.113.9
`},
	} {
		x := against(s)
		x.width = row.width
		equal(t, row.args, x.call(t, strings.Split(row.args, "|")...).out, row.want)
	}
}

// TestWrongUsageOfAccounts: exit code 2, a sentence that says what is right, and nothing sent.
func TestWrongUsageOfAccounts(t *testing.T) {
	for args, want := range map[string]string{
		"orgs|remove":                                       `unknown command "remove"|orgs`,
		"orgs|create":                                       "--name is required|orgs create",
		"orgs|create|--name|x|--metadata|[]":                `--metadata "[]": must be a JSON object, such as '{"team": "billing"}'|orgs create`,
		"orgs|get|x":                                        `ORG_ID "x": must be a positive whole number|orgs get`,
		"orgs|update|432":                                   "there is nothing to change; give at least one of --name, --external-id, --no-external-id and --metadata|orgs update",
		"orgs|update|432|--name|":                           "--name: must not be empty|orgs update",
		"orgs|list|--limit|0":                               "--limit 0: must be at least 1; --all lists every organization|orgs list",
		"orgs|delete":                                       "ORG_ID is missing|orgs delete",
		"members|list":                                      "ORG_ID is missing|members list",
		"members|get|432":                                   "USER_ID is missing|members get",
		"members|get|432|3|4":                               `ORG_ID and USER_ID are enough; "4" is one too many|members get`,
		"members|get|432|ada":                               `USER_ID "ada": must be a positive whole number|members get`,
		"members|add|432":                                   "--email and --role are required|members add",
		"members|update|432|3":                              "--role is required|members update",
		"members|update|432|3|--role|boss":                  `--role "boss": must be viewer, member, admin or owner|members update`,
		"members|remove|432|3|--keys|keep":                  `--keys "keep": must be delete or transfer|members remove`,
		"users|sessions|end":                                "SESSION_ID is missing|users sessions end",
		"users|sessions|start":                              `unknown command "start"|users sessions`,
		"users|password|" + password:                        `unknown command "` + password + `" for "users password"|users password`,
		"audit|list|--outcome|no":                           `--outcome "no": must be success or refused|audit list`,
		"audit|list|--target-id|3":                          "--target-id goes with --target-type|audit list",
		"audit|list|--target-type|car":                      `--target-type "car": must be key, organization, member, user, session, node or audit|audit list`,
		"audit|list|--since|1d|--from|x":                    `--from "x": must be a time such as 2027-01-31T18:00:00Z (RFC 3339)|audit list`,
		"audit|list|--since|1d|--limit|5|--all":             "--limit and --all exclude each other; give one of them|audit list",
		"orgs|update|1|--external-id|x|--no-external-id":    "--external-id and --no-external-id exclude each other; give one of them|orgs update",
		"audit|list|--since|1d|--from|2027-01-31T18:00:00Z": "--from and --since exclude each other; give one of them|audit list",
	} {
		s := serve(t, nil)
		got := against(s).call(t, strings.Split(args, "|")...)
		text, command, _ := strings.Cut(want, "|")
		equal(t, args, got.stderr, "apikeyd: "+text+"\nSee \""+command+" --help\".\n")
		if got.code != 2 || got.out != "" || s.asked != nil {
			t.Errorf("%s: exit code %d, output %q, sent %v", args, got.code, got.out, s.asked)
		}
	}
}
