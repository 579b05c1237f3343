package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

// TestAuditReference runs the program that the reference shows: it finds the log whole from what the API says of it, with
// the same end as audit verify, and finds out what was altered.
func TestAuditReference(t *testing.T) {
	t.Parallel()
	reference := read(t, "docs/reference/audit-log.md")
	var program string
	for _, f := range reference.fences() {
		if f.language == "go" {
			program = filepath.Join(t.TempDir(), "verify.go")
			write(t, program, []byte(f.text))
		}
	}
	h := serveHousehold(t, nil)
	root := h.people["root"]
	for i, metadata := range []string{`{"n":1e2,"big":12345678901234567890.50}`, `{"text":"<&> \u2028 \ud83d\udd11 é \"\\ /"}`, `{"a":{"b":[1,null,{"c":""}]}}`} {
		root.as(t, h.server, "PATCH", organizationsPath+"/2", fmt.Sprintf(`{"organization_name":"\"O<%d>&\"","metadata":%s}`, i, metadata)).is(http.StatusOK)
	}
	for range 1000 { // more than a page
		h.people["mate"].as(t, h.server, "GET", organizationsPath+"/2", "").refused(api.CodeNotFound)
	}
	run := func() (string, error) {
		cmd := exec.CommandContext(t.Context(), "go", "run", program)
		cmd.Env = append(environment(), "APIKEYD_SERVER="+h.management, "APIKEYD_KEY="+h.token)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	_, verified := verifyAudit(t, h.folder)
	n := len(h.auditLog(t))
	if out, err := run(); err != nil || !strings.Contains(out, theEnd.FindString(verified)+"\n") || !strings.Contains(out, fmt.Sprintf("%d entries are what was written\n", n)) {
		t.Errorf("%v: %s, and audit verify says %s", err, out, verified)
	}
	meddle(t, filepath.Join(h.folder, "apikeyd.db"), `UPDATE audit_log SET after = replace(after, 'O', 'Q') WHERE action = 'organization.update'`, func() {
		if out, err := run(); err == nil || !strings.Contains(out, "something was done to entry") {
			t.Errorf("%v: %s", err, out)
		}
	})
	h.stop()
}

// TestActionsInDocuments holds the actions that documents list against those that the server leaves in its log while
// everybody does everything.
func TestActionsInDocuments(t *testing.T) {
	t.Parallel()
	action := regexp.MustCompile("`([a-z]+\\.[a-z]+)`")
	listed := func(path, heading string) (names []string) {
		_, section, ok := strings.Cut(read(t, path).text, "\n## "+heading+"\n")
		if !ok {
			t.Fatalf("%s has no section %q", path, heading)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		for _, found := range action.FindAllStringSubmatch(section, -1) {
			names = append(names, found[1])
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	reference, overview := listed("docs/reference/audit-log.md", "Actions"), listed("docs/reference/http-api.md", "The audit log")
	if !slices.Equal(reference, overview) {
		t.Errorf("docs/reference/audit-log.md has %q, and docs/reference/http-api.md %q", reference, overview)
	}
	for _, d := range deeds {
		if !slices.Contains(reference, d.action) {
			t.Errorf("%s is not in the reference", d.action)
		}
	}
}
