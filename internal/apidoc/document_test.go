package apidoc

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/password"
	"github.com/apikeyd/apikeyd/internal/secret"
	"github.com/apikeyd/apikeyd/internal/token"
)

func mustParse(t *testing.T) *document {
	t.Helper()
	d, err := parse(openapi)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The lists that stand in the document and in the program are the same, in the same order.
func TestEnumsAreThoseOfTheProgram(t *testing.T) {
	d := mustParse(t)
	var codes, outcomes []string
	for _, c := range api.Codes() {
		codes = append(codes, string(c))
	}
	for _, o := range key.Outcomes() {
		outcomes = append(outcomes, o.String())
	}
	roles := []string{key.Viewer.String(), key.Member.String(), key.Admin.String(), key.Owner.String()}
	methods := []string{key.ByPassword.String(), key.ByLink.String(), key.ByOIDC.String()}
	for schema, want := range map[string][]string{
		"ProblemCode": codes,
		"VerifyCode":  outcomes,
		"Period":      {key.Day.String(), key.Month.String()},
		"Scope":       key.AllScopes.Names(),
		"Role":        roles,

		"RemainingKeys":   {string(api.DeleteKeys), string(api.TransferKeys)},
		"SessionMethod":   methods,
		"UsageBy":         {string(api.UsageByHour), string(api.UsageByDay)},
		"AuditTargetType": audit.Types(),
		"AuditOutcome":    {audit.Success.String(), audit.Refused.String()},
	} {
		s := d.Components.Schemas.get(schema)
		if s == nil {
			t.Errorf("there is no schema %s", schema)
			continue
		}
		if !slices.Equal(s.Enum, want) {
			t.Errorf("%s is %q, want %q", schema, s.Enum, want)
		}
		for _, value := range s.Enum {
			if s.EnumDescriptions[value] == "" {
				t.Errorf("%s does not say what %s means", schema, value)
			}
		}
		if len(s.EnumDescriptions) != len(s.Enum) {
			t.Errorf("%s describes %d values and has %d", schema, len(s.EnumDescriptions), len(s.Enum))
		}
	}
}

// Limits that the program knows as constants are those of the document.
func TestLimitsAreThoseOfTheProgram(t *testing.T) {
	d := mustParse(t)
	property := func(schema, name string) *schemaView {
		t.Helper()
		s := d.Components.Schemas.get(schema)
		if s == nil || s.Properties.get(name) == nil {
			t.Fatalf("there is no %s.%s", schema, name)
		}
		return (*schemaView)(s.Properties.get(name))
	}
	for _, c := range []struct {
		what      string
		got, want int64
	}{
		{"NewKey.key_name.maxLength", property("NewKey", "key_name").max(), key.MaxNameLength},
		{"KeyPatch.key_name.maxLength", property("KeyPatch", "key_name").max(), key.MaxNameLength},
		{"Key.key_name.maxLength", property("Key", "key_name").max(), key.MaxNameLength},
		{"NewLimit.requests.maximum", property("NewLimit", "requests").max(), key.MaxRequests},
		{"NewLimit.window_seconds.maximum", property("NewLimit", "window_seconds").max(), int64(key.MaxWindow.Seconds())},
		{"NewQuota.requests.maximum", property("NewQuota", "requests").max(), key.MaxRequests},
		{"QuotaPatch.requests.maximum", property("QuotaPatch", "requests").max(), key.MaxRequests},
		{"NewKey.limits.maxItems", property("NewKey", "limits").max(), key.MaxLimits},
		{"KeyPatch.limits.maxItems", property("KeyPatch", "limits").max(), key.MaxLimits},
		{"NewKey.allowed_cidrs.maxItems", property("NewKey", "allowed_cidrs").max(), key.MaxAllowedCIDRs},
		{"KeyPatch.allowed_cidrs.maxItems", property("KeyPatch", "allowed_cidrs").max(), key.MaxAllowedCIDRs},
		{"RotateRequest.grace_seconds.maximum", property("RotateRequest", "grace_seconds").max(), int64(key.MaxGrace.Seconds())},
		{"Usage.buckets.maxItems", property("Usage", "buckets").max(), admin.MaxUsageBuckets},
		{"VerifyBatch.requests.maxItems", property("VerifyBatch", "requests").max(), api.MaxBatch},
		{"NewOrganization.organization_name.maxLength", property("NewOrganization", "organization_name").max(), key.MaxNameLength},
		{"OrganizationPatch.organization_name.maxLength", property("OrganizationPatch", "organization_name").max(), key.MaxNameLength},
		{"NewOrganization.external_id.maxLength", property("NewOrganization", "external_id").max(), key.MaxExternalIDLength},
		{"OrganizationPatch.external_id.maxLength", property("OrganizationPatch", "external_id").max(), key.MaxExternalIDLength},
		{"NewPassword.new_password.minLength", *property("NewPassword", "new_password").MinLength, password.MinLength},
		{"NewPassword.new_password.maxLength", property("NewPassword", "new_password").max(), password.MaxLength},
	} {
		if c.got != c.want {
			t.Errorf("%s is %d, want %d", c.what, c.got, c.want)
		}
	}
}

// schemaView is a schema of which a test asks for the upper bound, whatever keyword it stands under.
type schemaView schema

func (s *schemaView) max() int64 {
	for _, bound := range []*int64{s.Maximum, s.MaxLength, s.MaxItems} {
		if bound != nil {
			return *bound
		}
	}
	return -1
}

// An answer's status and the code in its problem document belong together, as in api.Code.Status.
func TestProblemsHaveTheStatusOfTheirCode(t *testing.T) {
	d := mustParse(t)
	for _, p := range d.Paths {
		for _, m := range p.Value.methods() {
			for _, r := range m.Responses {
				status, err := strconv.Atoi(r.Name)
				if err != nil {
					t.Fatalf("%s: status %q", m.OperationID, r.Name)
				}
				resolved, err := d.response(r.Value)
				if err != nil {
					t.Fatal(err)
				}
				problem := resolved.Content.get("application/problem+json")
				if status < 400 {
					if problem != nil {
						t.Errorf("%s: a problem with status %d", m.OperationID, status)
					}
					continue
				}
				if problem == nil {
					t.Errorf("%s: no problem with status %d", m.OperationID, status)
					continue
				}
				codes := codesOf(&problem.Schema)
				if len(codes) == 0 {
					t.Errorf("%s %d: no code", m.OperationID, status)
				}
				for _, code := range codes {
					if want := api.Code(code).Status(); want != status {
						t.Errorf("%s: %s with status %d, want %d", m.OperationID, code, status, want)
					}
				}
			}
		}
	}
}

// The tokens in examples have the right form, so that they can be pasted, and nobody can take them for real ones.
func TestExampleTokensAreWellFormedAndFake(t *testing.T) {
	tokens := regexp.MustCompile(`[a-z][a-z0-9_]*_[0-9A-Za-z]{40,}`).FindAllString(string(openapi), -1)
	if len(tokens) == 0 {
		t.Fatal("no token in any example")
	}
	for _, text := range tokens {
		if _, ok := token.Digest([]byte(text)); !ok {
			t.Errorf("%s is no token", text)
		}
		if !strings.Contains(text, "Example") {
			t.Errorf("%s looks real", text)
		}
	}
	pattern := tokenPattern(t)
	for range 100 {
		if text := token.New(token.DefaultPrefix).Reveal(); !pattern.MatchString(text) {
			t.Errorf("the pattern of CreatedKey.key refuses %s", text)
		}
	}
}

// So have the secrets of links and sessions.
func TestExampleSecretsAreWellFormedAndFake(t *testing.T) {
	secrets := regexp.MustCompile(`(link": "|/sign-in/|__Host-apikeyd=)([A-Za-z0-9_-]{10,})`).FindAllStringSubmatch(string(openapi), -1)
	if len(secrets) < 3 {
		t.Fatalf("only %d secrets in examples", len(secrets))
	}
	for _, match := range secrets {
		if _, ok := secret.Digest(match[2]); !ok || !strings.Contains(match[2], "Example") {
			t.Errorf("%s is no secret, or looks real", match[2])
		}
	}
}

// The passwords in examples are ones that the server lets somebody choose.
func TestExamplePasswords(t *testing.T) {
	passwords := regexp.MustCompile(`password": "([^"]+ [^"]+)"`).FindAllStringSubmatch(string(openapi), -1)
	if len(passwords) < 3 {
		t.Fatalf("only %d passwords in examples", len(passwords))
	}
	for _, match := range passwords {
		if detail := password.Check(match[1], "owner@example.com"); detail != "" {
			t.Errorf("%s %s", match[1], detail)
		}
	}
}

// The entries of the audit log that are shown form a chain.
func TestExampleAuditEntries(t *testing.T) {
	var page []api.AuditEntry
	answer := mustParse(t).Paths.get("/v1/audit-log").Get.Responses.get("200")
	if err := json.Unmarshal(answer.Content[0].Value.Examples[0].Value.Value, &page); err != nil || len(page) < 2 {
		t.Fatalf("%d entries, error %v", len(page), err)
	}
	slices.Reverse(page) // the oldest first
	head := audit.Head{ID: page[0].AuditID - 1, Hash: hash(t, page[0].PreviousHash)}
	for i := range page {
		e := entry(t, &page[i])
		var err error
		if head, err = audit.Follow(head, &e); err != nil {
			t.Fatal(err)
		}
	}
}

// entry is an entry of the audit log as it was before it was sent.
func entry(t *testing.T, e *api.AuditEntry) audit.Entry {
	t.Helper()
	id := func(id *int64) int64 {
		if id == nil {
			return 0
		}
		return *id
	}
	fields := func(object json.RawMessage) []byte {
		if string(object) == "null" {
			return nil
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, object); err != nil {
			t.Fatal(err)
		}
		return compact.Bytes()
	}
	outcome, _ := audit.ParseOutcome(string(e.Outcome))
	return audit.Entry{
		ID: e.AuditID, OccurredAt: e.OccurredAt.Time, Action: audit.Action(e.Action), OrganizationID: id(e.OrganizationID),
		Actor:  audit.Actor{UserID: id(e.Actor.UserID), KeyID: id(e.Actor.KeyID), SessionID: id(e.Actor.SessionID)},
		Target: audit.Target{Type: e.Target.Type, ID: id(e.Target.ID)}, IP: e.IP, RequestID: e.RequestID, Outcome: outcome,
		Code: string(e.Code), Before: fields(e.Before), After: fields(e.After),
		PreviousHash: hash(t, e.PreviousHash), Hash: hash(t, e.Hash),
	}
}

func hash(t *testing.T, text string) (h audit.Hash) {
	t.Helper()
	if n, err := hex.Decode(h[:], []byte(text)); err != nil || n != len(h) {
		t.Fatalf("hash %s: %v", text, err)
	}
	return h
}

// tokenPattern returns the pattern of a token.
func tokenPattern(t *testing.T) *regexp.Regexp {
	t.Helper()
	s := mustParse(t).Components.Schemas.get("CreatedKey")
	for i := range s.AllOf {
		if p := s.AllOf[i].Properties.get("key"); p != nil {
			return regexp.MustCompile(p.Pattern)
		}
	}
	t.Fatal("CreatedKey has no key")
	return nil
}

// What cannot be rendered is an error that says why.
func TestBrokenDocuments(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"a keyword that the page does not know": {`"uniqueItems": true`, `"contains": {}`, "unknown field"},
		"a schema that is not there":            {`"#/components/schemas/Scope"`, `"#/components/schemas/Skope"`, "schemas/Skope"},
		"a response that is not there":          {`"#/components/responses/Invalid"`, `"#/components/responses/None"`, "responses/None"},
		"a security scheme that is not there":   {`{"apiKeyHeader": []}`, `{"other": []}`, "security scheme other"},
		"a parameter without an example":        {"\"example\": 17\n", "\"required\": true\n", "parameter key_id"},
		"no JSON":                               {`{`, `(`, "invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			broken := strings.ReplaceAll(string(openapi), c.old, c.new)
			if broken == string(openapi) {
				t.Fatalf("the document holds no %s", c.old)
			}
			if _, err := render([]byte(broken)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}
