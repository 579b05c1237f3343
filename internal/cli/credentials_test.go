package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

// TestWhoActsWhere is the order of flags, environment and what a sign-in has kept. What is kept is one thing: it is for
// its own server, and not for those who give a key.
func TestWhoActsWhere(t *testing.T) {
	const cookie, bearer = "__Host-apikeyd=" + keptSecret + "|", "|Bearer "
	for _, row := range []struct {
		name string
		args string            // $ is the server that somebody is signed in to, % another one
		env  map[string]string // likewise
		kept string            // what is kept; "": a session
		want string            // cookie and authorization; where nothing is sent, what is wrong
		at   string            // which server was asked
	}{
		{"nothing but what is kept", "", nil, "", cookie, "$"},
		{"a kept key", "", nil, `{"server":"$","api_key":"ak_kept"}`, bearer + "ak_kept", "$"},
		{"the server named", "--server|$", nil, "", cookie, "$"},
		{"the server named with a slash", "--server|$/", nil, "", cookie, "$"},
		{"the server named in the environment", "", map[string]string{envServer: "$"}, "", cookie, "$"},
		{"another server", "--server|%", nil, "", "no credential for %: you are signed in to $", ""},
		{"another server in the environment", "", map[string]string{envServer: "%"}, "", "no credential for %: you are signed in to $", ""},
		{"a key in the environment", "--server|%", map[string]string{envKey: "ak_env"}, "", bearer + "ak_env", "%"},
		{"a key as a flag", "--server|%|--key|ak_flag", map[string]string{envKey: "ak_env"}, "", bearer + "ak_flag", "%"},
		{"a key, and what is kept is damaged", "--server|%|--key|ak_flag", nil, "nonsense", bearer + "ak_flag", "%"},
		{"an empty key", "--key|", map[string]string{envKey: "ak_env"}, "", "--key: must not be empty", ""},
		{"nothing kept", "", nil, "-", `no API key; set APIKEYD_KEY, give --key-file FILE, or sign in with "apikeyd login"`, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			answers := map[string]string{"GET /v1/api-keys/17": "200 " + key()}
			signed, another := serve(t, answers), serve(t, answers)
			here := strings.NewReplacer("$", signed.URL, "%", another.URL).Replace
			x := signedIn(t, signed)
			switch row.kept {
			case "":
			case "-":
				x.home = t.TempDir()
			default:
				x.write(t, here(row.kept), 0o600)
			}
			x.env = map[string]string{}
			for name, value := range row.env {
				x.env[name] = here(value)
			}
			args := []string{"keys", "get", "17"}
			if row.args != "" {
				args = append(args, strings.Split(here(row.args), "|")...)
			}
			got := x.call(t, args...)
			asked, other := signed, another
			if row.at == "%" {
				asked, other = another, signed
			}
			if other.asked != nil {
				t.Error("the wrong server was asked")
			}
			if row.at == "" {
				equal(t, "standard error", got.stderr, "apikeyd: "+here(row.want)+"\nSee \"keys get --help\".\n")
				if got.code != 2 || asked.asked != nil {
					t.Errorf("exit code %d, asked %v", got.code, asked.asked)
				}
				return
			}
			equal(t, "standard error", got.stderr, "")
			equal(t, "sent", asked.cookie+"|"+asked.authorization, row.want)
		})
	}
}

