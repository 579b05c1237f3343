package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/apikeyd/apikeyd/internal/freeport"
	"github.com/apikeyd/apikeyd/internal/mail/mailtest"
)

// sends stands in for a Sender, and keeps when it was asked.
type sends struct {
	mu      sync.Mutex
	begin   time.Time
	answers []error // one after the other; then nil
	took    time.Duration
	calls   []string
	ids     map[string]bool
}

func (s *sends) send(ctx context.Context, m Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, fmt.Sprintf("%s %s", time.Since(s.begin), m.To))
	s.ids[m.id] = true
	select {
	case <-time.After(s.took):
	case <-ctx.Done():
		return ctx.Err()
	}
	if len(s.answers) == 0 {
		return nil
	}
	err := s.answers[0]
	s.answers = s.answers[1:]
	return err
}

func newSends(answers ...error) *sends {
	return &sends{begin: time.Now(), answers: answers, ids: map[string]bool{}}
}

// running is an Outbox whose Run is under way.
type running struct {
	*Outbox
	log   *bytes.Buffer // to be read once Run has returned
	stop  context.CancelFunc
	ended chan struct{}
}

func run(t *testing.T, send func(context.Context, Message) error) running {
	var log bytes.Buffer
	ctx, stop := context.WithCancel(t.Context())
	r := running{NewOutbox(send, slog.New(slog.NewTextHandler(&log, nil))), &log, stop, make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.Run(ctx)
	}()
	return r
}

// end stops Run and returns what it logged.
func (r running) end() string {
	r.stop()
	<-r.ended
	return r.log.String()
}

func to(name string) Message {
	return Message{To: name, Subject: "Grüße " + secretLink, Text: "Open " + secretLink}
}

func TestOutboxTriesAgain(t *testing.T) {
	later := &failure{doing: "connect", cause: errors.New("away")}
	never := &failure{doing: "name the recipient", cause: errors.New("no such user"), permanent: true}
	for _, tt := range []struct {
		name    string
		answers []error
		calls   []string
		logged  []string // messages, in this order
	}{
		{"sent", nil, []string{"0s a"}, []string{"mail sent"}},
		{"sent at the second attempt", []error{later}, []string{"0s a", "5s a"}, []string{"mail not sent, will try again", "mail sent"}},
		{"refused for good", []error{never}, []string{"0s a"}, []string{"mail not sent"}},
		{"refused for good later", []error{later, never}, []string{"0s a", "5s a"}, []string{"mail not sent, will try again", "mail not sent"}},
		{"never sent", []error{later, later, later, later, later, later}, []string{"0s a", "5s a", "35s a", "2m35s a", "6m35s a"},
			[]string{"will try again", "will try again", "will try again", "will try again", "mail not sent"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSends(tt.answers...)
			r := run(t, s.send)
			if !r.Enqueue(to("a")) {
				t.Fatal("there is no room")
			}
			time.Sleep(time.Hour)
			log := r.end()
			if diff := cmp.Diff(tt.calls, s.calls); diff != "" {
				t.Errorf("%s: %s", tt.name, diff)
			}
			if len(s.ids) != 1 {
				t.Errorf("%s: one mail has the identities %v", tt.name, s.ids)
			}
			lines := strings.Split(strings.TrimSpace(log), "\n")
			if len(lines) != len(tt.logged) {
				t.Fatalf("%s: log %s", tt.name, log)
			}
			for i, line := range lines {
				if !strings.Contains(line, tt.logged[i]) || !strings.Contains(line, "to=a") || strings.Contains(line, "keys.example.com") ||
					strings.Contains(line, "Grüße") {
					t.Errorf("%s: line %q, want %q", tt.name, line, tt.logged[i])
				}
			}
		})
	}
}

func TestOutboxGivesUpWhatIsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSends(errors.New("away"), errors.New("away"), errors.New("away"), errors.New("away"))
		s.took = 2 * time.Minute // a server that takes its time to say no
		r := run(t, s.send)
		r.Enqueue(to("a"))
		time.Sleep(time.Hour)
		log := r.end()
		if diff := cmp.Diff([]string{"0s a", "2m5s a", "4m35s a", "8m35s a"}, s.calls); diff != "" {
			t.Error(diff)
		}
		if !strings.Contains(log, "too old to try again") {
			t.Error(log)
		}
	})
}

