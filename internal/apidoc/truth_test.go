package apidoc_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	apikeyd "github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/internal/apidoc/apidoctest"
	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/config"
)

// The document is true: what it describes is sent to a real server, every example of it and every refusal, and every
// answer is as described; and there is no answer in it that a server does not give.
func TestTheDocumentIsTrue(t *testing.T) {
	r := apidoctest.New(t)
	t.Run("examples", func(t *testing.T) { sendExamples(t, r) })
	t.Run("refusals", func(t *testing.T) { provokeRefusals(t, r) })
	t.Run("limits", func(t *testing.T) { provokeLimits(t, r) })
	t.Run("leaks", func(t *testing.T) { reportTooMuch(t, r) })
	t.Run("credentials", func(t *testing.T) { askWithoutToken(t, r) })
	t.Run("access tokens", func(t *testing.T) { askWithAccessToken(t, r) })
	t.Run("subscriptions", func(t *testing.T) { subscribe(t, r) })
	t.Run("shutdown", func(t *testing.T) { askWhileDraining(t, r) })
	t.Run("no database", func(t *testing.T) { askWithoutDatabase(t, r) })
	t.Run("broken database", func(t *testing.T) { askBrokenDatabase(t, r) })
	t.Run("two passwords", func(t *testing.T) { setPasswordTwice(t, r) })

	// Only a panic makes these answer 500, and there is none to be had.
	never := map[string]bool{}
	for _, operation := range []string{"verifyKey", "verifyKeys", "getLiveness", "getReadiness", "getMetrics", "getOpenAPI", "getReference",
		"requestLink", "subscribe", "authorize", "introspect"} {
		never[operation+" 500"] = true
	}
	for _, answer := range r.Unseen() {
		if !never[answer.String()] {
			t.Errorf("the document describes %s, and no server has given it", answer)
		}
	}
	unsaid, err := r.Unsaid()
	if err != nil {
		t.Error(err)
	}
	for _, detail := range unsaid {
		t.Errorf("the document shows %q, and no server has said it", detail)
	}
}

// refusal is a request and the status that it is refused with.
type refusal struct {
	status             int
	method, path, body string
	headers            string // lines
}

// form is the header of a body that is a form.
const form = "Content-Type: application/x-www-form-urlencoded"

// tooLarge is a body that is.
var tooLarge = `{"key_name": "` + strings.Repeat("x", 64<<10) + `"}`

