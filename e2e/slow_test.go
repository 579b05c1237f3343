package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

// The time-outs of the server, and how much later a busy machine may be.
const (
	headerTimeout = 5 * time.Second
	bodyTimeout   = 15 * time.Second
	answerTimeout = 30 * time.Second
	late          = 12 * time.Second
)

// TestSlowClients has clients that dawdle in every way there is: whose headers trickle in, whose body never comes, that do
// not take the answer, that connect and say nothing. Each is cut off in time, and nobody else notices any of it.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, content := range makeCertificates(t) {
		write(t, filepath.Join(folder, name), content)
	}
	s := serve(t, folder)
	fillWithLargeKeys(t, s)
	encrypted := serve(t, t.TempDir(), "--tls-cert-file", filepath.Join(folder, "server.pem"),
		"--tls-key-file", filepath.Join(folder, "server.key"))

	slow := t.Run("slow", func(t *testing.T) {
		others := watchOthers(t, s)
		t.Cleanup(others)
		for name, address := range map[string]string{"management": s.management, "verification": s.verification} {
			post := "POST /v1/verify HTTP/1.1"
			if name == "management" {
				post = "POST /v1/api-keys HTTP/1.1"
			}
			head := post + "\r\nHost: x\r\nAuthorization: Bearer " + s.token +
				"\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
			t.Run(name+"/headers trickle", func(t *testing.T) {
				t.Parallel()
				conn := dial(t, address)
				conn.trickle(post+"\r\nX-Slow: "+strings.Repeat("z", 1000), 200*time.Millisecond)
				conn.isCutOff(headerTimeout)
			})
			t.Run(name+"/no header at all", func(t *testing.T) {
				t.Parallel()
				dial(t, address).isCutOff(headerTimeout)
			})
			t.Run(name+"/body never comes", func(t *testing.T) {
				t.Parallel()
				conn := dial(t, address)
				conn.send(head)
				conn.isRefused(bodyTimeout)
			})
			t.Run(name+"/body trickles", func(t *testing.T) {
				t.Parallel()
				conn := dial(t, address)
				conn.send(head)
				conn.trickle(strings.Repeat(" ", 99), 500*time.Millisecond)
				conn.isRefused(bodyTimeout)
			})
		}
		t.Run("answer never read", func(t *testing.T) {
			t.Parallel()
			answerNeverRead(t, s)
		})
		t.Run("no TLS handshake", func(t *testing.T) {
			t.Parallel()
			dial(t, strings.Replace(encrypted.management, "https:", "http:", 1)).isCutOff(headerTimeout)
		})
		t.Run("nothing within TLS", func(t *testing.T) {
			t.Parallel()
			conn := dial(t, strings.Replace(encrypted.management, "https:", "http:", 1))
			conn.Conn = tls.Client(conn.Conn, &tls.Config{InsecureSkipVerify: true})
			conn.send("GET /")
			conn.isCutOff(headerTimeout)
		})
	})
	if slow {
		s.stop() // no slow client is left that it would have to wait for
		encrypted.stop()
	}
}

