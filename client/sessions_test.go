package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

// Secrets for tests alone.
const (
	sessionSecret = "Vb0tH3ePsPp2Yw1cQvXkqE7mZ4nRj9uLaFs8dGh6iKo"
	linkSecret    = "Lk5Wq9xTzR2mNc7vBp4sHd8fJg1yKe3aUi6oQt0wXyZ"
	password      = "correct horse battery staple"
)

const sessionJSON = `{"session_id":12,"user_id":3,"method":"password","current":true,"ip":"203.0.113.9","user_agent":"x",` +
	`"created_at":"2026-11-22T18:54:03.120Z","last_used_at":"2026-11-22T18:54:03.120Z","expires_at":"2026-11-29T18:54:03.120Z"}`

// signedIn is the answer to a sign-in.
func signedIn(cookies ...string) step {
	s := ok(201, sessionJSON)
	s.header["Set-Cookie"] = cookies
	return s
}

const ourCookie = "__Host-apikeyd=" + sessionSecret + "; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=604800"

// TestSessionRequests pins what each call about sessions sends.
func TestSessionRequests(t *testing.T) {
	pin(t, []pinned{
		{"list", ok(200, `[`+sessionJSON+`]`), func(ctx context.Context, c *client.Client) error {
			p, err := c.ListSessions(ctx, client.PageOptions{Limit: 7, Cursor: "c"})
			if len(p.Items) != 1 || !p.Items[0].Current {
				t.Errorf("list: got %+v", p)
			}
			return err
		}, "GET /v1/sessions?cursor=c&limit=7", ""},
		{"end", step{status: 204}, func(ctx context.Context, c *client.Client) error {
			return c.EndSession(ctx, 12)
		}, "DELETE /v1/sessions/12", ""},
		{"sign out", step{status: 204}, func(ctx context.Context, c *client.Client) error {
			return c.SignOut(ctx)
		}, "DELETE /v1/sessions/current", ""},
		{"set the password", step{status: 204}, func(ctx context.Context, c *client.Client) error {
			return c.SetPassword(ctx, api.NewPassword{NewPassword: password, CurrentPassword: "<old>"})
		}, "PUT /v1/me/password", `{"new_password":"` + password + `","current_password":"\u003cold\u003e"}`},
		{"set the first password", step{status: 204}, func(ctx context.Context, c *client.Client) error {
			return c.SetPassword(ctx, api.NewPassword{NewPassword: password})
		}, "PUT /v1/me/password", `{"new_password":"` + password + `"}`},
		{"have a link mailed", step{status: 202}, func(ctx context.Context, c *client.Client) error {
			return c.RequestSignInLink(ctx, "ada@example.com")
		}, "POST /v1/sign-in-links", `{"email":"ada@example.com"}`},
	})
}

// TestSignIn: what is sent, that it is sent without the credential that the client has, and what comes back.
func TestSignIn(t *testing.T) {
	for _, row := range []struct {
		name string
		call func(context.Context, *client.Client) (api.Session, string, error)
		body string
	}{
		{"with a password", func(ctx context.Context, c *client.Client) (api.Session, string, error) {
			return c.SignIn(ctx, "ada@example.com", password)
		}, `{"email":"ada@example.com","password":"` + password + `"}`},
		{"with a link", func(ctx context.Context, c *client.Client) (api.Session, string, error) {
			return c.SignInWithLink(ctx, linkSecret)
		}, `{"link":"` + linkSecret + `"}`},
	} {
		for _, credential := range []client.Option{client.WithAPIKey(apiKey), client.WithSession("another-session")} {
			s := play(t, signedIn("sticky=1; Path=/", ourCookie))
			c, err := client.New("http://keys.test", credential, client.WithHTTPClient(&http.Client{Transport: s}))
			if err != nil {
				t.Fatal(err)
			}
			session, secret, err := row.call(t.Context(), c)
			if err != nil || secret != sessionSecret || session.SessionID != 12 || session.Method != api.MethodPassword {
				t.Errorf("%s: %+v, %q, %v", row.name, session, secret, err)
			}
			s.played()
			got := s.sent[0]
			if got.method+" "+got.uri != "POST /v1/sessions" || got.body != row.body {
				t.Errorf("%s: sent %s %s %s", row.name, got.method, got.uri, got.body)
			}
			if got.header.Get("Authorization") != "" || got.header.Get("Cookie") != "" {
				t.Errorf("%s: a credential was sent", row.name)
			}
		}
	}
}

func TestSignInWithoutACookie(t *testing.T) {
	for _, answer := range []step{
		signedIn(), signedIn("sticky=1"), signedIn("__Host-apikeyd=; Path=/; Max-Age=0"), signedIn("__host-apikeyd=" + sessionSecret),
	} {
		session, secret, err := play(t, answer).client().SignIn(t.Context(), "ada@example.com", password)
		var foreign *client.ResponseError
		if !errors.As(err, &foreign) || foreign.Status != 201 || session.SessionID != 0 || secret != "" ||
			!strings.HasSuffix(err.Error(), "answered 201 Created: it sets no cookie __Host-apikeyd") {
			t.Errorf("%s: %+v, %q, %v", answer.header["Set-Cookie"], session, secret, err)
		}
	}
}

// TestSessionIsSent, over a real socket: as browsers send it, and with nothing beside it. What a sign-in sets is not
// kept by whoever made it, not even where the HTTP client has a jar.
func TestSessionIsSent(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Cookie")+"|"+r.Header.Get("Authorization"))
		if r.Method == http.MethodPost {
			w.Header().Set("Set-Cookie", "__Host-apikeyd=new; Path=/; HttpOnly; SameSite=Lax")
			reply(w, 201, sessionJSON)
			return
		}
		reply(w, 200, `{"user_id":3}`)
	}))
	defer server.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(server.URL, client.WithSession(sessionSecret), client.WithHTTPClient(&http.Client{Jar: jar}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	if _, secret, err := c.SignIn(t.Context(), "ada@example.com", password); err != nil || secret != "new" {
		t.Errorf("got %q, %v", secret, err)
	}
	if _, err := c.Me(t.Context()); err != nil {
		t.Error(err)
	}
	if want := "| __Host-apikeyd=" + sessionSecret + "|"; strings.Join(got, " ") != want {
		t.Errorf("sent %s\nwant %s", strings.Join(got, " "), want)
	}
}
