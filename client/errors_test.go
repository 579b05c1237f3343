package client_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

var once = client.WithRetry(client.Retry{Attempts: 1})

func TestProblemsComeBackAsTheyWere(t *testing.T) {
	sentinels := []*api.Error{
		api.ErrMalformedRequest, api.ErrUnauthenticated, api.ErrForbidden, api.ErrInsufficientScope, api.ErrNotFound,
		api.ErrMethodNotAllowed, api.ErrNotAcceptable, api.ErrConflict, api.ErrKeysRemain, api.ErrContentTooLarge,
		api.ErrUnsupportedMediaType, api.ErrInvalid, api.ErrRateLimited, api.ErrInternal, api.ErrUnavailable,
	}
	if len(sentinels) != len(api.Codes()) {
		t.Fatalf("%d sentinels for %d codes", len(sentinels), len(api.Codes()))
	}
	for _, code := range api.Codes() {
		want := &api.Error{
			Type: "about:blank", Title: http.StatusText(code.Status()), Status: code.Status(), Code: code,
			Detail: "what is wrong", RequestID: "01J", Errors: []api.Fault{{Pointer: "/key_scope/1", Detail: "must be"}},
			KeyIDs: []int64{17, 1 << 53, 9},
		}
		s := play(t, step{
			status: code.Status(), header: header("Content-Type", "application/problem+json; charset=utf-8"), body: string(want.JSON()),
		})
		_, err := s.client(once).GetKey(t.Context(), 17)
		var got *api.Error
		if !errors.As(err, &got) || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v", code, err)
		}
		matches := 0
		for _, sentinel := range sentinels {
			if errors.Is(err, sentinel) {
				matches++
			}
		}
		if matches != 1 {
			t.Errorf("%s matches %d sentinels", code, matches)
		}
	}
}

func TestACodeThatIsNotKnownYet(t *testing.T) {
	s := play(t, step{status: 409, header: header("Content-Type", "application/problem+json"), body: `{"code":"newer_code"}`})
	_, err := s.client(once).GetKey(t.Context(), 17)
	var got *api.Error
	if !errors.As(err, &got) || got.Code != "newer_code" || got.Status != 409 {
		t.Errorf("got %#v", err)
	}
}

