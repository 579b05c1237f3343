package httpapi

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

const formType = "Content-Type: application/x-www-form-urlencoded"

func TestIntrospect(t *testing.T) {
	k := newKit(t, nil)
	reader := k.newKey("r", api.ScopeRead, api.ScopeDelete)
	end := time.Now().Add(time.Hour)
	k.call("PATCH", fmt.Sprintf("/v1/api-keys/%d", reader.KeyID), fmt.Sprintf(`{"expires_at":%q}`, end.UTC().Format(time.RFC3339))).ok(200)
	disabled := k.newKey("d", api.ScopeRead)
	k.call("PATCH", fmt.Sprintf("/v1/api-keys/%d", disabled.KeyID), `{"enabled":false}`).ok(200)
	const inactive = "{\"active\":false}\n"
	for _, c := range []struct{ name, body, want string }{
		{"every scope", "token=" + k.token, `{"active":true,"scope":"READ CREATE UPDATE DELETE MANAGE","client_id":"1","sub":"1"}` + "\n"},
		{"with a hint and more", "token_type_hint=access_token&token=" + reader.Token + "&x=y",
			fmt.Sprintf(`{"active":true,"scope":"READ DELETE","client_id":"%d","sub":"1","exp":%d}`+"\n", reader.KeyID, end.Unix())},
		{"escaped", "token=%61" + k.token[1:], `{"active":true,"scope":"READ CREATE UPDATE DELETE MANAGE","client_id":"1","sub":"1"}` + "\n"},
		{"disabled", "token=" + disabled.Token, inactive},
		{"unknown", "token=x", inactive},
		{"empty", "token=", inactive},
	} {
		r := k.ask("POST", "/introspect", c.body, formType).ok(200)
		if r.body != c.want || r.header.Get("Content-Type") != "application/json" || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s %q, want %s", c.name, r.body, r.header, c.want)
		}
	}
	var rotated api.CreatedKey
	k.call("POST", fmt.Sprintf("/v1/api-keys/%d/rotate", reader.KeyID), `{"grace_seconds":60}`).ok(200).read(&rotated)
	var old struct{ Exp int64 }
	k.ask("POST", "/introspect", "token="+reader.Token, formType).ok(200).read(&old)
	if left := time.Until(time.Unix(old.Exp, 0)); left > time.Minute || left < 30*time.Second {
		t.Errorf("the old token has %s left", left)
	}
}

func TestIntrospectRefuses(t *testing.T) {
	k := newKit(t, nil)
	k.ask("POST", "/introspect", "x=y", formType).problem(api.CodeMalformedRequest)
	k.ask("POST", "/introspect", "token=a&token=b", formType).problem(api.CodeMalformedRequest)
	k.ask("POST", "/introspect", "token=%zz", formType).problem(api.CodeMalformedRequest)
	k.ask("POST", "/introspect?token=x", "token=a", formType).problem(api.CodeMalformedRequest)
	k.ask("POST", "/introspect", `{"token":"x"}`, "Content-Type: application/json").problem(api.CodeUnsupportedMediaType)
	if r := k.ask("GET", "/introspect", ""); r.problem(api.CodeMethodNotAllowed).Code == "" || r.header.Get("Allow") != http.MethodPost {
		t.Errorf("Allow: %q", r.header.Get("Allow"))
	}
	k = newKit(t, func(o *Options) { o.VerifyToken = func(string) bool { return false } })
	k.ask("POST", "/introspect", "token="+k.token, formType).problem(api.CodeUnauthenticated)
}

// Gateways show who they are as OAuth clients do, or with a bearer token.
func TestIntrospectByAClient(t *testing.T) {
	const secret = "a+secret/of=the%operator%41"
	k := newKit(t, func(o *Options) { o.VerifyToken = func(presented string) bool { return presented == secret } })
	basic := func(user, password string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	for _, header := range []string{"Authorization: Bearer " + secret, basic("gateway", secret), basic("", secret),
		basic("gateway", url.QueryEscape(secret))} {
		if r := k.ask("POST", "/introspect", "token="+k.token, formType, header).ok(200); !strings.Contains(r.body, `"active":true`) {
			t.Errorf("%s: %s", header, r.body)
		}
	}
	for _, header := range []string{basic(secret, ""), basic("gateway", "wrong"), "Authorization: Basic %", basic("gateway", url.QueryEscape(url.QueryEscape(secret)))} {
		k.ask("POST", "/introspect", "token="+k.token, formType, header).problem(api.CodeUnauthenticated)
	}
	k.ask("POST", "/v1/verify", `{"key":"`+k.token+`"}`, basic("gateway", secret)).problem(api.CodeUnauthenticated)
}
