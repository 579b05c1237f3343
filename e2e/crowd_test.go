package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

// TestManyIdleConnections holds 500 connections that have asked once and keep quiet since, and 500 that have never said a
// word. Others are served as before; the silent ones are gone after a while, the quiet ones may go on.
func TestManyIdleConnections(t *testing.T) {
	t.Parallel()
	const crowd = 500
	s := serve(t, t.TempDir())
	before := openFiles(t, s)
	quiet, silent := make([]*slowConn, crowd), make([]*slowConn, crowd)
	for i := range crowd {
		quiet[i] = dial(t, s.verification)
		askAgain(t, quiet[i]) // at once, or it would be a silent one
	}
	for i := range crowd {
		silent[i] = dial(t, s.verification)
	}
	if _, err := s.client(s.token).CreateKey(t.Context(), draft("x")); err != nil {
		t.Error(err)
	}
	if a, err := s.verifier().Verify(t.Context(), api.VerifyRequest{Key: s.token}); err != nil || !a.Valid {
		t.Errorf("a check in the crowd: %+v, %v", a, err)
	}

	var leaving sync.WaitGroup
	for _, conn := range silent {
		leaving.Go(func() { conn.isCutOff(headerTimeout) })
	}
	leaving.Wait()
	for _, conn := range quiet {
		askAgain(t, conn)
		conn.Close()
	}
	// Nothing is left of them.
	for deadline := time.Now().Add(patience); openFiles(t, s) > before+20; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d files are open, %d were in the beginning", openFiles(t, s), before)
		}
	}
	s.stop()
}

// askAgain makes a request on a connection that is kept.
func askAgain(t *testing.T, conn net.Conn) {
	if _, err := io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Error(err)
		return
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Error(err)
		return
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Error(err)
		return
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK || resp.Close {
		t.Errorf("%s, close %t, %v", resp.Status, resp.Close, err)
	}
}

// openFiles returns how many files and connections the server has open, as its metrics say.
func openFiles(t *testing.T, s *server) (n int) {
	t.Helper()
	resp, err := http.Get(s.verification + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if count, err := fmt.Sscanf(lines.Text(), "process_open_fds %d", &n); err == nil && count == 1 {
			return n
		}
	}
	t.Fatal("the metrics do not say how many files are open")
	return 0
}

// TestHugeHeaders sends headers that are larger than any client's: the answer is 431, and the connection ends.
func TestHugeHeaders(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	for _, c := range []struct {
		name, head string
		status     int
	}{
		{"one of 32 KiB", "X-Huge: " + strings.Repeat("x", 32<<10) + "\r\n", http.StatusRequestHeaderFieldsTooLarge},
		{"a credential of 32 KiB", "Authorization: Bearer " + strings.Repeat("x", 32<<10) + "\r\n", http.StatusRequestHeaderFieldsTooLarge},
		{"5,000 small ones", strings.Repeat("X-Many: x\r\n", 5000), http.StatusRequestHeaderFieldsTooLarge},
		{"8 KiB, as a client with many cookies may have", "Cookie: a=" + strings.Repeat("x", 8<<10) + "\r\n", http.StatusOK},
	} {
		for _, address := range []string{s.management, s.verification} {
			conn := dial(t, address)
			path := "/livez"
			if address == s.management {
				path = "/openapi.json"
			}
			conn.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n" + c.head + "\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			if resp.StatusCode != c.status || (resp.StatusCode != http.StatusOK) != resp.Close {
				t.Errorf("%s: %s, close %t, want %d", c.name, resp.Status, resp.Close, c.status)
			}
		}
	}
	// And a path that is too long.
	conn := dial(t, s.management)
	conn.send("GET /" + strings.Repeat("x", 32<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode < 400 || resp.StatusCode >= 500 {
		t.Errorf("a path of 32 KiB: %v, %v", resp, err)
	}
	if _, err := s.client(s.token).Me(t.Context()); err != nil {
		t.Error(err)
	}
	s.stop()
}
