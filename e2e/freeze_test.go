package e2e

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

// TestFreeze stops a server in the middle of everything (SIGSTOP, as a debugger or a sleeping laptop does) and lets it
// go on. Requests wait and are then answered by what holds then, not by what held when they were sent.
func TestFreeze(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	c, v := s.client(s.token), s.verifier()
	expiry := time.Now().Add(2 * time.Second)
	short, err := c.CreateKey(t.Context(), api.NewKey{KeyName: "short", KeyScope: []api.Scope{"READ"}, OrganizationID: 1,
		ExpiresAt: &api.Time{Time: expiry}})
	if err != nil {
		t.Fatal(err)
	}
	// So that it is in the cache; a machine that is too busy for that has no test.
	if a, err := v.Verify(t.Context(), api.VerifyRequest{Key: short.Token}); err != nil || !a.Valid && time.Now().Before(expiry) {
		t.Fatalf("before: %+v, %v", a, err)
	}

	s.signal(syscall.SIGSTOP)
	const waiting = 8
	answers := make([]api.Verification, waiting)
	errs := make([]error, waiting)
	var sent sync.WaitGroup
	for i := range waiting {
		sent.Go(func() { answers[i], errs[i] = v.Verify(t.Context(), api.VerifyRequest{Key: short.Token}) })
	}
	made := make(chan error, 1)
	go func() {
		_, err := c.CreateKey(t.Context(), draft("waits"))
		made <- err
	}()
	time.Sleep(time.Until(expiry) + 50*time.Millisecond)
	s.signal(syscall.SIGCONT)

	sent.Wait()
	for i := range waiting {
		if errs[i] != nil || answers[i].Code != api.VerifyExpired {
			t.Errorf("check %d: %+v, %v", i, answers[i], errs[i])
		}
	}
	if err := <-made; err != nil {
		t.Errorf("a create that waited: %v", err)
	}
	s.stop()
}
