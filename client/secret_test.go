package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

const verifyToken = "sesame-open-sesame"

// TestPrintingShowsNoCredential prints both types in every way that comes to mind.
func TestPrintingShowsNoCredential(t *testing.T) {
	c, err := client.New("http://keys.test", client.WithAPIKey(apiKey))
	if err != nil {
		t.Fatal(err)
	}
	v, err := client.NewVerifier("http://verify.test", client.WithVerifyToken(verifyToken))
	if err != nil {
		t.Fatal(err)
	}
	signedIn, err := client.New("http://keys.test", client.WithSession(sessionSecret))
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		Exported *client.Client
		hidden   *client.Client
		byValue  client.Client
		verifier client.Verifier
	}
	var out bytes.Buffer
	for _, x := range []any{c, *c, v, *v, holder{c, c, *c, *v}, &holder{c, signedIn, *signedIn, *v}, []any{c, v, signedIn, *signedIn}, map[string]any{"c": c}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%p"} {
			fmt.Fprintf(&out, verb+"\n", x)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "value", x)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "value", x)
		b, err := json.Marshal(x)
		if err != nil {
			t.Error(err)
		}
		out.Write(b)
	}
	for _, secret := range []string{apiKey, verifyToken, sessionSecret} {
		if strings.Contains(out.String(), secret) || strings.Contains(out.String(), fmt.Sprintf("%x", secret)) {
			t.Errorf("printed: %s", out.String())
		}
	}
	if got := fmt.Sprint(c, v); got != "client of http://keys.test verifier at http://verify.test" {
		t.Errorf("printed %q", got)
	}
	// A dumper that walks pointers by reflection, as test libraries do, must not find it either.
	for _, c := range []*client.Client{c, signedIn} {
		walk(reflect.ValueOf(c), map[uintptr]bool{}, func(s string) {
			if strings.Contains(s, apiKey) || strings.Contains(s, sessionSecret) {
				t.Errorf("reflection finds %q", s)
			}
		})
	}
}

func walk(v reflect.Value, seen map[uintptr]bool, found func(string)) {
	switch v.Kind() {
	case reflect.String:
		found(v.String())
	case reflect.Pointer:
		if !v.IsNil() && !seen[v.Pointer()] {
			seen[v.Pointer()] = true
			walk(v.Elem(), seen, found)
		}
	case reflect.Interface:
		if !v.IsNil() {
			walk(v.Elem(), seen, found)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			walk(v.Field(i), seen, found)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			walk(v.Index(i), seen, found)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			walk(k, seen, found)
			walk(v.MapIndex(k), seen, found)
		}
	}
}

// TestErrorsShowNoSecret lets the other side repeat everything it was sent, and hand out a token within answers that
// are not taken.
func TestErrorsShowNoSecret(t *testing.T) {
	echo := "you sent Authorization: Bearer " + apiKey + " or " + verifyToken + " to check " + other + " and " + other[:25]
	asJSON, err := json.Marshal(echo)
	if err != nil {
		t.Fatal(err)
	}
	document := fmt.Sprintf(`{"type":%[1]s,"title":%[1]s,"code":%[1]s,"detail":%[1]s,"request_id":%[1]s,`+
		`"errors":[{"pointer":%[1]s,"detail":%[1]s}]}`, strings.ReplaceAll(string(asJSON), " and "+other[:25], ""))
	answers := []step{
		html(500, echo), html(200, echo), html(302, echo, "Location", "http://x.test/?t="+apiKey+"&u="+verifyToken+"&v="+other),
		ok(200, `{"key_id":1,"key":"`+other), ok(201, `{"key_id":0,"key":"`+other+`"}`), ok(200, `{"key_id":"`+other+`"}`),
		ok(201, `{"key_id":1,"created_at":"`+other+`"}`),
		{status: 500, header: header("Content-Type", "application/problem+json"), body: document},
		{status: 500, header: header("Content-Type", "application/problem+json"), body: document[:len(document)-9]},
		{status: 201, header: header("Content-Type", "text/plain"), body: createdJSON},
		{status: 201, header: header("Content-Type", "text/plain"), body: createdJSON[:len(createdJSON)-20]},
		{err: errors.New(echo[:strings.Index(echo, " and ")])},
	}
	for i, answer := range answers {
		for name, call := range map[string]func(context.Context, *script) error{
			"create": func(ctx context.Context, s *script) error {
				_, err := s.client(once).CreateKey(ctx, api.NewKey{})
				return err
			},
			"rotate": func(ctx context.Context, s *script) error {
				_, err := s.client(once).RotateKey(ctx, 17, 0)
				return err
			},
			"verify": func(ctx context.Context, s *script) error {
				_, err := s.verifier(once, client.WithVerifyToken(verifyToken)).Verify(ctx, api.VerifyRequest{Key: other})
				return err
			},
			"batch": func(ctx context.Context, s *script) error {
				_, err := s.verifier(once, client.WithVerifyToken(verifyToken)).
					VerifyBatch(ctx, []api.VerifyRequest{{Key: "short"}, {Key: other}})
				return err
			},
		} {
			err := call(t.Context(), play(t, answer))
			if err == nil {
				t.Errorf("answer %d to %s: no error", i, name)
				continue
			}
			text := fmt.Sprintf("%v %+v %#v", err, err, err)
			var p *api.Error
			if errors.As(err, &p) {
				text += string(p.JSON())
			}
			// Each side knows its own secrets alone; the rest of the echo is none of its own.
			secrets := []string{apiKey}
			if name == "verify" || name == "batch" {
				secrets = []string{verifyToken, other}
			}
			if !errors.As(err, &p) && answer.err == nil {
				secrets = append(secrets, other[:25])
			}
			for _, secret := range secrets {
				if strings.Contains(text, secret) {
					t.Errorf("answer %d to %s shows %q: %s", i, name, secret, text)
				}
			}
		}
	}
}

