package httpapi

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/token"
	"github.com/apikeyd/apikeyd/internal/verify"
)

func TestOutcomesOfChecks(t *testing.T) {
	k := newKit(t, nil)
	good := k.createWith(`["READ","CREATE"]`)
	disabled := k.create(with(`"enabled":false`))
	expiring := k.create(with(`"expires_at":"` + time.Now().Add(time.Hour).Format(time.RFC3339) + `"`))
	deleted := k.createWith(`["READ"]`)
	k.call("DELETE", fmt.Sprintf("/v1/api-keys/%d", deleted.KeyID), "").ok(http.StatusNoContent)
	k.ahead.Store(int64(time.Hour))

	fields := func(key api.CreatedKey, scopes, expires string) string {
		return fmt.Sprintf(`,"key_id":%d,"key_name":%q,"key_scope":%s,"organization_id":1,"user_id":1,"expires_at":%s,"metadata":{}}`,
			key.KeyID, key.KeyName, scopes, expires)
	}
	goodFields := fields(good, `["READ","CREATE"]`, "null")
	const notFound = `{"valid":false,"code":"NOT_FOUND"}`
	expiredAt, _ := json.Marshal(expiring.ExpiresAt)
	for _, c := range []struct {
		name, question, want string
	}{
		{"valid", fmt.Sprintf(`{"key":%q}`, good.Token), `{"valid":true,"code":"VALID"` + goodFields},
		{"valid for a scope", fmt.Sprintf(`{"key":%q,"scope":"CREATE"}`, good.Token), `{"valid":true,"code":"VALID"` + goodFields},
		{"valid in its organization", fmt.Sprintf(`{"organization_id":1,"key":%q}`, good.Token), `{"valid":true,"code":"VALID"` + goodFields},
		{"valid from an address", fmt.Sprintf(`{"key":%q,"ip":"2001:db8::1"}`, good.Token), `{"valid":true,"code":"VALID"` + goodFields},
		{"valid, written unusually", fmt.Sprintf("\n{ \"k\\u0065y\" :\t%q }\r\n", good.Token), `{"valid":true,"code":"VALID"` + goodFields},
		{"lacks the scope", fmt.Sprintf(`{"key":%q,"scope":"DELETE"}`, good.Token), `{"valid":false,"code":"INSUFFICIENT_SCOPE"` + goodFields},
		{"MANAGE does not include READ", fmt.Sprintf(`{"key":%q,"scope":"READ"}`, k.createWith(`["MANAGE"]`).Token), ""},
		{"another organization", fmt.Sprintf(`{"key":%q,"organization_id":2}`, good.Token), notFound},
		{"another organization before the scope", fmt.Sprintf(`{"key":%q,"organization_id":2,"scope":"DELETE"}`, good.Token), notFound},
		{"disabled", fmt.Sprintf(`{"key":%q}`, disabled.Token), `{"valid":false,"code":"DISABLED"` + fields(disabled, `["READ"]`, "null")},
		{"disabled before the scope", fmt.Sprintf(`{"key":%q,"scope":"DELETE"}`, disabled.Token),
			`{"valid":false,"code":"DISABLED"` + fields(disabled, `["READ"]`, "null")},
		{"expired", fmt.Sprintf(`{"key":%q}`, expiring.Token), `{"valid":false,"code":"EXPIRED"` + fields(expiring, `["READ"]`, string(expiredAt))},
		{"deleted", fmt.Sprintf(`{"key":%q}`, deleted.Token), notFound},
		{"unknown", fmt.Sprintf(`{"key":%q}`, token.New("ak").Reveal()), notFound},
		{"no token", `{"key":"x"}`, notFound},
		{"empty", `{"key":""}`, notFound},
		{"not even text of ours", `{"key":"\u0000é\ud83d\ude00"}`, notFound},
		{"a space behind it", fmt.Sprintf(`{"key":"%s "}`, good.Token), notFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := k.ask("POST", "/v1/verify", c.question).ok(http.StatusOK)
			if c.want == "" {
				if !strings.HasPrefix(r.body, `{"valid":false,"code":"INSUFFICIENT_SCOPE","key_id"`) {
					t.Errorf("answer %s", r.body)
				}
			} else if r.body != c.want+"\n" {
				t.Errorf("answer %swant   %s", r.body, c.want)
			}
			b := k.ask("POST", "/v1/verify/batch", `{"requests":[`+c.question+`]}`).ok(http.StatusOK)
			if want := `{"results":[` + strings.TrimSuffix(r.body, "\n") + "]}\n"; b.body != want {
				t.Errorf("in a batch %swant      %s", b.body, want)
			}
		})
	}
}

