package console

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/token"
)

// A page is parsed when somebody first opens it, which is too late to find out that it cannot be.
func TestEveryPageParses(t *testing.T) {
	pages := findTemplates(time.Now)
	if len(pages) < 20 {
		t.Errorf("%d pages", len(pages))
	}
	for name, page := range pages {
		if err := page().Execute(io.Discard, layout{}); err != nil { // without contents: it is escaped all the same
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAgo(t *testing.T) {
	now := time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	for since, want := range map[time.Duration]string{
		0: "just now", 59 * time.Second: "just now", time.Minute: "1 minute ago", 59 * time.Minute: "59 minutes ago", 47 * time.Hour: "47 hours ago",
		48 * time.Hour: "2 days ago", 60 * 24 * time.Hour: "23 Sep 2026", -time.Second: "in a moment", -90 * time.Minute: "in 1 hour",
		-5 * 24 * time.Hour: "in 5 days",
	} {
		if got := ago(now, now.Add(-since)); got != want {
			t.Errorf("%s ago is %q, want %q", since, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{time.Second: "1 second", 90 * time.Second: "90 seconds", time.Minute: "1 minute", 2 * time.Hour: "2 hours",
		24 * time.Hour: "1 day", 36 * time.Hour: "36 hours"} {
		if got := windowText(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}

// A merge patch makes the one of the other, as the domain applies it.
func TestMergePatch(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct{ from, to, want string }{
		{`{"a":1}`, `{"a":1}`, ""},
		{`{"a":1}`, `{ "a" : 1 }`, ""},
		{"", `{"a":1}`, `{"a":1}`},
		{`{"a":1}`, "", `{"a":null}`},
		{`{"a":{"b":1,"c":2}}`, `{"a":{"c":2,"d":3}}`, `{"a":{"b":null,"d":3}}`},
		{`{"a":{"b":1}}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"a":[1]}`, `{"a":{"b":1}}`, `{"a":{"b":1}}`},
		{`{"a":"<"}`, `{"a":"&"}`, `{"a":"&"}`},
	} {
		bytes := func(text string) []byte {
			if text == "" {
				return nil
			}
			return []byte(text)
		}
		patch, err := mergePatch(bytes(tt.from), bytes(tt.to))
		if err != nil || string(patch) != tt.want {
			t.Errorf("from %s to %s: %s, %v, want %s", tt.from, tt.to, patch, err, tt.want)
			continue
		}
		k, faults := key.Patch{Metadata: patch}.Apply(key.Key{Metadata: bytes(tt.from)}, now)
		if len(faults) > 0 {
			t.Errorf("from %s to %s: %v", tt.from, tt.to, faults)
		}
		var got, want any
		_ = json.Unmarshal(k.Metadata, &got)
		_ = json.Unmarshal(bytes(tt.to), &want)
		if a, b := mustJSON(t, got), mustJSON(t, want); a != b {
			t.Errorf("from %s to %s: became %s", tt.from, tt.to, a)
		}
	}
	for _, to := range []string{"[]", "null", "1", "{", `"x"`} {
		if patch, err := mergePatch(nil, []byte(to)); err == nil {
			t.Errorf("%s is patched with %s", to, patch)
		}
	}
}

func mustJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What a form has made is remembered for a while, for the session that it was sent in.
func TestOnce(t *testing.T) {
	made := newForms[shownToken]()
	visitWith := func(id string, session int64) *visit {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.PostForm = url.Values{onceField: {id}}
		return &visit{r: r, w: httptest.NewRecorder(), caller: admin.Caller{SessionID: session}}
	}
	calls := 0
	make := func(c admin.Caller) (shownToken, error) {
		calls++
		return shownToken{name: c.Form, token: token.New("ak")}, nil
	}
	first, err := made.once(visitWith("a", 1), make)
	if again, err2 := made.once(visitWith("a", 1), make); err != nil || err2 != nil || again != first || first.name != "a" || calls != 1 {
		t.Errorf("made %d times: %v, %v", calls, err, err2)
	}
	if other, err := made.once(visitWith("a", 2), make); err != nil || other == first || calls != 2 {
		t.Errorf("what was made in one session is shown in another: %v", err)
	}
	broken := errors.New("not now")
	if _, err := made.once(visitWith("b", 1), func(admin.Caller) (shownToken, error) { return shownToken{}, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := made.once(visitWith("b", 1), make); err != nil || calls != 3 {
		t.Errorf("a form that failed is not taken again: %v", err)
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = made.once(visitWith("c", 1), func(admin.Caller) (shownToken, error) { panic("in the middle") })
	}()
	if _, err := made.once(visitWith("c", 1), make); err != nil || calls != 4 {
		t.Errorf("a form that came to no end is not taken again: %v", err)
	}
	for range 2 { // forms without an id
		if _, err := made.once(visitWith("", 1), make); err != nil {
			t.Error(err)
		}
	}
	if calls != 6 || len(made.made) != 4 || len(made.order) != 4 {
		t.Errorf("%d calls, %d and %d remembered", calls, len(made.made), len(made.order))
	}
	made.forget(formID{"a", 1}, new(making[shownToken]))
	made.forget(formID{"a", 1}, made.made[formID{"a", 1}])
	if len(made.made) != 3 || len(made.order) != 3 {
		t.Errorf("%d and %d remembered", len(made.made), len(made.order))
	}
	for i := range maxForms {
		if _, err := made.once(visitWith("many", int64(i)), make); err != nil {
			t.Fatal(err)
		}
	}
	if len(made.made) != maxForms || len(made.order) != maxForms {
		t.Errorf("%d and %d remembered", len(made.made), len(made.order))
	}
}

// What a cookie says is a form that may be kept, or none.
func TestUnpack(t *testing.T) {
	packed := func(text string) string {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, flate.BestCompression)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b.Bytes())
	}
	good := keptForm{"/keys/new", 7, url.Values{"a": {"1", "\n&="}, "b": {""}}}
	for _, tt := range []struct {
		name, cookie string
		want         keptForm
	}{
		{"what was packed", good.packed(), good},
		{"the same, made here", packed("7\n/keys/new\na=1&a=%0A%26%3D&b="), good},
		{"nothing", "", keptForm{}},
		{"no base64", "?", keptForm{}},
		{"not compressed", "aGVsbG8", keptForm{}},
		{"cut off", good.packed()[:10], keptForm{}},
		{"no user", packed("\n/keys/new\na=1"), keptForm{}},
		{"nobody", packed("0\n/keys/new\na=1"), keptForm{}},
		{"another site", packed("7\n//evil.example\na=1"), keptForm{}},
		{"the API", packed("7\n/v1/api-keys\na=1"), keptForm{}},
		{"a password", packed("7\n/account/password\nnew_password=x"), keptForm{}},
		{"no form", packed("7\n/keys/new\n%"), keptForm{}},
		{"one line", packed("7"), keptForm{}},
		{"more than any form", packed("7\n/keys/new\na=" + strings.Repeat("x", 100*maxForm)), keptForm{}},
	} {
		if got := unpack(tt.cookie); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestNodeRow(t *testing.T) {
	now := time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	n := admin.Node{Name: "a", Lease: 2 * time.Second, Applied: 5, RenewedAt: now.Add(-1500 * time.Millisecond), Waits: 3, Waited: 6 * time.Millisecond}
	for _, tt := range []struct {
		change func(*admin.Node)
		want   string
	}{
		{func(*admin.Node) {}, "serving, 2 behind, renewed 1.5s ago, waited for 3 times, 2ms each"},
		{func(n *admin.Node) { n.RenewedAt = now.Add(-3 * time.Second) }, "silent, 2 behind, renewed 3s ago, waited for 3 times, 2ms each"},
		{func(n *admin.Node) { n.RenewedAt, n.Applied = now.Add(time.Minute), 8 }, "serving, 0 behind, renewed 0s ago, waited for 3 times, 2ms each"},
		{func(n *admin.Node) { n.Waits, n.Waited = 0, 0 }, "serving, 2 behind, renewed 1.5s ago, waited for never"},
	} {
		other := n
		tt.change(&other)
		r := newNodeRow(other, 7, now)
		if got := fmt.Sprintf("%s, %s behind, renewed %s, waited for %s", r.State.Name, r.Behind, r.SinceRenewal, r.WaitsText); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func TestAuditFields(t *testing.T) {
	for _, tt := range []struct{ before, after, want string }{
		{"", "", "[]"},
		{"", `{"a":1}`, "[{a  1 false}]"},
		{`{"a":"x"}`, "", "[{a x  false}]"},
		{`{"a":"x","b":[1]}`, `{"a":"y","c":null}`, "[{a x y true} {b [\n  1\n]  true} {c  null true}]"},
		{`{"a":1}`, `{"a":1}`, "[{a 1 1 false}]"},
		{`{"a":""}`, `{"a":"null"}`, `[{a "" null true}]`},
		{"broken", "[]", "[]"},
	} {
		e := audit.Entry{}
		if tt.before != "" {
			e.Before = []byte(tt.before)
		}
		if tt.after != "" {
			e.After = []byte(tt.after)
		}
		if got := fmt.Sprint(auditFieldsOf(&e)); got != tt.want {
			t.Errorf("from %s to %s: %q, want %q", tt.before, tt.after, got, tt.want)
		}
	}
}
