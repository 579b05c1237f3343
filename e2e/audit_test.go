package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/store/sqlite"
	"github.com/apikeyd/apikeyd/internal/token"
)

// meddling is something that somebody who can write to the database does to the audit log, and the entry at which it is
// found out.
type meddling struct {
	name   string
	do     string // SQL
	entry  int
	reason string
}

// meddlings returns what may be done to a log of n entries.
func meddlings(n int) []meddling {
	const columns = `occurred_at, actor_user_id, actor_key_id, actor_session_id, action, target_type, target_id, organization_id, ip, request_id,
		outcome, code, before, after, previous_hash, hash`
	middle := n / 2
	all := []meddling{
		{"an entry is removed", fmt.Sprintf(`DELETE FROM audit_log WHERE audit_id = %d`, middle), middle, "was removed"},
		{"the first is removed", `DELETE FROM audit_log WHERE audit_id = 1`, 1, "was removed"},
		{"the last is removed", fmt.Sprintf(`DELETE FROM audit_log WHERE audit_id = %d`, n), n, "was removed"},
		{"many are removed", fmt.Sprintf(`DELETE FROM audit_log WHERE audit_id > %d`, n-5), n - 4, "was removed"},
		{"all are removed", `DELETE FROM audit_log`, 1, "was removed"},
		{"an entry is removed and the rest moved up", fmt.Sprintf(`DELETE FROM audit_log WHERE audit_id = %d; UPDATE audit_log SET audit_id = audit_id - 1 WHERE audit_id > %[1]d`, middle),
			middle, "does not follow the entry before it: one of the two was altered or inserted"},
		{"an entry is appended", fmt.Sprintf(`INSERT INTO audit_log SELECT %d, %s FROM audit_log WHERE audit_id = %d`, n+1, columns, n),
			n + 1, "does not follow the entry before it: one of the two was altered or inserted"},
		{"an entry is inserted", fmt.Sprintf(`UPDATE audit_log SET audit_id = -audit_id - 1 WHERE audit_id > %d; UPDATE audit_log SET audit_id = -audit_id WHERE audit_id < 0;
			INSERT INTO audit_log SELECT %d, %s FROM audit_log WHERE audit_id = %[1]d`, middle, middle+1, columns), middle + 1,
			"does not follow the entry before it: one of the two was altered or inserted"},
		{"two entries change places", fmt.Sprintf(`UPDATE audit_log SET audit_id = -1 WHERE audit_id = %d; UPDATE audit_log SET audit_id = %[1]d WHERE audit_id = %[1]d + 1;
			UPDATE audit_log SET audit_id = %[1]d + 1 WHERE audit_id = -1`, middle), middle, "does not follow the entry before it: one of the two was altered or inserted"},
		{"the end is said to be another", `UPDATE audit_extent SET last_hash = zeroblob(32)`, n, "was altered"},
	}
	for column, value := range map[string]string{
		"occurred_at": "occurred_at - 1000", "actor_user_id": "2", "actor_key_id": "77", "actor_session_id": "77", "action": "'key.read'",
		"target_type": "'organization'", "target_id": "77", "organization_id": "77", "ip": "'192.0.2.1'", "request_id": "'x'",
		"outcome": "3 - outcome", "code": "'other'", "before": "'{}'", "after": `'{"x":1}'`, "hash": "zeroblob(32)",
	} {
		all = append(all, meddling{column + " is altered", fmt.Sprintf(`UPDATE audit_log SET %s = %s WHERE audit_id = %d`, column, value, middle), middle, "was altered"})
	}
	return all
}

