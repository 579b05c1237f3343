package config

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBadFiles(t *testing.T) {
	const noTables = `there are no tables here but [[rules]]; every setting is a key of its own, like verify-listen = "127.0.0.1:8081"`
	for _, tt := range []struct {
		name, file string
		want       []string
	}{
		{"unknown key", "colour = 'red'", []string{"apikeyd.toml:1: colour: no setting has this name"}},
		{"key with an odd name", "\"a b\" = 1", []string{`apikeyd.toml:1: "a b": no setting has this name`}},
		{"empty key", "\"\" = 1", []string{`apikeyd.toml:1: "": no setting has this name`}},
		{"misspelt key", "\n\nlisten-verify = 1\nlsten = ':1'\n", []string{
			"apikeyd.toml:3: listen-verify: no setting has this name",
			"apikeyd.toml:4: lsten: no setting has this name; did you mean listen?"}},
		{"another file", "config = 'x'", []string{"apikeyd.toml:1: config: a file cannot name another; give --config or APIKEYD_CONFIG"}},
		{"repeated key", "listen = ':1'\nlisten = ':2'", []string{"apikeyd.toml:2: is no TOML: key listen is already defined"}},
		{"repeated key in other quotes", "listen = ':1'\n'listen' = ':2'", []string{"apikeyd.toml:2: is no TOML: key listen is already defined"}},
		{"table", "[verify]\nlisten = ':1'\n", []string{"apikeyd.toml:1: verify: " + noTables}},
		{"table with the name of a setting", "[listen]\nport = 1", []string{"apikeyd.toml:1: listen: is a table; write a string in quotes"}},
		{"array of tables", "[[listen]]\nport = 1\n[[x]]", []string{
			"apikeyd.toml:1: listen: is a table; write a string in quotes",
			"apikeyd.toml:3: x: " + noTables}},
		{"inline table", "listen = {port = 1}", []string{"apikeyd.toml:1: listen: is a table; write a string in quotes"}},
		{"dotted key", "verify.listen = ':1'", []string{"apikeyd.toml:1: verify.listen: " + noTables + "; did you mean verify-listen?"}},
		{"integer for a string", "listen = 8080", []string{"apikeyd.toml:1: listen: is an integer; write a string in quotes"}},
		{"integer for a duration", "shutdown-timeout = 30", []string{"apikeyd.toml:1: shutdown-timeout: is an integer; write a string in quotes"}},
		{"float for a size", "cache-size = 1e9", []string{`apikeyd.toml:1: cache-size: is a float; write a string like "256MiB", or a number of bytes`}},
		{"negative size", "cache-size = -1", []string{`apikeyd.toml:1: cache-size: "-1" is no size; write a number with KiB, MiB or GiB, like 256MiB`}},
		{"small size", "cache-size = 256", []string{`apikeyd.toml:1: cache-size: "256" is too small; write at least 1MiB`}},
		{"array", "listen = [':1']", []string{"apikeyd.toml:1: listen: is an array; write a string in quotes"}},
		{"date", "listen = 2026-11-22", []string{"apikeyd.toml:1: listen: is a date or time; write a string in quotes"}},
		{"integer for a boolean", "log-checks = 1", []string{"apikeyd.toml:1: log-checks: is an integer; write true or false, without quotes"}},
		{"empty value that must be one", "listen = ''", []string{
			`apikeyd.toml:1: listen: "" is no address; write HOST:PORT like 127.0.0.1:8081, :8081 for every interface, or unix:/path/to.sock`}},
		{"no quotes", "a = 1\nlisten = here", []string{"apikeyd.toml:2: is no TOML: unexpected character U+0068 'h' at start of value"}},
		{"shell syntax", "export LISTEN=x", []string{"apikeyd.toml:1: is no TOML: expected '=' after key"}},
		{"byte order mark", "\ufefflisten = ':1'", []string{"apikeyd.toml:1: begins with a byte order mark; save it as UTF-8 without one"}},
		{"UTF-16", "\xff\xfel\x00i\x00", []string{"apikeyd.toml:1: is UTF-16; save it as UTF-8"}},
		{"binary", "# x\n\x7fELF\x00\x01", []string{"apikeyd.toml:2: holds a zero byte; this is no text file"}},
		{"Latin-1", "# x\n# gr\xfc\xdfe\n", []string{"apikeyd.toml:2: is not UTF-8"}},
		{"many keys", keys(257), []string{"apikeyd.toml: holds 257 keys and tables, far more than there are settings; is it the right file?"}},
		{"many tables", strings.Repeat("[[x]]\n", 9000), []string{
			"apikeyd.toml: holds 9001 keys and tables, far more than there are settings; is it the right file?"}},
		{"huge", strings.Repeat("#\n", 1<<20), []string{`--config: "apikeyd.toml": is larger than 64KiB, too large for a file of this kind`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := load(t, tt.file, nil)
			if diff := cmp.Diff(tt.want, problems(t, err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func keys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d = 1\n", i)
	}
	return b.String()
}

func TestGoodFiles(t *testing.T) {
	for name, file := range map[string]string{
		"only comments":       "# nothing\n\n",
		"quoted key":          "'listen' = ':8080'",
		"line ends of DOS":    "listen = ':8080'\r\nlog-checks = true\r\n",
		"optional, but empty": "tls-cert-file = ''\npublic-url = ''\nverify-token-file = ''",
	} {
		c, warnings, err := load(t, file, nil)
		if err != nil || len(warnings) > 0 || c.Listen.Address != ":8080" {
			t.Errorf("%s: %+v, %v, %v", name, c, warnings, err)
		}
	}
}

// TestAnUnreadableFile hides every value that may have been in it, so nothing is said about how settings fit together.
func TestAnUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	secret := dir + "/secret.toml"
	write(t, secret, "")
	if err := os.Chmod(secret, 0); err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		dir:                "is a folder, not a file",
		dir + "/nowhere":   "there is no such file",
		dir + "/x\x00":     "holds a zero byte, which no file name has",
		secret + "/no/dir": "the file cannot be read: not a directory",
	}
	if os.Geteuid() != 0 {
		tests[secret] = "the user that apikeyd runs as may not read the file"
	}
	for path, reason := range tests {
		_, _, err := load(t, "", nil, "--config", path, "--verify-listen=:1", "--cache-size=x")
		got := problems(t, err)
		if len(got) != 2 || !strings.HasPrefix(got[0], "--config: ") || !strings.HasSuffix(got[0], reason) ||
			!strings.HasPrefix(got[1], "--cache-size: ") {
			t.Errorf("%q: problems = %q, want %q", path, got, reason)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte(Example()))
	f.Add([]byte("listen = ':1'\ncache-size = 1_000_000\n[x]\n[[y]]\na.b.c = {d = [1, {e = 2}]}\n"))
	f.Add([]byte("log-checks = false\r\n\"\\u0000\" = 'x'"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := newLoader(Source{})
		l.readTOML("x.toml", data)
		for _, p := range l.problems {
			if strings.ContainsAny(p.String(), "\n\r\x00\x1b") {
				t.Errorf("problem %q would break a line", p)
			}
		}
	})
}
