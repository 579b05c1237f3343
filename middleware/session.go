package middleware

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

const (
	// silence is how long apikeyd may say nothing before the subscription is given up. It answers every renewal.
	silence = 3 * time.Second
	// firstRenewal is the time between renewals while no lease says how often.
	firstRenewal = 100 * time.Millisecond
	// reportEvery is how often apikeyd is told of what was decided here.
	reportEvery = 5 * time.Second
	// lookUpTimeout is how long a look-up may take before the key is asked about in the usual way.
	lookUpTimeout = 500 * time.Millisecond
	// leaveTimeout is how long the last words may take.
	leaveTimeout = time.Second
	// maxQueue bounds what waits to be said, in bytes.
	maxQueue = 4 << 20
	// renewals is how many may be under way.
	renewals = 64
)

// session is one subscription: the connection, the lease, and what was learned over it. All of that ends together.
type session struct {
	stream io.ReadWriteCloser
	lease  lease
	uses   *uses

	known   *table
	unknown *table // tokens that belong to no key

	// heard is when apikeyd last said something, every how long a lease lasts; in nanoseconds.
	heard  atomic.Int64 // since base
	length atomic.Int64
	base   time.Time
	noted  chan struct{} // the uses that were told of are noted
	closed chan struct{} // closed when run has ended

	mu      sync.Mutex
	asked   [renewals]time.Time // when each renewal was sent, by its number
	renewal uint64              // the last one
	lookUps map[uint64]*lookUp  // under way, by their ids
	joined  map[digest]*lookUp  // the same ones, by their tokens
	lastID  uint64
	stopped bool // apikeyd stops: there are no leases any more

	sending sync.Mutex
	queue   []byte
	wake    chan struct{} // there is something in the queue, or the session has ended
}

// lookUp is one question, which all checks of the same token wait for.
type lookUp struct {
	id     uint64
	digest digest
	done   chan struct{} // closed when entry is final
	entry  *entry        // nil: there is no answer that may be used
}

var (
	errSilent   = errors.New("apikeyd says nothing any more")
	errProtocol = errors.New("apikeyd does not keep to the protocol")
)

func newSession(stream io.ReadWriteCloser, o CacheOptions, u *uses) *session {
	return &session{
		stream: stream, uses: u, known: newTable(o.Keys), unknown: newTable(o.UnknownTokens), base: time.Now(),
		noted: make(chan struct{}, 1), closed: make(chan struct{}), wake: make(chan struct{}, 1),
		lookUps: map[uint64]*lookUp{}, joined: map[digest]*lookUp{},
	}
}

// run keeps the session up until it fails, or ctx ends, and then has nothing left that runs. leased is called with the first lease.
func (s *session) run(ctx context.Context, leased func()) error {
	var both sync.WaitGroup
	failed := make(chan error, 2)
	both.Go(func() { failed <- s.read() })
	both.Go(func() { failed <- s.write() })
	defer both.Wait()
	defer s.end()

	s.renew()
	renew, report := time.NewTimer(firstRenewal), time.NewTicker(reportEvery)
	defer renew.Stop()
	defer report.Stop()
	told := 0 // uses that are being noted
	for first := true; ; {
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			s.leave(failed, told == 0)
			return ctx.Err()
		case <-renew.C:
			if time.Since(s.base)-time.Duration(s.heard.Load()) > silence {
				return errSilent
			}
			s.renew()
			renew.Reset(s.renewEvery())
			if first && s.length.Load() > 0 {
				first = false
				leased()
			}
		case <-report.C:
			if told == 0 {
				told = s.report()
			}
		case <-s.uses.many:
			if told == 0 {
				told = s.report()
			}
		case <-s.noted:
			if told < api.MaxKeyUses {
				told = 0
			} else { // what did not fit into one line
				told = s.report()
			}
		}
	}
}

// renewEvery is a quarter of a lease.
func (s *session) renewEvery() time.Duration {
	if length := time.Duration(s.length.Load()); length > 0 {
		return max(length/4, 10*time.Millisecond)
	}
	return firstRenewal
}

// leave gives up the lease, and then says so, after it has told of the last uses. idle says that none are being noted.
func (s *session) leave(failed <-chan error, idle bool) {
	s.stop()
	timeout := time.NewTimer(leaveTimeout)
	defer timeout.Stop()
	for !idle || s.report() > 0 {
		select {
		case <-s.noted:
			idle = true
		case <-failed:
			return
		case <-timeout.C:
			return
		}
	}
	s.say(api.SubscriberLine{Leave: true})
	select { // apikeyd closes the connection when it has heard that
	case <-failed:
	case <-timeout.C:
	}
}

// report tells of uses, and returns how many there were.
func (s *session) report() int {
	told := s.uses.take()
	if len(told) > 0 {
		s.say(api.SubscriberLine{Uses: told})
	}
	return len(told)
}

// renew asks for a lease.
func (s *session) renew() {
	s.mu.Lock()
	s.renewal++
	n := s.renewal
	s.asked[n%renewals] = time.Now() // before it is sent
	s.mu.Unlock()
	s.say(api.SubscriberLine{Renew: n})
}

