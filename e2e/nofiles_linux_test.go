package e2e

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

// TestNoFilesLeft lets a crowd of connections use up the files that a server may open. Those who were connected before
// go on being served, checks, lists and changes alike; and when the crowd has left, everybody is welcome again. The
// log says what was the matter.
func TestNoFilesLeft(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	c, v := s.once(s.token), s.verifier()
	fresh, err := c.CreateKey(t.Context(), draft("not checked before"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), api.VerifyRequest{Key: s.token}); err != nil {
		t.Fatal(err)
	}

	limit := unix.Rlimit{Cur: uint64(openFiles(t, s) + 10), Max: unix.RLIM_INFINITY}
	var old unix.Rlimit
	if err := unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Fatal(err)
	}
	limit.Max = old.Max
	if err := unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	var crowd []*slowConn
	for range 50 {
		crowd = append(crowd, dial(t, s.management)) // the system takes them, the server cannot
	}
	for range 10 {
		if a, err := v.Verify(t.Context(), api.VerifyRequest{Key: fresh.Token}); err != nil || !a.Valid {
			t.Errorf("a check in the crowd: %+v, %v", a, err)
		}
		if _, err := c.ListKeys(t.Context(), client.ListOptions{}); err != nil {
			t.Errorf("a list in the crowd: %v", err)
		}
		if _, err := c.CreateKey(t.Context(), draft("in the crowd")); err != nil {
			t.Errorf("a change in the crowd: %v", err)
		}
	}
	for _, conn := range crowd {
		conn.Close()
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		_, err := s.client(s.token).Me(t.Context()) // on a connection of its own
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after the crowd: %v", err)
		}
	}
	if files := openFiles(t, s); files > int(limit.Cur) {
		t.Errorf("%d files are open", files)
	}
	s.stop()
	if log := s.stderr.String(); !strings.Contains(log, `"level":"WARN","msg":"http: Accept error: `) {
		t.Errorf("the operator is not told:\n%s", log)
	}
}