// provokeRefusals brings about every 4xx that the document describes, but for a missing credential on the
// verification listener, and for those that take several requests.
func provokeRefusals(t *testing.T, r *apidoctest.Recorder) {
	server, s := startTarget(t, r, nil)
	organization := server.First.OrganizationID
	k := s.create(organization, `"READ"`)
	one, organizationUsage := fmt.Sprintf("/v1/api-keys/%d", k.KeyID), fmt.Sprintf("/v1/organizations/%d/usage", organization)
	draft := fmt.Sprintf(`{"key_name": "Test", "key_scope": ["READ"], "organization_id": %d}`, organization)
	withoutRead := "Authorization: Bearer " + s.create(organization, `"CREATE","UPDATE","DELETE"`).Token
	onlyRead := "Authorization: Bearer " + k.Token
	for _, c := range append(accountRefusals(s), []refusal{

		{400, "GET", "/v1/api-keys?page=2", "", ""},
		{400, "GET", "/v1/api-keys?cursor=x", "", ""},
		{400, "GET", "/v1/api-keys?limit=1&limit=2", "", ""},
		{401, "GET", "/v1/api-keys", "", "Authorization:"},
		{401, "GET", "/v1/api-keys", "", "Authorization: Bearer nonsense"},
		{403, "GET", "/v1/api-keys", "", withoutRead},
		{404, "GET", "/v1/api-keys?organization_id=999999", "", ""},
		{405, "PUT", "/v1/api-keys", "", ""},
		{406, "GET", "/v1/api-keys", "", "Accept: text/html"},
		{422, "GET", "/v1/api-keys?limit=0&scope=read&enabled=1&q=", "", ""},

		{400, "POST", "/v1/api-keys", `{"key_name": "a", "key_name": "b", "owner": 1}`, ""},
		{400, "POST", "/v1/api-keys", `{`, ""},
		{400, "POST", "/v1/api-keys", ``, ""},
		{400, "POST", "/v1/api-keys?dry_run=1", draft, ""},
		{401, "POST", "/v1/api-keys", draft, "Authorization:"},
		{403, "POST", "/v1/api-keys", draft, onlyRead},
		{406, "POST", "/v1/api-keys", draft, "Accept: application/xml"},
		{413, "POST", "/v1/api-keys", tooLarge, ""},
		{415, "POST", "/v1/api-keys", draft, "Content-Type: text/plain"},
		{415, "POST", "/v1/api-keys", draft, "Content-Type:"},
		{422, "POST", "/v1/api-keys", `{"key_name": " ", "key_scope": ["READ", "WRITE"], "organization_id": 999999}`, ""},
		{422, "POST", "/v1/api-keys", `[]`, ""},

		{400, "GET", "/v1/api-keys/x", "", ""},
		{401, "GET", one, "", "Authorization:"},
		{403, "GET", one, "", withoutRead},
		{404, "GET", "/v1/api-keys/999999", "", ""},
		{405, "POST", one, "", ""},
		{406, "GET", one, "", "Accept: text/html"},

		{400, "PATCH", one, `{"organization_id": 1}`, ""},
		{401, "PATCH", one, `{}`, "Authorization:"},
		{403, "PATCH", one, `{}`, onlyRead},
		{404, "PATCH", "/v1/api-keys/999999", `{}`, ""},
		{406, "PATCH", one, `{}`, "Accept: text/html"},
		{413, "PATCH", one, tooLarge, ""},
		{415, "PATCH", one, `{}`, "Content-Type: application/json-patch+json"},
		{422, "PATCH", one, `{"key_name": null, "key_scope": [], "expires_at": "2001-01-01T00:00:00Z"}`, ""},

		{400, "DELETE", "/v1/api-keys/9223372036854775808", "", ""},
		{401, "DELETE", one, "", "Authorization:"},
		{403, "DELETE", one, "", onlyRead},
		{404, "DELETE", "/v1/api-keys/999999", "", ""},

		{400, "POST", one + "/rotate", `{"grace": 1}`, ""},
		{401, "POST", one + "/rotate", ``, "Authorization:"},
		{403, "POST", one + "/rotate", ``, onlyRead},
		{404, "POST", "/v1/api-keys/999999/rotate", ``, ""},
		{405, "GET", one + "/rotate", "", ""},
		{406, "POST", one + "/rotate", ``, "Accept: text/html"},
		{413, "POST", one + "/rotate", tooLarge, ""},
		{415, "POST", one + "/rotate", `{}`, "Content-Type: text/plain"},
		{422, "POST", one + "/rotate", `{"grace_seconds": 31536001}`, ""},

		{400, "GET", one + "/usage?per=day", "", ""},
		{401, "GET", one + "/usage", "", "Authorization:"},
		{403, "GET", one + "/usage", "", withoutRead},
		{404, "GET", "/v1/api-keys/999999/usage", "", ""},
		{405, "POST", one + "/usage", "", ""},
		{406, "GET", one + "/usage", "", "Accept: text/html"},
		{422, "GET", one + "/usage?by=week&from=today&to=2026-11-22", "", ""},

		{400, "GET", organizationUsage + "?from=2026-11-22T00:00:00Z&from=2026-11-23T00:00:00Z", "", ""},
		{401, "GET", organizationUsage, "", "Authorization:"},
		{403, "GET", organizationUsage, "", withoutRead},
		{404, "GET", "/v1/organizations/999999/usage", "", ""},
		{405, "DELETE", organizationUsage, "", ""},
		{406, "GET", organizationUsage, "", "Accept: text/html"},
		{422, "GET", organizationUsage + "?from=2001-01-01T00:00:00Z", "", ""},

		{400, "GET", "/v1/me?x=1", "", ""},
		{401, "GET", "/v1/me", "", "Authorization:"},
		{405, "DELETE", "/v1/me", "", ""},
		{406, "GET", "/v1/me", "", "Accept: text/html"},

		{400, "POST", "/v1/verify", `{"key": 1, "scope": "read", "ip": "nowhere", "organization_id": 0, "more": 1}`, ""},
		{400, "POST", "/v1/verify", `{}`, ""},
		{400, "POST", "/v1/verify", ``, ""},
		{405, "GET", "/v1/verify", "", ""},
		{406, "POST", "/v1/verify", `{"key": ""}`, "Accept: text/html"},
		{413, "POST", "/v1/verify", tooLarge, ""},
		{415, "POST", "/v1/verify", `{"key": ""}`, "Content-Type: text/plain"},

		{400, "POST", "/v1/verify/batch", `{"requests": [{"key": ""}, {"kye": ""}]}`, ""},
		{400, "POST", "/v1/verify/batch", `{"requests": [` + strings.Repeat(`{"key":""},`, 1000) + `{"key":""}]}`, ""},
		{405, "GET", "/v1/verify/batch", "", ""},
		{406, "POST", "/v1/verify/batch", `{"requests": []}`, "Accept: text/html"},
		{413, "POST", "/v1/verify/batch", `{"requests": "` + strings.Repeat("x", 1<<20) + `"}`, ""},
		{415, "POST", "/v1/verify/batch", `{"requests": []}`, "Content-Type: text/plain"},

		{400, "POST", "/v1/leaked", `{"key": "x", "url": "https://example.com"}`, ""},
		{405, "GET", "/v1/leaked", "", ""},
		{413, "POST", "/v1/leaked", tooLarge, ""},
		{415, "POST", "/v1/leaked", `{"key": "x"}`, "Content-Type: text/plain"},
		{422, "POST", "/v1/leaked", `{}`, ""},
		{404, "POST", "/v1/leaked/github", `[]`, ""}, // this server does not know GitHub's keys
		{400, "GET", "/v1/authorize?scope=read", "", ""},
		{401, "GET", "/v1/authorize", "", ""},
		{401, "GET", "/v1/authorize", "", "Authorization: Bearer x"},
		{403, "GET", "/v1/authorize", "", "X-Forwarded-Uri: /x//y"},

		{400, "POST", "/introspect", "x=y", form},
		{405, "GET", "/introspect", "", ""},
		{406, "POST", "/introspect", "token=x", form + "\nAccept: text/html"},
		{413, "POST", "/introspect", tooLarge, form},
		{415, "POST", "/introspect", `{"token": "x"}`, ""},

		{403, "GET", "/livez", "", "X-Forwarded-Method: GET"},
		{403, "GET", "/readyz", "", "X-Forwarded-Uri: /x"},
		{403, "GET", "/metrics", "", "X-Original-Method: GET"},
		{403, "GET", "/v1/subscribe", "", "X-Original-URI: /x"},
		{405, "POST", "/livez", "", ""},
		{405, "POST", "/readyz", "", ""},
		{405, "POST", "/metrics", "", ""},
		{405, "POST", "/docs", "", ""},
		{405, "POST", "/openapi.json", "", ""},
		{404, "GET", "/nothing", "", ""},
		{404, "GET", "/v1/verifying", "", ""},
	}...) {
		t.Run(fmt.Sprintf("%d %s %s", c.status, c.method, c.path), func(t *testing.T) {
			s := *s
			s.t = t
			var headers []string
			if c.headers != "" {
				headers = strings.Split(c.headers, "\n")
			}
			s.send(c.status, c.method, c.path, c.body, headers...)
		})
	}
	// The largest batch is a batch.
	s.send(200, "POST", "/v1/verify/batch", `{"requests": [`+strings.Repeat(`{"key":""},`, 999)+`{"key":""}]}`)
}

