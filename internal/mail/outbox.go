package mail

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// Capacity is how many mails wait in an Outbox at most.
	Capacity = 100

	// maxAge is how long after it was put there a mail is still worth an attempt. The links in mails are good for
	// little longer.
	maxAge = 10 * time.Minute

	// drain is how long Run goes on sending once its context is done.
	drain = 5 * time.Second
)

// waits returns the times before the second attempt, the third and so on; after the last, a mail is given up.
func waits() []time.Duration {
	return []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 4 * time.Minute}
}

// Outbox holds mails until they are sent. Its methods are safe for concurrent use.
type Outbox struct {
	send  func(context.Context, Message) error
	log   *slog.Logger
	waits []time.Duration
	drain time.Duration
	wake  chan struct{} // there is something new

	mu      sync.Mutex
	waiting []entry // the one that is due first is first
	held    int     // those that wait, and the one that is being sent
	closed  bool
}

// entry is a mail that waits.
type entry struct {
	message  Message
	attempts int
	due      time.Time
}

// NewOutbox returns an Outbox that sends with send, which is Sender.Send. Nothing is sent but by Run.
func NewOutbox(send func(context.Context, Message) error, log *slog.Logger) *Outbox {
	return &Outbox{send: send, log: log, waits: waits(), drain: drain, wake: make(chan struct{}, 1)}
}

// Enqueue puts a mail into the box and returns at once. It returns false where the box is full, or Run has ended; the
// mail is then not sent.
func (o *Outbox) Enqueue(m Message) bool {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.held >= Capacity {
		return false
	}
	o.held++
	o.putLocked(entry{message: m.stamped(now), due: now})
	return true
}

// Run sends what is in the box, one mail after the other, until ctx is done. Then it tries what waits once more, for a
// bounded time, and returns; what is lost is logged.
func (o *Outbox) Run(ctx context.Context) {
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() {
		timer := time.NewTimer(o.drain)
		defer timer.Stop()
		select {
		case <-timer.C:
			cut()
		case <-sending.Done():
		}
	})()
	for {
		stopping := ctx.Err() != nil
		e, wait, ok := o.next(stopping)
		switch {
		case ok:
			o.attempt(sending, ctx, e)
		case stopping:
			return
		default:
			o.rest(ctx, wait)
		}
	}
}

// next takes out the mail that is due. Where none is, it returns how long there is nothing to do; 0: until there is
// something new. At the end every mail is due, and where there is none the box is closed.
func (o *Outbox) next(stopping bool) (e entry, wait time.Duration, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) == 0 {
		o.closed = stopping
		return entry{}, 0, false
	}
	if wait := time.Until(o.waiting[0].due); wait > 0 && !stopping {
		return entry{}, wait, false
	}
	e = o.waiting[0]
	o.waiting = slices.Delete(o.waiting, 0, 1)
	return e, 0, true
}

// rest waits for something to do.
func (o *Outbox) rest(ctx context.Context, wait time.Duration) {
	var due <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
	case <-o.wake:
	case <-ctx.Done():
	}
}

// attempt sends a mail, or puts it back for another time, or gives it up. No line that it logs holds subject or text.
func (o *Outbox) attempt(sending, running context.Context, e entry) {
	err := o.send(sending, e.message)
	e.attempts++
	log := o.log.With("to", e.message.To, "message_id", e.message.id, "attempts", e.attempts)
	if err == nil {
		log.Info("mail sent")
		o.release()
		return
	}
	stopping := running.Err() != nil
	if stopping || Permanent(err) || e.attempts > len(o.waits) {
		log.Error("mail not sent", "error", err)
		o.release()
		return
	}
	wait := o.waits[e.attempts-1]
	e.due = time.Now().Add(wait)
	if e.due.Sub(e.message.at) > maxAge {
		log.Error("mail not sent, and too old to try again", "error", err)
		o.release()
		return
	}
	log.Warn("mail not sent, will try again", "wait", wait, "error", err)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.putLocked(e)
}

// release makes room for another mail.
func (o *Outbox) release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held--
}

// putLocked adds a mail behind those that are due no later.
func (o *Outbox) putLocked(e entry) {
	at, _ := slices.BinarySearchFunc(o.waiting, e, func(a, b entry) int {
		return cmp.Or(a.due.Compare(b.due), -1)
	})
	o.waiting = slices.Insert(o.waiting, at, e)
	select {
	case o.wake <- struct{}{}:
	default:
	}
}
