package key

import (
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func good() Draft {
	return Draft{Name: "Backend", Scopes: ScopesOf(Read, Create), OrganizationID: 432, Enabled: true}
}

func TestDraftCheck(t *testing.T) {
	with := func(change func(*Draft)) Draft { d := good(); change(&d); return d }
	tests := []struct {
		name  string
		draft Draft
		fault string // pointer; "": none
	}{
		{"good", good(), ""},
		{"name of 100 four-byte characters", with(func(d *Draft) { d.Name = strings.Repeat("🔑", 100) }), ""},
		{"name of 101", with(func(d *Draft) { d.Name = strings.Repeat("x", 101) }), "/key_name"},
		{"name of 100 and white space around", with(func(d *Draft) { d.Name = " \t\u3000" + strings.Repeat("x", 100) + "\n " }), ""},
		{"empty name", with(func(d *Draft) { d.Name = "" }), "/key_name"},
		{"blank name", with(func(d *Draft) { d.Name = " \u00a0\t" }), "/key_name"},
		{"line break inside", with(func(d *Draft) { d.Name = "a\nb" }), "/key_name"},
		{"NUL", with(func(d *Draft) { d.Name = "a\x00b" }), "/key_name"},
		{"escape sequence", with(func(d *Draft) { d.Name = "\x1b[31mred" }), "/key_name"},
		{"text turned round", with(func(d *Draft) { d.Name = "a\u202eb" }), "/key_name"},
		{"Arabic", with(func(d *Draft) { d.Name = "مفتاح" }), ""},
		{"a script tag is a name like another", with(func(d *Draft) { d.Name = "<script>alert(1)</script>" }), ""},
		{"emoji of several", with(func(d *Draft) { d.Name = "👩‍💻 team" }), ""},
		{"no scope", with(func(d *Draft) { d.Scopes = 0 }), "/key_scope"},
		{"a scope that does not exist", with(func(d *Draft) { d.Scopes = 1 << 6 }), "/key_scope"},
		{"organization 0", with(func(d *Draft) { d.OrganizationID = 0 }), "/organization_id"},
		{"organization below 0", with(func(d *Draft) { d.OrganizationID = -432 }), "/organization_id"},
		{"expires now", with(func(d *Draft) { d.ExpiresAt = noon }), "/expires_at"},
		{"expires within the millisecond", with(func(d *Draft) { d.ExpiresAt = noon.Add(999 * time.Microsecond) }), "/expires_at"},
		{"expires in a millisecond", with(func(d *Draft) { d.ExpiresAt = noon.Add(time.Millisecond) }), ""},
		{"expires in the year 10000", with(func(d *Draft) { d.ExpiresAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }), "/expires_at"},
		{"year 10000 by its zone only", with(func(d *Draft) { d.ExpiresAt = time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600)) }), "/expires_at"},
		{"metadata", with(func(d *Draft) { d.Metadata = []byte(`{"team": "a"}`) }), ""},
		{"metadata of 4096 bytes", with(func(d *Draft) { d.Metadata = metadataOf(4096) }), ""},
		{"metadata of 4097", with(func(d *Draft) { d.Metadata = metadataOf(4097) }), "/metadata"},
		{"4097 because of white space", with(func(d *Draft) { d.Metadata = append(metadataOf(4096), ' ') }), "/metadata"},
		{"metadata nested 32 levels deep", with(func(d *Draft) { d.Metadata = nested(32) }), ""},
		{"metadata nested 33 levels deep", with(func(d *Draft) { d.Metadata = nested(33) }), "/metadata"},
		{"brackets in strings do not nest", with(func(d *Draft) { d.Metadata = []byte(`{"a":"\\\"` + strings.Repeat("[{", 40) + `"}`) }), ""},
		{"a number beyond a float64", with(func(d *Draft) { d.Metadata = []byte(`{"a":[1, -1e999]}`) }), "/metadata"},
		{"a large integer", with(func(d *Draft) { d.Metadata = []byte(`{"a":123456789012345678901234567890}`) }), ""},
		{"a number in a string", with(func(d *Draft) { d.Metadata = []byte(`{"a":"1e999"}`) }), ""},
		{"metadata is an array", with(func(d *Draft) { d.Metadata = []byte(`[1]`) }), "/metadata"},
		{"metadata is null", with(func(d *Draft) { d.Metadata = []byte(`null`) }), "/metadata"},
		{"metadata is empty", with(func(d *Draft) { d.Metadata = []byte{} }), "/metadata"},
		{"metadata is cut off", with(func(d *Draft) { d.Metadata = []byte(`{"a":`) }), "/metadata"},
	}
	for _, tt := range tests {
		_, faults := tt.draft.Check(noon)
		if tt.fault == "" && len(faults) > 0 || tt.fault != "" && (len(faults) != 1 || faults[0].Pointer != tt.fault) {
			t.Errorf("%s: faults %v, want %q", tt.name, faults, tt.fault)
		}
	}
}