func TestForeignAnswers(t *testing.T) {
	broken := `{"key_id":17,"key":"` + other[:30]
	for _, row := range []struct {
		name   string
		answer step
		is     error // a sentinel that must match, and no other
		want   string
	}{
		{"a proxy's page", html(502, "<html>\n  <h1>Bad  Gateway</h1>\n"), nil,
			`GET http://keys.test/v1/api-keys/17: answered 502 Bad Gateway: it is not a problem document but text/html: "<html> <h1>Bad Gateway</h1>"`},
		{"a proxy's 401", html(401, ""), api.ErrUnauthenticated,
			`GET http://keys.test/v1/api-keys/17: answered 401 Unauthorized: it is not a problem document but text/html`},
		{"a proxy's 413", html(413, "too large"), api.ErrContentTooLarge, ""},
		{"a proxy's 429", html(429, "slow"), api.ErrRateLimited, ""},
		{"a proxy's 404 says nothing about a key", html(404, "no such site"), nil, ""},
		{"a proxy's 503 does not promise that nothing was done", html(503, "no backend"), nil, ""},
		{"an unknown status", html(599, ""), nil,
			`GET http://keys.test/v1/api-keys/17: answered 599: it is not a problem document but text/html`},
		{"no type", step{status: 500, body: "oops"}, api.ErrInternal,
			`GET http://keys.test/v1/api-keys/17: answered 500 Internal Server Error: it is not a problem document but of no declared type: "oops"`},
		{"another service's problem", step{status: 404, header: header("Content-Type", "application/problem+json"), body: `{"title":"x"}`}, nil,
			`GET http://keys.test/v1/api-keys/17: answered 404 Not Found: its problem document has no code, so it is not apikeyd's: "{\"title\":\"x\"}"`},
		{"a problem that is cut off", step{status: 404, header: header("Content-Type", "application/problem+json"), body: `{"code":"not_f`}, nil, "cut off or no JSON"},
		{"a problem of the wrong type", step{status: 404, header: header("Content-Type", "application/problem+json"), body: `{"code":1}`}, nil, `has the wrong type at "code"`},
		{"a sign-in page", html(200, "<title>Sign in</title>"), nil,
			`GET http://keys.test/v1/api-keys/17: answered 200 OK: the answer is not JSON but text/html: "<title>Sign in</title>"`},
		{"JSON that ends early, without its excerpt", ok(200, broken), nil,
			`GET http://keys.test/v1/api-keys/17: answered 200 OK: the answer makes no sense: its body is cut off or no JSON`},
		{"something after the JSON", ok(200, keyJSON+"x"), nil, "cut off or no JSON"},
		{"another type", ok(200, `{"key_id":"seventeen"}`), nil, `the answer makes no sense: its body has the wrong type at "key_id"`},
		{"another service's JSON", ok(200, `{"hello":"world"}`), nil, "it holds a key without an id"},
		{"null", ok(200, `null`), nil, "it holds a key without an id"},
		{"another success", ok(202, keyJSON), nil, "answered 202 Accepted: 200 was expected"},
		{"control characters", html(500, "\x1b[2J\u009b31m\x00"), api.ErrInternal, `"\x1b[2J\u009b31m\x00"`},
		{"not UTF-8", html(500, "\xff\xfe"), api.ErrInternal, `"�"`},
		{"long", html(500, strings.Repeat("é", 1000)), api.ErrInternal, strings.Repeat("é", 200) + `…"`},
	} {
		_, err := play(t, row.answer).client(once).GetKey(t.Context(), 17)
		var foreign *client.ResponseError
		if !errors.As(err, &foreign) || foreign.Status != row.answer.status {
			t.Errorf("%s: got %#v", row.name, err)
			continue
		}
		if !strings.HasSuffix(err.Error(), row.want) && !strings.Contains(err.Error(), row.want) || len(err.Error()) > 700 {
			t.Errorf("%s:\ngot  %v\nwant %s", row.name, err, row.want)
		}
		for _, code := range api.Codes() {
			sentinel := &api.Error{Code: code}
			if errors.Is(err, sentinel) != (row.is != nil && errors.Is(row.is, sentinel)) {
				t.Errorf("%s: errors.Is %s: %t", row.name, code, errors.Is(err, sentinel))
			}
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	// Small on the wire, large in memory: a megabyte of spaces, compressed, again and again.
	var member bytes.Buffer
	z := gzip.NewWriter(&member)
	if _, err := z.Write(bytes.Repeat([]byte(" "), 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	large := func(status int, contentType string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(status)
			for range 40 {
				if _, err := w.Write(member.Bytes()); err != nil {
					return
				}
			}
		}
	}
	for _, row := range []struct {
		status int
		ctype  string
		want   string
	}{
		{200, "application/json", "the answer is larger than 32 MiB"},
		{500, "application/problem+json", "the answer is larger than 1 MiB"},
	} {
		c := serve(t, large(row.status, row.ctype), once)
		_, err := c.GetKey(t.Context(), 17)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%d: got %v", row.status, err)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect was followed")
	}))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		redirect := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL+"/x", status) }
		// An HTTP client that follows redirects must not bring the habit along.
		c := serve(t, redirect, client.WithHTTPClient(&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}))
		_, err := c.GetKey(t.Context(), 17)
		want := fmt.Sprintf("answered %d %s: it points to %q, and redirects are not followed", status, http.StatusText(status), elsewhere.URL+"/x")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// spaces is a body without an end that counts what is read of it.
type spaces struct{ read int }

func (s *spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	s.read += len(p)
	return len(p), nil
}

func (s *spaces) Close() error { return nil }

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestNoMoreIsReadThanMayBeKept(t *testing.T) {
	for status, limit := range map[int]int{200: 32 << 20, 500: 1 << 20} {
		body := &spaces{}
		c, err := client.New("http://keys.test", once, client.WithHTTPClient(&http.Client{Transport: transport(
			func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: status, Header: header("Content-Type", "application/json"), Body: body, Request: r}, nil
			})}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.GetKey(t.Context(), 17); err == nil || body.read != limit+1 {
			t.Errorf("%d: %d bytes were read, %v", status, body.read, err)
		}
	}
}
