package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/internal/token"
)

// TestPreCommitHook commits with the hook of the how-to, as somebody does whose git prints diffs in another way than usual.
func TestPreCommitHook(t *testing.T) {
	t.Parallel()
	blocks := read(t, "docs/how-to/find-leaked-keys.md").shell()
	i := slices.IndexFunc(blocks, func(b string) bool { return strings.HasPrefix(b, "#!/bin/sh\n") })
	if i < 0 {
		t.Fatal("there is no hook")
	}
	folder := t.TempDir()
	git := func(args ...string) error {
		cmd := exec.Command("git", append([]string{"-C", folder, "-c", "user.name=n", "-c", "user.email=n@example.com"}, args...)...)
		cmd.Env = environment()
		out, err := cmd.CombinedOutput()
		t.Logf("git %q: %s", args, out)
		return err
	}
	must := func(args ...string) {
		t.Helper()
		if err := git(args...); err != nil {
			t.Fatal(err)
		}
	}
	must("init", "-q")
	must("config", "color.ui", "always")
	must("config", "diff.external", "true")
	must("config", "diff.nothing.textconv", "true")
	if err := os.MkdirAll(filepath.Join(folder, ".git", "hooks"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, ".git", "hooks", "pre-commit"), []byte(blocks[i]), 0o755); err != nil {
		t.Fatal(err)
	}
	secret := token.New("ak").Reveal()
	for name, content := range map[string]string{"text": "key=" + secret + "\n", "binary": "\x00\x01" + secret, "converted": secret} {
		write(t, filepath.Join(folder, ".gitattributes"), []byte("converted diff=nothing\n"))
		write(t, filepath.Join(folder, name), []byte("nothing\n"))
		must("add", "-A")
		must("commit", "-q", "-m", "without a token")
		write(t, filepath.Join(folder, name), []byte(content))
		must("add", "-A")
		if git("commit", "-q", "-m", "with one") == nil {
			t.Errorf("%s: a token was committed", name)
		}
		must("reset", "-q", "--hard")
	}
}
