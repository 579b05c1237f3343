package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// wire is a connection to the verification listener, over which requests go as they are written.
type wire struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func (k *kit) wire(t *testing.T) *wire {
	t.Helper()
	conn, err := net.Dial("tcp", k.service.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil { // the server itself never gives up
		t.Fatal(err)
	}
	return &wire{t, conn, bufio.NewReader(conn)}
}

func (w *wire) send(text string) {
	w.t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		w.t.Fatal(err)
	}
}

// answer reads one answer, and fails where the connection does not go on as it should.
func (w *wire) answer(status int, goesOn bool) {
	w.t.Helper()
	resp, err := http.ReadResponse(w.r, nil)
	if err != nil {
		w.t.Fatalf("no answer: %v", err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		w.t.Fatal(err)
	}
	if resp.StatusCode != status || resp.Close == goesOn {
		w.t.Errorf("status %d, want %d; the connection goes on: %t, want %t", resp.StatusCode, status, !resp.Close, goesOn)
	}
}

// ends fails where anything more comes.
func (w *wire) ends() {
	w.t.Helper()
	rest, err := io.ReadAll(w.r)
	if timeout, ok := err.(net.Error); len(rest) > 0 || ok && timeout.Timeout() {
		w.t.Errorf("behind the answer comes %q, %v", rest, err)
	}
}

// asked is a request to authorize, up to its body.
func asked(token string, headers ...string) string {
	return "POST /v1/authorize HTTP/1.1\r\nHost: x\r\nX-API-Key: " + token + "\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
}

// What a proxy announces and does not send with the rest is not waited for, and nothing that comes late is taken for a request.
func TestAuthorizeDoesNotWaitForABody(t *testing.T) {
	k := newKit(t, nil)
	late := asked(k.token)
	announced := fmt.Sprintf("Content-Length: %d", len(late))
	for _, tt := range []struct{ name, begin, late string }{
		{"nothing comes", asked(k.token, announced), ""},
		{"all comes late", asked(k.token, announced), late},
		{"all comes late, and a request behind it", asked(k.token, announced), late + late},
		{"a part comes late", asked(k.token, announced) + late[:len(late)-9], late[len(late)-9:] + late},
		{"a part never comes", asked(k.token, announced) + late[:len(late)-9], ""},
		{"the most that net/http reads", asked(k.token, "Content-Length: 262144"), late},
		{"more than that", asked(k.token, "Content-Length: 262145"), late},
		{"very much more", asked(k.token, "Content-Length: 9223372036854775807"), late},
		{"no chunk comes", asked(k.token, "Transfer-Encoding: chunked"), ""},
		{"a chunk comes late", asked(k.token, "Transfer-Encoding: chunked"), "1\r\nx\r\n0\r\n\r\n" + late},
		{"chunks do not end", asked(k.token, "Transfer-Encoding: chunked") + "1\r\nx\r\n", "0\r\n\r\n" + late},
		{"chunks are broken", asked(k.token, "Transfer-Encoding: chunked") + "no\r\n" + late, late},
		{"a body that waits to be asked for", asked(k.token, announced, "Expect: 100-continue"), late + late},
		{"a connection that is to end", asked(k.token, announced, "Connection: close"), late},
		{"HTTP/1.0", strings.Replace(asked(k.token, announced), "HTTP/1.1", "HTTP/1.0", 1), late},
		{"HTTP/1.0 that is to go on", strings.Replace(asked(k.token, announced, "Connection: keep-alive"), "HTTP/1.1", "HTTP/1.0", 1), late},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := k.wire(t)
			w.send(tt.begin)
			w.answer(http.StatusOK, false)
			if _, err := io.WriteString(w, tt.late); err == nil && tt.late != "" {
				w.ends()
			}
		})
	}
}

// So it is with refusals, whoever gives them.
func TestRefusalsDoNotWaitForABody(t *testing.T) {
	const secret = "correct-horse-battery-staple-0123456789"
	k := newKit(t, func(o *Options) { o.VerifyToken = func(presented string) bool { return presented == secret } })
	for _, tt := range []struct {
		name, request string
		status        int
	}{
		{"a proxy that is not known", asked(k.token, "Content-Length: 9"), http.StatusUnauthorized},
		{"a key that is none", asked("x", "Content-Length: 9", "X-Apikeyd-Verify-Token: "+secret), http.StatusUnauthorized},
		{"a question that is none", strings.Replace(asked(k.token, "Content-Length: 9", "X-Apikeyd-Verify-Token: "+secret), "authorize", "authorize?x", 1),
			http.StatusBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := k.wire(t)
			w.send(tt.request)
			w.answer(tt.status, false)
		})
	}
}

// A body that comes with its request costs no connection, and what stands behind it is the next request.
func TestAuthorizePassesOverABody(t *testing.T) {
	k := newKit(t, nil)
	next := asked("x")
	for _, tt := range []struct{ name, request string }{
		{"none", asked(k.token)},
		{"empty", asked(k.token, "Content-Length: 0")},
		{"whole", asked(k.token, fmt.Sprintf("Content-Length: %d", len(next))) + next},
		{"chunked", asked(k.token, "Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(next), next)},
		{"empty chunks", asked(k.token, "Transfer-Encoding: chunked") + "0\r\n\r\n"},
		{"chunked with a trailer", asked(k.token, "Transfer-Encoding: chunked") + "1\r\nx\r\n0\r\nX-API-Key: x\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := k.wire(t)
			w.send(tt.request)
			w.answer(http.StatusOK, true)
			w.send(tt.request + next + tt.request) // what comes at once is answered one after the other
			w.answer(http.StatusOK, true)
			w.answer(http.StatusUnauthorized, true)
			w.answer(http.StatusOK, true)
			if n := w.r.Buffered(); n != 0 {
				t.Errorf("%d bytes more", n)
			}
		})
	}
}
