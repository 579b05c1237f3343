package cluster

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// lines is a log, a line for each write.
type lines struct {
	mu  sync.Mutex
	all []string
}

// Write adds a line.
func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(line))
	return len(line), nil
}

// take returns the lines that were written since it was called last.
func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	return all
}

// TestStaleness has answers be given beyond a lease, and holds what the log says to when it was so.
func TestStaleness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const allowed = time.Minute
		l := NewLease(length, allowed, time.Now)
		var answers atomic.Int64
		log := new(lines)
		s := NewStaleness(l, answers.Load, time.Now, slog.New(slog.NewTextHandler(log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		// said waits, and wants the log to have said these things, each in a line, and nothing else.
		said := func(wait time.Duration, inForce bool, want ...string) {
			t.Helper()
			time.Sleep(wait)
			synctest.Wait()
			got := log.take()
			ok := len(got) == len(want)
			for i := 0; ok && i < len(want); i++ {
				ok = strings.Contains(got[i], want[i])
			}
			if !ok || s.InForce() != inForce {
				t.Errorf("in force: %v, said %q; want %v, %q", s.InForce(), got, inForce, want)
			}
		}
		l.extend(time.Now())
		said(10*length, false) // nobody has asked
		answers.Add(3)
		said(staleLook, true, "although the lease has ended")
		answers.Add(4)
		said(staleRemind-staleLook, true)
		said(staleLook, true, "answers=7")
		said(staleRemind, true, "answers=7")
		answers.Add(1)
		l.extend(time.Now())
		said(staleLook, false, `reason="the lease is held again" answers=8`)
		said(length, false)
		answers.Add(1)
		said(staleLook, true, "although the lease has ended")
		said(allowed, false, "still", "still", "still", "still", "still", "has passed")
		answers.Add(1)
		said(staleLook, true, "although the lease has ended")
		cancel()
		<-done
		said(0, false, "answers=1")
	})
}

func TestNoStalenessWhereItIsNotAllowed(t *testing.T) {
	NewStaleness(NewLease(length, 0, time.Now), func() int64 { return 1 }, time.Now, slog.New(slog.DiscardHandler)).Run(t.Context())
}
