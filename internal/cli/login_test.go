package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

// signedIn returns a terminal of somebody who is signed in to the server, and has no key in the environment.
func signedIn(t *testing.T, s *server) terminal {
	t.Helper()
	x := terminal{home: t.TempDir()}
	x.write(t, `{"server":"`+s.URL+`","session":"`+keptSecret+`"}`, 0o600)
	return x
}

func (x terminal) path() string { return filepath.Join(x.home, "apikeyd", "credentials.json") }

func (x terminal) write(t *testing.T, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(x.path()), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(x.path(), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(x.path(), mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

// kept returns what is kept, and checks that nobody else can read it and that nothing lies beside it.
func (x terminal) kept(t *testing.T) (c credentials) {
	t.Helper()
	for path, want := range map[string]os.FileMode{x.path(): 0o600, filepath.Dir(x.path()): 0o700 | os.ModeDir} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(x.path())); err != nil || len(entries) != 1 {
		t.Errorf("beside the credentials: %v, %v", entries, err)
	}
	content, err := os.ReadFile(x.path())
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &c); err != nil {
		t.Error(err)
	}
	return c
}

// nothingKept checks that no credentials are kept, and that nothing else was left behind.
func (x terminal) nothingKept(t *testing.T) {
	t.Helper()
	if entries, err := os.ReadDir(filepath.Dir(x.path())); err == nil && len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}

const begunSession = `{"session_id":12,"user_id":3,"method":"password","current":true,"ip":"","user_agent":"",` +
	`"created_at":"2026-11-22T18:54:03.120Z","last_used_at":"2026-11-22T18:54:03.120Z","expires_at":"2026-11-29T18:54:03.120Z"}`

// TestLogin: what is sent, printed and kept. $ stands for the address of the server.
func TestLogin(t *testing.T) {
	began := map[string]string{"POST /v1/sessions": "201 " + begunSession}
	withPassword := `POST /v1/sessions {"email":"ada@example.com","password":"` + password + `"}`
	withLink := `POST /v1/sessions {"link":"` + linkSecret + `"}`
	for _, row := range []struct {
		name    string
		args    string
		stdin   string
		env     map[string]string
		answers map[string]string
		asked   string
		out     string
		stderr  string
		code    int
		kept    credentials
	}{
		{
			name: "with a password", args: "--email|ada@example.com|--server|$", stdin: password + "\r\nanother line\n",
			answers: began, asked: withPassword, out: "signed in to $ as ada@example.com\n",
			kept: credentials{Server: "$", Session: newSecret},
		},
		{
			name: "with spaces around a password", args: "--email|ada@example.com|--server|$", stdin: "  pass word \n",
			answers: began, asked: `POST /v1/sessions {"email":"ada@example.com","password":"  pass word "}`,
			out: "signed in to $ as ada@example.com\n", kept: credentials{Server: "$", Session: newSecret},
		},
		{
			name: "with a server and a key from the environment", args: "--email|ada@example.com", stdin: password,
			env: map[string]string{envServer: "$", envKey: callingToken}, answers: began, asked: withPassword,
			out:    "signed in to $ as ada@example.com\n",
			stderr: "APIKEYD_KEY is set, and goes before what was kept just now.\n",
			kept:   credentials{Server: "$", Session: newSecret},
		},
		{
			name: "with a wrong password", args: "--email|ada@example.com|--server|$", stdin: password,
			answers: map[string]string{"POST /v1/sessions": problem(api.CodeUnauthenticated, "address or password is wrong")},
			asked:   withPassword, stderr: "apikeyd: address or password is wrong (unauthenticated)\n  request 01J9\n", code: 1,
		},
		{
			name: "with a link", args: "--link|$/sign-in/" + linkSecret,
			answers: began, asked: withLink, out: "signed in to $ as user 3\n",
			kept: credentials{Server: "$", Session: newSecret},
		},
		{
			name: "with a link from standard input", args: "--link|-", stdin: "\n $/sign-in/" + linkSecret + " \n",
			answers: began, asked: withLink, out: "signed in to $ as user 3\n",
			kept: credentials{Server: "$", Session: newSecret},
		},
		{
			name: "with a link to another name of the server", args: "--server|$|--link|https://elsewhere.test/sign-in/" + linkSecret,
			answers: began, asked: withLink, out: "signed in to $ as user 3\n",
			kept: credentials{Server: "$", Session: newSecret},
		},
		{
			name: "with the end of a link", args: "--link|" + linkSecret, env: map[string]string{envServer: "$"},
			answers: began, asked: withLink, out: "signed in to $ as user 3\n",
			kept: credentials{Server: "$", Session: newSecret},
		},
		{
			name: "with a link that is no good", args: "--link|$/sign-in/" + linkSecret,
			answers: map[string]string{"POST /v1/sessions": problem(api.CodeUnauthenticated, "the link is used up")},
			asked:   withLink, stderr: "apikeyd: the link is used up (unauthenticated)\n  request 01J9\n", code: 1,
		},
		{
			name: "with a key", args: "--key|-|--server|$", stdin: newToken + "\n",
			answers: map[string]string{"GET /v1/me": me(acme)}, asked: "GET /v1/me",
			out: "signed in to $ as ada@example.com\n", kept: credentials{Server: "$", Key: newToken},
		},
		{
			name: "with a key that is no good", args: "--key|" + newToken + "|--server|$",
			answers: map[string]string{"GET /v1/me": problem(api.CodeUnauthenticated, "the key is unknown")}, asked: "GET /v1/me",
			stderr: "apikeyd: the key is unknown (unauthenticated)\n  request 01J9\n", code: 1,
		},
		{
			name: "a link by mail", args: "--email|ada@example.com|--mail-link|--server|$",
			answers: map[string]string{"POST /v1/sign-in-links": "202"}, asked: `POST /v1/sign-in-links {"email":"ada@example.com"}`,
			stderr: "If a user has this address, a one-time link is on its way to it. Sign in with: apikeyd login --link -\n",
		},
		{
			name: "a link by mail, of a server that sends none", args: "--email|ada@example.com|--mail-link|--server|$",
			answers: map[string]string{"POST /v1/sign-in-links": problem(api.CodeConflict, "this server sends no mail")},
			asked:   `POST /v1/sign-in-links {"email":"ada@example.com"}`,
			stderr:  "apikeyd: this server sends no mail (conflict)\n  request 01J9\n", code: 1,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := serve(t, row.answers)
			here := strings.NewReplacer("$", s.URL).Replace
			x := terminal{stdin: here(row.stdin), env: map[string]string{}, home: t.TempDir()}
			for name, value := range row.env {
				x.env[name] = here(value)
			}
			got := x.call(t, append([]string{"login"}, strings.Split(here(row.args), "|")...)...)
			equal(t, "standard output", got.out, here(row.out))
			equal(t, "standard error", got.stderr, row.stderr)
			if got.code != row.code {
				t.Errorf("exit code %d, want %d", got.code, row.code)
			}
			equal(t, "asked", strings.Join(s.asked, "\n"), row.asked)
			equal(t, "Cookie", s.cookie, "")
			if row.kept == (credentials{}) {
				x.nothingKept(t)
				return
			}
			row.kept.Server = here(row.kept.Server)
			if kept := x.kept(t); kept != row.kept {
				t.Errorf("kept %+v", kept)
			}
		})
	}
}

