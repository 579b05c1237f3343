package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
)

var (
	shownToken = regexp.MustCompile(`<code id="token">(ak_[0-9A-Za-z]{49})</code>`)
	formID     = regexp.MustCompile(`name="form" value="([^"]+)"`)
)

// first returns what a pattern finds first in a page.
func (p page) first(t *testing.T, pattern *regexp.Regexp) string {
	t.Helper()
	found := pattern.FindStringSubmatch(p.text)
	if found == nil {
		t.Fatalf("%d at %s: no %s in:\n%s", p.status, p.path, pattern, p.text)
	}
	return found[1]
}

// keyForm is a form to create a key with, changed by names and values in turn.
func keyForm(s *apptest.Server, changes ...string) url.Values {
	form := url.Values{"key_name": {"Backend"}, "organization_id": {fmt.Sprint(s.First.OrganizationID)}, "key_scope": {"READ"}, "expiry": {"never"},
		"limit_requests": {""}, "limit_count": {"1"}, "limit_unit": {"minute"}, "limit_name": {""}}
	for i := 0; i < len(changes); i += 2 {
		form[changes[i]] = strings.Split(changes[i+1], "|")
	}
	return form
}

func TestCreateKey(t *testing.T) {
	s := apptest.Start(t, nil)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	v.get("/keys/new").want(t, http.StatusOK, "/keys/new", `value="READ" checked`, `value="90" checked`)

	p := v.do(http.MethodPost, "/keys/new", keyForm(s, "key_scope", "UPDATE|READ", "expiry", "date", "expiry_date", "2999-12-30", "limit_requests", "1 000|",
		"limit_count", "2|1", "limit_unit", "hour|minute", "limit_name", "|", "quota", "1,000,000", "quota_period", "month",
		"allowed_cidrs", "203.0.113.7\r\n2001:db8::/32 127.0.0.0/8", "metadata", `{"plan": "pro"}`))
	p.want(t, http.StatusCreated, "/keys/new", "export APIKEYD_KEY=ak_", s.ManagementURL+"/v1/me", s.VerificationURL+"/v1/verify", "data:text/plain;base64,")
	token := p.first(t, shownToken)
	me, err := s.ClientWith(token).Me(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	made, err := s.Client().GetKey(t.Context(), me.Key.KeyID)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s %s %s %v %d %s %s %s", made.KeyName, made.KeyScope, made.ExpiresAt.Format("2006-01-02T15:04"), made.Limits, made.Quota.Requests,
		*made.Quota.Period, made.AllowedCIDRs, made.Metadata)
	want := `Backend [READ UPDATE] 2999-12-31T00:00 [{default 1000 7200}] 1000000 month [127.0.0.0/8 203.0.113.7/32 2001:db8::/32] {"plan":"pro"}`
	if got != want {
		t.Errorf("created %s, want %s", got, want)
	}
	s.Stop()
	if strings.Contains(s.Log.String(), token) {
		t.Error("the token is in the log")
	}
}

