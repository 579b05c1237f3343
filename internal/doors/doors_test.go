// Package doors keeps the import rules of ARCHITECTURE.md: which room may not know of which.
package doors

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/apikeyd/apikeyd"

// rules say what a package must not depend on, directly or through others, tests aside. A pattern that ends in /...
// stands for the package and everything below it.
var rules = []struct {
	pkg       string
	forbidden []string
	why       string
}{
	{"api", []string{module + "/..."}, "wire types are data; whoever uses them gets nothing else of ours"},
	{"client", []string{module + "/internal/..."}, "users import it, and internal packages may change at any time"},
	{"middleware", []string{module + "/internal/..."}, "users import it, and internal packages may change at any time"},
	{"internal/cli", []string{module + "/internal/..."}, "client commands do what any client can, by the same door"},
	{"internal/key", []string{module + "/...", "net/http", "database/sql"}, "the domain is pure"},
	{"internal/token", []string{"net/http", "database/sql", "os/exec", module + "/internal/store/..."}, "tokens are text and arithmetic"},
	{"internal/password", []string{module + "/...", "net/http", "database/sql"}, "a password is text and arithmetic"},
	{"internal/throttle", []string{module + "/...", "net/http", "database/sql"}, "counting knows nobody, and keeps nothing"},
	{"internal/audit", []string{module + "/...", "net/http", "database/sql"}, "a chain of entries is data and arithmetic"},
	{"internal/secret", []string{module + "/internal/store/...", module + "/internal/admin", "net/http", "database/sql"}, "a secret is text and arithmetic"},
	{"internal/browser", append(drivers, module+"/internal/store/...", module+"/internal/admin", module+"/internal/verify", module+"/internal/httpapi", "database/sql"), "cookies and headers know nobody, and decide about no rights"},
	{"internal/store", append(drivers, "database/sql", "net/http", "log/slog"), "a contract knows none of those who keep it"},
	{"internal/store/sqlstore", append(drivers, module+"/internal/store/sqlite", module+"/internal/store/postgres"), "shared SQL knows no database"},
	{"internal/store/sqlite", []string{"net/http", "github.com/jackc/...", module + "/internal/store/postgres", module + "/internal/admin", module + "/internal/verify"}, "a store keeps and finds, and decides nothing"},
	{"internal/store/postgres", []string{"net/http", "modernc.org/sqlite/...", module + "/internal/store/sqlite", module + "/internal/admin", module + "/internal/verify", module + "/internal/cluster"}, "a store keeps and finds, and decides nothing"},
	{"internal/store/move", append(drivers, "net/http", module+"/internal/store/sqlite", module+"/internal/store/postgres"), "rows go from one database to another, whichever they are"},
	{"internal/cluster", append(drivers, "database/sql", "net/http", module+"/internal/admin", module+"/internal/verify", module+"/internal/httpapi", module+"/internal/store/sqlstore"), "the protocol knows no database and no transport"},
	{"internal/verify", append(drivers, "github.com/valkey-io/...", "database/sql", "net/http", module+"/internal/admin", module+"/internal/httpapi"), "the hot path knows no database and no transport"},
	{"internal/subscribe", append(drivers, "database/sql", "net/http", module+"/internal/admin", module+"/internal/verify", module+"/internal/cluster", module+"/internal/httpapi", module+"/internal/store/sqlstore"), "subscribers know no database and no HTTP"},
	{"internal/credential", []string{"net/http", "database/sql", module + "/internal/store/..."}, "what is found in headers is text"},
	{"internal/rules", []string{"net/http", "database/sql", module + "/internal/store/...", module + "/internal/verify"}, "rules are text and comparison"},
	{"internal/gateway", append(drivers, "database/sql", module+"/internal/admin", module+"/internal/httpapi", module+"/internal/config"), "a request is judged in the same way whatever the transport"},
	{"internal/admin", append(drivers, "database/sql", "net/http", module+"/internal/verify", module+"/internal/httpapi"), "use cases know no database and no transport"},
	{"internal/limit", append(drivers, "database/sql", module+"/internal/admin", module+"/internal/verify", module+"/internal/httpapi"), "counting knows no database and no transport"},
	{"cmd/apikeyd", []string{module + "/internal/limit/valkeytest", module + "/internal/freeport"}, "servers of tests are for tests"},
	{"internal/usage", append(drivers, "database/sql", "net/http", module+"/internal/admin"), "counting knows no database and no transport"},
	{"internal/config", append(drivers, module+"/internal/app", module+"/internal/admin", module+"/internal/httpapi", "net/http"), "settings open nothing"},
	{"internal/mail", []string{module + "/...", "net/http", "database/sql"}, "a leaf: it is told which server takes mails, and sends"},
	{"internal/oidc", append(drivers, "database/sql", module+"/...", "github.com/zitadel/..."), "who somebody is, is asked of a provider, and what that means is for others"},
	{"internal/github", append(drivers, "database/sql", module+"/..."), "a signature is arithmetic, and a list of keys"},
	{"internal/scan", append(drivers, "database/sql", "net/http", module+"/client", module+"/internal/store/...", module+"/internal/admin", module+"/internal/httpapi"), "it is offline: bytes, and git"},
	{"cmd/apikeyd", []string{module + "/internal/oidc/oidctest", "github.com/zitadel/..."}, "the provider of tests says yes to whoever asks"},
	{"cmd/apikeyd", []string{module + "/internal/gateway/gatewaytest"}, "the keys of tests are for tests"},
	{"cmd/apikeyd", []string{module + "/internal/mail/mailtest", "github.com/emersion/go-smtp/..."}, "the mail server of tests takes mails from anybody"},
	{"internal/telemetry", append(drivers, module+"/internal/admin", module+"/internal/verify", module+"/internal/httpapi"), "logs and metrics are handed in, and know nobody"},
}

