package cluster

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// Staleness says in the log for as long as checks are answered from memory although the lease has ended, because the operator
// prefers that while the database is away.
type Staleness struct {
	lease   *Lease
	answers func() int64 // how many were given, since the start
	now     func() time.Time
	log     *slog.Logger
	inForce atomic.Bool

	// Of Run alone.
	seen         int64 // answers, when it was looked last
	before       int64 // those of before it was in force
	began, since time.Time
}

const (
	staleLook   = 100 * time.Millisecond
	staleRemind = 10 * time.Second
)

// NewStaleness returns what watches a lease, and a count of the answers that were given without it.
func NewStaleness(l *Lease, answers func() int64, now func() time.Time, log *slog.Logger) *Staleness {
	return &Staleness{lease: l, answers: answers, now: now, log: log}
}

// InForce reports whether checks are being answered from memory without a lease: one was, and the lease is not held again.
func (s *Staleness) InForce() bool { return s.inForce.Load() }

// Allowed reports whether checks of keys in memory are answered while the database is away.
func (s *Staleness) Allowed() bool { return s.lease.Excused(s.now()) }

// Run watches until ctx ends. Where the operator allows no such answers, it returns at once.
func (s *Staleness) Run(ctx context.Context) {
	if s.lease.stale == 0 {
		return
	}
	look := time.NewTicker(staleLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			if s.inForce.Load() {
				s.end("the server stops")
			}
			return
		case <-look.C:
			s.look()
		}
	}
}

func (s *Staleness) look() {
	now, answers := s.now(), s.answers()
	_, held := s.lease.Held(now)
	switch {
	case !s.inForce.Load():
		if answers > s.seen {
			s.before, s.began, s.since = s.seen, now, now
			s.inForce.Store(true)
			s.log.Warn("checks are answered from memory although the lease has ended: a key that is deleted meanwhile may be found valid",
				"because", "--stale-if-error", "for", s.lease.stale)
		}
	case held:
		s.end("the lease is held again")
	case !s.lease.Excused(now):
		s.end("--stale-if-error has passed; checks cannot be answered")
	case now.Sub(s.since) >= staleRemind:
		s.since = now
		s.log.Warn("checks are still answered from memory although the lease has ended", "answers", answers-s.before, "since", s.began)
	}
	s.seen = answers
}

func (s *Staleness) end(reason string) {
	s.inForce.Store(false)
	s.log.Warn("checks are no longer answered from memory without a lease", "reason", reason, "answers", s.answers()-s.before,
		"took", s.now().Sub(s.began).Round(time.Millisecond))
}
