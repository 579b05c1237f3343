package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

const (
	// recovery is in what time everything works again after the database is back.
	recovery = 2 * time.Second
	// busy is what something may take beyond its time on a machine that has other things to do.
	busy = 3 * time.Second
)

// addKey adds one key, with an entry in the audit log.
func addKey(ctx context.Context, s *Store, n int64) error {
	_, err := s.Update(ctx, func(tx store.Tx) error {
		id, err := tx.InsertKey(ctx, plainKey(), digestOf(n))
		tx.Record(plainEntry(id))
		return err
	})
	return err
}

// wantRecovered fails where s does not read and write within recovery from back.
func wantRecovered(t *testing.T, s *Store, back time.Time, n int64) {
	t.Helper()
	var err error
	for {
		_, err = s.RecordByDigest(t.Context(), digestOf(0))
		if err == nil {
			if err = addKey(t.Context(), s, n); err == nil {
				break
			}
			n++ // it may have been added all the same
		}
		if time.Since(back) > 5*recovery {
			t.Fatalf("not recovered after %v: %v", time.Since(back), err)
		}
	}
	took := time.Since(back)
	t.Logf("recovered after %v", took)
	if took > recovery+busy {
		t.Errorf("recovered after %v, want %v at most", took, recovery)
	}
}

// load is a number of clients that add keys.
type load struct {
	next  atomic.Int64
	stop  context.CancelFunc
	group sync.WaitGroup
	mu    sync.Mutex
	ended map[int64]error // how each ended, by its number
}

func startLoad(t *testing.T, s *Store, clients int, first int64) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{stop: cancel, ended: map[int64]error{}}
	l.next.Store(first)
	for range clients {
		l.group.Go(func() {
			for ctx.Err() == nil {
				n := l.next.Add(1)
				err := addKey(context.Background(), s, n)
				l.mu.Lock()
				l.ended[n] = err
				l.mu.Unlock()
				if err != nil {
					time.Sleep(10 * time.Millisecond) // calls fail at once while the database is away
				}
			}
		})
	}
	return l
}

// wait waits until so many more have succeeded.
func (l *load) wait(t *testing.T, more int) {
	t.Helper()
	succeeded := func() (n int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, err := range l.ended {
			if err == nil {
				n++
			}
		}
		return n
	}
	for want, began := succeeded()+more, time.Now(); succeeded() < want; runtime.Gosched() {
		if time.Since(began) > time.Minute {
			t.Fatal("no more updates succeed")
		}
	}
}

// check ends the load, and holds what was answered against what is there.
func (l *load) check(t *testing.T, s *Store) {
	t.Helper()
	l.stop()
	l.group.Wait()
	counts := map[string]int{}
	for n, ended := range l.ended {
		_, err := s.RecordByDigest(t.Context(), digestOf(n))
		is := err == nil
		switch {
		case err != nil && !errors.Is(err, store.ErrNotFound):
			t.Fatal(err)
		case ended == nil && !is:
			t.Errorf("key %d was confirmed and is lost", n)
		case errors.Is(ended, store.ErrUnavailable) && is:
			t.Errorf("key %d is there, and was said not to be: %v", n, ended)
		case ended != nil && !errors.Is(ended, store.ErrUnavailable) && !errors.Is(ended, store.ErrOutcomeUnknown):
			t.Errorf("key %d: %v", n, ended)
		}
		switch {
		case ended == nil:
			counts["confirmed"]++
		case errors.Is(ended, store.ErrOutcomeUnknown):
			counts["unknown"]++
		default:
			counts["refused"]++
		}
	}
	t.Logf("%v", counts)
	checkChain(t, s)
}

// checkChain fails where the audit log is not whole, or says something else than the tables.
func checkChain(t *testing.T, s *Store) {
	t.Helper()
	var last audit.Head
	keys := 0
	for after := int64(0); ; {
		page, err := s.AuditAfter(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			if e.ID != last.ID+1 || e.PreviousHash != last.Hash {
				t.Fatalf("entry %d does not follow %d", e.ID, last.ID)
			}
			last, after = e.Head(), e.ID
			keys++
		}
	}
	extent, err := s.AuditExtent(t.Context())
	if err != nil || extent.Last.ID != last.ID || extent.Last.Hash != last.Hash {
		t.Errorf("the audit log ends at %d, and is said to end at %d (%v)", last.ID, extent.Last.ID, err)
	}
}

