package client_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

// Tokens in the shape of real ones, for tests alone.
const (
	apiKey = "ak_7Gx2Kq0000000000000000000000000000000000000009fQ2aa"
	other  = "ak_5Hy3Lr1111111111111111111111111111111111111118gR3bb"
)

const keyJSON = `{"key_id":17,"key_name":"Backend","key_scope":["READ"],"organization_id":432,"user_id":3,` +
	`"key_hint":"ak_5Hy3…R3bb","enabled":true,"expires_at":null,"last_used_at":null,` +
	`"created_at":"2026-11-22T18:54:03.120Z","updated_at":"2026-11-22T18:54:03.120Z","metadata":{"a":1},` +
	`"limits":[{"name":"default","requests":100,"window_seconds":60}],"quota":{"requests":5,"period":"month","remaining":3},"allowed_cidrs":["::/0"]}`

var createdJSON = keyJSON[:len(keyJSON)-1] + `,"key":"` + other + `"}`

const validJSON = `{"valid":true,"code":"VALID","key_id":17,"key_name":"Backend","key_scope":["READ"],` +
	`"organization_id":432,"user_id":3,"expires_at":null,"metadata":{}}`

// step is what happens to one attempt: an answer, or an error of the transport.
type step struct {
	status int
	header http.Header
	body   string
	cutOff bool // the connection breaks within the body
	err    error
	during func() // runs before the answer
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func ok(status int, body string) step {
	return step{status: status, header: header("Content-Type", "application/json"), body: body}
}

func problem(code api.Code, pairs ...string) step {
	e := api.Error{Type: "about:blank", Title: "t", Status: code.Status(), Detail: "the detail", Code: code, RequestID: "r1"}
	h := header(pairs...)
	h.Set("Content-Type", "application/problem+json")
	return step{status: code.Status(), header: h, body: string(e.JSON())}
}

func html(status int, body string, pairs ...string) step {
	h := header(pairs...)
	h.Set("Content-Type", "text/html; charset=utf-8")
	return step{status: status, header: h, body: body}
}

var (
	dialFailed = step{err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}}
	brokenOff  = step{err: io.ErrUnexpectedEOF}
)

// script is a transport that plays its steps one after another, and notes what was sent and when.
type script struct {
	t     *testing.T
	steps []step

	mu   sync.Mutex
	sent []sent
}

type sent struct {
	at     time.Time
	method string
	uri    string
	header http.Header
	body   string
}

func play(t *testing.T, steps ...step) *script { return &script{t: t, steps: steps} }

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil { // as a real transport does
		return nil, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, sent{time.Now(), r.Method, r.URL.RequestURI(), r.Header.Clone(), string(body)})
	if len(s.sent) > len(s.steps) {
		s.t.Errorf("attempt %d was not expected", len(s.sent))
		return nil, io.EOF
	}
	step := s.steps[len(s.sent)-1]
	if step.during != nil {
		step.during()
	}
	if step.err != nil {
		return nil, step.err
	}
	var reader io.Reader = strings.NewReader(step.body)
	if step.cutOff {
		reader = io.MultiReader(reader, errorReader{io.ErrUnexpectedEOF})
	}
	return &http.Response{
		StatusCode: step.status, Status: strconv.Itoa(step.status), Header: step.header,
		Body: io.NopCloser(reader), ContentLength: -1, Request: r, ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

// played checks that every step was taken.
func (s *script) played() {
	s.t.Helper()
	if len(s.sent) != len(s.steps) {
		s.t.Errorf("%d attempts were made, not %d", len(s.sent), len(s.steps))
	}
}

// client returns a Client that talks to the script.
func (s *script) client(options ...client.Option) *client.Client {
	s.t.Helper()
	options = append([]client.Option{client.WithHTTPClient(&http.Client{Transport: s}), client.WithAPIKey(apiKey)}, options...)
	c, err := client.New("http://keys.test", options...)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// verifier returns a Verifier that talks to the script.
func (s *script) verifier(options ...client.Option) *client.Verifier {
	s.t.Helper()
	options = append([]client.Option{client.WithHTTPClient(&http.Client{Transport: s}), client.WithVerifyToken("sesame-sesame")}, options...)
	v, err := client.NewVerifier("http://verify.test", options...)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// serve starts a real server and returns a Client of it.
func serve(t *testing.T, h http.HandlerFunc, options ...client.Option) *client.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, append([]client.Option{client.WithAPIKey(apiKey)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func reply(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := io.Copy(w, bytes.NewReader([]byte(body))); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// pinned is a call, an answer to it, and what it sends.
type pinned struct {
	name   string
	answer step
	call   func(context.Context, *client.Client) error
	want   string // method and address
	body   string
}

func pin(t *testing.T, rows []pinned) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := play(t, row.answer)
			if err := row.call(t.Context(), s.client()); err != nil {
				t.Fatal(err)
			}
			s.played()
			got := s.sent[0]
			if got.method+" "+got.uri != row.want {
				t.Errorf("sent %s %s\nwant %s", got.method, got.uri, row.want)
			}
			if got.body != row.body {
				t.Errorf("sent body %s\nwant      %s", got.body, row.body)
			}
			if has := got.header.Get("Content-Type") == "application/json"; has != (row.body != "") {
				t.Errorf("Content-Type: %q", got.header.Get("Content-Type"))
			}
		})
	}
}