// askWithoutToken talks to a verification listener that asks for a token.
func askWithoutToken(t *testing.T, r *apidoctest.Recorder) {
	const token = "0123456789abcdef0123456789abcdef"
	_, s := startTarget(t, r, &apptest.Options{Config: func(c *config.Config) {
		var err error
		if c.VerifyTokens, err = config.ParseTokens([]byte(token)); err != nil {
			t.Fatal(err)
		}
	}})
	const question, batch = `{"key": "x"}`, `{"requests": [{"key": "x"}]}`
	for _, header := range []string{"Authorization:", "Authorization: Bearer other"} {
		s.send(401, "POST", "/v1/verify", question, header)
		s.send(401, "POST", "/v1/verify/batch", batch, header)
		s.send(401, "GET", "/v1/subscribe", "", header)
		s.send(401, "GET", "/metrics", "", header)
		s.send(401, "POST", "/introspect", "token=x", header, form)
		s.send(401, "GET", "/v1/authorize", "", header)
		s.send(200, "GET", "/livez", "", header)
		s.send(200, "GET", "/readyz", "", header)
	}
	s.send(200, "POST", "/v1/verify", question, "Authorization: Bearer "+token)
	s.send(200, "POST", "/v1/verify/batch", batch, "Authorization: Bearer "+token)
	s.send(200, "GET", "/metrics", "", "Authorization: Bearer "+token)
}

// subscribe subscribes, and is refused.
func subscribe(t *testing.T, r *apidoctest.Recorder) {
	var database string
	_, s := startTarget(t, r, &apptest.Options{Config: func(c *config.Config) { database = c.Database.Path }})
	s.send(405, "POST", "/v1/subscribe", "")
	s.send(400, "GET", "/v1/subscribe", "")
	s.send(400, "GET", "/v1/subscribe", "", "Connection: Upgrade", "Upgrade: websocket")

	verifier, err := apikeyd.NewVerifier(s.service, apikeyd.WithHTTPClient(&http.Client{Transport: r.Transport(nil)}))
	if err != nil {
		t.Fatal(err)
	}
	blocked := database + ".subscribers" // where the server notes that there are subscribers
	if err := os.Mkdir(blocked, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := verifier.Subscribe(t.Context()); !errors.Is(err, api.ErrUnavailable) {
		t.Errorf("where it cannot be noted that there are subscribers: %v", err)
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	stream, err := verifier.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Close(); err != nil {
		t.Error(err)
	}
}

// askWhileDraining asks a server that is about to stop whether it is ready.
func askWhileDraining(t *testing.T, r *apidoctest.Recorder) {
	server, s := startTarget(t, r, &apptest.Options{Config: func(c *config.Config) { c.ShutdownDelay = 4 * time.Second }})
	s.send(200, "GET", "/readyz", "")
	go server.Stop()
	for {
		resp, err := s.http.Get(s.service + "/readyz")
		if err != nil {
			t.Fatalf("it was never unready: %v", err)
		}
		resp.Body.Close()
		if resp.StatusCode == 503 {
			break
		}
	}
	s.send(200, "GET", "/livez", "")
	server.Stop()
}