// TestCredentialsThatAreRefused: the reason, where the file is and what to do; and nothing of what is in it.
func TestCredentialsThatAreRefused(t *testing.T) {
	const good = `{"server":"http://keys.test","session":"` + keptSecret + `"}`
	for _, row := range []struct {
		name    string
		content string
		mode    os.FileMode
		want    string
	}{
		{"open to the group", good, 0o640, "$ is open to others (its mode is 0640), who may have read the credential in it\n" +
			"  to keep it: chmod 600 $; to be safe, sign in again and end the other session\n"},
		{"open to everybody", good, 0o604, "(its mode is 0604)"},
		{"writable by everybody", good, 0o602, "(its mode is 0602)"},
		{"empty", "", 0o600, "$ is damaged; sign in again with \"apikeyd login\", or remove it\n"},
		{"cut off", good[:len(good)-10], 0o600, "is damaged"},
		{"something after it", good + "x", 0o600, "is damaged"},
		{"no object", `"` + keptSecret + `"`, 0o600, "is damaged"},
		{"null", "null", 0o600, "is damaged"},
		{"no server", `{"session":"` + keptSecret + `"}`, 0o600, "is damaged"},
		{"a server that is none", `{"server":"keys.test","session":"` + keptSecret + `"}`, 0o600, "is damaged"},
		{"no credential", `{"server":"http://keys.test"}`, 0o600, "is damaged"},
		{"two credentials", `{"server":"http://keys.test","session":"` + keptSecret + `","api_key":"ak_x"}`, 0o600, "is damaged"},
		{"a session that would smuggle in a header", `{"server":"http://keys.test","session":"` + keptSecret + `\r\nX: y"}`, 0o600, "is damaged"},
		{"a key of another type", `{"server":"http://keys.test","api_key":17}`, 0o600, "is damaged"},
	} {
		x := terminal{home: t.TempDir()}
		x.write(t, row.content, row.mode)
		for _, args := range []string{"keys|list", "users|sessions|list"} {
			got := x.call(t, strings.Split(args, "|")...)
			want := strings.ReplaceAll(row.want, "$", x.path())
			if got.code != 1 || !strings.Contains(got.stderr, want) || !strings.HasPrefix(got.stderr, "apikeyd: "+x.path()+" is ") ||
				strings.Contains(got.stderr, keptSecret) {
				t.Errorf("%s: %s: %+v", row.name, args, got)
			}
		}
	}
	x := terminal{home: t.TempDir()}
	if err := os.MkdirAll(x.path(), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := x.call(t, "keys", "list"); got.code != 1 || got.stderr != "apikeyd: "+x.path()+" is no regular file\n" {
		t.Errorf("a folder: %+v", got)
	}
}

const sessionsTable = `ID  CURRENT   BEGUN WITH  IP           BEGUN       LAST USED  EXPIRES     PROGRAM
12  this one  password    -            2026-11-22  1h ago     2026-11-29  -
9   -         link        203.0.113.9  2026-11-22  1h ago     2026-11-29  Mozilla/5.0 (X11)
`

// TestSessionCommands: what only a session can do, which takes no notice of a key in the environment.
func TestSessionCommands(t *testing.T) {
	other := strings.NewReplacer(`"session_id":12`, `"session_id":9`, `"current":true`, `"current":false`, `"password"`, `"link"`,
		`"ip":""`, `"ip":"203.0.113.9"`, `"user_agent":""`, `"user_agent":"Mozilla/5.0 (X11)"`).Replace(begunSession)
	const set = "PUT /v1/me/password"
	for _, row := range []struct {
		name    string
		args    string
		stdin   string
		answers map[string]string
		asked   string
		out     string
		stderr  string
		code    int
	}{
		{
			name: "list", args: "sessions|list",
			answers: map[string]string{"GET /v1/sessions?limit=101": "200 [" + begunSession + "," + other + "]"},
			asked:   "GET /v1/sessions?limit=101", out: sessionsTable,
		},
		{
			name: "list as JSON", args: "sessions|list|-o|json|--limit|2",
			answers: map[string]string{"GET /v1/sessions?limit=3": "200 []"}, asked: "GET /v1/sessions?limit=3", out: "[]\n",
		},
		{
			name: "end", args: "sessions|end|9|10",
			answers: map[string]string{"DELETE /v1/sessions/9": "204"}, asked: "DELETE /v1/sessions/9\nDELETE /v1/sessions/10",
			out: "ended 9\n", stderr: "apikeyd: session 10: there is no such thing (not_found)\n  request 01J9\n", code: 1,
		},
		{
			name: "a first password", args: "password", stdin: password + "\n\n",
			answers: map[string]string{set: "204"}, asked: set + ` {"new_password":"` + password + `"}`, out: "password set\n",
		},
		{
			name: "another password", args: "password", stdin: " old one\r\n" + password + " \n",
			answers: map[string]string{set: "204"},
			asked:   set + ` {"new_password":"` + password + ` ","current_password":" old one"}`, out: "password set\n",
		},
		{
			name: "no current password", args: "password", stdin: "\n" + password,
			answers: map[string]string{set: "204"}, asked: set + ` {"new_password":"` + password + `"}`, out: "password set\n",
		},
		{
			name: "a password that will not do", args: "password", stdin: "old\nshort",
			answers: map[string]string{set: problem(api.CodeInvalid, "2 faults",
				api.Fault{Pointer: "/current_password", Detail: "is wrong"}, api.Fault{Pointer: "/new_password", Detail: "is short"})},
			asked:  set + ` {"new_password":"short","current_password":"old"}`,
			stderr: "apikeyd: 2 faults (invalid)\n  current password: is wrong\n  new password: is short\n  request 01J9\n", code: 1,
		},
		{
			name: "no password at all", args: "password", stdin: "\n\n",
			stderr: "apikeyd: passwords from standard input: there is nothing in it\nSee \"users password --help\".\n", code: 2,
		},
		{
			name: "a password that is no text", args: "password", stdin: "\xff\xfe\n",
			stderr: "apikeyd: passwords from standard input: must be valid UTF-8\nSee \"users password --help\".\n", code: 2,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := serve(t, row.answers)
			x := signedIn(t, s)
			x.stdin, x.env = row.stdin, map[string]string{envKey: callingToken}
			got := x.call(t, append([]string{"users"}, strings.Split(row.args, "|")...)...)
			equal(t, "standard output", got.out, row.out)
			equal(t, "standard error", got.stderr, row.stderr)
			if got.code != row.code {
				t.Errorf("exit code %d, want %d", got.code, row.code)
			}
			equal(t, "asked", strings.Join(s.asked, "\n"), row.asked)
			if s.asked != nil {
				equal(t, "sent", s.cookie+"|"+s.authorization, "__Host-apikeyd="+keptSecret+"|")
			}
		})
	}
}

func TestSessionCommandsWithoutASession(t *testing.T) {
	s := serve(t, nil)
	nobody := terminal{home: t.TempDir(), env: map[string]string{envServer: s.URL, envKey: callingToken}}
	withKey := signedIn(t, s)
	withKey.write(t, `{"server":"`+s.URL+`","api_key":"`+newToken+`"}`, 0o600)
	elsewhere := signedIn(t, s)
	for _, row := range []struct {
		x    terminal
		args string
		want string
	}{
		{nobody, "", `you are not signed in; "apikeyd login" signs in`},
		{withKey, "", `this takes a session, and what "apikeyd login" has kept is an API key; sign in with --email or --link`},
		{elsewhere, "--server|http://elsewhere.test", "no credential for http://elsewhere.test: you are signed in to " + s.URL},
	} {
		for _, command := range []string{"password", "sessions list", "sessions end 12"} {
			args := append([]string{"users"}, strings.Fields(command)...)
			if row.args != "" {
				args = append(args, strings.Split(row.args, "|")...)
			}
			got := row.x.call(t, args...)
			if got.code != 2 || got.out != "" || s.asked != nil || !strings.HasPrefix(got.stderr, "apikeyd: "+row.want+"\n") {
				t.Errorf("%s: %+v, asked %v", command, got, s.asked)
			}
		}
	}
}
