package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

// TestTheTokenIsNowhere is the fifth promise. A server that logs all it can is used in every way, right and wrong, with
// tokens in all places where they belong and where they do not, and so with one-time links, sessions and passwords. Then
// they are looked for: in its files, while it runs and afterwards, in a backup, in its log, its metrics and every answer
// but those that hand one out.
func TestTheTokenIsNowhere(t *testing.T) {
	t.Parallel()
	for format, misused := range map[string][]string{"json": {"live", "deleted"}, "text": {"rotated"}} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			searchAfterUse(t, format, misused)
		})
	}
}

func searchAfterUse(t *testing.T, logFormat string, misused []string) {
	folder := t.TempDir()
	s := serve(t, folder, "--log-level", "debug", "--log-format", logFormat)
	printed := s.stdout.bytes()
	u := &misuser{t: t, server: s, tokens: map[string]string{"first": s.token}}
	c := s.client(s.token)
	for _, name := range []string{"live", "rotated", "deleted", "disabled"} {
		created, err := c.CreateKey(t.Context(), draft(name))
		if err != nil {
			t.Fatal(err)
		}
		u.tokens[name] = created.Token
		if a, err := s.verifier().Verify(t.Context(), api.VerifyRequest{Key: created.Token}); err != nil || !a.Valid {
			t.Fatalf("%+v, %v", a, err)
		}
		switch name {
		case "rotated":
			again, err := c.RotateKey(t.Context(), created.KeyID, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			u.tokens["after rotation"] = again.Token
		case "deleted":
			err = c.DeleteKey(t.Context(), created.KeyID)
		case "disabled":
			_, err = c.UpdateKey(t.Context(), created.KeyID, api.KeyPatch{Enabled: new(false)})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	u.useAccounts()
	for _, name := range misused {
		u.misuse(u.tokens[name])
	}

	u.answers.Write(get(t, s.management+"/openapi.json"))
	u.answers.Write(get(t, s.management+"/docs"))
	metrics := get(t, s.verification+"/metrics")
	backup := filepath.Join(t.TempDir(), "backup.db")
	if out, err := runBeside(s, "backup", backup); err != nil {
		t.Fatalf("backup: %v\n%s", err, out)
	}

	hidden := newSecrets(u.tokens)
	if hidden.find(printed) == "" {
		t.Error("the first print has no token, so nothing would be found anywhere")
	}
	if !bytes.Contains(u.answers.Bytes(), []byte("request_id")) || u.requests < 200 {
		t.Errorf("only %d requests were made", u.requests)
	}
	hidden.mustBeAbsent(t, "an answer that hands none out", u.answers.Bytes())
	hidden.mustBeAbsent(t, "the metrics", metrics)
	searched := 0
	search := func(when string) {
		for path, content := range filesIn(t, folder) {
			searched++
			hidden.mustBeAbsent(t, filepath.Base(path)+" "+when, content)
		}
	}
	search("while the server runs")
	s.stop()
	search("when it has stopped")
	for path, content := range filesIn(t, filepath.Dir(backup)) {
		hidden.mustBeAbsent(t, filepath.Base(path), content)
	}
	if searched < 6 { // the database, its log, its index, its lock; two of them afterwards
		t.Errorf("only %d files were searched", searched)
	}
	hidden.mustBeAbsent(t, "standard output after the first print", bytes.TrimPrefix(s.stdout.bytes(), printed))
	log := s.stderr.bytes()
	hidden.mustBeAbsent(t, "the log", log)
	if lines := bytes.Count(log, []byte("\n")); lines < u.requests*3/4 {
		t.Errorf("after %d requests the log has only %d lines", u.requests, lines)
	}
}

// useAccounts signs in in every way, sets passwords and invites people, and gets all of it wrong as well.
func (u *misuser) useAccounts() {
	t, m := u.t, u.server.management
	keep := func(name string, b signedIn) signedIn {
		u.tokens[name+": session"], u.tokens[name+": device"] = b.session, b.device
		return b
	}
	passwords := map[string]string{}
	for _, name := range []string{"first password", "second password", "mistyped password", "common password"} {
		passwords[name] = name + " " + rand.Text() + "7" // with a digit, it looks like a secret where it stands for a name
		u.tokens[name] = passwords[name]
	}
	const email = "admin@localhost"
	link := linkSecret(t, u.server.stdout.String())
	u.tokens["first link"] = link
	first := keep("by link", signIn(t, m, withLink(link)))
	set := fmt.Sprintf(`{"new_password":%q}`, passwords["first password"])
	request(t, m, "PUT", passwordPath, set, []string{first.cookie()}).is(http.StatusNoContent)
	second := keep("by password", signIn(t, m, withPassword(email, passwords["first password"]), first.deviceCookie()))
	set = fmt.Sprintf(`{"current_password":%q,"new_password":%q}`, passwords["first password"], passwords["second password"])
	request(t, m, "PUT", passwordPath, set, []string{second.cookie()}).is(http.StatusNoContent)

	for _, name := range []string{"invited", "invited and come"} {
		invited := request(t, m, "POST", organizationsPath+"/1/members", fmt.Sprintf(`{"email":"%s@example.com","role":"admin"}`,
			strings.ReplaceAll(name, " ", ".")), []string{second.cookie()}).is(http.StatusCreated)
		link = linkSecret(t, invited.body)
		u.tokens[name+": link"] = link
	}
	guest := keep("guest", signIn(t, m, withLink(link)))
	out, err := runBeside(u.server, "users", "sign-in-link", email)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	u.tokens["link of the command"] = linkSecret(t, string(out))

	// What shows them all, and what comes of wrong ones: used, ended, in the place of one another, where none belongs.
	cookies := []string{"Cookie: " + sessionCookie + "=" + second.session + "; " + rememberedCookie + "=" + second.device}
	for _, path := range []string{"/v1/me", sessionsPath, auditPath, auditPath + "?action=session.*", organizationsPath, organizationsPath + "/1/members"} {
		u.send("GET", m+path, "", cookies...)
	}
	for name, text := range u.tokens {
		quoted := fmt.Sprintf("%q", text)
		for _, body := range []string{
			`{"link":` + quoted + `x}`, `{"email":"` + email + `","password":` + quoted[:len(quoted)-1] + `!"}`, `{"email":` + quoted + `,"password":"x"}`,
			`{"email":"nobody@example.com","password":` + quoted + `}`, `{` + quoted + `:1}`, quoted, `{"link":[` + quoted + `]}`,
		} {
			u.send("POST", m+sessionsPath, body)
			u.send("POST", m+signInLinksPath, body)
			u.send("PUT", m+passwordPath, body, cookies...)
			u.send("POST", m+organizationsPath, body, cookies...)
			u.send("POST", m+organizationsPath+"/1/members", body, cookies...)
		}
		u.send("PUT", m+passwordPath, `{"current_password":`+quoted+`,"new_password":"short"}`, cookies...)
		if strings.Contains(name, "password") {
			continue
		}
		u.send("GET", m+"/sign-in/"+text, "")
		u.send("GET", m+"/v1/me", "", "Authorization: Bearer "+text)
		u.send("GET", m+"/v1/me", "", "Cookie: "+sessionCookie+"="+text+"x")
		u.send("GET", m+"/v1/me", "", "Cookie: "+rememberedCookie+"="+text)
		u.send("GET", m+organizationsPath+"?external_id="+text, "", cookies...)
		u.send("GET", m+auditPath+"?action="+text, "", cookies...)
	}
	u.send("DELETE", m+sessionsPath+"/current", "", guest.cookie())
	u.send("GET", m+"/v1/me", "", guest.cookie())
}

// misuser sends tokens to where they do not belong.
type misuser struct {
	t        *testing.T
	server   *server
	tokens   map[string]string
	answers  bytes.Buffer // everything that came back: status lines, headers and bodies
	requests int
}

// misuse puts one token into every place that a request has.
func (u *misuser) misuse(token string) {
	m, v := u.server.management, u.server.verification
	wrong := token[:len(token)-1] + "!" // no token any more, and all of its secret
	flipped := []byte(token)
	flipped[10] ^= 1 // the checksum is wrong
	encoded := base64.StdEncoding.EncodeToString([]byte("user:" + token))
	for _, text := range []string{token, wrong, string(flipped), encoded, strings.ToUpper(token), token[3:], token + token} {
		for _, base := range []string{m, v} {
			// The path and the query.
			u.send("GET", base+"/"+text, "")
			u.send("GET", base+"/v1/api-keys/"+text, "")
			u.send("DELETE", base+"/v1/api-keys/"+text, "")
			u.send("POST", base+"/v1/api-keys/"+text+"/rotate", "{}")
			u.send("GET", base+"/v1/api-keys?cursor="+text+"&limit="+text+"&q="+text+"&scope="+text+"&"+text+"=1", "")
			u.send("GET", base+"/v1/me?key="+text, "")
			u.send("POST", base+"/v1/verify?key="+text, `{"key":"x"}`)
			u.send("GET", base+"/livez?"+text, "")
			// Headers, those of credentials among them. With the first key, so that more of them is looked at.
			for _, header := range []string{"Authorization: " + text, "Authorization: Basic " + text, "Authorization: Bearer x" + text,
				"X-API-Key: " + text + " ", "Cookie: session=" + text, "User-Agent: " + text, "Referer: https://x/?key=" + text,
				"X-Request-Id: " + text, "Accept: " + text, "Content-Type: " + text, "Content-Type: application/json; charset=" + text,
				"X-Forwarded-For: " + text, "Forwarded: for=" + text, "Origin: https://" + text, text + ": x",
				"Content-Encoding: " + text} {
				u.send("POST", base+"/v1/verify", `{"key":"x"}`, header)
				u.send("POST", base+"/v1/api-keys", `{}`, header)
			}
		}
		u.send("PATCH", m+"/v1/api-keys/1", `{"enabled":true}`, "Authorization: Bearer "+u.server.token, "X-API-Key: "+token)
		u.send(text, m+"/v1/api-keys", "")

		// Bodies: in each field, as a field, as no JSON at all.
		bearer := "Authorization: Bearer " + u.server.token
		for _, value := range []string{`"` + text + `"`, `["` + text + `"]`, `{"` + text + `":"` + text + `"}`, text} {
			for _, field := range []string{"organization_id", "key_scope", "enabled", "expires_at", "grace_seconds", "scope", "ip", "limit", text} {
				body := fmt.Sprintf(`{%q:%s}`, field, value)
				u.send("POST", m+"/v1/api-keys", body, bearer)
				u.send("PATCH", m+"/v1/api-keys/1", body, bearer)
				u.send("POST", m+"/v1/api-keys/1/rotate", `{"grace_seconds":-1,`+body[1:], bearer)
				u.send("POST", v+"/v1/verify", body)
				u.send("POST", v+"/v1/verify/batch", `{"requests":[`+body+`]}`)
			}
			u.send("POST", m+"/v1/api-keys", value, bearer)
			u.send("POST", v+"/v1/verify", value)
			u.send("POST", v+"/v1/verify/batch", value)
		}
		u.send("POST", m+"/v1/api-keys", `{"key_name":"`+strings.Repeat(text, 3)+`","key_scope":["READ"],"organization_id":1}`, bearer)
		u.send("POST", m+"/v1/api-keys", `{"metadata":"`+text+`"}`, bearer)
		// Where it belongs, wrong or right.
		u.send("POST", v+"/v1/verify", `{"key":"`+text+`","scope":"READ","organization_id":2}`)
		u.send("GET", m+"/v1/me", "", "Authorization: Bearer "+text)
		u.send("GET", m+"/v1/me", "", "X-API-Key: "+text)
		u.send("DELETE", m+"/v1/api-keys/1", "", "Authorization: Bearer "+text)

		// What is no HTTP.
		for _, base := range []string{m, v} {
			for _, raw := range []string{
				text + "\r\n\r\n",
				"GET /" + text + "\r\n\r\n",
				"GET / HTTP/1.1\r\nHost: " + text + "@\r\n\r\n",
				"GET / HTTP/1.1\r\n" + text + "\r\n\r\n",
				"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: " + text + "\r\n\r\n",
				"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + text + "\r\n\r\n",
				"POST /v1/verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + text + "\r\n",
				"POST /v1/verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: " + text + "\r\nContent-Length: 2\r\n\r\n{}",
				"POST /v1/verify HTTP/" + text + "\r\n\r\n",
			} {
				u.sendRaw(base, raw)
			}
		}
	}
	// The command line, against this server and against none.
	for _, args := range [][]string{
		{"keys", "list", "--key", token + "x"},
		{"keys", "list", "--key", token, "--server", "http://127.0.0.1:1"},
		{"keys", "list", "--key-file", "missing", "--key", token},
		{"keys", "get", "99", "--key", token},
		{"keys", "verify", token, "--organization", "2"},
		{"keys", "verify", token, "--verify-server", "http://127.0.0.1:1"},
		{"keys", "verify", token, "--verify-server", u.server.management},
	} {
		out, _ := runBeside(u.server, args...) // most of them fail
		u.answers.Write(out)
	}
}

// send makes a request and keeps what comes back.
func (u *misuser) send(method, target, body string, headers ...string) {
	u.t.Helper()
	scheme, rest, _ := strings.Cut(target, "://")
	host, path, _ := strings.Cut(rest, "/")
	if !strings.Contains(strings.ToLower(strings.Join(headers, "\n")), "content-type:") && body != "" {
		headers = append(headers, "Content-Type: application/json")
	}
	var raw strings.Builder
	fmt.Fprintf(&raw, "%s /%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n", method, path, len(body))
	for _, h := range headers {
		raw.WriteString(h + "\r\n")
	}
	raw.WriteString("\r\n" + body)
	u.sendRaw(scheme+"://"+host, raw.String())
}

// sendRaw writes text to a connection, closes its half of it, and keeps what comes back.
func (u *misuser) sendRaw(base, text string) {
	u.t.Helper()
	u.requests++
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		u.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		u.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		u.t.Fatal(err)
	}
	_ = conn.(*net.TCPConn).CloseWrite() // the server may have hung up
	if _, err := io.Copy(&u.answers, conn); err != nil && u.answers.Len() == 0 {
		u.t.Fatal(err)
	}
	u.answers.WriteByte('\n')
}

func get(t *testing.T, address string) []byte {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", address, resp.Status, err)
	}
	return body
}

// runBeside runs apikeyd beside a server, in its folder, and returns all that it prints.
func runBeside(s *server, args ...string) ([]byte, error) {
	cmd := exec.Command(binary, args...)
	cmd.Dir = s.folder
	cmd.Env = append(environment(), "APIKEYD_SERVER="+s.management, "APIKEYD_VERIFY_SERVER="+s.verification, "APIKEYD_KEY="+s.token)
	return cmd.CombinedOutput()
}