// badQuestions are no questions, wherever they are asked.
var badQuestions = []struct {
	name     string
	body     string
	pointers []string
}{
	{"no key", `{}`, []string{"/key"}},
	{"key null", `{"key":null}`, []string{"/key"}},
	{"key number", `{"key":1}`, []string{"/key"}},
	{"key array", `{"key":["a"]}`, []string{"/key"}},
	{"key object", `{"key":{}}`, []string{"/key"}},
	{"key boolean", `{"key":true}`, []string{"/key"}},
	{"repeated key", `{"key":"a","key":"a"}`, []string{"/key"}},
	{"repeated scope", `{"key":"a","scope":"READ","scope":"READ"}`, []string{"/scope"}},
	{"wrong case", `{"Key":"a"}`, []string{"/Key", "/key"}},
	{"unknown field", `{"key":"a","scopes":["READ"]}`, []string{"/scopes"}},
	{"unknown field first", `{"x":{"y":1},"key":"a"}`, []string{"/x"}},
	{"scope null", `{"key":"a","scope":null}`, []string{"/scope"}},
	{"scope empty", `{"key":"a","scope":""}`, []string{"/scope"}},
	{"scope in lower case", `{"key":"a","scope":"read"}`, []string{"/scope"}},
	{"scope unknown", `{"key":"a","scope":"WRITE"}`, []string{"/scope"}},
	{"scope array", `{"key":"a","scope":["READ"]}`, []string{"/scope"}},
	{"organization null", `{"key":"a","organization_id":null}`, []string{"/organization_id"}},
	{"organization string", `{"key":"a","organization_id":"1"}`, []string{"/organization_id"}},
	{"organization zero", `{"key":"a","organization_id":0}`, []string{"/organization_id"}},
	{"organization negative", `{"key":"a","organization_id":-1}`, []string{"/organization_id"}},
	{"organization fraction", `{"key":"a","organization_id":1.0}`, []string{"/organization_id"}},
	{"organization exponent", `{"key":"a","organization_id":1e2}`, []string{"/organization_id"}},
	{"organization 2^63", `{"key":"a","organization_id":9223372036854775808}`, []string{"/organization_id"}},
	{"organization huge", `{"key":"a","organization_id":1e400}`, []string{"/organization_id"}},
	{"ip null", `{"key":"a","ip":null}`, []string{"/ip"}},
	{"ip number", `{"key":"a","ip":1}`, []string{"/ip"}},
	{"ip empty", `{"key":"a","ip":""}`, []string{"/ip"}},
	{"ip name", `{"key":"a","ip":"localhost"}`, []string{"/ip"}},
	{"ip with a port", `{"key":"a","ip":"203.0.113.9:80"}`, []string{"/ip"}},
	{"ip network", `{"key":"a","ip":"203.0.113.0/24"}`, []string{"/ip"}},
	{"ip with a zone", `{"key":"a","ip":"fe80::1%eth0"}`, []string{"/ip"}},
	{"ip in brackets", `{"key":"a","ip":"[::1]"}`, []string{"/ip"}},
	{"ip with leading zeros", `{"key":"a","ip":"203.0.113.009"}`, []string{"/ip"}},
	{"everything wrong", `{"key":1,"scope":"x","organization_id":0,"ip":"x","y":1}`, []string{"/key", "/scope", "/organization_id", "/ip", "/y"}},
	{"null", `null`, []string{""}},
	{"array", `[]`, []string{""}},
	{"string", `"ak"`, []string{""}},
}

