package subscribe

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/key"
)

const (
	// silence is how long a subscriber may say nothing. One that is alive renews several times a second.
	silence = 10 * time.Second
	// writeTimeout is how long it may take nothing of what is said to it.
	writeTimeout = 5 * time.Second
	// maxQueue bounds what waits to be said to a subscriber, in bytes. Lines about changes are shared by all.
	maxQueue = 16 << 20
	// maxCount is more checks of a key than there can be between two reports, and little enough to be added up.
	maxCount = 1 << 40
	// maxAsked bounds how many look-ups of one subscriber are under way.
	maxAsked = 64
)

// subscriber is one connection.
type subscriber struct {
	hub  *Hub
	conn net.Conn

	// With the hub's lock.
	gone     bool
	leaseEnd time.Time // by the hub's clock; zero: it has never had one, or has given it up
	waits    []*wait   // in the order of their numbers

	asked chan struct{} // a place for each look-up under way

	mu     sync.Mutex // of what follows
	queue  [][]byte
	queued int           // bytes, with those that are being written
	wake   chan struct{} // there is something in the queue, or the subscriber is gone
	noting bool          // uses are being noted
}

var (
	errQueue    = errors.New("it does not take what it is told")
	errProtocol = errors.New("it does not keep to the protocol")
	errLeft     = errors.New("it has left")
)

// tell has a change said to the subscriber. It returns nil where nobody needs to wait for it, because it has no lease. The hub's lock
// is held.
func (s *subscriber) tell(number uint64, lines [][]byte, now time.Time) *wait {
	if !s.gone {
		s.say(lines...)
	}
	if !now.Before(s.leaseEnd) {
		return nil
	}
	w := &wait{s: s, number: number, applied: make(chan struct{}), deadline: s.leaseEnd}
	if !s.gone {
		s.waits = append(s.waits, w)
	}
	return w
}

// say queues lines. A subscriber that does not take them is cut off.
func (s *subscriber) say(lines ...[]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range lines {
		s.queued += len(line)
	}
	if s.queued > maxQueue {
		s.cut(errQueue)
		return
	}
	s.queue = append(s.queue, lines...)
	signal(s.wake)
}

// write says what is queued, until the connection ends.
func (s *subscriber) write() {
	for range s.wake {
		s.mu.Lock()
		lines, taken := net.Buffers(s.queue), s.queued
		s.queue = nil
		s.mu.Unlock()
		if lines == nil { // nothing but the end is signalled without a line
			if s.isGone() {
				return
			}
			continue
		}
		if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			s.cut(err)
			return
		}
		if _, err := lines.WriteTo(s.conn); err != nil {
			s.cut(err)
			return
		}
		s.mu.Lock()
		s.queued -= taken // which has waited until now
		s.mu.Unlock()
	}
}

// cut closes the connection. What reads it does the rest.
func (s *subscriber) cut(reason error) {
	s.hub.o.Log.Debug("a subscriber is cut off", "remote", s.remote(), "reason", reason)
	_ = s.conn.Close()
}

func (s *subscriber) remote() string { return s.conn.RemoteAddr().String() }

// read takes what the subscriber says, until the connection ends.
func (s *subscriber) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), api.MaxSubscriberLine)
	var err error
	for err == nil {
		if err = s.conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
			break
		}
		if !lines.Scan() {
			if err = lines.Err(); err == nil {
				err = io.EOF
			}
			break
		}
		err = s.hear(lines.Bytes())
	}
	level := slog.LevelInfo
	if errors.Is(err, errLeft) || errors.Is(err, io.EOF) {
		level = slog.LevelDebug
	}
	s.hub.o.Log.Log(s.hub.ctx, level, "a subscription has ended", "remote", s.remote(), "reason", err)
	s.end()
}