// TestOutboxKeepsTheOrder of mails that are due, and lets none wait for one that has to be tried again.
func TestOutboxKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSends(errors.New("away"))
		r := run(t, s.send)
		for _, name := range []string{"a", "b", "c"} {
			r.Enqueue(to(name))
		}
		time.Sleep(time.Hour)
		r.end()
		if diff := cmp.Diff([]string{"0s a", "0s b", "0s c", "5s a"}, s.calls); diff != "" {
			t.Error(diff)
		}
	})
}

// TestOutboxIsBounded, and what is enqueued never waits for what is being sent.
func TestOutboxIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSends()
		s.took = time.Second
		r := run(t, s.send)
		fill := func() (n int) {
			for r.Enqueue(to("a")) {
				n++
			}
			return n
		}
		if n := fill(); n != Capacity {
			t.Errorf("room for %d", n)
		}
		time.Sleep(2500 * time.Millisecond)
		if n := fill(); n != 2 {
			t.Errorf("room for %d more after two were sent", n)
		}
		if since := time.Since(s.begin); since != 2500*time.Millisecond {
			t.Errorf("it took %s to enqueue", since-2500*time.Millisecond)
		}
		time.Sleep(time.Hour)
		r.end()
		if len(s.calls) != Capacity+2 {
			t.Errorf("%d sent", len(s.calls))
		}
	})
}

func TestOutboxAtTheEnd(t *testing.T) {
	for _, tt := range []struct {
		name  string
		took  time.Duration
		calls []string
		ended time.Duration
		lost  int
	}{
		{"a quick server", 0, []string{"0s a", "1s b", "1s c", "1s a"}, time.Second, 1},
		{"a slow server", 2500 * time.Millisecond, []string{"0s a", "2.5s b", "5s c"}, 6 * time.Second, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			// The first mail waits for its second attempt when the end comes, or is being sent, and fails.
			s := newSends(errors.New("away"), nil, nil, errors.New("away"))
			s.took = tt.took
			r := run(t, s.send)
			r.Enqueue(to("a"))
			time.Sleep(time.Second)
			r.stop()
			r.Enqueue(to("b"))
			r.Enqueue(to("c"))
			<-r.ended
			if diff := cmp.Diff(tt.calls, s.calls); diff != "" {
				t.Errorf("%s: %s", tt.name, diff)
			}
			if took := time.Since(s.begin); took != tt.ended {
				t.Errorf("%s: ended after %s", tt.name, took)
			}
			if log := r.end(); strings.Count(log, `level=ERROR msg="mail not sent"`) != tt.lost {
				t.Errorf("%s: log %s", tt.name, log)
			}
			if r.Enqueue(to("d")) {
				t.Errorf("%s: a mail was taken that nobody sends", tt.name)
			}
		})
	}
}

// TestOutboxWithAServerThatComesBack uses real sockets: the server is away, then it is there, refuses at first, and takes
// the mail.
func TestOutboxWithAServerThatComesBack(t *testing.T) {
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	s := newSender(t, Options{Address: address, From: "keys@example.com", TLS: None})
	failures := make(chan error, 1)
	r := run(t, func(ctx context.Context, m Message) error {
		err := s.Send(ctx, m)
		if err != nil {
			select {
			case failures <- err:
			default: // the first is looked at
			}
		}
		return err
	})
	r.mu.Lock()
	r.waits = make([]time.Duration, 1000)
	for i := range r.waits {
		r.waits[i] = 5 * time.Millisecond
	}
	r.mu.Unlock()
	r.Enqueue(example())
	if err := <-failures; Permanent(err) {
		t.Errorf("a server that is away: %v", err)
	}
	server := start(t, None, mailtest.Behaviour{Address: address})
	if got := <-server.Got; got.To != example().To {
		t.Errorf("got %+v", got)
	}
	if log := r.end(); !strings.Contains(log, "mail sent") || strings.Contains(log, secretLink) {
		t.Errorf("log %s", log)
	}
}