// notJSON is no question either, and has no place to point to.
var notJSON = []string{``, ` `, `{`, `{"key":"a"`, `{"key":"a",}`, `{"key":"a"}}`, `{"key":"a"}{"key":"a"}`, `{"key":"a"} x`, `key=a`, `{key:"a"}`,
	"{\"key\":\"\xff\"}", "{\"key\":\"a\x00\"}", `{"key":"\ud800"}`, `{"key":"a","organization_id":01}`, `{"key":"a","organization_id":+1}`}

func TestBadQuestions(t *testing.T) {
	k := newKit(t, nil)
	for _, c := range badQuestions {
		t.Run(c.name, func(t *testing.T) {
			k := k.in(t)
			checkFaults(t, k.ask("POST", "/v1/verify", c.body), is400, c.pointers)
			inBatch := make([]string, len(c.pointers))
			for i, p := range c.pointers {
				inBatch[i] = "/requests/1" + p
			}
			body := `{"requests":[{"key":"a"},` + c.body + `,{"key":"b","scope":"READ"}]}`
			checkFaults(t, k.ask("POST", "/v1/verify/batch", body), is400, inBatch)
		})
	}
	for _, body := range notJSON {
		checkFaults(t, k.ask("POST", "/v1/verify", body, "Content-Type: application/json"), is400, nil)
	}
	checkFaults(t, k.ask("POST", "/v1/verify?scope=READ", `{"key":"a"}`), is400, []string{"/scope"})
	k.ask("POST", "/v1/verify", `{"key":"a"}`, "Content-Type:").problem(api.CodeUnsupportedMediaType)
	k.ask("POST", "/v1/verify", `{"key":"a"}`, "Accept: text/html").problem(api.CodeNotAcceptable)
	k.ask("POST", "/v1/verify", `{"key":"`+strings.Repeat("a", maxBody)+`"}`).problem(api.CodeContentTooLarge)
}

func TestBatches(t *testing.T) {
	k := newKit(t, nil)
	many := func(n int, each string) string {
		return `{"requests":[` + strings.TrimSuffix(strings.Repeat(each+",", n), ",") + `]}`
	}
	for _, c := range []struct {
		name, body string
		pointers   []string
	}{
		{"no requests", `{}`, []string{"/requests"}},
		{"null", `{"requests":null}`, []string{"/requests"}},
		{"object", `{"requests":{}}`, []string{"/requests"}},
		{"repeated", `{"requests":[],"requests":[]}`, []string{"/requests"}},
		{"unknown field", `{"requests":[],"x":1}`, []string{"/x"}},
		{"a list without an object", `[{"key":"a"}]`, []string{""}},
		{"an item that is no object", `{"requests":["a",1]}`, []string{"/requests/0", "/requests/1"}},
		{"faults in several items", `{"requests":[{"key":1},{"key":"a"},{"key":"a","scope":"x"},{}]}`,
			[]string{"/requests/0/key", "/requests/2/scope", "/requests/3/key"}},
		{"too many", many(api.MaxBatch+1, `{"key":"a"}`), []string{"/requests"}},
		{"too many, written unusually", many(api.MaxBatch+1, `{"k\u0065y":"a"}`), []string{"/requests"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := k.in(t)
			checkFaults(t, k.ask("POST", "/v1/verify/batch", c.body), is400, c.pointers)
		})
	}
	if r := k.ask("POST", "/v1/verify/batch", `{"requests":[]}`).ok(http.StatusOK); r.body != `{"results":[]}`+"\n" {
		t.Errorf("no questions: %s", r.body)
	}
	for _, each := range []string{`{"key":"a"}`, `{"k\u0065y":"a"}`} {
		var result api.VerifyBatchResult
		k.ask("POST", "/v1/verify/batch", many(api.MaxBatch, each)).ok(http.StatusOK).read(&result)
		if len(result.Results) != api.MaxBatch {
			t.Errorf("%d answers", len(result.Results))
		}
	}
	var result api.VerifyBatchResult
	k.ask("POST", "/v1/verify/batch", fmt.Sprintf(`{"requests":[{"key":"x"},{"key":%q},{"key":%q,"organization_id":7}]}`, k.token, k.token)).
		ok(http.StatusOK).read(&result)
	if got := fmt.Sprintln(result.Results[0].Code, result.Results[1].Code, result.Results[2].Code); got != "NOT_FOUND VALID NOT_FOUND\n" {
		t.Errorf("answers %s", got)
	}
}