// TestMeddlingWithTheAuditLog changes the log in the database, while the server is stopped and while it runs. audit verify
// says so, with the entry at which it begins.
func TestMeddlingWithTheAuditLog(t *testing.T) {
	t.Parallel()
	h := serveHousehold(t, nil)
	for i := range 10 {
		h.people["mate"].as(t, h.server, "GET", organizationsPath+"/2", "").refused(api.CodeNotFound)
		h.people["root"].as(t, h.server, "PATCH", organizationsPath+"/2", fmt.Sprintf(`{"metadata":{"n":%d}}`, i)).is(http.StatusOK)
	}
	n := len(h.auditLog(t))
	tryAll := func(when string) {
		t.Helper()
		path := filepath.Join(h.folder, "apikeyd.db")
		for _, m := range meddlings(n) {
			meddle(t, path, m.do, func() {
				code, printed := verifyAudit(t, h.folder)
				want := fmt.Sprintf("audit entry %d %s\n", m.entry, m.reason)
				if code != 1 || !strings.HasSuffix(printed, want) || strings.Contains(printed, "is what was written") {
					t.Errorf("%s, %s: exit code %d: %s, want %s", m.name, when, code, printed, want)
				}
			})
			if t.Failed() {
				return
			}
		}
		auditIsWhole(t, h.folder)
	}
	tryAll("while the server runs")
	h.stop()
	tryAll("while none runs")

	// A server does not mind, and goes on with its chain; the break stays where it is.
	path := filepath.Join(h.folder, "apikeyd.db")
	execute(t, path, `UPDATE audit_log SET ip = '192.0.2.1' WHERE audit_id = 3`)
	s := serve(t, h.folder)
	s.token = h.token
	if _, err := s.client(s.token).CreateKey(t.Context(), draft("after")); err != nil {
		t.Fatal(err)
	}
	if code, printed := verifyAudit(t, h.folder); code != 1 || !strings.Contains(printed, "audit entry 3 was altered") {
		t.Errorf("exit code %d: %s", code, printed)
	}
	s.stop()
}

// meddle does something to a database, calls look, and undoes it by putting back what was in the tables of the log.
func meddle(t *testing.T, path, do string, look func()) {
	t.Helper()
	execute(t, path, `CREATE TABLE kept_log AS SELECT * FROM audit_log; CREATE TABLE kept_extent AS SELECT * FROM audit_extent`)
	execute(t, path, do)
	look()
	execute(t, path, `DELETE FROM audit_log; INSERT INTO audit_log SELECT * FROM kept_log; DROP TABLE kept_log;
		DELETE FROM audit_extent; INSERT INTO audit_extent SELECT * FROM kept_extent; DROP TABLE kept_extent`)
}