// drivers are what only the package of a database may see.
var drivers = []string{"modernc.org/sqlite/...", "github.com/jackc/..."}

// homes say who may name a driver, with what is below it; nobody else may, tests aside, and but for bench, which measures what
// a driver alone can do.
var homes = []struct{ driver, home string }{
	{"modernc.org/sqlite/...", "internal/store/sqlite"},
	{"github.com/jackc/...", "internal/store/postgres"},
	{"github.com/valkey-io/...", "internal/limit"},
}

// direct are rules about what a package names itself; what it depends on through others is their affair. httpapi
// depends on store through admin, but must not call it.
var direct = []struct {
	pkg       string
	forbidden []string
	why       string
}{
	{"internal/extauthz", append(drivers, module+"/internal/store/...", module+"/internal/httpapi", "database/sql"), "a transport asks use cases, never a store or another transport"},
	{"internal/httpapi", append(drivers, module+"/internal/store/...", "database/sql"), "a transport asks use cases, never a store"},
	{"internal/console", append(drivers, module+"/internal/store/...", module+"/internal/httpapi", module+"/internal/oidc", "database/sql"), "a transport asks use cases, never a store or another transport"},
	{"internal/key", []string{"os", "log", "log/slog", "context"}, "the domain is pure"},
	{"internal/token", []string{module + "/internal/admin", module + "/internal/verify"}, "tokens are below them"},
	{"internal/password", []string{"os", "log", "log/slog"}, "a password goes nowhere"},
	{"internal/throttle", []string{"os", "log", "log/slog", "context"}, "it waits for nothing and tells nobody"},
	{"internal/audit", []string{"os", "log", "log/slog", "context"}, "the audit log is kept by others"},
	{"internal/secret", []string{"os", "log", "context"}, "a secret goes nowhere"},
	{"internal/browser", []string{"os", "log", "log/slog", module + "/internal/token"}, "it reads requests, and tells nobody"},
	{"internal/credential", []string{"os", "log", "log/slog", "context"}, "a credential goes nowhere"},
	{"internal/rules", []string{"os", "log", "log/slog", "context"}, "rules are read by others"},
	{"internal/gateway", []string{"os", "log", "log/slog", "net/http", module + "/internal/store/..."}, "it judges, and tells nobody but who asked"},
	{"internal/cluster", []string{"os"}, "it is told everything it knows"},
	{"internal/store/move", []string{"database/sql", "os"}, "it is handed both databases"},
	{"cmd/apikeyd", append(drivers, "database/sql", "net/http"), "main is wiring"},
}

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func TestDoors(t *testing.T) {
	packages := list(t)
	for _, rule := range rules {
		p, ok := packages[path.Join(module, rule.pkg)]
		if !ok {
			t.Errorf("%s has a rule and is gone", rule.pkg)
			continue
		}
		report(t, rule.pkg, p.Deps, rule.forbidden, rule.why)
	}
	for _, rule := range direct {
		p, ok := packages[path.Join(module, rule.pkg)]
		if !ok {
			t.Errorf("%s has a rule and is gone", rule.pkg)
			continue
		}
		report(t, rule.pkg, p.Imports, rule.forbidden, rule.why)
	}
}

// TestDrivers looks whether anybody but the package of a database names its driver.
func TestDrivers(t *testing.T) {
	packages := list(t)
	for _, h := range homes {
		home := path.Join(module, h.home) + "/..."
		atHome := false
		for name, p := range packages {
			if !matches(module+"/...", name) || matches(module+"/bench/...", name) {
				continue
			}
			used := slices.ContainsFunc(p.Imports, func(imported string) bool { return matches(h.driver, imported) })
			if used && !matches(home, name) {
				t.Errorf("%s imports %s: that is for %s alone", name, h.driver, h.home)
			}
			atHome = atHome || used
		}
		if !atHome {
			t.Errorf("nobody imports %s, which has a rule", h.driver)
		}
	}
}

func report(t *testing.T, pkg string, imports, forbidden []string, why string) {
	t.Helper()
	for _, imported := range imports {
		if slices.ContainsFunc(forbidden, func(pattern string) bool { return matches(pattern, imported) }) {
			t.Errorf("%s imports %s: %s", pkg, imported, why)
		}
	}
}

func matches(pattern, imported string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "/..."); ok {
		return imported == prefix || strings.HasPrefix(imported, prefix+"/")
	}
	return imported == pattern
}

func list(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Deps", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	packages := map[string]listed{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
}

// The checker itself must be able to fail.
func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		pattern, imported string
		want              bool
	}{
		{"net/http", "net/http", true},
		{"net/http", "net/http/httptest", false},
		{"a/...", "a", true},
		{"a/...", "a/b/c", true},
		{"a/...", "ab", false},
	} {
		if got := matches(tt.pattern, tt.imported); got != tt.want {
			t.Errorf("matches(%q, %q) = %v", tt.pattern, tt.imported, got)
		}
	}
}
