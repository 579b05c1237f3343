package e2e

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

// TestFreeze stops a server in the middle of everything (SIGSTOP, as a debugger or a sleeping laptop does) and lets it
// go on. Requests wait and are then answered by what holds then, not by what held when they were sent.
func TestFreeze(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	c, v := s.client(s.token), s.verifier()
	short, expiry := passing(t, c)
	// So that it is in the cache; a machine that is too busy for that has no test.
	if a, err := v.Verify(t.Context(), api.VerifyRequest{Key: short.Token}); err != nil || !a.Valid && time.Now().Before(expiry) {
		t.Fatalf("before: %+v, %v", a, err)
	}

	freeze(t, s.process)
	const waiting = 8
	var sent sync.WaitGroup
	var waited atomic.Int64
	for i := range waiting {
		sent.Go(func() {
			a, err := v.Verify(t.Context(), api.VerifyRequest{Key: short.Token})
			if err == nil && time.Now().Before(expiry) {
				return // elsewhere than on Linux: a thread that had not stopped yet
			}
			waited.Add(1)
			if err != nil || a.Code != api.VerifyExpired {
				t.Errorf("check %d: %+v, %v", i, a, err)
			}
		})
	}
	made := make(chan error, 1)
	go func() {
		_, err := c.CreateKey(t.Context(), draft("waits"))
		made <- err
	}()
	time.Sleep(time.Until(expiry) + 50*time.Millisecond)
	s.signal(syscall.SIGCONT)

	sent.Wait()
	if waited.Load() == 0 {
		t.Error("no check had to wait; was the server frozen?")
	}
	if err := <-made; err != nil {
		t.Errorf("a create that waited: %v", err)
	}
	s.stop()
}

// passing makes a key that ends soon. On a machine that is too busy for the end to be in the future still, a later one is tried.
func passing(t *testing.T, c *client.Client) (k api.CreatedKey, expiry time.Time) {
	t.Helper()
	for lasts := 2 * time.Second; ; lasts *= 2 {
		expiry = time.Now().Add(lasts)
		k, err := c.CreateKey(t.Context(), api.NewKey{KeyName: "short", KeyScope: []api.Scope{"READ"}, OrganizationID: 1,
			ExpiresAt: &api.Time{Time: expiry}})
		if err == nil {
			return k, expiry
		}
		if !errors.Is(err, api.ErrInvalid) || lasts > patience {
			t.Fatal(err)
		}
	}
}
