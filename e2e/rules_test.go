package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestRulesAreReadAgain changes the rules of a server that is asked all the time. No question goes unanswered, each is answered by the
// old rules or by the new ones, and a file that cannot be used changes nothing.
func TestRulesAreReadAgain(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "apikeyd.toml")
	const public, closed = "[[rules]]\npath = \"/x\"\nscope = \"public\"\n", "[[rules]]\npath = \"/y\"\nscope = \"public\"\n"
	writeFile(t, file, public)
	s := serve(t, folder, "--config", "apikeyd.toml", "--log-checks=false")
	ask := func() int {
		resp, err := http.Get(s.verification + "/v1/authorize/x")
		if err != nil {
			t.Error(err)
			return 0
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}

	stop, stopped := make(chan struct{}), make(chan struct{})
	var asked atomic.Int64
	end := sync.OnceFunc(func() { close(stop); <-stopped })
	defer end()
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if status := ask(); status != 200 && status != 401 {
				t.Errorf("answer %d", status)
			}
			asked.Add(1)
		}
	}()

	reload := func(text string, times int, line string) {
		t.Helper()
		// As an editor does it: the file is there at all times.
		writeFile(t, file+".new", text)
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
		s.signal(syscall.SIGHUP)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		s.stderr.await(ctx, func(log []byte) bool { return strings.Count(string(log), line) >= times })
		if ctx.Err() != nil {
			t.Fatalf("the log does not say %q %d times:\n%s", line, times, s.stderr)
		}
	}
	const read, kept = "rules are read again", "rules are not read again"
	for i := range 10 {
		reload(closed, 2*i+1, read)
		if status := ask(); status != 401 {
			t.Fatalf("after the rule is gone: %d", status)
		}
		reload(public, 2*i+2, read)
		if status := ask(); status != 200 {
			t.Fatalf("after the rule is back: %d", status)
		}
	}
	reload("[[rules]]\npath = \"/x\"\nscope = \"nobody\"\n", 1, kept)
	if !strings.Contains(s.stderr.String(), "apikeyd.toml:1: rules.scope") {
		t.Errorf("the log does not say what is wrong:\n%s", s.stderr)
	}
	reload("listen = = 1", 2, kept)
	if status := ask(); status != 200 {
		t.Errorf("after a bad file: %d", status)
	}
	end()
	if asked.Load() == 0 {
		t.Error("nobody has asked")
	}

	resp, err := http.Get(s.verification + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	metrics, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"apikeyd_rules 1", `apikeyd_rules_reloads_total{outcome="success"} 20`, `apikeyd_rules_reloads_total{outcome="failure"} 2`} {
		if !strings.Contains(string(metrics), line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
	s.stop()
}

// TestRulesTest has the command explain decisions.
func TestRulesTest(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	writeFile(t, filepath.Join(folder, "apikeyd.toml"), proxyRules)
	for _, c := range []struct {
		args string
		code int
		want string
		says string // on standard error
	}{
		{"GET /health/?x", 0, "request  GET /health\nrule     1 of 3, at apikeyd.toml:2: path \"/health\", every method\nneeds    nothing: it is public\n", ""},
		{"PATCH /admin/7", 0, "request  PATCH /admin/7\nrule     2 of 3, at apikeyd.toml:6: path \"/admin/**\", every method\nneeds    a key with the scope MANAGE\n", ""},
		{"POST /search", 0, "request  POST /search\nrule     3 of 3, at apikeyd.toml:10: path \"/search\", methods [\"POST\"]\nneeds    a key with the scope READ\n", ""},
		{"POST /x", 0, "request  POST /x\nrule     none of 3: the method says what is needed\nneeds    a key with the scope CREATE\n", ""},
		{"BREW /x", 1, "request  BREW /x\nrule     none of 3: the method says what is needed\nneeds    what no key has\n", "no scope covers this method"},
		{"GET /x%2Fy", 1, "", "the path holds an escaped slash"},
		{"GET /Admin/x", 1, "", "in other upper and lower case"},
		{"get /admin/x", 1, "request  get /admin/x\nrule     none of 3: the method says what is needed\nneeds    what no key has\n", "written in upper case, as GET"},
		{"\x1b[2J /\u202ex", 1, "request  \\x1b[2J /\\u202ex\nrule     none of 3: the method says what is needed\nneeds    what no key has\n", "no scope covers this method"},
		{"GET", 2, "", "PATH is missing"},
		{"GET /x /y", 2, "", "METHOD and PATH are enough"},
	} {
		p := launch(t, folder, []string{"APIKEYD_CONFIG=apikeyd.toml"}, binary, append([]string{"rules", "test"}, strings.Fields(c.args)...)...)
		if code := p.wait(); code != c.code || p.stdout.String() != c.want || !strings.Contains(p.stderr.String(), c.says) {
			t.Errorf("%s: exit code %d, %q; want %d, %q; %s", c.args, code, p.stdout, c.code, c.want, fmt.Sprint(p.stderr))
		}
	}
	p := launch(t, folder, nil, binary, "rules", "test", "DELETE", "/admin/7")
	if code := p.wait(); code != 0 || !strings.Contains(p.stderr.String(), "no file with rules was given; --config") {
		t.Errorf("without a file: exit code %d, %s%s", code, p.stdout, p.stderr)
	}
}