// execute runs SQL on a database beside whoever uses it, in one transaction.
func execute(t *testing.T, path, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_busy_timeout=10000&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec(text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// theEnd is the line of audit verify that says where the log ends.
var theEnd = regexp.MustCompile(`(?m)^end  (\d+:[0-9a-f]{64})$`)

// TestRewrittenAuditLog writes the whole log anew, hashes and all. That is no break in the chain, but whoever has kept an
// end of it sees that it is another.
func TestRewrittenAuditLog(t *testing.T) {
	t.Parallel()
	h := serveHousehold(t, nil)
	_, printed := verifyAudit(t, h.folder)
	found := theEnd.FindStringSubmatch(printed)
	if found == nil {
		t.Fatalf("no end is printed: %s", printed)
	}
	end := found[1]
	h.people["root"].as(t, h.server, "PATCH", organizationsPath+"/2", `{"metadata":{"n":1}}`).is(http.StatusOK)
	if code, printed := verifyAudit(t, h.folder, "--expect", end); code != 0 || strings.Contains(printed, end) {
		t.Errorf("the log has grown: exit code %d: %s", code, printed)
	}
	h.stop()

	path := filepath.Join(h.folder, "apikeyd.db")
	rewrite(t, path, func(e *audit.Entry) {
		if e.ID == 5 {
			e.IP = "192.0.2.1"
		}
	})
	auditIsWhole(t, h.folder)
	if code, printed := verifyAudit(t, h.folder, "--expect", end); code != 1 || !strings.Contains(printed, "is not the one that was expected: the log was written anew") {
		t.Errorf("exit code %d: %s", code, printed)
	}
	beyond := regexp.MustCompile(`^\d+`).ReplaceAllString(end, "99999")
	if code, printed := verifyAudit(t, h.folder, "--expect", beyond); code != 1 || !strings.Contains(printed, "audit entry 99999 was removed") {
		t.Errorf("exit code %d: %s", code, printed)
	}
	if code, printed := verifyAudit(t, h.folder, "--expect", end[:20]); code != 2 {
		t.Errorf("exit code %d: %s", code, printed)
	}
}

// rewrite writes an audit log anew, with a chain that fits.
func rewrite(t *testing.T, path string, alter func(*audit.Entry)) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := s.AuditAfter(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var head audit.Head
	for _, e := range entries {
		alter(&e)
		e = e.Chain(head)
		head = e.Head()
		if _, err := db.Exec(`UPDATE audit_log SET ip = ?, previous_hash = ?, hash = ? WHERE audit_id = ?`,
			sql.NullString{String: e.IP, Valid: e.IP != ""}, e.PreviousHash[:], e.Hash[:], e.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Exec(`UPDATE audit_extent SET last_hash = ?`, head.Hash[:]); err != nil {
		t.Fatal(err)
	}
}

// TestAuditRetention makes a log of three days and has what is older than one and a half deleted. What is left can be
// verified, by who has kept an end of it as well, and a server goes on with it.
func TestAuditRetention(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "apikeyd.db")
	now := time.Now().Add(-3 * 24 * time.Hour)
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	service := admin.New(admin.Options{Store: s, Invalidator: nobody{}, Now: func() time.Time { return now }, TokenPrefix: token.DefaultPrefix,
		AuditRetention: 36 * time.Hour, SessionIdle: time.Hour})
	made, err := service.Initialise(t.Context(), "root@example.com", "Ours")
	if err != nil {
		t.Fatal(err)
	}
	var ends []string
	const perDay = 1200 // more than are deleted at once
	for range 3 {
		for range perDay {
			if _, err := service.MakeLink(t.Context(), admin.Caller{}, "root@example.com"); err != nil {
				t.Fatal(err)
			}
		}
		_, printed := verifyAudit(t, folder)
		ends = append(ends, theEnd.FindStringSubmatch(printed)[1])
		now = now.Add(24 * time.Hour)
	}
	if err := service.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	code, printed := verifyAudit(t, folder)
	if code != 0 || !strings.Contains(printed, fmt.Sprintf(": %d entries\n", perDay)) || !strings.Contains(printed, ends[2]) {
		t.Errorf("exit code %d: %s", code, printed)
	}
	if code, printed := verifyAudit(t, folder, "--expect", ends[2]); code != 0 {
		t.Errorf("exit code %d: %s", code, printed)
	}
	if code, printed := verifyAudit(t, folder, "--expect", ends[0]); code != 1 || !strings.Contains(printed, "was deleted because of its age; expect a later one") {
		t.Errorf("exit code %d: %s", code, printed)
	}
	server := serve(t, folder, "--audit-retention", "48h")
	c := server.client(made.Token.Reveal())
	if _, err := c.CreateKey(t.Context(), draft("later")); err != nil {
		t.Fatal(err)
	}
	n, oldest := 0, int64(0)
	for e, err := range c.AllAuditLog(t.Context(), client.AuditOptions{Limit: 1000}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		oldest = e.AuditID
	}
	if n != perDay+1 || oldest != 2*perDay+6 { // the first five are those of init
		t.Errorf("there are %d entries, the oldest is %d", n, oldest)
	}
	auditIsWhole(t, folder)
	server.stop()
	meddle(t, path, fmt.Sprintf(`DELETE FROM audit_log WHERE audit_id = %d`, oldest), func() {
		if code, printed := verifyAudit(t, folder); code != 1 || !strings.Contains(printed, fmt.Sprintf("audit entry %d was removed", oldest)) {
			t.Errorf("exit code %d: %s", code, printed)
		}
	})
}

// TestCommandsBesideABusyServer makes one-time links and verifies the audit log while 16 clients create and delete keys.
// None of them is disturbed, the links work, and the log is whole all the time.
func TestCommandsBesideABusyServer(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	book := newLedger()
	var busy sync.WaitGroup
	for worker := range 16 {
		c := s.once(s.token)
		busy.Go(func() {
			if err := book.work(ctx, c, fmt.Sprint(worker)); err != nil && ctx.Err() == nil {
				t.Errorf("beside a command: %v", err)
			}
		})
	}
	for range 8 {
		book.await(t, 100)
		out, err := runBeside(s, "users", "sign-in-link", "admin@localhost")
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		b := signIn(t, s.management, withLink(linkSecret(t, string(out))))
		request(t, s.management, "GET", "/v1/me", "", []string{b.cookie()}).is(http.StatusOK)
		auditIsWhole(t, s.folder)
	}
	if out, err := runBeside(s, "users", "sign-in-link", "nobody@example.com"); err == nil || !strings.Contains(string(out), "no user has this e-mail address") {
		t.Errorf("%v: %s", err, out)
	}
	stop()
	busy.Wait()
	s.stop()
	again := serve(t, s.folder)
	again.token = s.token
	book.check(t, again)
	again.stop()
	auditIsWhole(t, s.folder)
	tablesAreWhatTheLogSays(t, filepath.Join(s.folder, "apikeyd.db"))
	if err := os.Remove(filepath.Join(s.folder, "apikeyd.db")); err != nil {
		t.Fatal(err)
	}
	if code, printed := verifyAudit(t, s.folder); code != 1 || !strings.Contains(printed, "apikeyd.db: ") {
		t.Errorf("without a database: exit code %d: %s", code, printed)
	}
}
