package httpapi

import (
	"crypto/subtle"
	"net/http"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/token"
)

const (
	challenged = `Bearer realm="apikeyd"`
	refused    = `Bearer realm="apikeyd", error="invalid_token"`
)

func TestCredentials(t *testing.T) {
	k := newKit(t, nil)
	good, other := k.token, k.createWith(`["READ"]`).Token
	disabled := k.createWith(`["READ"]`)
	k.call("PATCH", "/v1/api-keys/3", `{"enabled":false}`).ok(http.StatusOK)
	deleted := k.createWith(`["READ"]`)
	k.call("DELETE", "/v1/api-keys/4", "").ok(http.StatusNoContent)
	unknown := token.New("ak").Reveal()
	wrongChecksum := good[:len(good)-1] + string('0'+(good[len(good)-1]-'0'+1)%10)
	const jwt = "eyJhbGciOiJub25lIn0.e30."

	const authorization, apiKey = "Authorization", "X-Api-Key"
	for _, c := range []struct {
		name      string
		headers   [][2]string
		challenge string // "" where the request is let in
	}{
		{"nothing", nil, challenged},
		{"a bearer", [][2]string{{authorization, "Bearer " + good}}, ""},
		{"the scheme in lower case", [][2]string{{authorization, "bearer " + good}}, ""},
		{"the scheme in upper case", [][2]string{{authorization, "BEARER " + good}}, ""},
		{"two spaces", [][2]string{{authorization, "Bearer  " + good}}, ""},
		{"X-API-Key", [][2]string{{apiKey, good}}, ""},
		{"the same in both", [][2]string{{authorization, "Bearer " + good}, {apiKey, good}}, ""},
		{"the same bearer twice", [][2]string{{authorization, "Bearer " + good}, {authorization, "Bearer " + good}}, ""},
		{"the same X-API-Key twice", [][2]string{{apiKey, good}, {apiKey, good}}, ""},
		{"a foreign bearer and X-API-Key", [][2]string{{authorization, "Bearer " + jwt}, {apiKey, good}}, ""},
		{"Basic and X-API-Key", [][2]string{{authorization, "Basic YTpi"}, {apiKey, good}}, ""},
		{"Basic and a bearer", [][2]string{{authorization, "Basic YTpi"}, {authorization, "Bearer " + good}}, ""},
		{"a bearer and a foreign X-API-Key", [][2]string{{authorization, "Bearer " + good}, {apiKey, "something-else"}}, ""},
		{"a bearer with a wrong checksum and X-API-Key", [][2]string{{authorization, "Bearer " + wrongChecksum}, {apiKey, good}}, ""},
		{"an empty X-API-Key and a bearer", [][2]string{{authorization, "Bearer " + good}, {apiKey, ""}}, ""},

		{"different tokens in both", [][2]string{{authorization, "Bearer " + good}, {apiKey, other}}, refused},
		{"different bearers", [][2]string{{authorization, "Bearer " + good}, {authorization, "Bearer " + other}}, refused},
		{"different X-API-Keys", [][2]string{{apiKey, good}, {apiKey, other}}, refused},
		{"an unknown bearer and X-API-Key", [][2]string{{authorization, "Bearer " + unknown}, {apiKey, good}}, refused},
		{"Basic", [][2]string{{authorization, "Basic YTpi"}}, challenged},
		{"the token without a scheme", [][2]string{{authorization, good}}, challenged},
		{"the token as a scheme of its own", [][2]string{{authorization, "Token " + good}}, challenged},
		{"a scheme that begins like Bearer", [][2]string{{authorization, "Bearerx " + good}}, challenged},
		{"an empty X-API-Key", [][2]string{{apiKey, ""}}, challenged},
		{"a bearer without a token", [][2]string{{authorization, "Bearer"}}, refused},
		{"two tokens in a line", [][2]string{{authorization, "Bearer " + good + "," + good}}, refused},
		{"something behind the token", [][2]string{{authorization, "Bearer " + good + " x"}}, refused},
		{"quotes", [][2]string{{authorization, `Bearer "` + good + `"`}}, refused},
		{"another case", [][2]string{{authorization, "Bearer " + strings.ToUpper(good)}}, refused},
		{"a foreign bearer", [][2]string{{authorization, "Bearer " + jwt}}, refused},
		{"a wrong checksum", [][2]string{{authorization, "Bearer " + wrongChecksum}}, refused},
		{"cut short", [][2]string{{authorization, "Bearer " + good[:len(good)-1]}}, refused},
		{"unknown", [][2]string{{authorization, "Bearer " + unknown}}, refused},
		{"disabled", [][2]string{{authorization, "Bearer " + disabled.Token}}, refused},
		{"deleted", [][2]string{{authorization, "Bearer " + deleted.Token}}, refused},
		{"unknown X-API-Key", [][2]string{{apiKey, unknown}}, refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequest("GET", k.management.URL+"/v1/me", nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range c.headers {
				req.Header.Add(h[0], h[1])
			}
			r := roundTrip(t, req)
			if got := r.header.Get("Www-Authenticate"); got != c.challenge {
				t.Errorf("WWW-Authenticate: %s, want %q", got, c.challenge)
			}
			if c.challenge == "" {
				if r.ok(http.StatusOK); !strings.Contains(r.body, `"key_id":1,`) {
					t.Errorf("taken for another caller: %s", r.body)
				}
				return
			}
			r.problem(api.CodeUnauthenticated)
		})
	}
}

