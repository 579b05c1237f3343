package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

// TestFirstStart pastes the lines that the first start prints into a POSIX shell, one after the other, exactly as they
// are, and looks at the answers.
func TestFirstStart(t *testing.T) {
	t.Parallel()
	needCurl(t)
	for name, prepare := range map[string]func(t *testing.T, folder string) (args, env []string){
		"loopback": func(*testing.T, string) ([]string, []string) { return nil, nil },
		"every interface": func(*testing.T, string) ([]string, []string) {
			return []string{"--listen", ":0", "--verify-listen", "[::]:0", "--verify-insecure"}, nil
		},
		"sockets with strange names": func(*testing.T, string) ([]string, []string) {
			return []string{"--listen", "unix:an api's $HOME.sock", "--verify-listen", "unix:verify \"it\".sock"}, nil
		},
		"a verification token": func(t *testing.T, folder string) ([]string, []string) {
			write(t, filepath.Join(folder, "it's the token"), []byte(strings.Repeat("secret", 8)+"\n"+strings.Repeat("second", 8)+"\n"))
			return []string{"--verify-token-file", "it's the token"}, nil
		},
		"a verification token in an untidy file": func(t *testing.T, folder string) ([]string, []string) {
			write(t, filepath.Join(folder, "untidy token"), []byte("\n \t\r\n\u00a0\u2003\n\t"+strings.Repeat("secret", 8)+" \u00a0\r\n\n"+strings.Repeat("second", 8)))
			return []string{"--verify-token-file", "untidy token"}, nil
		},
		"TLS": func(t *testing.T, folder string) ([]string, []string) {
			for name, content := range makeCertificates(t) {
				write(t, filepath.Join(folder, name), content)
			}
			return []string{"--tls-cert-file", "server.pem", "--tls-key-file", "server.key",
					"--verify-tls-cert-file", "server.pem", "--verify-tls-key-file", "server.key"},
				[]string{"CURL_CA_BUNDLE=" + filepath.Join(folder, "ca.pem")} // as where a known authority has signed
		},
		"mutual TLS": func(t *testing.T, folder string) ([]string, []string) {
			for name, content := range makeCertificates(t) {
				write(t, filepath.Join(folder, name), content)
			}
			return []string{"--verify-listen", ":0", "--verify-tls-cert-file", "server.pem", "--verify-tls-key-file", "server.key",
				"--verify-tls-client-ca-file", "ca.pem"}, []string{"CURL_CA_BUNDLE=" + filepath.Join(folder, "ca.pem")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			args, env := prepare(t, folder)
			s := serve(t, folder, args...)
			pasteQuickstart(t, s, env)
			s.stop()
		})
	}
	t.Run("a public address", func(t *testing.T) {
		t.Parallel()
		// The proxy is known before the server, and the server's address only when it is ready.
		target := make(chan string, 1)
		proxy := httptest.NewServer(http.StripPrefix("/keys", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			address := <-target
			target <- address
			u, err := url.Parse(address)
			if err != nil {
				t.Error(err)
				return
			}
			r.SetURL(u)
		}}))
		defer proxy.Close()
		s := serve(t, t.TempDir(), "--public-url", proxy.URL+"/keys")
		target <- s.management
		pasteQuickstart(t, s, nil)
		link := s.printedLink()
		if !strings.HasPrefix(link, proxy.URL+"/keys/sign-in/") {
			t.Errorf("it is printed that one signs in at %s", link)
		}
		signIn(t, proxy.URL+"/keys", withLink(linkSecret(t, link)))
		s.stop()
	})
}

func pasteQuickstart(t *testing.T, s *server, env []string) {
	t.Helper()
	_, steps, ok := strings.Cut(s.stdout.String(), "Lines to paste, in this order:\n")
	if !ok {
		t.Fatalf("there are no lines to paste in\n%s", s.stdout)
	}
	var lines []string
	for line := range strings.Lines(steps) {
		if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "curl ") {
			lines = append(lines, line)
		} else if line != "" && !strings.HasPrefix(line, "# ") {
			t.Errorf("%q is neither a line to paste nor a comment", line)
		}
	}
	if len(lines) != 5 {
		t.Fatalf("there are %d lines to paste:\n%s", len(lines), steps)
	}
	paste := func(line string) []byte {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
		cmd.Dir, cmd.Env = s.folder, append(environment(), env...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil || stderr.Len() > 0 {
			t.Fatalf("%s\n%v %s", line, err, &stderr)
		}
		return out
	}
	read := func(line string, v any) {
		t.Helper()
		out := paste(line)
		if err := json.Unmarshal(out, v); err != nil {
			t.Fatalf("%s\n%v: %s", line, err, out)
		}
	}

	var created api.CreatedKey
	read(lines[0], &created)
	if created.KeyID != 2 || !tokenText.MatchString(created.Token) || !slices.Equal(created.KeyScope, []api.Scope{"READ", "CREATE"}) {
		t.Errorf("created %+v", created)
	}
	var list []api.Key
	read(lines[1], &list)
	if len(list) != 2 || list[0].KeyID != 2 || list[1].KeyID != 1 {
		t.Errorf("list %+v", list)
	}
	var one api.CreatedKey
	read(lines[2], &one)
	if one.KeyID != 2 || one.KeyName != created.KeyName || one.Token != "" {
		t.Errorf("key %+v", one)
	}
	var answer api.Verification
	read(lines[3], &answer)
	if !answer.Valid || answer.Code != api.VerifyValid || answer.KeyID != 1 {
		t.Errorf("verification %+v", answer)
	}
	if out := paste(lines[4]); !bytes.HasPrefix(out, []byte("HTTP/1.1 204 ")) && !bytes.HasPrefix(out, []byte("HTTP/2 204 ")) {
		t.Errorf("delete: %s", out)
	}
	// The fourth line asks about the new key just as well, which is dead now.
	read(strings.Replace(lines[3], s.token, created.Token, 1), &answer)
	if answer.Valid || answer.Code != api.VerifyNotFound {
		t.Errorf("verification of the deleted key: %+v", answer)
	}
}

// needCurl fails the test where there is no curl; .ci/prepare installs it.
func needCurl(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatalf("the lines that users paste need curl: %v; .ci/prepare installs it", err)
	}
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
