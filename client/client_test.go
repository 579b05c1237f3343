package client_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/client"
)

func TestServerAddress(t *testing.T) {
	for _, row := range []struct {
		server string
		want   string // in the error; "" means it is good
	}{
		{"http://127.0.0.1:8080", ""},
		{"https://keys.example.com", ""},
		{"https://keys.example.com/", ""},
		{"https://example.com/apikeyd/", ""},
		{"http://[::1]:8080", ""},
		{"unix:/run/apikeyd.sock", ""},
		{"", "must be an address such as"},
		{"localhost:8080", "must be an address such as"},
		{"127.0.0.1:8080", "must be an address such as"},
		{"ftp://example.com", "must be an address such as"},
		{"http://", "must be an address such as"},
		{"http://:8080", "must be an address such as"},
		{"http://exa mple.com", "must be an address such as"},
		{"http://example.com?x=1", "no query"},
		{"http://example.com?", "no query"},
		{"http://example.com#x", "no query and no fragment"},
		{"http://ada:hunter22@example.com", "no user name or password"},
		{"http://ada:hunter22@example.com:bad port", "no user name or password"},
		{"unix:", "unix:/path"},
	} {
		_, err := client.New(row.server)
		_, verr := client.NewVerifier(row.server)
		switch {
		case row.want == "" && (err != nil || verr != nil):
			t.Errorf("%q: %v, %v", row.server, err, verr)
		case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want) || verr == nil):
			t.Errorf("%q: %v, want %q", row.server, err, row.want)
		case err != nil && strings.Contains(err.Error(), "hunter22"):
			t.Errorf("%q: the error shows the password: %v", row.server, err)
		}
	}
}

func TestOptionsThatAreRefused(t *testing.T) {
	own := &http.Client{Transport: http.DefaultTransport}
	for _, row := range []struct {
		why    string
		new    func() error
		inText string
	}{
		{"an empty key is a forgotten variable", management(client.WithAPIKey("")), "the API key is empty"},
		{"a key with its file's line break", management(client.WithAPIKey(apiKey + "\n")), "is there a line break"},
		{"a header must not be split", management(client.WithAPIKey("a\r\nX: y")), "is there a line break"},
		{"a key is no sentence", management(client.WithAPIKey("my key")), "printable ASCII without spaces"},
		{"an empty session", management(client.WithSession("")), "the session is empty"},
		{"a session with its file's line break", management(client.WithSession(sessionSecret + "\n")), "is there a line break"},
		{"a session that smuggles a cookie in", management(client.WithSession("a;b=c")), "must be the value of a cookie"},
		{"two callers in one", management(client.WithSession(sessionSecret), client.WithAPIKey(apiKey)), "exclude each other"},
		{"a session is of the management API", verification(client.WithSession(sessionSecret)), "are for New;"},
		{"the other listener's credential", management(client.WithVerifyToken("sesame")), "for NewVerifier"},
		{"the other listener's credential", verification(client.WithAPIKey(apiKey)), "are for New;"},
		{"an empty verification token", verification(client.WithVerifyToken("")), "the verification token is empty"},
		{"no HTTP client", management(client.WithHTTPClient(nil)), "nil"},
		{"a user agent that splits the header", management(client.WithUserAgent("a\r\nb")), "printable ASCII"},
		{"negative patience", management(client.WithRetry(client.Retry{Attempts: -1})), "negative"},
		{"a socket needs its own transport", func() error {
			_, err := client.NewVerifier("unix:/x", client.WithHTTPClient(own))
			return err
		}, "leave Transport nil"},
		{"all faults at once", management(client.WithAPIKey(""), client.WithHTTPClient(nil)), "empty\nWithHTTPClient"},
	} {
		err := row.new()
		if err == nil || !strings.Contains(err.Error(), row.inText) {
			t.Errorf("%s: %v, want %q", row.why, err, row.inText)
		}
		if err != nil && (strings.Contains(err.Error(), apiKey) || strings.Contains(err.Error(), sessionSecret)) {
			t.Errorf("%s: the error shows the credential", row.why)
		}
	}
}

func management(o ...client.Option) func() error {
	return func() error { _, err := client.New("http://keys.test", o...); return err }
}

func verification(o ...client.Option) func() error {
	return func() error { _, err := client.NewVerifier("http://keys.test", o...); return err }
}

func TestUserClientIsNotChanged(t *testing.T) {
	own := &http.Client{}
	if _, err := client.New("http://keys.test", client.WithHTTPClient(own)); err != nil {
		t.Fatal(err)
	}
	if own.Transport != nil || own.CheckRedirect != nil {
		t.Error("the caller's HTTP client was changed")
	}
}

func TestMe(t *testing.T) {
	s := play(t, ok(200, `{"user_id":3,"email":"ada@example.com","instance_admin":true,`+
		`"organizations":[{"organization_id":432,"organization_name":"Acme","role":"owner"}],`+
		`"key":{"key_id":17,"key_name":"Backend","key_scope":["READ"],"organization_id":432},"newer_field":1}`))
	me, err := s.client(client.WithUserAgent("probe/1")).Me(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if me.UserID != 3 || len(me.Organizations) != 1 || me.Organizations[0].OrganizationID != 432 || me.Key.KeyID != 17 {
		t.Errorf("got %+v", me)
	}
	got := s.sent[0]
	if got.method != "GET" || got.uri != "/v1/me" || got.body != "" {
		t.Errorf("sent %s %s %q", got.method, got.uri, got.body)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer " + apiKey,
		"User-Agent":    "probe/1",
		"Accept":        "application/json, application/problem+json",
		"Content-Type":  "",
	} {
		if got.header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.header.Get(name), want)
		}
	}
}

func TestPathOfTheServerIsKept(t *testing.T) {
	for server, want := range map[string]string{
		"http://keys.test":          "/v1/me",
		"http://keys.test/":         "/v1/me",
		"http://keys.test/apikeyd":  "/apikeyd/v1/me",
		"http://keys.test/apikeyd/": "/apikeyd/v1/me",
	} {
		s := play(t, ok(200, `{"user_id":3}`))
		c, err := client.New(server, client.WithHTTPClient(&http.Client{Transport: s}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Me(t.Context()); err != nil {
			t.Error(err)
		}
		if s.sent[0].uri != want {
			t.Errorf("%s: asked for %s, want %s", server, s.sent[0].uri, want)
		}
		if _, has := s.sent[0].header["Authorization"]; has {
			t.Error("a credential was sent where none was given")
		}
	}
}
