package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestListenersDiffer(t *testing.T) {
	const tail = "; give it another port"
	for _, tt := range []struct {
		name string
		args []string
		want string // "": accepted
	}{
		{"the defaults", nil, ""},
		{"two ports chosen by the system", []string{"--listen=127.0.0.1:0", "--verify-listen=127.0.0.1:0"}, ""},
		{"verification moved onto the API", []string{"--verify-listen=127.0.0.1:8080"},
			"--verify-listen: takes the address that --listen has (:8080)" + tail},
		{"API moved onto verification", []string{"--listen=:8081"},
			"--listen: takes the address that --verify-listen has (127.0.0.1:8081)" + tail},
		{"one socket", []string{"--listen=unix:/a/x", "--verify-listen=unix:/a/./x"},
			"--verify-listen: takes the address that --listen has (unix:/a/x)" + tail},
		{"nothing is said where one is bad", []string{"--listen=x", "--verify-listen=127.0.0.1:8080"}, "--listen: "},
	} {
		_, _, err := load(t, "", nil, tt.args...)
		got := problems(t, err)
		if tt.want == "" && err == nil {
			continue
		}
		if len(got) != 1 || !strings.HasPrefix(got[0], tt.want) || tt.want == "" {
			t.Errorf("%s: problems = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestSettingsOfSeveralNodes(t *testing.T) {
	const none = "has no effect with SQLite, where there is one node"
	given := []string{"--lease=2s", "--node-name=a"}
	environment := []string{"APIKEYD_STALE_IF_ERROR=1m"}
	for _, tt := range []struct {
		database string
		args     []string
		environ  []string
		want     []string
	}{
		{"sqlite:x.db", nil, nil, nil},
		{"sqlite:x.db", given, environment, []string{"--lease: " + none, "environment APIKEYD_STALE_IF_ERROR: " + none, "--node-name: " + none}},
		{"postgres://u@h/x", given, environment, nil},
	} {
		_, warnings, err := load(t, "", tt.environ, append(tt.args, "--database="+tt.database)...)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range warnings {
			got = append(got, w.String())
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s, %q: %s", tt.database, tt.args, diff)
		}
	}
}

// TestReachOfTheVerificationListener is the rule of who may be told which tokens are good, by HTTP and by gRPC.
func TestReachOfTheVerificationListener(t *testing.T) {
	for _, prefix := range []string{"--verify-", "--grpc-"} {
		t.Run(prefix, func(t *testing.T) { testReach(t, prefix) })
	}
}

// testReach tests the rule for a listener whose settings begin with prefix.
func testReach(t *testing.T, prefix string) {
	dir := t.TempDir()
	token := dir + "/token"
	write(t, token, strings.Repeat("t", 32))
	pki := newPKI(t, dir)
	cert := []string{prefix + "tls-cert-file=" + pki.cert, prefix + "tls-key-file=" + pki.key}
	mutual := append([]string{prefix + "tls-client-ca-file=" + pki.ca}, cert...)

	const refused, silent = "refused", ""
	for _, tt := range []struct {
		name   string
		listen string
		args   []string
		want   string // refused, silent, or part of the warning
	}{
		{"loopback", "127.0.0.1:1", nil, silent},
		{"IPv6 loopback", "[::1]:1", nil, silent},
		{"localhost", "localhost:1", nil, silent},
		{"unix socket", "unix:/x", nil, silent},
		{"loopback with a token", "127.0.0.1:1", []string{"--verify-token-file=" + token}, silent},
		{"every interface", ":1", nil, refused},
		{"every IPv4 interface", "0.0.0.0:1", nil, refused},
		{"one interface", "192.0.2.1:1", nil, refused},
		{"host name", "verify.example.com:1", nil, refused},
		{"certificate of the server's alone", ":1", cert, refused},
		{"mutual TLS", ":1", mutual, silent},
		{"token over TLS", ":1", append([]string{"--verify-token-file=" + token}, cert...), silent},
		{"token in the clear", ":1", []string{"--verify-token-file=" + token}, "unencrypted"},
		{"insecure", ":1", []string{"--verify-insecure"}, "because of --verify-insecure"},
		{"insecure, but there is a token", ":1", append([]string{"--verify-insecure", "--verify-token-file=" + token}, cert...), silent},
		{"insecure on loopback", "127.0.0.1:1", []string{"--verify-insecure"}, silent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, warnings, err := load(t, "", nil, append(tt.args, prefix+"listen="+tt.listen)...)
			if tt.want == refused {
				got := problems(t, err)
				if len(got) != 1 || !strings.HasPrefix(got[0], prefix+"listen: ") {
					t.Fatalf("problems = %q", got)
				}
				for _, way := range []string{"--verify-token-file", "mutual TLS", "--verify-insecure"} {
					if !strings.Contains(got[0], way) {
						t.Errorf("%q does not name %s", got[0], way)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == silent && len(warnings) > 0 || tt.want != silent &&
				(len(warnings) != 1 || !strings.Contains(warnings[0].String(), tt.want)) {
				t.Errorf("warnings = %v, want %q", warnings, tt.want)
			}
		})
	}
}

func TestTheReachRuleBlamesThePlace(t *testing.T) {
	_, _, err := load(t, "\nverify-listen = '0.0.0.0:8081'", nil)
	if got := problems(t, err); len(got) != 1 || !strings.HasPrefix(got[0], "apikeyd.toml:2: verify-listen: other machines") {
		t.Errorf("problems = %q", got)
	}
	// A bad credential is the fault, not the lack of one.
	_, _, err = load(t, "", []string{"APIKEYD_VERIFY_TOKEN_FILE=nowhere"}, "--verify-listen=:1")
	if got := problems(t, err); len(got) != 1 || !strings.HasPrefix(got[0], "environment APIKEYD_VERIFY_TOKEN_FILE: there is no such file") {
		t.Errorf("problems = %q", got)
	}
}

func TestTLSFiles(t *testing.T) {
	dir := t.TempDir()
	pki := newPKI(t, dir)
	other := newPKI(t, t.TempDir())
	write(t, dir+"/empty", "")
	const both = "; give both"
	for _, tt := range []struct {
		name string
		args []string // name=path
		want []string // how the problems begin
	}{
		{"good", []string{"tls-cert-file=" + pki.cert, "tls-key-file=" + pki.key}, nil},
		{"no key", []string{"tls-cert-file=" + pki.cert}, []string{"--tls-cert-file: has no effect without --tls-key-file" + both}},
		{"no certificate", []string{"tls-key-file=" + pki.key}, []string{"--tls-key-file: has no effect without --tls-cert-file" + both}},
		{"authority alone", []string{"verify-tls-client-ca-file=" + pki.ca},
			[]string{"--verify-tls-client-ca-file: has no effect without --verify-tls-cert-file" + both}},
		{"missing", []string{"tls-cert-file=x", "tls-key-file=" + dir}, []string{"--tls-cert-file: there is no such file", "--tls-key-file: is a folder"}},
		{"swapped", []string{"tls-cert-file=" + pki.key, "tls-key-file=" + pki.cert}, []string{"--tls-cert-file: the certificate and its key cannot be used: "}},
		{"another's key", []string{"tls-cert-file=" + pki.cert, "tls-key-file=" + other.key}, []string{"--tls-cert-file: the certificate and its key cannot be used: "}},
		{"no authority in the file", []string{"verify-tls-cert-file=" + pki.cert, "verify-tls-key-file=" + pki.key,
			"verify-tls-client-ca-file=" + dir + "/empty"}, []string{"--verify-tls-client-ca-file: the file holds no certificate in PEM"}},
		{"all three bad", []string{"verify-tls-cert-file=x", "verify-tls-key-file=x", "verify-tls-client-ca-file=x"},
			[]string{"--verify-tls-cert-file: ", "--verify-tls-key-file: ", "--verify-tls-client-ca-file: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var args []string
			for _, a := range tt.args {
				args = append(args, "--"+a)
			}
			_, _, err := load(t, "", nil, args...)
			got := problems(t, err)
			if len(got) != len(tt.want) {
				t.Fatalf("problems = %q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("problem %q, want %q", got[i], tt.want[i])
				}
			}
		})
	}
}

func TestSessionsEnd(t *testing.T) {
	const tail = "; a session cannot live longer without use than at most"
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"the defaults", nil, nil},
		{"the same", []string{"--session-idle=24h", "--session-lifetime=24h"}, nil},
		{"lifetime shortened", []string{"--session-lifetime=1h"},
			[]string{"--session-lifetime: 1h is shorter than --session-idle, which is 12h" + tail}},
		{"idle time lengthened", []string{"--session-idle=200h"},
			[]string{"--session-idle: 200h is longer than --session-lifetime, which is 168h" + tail}},
		{"both", []string{"--session-idle=1h30m", "--session-lifetime=1h"},
			[]string{"--session-lifetime: 1h is shorter than --session-idle, which is 1h30m" + tail}},
		{"short", []string{"--session-idle=4m59s", "--session-lifetime=0"}, []string{
			`--session-idle: "4m59s" is too short; write at least 5m`, `--session-lifetime: "0" is too short; write at least 5m`}},
		{"days", []string{"--session-lifetime=7d"},
			[]string{`--session-lifetime: "7d" is no duration; write a number with a unit (ms, s, m, h), like 30s`}},
	} {
		_, _, err := load(t, "", nil, tt.args...)
		if diff := cmp.Diff(tt.want, problems(t, err)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestEverybodyIsNoProxy(t *testing.T) {
	_, warnings, err := load(t, "", nil, "--trusted-proxies=0.0.0.0/0,::/0,10.0.0.0/8")
	if err != nil || len(warnings) != 2 || !strings.HasPrefix(warnings[0].String(), "--trusted-proxies: with 0.0.0.0/0, whoever connects") {
		t.Errorf("warnings %v, %v", warnings, err)
	}
}

func TestOpenIDConnectIsWholeOrNothing(t *testing.T) {
	dir := t.TempDir()
	secret := dir + "/secret"
	write(t, secret, "\n \t\r\n  s e c r e t  \nanother\n")
	write(t, dir+"/empty", "\n")
	const (
		issuer = "--oidc-issuer=https://login.example"
		id     = "--oidc-client-id=apikeyd"
		public = "--public-url=https://keys.example.com"
		both   = "; give both"
		back   = "needs --public-url: a provider sends people back to PUBLIC-URL/sign-in/oidc/callback"
	)
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"nothing", []string{"--oidc-issuer=", "--oidc-match-email=false"}, nil},
		{"what it needs", []string{issuer, id, public}, nil},
		{"no client id", []string{issuer, public}, []string{"--oidc-issuer: has no effect without --oidc-client-id" + both}},
		{"no issuer", []string{id, public}, []string{"--oidc-client-id: has no effect without --oidc-issuer" + both}},
		{"no public URL", []string{issuer, id}, []string{"--oidc-issuer: " + back}},
		{"a secret alone", []string{"--oidc-client-secret-file=" + secret}, []string{
			"--oidc-client-secret-file: has no effect without --oidc-issuer" + both,
			"--oidc-client-secret-file: has no effect without --oidc-client-id" + both,
			"--oidc-client-secret-file: " + back}},
		{"an audience alone", []string{"--oidc-audience=x", public}, []string{
			"--oidc-audience: has no effect without --oidc-issuer" + both, "--oidc-audience: has no effect without --oidc-client-id" + both}},
		{"addresses alone", []string{"--oidc-match-email", public, id}, []string{
			"--oidc-client-id: has no effect without --oidc-issuer" + both}},
		{"an empty secret", []string{issuer, id, public, "--oidc-client-secret-file=" + dir + "/empty"}, []string{
			"--oidc-client-secret-file: the file is empty; write the secret into it, on a line of its own"}},
		{"no file", []string{issuer, id, public, "--oidc-client-secret-file=x"}, []string{"--oidc-client-secret-file: there is no such file " +
			"(give the path of the file that holds the secret; the value is not repeated here, in case it is the secret)"}},
		{"a bad issuer", []string{"--oidc-issuer=login.example", id}, []string{
			`--oidc-issuer: "login.example" is no absolute URL; write one like https://login.example.com`}},
	} {
		_, warnings, err := load(t, "", nil, tt.args...)
		if diff := cmp.Diff(tt.want, problems(t, err)); diff != "" || len(warnings) > 0 {
			t.Errorf("%s: %s, %v", tt.name, diff, warnings)
		}
	}

	c, _, err := load(t, "", nil, issuer, id, public, "--oidc-client-secret-file="+secret)
	if err != nil || !c.OIDC.Enabled() || c.OIDC.ClientSecret.Reveal() != "s e c r e t" || c.OIDC.Audience != "apikeyd" {
		t.Errorf("%+v, %v", c, err)
	}
	c, _, err = load(t, "", nil, issuer, id, public, "--oidc-audience=https://keys.example.com")
	if err != nil || c.OIDC.ClientSecret.Given() || c.OIDC.Audience != "https://keys.example.com" {
		t.Errorf("%+v, %v", c, err)
	}
	if c := Default(false); c.OIDC.Enabled() || c.SMTP.Enabled() {
		t.Error("there is a provider or a mail server that nobody named")
	}
}

func TestMailIsWholeOrNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/password", "\nhunter2\n")
	const (
		address = "--smtp-address=mail.example.com:587"
		from    = "--smtp-from=Example <keys@example.com>"
		user    = "--smtp-username=keys"
		public  = "--public-url=https://keys.example.com"
		both    = "; give both"
		links   = "needs --public-url: the links in mails begin with it"
	)
	password := "--smtp-password-file=" + dir + "/password"
	for _, tt := range []struct {
		name    string
		args    []string
		want    []string
		warning string // part of it
	}{
		{"nothing", []string{"--smtp-address=", "--smtp-tls=starttls"}, nil, ""},
		{"what it needs", []string{address, from, public}, nil, ""},
		{"everything", []string{address, from, public, user, password, "--smtp-tls=tls"}, nil, ""},
		{"no sender", []string{address, public}, []string{"--smtp-address: has no effect without --smtp-from" + both}, ""},
		{"no server", []string{from, public}, []string{"--smtp-from: has no effect without --smtp-address" + both}, ""},
		{"no public URL", []string{address, from}, []string{"--smtp-address: " + links}, ""},
		{"encryption alone", []string{"--smtp-tls=none"}, []string{"--smtp-tls: has no effect without --smtp-address" + both,
			"--smtp-tls: has no effect without --smtp-from" + both, "--smtp-tls: " + links}, ""},
		{"no password", []string{address, from, public, user}, []string{"--smtp-username: has no effect without --smtp-password-file" + both}, ""},
		{"no user", []string{address, from, public, password}, []string{"--smtp-password-file: has no effect without --smtp-username" + both}, ""},
		{"no such password", []string{address, from, public, user, "--smtp-password-file=x"}, []string{"--smtp-password-file: there is no such file " +
			"(give the path of the file that holds the secret; the value is not repeated here, in case it is the secret)"}, ""},
		{"password in the clear", []string{address, from, public, user, password, "--smtp-tls=none"}, []string{
			"--smtp-tls: none would send the password to mail.example.com:587 unencrypted; write starttls or tls"}, ""},
		{"password in the clear to this machine", []string{"--smtp-address=localhost:25", from, public, user, password, "--smtp-tls=none"}, nil, ""},
		{"password in the clear to this machine, by address", []string{"--smtp-address=[::1]:25", from, public, user, password, "--smtp-tls=none"}, nil, ""},
		{"links in the clear", []string{address, from, public, "--smtp-tls=none"}, nil, "--smtp-tls: links to sign in with reach mail.example.com:587 unencrypted"},
		{"links in the clear to this machine", []string{"--smtp-address=127.0.0.1:25", from, public, "--smtp-tls=none"}, nil, ""},
		{"a bad mode", []string{address, from, public, "--smtp-tls=ssl"}, []string{`--smtp-tls: "ssl" is none of starttls, tls, none`}, ""},
		{"a bad sender", []string{address, "--smtp-from=Example", public}, []string{
			`--smtp-from: "Example" is no e-mail address; write one like you@example.com`}, ""},
	} {
		_, warnings, err := load(t, "", nil, tt.args...)
		if diff := cmp.Diff(tt.want, problems(t, err)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		if (tt.warning != "") != (len(warnings) == 1) || tt.warning != "" && !strings.HasPrefix(warnings[0].String(), tt.warning) {
			t.Errorf("%s: warnings %v", tt.name, warnings)
		}
	}
	c, _, err := load(t, "", nil, address, from, public, user, password)
	if err != nil || !c.SMTP.Enabled() || c.SMTP.Password.Reveal() != "hunter2" || c.SMTP.TLS != "starttls" {
		t.Errorf("%+v, %v", c, err)
	}
}

// Who gives Envoy's listener a certificate and no address would wait for it in vain.
func TestACertificateOfNoListener(t *testing.T) {
	pki := newPKI(t, t.TempDir())
	cert, key := "--grpc-tls-cert-file="+pki.cert, "--grpc-tls-key-file="+pki.key
	_, _, err := load(t, "", nil, cert, key)
	if diff := cmp.Diff([]string{"--grpc-tls-cert-file: has no effect without --grpc-listen; give both",
		"--grpc-tls-key-file: has no effect without --grpc-listen; give both"}, problems(t, err)); diff != "" {
		t.Error(diff)
	}
	if _, _, err := load(t, "", nil, "--grpc-listen=127.0.0.1:1", cert, key); err != nil {
		t.Error(err)
	}
}

func TestTheStoreOfLimits(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/password", "hunter2\n")
	const store = "--limits-store=redis://limits.example.com"
	password := "--limits-store-password-file=" + dir + "/password"
	for _, tt := range []struct {
		name    string
		args    []string
		want    []string
		warning string
	}{
		{"nothing", []string{"--limits-store=", "--limits-fallback=open"}, nil, ""},
		{"a server", []string{store, "--limits-fallback=closed"}, nil, ""},
		{"no server", []string{password, "--limits-fallback=closed"}, []string{
			"--limits-store-password-file: has no effect without --limits-store; give both",
			"--limits-fallback: has no effect without --limits-store; give both"}, ""},
		{"a password in the clear", []string{store, password}, nil,
			"--limits-store: the password reaches limits.example.com unencrypted; write rediss://, unless the network is encrypted"},
		{"one of the URL's", []string{"--limits-store=redis://:hunter2@limits.example.com:1"}, nil,
			"--limits-store: the password reaches limits.example.com:1 unencrypted; write rediss://, unless the network is encrypted"},
		{"to this machine", []string{"--limits-store=redis://:hunter2@127.0.0.1"}, nil, ""},
		{"encrypted", []string{"--limits-store=rediss://limits.example.com/1", password}, nil, ""},
		{"another fallback", []string{store, "--limits-fallback=none"}, []string{`--limits-fallback: "none" is none of open, closed`}, ""},
	} {
		_, warnings, err := load(t, "", nil, tt.args...)
		if diff := cmp.Diff(tt.want, problems(t, err)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		if (tt.warning != "") != (len(warnings) == 1) || tt.warning != "" && warnings[0].String() != tt.warning {
			t.Errorf("%s: warnings %v", tt.name, warnings)
		}
	}
	c, _, err := load(t, "", nil, "--limits-store=rediss://user:other@limits.example.com", password)
	if err != nil || !c.LimitsStore.Enabled() || c.LimitsStore.Password.Reveal() != "hunter2" {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestNothingIsSaidOfAFileThatCannotBeRead: any setting may stand in it.
func TestNothingIsSaidOfAFileThatCannotBeRead(t *testing.T) {
	_, _, err := load(t, "public-url =", nil, "--oidc-issuer=https://login.example", "--smtp-tls=none", "--session-lifetime=1h")
	if got := problems(t, err); len(got) != 1 || !strings.HasPrefix(got[0], "apikeyd.toml:1: is no TOML") {
		t.Errorf("problems = %q", got)
	}
}

func TestReferenceNamesEverySetting(t *testing.T) {
	page := Reference()
	for _, s := range Settings() {
		if strings.Count(page, "| `"+s.Env+"` |") != 1 || !strings.Contains(page, "| `"+s.Flag) {
			t.Errorf("%s is not in the reference once", s.Flag)
		}
	}
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "|") && strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") != 5 {
			t.Errorf("row has not four cells: %s", line)
		}
	}
}

// TestExampleIsRight takes the # away in front of every setting: all are there, and those with a default have it.
func TestExampleIsRight(t *testing.T) {
	var file strings.Builder
	for line := range strings.Lines(Example()) {
		if len(line) > 1 && line[0] == '#' && line[1] != ' ' {
			line = line[1:]
		}
		file.WriteString(line)
	}
	l := newLoader(Source{})
	l.readTOML("example.toml", []byte(file.String()))
	if len(l.problems) > 0 {
		t.Fatal(l.problems)
	}
	want := Default(false)
	for i := range settings {
		s := &settings[i]
		if _, ok := l.places[s.name]; ok == s.noFile {
			t.Errorf("%s set = %v", s.name, ok)
		}
		if s.preset == "" && s.sample != "" {
			if err := s.parse(want, s.sample); err != nil {
				t.Error(err)
			}
		}
	}
	if n := l.config.Rules.Len(); n != 2 {
		t.Errorf("%d rules", n)
	}
	if diff := cmp.Diff(want, l.config, exactly, cmpopts.IgnoreFields(Config{}, "Rules")); diff != "" {
		t.Error(diff)
	}
	if _, _, err := load(t, Example(), nil); err != nil {
		t.Error(err)
	}
}