// hear takes one line.
func (s *subscriber) hear(line []byte) error {
	received := s.hub.o.Now() // before anything: a lease is counted from before this
	var l api.SubscriberLine
	if err := json.Unmarshal(line, &l); err != nil {
		return errProtocol // its text may have a digest in it
	}
	if l.Applied != 0 {
		s.applied(l.Applied)
	}
	if l.Renew != 0 {
		s.grant(l.Renew, received)
	}
	if l.LookUp != nil {
		if err := s.lookUp(l.LookUp); err != nil {
			return err
		}
	}
	if l.Uses != nil {
		if err := s.note(l.Uses); err != nil {
			return err
		}
	}
	if l.Leave {
		s.leave()
		return errLeft
	}
	return nil
}

// applied ends the waits for changes up to a number.
func (s *subscriber) applied(number uint64) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	done := 0
	for done < len(s.waits) && s.waits[done].number <= number {
		close(s.waits[done].applied)
		done++
	}
	s.waits = s.waits[done:]
}

// grant renews the lease, within the node's own. The subscriber counts it from before it asked, and so from before received.
func (s *subscriber) grant(renewal uint64, received time.Time) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	length := h.o.Lease
	if h.o.Left != nil {
		length = min(length, h.o.Left())
	}
	if h.closed || s.gone {
		length = 0
	}
	length = max(length, 0).Truncate(time.Millisecond)
	if end := received.Add(length + margin(length)); length > 0 && end.After(s.leaseEnd) {
		s.leaseEnd = end
	}
	s.say(encode(api.ServerLine{Grant: &api.Grant{Renew: renewal, LeaseMilliseconds: length.Milliseconds()}}))
}

// lookUp answers a question when the answer is known. While too many are under way, the answer is that there is none.
func (s *subscriber) lookUp(q *api.LookUp) error {
	if len(q.Digest) != len(key.Digest{}) {
		return errProtocol
	}
	select {
	case s.asked <- struct{}{}:
	default:
		s.say(encode(api.ServerLine{Found: &api.Found{ID: q.ID}}))
		return nil
	}
	s.hub.group.Go(func() {
		defer func() { <-s.asked }()
		found := api.Found{ID: q.ID}
		if r, keep, err := s.hub.o.Tokens.Find(s.hub.ctx, key.Digest(q.Digest)); err == nil && keep {
			found.Key, found.Keep = knownKey(r)
		}
		s.say(encode(api.ServerLine{Found: &found}))
	})
	return nil
}

// note passes on what the subscriber has decided. It may say more when that was done.
func (s *subscriber) note(uses []api.KeyUses) error {
	s.mu.Lock()
	busy := s.noting
	s.noting = true
	s.mu.Unlock()
	if busy || len(uses) > api.MaxKeyUses {
		return errProtocol
	}
	for _, u := range uses {
		if _, ok := outcomeOf(u.Code); !ok || len(u.Digest) != len(key.Digest{}) || u.Count < 0 || u.Count > maxCount {
			return errProtocol
		}
	}
	s.hub.group.Go(func() {
		s.used(uses)
		s.mu.Lock()
		s.noting = false
		s.mu.Unlock()
		s.say(encode(api.ServerLine{Noted: true}))
	})
	return nil
}

func (s *subscriber) used(uses []api.KeyUses) {
	for _, u := range uses {
		o, _ := outcomeOf(u.Code)
		if err := s.hub.o.Tokens.Used(s.hub.ctx, key.Digest(u.Digest), o, u.Count); err != nil {
			s.hub.o.Log.Debug("uses that a subscriber tells of cannot be noted", "error", fmt.Errorf("look up token: %w", err))
			return
		}
	}
}

// leave takes the subscriber's word that it holds no lease any more.
func (s *subscriber) leave() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.leaseEnd = time.Time{}
	for _, w := range s.waits {
		close(w.applied)
	}
	s.waits = nil
}

// end ends the connection. What the subscriber was granted lasts, and is waited for.
func (s *subscriber) end() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.drop()
}

// drop is end with the hub's lock held.
func (s *subscriber) drop() {
	_ = s.conn.Close()
	s.gone = true
	s.waits = nil
	s.hub.tidy()
	signal(s.wake)
}

func (s *subscriber) isGone() bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.gone
}

// signal leaves word, unless there is word already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