// What cannot be carried out comes back, with what was typed.
func TestCreateKeyRefused(t *testing.T) {
	s := apptest.Start(t, nil)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	for _, tt := range []struct{ name, field, typed, want string }{
		{"no name", "key_name", " ", "Must not be empty."},
		{"long name", "key_name", strings.Repeat("é", 101), "Must be at most 100 characters long"},
		{"control character", "key_name", "a\x07", "printable"},
		{"token as name", "key_name", s.First.Token.Reveal(), "token"},
		{"no scope", "key_scope", "", "at least one of"},
		{"unknown scope", "key_scope", "<b>", "at least one of"},
		{"no expiry", "expiry", "", "Must be one of these."},
		{"kept expiry", "expiry", "keep", "Must be one of these."},
		{"no date", "expiry", "date", "Must be a date."},
		{"no number", "limit_requests", "x", "Must be a whole number."},
		{"no requests", "limit_requests", "0", "Must be"},
		{"addresses", "allowed_cidrs", "1.2.3.4 <b>", "&#34;&lt;b&gt;&#34; must be a block of addresses"},
		{"quota", "quota", "-1", "Must be"},
		{"huge quota", "quota", "99999999999999999999", "Must be a whole number."},
		{"metadata", "metadata", `{"a":`, "Must be a JSON object."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := v.do(http.MethodPost, "/keys/new", keyForm(s, tt.field, tt.typed))
			p.want(t, http.StatusUnprocessableEntity, "/keys/new", tt.want)
			if tt.field != "key_name" && !strings.Contains(p.text, `value="Backend"`) {
				t.Error("what was typed is gone")
			}
			if strings.Contains(p.text, "<b>") {
				t.Error("what was typed is taken for markup")
			}
		})
	}
	v.do(http.MethodPost, "/keys/new", keyForm(s, "more", "limit", "key_name", "")).want(t, http.StatusOK, "/keys/new", `id="limit_requests-2"`)
	v.do(http.MethodPost, "/keys/new", keyForm(s, "organization_id", "999")).want(t, http.StatusUnprocessableEntity, "/keys/new", "is not there any more")
	v.do(http.MethodPost, "/keys/new", keyForm(s, "organization_id", "x")).want(t, http.StatusUnprocessableEntity, "/keys/new", "is not there any more")
	many := strings.Repeat("5|", 10) + "5"
	v.do(http.MethodPost, "/keys/new", keyForm(s, "limit_requests", many, "limit_count", many, "limit_name", "a|b|c|d|e|f|g|h|i|j|k",
		"limit_unit", strings.Repeat("day|", 11))).want(t, http.StatusUnprocessableEntity, "/keys/new", "at most 10")
	if keys := v.keyCount(t); keys != 1 {
		t.Errorf("%d keys were created", keys-1)
	}
}

// keyCount returns how many keys the list shows.
func (v *visitor) keyCount(t *testing.T) int {
	t.Helper()
	return strings.Count(v.get("/keys").text, `<th scope="row"`)
}

// However often a form is sent, it makes one key.
func TestCreateKeyOnce(t *testing.T) {
	s := apptest.Start(t, nil)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	id := v.get("/keys/new").first(t, formID)
	if other := v.get("/keys/new").first(t, formID); other == id {
		t.Fatal("two forms have one id")
	}
	v.do(http.MethodPost, "/keys/new", keyForm(s, "form", id, "key_name", "")).want(t, http.StatusUnprocessableEntity, "/keys/new", `value="`+id+`"`)
	var wg sync.WaitGroup
	shown := make([]string, 8)
	for i := range shown {
		wg.Go(func() {
			if found := shownToken.FindStringSubmatch(v.do(http.MethodPost, "/keys/new", keyForm(s, "form", id)).text); found != nil {
				shown[i] = found[1]
			}
		})
	}
	wg.Wait()
	for _, token := range shown {
		if token == "" || token != shown[0] {
			t.Fatalf("one form has shown %q", shown)
		}
	}
	if keys := v.keyCount(t); keys != 2 {
		t.Errorf("one form has made %d keys", keys-1)
	}

	// In another session it is done as well, and the token is not shown.
	other := newVisitor(t, s.ManagementURL)
	other.post("/sign-in", "email", "admin@example.com", "password", goodPassword).want(t, http.StatusOK, "/keys")
	at := fmt.Sprintf("/keys/%d?note=key-created-before", s.First.KeyID+1)
	p := other.do(http.MethodPost, "/keys/new", keyForm(s, "form", id))
	p.want(t, http.StatusOK, at, "sent twice and done once", "Backend")
	if strings.Contains(p.text, shown[0]) {
		t.Error("a token is shown in another session")
	}

	// Somebody else's form with the same id is another one.
	invited, err := s.Client().InviteMember(t.Context(), s.First.OrganizationID, api.NewMember{Email: "bob@example.com", Role: api.RoleMember})
	if err != nil {
		t.Fatal(err)
	}
	bob := signedIn(t, s.ManagementURL, strings.TrimPrefix(invited.SignInURL, s.ManagementURL))
	bob.do(http.MethodPost, "/keys/new", keyForm(s, "form", id)).want(t, http.StatusCreated, "/keys/new", "Your key")
}