func TestServerKilledUnderLoad(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	s := openFilled(t, server.NewDatabase(t), 1)
	l := startLoad(t, s, 8, 1000)
	for i := range int64(3) {
		l.wait(t, 50+rand.IntN(50))
		switch i {
		case 0, 1:
			server.Kill(t)
		default:
			server.StopAtOnce(t)
		}
		server.Run(t)
		wantRecovered(t, s, time.Now(), 100_000*(i+1))
	}
	l.wait(t, 50)
	l.check(t, s)
}

// A server that was restarted while nobody needed it is no reason for an error, although every connection is gone.
func TestServerRestartedBetweenCalls(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	dsn := server.NewDatabase(t)
	s := openFilled(t, dsn, 10)
	fill := func() {
		var group sync.WaitGroup
		for i := range int64(100) {
			group.Go(func() {
				if _, err := s.RecordByDigest(t.Context(), digestOf(i%10)); err != nil {
					t.Errorf("RecordByDigest() = %v", err)
				}
				if _, err := s.Keys(t.Context(), store.KeyQuery{Limit: 1}); err != nil {
					t.Errorf("Keys() = %v", err)
				}
			})
		}
		group.Wait()
	}
	fill()
	for i := range int64(3) {
		server.Stop(t)
		server.Run(t)
		if i == 0 {
			fill()
		}
		if err := addKey(t.Context(), s, 100+i); err != nil {
			t.Errorf("Update() = %v", err)
		}
		fill()
	}
}

// terminate ends the process that serves the session of s.
func terminate(t *testing.T, s *Store, dsn string) {
	t.Helper()
	execute(t, plain(t, dsn), `SELECT pg_terminate_backend($1)`, s.session.conn.PgConn().PID())
}

func TestWriterTerminatedInATurn(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.NewDatabase(t)
	s := openFilled(t, dsn, 1)
	for name, rest := range map[string]func(store.Tx) error{
		"before it writes":    func(tx store.Tx) error { _, err := tx.InsertKey(t.Context(), plainKey(), digestOf(100)); return err },
		"before it reads":     func(tx store.Tx) error { _, err := tx.Key(t.Context(), 1); return err },
		"and it does nothing": func(tx store.Tx) error { return nil },
	} {
		changes, err := s.Update(t.Context(), func(tx store.Tx) error {
			tx.Record(plainEntry(1))
			if _, err := tx.InsertKey(t.Context(), plainKey(), digestOf(101)); err != nil {
				return err
			}
			terminate(t, s, dsn)
			return rest(tx)
		})
		if !errors.Is(err, store.ErrUnavailable) || len(changes) != 0 {
			t.Errorf("terminated %s: Update() = %v, %v", name, changes, err)
		}
		if _, err := s.RecordByDigest(t.Context(), digestOf(101)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("terminated %s: RecordByDigest() = %v", name, err)
		}
	}
	if err := addKey(t.Context(), s, 102); err != nil {
		t.Errorf("afterwards: Update() = %v", err)
	}
	// Between two turns it is nobody's business.
	terminate(t, s, dsn)
	if err := addKey(t.Context(), s, 103); err != nil {
		t.Errorf("terminated between: Update() = %v", err)
	}
}

// The answer to COMMIT is lost on the way, or COMMIT itself, and the store finds out what became of it.
func TestCommitIsSettled(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault postgrestest.Fault
		kept  bool
	}{
		{"cut before the server hears of it", postgrestest.CutBefore, false},
		{"cut after the server has answered", postgrestest.CutAfter, true},
		{"lost before the server hears of it", postgrestest.LoseBefore, false},
		{"lost after the server has answered", postgrestest.LoseAfter, true},
		{"ended before the server hears of it", postgrestest.EndBefore, false},
		{"ended after the server has answered", postgrestest.EndAfter, true},
	} {
		for _, audited := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, audited=%v", c.name, audited), func(t *testing.T) {
				t.Parallel()
				dsn := postgrestest.NewDatabase(t)
				openFilled(t, dsn, 1)
				proxy := postgrestest.NewProxy(t, postgrestest.Address(t, dsn))
				s := open(t, proxy.URL(t, dsn))
				other := open(t, dsn)
				var once sync.Once
				proxy.OnStatement(func(statement string) (f postgrestest.Fault) {
					if statement == "COMMIT" {
						once.Do(func() { f = c.fault })
					}
					return f
				})
				changes, err := s.Update(t.Context(), func(tx store.Tx) error {
					k, err := tx.Key(t.Context(), 1)
					if err != nil {
						return err
					}
					if audited {
						tx.Record(plainEntry(1))
					}
					k.Name = "renamed"
					return tx.UpdateKey(t.Context(), k)
				})
				// Another node goes on at once.
				if err := addKey(t.Context(), other, 77); err != nil {
					t.Errorf("Update() of another node = %v", err)
				}
				k, readErr := s.Key(t.Context(), 1)
				switch {
				case readErr != nil:
					t.Fatal(readErr)
				case (k.Name == "renamed") != c.kept:
					t.Fatalf("key = %+v", k)
				case c.kept && (err != nil || len(changes) != 1):
					t.Errorf("Update() = %v, %v, want success: it was kept", changes, err)
				case !c.kept && !errors.Is(err, store.ErrUnavailable):
					t.Errorf("Update() = %v, want ErrUnavailable: it was not kept", err)
				}
			})
		}
	}
}

