package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

// TestStopDuringFirstStart stops a server at all moments of its first start. It exits as if it had been ready, and the
// first key is not lost: it was printed, or the next start prints one.
func TestStopDuringFirstStart(t *testing.T) {
	t.Parallel()
	for i := range 16 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			p := launch(t, folder, anyPort, binary, "serve")
			select {
			case <-p.exited:
				t.Fatalf("it has ended by itself: %s", p.stderr)
			case <-time.After(time.Duration(i) * 5 * time.Millisecond):
			}
			p.signal(syscall.SIGTERM)
			// Before it has begun to listen for signals, the signal is its end.
			code := p.wait()
			status, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
			if code != 0 && !(status.Signaled() && status.Signal() == syscall.SIGTERM) {
				t.Errorf("it ended with %v: %s", p.cmd.ProcessState, p.stderr)
			}

			printed := tokenText.FindString(p.stdout.String())
			s := serve(t, folder)
			if (printed == "") == (s.token == "") {
				t.Errorf("the first start has printed %d bytes, the second %d", len(p.stdout.bytes()), len(s.stdout.bytes()))
			}
			if a, err := s.verifier().Verify(t.Context(), api.VerifyRequest{Key: printed + s.token}); err != nil || !a.Valid {
				t.Errorf("the first key: %+v, %v", a, err)
			}
			s.stop()
		})
	}
}