// TestErrorsShowNoSessionOrPassword is TestErrorsShowNoSecret for what people sign in with.
func TestErrorsShowNoSessionOrPassword(t *testing.T) {
	secrets := []string{sessionSecret, linkSecret, password, "the old password"}
	echo := strings.Join(secrets, " and ") + " in https://keys.test/sign-in/" + linkSecret
	document := fmt.Sprintf(`{"type":%[1]q,"title":%[1]q,"code":%[1]q,"detail":%[1]q,"request_id":%[1]q,`+
		`"errors":[{"pointer":%[1]q,"detail":%[1]q}]}`, echo)
	calls := map[string]struct {
		call func(context.Context, *client.Client) error
		own  []string // the secrets that the call knows of
	}{
		"list": {func(ctx context.Context, c *client.Client) error {
			_, err := c.ListSessions(ctx, client.PageOptions{})
			return err
		}, []string{sessionSecret}},
		"sign in": {func(ctx context.Context, c *client.Client) error {
			_, _, err := c.SignIn(ctx, "ada@example.com", password)
			return err
		}, []string{sessionSecret, password}},
		"link": {func(ctx context.Context, c *client.Client) error {
			_, _, err := c.SignInWithLink(ctx, linkSecret)
			return err
		}, []string{sessionSecret, linkSecret}},
		"password": {func(ctx context.Context, c *client.Client) error {
			return c.SetPassword(ctx, api.NewPassword{NewPassword: password, CurrentPassword: "the old password"})
		}, []string{sessionSecret, password, "the old password"}},
	}
	for i, answer := range []step{
		html(500, echo), html(302, echo, "Location", "http://x.test/?"+echo), html(200, echo), html(201, echo),
		{status: 422, header: header("Content-Type", "application/problem+json"), body: document},
		{err: errors.New(echo)},
	} {
		for name, row := range calls {
			s := play(t, answer)
			c, err := client.New("http://keys.test", once, client.WithSession(sessionSecret), client.WithHTTPClient(&http.Client{Transport: s}))
			if err != nil {
				t.Fatal(err)
			}
			err = row.call(t.Context(), c)
			if err == nil {
				t.Errorf("answer %d to %s: no error", i, name)
				continue
			}
			text := fmt.Sprintf("%v %+v %#v", err, err, err)
			if problem, ok := errors.AsType[*api.Error](err); ok {
				text += string(problem.JSON())
			}
			for _, secret := range row.own {
				if strings.Contains(text, secret) {
					t.Errorf("answer %d to %s shows %q: %s", i, name, secret, text)
				}
			}
		}
	}

	// A link that the answer hands out, where it is not taken.
	answer := step{status: 201, header: header("Content-Type", "text/plain"), body: invitedJSON}
	_, err := play(t, answer).client(once).InviteMember(t.Context(), 432, api.NewMember{})
	if err == nil || strings.Contains(err.Error(), linkSecret) {
		t.Errorf("got %v", err)
	}
}