// TestLoginAgain: the server is where one was before, and what was kept is replaced, however bad.
func TestLoginAgain(t *testing.T) {
	s := serve(t, map[string]string{"POST /v1/sessions": "201 " + begunSession})
	x := signedIn(t, s)
	x.stdin = password
	if got := x.call(t, "login", "--email", "ada@example.com"); got.code != 0 {
		t.Fatalf("got %+v", got)
	}
	want := credentials{Server: s.URL, Session: newSecret}
	if kept := x.kept(t); kept != want {
		t.Errorf("kept %+v", kept)
	}
	if err := os.Chmod(filepath.Dir(x.path()), 0o755); err != nil {
		t.Fatal(err)
	}
	x.write(t, "nonsense", 0o644)
	if got := x.call(t, "login", "--email", "ada@example.com", "--server", s.URL); got.code != 0 {
		t.Fatalf("got %+v", got)
	}
	if kept := x.kept(t); kept != want {
		t.Errorf("kept %+v", kept)
	}
}

// TestLoginThatCannotBeKept: where there is no place for credentials, no link is used up and no session begun; where the
// place goes away in the middle, the session is ended.
func TestLoginThatCannotBeKept(t *testing.T) {
	answers := map[string]string{"POST /v1/sessions": "201 " + begunSession, "DELETE /v1/sessions/current": "204"}
	s := serve(t, answers)
	for name, x := range map[string]terminal{"no home": {}, "a home that is a file": {home: file(t, "x")}} {
		got := x.call(t, "login", "--link", s.URL+"/sign-in/"+linkSecret)
		if got.code != 1 || s.asked != nil || got.out != "" || strings.Contains(got.stderr, linkSecret) {
			t.Errorf("%s: %+v, asked %v", name, got, s.asked)
		}
	}

	x := terminal{home: t.TempDir(), stdin: password}
	s.during = func(request string) {
		if request == "POST /v1/sessions" {
			if err := os.RemoveAll(x.home); err != nil {
				t.Error(err)
			}
		}
	}
	got := x.call(t, "login", "--email", "ada@example.com", "--server", s.URL)
	if got.code != 1 || !strings.HasPrefix(got.stderr, "apikeyd: keep the credentials: ") || got.out != "" {
		t.Errorf("got %+v", got)
	}
	if len(s.asked) != 2 || s.asked[1] != "DELETE /v1/sessions/current" || s.cookie != "__Host-apikeyd="+newSecret {
		t.Errorf("asked %v with %q", s.asked, s.cookie)
	}
}

