package e2e

import (
	"database/sql"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestForeignSchema puts a server before a schema that it cannot work on: a newer one that breaks what it relies on, as after a
// step back to an older version. It does not start on it, does not touch it, and one that runs says that it is not ready.
func TestForeignSchema(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := serve(t, folder)
	db, err := sql.Open("sqlite", filepath.Join(folder, "apikeyd.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`INSERT INTO schema_migrations (version_id, is_applied) VALUES (99, 1)`); err != nil {
		t.Fatal(err)
	}
	get(t, s.verification+"/readyz") // what a newer version has only added to does no harm
	if _, err := db.Exec(`UPDATE schema_compatibility SET oldest = 99`); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(s.verification + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "schema") {
		t.Errorf("/readyz: %s %s, %v", resp.Status, body, err)
	}
	s.stop()

	for _, args := range [][]string{
		{"serve"}, {"migrate"}, {"backup", "copy.db"}, {"init", "--email", "you@example.com", "--organization", "Example"},
	} {
		p := launch(t, folder, anyPort, binary, args...)
		if code := p.wait(); code != 1 || !strings.Contains(p.stderr.String(), "schema version 99 is newer than") {
			t.Errorf("%s: exit code %d: %s", args[0], code, p.stderr)
		}
	}
	p := launch(t, folder, nil, binary, "migrate", "--status")
	if code := p.wait(); code != 0 || !strings.Contains(p.stdout.String(), "\n99 ") {
		t.Errorf("migrate --status: exit code %d: %s%s", code, p.stdout, p.stderr)
	}
	if _, err := db.Exec(`DELETE FROM schema_migrations WHERE version_id = 99`); err != nil {
		t.Fatal(err)
	}
	serve(t, folder).stop()
}
