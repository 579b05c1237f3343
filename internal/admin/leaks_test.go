package admin_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/secret"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/token"
)

// leakbox keeps the notices that it is given.
type leakbox struct {
	to      []string
	notices []admin.LeakNotice
}

func (*leakbox) SendSignInLink(string, secret.Secret, string) {}

func (b *leakbox) SendLeak(email string, n admin.LeakNotice) {
	b.to, b.notices = append(b.to, email), append(b.notices, n)
}

// outcome is how a check of a token comes out.
func (h *house) outcome(tok token.Token) key.Outcome {
	h.t.Helper()
	rec, err := h.store.RecordByDigest(h.t.Context(), tok.Digest())
	if err != nil {
		rec = nil
	}
	return rec.Decide(key.Question{}, key.MillisOf(h.now()))
}

func fieldsOf(t *testing.T, text []byte) (f map[string]any) {
	t.Helper()
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return f
}

func TestAReportedTokenIsDead(t *testing.T) {
	box := new(leakbox)
	h := newHouse(t).with(func(o *admin.Options) { o.Mailer = box })
	k := h.key(h.users["member"], h.home, read)
	tok, bystander := h.tokens[k.ID], h.key(h.users["member"], h.home, read)
	h.pass(time.Minute)
	c := admin.Caller{IP: "203.0.113.1", RequestID: "r"}
	entries := h.logged(func() { expect(t, "report", h.ReportLeak(t.Context(), c, tok.Reveal()), "ok") })

	h.expectThrown("the report", tok)
	if got := h.outcome(tok); got != key.CheckNotFound {
		t.Errorf("the token is %v", got)
	}
	if got := h.outcome(h.tokens[bystander.ID]); got != key.CheckValid {
		t.Errorf("another token is %v", got)
	}
	expectActions(t, entries, "key.leaked")
	e := entries[0]
	if e.Actor != (audit.Actor{}) || e.IP != c.IP || e.RequestID != "r" || e.OrganizationID != h.home ||
		e.Target != (audit.Target{Type: audit.Key, ID: k.ID}) {
		t.Errorf("the entry is %+v", e)
	}
	before, after := fieldsOf(t, e.Before), fieldsOf(t, e.After)
	if !reflect.DeepEqual(before, map[string]any{"key_hint": tok.Hint(), "enabled": true}) ||
		!reflect.DeepEqual(after, map[string]any{"enabled": false, "reported_by": "holder"}) {
		t.Errorf("before %v, after %v", before, after)
	}
	want := admin.LeakNotice{KeyID: k.ID, KeyName: k.Name, Hint: tok.Hint(), Organization: "home", IP: c.IP, At: h.now()}
	if len(box.notices) != 1 || box.to[0] != email("member") || box.notices[0] != want {
		t.Errorf("told %q %+v, want %+v", box.to, box.notices, want)
	}

	// The owner sees it, and cannot bring the token back by mistake.
	owner := h.session("member")
	seen, err := h.Key(t.Context(), owner, k.ID)
	if err != nil || seen.Enabled || !seen.UpdatedAt.Equal(h.now()) {
		t.Errorf("the key is %+v, %v", seen, err)
	}
	on := true
	if _, err := h.UpdateKey(t.Context(), owner, k.ID, key.Patch{Enabled: &on}); err != nil {
		t.Fatal(err)
	}
	if got := h.outcome(tok); got != key.CheckNotFound {
		t.Errorf("the token of the key that was enabled again is %v", got)
	}
	_, next, err := h.RotateKey(t.Context(), owner, k.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := h.outcome(next), h.outcome(tok); a != key.CheckValid || b != key.CheckNotFound {
		t.Errorf("after a rotation the new token is %v, the one that leaked %v", a, b)
	}
}

// A key that somebody has disabled is not to come back with a token that leaked.
func TestATokenOfADisabledKeyIsDeadAsWell(t *testing.T) {
	h := newHouse(t)
	k := h.key(h.users["member"], h.home, read)
	off, on := false, true
	owner := h.session("member")
	if _, err := h.UpdateKey(t.Context(), owner, k.ID, key.Patch{Enabled: &off}); err != nil {
		t.Fatal(err)
	}
	entries := h.logged(func() {
		expect(t, "report", h.ReportLeak(t.Context(), admin.Caller{}, h.tokens[k.ID].Reveal()), "ok")
	})
	expectActions(t, entries, "key.leaked")
	if _, said := fieldsOf(t, entries[0].After)["enabled"]; said {
		t.Errorf("the entry says %s", entries[0].After)
	}
	if _, err := h.UpdateKey(t.Context(), owner, k.ID, key.Patch{Enabled: &on}); err != nil {
		t.Fatal(err)
	}
	if got := h.outcome(h.tokens[k.ID]); got != key.CheckNotFound {
		t.Errorf("the token is %v", got)
	}
}

// Whoever has an old token ends that one, and not the one that the owner has put in its place.
func TestAnOldTokenIsDeadAlone(t *testing.T) {
	box := new(leakbox)
	h := newHouse(t).with(func(o *admin.Options) { o.Mailer = box })
	k := h.key(h.users["member"], h.home, read)
	old := h.tokens[k.ID]
	_, current, err := h.RotateKey(t.Context(), h.session("member"), k.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	entries := h.logged(func() { expect(t, "report", h.ReportLeak(t.Context(), admin.Caller{}, old.Reveal()), "ok") })
	expectActions(t, entries, "key.leaked")
	if got := fieldsOf(t, entries[0].Before)["key_hint"]; got != old.Hint() {
		t.Errorf("the entry is about %v", got)
	}
	if a, b := h.outcome(old), h.outcome(current); a != key.CheckNotFound || b != key.CheckValid {
		t.Errorf("the old token is %v, the new one %v", a, b)
	}
	if len(box.notices) != 1 || !box.notices[0].Old {
		t.Errorf("told %+v", box.notices)
	}
	// And the other way round: the new one disables the key, with all that it has.
	_, newest, err := h.RotateKey(t.Context(), h.session("member"), k.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	h.thrown.take()
	expect(t, "report", h.ReportLeak(t.Context(), admin.Caller{}, newest.Reveal()), "ok")
	h.expectThrown("the report", newest, current)
	if a, b := h.outcome(newest), h.outcome(current); a != key.CheckNotFound || b != key.CheckDisabled {
		t.Errorf("the new token is %v, the old one %v", a, b)
	}
}

// What is no token is answered like one, as late, and leaves nothing. But other nodes are waited for: another report of the
// same token may not have come that far.
func TestAReportTellsNothing(t *testing.T) {
	h := newHouse(t)
	k := h.key(h.users["member"], h.home, read)
	real, unknown := h.tokens[k.ID], token.New("ak")
	wrong := []byte(real.Reveal())
	wrong[10] ^= 1
	for _, text := range []string{"", "x", string(wrong), unknown.Reveal(), strings.Repeat("ak_", 1<<12), "\x00", " " + real.Reveal()} {
		begun := time.Now()
		entries := h.logged(func() { expect(t, "report", h.ReportLeak(t.Context(), admin.Caller{}, text), "ok") })
		if took := time.Since(begun); took < 200*time.Millisecond {
			t.Errorf("%.20q is answered after %v", text, took)
		}
		expectActions(t, entries)
		if text == unknown.Reveal() {
			h.expectThrown("the report", unknown)
		} else {
			h.expectThrown("the report")
		}
	}
	if got := h.outcome(real); got != key.CheckValid {
		t.Errorf("the token is %v", got)
	}
	begun := time.Now()
	expect(t, "report", h.ReportLeak(t.Context(), admin.Caller{}, real.Reveal()), "ok")
	if took := time.Since(begun); took < 200*time.Millisecond {
		t.Errorf("a token is answered after %v", took)
	}
	h.thrown.take()
	entries := h.logged(func() { expect(t, "once more", h.ReportLeak(t.Context(), admin.Caller{}, real.Reveal()), "ok") })
	expectActions(t, entries)
	h.expectThrown("the second report", real)
}

func TestReportsAreThrottled(t *testing.T) {
	h := newHouse(t)
	k := h.key(h.users["member"], h.home, read)
	hurried, cancel := context.WithCancel(t.Context())
	cancel() // nobody waits for the answers
	here, there := admin.Caller{IP: "203.0.113.1"}, admin.Caller{IP: "203.0.113.2"}
	for i := range 100 {
		expect(t, fmt.Sprint(i), h.ReportLeak(hurried, here, "x"), "ok")
	}
	expect(t, "one too many", h.ReportLeak(t.Context(), here, h.tokens[k.ID].Reveal()), key.RateLimited)
	if got := h.outcome(h.tokens[k.ID]); got != key.CheckValid {
		t.Errorf("the token is %v", got)
	}
	expect(t, "from elsewhere", h.ReportLeak(t.Context(), there, h.tokens[k.ID].Reveal()), "ok")
	h.pass(3 * time.Second)
	expect(t, "later", h.ReportLeak(hurried, here, "x"), "ok")
}

// Where the database fails, nobody is told that a token is dead.
func TestAReportThatFails(t *testing.T) {
	h := newHouse(t)
	k := h.key(h.users["member"], h.home, read)
	raw, err := sql.Open("sqlite", h.path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.ExecContext(t.Context(), `CREATE TRIGGER no BEFORE DELETE ON tokens BEGIN SELECT RAISE(ABORT, 'no'); END`); err != nil {
		t.Fatal(err)
	}
	if err := h.ReportLeak(t.Context(), admin.Caller{}, h.tokens[k.ID].Reveal()); err == nil {
		t.Error("the report succeeds")
	}
	if got := h.outcome(h.tokens[k.ID]); got != key.CheckValid {
		t.Errorf("the token is %v", got)
	}
}

func TestFindings(t *testing.T) {
	box := new(leakbox)
	h := newHouse(t).with(func(o *admin.Options) { o.Mailer = box })
	var leaks []admin.Leak
	var want []bool
	add := func(l admin.Leak, found bool) { leaks, want = append(leaks, l), append(want, found) }
	for range 120 { // more than one batch
		add(admin.Leak{Token: h.tokens[h.key(h.users["member"], h.home, read).ID].Reveal(), Source: "commit", URL: "https://example.com/a"}, true)
		add(admin.Leak{Token: token.New("ak").Reveal()}, false)
	}
	twice := h.tokens[h.key(h.users["owner"], h.home, read).ID].Reveal()
	add(admin.Leak{Token: twice, URL: "https://example.com/first"}, true)
	add(admin.Leak{Token: twice, URL: "https://example.com/second"}, true)
	add(admin.Leak{Token: "some_token"}, false)

	var found []bool
	entries := h.logged(func() {
		var err error
		if found, err = h.ReportLeaks(t.Context(), admin.Caller{IP: "192.0.2.1"}, "github", leaks); err != nil {
			t.Fatal(err)
		}
	})
	if !reflect.DeepEqual(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
	if len(entries) != 122 || len(box.notices) != 121 {
		t.Errorf("%d entries, %d mails", len(entries), len(box.notices))
	}
	if got := fieldsOf(t, entries[0].After); !reflect.DeepEqual(got, map[string]any{"enabled": false, "reported_by": "github", "source": "commit",
		"url": "https://example.com/a"}) {
		t.Errorf("after is %v", got)
	}
	last := entries[len(entries)-1]
	if before, after := fieldsOf(t, last.Before), fieldsOf(t, last.After); before["ended_at"] == nil || after["url"] != "https://example.com/second" {
		t.Errorf("before %v, after %v", before, after)
	}
	if n := box.notices[0]; n.Finder != "github" || n.URL != "https://example.com/a" {
		t.Errorf("told %+v", n)
	}
	if found, err := h.ReportLeaks(t.Context(), admin.Caller{}, "github", nil); err != nil || len(found) != 0 {
		t.Errorf("no finds: %v, %v", found, err)
	}
}

// A finder reports what it finds once more, in another place or because it got no answer: it was a token all the same. It is ended
// once, its owner is told once, and the log tells each place, also when key and organization are gone.
func TestATokenIsFoundAgain(t *testing.T) {
	box := new(leakbox)
	h := newHouse(t).with(func(o *admin.Options) { o.Mailer = box })
	k := h.key(h.users["member"], h.home, read)
	tok, ended := h.tokens[k.ID], h.now()
	report := func(text, url string, want bool) []audit.Entry {
		t.Helper()
		return h.logged(func() {
			found, err := h.ReportLeaks(t.Context(), admin.Caller{IP: "192.0.2.1"}, "github", []admin.Leak{{Token: text, URL: url}})
			if err != nil || len(found) != 1 || found[0] != want {
				t.Errorf("the report is answered %v, %v, want %t", found, err, want)
			}
		})
	}
	again := func(url string) {
		t.Helper()
		entries := report(tok.Reveal(), url, true)
		expectActions(t, entries, "key.leaked")
		e := entries[0]
		if e.Target != (audit.Target{Type: audit.Key, ID: k.ID}) || e.OrganizationID != h.home || e.IP != "192.0.2.1" {
			t.Errorf("the entry is %+v", e)
		}
		before, after := fieldsOf(t, e.Before), fieldsOf(t, e.After)
		if !reflect.DeepEqual(before, map[string]any{"key_hint": tok.Hint(), "ended_at": ended.Format("2006-01-02T15:04:05.000Z")}) ||
			!reflect.DeepEqual(after, map[string]any{"reported_by": "github", "url": url}) {
			t.Errorf("before %v, after %v", before, after)
		}
	}
	expect(t, "the holder's report", h.ReportLeak(t.Context(), admin.Caller{}, tok.Reveal()), "ok")
	h.pass(time.Minute)
	again("https://example.com/first")

	// The key has gone on: with its newer token it must not be disabled for the sake of that one.
	owner, on := h.session("member"), true
	_, next, err := h.RotateKey(t.Context(), owner, k.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.UpdateKey(t.Context(), owner, k.ID, key.Patch{Enabled: &on}); err != nil {
		t.Fatal(err)
	}
	h.thrown.take()
	again("https://example.com/fork")
	h.expectThrown("the report", tok) // whoever has killed it may still be waiting for other nodes
	if got := h.outcome(next); got != key.CheckValid {
		t.Errorf("the new token is %v", got)
	}

	// What its owner has ended was none of a report's.
	expect(t, "delete the key", h.DeleteKey(t.Context(), owner, k.ID), "ok")
	expectActions(t, report(next.Reveal(), "", false))
	again("https://example.com/after-the-key")
	h.change(func(tx store.Tx) error {
		_, _, err := tx.DeleteOrganization(t.Context(), h.home)
		return err
	})
	again("https://example.com/after-the-organization")
	if len(box.notices) != 1 {
		t.Errorf("told %+v", box.notices)
	}
}

// What a message could not be answered for is delivered again, whole: what was ended of it by then is no other token than the rest.
func TestAMessageIsDeliveredAgain(t *testing.T) {
	h := newHouse(t)
	var leaks []admin.Leak
	for range 101 { // more than one batch
		leaks = append(leaks, admin.Leak{Token: h.tokens[h.key(h.users["member"], h.home, read).ID].Reveal()})
	}
	if _, err := h.ReportLeaks(t.Context(), admin.Caller{}, "github", leaks[:100]); err != nil {
		t.Fatal(err)
	}
	found, err := h.ReportLeaks(t.Context(), admin.Caller{}, "github", append(leaks, leaks[0])) // in the second batch, too
	if err != nil || slices.Contains(found, false) || len(found) != 102 {
		t.Errorf("found %v, %v", found, err)
	}
}

// What a finder says is kept and shown: it must fit, and hold neither a token nor what a terminal obeys.
func TestWhatAFinderSays(t *testing.T) {
	h := newHouse(t)
	secret := token.New("ak").Reveal()
	for _, tt := range []struct{ said, kept string }{
		{"https://example.com/é", "https://example.com/é"},
		{"", ""},
		{"\x1b[2Jhttps://example.com\r\n\u202e", "[2Jhttps://example.com"},
		{"https://example.com/\xff\xfe", "https://example.com/"},
		{strings.Repeat("é", 2000), strings.Repeat("é", 512)},
		{"https://example.com/" + secret + ".txt", ""},
		{"https://example.com/" + secret[:20] + "\x00" + secret[20:], ""},
	} {
		leaked := h.tokens[h.key(h.users["member"], h.home, read).ID]
		entries := h.logged(func() {
			if _, err := h.ReportLeaks(t.Context(), admin.Caller{}, "github", []admin.Leak{{Token: leaked.Reveal(), URL: tt.said, Source: tt.said}}); err != nil {
				t.Fatal(err)
			}
		})
		after := fieldsOf(t, entries[0].After)
		if url, _ := after["url"].(string); url != tt.kept {
			t.Errorf("%.40q is kept as %.40q", tt.said, url)
		}
		if source, _ := after["source"].(string); len(source) > 64 || !strings.HasPrefix(tt.kept, source) {
			t.Errorf("%.40q is kept as %.40q", tt.said, source)
		}
		for _, e := range entries {
			if text := fmt.Sprintf("%+v %s %s", e, e.Before, e.After); strings.Contains(text, leaked.Reveal()) || token.Within([]byte(text)) {
				t.Errorf("a token is in %s", text)
			}
		}
	}
}