// Where nobody can tell, the changes come with the error.
func TestCommitUnknown(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	dsn := server.NewDatabase(t)
	proxy := postgrestest.NewProxy(t, server.Address())
	s := openFilled(t, proxy.URL(t, dsn), 1)
	proxy.OnStatement(func(statement string) postgrestest.Fault {
		if statement == "COMMIT" {
			proxy.Lose()
		}
		return postgrestest.Pass
	})
	changes, err := s.Update(t.Context(), func(tx store.Tx) error { return tx.DeleteKey(t.Context(), 1) })
	if !errors.Is(err, store.ErrOutcomeUnknown) || errors.Is(err, store.ErrUnavailable) || len(changes) != 1 {
		t.Errorf("Update() = %v, %v, want ErrOutcomeUnknown and the change", changes, err)
	}
	proxy.OnStatement(func(string) postgrestest.Fault { return postgrestest.Pass })
	proxy.Deliver()
	back := time.Now()
	for addKey(t.Context(), s, 100+time.Now().UnixNano()) != nil {
		if time.Since(back) > recovery+busy {
			t.Fatalf("not recovered after %v", time.Since(back))
		}
	}
}

func init() {
	// Begins a change, says so, and goes on when its parent has written a line.
	children["hold the turn"] = func(dsn string, tell func(string, ...any)) error {
		ctx := context.Background()
		s, err := Open(ctx, Options{DSN: dsn})
		if err != nil {
			return err
		}
		runs := 0
		_, err = s.Update(ctx, func(tx store.Tx) error {
			runs++
			id, err := tx.InsertKey(ctx, plainKey(), digestOf(500))
			if err != nil {
				return err
			}
			tx.Record(plainEntry(id))
			tell("holding")
			_, err = bufio.NewReader(os.Stdin).ReadString('\n') // it is stopped meanwhile
			return err
		})
		tell("%v", err)
		if err := addKey(ctx, s, 501); err != nil {
			return err
		}
		return s.Close()
	}

	children["delete a key"] = func(dsn string, tell func(string, ...any)) error {
		ctx := context.Background()
		s, err := Open(ctx, Options{DSN: dsn})
		if err != nil {
			return err
		}
		_, err = s.Update(ctx, func(tx store.Tx) error { return tx.DeleteKey(ctx, 1) })
		tell("%v", err)
		return s.Close()
	}
}

// wantTurnFree adds a key when a node has lost the turn that has frozen. Where that takes the server longer than others wait, because the
// machine is busy, it is tried again.
func wantTurnFree(t *testing.T, s *Store, n int64) {
	t.Helper()
	began := time.Now()
	err := addKey(t.Context(), s, n)
	for errors.Is(err, store.ErrUnavailable) && time.Since(began) < turnTimeout+busy {
		err = addKey(t.Context(), s, n)
	}
	took := time.Since(began)
	t.Logf("the turn was free after %v", took)
	if err != nil || took > turnTimeout+busy {
		t.Errorf("Update() of another node = %v, after %v", err, took)
	}
}

