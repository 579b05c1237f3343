package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

// serveUnread starts a server whose standard error is a pipe that nobody reads once the server is ready. The pipe stays
// open, as that of a program that hangs.
func serveUnread(t *testing.T) (s *server, unread *os.File) {
	t.Helper()
	unread, written, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unread.Close() })
	folder := t.TempDir()
	p := launchCommand(t, func(cmd *exec.Cmd) {
		cmd.Dir = folder
		cmd.Env = append(cmd.Env, anyPort...)
		cmd.Stderr = written
	}, binary, "serve")
	if err := written.Close(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for buf := make([]byte, 4096); ; {
			n, err := unread.Read(buf)
			_, _ = p.stderr.Write(buf[:n]) // never fails
			if _, _, ok := ready(p.stderr.bytes()); ok || err != nil {
				return
			}
		}
	}()
	return await(t, p, folder), unread
}

// TestTheReaderOfTheLogIsGone closes the pipe that the log goes to. The server goes on without it.
func TestTheReaderOfTheLogIsGone(t *testing.T) {
	t.Parallel()
	s, unread := serveUnread(t)
	if err := unread.Close(); err != nil {
		t.Fatal(err)
	}
	a := newAsker(t, s.verification, fmt.Sprintf(`{"key":%q}`, s.token))
	for deadline := time.Now().Add(patience); linesLost(t, s) == 0; {
		// All at once: on a busy machine, to wait for each takes longer than anybody has patience.
		go func() { _, _ = io.WriteString(a.conn, strings.Repeat(a.request, 1000)) }()
		for range 1000 {
			if code, err := a.answer(); err != nil || code != api.VerifyValid {
				t.Fatalf("a check is answered with %q, %v", code, err)
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("no line is lost, though there is nobody who takes them")
		}
	}
	s.stop()
}

// TestNobodyReadsTheLog fills a pipe that nobody reads with the log. The server goes on answering, counts the lines that
// are lost, and ends when it is told to; what is read of the log in the end are whole lines but for the last.
func TestNobodyReadsTheLog(t *testing.T) {
	t.Parallel()
	s, unread := serveUnread(t)
	const clients, checks = 8, 1500
	began := time.Now()
	var asking sync.WaitGroup
	for range clients {
		a := newAsker(t, s.verification, fmt.Sprintf(`{"key":%q}`, s.token))
		asking.Go(func() {
			for range checks {
				if code, err := a.ask(); err != nil || code != api.VerifyValid {
					t.Errorf("a check is answered with %q, %v", code, err)
					return
				}
			}
		})
	}
	asking.Wait()
	t.Logf("%d checks took %v", clients*checks, time.Since(began))

	if lost := linesLost(t, s); lost < clients*checks/4 {
		t.Errorf("%d lines are lost", lost)
	}
	get(t, s.verification+"/livez")
	get(t, s.verification+"/readyz")
	if _, err := s.client(s.token).CreateKey(t.Context(), draft("nobody hears of it")); err != nil {
		t.Error(err)
	}
	if resp, err := http.Get(s.verification + "/nothing"); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("%v, %v", resp, err)
	} else {
		resp.Body.Close()
	}

	began = time.Now()
	s.signal(syscall.SIGTERM)
	if code := s.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	t.Logf("it took %v to end", time.Since(began))
	rest, err := io.ReadAll(unread)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(append(s.stderr.bytes(), rest...), []byte("\n"))
	for _, line := range lines[:len(lines)-1] {
		if !bytes.HasPrefix(line, []byte(`{"time":"`)) || !bytes.HasSuffix(line, []byte("}\n")) {
			t.Fatalf("log line %q", line)
		}
	}
}

// linesLost is how many lines of its log a server has lost, by its own count.
func linesLost(t *testing.T, s *server) int {
	t.Helper()
	const name = "\napikeyd_log_lines_lost_total "
	_, after, _ := strings.Cut(string(get(t, s.verification+"/metrics")), name)
	value, _, _ := strings.Cut(after, "\n")
	lost, err := strconv.ParseFloat(value, 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(lost)
}