func nested(levels int) []byte {
	return []byte(`{"a":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + `}`)
}

func metadataOf(n int) []byte {
	const frame = `{"a":""}`
	return []byte(`{"a":"` + strings.Repeat("x", n-len(frame)) + `"}`)
}

func TestDraftCheckGivesAllFaultsAtOnceAndTheFormKept(t *testing.T) {
	_, faults := Draft{ExpiresAt: noon.Add(-1), Metadata: []byte("1")}.Check(noon)
	var pointers []string
	for _, f := range faults {
		pointers = append(pointers, f.Pointer)
	}
	if got, want := strings.Join(pointers, " "), "/key_name /key_scope /organization_id /expires_at /metadata"; got != want {
		t.Errorf("faults at %s, want %s", got, want)
	}

	d := good()
	d.Name, d.Metadata = "  a b ", []byte(` { "n" : 1.0e300 , "s":"<&>\u2028" } `)
	d.ExpiresAt = time.Date(2030, 1, 1, 1, 0, 0, 123_999_999, time.FixedZone("", 3600))
	kept, faults := d.Check(noon)
	if len(faults) > 0 || kept.Name != "a b" || string(kept.Metadata) != `{"n":1.0e300,"s":"<&>\u2028"}` ||
		kept.ExpiresAt != time.Date(2030, 1, 1, 0, 0, 0, 123_000_000, time.UTC) {
		t.Errorf("kept %+v %s, faults %v", kept, kept.Metadata, faults)
	}
	d.Metadata = []byte("{ }")
	if kept, _ := d.Check(noon); kept.Metadata != nil {
		t.Errorf("an empty object is kept as %q, want nil", kept.Metadata)
	}
}

// The example rows are those of RFC 7396, appendix A, as far as target and patch are objects.
func TestMetadataMergePatch(t *testing.T) {
	for _, tt := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, ``},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{``, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`{"a":1}`, `{"a":{"b":2,"c":null}}`, `{"a":{"b":2}}`},
		{`{"a":1}`, `null`, ``},
		{`{"a":1}`, `{}`, `{"a":1}`},
		{`{"big":12345678901234567890.10}`, `{"x":1e2}`, `{"big":12345678901234567890.10,"x":1e2}`},
	} {
		k := Key{}
		if tt.target != "" {
			k.Metadata = []byte(tt.target)
		}
		got, faults := Patch{Metadata: []byte(tt.patch)}.Apply(k, noon)
		if len(faults) > 0 || string(got.Metadata) != tt.want {
			t.Errorf("%s patched with %s = %s %v, want %s", tt.target, tt.patch, got.Metadata, faults, tt.want)
		}
	}
	for _, bad := range []string{`1`, `"x"`, `[]`, `true`, `{`} {
		if _, faults := (Patch{Metadata: []byte(bad)}).Apply(Key{}, noon); len(faults) != 1 || faults[0].Pointer != "/metadata" {
			t.Errorf("patch %s: faults %v", bad, faults)
		}
	}
	for name, bad := range map[string][]byte{
		"over the limit as sent, though most of it removes": []byte(`{` + strings.Repeat(`"a":null,`, 500) + `"b":1}`),
		"nested deeper than any metadata":                   nested(33),
		"nested as deep as a body has room for":             nested(9000),
	} {
		if _, faults := (Patch{Metadata: bad}).Apply(Key{}, noon); len(faults) != 1 || faults[0].Pointer != "/metadata" {
			t.Errorf("%s: faults %v", name, faults)
		}
	}
	full := Key{Metadata: metadataOf(4090)}
	if _, faults := (Patch{Metadata: []byte(`{"b":"0123456789"}`)}).Apply(full, noon); len(faults) != 1 {
		t.Errorf("a merge beyond the limit: faults %v", faults)
	}
}

func TestPatchLeavesTheRest(t *testing.T) {
	k := Key{ID: 1, Name: "a", Scopes: ScopesOf(Read), Enabled: true, ExpiresAt: noon.Add(time.Hour), CreatedAt: noon.Add(-time.Hour)}
	off, never := false, time.Time{}
	got, faults := Patch{Enabled: &off, ExpiresAt: &never}.Apply(k, noon)
	want := k
	want.Enabled, want.ExpiresAt, want.UpdatedAt = false, time.Time{}, noon
	if len(faults) > 0 || got.Enabled || !got.ExpiresAt.IsZero() || got.Name != want.Name || got.Scopes != want.Scopes || got.UpdatedAt != noon {
		t.Errorf("got %+v %v, want %+v", got, faults, want)
	}
}

func TestDecide(t *testing.T) {
	now := MillisOf(noon)
	base := Record{KeyID: 1, OrganizationID: 432, Scopes: ScopesOf(Read), Enabled: true}
	with := func(change func(*Record)) *Record { r := base; change(&r); return &r }
	ask := Question{Scope: Read, OrganizationID: 432}
	for _, tt := range []struct {
		name string
		r    *Record
		q    Question
		want Outcome
	}{
		{"unknown", nil, Question{}, CheckNotFound},
		{"nothing asked", &base, Question{}, CheckValid},
		{"all asked", &base, ask, CheckValid},
		{"another organization", &base, Question{OrganizationID: 433}, CheckNotFound},
		{"no such scope", &base, Question{Scope: Create}, CheckInsufficientScope},
		{"disabled", with(func(r *Record) { r.Enabled = false }), ask, CheckDisabled},
		{"expires now", with(func(r *Record) { r.ExpiresAt = now }), ask, CheckExpired},
		{"expires next", with(func(r *Record) { r.ExpiresAt = now + 1 }), ask, CheckValid},
		{"old token, grace over", with(func(r *Record) { r.TokenExpiresAt = now }), ask, CheckNotFound},
		{"old token in its grace", with(func(r *Record) { r.TokenExpiresAt = now + 1 }), ask, CheckValid},
		// Where several hold, the first in the contract's order is given.
		{"another organization, disabled", with(func(r *Record) { r.Enabled = false }), Question{OrganizationID: 1}, CheckNotFound},
		{"disabled and expired", with(func(r *Record) { r.Enabled = false; r.ExpiresAt = 1 }), ask, CheckDisabled},
		{"expired and no such scope", with(func(r *Record) { r.ExpiresAt = 1 }), Question{Scope: Delete}, CheckExpired},
		{"everything wrong", with(func(r *Record) { r.Enabled = false; r.ExpiresAt = 1; r.TokenExpiresAt = 1 }), Question{Scope: Delete}, CheckNotFound},
	} {
		if got := tt.r.Decide(tt.q, now); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestScopesAndRoles(t *testing.T) {
	if got := AllScopes.String(); got != ScopeList {
		t.Errorf("all scopes = %q, want %q", got, ScopeList)
	}
	for _, name := range AllScopes.Names() {
		s, ok := ParseScope(name)
		if !ok || s.String() != name {
			t.Errorf("ParseScope(%q) = %v, %v", name, s, ok)
		}
	}
	for _, name := range []string{"", "read", "Read", "READ ", "ADMIN", "MANAGE\x00"} {
		if s, ok := ParseScope(name); ok {
			t.Errorf("ParseScope(%q) = %v", name, s)
		}
	}
	for _, s := range []Scope{0, Read | Create, 1 << 5, 255} {
		if s.String() != "" {
			t.Errorf("Scope(%d).String() = %q", s, s.String())
		}
	}
	for role, want := range map[Role]string{
		0:      "",
		Viewer: "READ",
		Member: "READ, CREATE, UPDATE, DELETE",
		Admin:  "READ, CREATE, UPDATE, DELETE, MANAGE",
		Owner:  "READ, CREATE, UPDATE, DELETE, MANAGE",
	} {
		if got := role.MayHold().String(); got != want {
			t.Errorf("a %v may hold %q, want %q", role, got, want)
		}
		if parsed, ok := ParseRole(role.String()); ok != (role != 0) || parsed != role {
			t.Errorf("ParseRole(%q) = %v, %v", role.String(), parsed, ok)
		}
		if got, want := role.ManagesKeys(), role == Admin || role == Owner; got != want {
			t.Errorf("a %v manages keys: %v", role, got)
		}
	}
}

// FuzzMerge holds what mergePatch gives against what must be true of any merge: the outcome is a JSON object that is
// kept as it stands, and merging the same again changes nothing.
func FuzzMerge(f *testing.F) {
	f.Add(`{"a":{"b":1}}`, `{"a":{"b":null,"c":[1,{}]}}`)
	f.Add(`{}`, `{"\u0000":"\u2028<"}`)
	f.Fuzz(func(t *testing.T, object, patch string) {
		d := good()
		d.Metadata = []byte(object)
		kept, faults := d.Check(noon)
		if len(faults) > 0 {
			return
		}
		once, faults := Patch{Metadata: []byte(patch)}.Apply(Key{Metadata: kept.Metadata}, noon)
		if len(faults) > 0 {
			return
		}
		twice, faults := Patch{Metadata: []byte(patch)}.Apply(once, noon)
		if len(faults) > 0 || string(twice.Metadata) != string(once.Metadata) {
			t.Fatalf("%s patched with %s: once %s, twice %s %v", object, patch, once.Metadata, twice.Metadata, faults)
		}
	})
}

func TestState(t *testing.T) {
	for _, tt := range []struct {
		enabled bool
		expires time.Time
		want    State
		name    string
	}{
		{true, time.Time{}, StateActive, "active"},
		{true, noon.Add(1), StateActive, "active"},
		{true, noon, StateExpired, "expired"},
		{true, noon.Add(-1), StateExpired, "expired"},
		{false, time.Time{}, StateDisabled, "disabled"},
		{false, noon, StateDisabled, "disabled"},
	} {
		k := Key{Enabled: tt.enabled, ExpiresAt: tt.expires}
		if got := k.State(noon); got != tt.want {
			t.Errorf("enabled %t, expires %v: state %d, want %d", tt.enabled, tt.expires, got, tt.want)
		}
		if got, ok := ParseState(tt.name); !ok || got != tt.want {
			t.Errorf("ParseState(%q) = %d, %t", tt.name, got, ok)
		}
	}
	for _, name := range []string{"", "Active", "enabled", "active, disabled"} {
		if got, ok := ParseState(name); ok || got != 0 {
			t.Errorf("ParseState(%q) = %d, %t", name, got, ok)
		}
	}
}