// A node that freezes with the turn in its hands loses it, and what it has done.
func TestFrozenNode(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.NewDatabase(t)
	s := openFilled(t, dsn, 1)
	c := startChild(t, "hold the turn", dsn)
	if got := c.line(); got != "holding" {
		t.Fatalf("child says %q", got)
	}
	c.signal(t, syscall.SIGSTOP)
	wantTurnFree(t, s, 100)
	if _, err := s.RecordByDigest(t.Context(), digestOf(500)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("RecordByDigest() of what the frozen one did = %v", err)
	}
	c.signal(t, syscall.SIGCONT)
	c.tell(t)
	rest := c.wait(t)
	if len(rest) != 1 || !strings.Contains(rest[0], store.ErrUnavailable.Error()) {
		t.Errorf("child says %q, want that its change was refused", rest)
	}
	for n, want := range map[int64]error{500: store.ErrNotFound, 501: nil} {
		if _, err := s.RecordByDigest(t.Context(), digestOf(n)); !errors.Is(err, want) {
			t.Errorf("key %d: %v, want %v", n, err, want)
		}
	}
	checkChain(t, s)
}

// So does one that freezes in the middle of an answer that is too long for the network to hold.
func TestFrozenInAnAnswer(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.NewDatabase(t)
	s := openFilled(t, dsn, 1)
	execute(t, plain(t, dsn), `INSERT INTO tokens (digest, key_id) SELECT sha256(n::text::bytea), 1 FROM generate_series(1, 400000) n`)
	proxy := postgrestest.NewProxy(t, postgrestest.Address(t, dsn))
	stalled := make(chan struct{})
	var once sync.Once
	proxy.OnStatement(func(statement string) postgrestest.Fault {
		if statement != sqlstore.DeleteTokens.Text() {
			return postgrestest.Pass
		}
		once.Do(func() { close(stalled) })
		return postgrestest.Stall
	})
	c := startChild(t, "delete a key", proxy.URL(t, dsn))
	<-stalled
	c.signal(t, syscall.SIGSTOP)
	wantTurnFree(t, s, 100)
	c.signal(t, syscall.SIGCONT)
	if got := c.line(); !strings.Contains(got, store.ErrUnavailable.Error()) {
		t.Errorf("child says %q, want that its change was refused", got)
	}
	c.wait(t)
}

// While the database does not answer, nothing piles up, and when it does, all is well at once.
func TestServerSilent(t *testing.T) {
	for name, silence := range map[string]func(*testing.T, *postgrestest.Server, *postgrestest.Proxy) (end func()){
		"frozen": func(t *testing.T, s *postgrestest.Server, _ *postgrestest.Proxy) func() {
			s.Freeze(t)
			return func() { s.Thaw(t) }
		},
		"cut off without a word": func(_ *testing.T, _ *postgrestest.Server, p *postgrestest.Proxy) func() {
			p.Lose()
			return p.Deliver
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := postgrestest.Start(t)
			dsn := server.NewDatabase(t)
			proxy := postgrestest.NewProxy(t, server.Address())
			s := openFilled(t, proxy.URL(t, dsn), 10)
			end := silence(t, server, proxy)
			began := time.Now()
			var group sync.WaitGroup
			for i := range int64(1000) {
				group.Go(func() {
					if _, err := s.RecordByDigest(t.Context(), digestOf(i%10)); !errors.Is(err, store.ErrUnavailable) {
						t.Errorf("RecordByDigest() = %v, want ErrUnavailable", err)
					}
				})
			}
			for i := range int64(100) {
				group.Go(func() {
					if err := addKey(t.Context(), s, 1000+i); err == nil {
						t.Error("Update() succeeds")
					}
				})
			}
			group.Wait()
			t.Logf("all refused after %v", time.Since(began))
			if took := time.Since(began); took > turnTimeout+time.Second+busy {
				t.Errorf("they were refused after %v", took)
			}
			for began = time.Now(); s.watch.err() == nil; time.Sleep(10 * time.Millisecond) {
				if time.Since(began) > 2*connectTimeout+busy {
					t.Fatal("nobody has noticed that the database is away")
				}
			}
			began = time.Now()
			for range 100 {
				if _, err := s.RecordByDigest(t.Context(), key.Digest{}); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("RecordByDigest() = %v, want ErrUnavailable", err)
				}
				if err := s.Ready(t.Context()); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("Ready() = %v, want ErrUnavailable", err)
				}
				if err := addKey(t.Context(), s, 2000); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("Update() = %v, want ErrUnavailable", err)
				}
			}
			if took := time.Since(began); took > 100*time.Second/10 { // to wait each time takes a hundred seconds, or more
				t.Errorf("refused after %v although the database was known to be away", took)
			}
			most := int64(cap(s.reads.points.free) + listConnections + nodeConnections + 2)
			if got := proxy.Most(); got > 2*most {
				t.Errorf("%d connections at the same time, want %d or so", got, most)
			}
			end()
			wantRecovered(t, s, time.Now(), 3000)
		})
	}
}