// fillWithLargeKeys makes a page of keys that is too large for the buffers of a connection.
func fillWithLargeKeys(t *testing.T, s *server) {
	t.Helper()
	metadata := json.RawMessage(fmt.Sprintf(`{"x":%q}`, strings.Repeat("x", 4000)))
	var made sync.WaitGroup
	for range 20 {
		c := s.once(s.token)
		made.Go(func() {
			for range 50 {
				if _, err := c.CreateKey(t.Context(), api.NewKey{KeyName: "large", KeyScope: []api.Scope{"READ"}, OrganizationID: 1,
					Metadata: metadata}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	made.Wait()
}

// watchOthers makes checks and changes all the time, and returns a function that ends it. All must be answered, and nearly
// all of them long before the first of the time-outs; a busy machine may keep one waiting.
func watchOthers(t *testing.T, s *server) (end func()) {
	t.Helper()
	done := make(chan struct{})
	var watching sync.WaitGroup
	c, v := s.once(s.token), s.verifier()
	watch := func(what string, call func() error) {
		watching.Go(func() {
			calls, slow := 0, 0
			for {
				select {
				case <-done:
					if calls < 10 || slow > calls/10 {
						t.Errorf("of %d times, %s of somebody else took too long %d times", calls, what, slow)
					}
					return
				case <-time.After(50 * time.Millisecond):
				}
				began := time.Now()
				if err := call(); err != nil {
					t.Errorf("%s of somebody else: %v", what, err)
				}
				if calls++; time.Since(began) > headerTimeout/2 {
					slow++
				}
			}
		})
	}
	// Not the test's context, which ends before the cleanup.
	ctx := context.Background()
	watch("a check", func() error {
		_, err := v.Verify(ctx, api.VerifyRequest{Key: s.token})
		return err
	})
	watch("a change", func() error {
		_, err := c.UpdateKey(ctx, 1, api.KeyPatch{KeyName: "First key"})
		return err
	})
	return func() {
		close(done)
		watching.Wait()
	}
}

// slowConn is a connection of a client that has all the time in the world.
type slowConn struct {
	net.Conn
	t     *testing.T
	began time.Time
	ended chan struct{}
}

func dial(t *testing.T, address string) *slowConn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	c := &slowConn{Conn: conn, t: t, began: time.Now(), ended: make(chan struct{})}
	t.Cleanup(func() {
		close(c.ended)
		conn.Close()
	})
	return c
}

func (c *slowConn) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// trickle sends text in the background, byte by byte, until nobody takes it any more.
func (c *slowConn) trickle(text string, pause time.Duration) {
	go func() {
		for i := range len(text) {
			if _, err := io.WriteString(c, text[i:i+1]); err != nil {
				return
			}
			select {
			case <-c.ended:
				return
			case <-time.After(pause):
			}
		}
	}()
}

// end reads until the server hangs up, which must happen after the time-out and not much later.
func (c *slowConn) end(timeout time.Duration) []byte {
	c.t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(timeout + late)); err != nil {
		c.t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	took := time.Since(c.began)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("after %v the server still waits", took)
	}
	if took < timeout-time.Second {
		c.t.Errorf("the server hung up after %v already", took)
	}
	return got
}

// isCutOff wants no answer, or a bare one that what has come so far is no request.
func (c *slowConn) isCutOff(timeout time.Duration) {
	c.t.Helper()
	if got := c.end(timeout); len(got) > 0 && !bytes.HasPrefix(got, []byte("HTTP/1.1 400 ")) {
		c.t.Errorf("the server answers %s", got)
	}
}

// isRefused wants an answer that says what was missing, and that the server hangs up.
func (c *slowConn) isRefused(timeout time.Duration) {
	c.t.Helper()
	got := c.end(timeout)
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(got)), nil)
	if err != nil {
		c.t.Fatalf("%v: %q", err, got)
	}
	var p api.Error
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || resp.StatusCode != http.StatusBadRequest ||
		p.Code != api.CodeMalformedRequest || !resp.Close {
		c.t.Errorf("%s %+v, %v", resp.Status, p, err)
	}
}

// answerNeverRead asks for more than fits into the buffers on the way and takes nothing of it.
func answerNeverRead(t *testing.T, s *server) {
	conn := dial(t, s.management)
	if err := conn.Conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	const requests = 3
	conn.send(strings.Repeat("GET /v1/api-keys?limit=1000 HTTP/1.1\r\nHost: x\r\nUser-Agent: dawdler\r\nAuthorization: Bearer "+
		s.token+"\r\n\r\n", requests))
	port := fmt.Sprint(conn.LocalAddr().(*net.TCPAddr).Port)
	var answered int
	for deadline := time.Now().Add(answerTimeout + late); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		answered = 0
		for line := range bytes.Lines(s.stderr.bytes()) {
			var entry struct {
				Remote   string `json:"remote"`
				Duration int64  `json:"duration_us"`
			}
			if json.Unmarshal(line, &entry) != nil || !strings.HasSuffix(entry.Remote, ":"+port) {
				continue
			}
			answered++
			if took := time.Duration(entry.Duration) * time.Microsecond; took > answerTimeout-time.Second {
				if took > answerTimeout+late {
					t.Errorf("it was cut off after %v", took)
				}
				return
			}
		}
	}
	t.Errorf("nobody was cut off; %d of %d requests were answered", answered, requests)
}
