package oidc

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// tryTimeout bounds one request to the provider, and all that a try makes.
	tryTimeout = 10 * time.Second
	// retryAfter is the least time between two tries. Whoever sends forged key ids cannot make us ask more often, and a
	// token that is signed with a new key waits no longer than this while somebody does.
	retryAfter = 5 * time.Second
	// refreshAfter is the age at which keys are asked for again, so that one that the provider has withdrawn does not
	// live on here.
	refreshAfter = 15 * time.Minute
)

// source keeps what is known of the provider and asks again where that does not do: one try at a time, and not too
// often.
type source struct {
	fetch func(context.Context) (*snapshot, error)
	now   func() time.Time
	log   *slog.Logger

	ctx    context.Context // that of tries, which outlive whoever waits for them
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	known    *snapshot // nil: nothing yet
	fetched  time.Time // when known was
	tried    time.Time // when the last try ended; zero: there was none
	err      error     // how
	underWay *try      // nil: none
}

// try is one attempt to ask the provider, which all wait for who need it.
type try struct {
	done chan struct{} // closed when the rest is final

	snapshot *snapshot
	err      error
}

func newSource(fetch func(context.Context) (*snapshot, error), now func() time.Time, log *slog.Logger) *source {
	s := &source{fetch: fetch, now: now, log: log}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

func (s *source) close() {
	s.cancel()
	s.wg.Wait()
}

// get returns what is known. Where that is old, it is asked for again, and nobody waits.
func (s *source) get(ctx context.Context) (*snapshot, error) {
	s.mu.Lock()
	known := s.known
	if known != nil && s.now().Sub(s.fetched) >= refreshAfter {
		s.begin()
	}
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	return s.newer(ctx, nil)
}

// newer returns what is known if that is not old, else what the provider says now. Where it is too early to ask again,
// that is old itself, or the error of the last try. The error is ErrUnavailable.
func (s *source) newer(ctx context.Context, old *snapshot) (*snapshot, error) {
	s.mu.Lock()
	if s.known != old {
		defer s.mu.Unlock()
		return s.known, nil
	}
	t, err := s.begin(), s.err
	s.mu.Unlock()
	switch {
	case t != nil:
		return t.wait(ctx)
	case err != nil:
		return nil, err
	case old == nil:
		return nil, unavailable("closed")
	default:
		return old, nil
	}
}

func (t *try) wait(ctx context.Context) (*snapshot, error) {
	select {
	case <-t.done:
		return t.snapshot, t.err
	case <-ctx.Done():
		return nil, unavailable("wait for it: %w", ctx.Err())
	}
}

// begin returns the try that is under way, or a new one; nil where it is too early for one. It needs the lock.
func (s *source) begin() *try {
	if s.underWay != nil {
		return s.underWay
	}
	if s.ctx.Err() != nil || !s.tried.IsZero() && s.now().Sub(s.tried) < retryAfter {
		return nil
	}
	t := &try{done: make(chan struct{})}
	s.underWay = t
	s.wg.Go(func() { s.run(t) })
	return t
}

func (s *source) run(t *try) {
	t.snapshot, t.err = s.ask()
	s.mu.Lock()
	before, known := s.err, s.known != nil
	s.underWay, s.tried, s.err = nil, s.now(), t.err
	if t.err == nil {
		s.known, s.fetched = t.snapshot, s.tried
	}
	s.mu.Unlock()
	s.report(before, t.err, known)
	close(t.done)
}

// ask asks the provider. A panic is an error, so that those who wait get an answer.
func (s *source) ask() (known *snapshot, err error) {
	defer func() {
		if v := recover(); v != nil {
			known, err = nil, unavailable("panic: %v", v)
		}
	}()
	ctx, cancel := context.WithTimeout(s.ctx, tryTimeout)
	defer cancel()
	if known, err = s.fetch(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return known, nil
}

// report logs that the provider has gone or come back; that it is still away is for those who look closely.
func (s *source) report(before, now error, known bool) {
	switch {
	case s.ctx.Err() != nil: // closed: the provider is not to blame
	case now == nil && before != nil:
		s.log.Info("the identity provider is back")
	case now != nil && before == nil:
		s.log.Warn("the identity provider cannot be asked", "error", now, "keys_known", known)
	case now != nil:
		s.log.Debug("the identity provider still cannot be asked", "error", now)
	}
}
