package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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

// TestReachOfTheVerificationListener is the rule of who may be told which tokens are good.
func TestReachOfTheVerificationListener(t *testing.T) {
	dir := t.TempDir()
	token := dir + "/token"
	write(t, token, strings.Repeat("t", 32))
	pki := newPKI(t, dir)
	cert := []string{"--verify-tls-cert-file=" + pki.cert, "--verify-tls-key-file=" + pki.key}
	mutual := append([]string{"--verify-tls-client-ca-file=" + pki.ca}, cert...)

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
			_, warnings, err := load(t, "", nil, append(tt.args, "--verify-listen="+tt.listen)...)
			if tt.want == refused {
				got := problems(t, err)
				if len(got) != 1 || !strings.HasPrefix(got[0], "--verify-listen: ") {
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
	if diff := cmp.Diff(want, l.config, cmp.AllowUnexported(Tokens{})); diff != "" {
		t.Error(diff)
	}
	if _, _, err := load(t, Example(), nil); err != nil {
		t.Error(err)
	}
}
