package scan

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/internal/token"
)

// The rules for other scanners find what is one, wherever it stands, and the whole of it.
func TestRulesForOtherScanners(t *testing.T) {
	quoted := regexp.MustCompile(`(?m)^\s*(?:regex|token)\s*[:=]\s*'(?:'')?(.*?)'(?:'')?$`)
	for _, file := range []string{"gitleaks.toml", "trufflehog.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "deploy", file))
		if err != nil {
			t.Fatal(err)
		}
		found := quoted.FindAllSubmatch(text, -1)
		if len(found) != 1 {
			t.Fatalf("%s: %d regular expressions", file, len(found))
		}
		rule, err := regexp.Compile(string(found[0][1]))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for range 100 {
			secret := token.New("ak").Reveal()
			for _, text := range []string{secret, "KEY=" + secret, `"` + secret + `"`, "MY_" + secret + "\n", "x" + secret + "/"} {
				if got := rule.FindStringSubmatch(text); len(got) != 2 || got[1] != secret {
					t.Fatalf("%s: in %q it finds %q", file, text, got)
				}
			}
		}
		for _, text := range []string{"ak_" + strings.Repeat("x", 48), "ak_" + strings.Repeat("x", 50), "AK_" + strings.Repeat("x", 49)} {
			if rule.MatchString(text) {
				t.Errorf("%s: finds %q", file, text)
			}
		}
	}
}
