package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

// TestDrainUnderLoad stops a server with SIGTERM while 32 clients are busy. Every request that the server has taken up
// is answered: the log has no request whose answer nobody got. The keys that were checked know when.
func TestDrainUnderLoad(t *testing.T) {
	t.Parallel()
	const workers = 32
	folder := t.TempDir()
	s := serve(t, folder)
	began := time.Now()
	created, err := s.client(s.token).CreateKey(t.Context(), draft("used"))
	if err != nil {
		t.Fatal(err)
	}
	question := fmt.Sprintf(`{"key":%q}`, created.Token)
	draft := `{"key_name":"x","key_scope":["READ"],"organization_id":1}`

	var stopped atomic.Bool
	var answered sync.Map // request ids
	var checks atomic.Int64
	var busy sync.WaitGroup
	for worker := range workers {
		h := oneAtATime(t)
		busy.Go(func() {
			for {
				url, body := s.verification+"/v1/verify", question
				if worker%4 == 0 {
					url, body = s.management+"/v1/api-keys", draft
				}
				req, err := http.NewRequest("POST", url, strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Authorization", "Bearer "+s.token)
				resp, err := h.Do(req)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				if err != nil {
					if !stopped.Load() {
						t.Errorf("before SIGTERM: %v", err)
					}
					return // refused, or closed before the server has looked at it
				}
				if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
					t.Errorf("%s: %s", url, resp.Status)
				}
				answered.Store(resp.Header.Get("X-Request-Id"), true)
				checks.Add(1)
			}
		})
	}
	for deadline := time.Now().Add(patience); checks.Load() < 2000 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	stopped.Store(true)
	s.stop()
	busy.Wait()

	logged := 0
	for line := range bytes.Lines(s.stderr.bytes()) {
		var entry struct {
			Msg       string `json:"msg"`
			RequestID string `json:"request_id"`
			Path      string `json:"path"`
			Name      string `json:"name"`
		}
		if err := json.Unmarshal(line, &entry); err != nil {
			t.Fatalf("log line %s: %v", line, err)
		}
		if entry.Msg != "request" {
			continue
		}
		logged++
		if _, ok := answered.LoadAndDelete(entry.RequestID); !ok && logged > 1 { // the first was "used"
			t.Errorf("the answer to request %s was lost: %s", entry.RequestID, line)
		}
	}
	answered.Range(func(id, _ any) bool {
		t.Errorf("request %v was answered and is not in the log", id)
		return true
	})
	if logged < 2000 {
		t.Errorf("only %d requests were made", logged)
	}

	token := s.token
	s = serve(t, folder)
	k, err := s.client(token).GetKey(t.Context(), created.KeyID)
	if err != nil || k.LastUsedAt == nil || k.LastUsedAt.Before(began.Add(-time.Second)) || k.LastUsedAt.After(time.Now()) {
		t.Errorf("key %+v, %v; it was used since %v", k, err, began)
	}
	s.stop()
}

// held is a request whose body the server waits for.
type held struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	rest string
}

// hold begins a request that creates a key, and returns when the server waits for its body.
func hold(t *testing.T, s *server) *held {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.management, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	h := &held{t, conn, bufio.NewReader(conn), `{"key_name":"held","key_scope":["READ"],"organization_id":1}`}
	fmt.Fprintf(conn, "POST /v1/api-keys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n", s.token, len(h.rest))
	line, err := h.r.ReadString('\n')
	if err != nil || !strings.Contains(line, " 100 ") {
		t.Fatalf("%q, %v; the server should ask for the body", line, err)
	}
	if _, err := h.r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return h
}

// release sends the body and returns the answer.
func (h *held) release() *http.Response {
	h.t.Helper()
	if _, err := io.WriteString(h.conn, h.rest); err != nil {
		h.t.Fatal(err)
	}
	resp, err := http.ReadResponse(h.r, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp
}

func shuttingDown(log []byte) bool { return bytes.Contains(log, []byte(`"msg":"shutting down"`)) }

// terminate sends SIGTERM and waits until the server has taken notice.
func (s *server) terminate() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	if !s.stderr.await(ctx, shuttingDown) {
		s.t.Fatal("it does not shut down")
	}
}

// refuses waits until nothing listens at the address any more.
func refuses(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		if err == nil {
			conn.Close()
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s still listens: %v", address, err)
		}
	}
}

// TestDrainWaits stops a server that is in the middle of a request: it takes no more, and answers this one.
func TestDrainWaits(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := serve(t, folder)
	h := hold(t, s)
	s.terminate()
	refuses(t, s.management)
	refuses(t, s.verification)
	if !s.running() {
		t.Fatal("the server has ended and left a request")
	}
	resp := h.release()
	var created api.CreatedKey
	if err := json.NewDecoder(resp.Body).Decode(&created); err != nil || resp.StatusCode != http.StatusCreated || !resp.Close {
		t.Errorf("%s, close %t: %v", resp.Status, resp.Close, err)
	}
	if code := s.wait(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, s.stderr)
	}
	s = serve(t, folder)
	if a, err := s.verifier().Verify(t.Context(), api.VerifyRequest{Key: created.Token}); err != nil || !a.Valid {
		t.Errorf("the key of the last request: %+v, %v", a, err)
	}
	s.stop()
}

// TestDrainDelay gives a load balancer the time to look elsewhere: /readyz says no while requests are served as usual.
func TestDrainDelay(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--shutdown-delay", "8s")
	s.terminate()
	resp, err := http.Get(s.verification + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || !bytes.Contains(body, []byte("shutting down")) {
		t.Errorf("/readyz: %s %s, %v", resp.Status, body, err)
	}
	if resp, err = http.Get(s.verification + "/livez"); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("/livez: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	if _, err := s.client(s.token).Me(t.Context()); err != nil {
		t.Errorf("a request within the delay: %v", err)
	}
	if code := s.wait(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, s.stderr)
	}
}

// TestDrainIsBounded has a client that never sends its body: the server does not wait for ever, and says that somebody
// was cut off.
func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--shutdown-timeout", "1s")
	hold(t, s)
	s.terminate()
	if code := s.wait(); code != 1 || !strings.Contains(s.stderr.String(), "still under way") {
		t.Errorf("exit code %d:\n%s", code, s.stderr)
	}
}

// TestSecondSignal ends a server that drains at once.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	hold(t, s)
	s.terminate()
	began := time.Now()
	for s.running() && time.Since(began) < patience/2 {
		_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-s.exited:
		case <-time.After(20 * time.Millisecond):
		}
	}
	if s.running() {
		t.Fatal("it goes on draining")
	}
	if status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v", s.cmd.ProcessState)
	}
}