func TestWrongUsageOfLogin(t *testing.T) {
	link := "--link: must be a link such as https://keys.example.com/sign-in/… or what comes after its last slash"
	for args, want := range map[string]string{
		"":                                     "as whom? Give one of --email, --link and --key",
		"--mail-link":                          "--mail-link: to whom? Give --email too",
		"--email|":                             "--email: must not be empty",
		"--email|a|--link|b":                   "--email and --link exclude each other; give one of them",
		"--email|a|--mail-link|--key|b":        "--email and --key exclude each other; give one of them",
		"--key|a|--key-file|b":                 "--key and --key-file exclude each other; give one of them",
		"--key|":                               "--key: must not be empty",
		"--email|a":                            "password from standard input: there is nothing in it",
		"--email|a|--server|nonsense":          `server address "nonsense": must be an address such as https://keys.example.com`,
		"--link|":                              link,
		"--link|https://keys.test/" + newToken: link,
		"--link|https://keys.test/sign-in/":    link,
		"--link|https://keys.test/sign-in/" + linkSecret + "/": link,
		"--link|" + linkSecret + "?x=1":                        link,
		"--link|-":                                             "One-time link from standard input: there is nothing in it",
		"https://keys.test/sign-in/" + linkSecret:              `unknown command "https://keys.test…" for "login"`,
	} {
		x := terminal{home: t.TempDir()}
		got := x.call(t, append([]string{"login"}, strings.Split(args, "|")...)...)
		if args == "" {
			got = x.call(t, "login")
		}
		equal(t, args, got.stderr, "apikeyd: "+want+"\nSee \"login --help\".\n")
		if got.code != 2 || got.out != "" {
			t.Errorf("%s: %+v", args, got)
		}
		x.nothingKept(t)
	}
}

func TestLogout(t *testing.T) {
	ended := map[string]string{"DELETE /v1/sessions/current": "204"}
	t.Run("of a session", func(t *testing.T) {
		s := serve(t, ended)
		x := signedIn(t, s)
		x.env = map[string]string{envKey: callingToken, envServer: "http://elsewhere.test"} // which are not what is logged out of
		got := x.call(t, "logout")
		if want := (result{0, "signed out of " + s.URL + "\n", ""}); got != want || strings.Join(s.asked, "") != "DELETE /v1/sessions/current" {
			t.Errorf("got %+v, asked %v", got, s.asked)
		}
		if s.cookie != "__Host-apikeyd="+keptSecret || s.authorization != "" {
			t.Errorf("sent %q and %q", s.cookie, s.authorization)
		}
		x.nothingKept(t)
		if again := x.call(t, "logout"); again != (result{0, "", "You were not signed in.\n"}) {
			t.Errorf("again: %+v", again)
		}
	})
	t.Run("of a session that is over", func(t *testing.T) {
		s := serve(t, map[string]string{"DELETE /v1/sessions/current": problem(api.CodeUnauthenticated, "it is over")})
		x := signedIn(t, s)
		if got := x.call(t, "logout"); got.code != 0 {
			t.Errorf("got %+v", got)
		}
		x.nothingKept(t)
	})
	t.Run("of a key", func(t *testing.T) {
		s := serve(t, nil)
		x := signedIn(t, s)
		x.write(t, `{"server":"`+s.URL+`","api_key":"`+newToken+`"}`, 0o600)
		if got := x.call(t, "logout"); got.code != 0 || s.asked != nil {
			t.Errorf("got %+v, asked %v", got, s.asked)
		}
		x.nothingKept(t)
	})
	t.Run("where the server fails", func(t *testing.T) {
		s := serve(t, map[string]string{"DELETE /v1/sessions/current": problem(api.CodeInternal, "a fault")})
		x := signedIn(t, s)
		if got := x.call(t, "logout"); got != (result{1, "", "apikeyd: a fault (internal)\n  request 01J9\n"}) {
			t.Errorf("got %+v", got)
		}
		if kept := x.kept(t); kept.Session != keptSecret {
			t.Errorf("kept %+v", kept)
		}
		s.asked = nil
		if got := x.call(t, "logout", "--forget"); got != (result{0, "forgotten\n", ""}) || s.asked != nil {
			t.Errorf("got %+v, asked %v", got, s.asked)
		}
		x.nothingKept(t)
	})
	t.Run("of what cannot be read", func(t *testing.T) {
		x := terminal{home: t.TempDir()}
		x.write(t, "nonsense", 0o600)
		if got := x.call(t, "logout"); got.code != 1 || !strings.Contains(got.stderr, "is damaged") {
			t.Errorf("got %+v", got)
		}
		if got := x.call(t, "logout", "--forget"); got.code != 0 {
			t.Errorf("got %+v", got)
		}
		x.nothingKept(t)
	})
}