func TestAKeyNeedsItsScopes(t *testing.T) {
	k := newKit(t, nil)
	victim := k.createWith(`["READ"]`)
	path := "/v1/api-keys/2"
	for _, c := range []struct {
		holds              string
		method, path, body string
		lacks              string
	}{
		{`["CREATE","UPDATE","DELETE"]`, "GET", "/v1/api-keys", "", "READ"},
		{`["CREATE","UPDATE","DELETE"]`, "GET", path, "", "READ"},
		{`["MANAGE"]`, "HEAD", path, "", "READ"},
		{`["READ"]`, "POST", "/v1/api-keys", valid, "CREATE"},
		{`["READ","CREATE","DELETE"]`, "PATCH", path, `{"enabled":false}`, "UPDATE"},
		{`["READ","CREATE","DELETE"]`, "POST", path + "/rotate", "", "UPDATE"},
		{`["READ","CREATE","UPDATE"]`, "DELETE", path, "", "DELETE"},
		{`["CREATE"]`, "POST", "/v1/api-keys", `{"key_name":"a","key_scope":["READ","CREATE","DELETE"],"organization_id":1}`, "READ DELETE"},
		{`["READ","UPDATE"]`, "PATCH", path, `{"key_scope":["READ","MANAGE"]}`, "MANAGE"},
	} {
		caller := k.createWith(c.holds)
		r := k.call(c.method, c.path, c.body, "Authorization: Bearer "+caller.Token)
		want := `Bearer realm="apikeyd", error="insufficient_scope", scope="` + c.lacks + `"`
		if r.status != http.StatusForbidden || r.header.Get("Www-Authenticate") != want {
			t.Errorf("%s %s with %s: %d, challenge %s, want %s", c.method, c.path, c.holds, r.status, r.header.Get("Www-Authenticate"), want)
		}
		if c.method != "HEAD" {
			r.problem(api.CodeInsufficientScope)
		}
	}
	for _, scope := range []string{`["READ"]`, `["MANAGE"]`} {
		k.call("GET", "/v1/me", "", "Authorization: Bearer "+k.createWith(scope).Token).ok(http.StatusOK)
	}
	if got := k.verifies(victim.Token); got != api.VerifyValid {
		t.Errorf("after requests that were refused the key is %s", got)
	}
}

func TestDocumentationIsPublic(t *testing.T) {
	k := newKit(t, nil)
	for _, path := range []string{"/openapi.json", "/docs"} {
		k.call("GET", path, "", "Authorization:").ok(http.StatusOK)
		k.call("GET", path, "", "Authorization: Bearer nonsense", "Accept: text/html").ok(http.StatusOK)
	}
}

func TestTheVerificationListenerMayWantAToken(t *testing.T) {
	const operators = "an-operators-token-of-32-characters"
	k := newKit(t, func(o *Options) {
		o.VerifyToken = func(presented string) bool {
			return subtle.ConstantTimeCompare([]byte(presented), []byte(operators)) == 1
		}
	})
	question := `{"key":"` + k.token + `"}`
	for _, c := range []struct {
		name          string
		authorization string
		challenge     string
	}{
		{"right", "Bearer " + operators, ""},
		{"right, lower case", "bearer " + operators, ""},
		{"nothing", "", challenged},
		{"another scheme", "Basic " + operators, challenged},
		{"wrong", "Bearer " + operators + "x", refused},
		{"empty", "Bearer", refused},
		{"an API key", "Bearer " + k.token, refused},
	} {
		for _, r := range []reply{
			k.ask("POST", "/v1/verify", question, "Authorization: "+c.authorization),
			k.ask("POST", "/v1/verify/batch", `{"requests":[`+question+`]}`, "Authorization: "+c.authorization),
			k.ask("GET", "/metrics", "", "Authorization: "+c.authorization),
		} {
			if got := r.header.Get("Www-Authenticate"); got != c.challenge {
				t.Errorf("%s: WWW-Authenticate: %q, want %q", c.name, got, c.challenge)
			}
			if c.challenge == "" {
				r.ok(http.StatusOK)
			} else {
				r.problem(api.CodeUnauthenticated)
			}
		}
	}
	k.ask("POST", "/v1/verify", question, "X-API-Key: "+operators).problem(api.CodeUnauthenticated)
	k.ask("GET", "/livez", "").ok(http.StatusOK)
	k.ask("GET", "/readyz", "").ok(http.StatusOK)
}
