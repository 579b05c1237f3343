package cli

import (
	"strings"
	"testing"
)

// TestWhereTheCredentialComesFrom is the order of flags, environment and files.
func TestWhereTheCredentialComesFrom(t *testing.T) {
	const fromEnv, fromFlag, fromFile, fromInput = "ak_env", "ak_flag", "ak_file", "ak_input"
	path := file(t, "\n  "+fromFile+"  \r\nsecond line\n")
	for _, row := range []struct {
		args string
		env  string
		want string
	}{
		{"get|17", fromEnv, fromEnv},
		{"get|17|--key|" + fromFlag, fromEnv, fromFlag},
		{"get|17|--key-file|" + path, fromEnv, fromFile},
		{"get|17|--key|-", fromEnv, fromInput},
		{"get|17|--key|" + fromFlag, "", fromFlag},
		{"get|17", "-", "-"}, // in the environment it is no request to read anything
	} {
		s := serve(t, map[string]string{"GET /v1/api-keys/17": "200 " + key()})
		x := terminal{stdin: fromInput + "\nmore\n", env: map[string]string{envServer: s.URL, envKey: row.env}}
		got := x.run(t, strings.Split(row.args, "|")...)
		equal(t, row.args, got.stderr, "")
		equal(t, row.args, s.authorization, "Bearer "+row.want)
	}
}

func TestWhereTheServerIs(t *testing.T) {
	answers := map[string]string{"GET /v1/api-keys/17": "200 " + key(), "POST /v1/verify": `200 {"valid":false,"code":"NOT_FOUND"}`}
	s, wrong := serve(t, answers), serve(t, answers)
	x := against(wrong)
	if got := x.run(t, "get", "17", "--server", s.URL); got.code != 0 || s.asked == nil || wrong.asked != nil {
		t.Errorf("--server does not win over the environment: %+v", got)
	}
	s.asked = nil
	if got := x.run(t, "verify", "a", "--verify-server", s.URL); got.code != 1 || s.asked == nil || wrong.asked != nil {
		t.Errorf("--verify-server does not win over the environment: %+v", got)
	}
	for command, want := range map[string]string{"get": defaultServer, "verify": defaultVerifyServer} {
		if got := (terminal{}).run(t, command, "--help"); !strings.Contains(got.out, "(default "+want+")") {
			t.Errorf("%s does not say where it goes by default: %s", command, got.out)
		}
	}
}

func TestVerifyWithCredentials(t *testing.T) {
	s := serve(t, map[string]string{"POST /v1/verify": `200 {"valid":false,"code":"DISABLED","key_id":17}`})
	path := file(t, verifyToken+"\nanother-one\n")
	x := against(s)
	x.stdin = newToken + "\n"
	got := x.run(t, "verify", "-", "--verify-token-file", path)
	if got.code != 1 || !strings.HasPrefix(got.out, "DISABLED\nID ") || got.stderr != "" {
		t.Errorf("got %+v", got)
	}
	equal(t, "asked", strings.Join(s.asked, "\n"), `POST /v1/verify {"key":"`+newToken+`"}`)
	equal(t, "Authorization", s.authorization, "Bearer "+verifyToken)

	x.env[envVerifyTokenFile] = path
	s.authorization = ""
	x.run(t, "verify", "a")
	equal(t, "Authorization", s.authorization, "Bearer "+verifyToken)
}