// Forms are carried out once by all nodes together, those that are started later as well. One of them shows what came of it; the others
// lead to that.
func TestFormsOnTwoNodes(t *testing.T) {
	database, err := config.ParseDatabase(postgrestest.Start(t).NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	same := &apptest.Options{Config: func(c *config.Config) { c.Database = database }}
	s := apptest.Start(t, same)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	nodes := []*visitor{v, {t, apptest.Start(t, same).ManagementURL, v.jar}}
	organization := fmt.Sprintf("/organizations/%d", s.First.OrganizationID)
	const rounds = 12
	for i := range rounds {
		email := fmt.Sprintf("m%d@example.com", i)
		for _, f := range []struct {
			path         string
			form         url.Values
			first, later string // where the answers are found
			shows        string // the first one
		}{
			{"/keys/new", keyForm(s), "/keys/new", fmt.Sprintf("/keys/%d?note=key-created-before", int(s.First.KeyID)+1+i), "It is shown once"},
			{fmt.Sprintf("/keys/%d/rotate", s.First.KeyID), url.Values{"grace_seconds": {"0"}}, fmt.Sprintf("/keys/%d/rotate", s.First.KeyID),
				fmt.Sprintf("/keys/%d?note=key-rotated-before", s.First.KeyID), "The new key"},
			{organization + "/members/invite", url.Values{"email": {email}, "role": {"viewer"}}, organization + "/members/invite",
				organization + "/members?note=invited-before", "/sign-in/"},
			{"/organizations/new", url.Values{"organization_name": {email}}, fmt.Sprintf("/organizations/%d?note=organization-opened", int(s.First.OrganizationID)+1+i),
				fmt.Sprintf("/organizations/%d?note=organization-opened", int(s.First.OrganizationID)+1+i), email},
		} {
			f.form.Set("form", v.get(f.path).first(t, formID))
			answers := make([]page, len(nodes))
			var wg sync.WaitGroup
			for n, node := range nodes {
				wg.Go(func() { answers[n] = node.do(http.MethodPost, f.path, f.form) })
			}
			wg.Wait()
			shown := 0
			for _, answer := range answers {
				if answer.path == f.first && strings.Contains(answer.text, f.shows) {
					shown++
				} else {
					answer.want(t, http.StatusOK, f.later)
				}
			}
			if shown != 1 && f.first != f.later {
				t.Errorf("%s: %d answers show what came of it", f.path, shown)
			}
			if i == rounds-1 {
				late := visitor{t, apptest.Start(t, same).ManagementURL, v.jar}
				late.do(http.MethodPost, f.path, f.form).want(t, http.StatusOK, f.later)
			}
		}
	}
	if keys := v.get(fmt.Sprintf("/keys?organization=%d", s.First.OrganizationID)).text; strings.Count(keys, `<th scope="row"`) != 1+rounds {
		t.Errorf("%d forms have made these keys:\n%s", rounds, keys)
	}
	if text := v.get(organization + "/members").text; strings.Count(text, `<th scope="row"`) != 1+rounds {
		t.Errorf("%d forms have made these members:\n%s", rounds, text)
	}
	if text := v.get("/organizations").text; strings.Count(text, `<th scope="row"`) != 1+rounds {
		t.Errorf("%d forms have made these organizations:\n%s", rounds, text)
	}
	if log := v.get(organization + "/audit-log?action=key.rotate").text; strings.Count(log, `<th scope="row"`) != rounds {
		t.Errorf("%d forms have rotated:\n%s", rounds, log)
	}
}

func TestKeyList(t *testing.T) {
	s := apptest.Start(t, nil)
	for i := range 55 {
		if _, err := s.Client().CreateKey(t.Context(), api.NewKey{KeyName: fmt.Sprintf("Batch %02d", i), KeyScope: []api.Scope{api.ScopeRead},
			OrganizationID: s.First.OrganizationID}); err != nil {
			t.Fatal(err)
		}
	}
	v := signedIn(t, s.ManagementURL, linkOf(s))
	rows := func(p page) int { return strings.Count(p.text, `<th scope="row"`) }
	p := v.get("/keys")
	if n := rows(p); n != 50 || !strings.Contains(p.text, "All keys of") {
		t.Errorf("%d keys on the first page:\n%s", n, p.text)
	}
	next := p.first(t, regexp.MustCompile(`href="([^"]+)" rel="next"`))
	last := v.get(strings.ReplaceAll(next, "&amp;", "&"))
	if n := rows(last); n != 6 || !strings.Contains(last.text, "First key") || strings.Contains(last.text, `rel="next"`) {
		t.Errorf("%d keys on the last page:\n%s", n, last.text)
	}
	for query, want := range map[string]int{
		"?q=batch+1": 10, "?scope=MANAGE": 1, "?state=disabled": 0, "?state=active&q=batch+5": 5, "?state=expired": 0, "?q=%25": 0, "?organization=own&q=first": 1,
		"?scope=none&q=first": 1, "?state=none&q=first": 1, "?q=%00": 0, "?before=x&q=first": 1, "?q=%ff": 0,
	} {
		if n := rows(v.get("/keys" + query)); n != want {
			t.Errorf("%d keys with %s, want %d", n, query, want)
		}
	}
	names := func(query string) (found []string) {
		for _, m := range regexp.MustCompile(`<bdi class="lines" title="([^"]+)"`).FindAllStringSubmatch(v.get("/keys?"+query).text, -1) {
			found = append(found, m[1])
		}
		return found
	}
	for query, want := range map[string]string{
		"": "Batch 54", "sort=oldest": "First key", "sort=name": "Batch 00", "sort=name&after=0.batch+49": "Batch 49", "sort=name&after=99.Batch+49": "Batch 50", "sort=none": "Batch 54",
		"sort=name&after=x": "Batch 00", "sort=expires": "First key", "sort=used": "First key", "sort=oldest&q=batch": "Batch 00",
	} {
		if found := names(query); len(found) == 0 || found[0] != want {
			t.Errorf("%q begins with %q, want %q", query, found, want)
		}
	}
	if found := names("sort=name&after=1.G"); len(found) != 0 {
		t.Errorf("behind the last page: %q", found)
	}
	v.get("/keys?before=1").want(t, http.StatusOK, "/keys?before=1", "No more keys", "First page")
	for _, query := range []string{"?organization=999", "?organization=x", "?organization=-1"} {
		v.get("/keys"+query).want(t, http.StatusNotFound, "/keys"+query)
	}

	size := len(p.text)
	for _, asset := range regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`).FindAllStringSubmatch(p.text, -1) {
		size += len(v.get(asset[1]).text)
	}
	if size > 100_000 {
		t.Errorf("a page with all that it loads has %d bytes", size)
	}
}

// What somebody may not see is not there for them, and what they may not do is said.
func TestRightsOfKeys(t *testing.T) {
	s := apptest.Start(t, nil)
	invited, err := s.Client().InviteMember(t.Context(), s.First.OrganizationID, api.NewMember{Email: "bob@example.com", Role: api.RoleViewer})
	if err != nil {
		t.Fatal(err)
	}
	bob := signedIn(t, s.ManagementURL, strings.TrimPrefix(invited.SignInURL, s.ManagementURL))
	bob.get("/keys").want(t, http.StatusOK, "/keys", "No keys yet", "Your keys in")
	theirs := fmt.Sprintf("/keys/%d", s.First.KeyID)
	for _, path := range []string{theirs, theirs + "/change", theirs + "/rotate", theirs + "/delete"} {
		bob.get(path).want(t, http.StatusNotFound, path)
	}
	for _, path := range []string{theirs + "/change", theirs + "/rotate", theirs + "/delete", theirs + "/state", "/keys/x/state", "/keys/999/delete"} {
		bob.post(path, "grace_seconds", "0", "enabled", "false", "key_name", "x").want(t, http.StatusNotFound, path)
	}
	bob.do(http.MethodPost, "/keys/new", keyForm(s, "key_scope", "READ|DELETE")).want(t, http.StatusForbidden, "/keys/new", "A key of a viewer may have READ, not DELETE.")
	made := bob.do(http.MethodPost, "/keys/new", keyForm(s))
	made.want(t, http.StatusCreated, "/keys/new")
	at := made.first(t, regexp.MustCompile(`href="(/keys/\d+)" data-kept`))
	if p := bob.get(at); p.status != http.StatusOK || strings.Contains(p.text, "What was done to it") {
		t.Errorf("%d\n%s", p.status, p.text)
	}
	bob.do(http.MethodPost, at+"/change", keyForm(s, "key_scope", "MANAGE", "expiry", "keep")).want(t, http.StatusForbidden, at+"/change", "A key of a viewer")

	boss := signedIn(t, s.ManagementURL, linkOf(s))
	boss.get("/keys").want(t, http.StatusOK, "/keys", "bob@example.com")
	boss.get(at).want(t, http.StatusOK, at, "bob@example.com", "What was done to it", "Created")
	// The list of bob's own keys does not know them.
	if p := boss.get("/keys?organization=own"); strings.Contains(p.text, "Backend") {
		t.Error(p.text)
	}
}

func TestChangeKey(t *testing.T) {
	s := apptest.Start(t, nil)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	at := v.do(http.MethodPost, "/keys/new", keyForm(s, "limit_requests", "5", "quota", "7", "quota_period", "day", "allowed_cidrs", "10.0.0.0/8",
		"metadata", `{"a":{"b":1,"c":2},"d":[1]}`)).first(t, regexp.MustCompile(`href="(/keys/\d+)" data-kept`))
	v.get(at+"/change").want(t, http.StatusOK, at+"/change", `value="Backend"`, `value="keep" checked`, "As it is: never", `name="limit_requests" type="text" value="5"`,
		"10.0.0.0/8", "&#34;d&#34;:[1]")
	v.get(at).want(t, http.StatusOK, at, "default: 5 in 1 minute", "0 of 7 used today", "10.0.0.0/8")
	v.do(http.MethodPost, at+"/change", keyForm(s, "key_name", "")).want(t, http.StatusUnprocessableEntity, at+"/change", "Must not be empty.")
	v.do(http.MethodPost, at+"/change", keyForm(s, "metadata", "[]", "quota", "x", "key_name", "")).
		want(t, http.StatusUnprocessableEntity, at+"/change", "Must be a JSON object.", "Must be a whole number.", "Must not be empty.")
	v.do(http.MethodPost, at+"/change", keyForm(s, "key_name", "Other", "key_scope", "CREATE", "expiry", "30", "metadata", `{"a":{"c":3},"e":"<"}`)).
		want(t, http.StatusOK, at+"?note=key-changed", "The key is changed.", "Other", `{&#34;a&#34;:{&#34;c&#34;:3},&#34;e&#34;:&#34;&lt;&#34;}`, ">CREATE<")
	if p := v.get(at); strings.Contains(p.text, "10.0.0.0") || strings.Contains(p.text, "used today") || strings.Contains(p.text, "default: 5") {
		t.Errorf("what was cleared is still there:\n%s", p.text)
	}
	v.post(at+"/state", "enabled", "false").want(t, http.StatusOK, at+"?note=key-disabled", "is disabled", "Enable it")
	v.post(at+"/state", "enabled", "true").want(t, http.StatusOK, at+"?note=key-enabled", "is enabled", "Disable it")
	v.get(at+"/state").want(t, http.StatusOK, at)
}

func TestRotateKey(t *testing.T) {
	s := apptest.Start(t, nil)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	at := fmt.Sprintf("/keys/%d/rotate", s.First.KeyID)
	for _, grace := range []string{"", "x", "-1", "99999999999"} {
		v.post(at, "grace_seconds", grace).want(t, http.StatusUnprocessableEntity, at, "Choose how long")
	}
	id := v.get(at).first(t, formID)
	p := v.post(at, "grace_seconds", "3600", "form", id)
	p.want(t, http.StatusOK, at, "The key before it is good for 1 hour more.")
	token := p.first(t, shownToken)
	if again := v.post(at, "grace_seconds", "3600", "form", id).first(t, shownToken); again != token {
		t.Error("one form has rotated twice")
	}
	for _, good := range []string{token, s.First.Token.Reveal()} {
		if _, err := s.ClientWith(good).Me(t.Context()); err != nil {
			t.Error(err)
		}
	}
	v.post(at, "grace_seconds", "0").want(t, http.StatusOK, at, "The key before it is dead.")
	if _, err := s.ClientWith(token).Me(t.Context()); err == nil {
		t.Error("the token before is good")
	}
}

// A key that was used in the last day is deleted by whoever types its name, and its page says how it was used.
func TestDeleteKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "apikeyd.db")
	same := &apptest.Options{Config: func(c *config.Config) { c.Database = config.Database{Path: file} }}
	s := apptest.Start(t, same)
	v := signedIn(t, s.ManagementURL, linkOf(s))
	p := v.do(http.MethodPost, "/keys/new", keyForm(s, "key_name", "In use"))
	used, at := p.first(t, shownToken), p.first(t, regexp.MustCompile(`href="(/keys/\d+)" data-kept`))
	unused := v.do(http.MethodPost, "/keys/new", keyForm(s)).first(t, regexp.MustCompile(`href="(/keys/\d+)" data-kept`))
	v.post(unused+"/delete").want(t, http.StatusOK, fmt.Sprintf("/keys?organization=%d&note=key-deleted", s.First.OrganizationID), "The key is deleted")
	if _, err := s.ClientWith(used).Me(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, scope := range []api.Scope{api.ScopeRead, api.ScopeRead, api.ScopeManage} {
		if _, err := s.Verifier().Verify(t.Context(), api.VerifyRequest{Key: used, Scope: scope}); err != nil {
			t.Fatal(err)
		}
	}
	organization := s.First.OrganizationID
	s.Stop() // which writes down when keys were used

	s = apptest.Start(t, same)
	v = newVisitor(t, s.ManagementURL)
	v.post("/sign-in", "email", "admin@example.com", "password", goodPassword).want(t, http.StatusOK, "/keys")
	v.get(at).want(t, http.StatusOK, at, "2 allowed", "1 refused", "scope lacking")
	v.get(at+"?by=day").want(t, http.StatusOK, at+"?by=day", "2 allowed", "today, in UTC")
	usage := fmt.Sprintf("/organizations/%d/usage", organization)
	v.get(usage).want(t, http.StatusOK, usage, "2 allowed", "1 refused")
	v.get("/organizations/999/usage").want(t, http.StatusNotFound, "/organizations/999/usage")
	v.get(at+"/delete").want(t, http.StatusOK, at+"/delete", "It was last used")
	v.post(at+"/delete").want(t, http.StatusUnprocessableEntity, at+"/delete", "This is not its name.")
	v.post(at+"/delete", "name", "In Use").want(t, http.StatusUnprocessableEntity, at+"/delete", `value="In Use"`)
	v.post(at+"/delete", "name", " In use ").want(t, http.StatusOK, fmt.Sprintf("/keys?organization=%d&note=key-deleted", organization))
	v.get(at).want(t, http.StatusNotFound, at)
}

// A list that is sorted goes on over its pages, also where keys are alike in what it is sorted by, and an address that somebody has made
// up leads to some page or the first.
func TestKeyListPages(t *testing.T) {
	s := apptest.Start(t, nil)
	for i := range 119 {
		k := api.NewKey{KeyName: []string{"Twin", "twin", "<b>.&%"}[i%3], KeyScope: []api.Scope{api.ScopeRead}, OrganizationID: s.First.OrganizationID}
		if i%2 == 0 {
			k.ExpiresAt = &api.Time{Time: time.Date(2999, 1, 1+i/40, 0, 0, 0, 0, time.UTC)}
		}
		if _, err := s.Client().CreateKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	v := signedIn(t, s.ManagementURL, linkOf(s))
	link, next := regexp.MustCompile(`<th scope="row" class="name"><a href="([^"]+)"`), regexp.MustCompile(`href="([^"]+)" rel="next"`)
	for _, sort := range []string{"", "oldest", "name", "used", "expires"} {
		seen, pages := map[string]bool{}, 0
		for at := "/keys?sort=" + sort; at != ""; pages++ {
			p := v.get(at)
			p.want(t, http.StatusOK, at)
			for _, m := range link.FindAllStringSubmatch(p.text, -1) {
				if seen[m[1]] {
					t.Fatalf("sorted by %q, %s comes twice", sort, m[1])
				}
				seen[m[1]] = true
			}
			if first := strings.Contains(p.text, "First page"); first != (pages > 0) {
				t.Errorf("%s: a way to the first page is %t", at, first)
			}
			at = ""
			if m := next.FindStringSubmatch(p.text); m != nil {
				at = strings.ReplaceAll(m[1], "&amp;", "&")
			}
		}
		if len(seen) != 120 || pages != 3 {
			t.Errorf("sorted by %q there are %d keys on %d pages", sort, len(seen), pages)
		}
		for _, after := range []string{"x", "1", "1.", ".", "-1.-1", "9223372036854775808", "1.9223372036854775808", "1.x", "1.%00", "1.%ff", "1.%27%22%3Cb%3E",
			"9223372036854775807.9223372036854775807", "1." + strings.Repeat("z", 5000)} {
			at := "/keys?sort=" + sort + "&after=" + after
			if p := v.get(at); p.status != http.StatusOK || strings.Contains(p.text, "<b>") {
				t.Errorf("%.60s: status %d", at, p.status)
			}
		}
	}
}