// The answer that is written by hand is what encoding/json makes of an api.Verification.
func TestVerificationIsWrittenAsTheTypeSays(t *testing.T) {
	full := key.Record{KeyID: math.MaxInt64, OrganizationID: 2, UserID: 3, Name: "n", Scopes: key.AllScopes, Metadata: `{"a":[1,"<"]}`,
		ExpiresAt: key.MillisOf(time.Date(2999, 1, 2, 3, 4, 5, 60e6, time.UTC))}
	records := []key.Record{full, {KeyID: 1, OrganizationID: 1, UserID: 1, Name: "n"}}
	for _, name := range []string{`quote " backslash \ slash /`, "é 👩‍👩‍👧 \u2028\u2029", "<script>&amp;", "\x00\x1f\x7f\t\n", "bad \xff utf-8", ""} {
		r := full
		r.Name = name
		records = append(records, r)
	}
	for set := range key.AllScopes + 1 {
		r := full
		r.Scopes = set
		records = append(records, r)
	}
	second := int64(1)
	for i, r := range records {
		for _, outcome := range key.Outcomes() {
			d := verify.Decision{Outcome: outcome, Record: &r}
			var limit *api.RateLimit
			if i%2 == 0 && outcome != key.CheckNotFound {
				d.Allowance = key.Allowance{Name: "default", Requests: key.MaxRequests, Remaining: 7, Reset: time.Nanosecond}
				limit = &api.RateLimit{Limit: key.MaxRequests, Remaining: 7, ResetSeconds: &second, Name: "default"}
			}
			want := api.Verification{Valid: outcome == key.CheckValid, Code: api.VerifyCode(outcome.String())}
			if outcome == key.CheckNotFound {
				d.Record = nil
			} else {
				want.KeyID, want.OrganizationID, want.UserID = r.KeyID, r.OrganizationID, r.UserID
				want.KeyName = strings.ToValidUTF8(r.Name, "\ufffd")
				want.KeyScope = wireScopes(r.Scopes)
				want.ExpiresAt = wireTime(r.ExpiresAt.Time())
				want.RateLimit = limit
				want.Metadata = json.RawMessage("{}")
				if r.Metadata != "" {
					want.Metadata = json.RawMessage(r.Metadata)
				}
			}
			var got api.Verification
			text := appendVerification(nil, d)
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", text, diff)
			}
			if d.Record != nil && (!strings.Contains(string(text), `"expires_at":`) || !strings.Contains(string(text), `"key_scope":[`)) {
				t.Errorf("fields are left out: %s", text)
			}
		}
	}
}

// Exchanges are used again for later requests; nothing of one may come into another.
func TestAnswersAreNotMixedUp(t *testing.T) {
	k := newKit(t, nil)
	const keys, rounds = 8, 50
	long := strings.Repeat("x", 3000)
	var all sync.WaitGroup
	for i := range keys {
		created := k.create(fmt.Sprintf(`{"key_name":"key %d","key_scope":["READ"],"organization_id":1,"metadata":{"n":%d,"long":%q}}`, i, i, long[:i*400]))
		question := fmt.Sprintf(`{"key":%q}`, created.Token)
		want := k.ask("POST", "/v1/verify", question).ok(http.StatusOK)
		if !strings.Contains(want.body, fmt.Sprintf(`"key_name":"key %d"`, i)) || want.header.Get("Content-Length") != fmt.Sprint(len(want.body)) {
			t.Fatalf("answer %v %s", want.header, want.body)
		}
		all.Go(func() {
			for round := range rounds {
				var got string
				switch round % 3 {
				case 0:
					got = k.ask("POST", "/v1/verify", question).body
				case 1:
					got = k.ask("POST", "/v1/verify/batch", `{"requests":[`+question+`]}`).body
					got = strings.TrimSuffix(strings.TrimPrefix(got, `{"results":[`), "]}\n") + "\n"
				default:
					k.ask("POST", "/v1/verify", `{"key":"`+long)
					continue
				}
				if got != want.body {
					t.Errorf("got %s, want %s", got, want.body)
				}
			}
		})
	}
	all.Wait()
}
