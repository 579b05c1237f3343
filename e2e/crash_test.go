package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestKillUnderLoad kills a server while 32 clients create and delete keys, again and again, at a moment of no
// importance. What was acknowledged is there afterwards, and what was deleted is not.
func TestKillUnderLoad(t *testing.T) {
	t.Parallel()
	const rounds, workers = 6, 32
	folder := t.TempDir()
	book := newLedger()
	s := serve(t, folder)
	token := s.token
	for round := range rounds {
		var killed atomic.Bool
		var busy sync.WaitGroup
		for worker := range workers {
			c := s.once(token)
			busy.Go(func() {
				err := book.work(context.Background(), c, fmt.Sprintf("%d.%d", round, worker))
				if !killed.Load() {
					t.Errorf("round %d: before the end: %v", round, err)
				}
			})
		}
		book.await(t, 200+rand.IntN(400))
		time.Sleep(rand.N(5 * time.Millisecond)) // anywhere within a commit
		killed.Store(true)
		s.kill()
		busy.Wait()

		s = serve(t, folder)
		if s.token != "" {
			t.Fatal("a second first start")
		}
		s.token = token
		book.check(t, s)
		if t.Failed() {
			break
		}
	}
	t.Logf("%d keys live, %d were deleted, of %d nobody knew", book.count(alive), book.count(dead), book.count(unknown))
	if book.count(unknown) < rounds {
		t.Error("hardly anything was under way when the server was killed")
	}
	s.stop()
	inspect(t, filepath.Join(folder, "apikeyd.db"))
}
