package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/apikeyd/apikeyd/internal/store"
)

// watch knows whether the database is away. While it is, calls fail at once instead of waiting for it one after the other,
// and one goroutine looks whether it is back.
//
// A call that was lost is only a suspicion: its connection may have been ended alone. The database is away where a new
// connection gets no answer either, and no other call has had one meanwhile.
type watch struct {
	config *pgx.ConnConfig
	log    *slog.Logger
	reset  func() // makes connections of before be closed

	answers atomic.Int64 // calls that the database has answered
	outage  atomic.Pointer[outage]

	mu      sync.Mutex
	present context.Context // ends when the database goes away
	absent  context.CancelFunc
	looking bool
	closed  bool
	looks   sync.WaitGroup
	ctx     context.Context
	cancel  context.CancelFunc
}

// outage is a time in which the database is away.
type outage struct {
	since time.Time
	err   error
}

// lookPause is how long it takes at most until it is seen that the database is back, beside what connecting takes.
const lookPause = 200 * time.Millisecond

func newWatch(config *pgx.ConnConfig, log *slog.Logger, reset func()) *watch {
	w := &watch{config: config, log: log, reset: reset}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.present, w.absent = context.WithCancel(context.Background())
	return w
}

// close ends looking.
func (w *watch) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.looks.Wait()
	w.absent()
}

// while returns a context that ends when the database goes away.
func (w *watch) while() context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.present
}

// err returns store.ErrUnavailable while the database is away.
func (w *watch) err() error {
	if o := w.outage.Load(); o != nil {
		return o.err
	}
	return nil
}

// saw is told how a call ended that nobody has given up, and returns its error.
func (w *watch) saw(err error) error {
	if unanswered(err) {
		w.look()
	} else {
		w.answers.Add(1)
	}
	return err
}

// unanswered reports whether err says nothing but that the server did not answer, or that it is starting or stopping.
func unanswered(err error) bool {
	if !errors.Is(err, store.ErrUnavailable) {
		return false
	}
	switch code := sqlstate(err); code {
	case "", adminShutdown, crashShutdown, cannotConnectNow:
		return true
	default:
		return code[:2] == "08" // connection
	}
}

// look begins to look whether the database is there.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.looking && !w.closed {
		w.looking = true
		w.looks.Go(w.untilThere)
	}
}

func (w *watch) untilThere() {
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.looking = false
	}()
	for {
		before := w.answers.Load()
		err := w.probe()
		switch {
		case w.ctx.Err() != nil:
			return
		case !unanswered(err):
			w.there()
			return
		case w.answers.Load() == before:
			w.away(err)
		}
		select {
		case <-w.ctx.Done():
			return
		case <-time.After(lookPause):
		}
	}
}

// probe makes a connection.
func (w *watch) probe() error {
	conn, err := connect(w.ctx, uncancelled(w.config.Copy()))
	if err == nil {
		hangUp(conn)
	}
	return err
}

func (w *watch) away(err error) {
	if w.outage.Load() == nil {
		w.outage.Store(&outage{time.Now(), fmt.Errorf("the database is away: %w", err)})
		w.log.Error("the database is away", "error", err)
		w.absent()
	}
}

func (w *watch) there() {
	if o := w.outage.Load(); o != nil {
		w.reset()
		w.mu.Lock()
		w.present, w.absent = context.WithCancel(context.Background())
		w.mu.Unlock()
		w.outage.Store(nil)
		w.log.Info("the database is back", "away", time.Since(o.since).Round(time.Millisecond))
	}
}