// read takes what apikeyd says, until the connection ends. The order in which it is said is the order in which it holds.
func (s *session) read() error {
	lines := bufio.NewScanner(s.stream)
	lines.Buffer(make([]byte, 0, 4<<10), api.MaxServerLine)
	for lines.Scan() {
		s.heard.Store(int64(time.Since(s.base)))
		var l api.ServerLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("%w: a line is no JSON, or not what it should be", errProtocol)
		}
		if err := s.hear(l); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.EOF
}

func (s *session) hear(l api.ServerLine) error {
	for _, d := range l.Digests {
		if len(d) != len(digest{}) {
			return errProtocol
		}
		s.invalidate(digest(d))
	}
	if l.Forget {
		s.forget()
	}
	if l.Close {
		s.stop()
	}
	if l.Change != 0 {
		s.say(api.SubscriberLine{Applied: l.Change})
	}
	if l.Grant != nil {
		s.granted(*l.Grant)
	}
	if l.Found != nil {
		s.found(*l.Found)
	}
	if l.Noted {
		select {
		case s.noted <- struct{}{}:
		default:
		}
	}
	return nil
}

// granted extends the lease from when it was asked for.
func (s *session) granted(g api.Grant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || g.LeaseMilliseconds <= 0 || g.Renew > s.renewal || s.renewal-g.Renew >= renewals {
		return
	}
	length := time.Duration(g.LeaseMilliseconds) * time.Millisecond
	s.length.Store(int64(length))
	s.lease.extend(s.asked[g.Renew%renewals], length)
}

// stop ends the lease for good.
func (s *session) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.lease.end()
}

// invalidate forgets what is known of a token, and what is being looked up.
func (s *session) invalidate(d digest) {
	s.mu.Lock()
	if l := s.joined[d]; l != nil {
		s.settle(l, nil)
	}
	s.mu.Unlock()
	s.known.remove(&d)
	s.unknown.remove(&d)
}

// forget does so for all tokens.
func (s *session) forget() {
	s.mu.Lock()
	for _, l := range s.lookUps {
		s.settle(l, nil)
	}
	s.mu.Unlock()
	s.known.clear()
	s.unknown.clear()
}

// settle ends a look-up. The lock is held.
func (s *session) settle(l *lookUp, e *entry) {
	delete(s.lookUps, l.id)
	delete(s.joined, l.digest)
	l.entry = e
	close(l.done)
}

// get returns what is known of a token, nil for nothing.
func (s *session) get(d *digest) *entry {
	if e := s.known.get(d); e != nil {
		return e
	}
	return s.unknown.get(d)
}

// lookUp asks for what is known of a token, and returns nil where that is not to be had. The lease must have been held when the
// check began: what is under way then is not older than any change that was answered before.
func (s *session) lookUp(ctx context.Context, d *digest) *entry {
	l := s.join(*d)
	timeout := time.NewTimer(lookUpTimeout)
	defer timeout.Stop()
	select {
	case <-l.done:
		return l.entry
	case <-s.closed:
	case <-ctx.Done():
	case <-timeout.C:
	}
	return nil
}

// join returns the look-up of a token that is under way, or begins one.
func (s *session) join(d digest) *lookUp {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.joined[d]; l != nil {
		return l
	}
	s.lastID++
	l := &lookUp{id: s.lastID, digest: d, done: make(chan struct{})}
	s.lookUps[l.id], s.joined[d] = l, l
	s.say(api.SubscriberLine{LookUp: &api.LookUp{ID: l.id, Digest: l.digest[:]}})
	return l
}

// found ends a look-up, and keeps what it has brought, unless a change has ended it before.
func (s *session) found(f api.Found) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lookUps[f.ID]
	if l == nil {
		return
	}
	var e *entry
	if f.Keep {
		e = newEntry(l.digest, f.Key)
		if e.found {
			s.known.put(e)
		} else {
			s.unknown.put(e)
		}
	}
	s.settle(l, e)
}

// say queues a line. Where the queue is full, the session fails.
func (s *session) say(l api.SubscriberLine) {
	line, err := json.Marshal(l)
	if err != nil { // integers, strings and bytes always marshal
		panic(err)
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	if len(s.queue) > maxQueue {
		_ = s.stream.Close()
		return
	}
	s.queue = append(append(s.queue, line...), '\n')
	s.signal()
}

func (s *session) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// write says what is queued, until the session ends.
func (s *session) write() error {
	for {
		select {
		case <-s.closed:
			return nil
		case <-s.wake:
		}
		s.sending.Lock()
		lines := s.queue
		s.queue = nil
		s.sending.Unlock()
		if len(lines) == 0 {
			continue
		}
		if _, err := s.stream.Write(lines); err != nil {
			return err
		}
	}
}

// end ends the session: the lease, the connection, and the waiting for look-ups.
func (s *session) end() {
	s.stop()
	close(s.closed)
	_ = s.stream.Close()
}
